//! Both parties over queues in memory, honest and not. Where a wait for a message that never comes
//! is part of a test, time is simulated: the clock stands still while a party computes.

mod attacks;
mod backlog;
mod size;

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use crate::{
    abort::Abort,
    align::{self, Alignment, IterIds, Method, Params},
    channel::{Role, Tag},
    testing::{Intercept, World},
};

const BATCH: usize = 128;
const A: Role = Role::Party(0);
const B: Role = Role::Party(1);

fn params() -> Params {
    Params {
        batch: BATCH as u32,
        min_matched: 0,
        ..Params::new([7; 32])
    }
}

/// Ids of customers `from..to`, in an order of their own at each party.
fn customers(from: u32, to: u32, seed: u32) -> Vec<String> {
    let mut ids: Vec<u32> = (from..to).collect();
    ids.sort_by_key(|i| (i ^ seed).wrapping_mul(0x9e37_79b1));
    ids.into_iter()
        .map(|i| format!("customer-{i:08}"))
        .collect()
}

async fn run_with(
    world: &World,
    sets: [&[String]; 2],
    params: [Params; 2],
) -> Vec<Result<Alignment, Abort>> {
    let sets = sets.map(<[String]>::to_vec);
    world
        .run(
            |i, ctx| {
                let (ids, params) = (sets[i].clone(), params[i].clone());
                async move {
                    align::run(
                        &ctx,
                        Method::Curve,
                        &params,
                        IterIds(ids.into_iter()),
                        |_, _| {},
                    )
                    .await
                }
            },
            |_| async { Ok(()) },
        )
        .await
}

/// Both alignments, mapped back to ids; checks that both parties hold one list in one order, and
/// that it is the plain intersection.
async fn check_exact(a: &[String], b: &[String], params: &Params) -> Vec<String> {
    let world = World::new(2);
    let out = run_with(&world, [a, b], [params.clone(), params.clone()]).await;
    let [Ok(x), Ok(y)] = &out[..] else {
        panic!("{out:?}")
    };
    let ids = |rows: &[u32], set: &[String]| -> Vec<String> {
        rows.iter().map(|r| set[*r as usize].clone()).collect()
    };
    let (x_ids, y_ids) = (ids(&x.rows, a), ids(&y.rows, b));
    assert_eq!(x_ids, y_ids, "one order at both parties");
    assert_eq!(x.fingerprint, y.fingerprint);
    let set: HashSet<&String> = a.iter().collect();
    let want: BTreeSet<&String> = b.iter().filter(|id| set.contains(id)).collect();
    assert_eq!(x_ids.len(), want.len());
    assert_eq!(x_ids.iter().collect::<BTreeSet<_>>(), want);
    x_ids
}

#[tokio::test]
async fn finds_exactly_the_common_customers() {
    for (a, b) in [
        ((0, 0), (0, 0)),
        ((0, 0), (0, 37)),
        ((0, 1), (0, 1)),
        ((0, 1), (1, 2)),
        ((0, 37), (20, 57)),
        ((0, 37), (0, 37)),
        ((0, 300), (250, 290)),
        ((0, 64), (30, 600)),
    ] {
        check_exact(&customers(a.0, a.1, 1), &customers(b.0, b.1, 2), &params()).await;
    }
}

#[tokio::test]
async fn finds_exactly_the_common_customers_of_twenty_thousand() {
    let big = Params {
        batch: 2048,
        ..params()
    };
    let (a, b) = (customers(0, 20_000, 3), customers(19_200, 21_000, 5));
    assert_eq!(check_exact(&a, &b, &big).await.len(), 800);
}

#[tokio::test]
async fn a_budget_of_almost_nothing_gives_the_same_result() {
    let small = Params {
        memory_bytes: 2_000,
        ..params()
    };
    let (a, b) = (customers(0, 1_500, 3), customers(1_000, 2_200, 5));
    let mut ids = check_exact(&a, &b, &small).await;
    let mut want = check_exact(&a, &b, &params()).await;
    assert_ne!(ids, want, "each run has an order of its own");
    ids.sort();
    want.sort();
    assert_eq!(ids, want);
}

#[tokio::test]
async fn ids_of_any_bytes_and_length_are_told_apart() {
    let a: Vec<String> = ["a", "a ", "aa", "ü", "u", "0", "00"]
        .map(String::from)
        .into();
    let b: Vec<String> = ["a", "A", "ü", "0", &"0".repeat(5_000)]
        .map(String::from)
        .into();
    assert_eq!(check_exact(&a, &b, &params()).await.len(), 3);
}

#[tokio::test]
async fn too_few_in_common_ends_it_at_both() {
    let strict = Params {
        min_matched: 11,
        ..params()
    };
    let (a, b) = (customers(0, 50, 1), customers(40, 90, 2));
    let world = World::new(2);
    for out in run_with(&world, [&a, &b], [strict.clone(), strict]).await {
        let want = Abort::TooFewMatched {
            step: "align".into(),
            matched: 10,
            min: 11,
        };
        assert_eq!(out, Err(want));
    }
}

#[tokio::test(start_paused = true)]
async fn duplicate_ids_are_refused_before_anything_is_sent() {
    let mut a = customers(0, 50, 1);
    a.push(a[3].clone());
    let world = World::new(2);
    let b = customers(0, 50, 2);
    let out = run_with(&world, [&a, &b], [params(), params()]).await;
    let Err(e) = &out[0] else { panic!("{out:?}") };
    assert_eq!(e.code(), "input");
    assert!(
        e.to_string()
            .starts_with("row 50 has the same id as row 3 "),
        "{e}"
    );
    assert!(!e.to_string().contains("customer-0"), "no id in an error");
    assert!(world.log().iter().all(|(from, ..)| *from == B));
}

#[tokio::test]
async fn different_contracts_are_told_apart() {
    let others = [
        Params {
            session: [8; 32],
            ..params()
        },
        Params {
            batch: 256,
            ..params()
        },
        Params {
            min_matched: 3,
            ..params()
        },
    ];
    let ids = customers(0, 10, 1);
    for other in others {
        let world = World::new(2);
        let out = run_with(&world, [&ids, &ids], [params(), other]).await;
        for (r, peer) in out.iter().zip([B, A]) {
            let Err(e) = r else { panic!("{out:?}") };
            assert_eq!((e.code(), e.culprit()), ("disagreement", Some(peer)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_more_rows_than_allowed_is_refused() {
    let few = Params {
        max_rows: 64,
        ..params()
    };
    let world = World::new(2);
    let (a, b) = (customers(0, 10, 1), customers(0, 300, 2));
    let out = run_with(&world, [&a, &b], [few, params()]).await;
    let Err(e) = &out[0] else { panic!("{out:?}") };
    assert_eq!((e.code(), e.culprit()), ("too_many_rows", Some(B)));
    assert!(e.to_string().contains("this node allows 64"), "{e}");
    // refused by its announcement: no masked id has left
    let from = |role| world.log().into_iter().filter(move |sent| sent.0 == role);
    assert!(from(A).all(|(_, _, tag, _)| tag == "align/hello"));
}

#[tokio::test]
async fn only_two_data_parties_may_run_it() {
    for (parties, role) in [(3, A), (2, Role::Helper), (2, Role::Party(2))] {
        let ctx = World::new(parties).ctx(role);
        let ids = IterIds(["x"].into_iter());
        let out = align::run(&ctx, Method::Curve, &params(), ids, |_, _| {}).await;
        assert_eq!(out.map_err(|e| e.code()), Err("input"));
    }
}

#[tokio::test]
async fn costs_what_is_declared_and_reports_progress_to_the_end() {
    let world = World::new(2);
    let sets = [customers(0, 300, 1), customers(0, 40, 2)];
    let out = world
        .run(
            |i, ctx| {
                let ids = sets[i].clone();
                async move {
                    let seen = Arc::new(Mutex::new(Vec::new()));
                    let log = Arc::clone(&seen);
                    let progress = move |done, all| log.lock().unwrap().push((done, all));
                    let ids = IterIds(ids.into_iter());
                    align::run(&ctx, Method::Curve, &params(), ids, progress).await?;
                    let seen = seen.lock().unwrap().clone();
                    Ok((ctx.meter().by_phase(), seen))
                }
            },
            |_| async { Ok(()) },
        )
        .await;
    for (i, (own, peer, frames)) in [(300, 40, 3 + 1 + 3), (40, 300, 1 + 3 + 1)]
        .into_iter()
        .enumerate()
    {
        let (phases, progress) = out[i].as_ref().unwrap();
        let declared = align::declared_cost(Method::Curve, &params(), i as u8, own, peer);
        assert_eq!(phases.get("align"), Some(&declared));
        assert_eq!(phases.len(), 1);
        let all = frames * BATCH as u64;
        let want: Vec<(u64, u64)> = (1..=frames).map(|f| (f * BATCH as u64, all)).collect();
        assert_eq!(progress, &want);
    }
}

/// All messages of a run as (tag, bytes), of both parties.
async fn messages(a: &[String], b: &[String], params: &Params) -> Vec<(String, Bytes)> {
    let world = World::new(2);
    let out = run_with(&world, [a, b], [params.clone(), params.clone()]).await;
    assert!(out.iter().all(Result::is_ok), "{out:?}");
    world
        .log()
        .into_iter()
        .map(|(_, _, tag, b)| (tag, b))
        .collect()
}

fn values(messages: &[(String, Bytes)]) -> HashSet<[u8; 16]> {
    messages
        .iter()
        .filter(|(tag, _)| tag.contains("-"))
        .flat_map(|(_, b)| b.as_chunks::<16>().0.to_vec())
        .collect()
}

#[tokio::test]
async fn two_runs_share_no_value_and_two_jobs_share_no_hash() {
    let (a, b) = (customers(0, 200, 1), customers(100, 300, 2));
    let one = messages(&a, &b, &params()).await;
    let two = messages(&a, &b, &params()).await;
    assert!(values(&one).is_disjoint(&values(&two)));
    let other = Params {
        session: [8; 32],
        ..params()
    };
    let three = messages(&a, &b, &other).await;
    assert!(values(&one).is_disjoint(&values(&three)));
    // And with equal keys, the session alone changes every value: crypto's `group` tests.
}

#[tokio::test]
async fn frames_show_no_size_below_the_step() {
    let shape = |m: &[(String, Bytes)]| -> BTreeSet<(String, usize)> {
        m.iter().map(|(t, b)| (t.clone(), b.len())).collect()
    };
    let b = customers(0, 60, 2);
    let want = shape(&messages(&[], &b, &params()).await);
    for n in [1, 37, 64] {
        assert_eq!(
            shape(&messages(&customers(0, n, 1), &b, &params()).await),
            want
        );
    }
    assert_ne!(
        shape(&messages(&customers(0, 65, 1), &b, &params()).await),
        want
    );
}

#[tokio::test]
async fn no_message_holds_an_id_or_anything_computed_from_an_id_alone() {
    let a: Vec<String> = (0..50).map(|i| format!("CANARY-{i:04}")).collect();
    let p = params();
    let mut forbidden = HashSet::new();
    let domain = super::Domain::new("align-ecdh", super::VERSION, &p.session).unwrap();
    let key = blake3::derive_key("paripassu align v1 id", &p.session);
    let mut forbid = |bytes: &[u8]| forbidden.insert(<[u8; 8]>::try_from(&bytes[..8]).unwrap());
    for id in &a {
        forbid(id.as_bytes());
        forbid(blake3::hash(id.as_bytes()).as_bytes());
        let digest = blake3::keyed_hash(&key, id.as_bytes());
        forbid(digest.as_bytes());
        forbid(&domain.encode(digest.as_bytes()));
        forbid(&domain.encode(id.as_bytes()));
    }
    let sent = messages(&a, &a[..30], &p).await;
    assert!(sent.iter().map(|(_, b)| b.len()).sum::<usize>() > 10_000);
    for (tag, bytes) in &sent {
        let found = bytes.windows(8).any(|w| forbidden.contains(w));
        assert!(!found, "{tag}");
    }
    // The search finds what it looks for.
    let planted = [b"....".as_slice(), blake3::hash(b"CANARY-0007").as_bytes()].concat();
    assert!(planted.windows(8).any(|w| forbidden.contains(w)));
}
