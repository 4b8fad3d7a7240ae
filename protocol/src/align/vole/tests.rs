//! Both parties over queues in memory, honest and not. Where a wait for a message that never comes
//! is part of a test, time is simulated: the clock stands still while a party computes.

mod attacks;

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;

use crate::{
    abort::Abort,
    align::{self, Alignment, IterIds, Method, Params},
    channel::{Role, Tag},
    testing::{Intercept, World},
};

const BATCH: u32 = 128;
const A: Role = Role::Party(0);
const B: Role = Role::Party(1);

fn params() -> Params {
    Params {
        batch: BATCH,
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
                let (ids, params) = (IterIds(sets[i].clone().into_iter()), params[i].clone());
                async move { align::run(&ctx, Method::Vole, &params, ids, |_, _| {}).await }
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
        ((0, 37), (0, 0)),
        ((0, 1), (0, 1)),
        ((0, 1), (1, 2)),
        ((0, 37), (20, 57)),
        ((0, 300), (0, 300)),
        ((0, 300), (300, 600)),
        ((0, 64), (30, 3_000)),
        ((0, 3_000), (30, 64)),
    ] {
        check_exact(&customers(a.0, a.1, 1), &customers(b.0, b.1, 2), &params()).await;
    }
}

#[tokio::test]
async fn finds_exactly_the_common_customers_of_several_buckets() {
    let (a, b) = (customers(0, 140_000, 3), customers(100_000, 290_000, 5));
    let big = Params::new([1; 32]);
    assert_eq!(check_exact(&a, &b, &big).await.len(), 40_000);
    // few customers against many: the many decide the number of buckets
    let few = customers(289_000, 289_100, 9);
    assert_eq!(
        check_exact(&few, &customers(0, 290_000, 5), &big)
            .await
            .len(),
        100
    );
}

#[tokio::test]
async fn a_budget_of_almost_nothing_gives_the_same_result() {
    let small = Params {
        memory_bytes: 20_000,
        ..params()
    };
    let (a, b) = (customers(0, 2_000, 3), customers(1_900, 3_500, 5));
    assert_eq!(check_exact(&a, &b, &small).await.len(), 100);
}

#[tokio::test]
async fn the_order_is_new_in_each_run() {
    let (a, b) = (customers(0, 200, 1), customers(100, 300, 2));
    let one = check_exact(&a, &b, &params()).await;
    let two = check_exact(&a, &b, &params()).await;
    assert_ne!(one, two);
}

#[tokio::test]
async fn refuses_unusable_ids_before_the_peer_hears_of_any() {
    for (ids, text) in [
        (vec!["a", "b", "a", "b"], "row 2 has the same id as row 0"),
        (vec!["a", ""], "row 1 "),
    ] {
        let world = World::new(2).with_deadline(std::time::Duration::from_millis(200));
        let bad: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        let out = run_with(&world, [&bad, &customers(0, 9, 1)], [params(), params()]).await;
        let e = out[0].as_ref().unwrap_err();
        assert_eq!(e.code(), "input");
        assert!(e.to_string().contains(text), "{e}");
        assert!(world.log().iter().all(|(from, _, tag, _)| {
            *from == B || ["align/hello", "align/coin"].contains(&tag.as_str())
        }));
    }
    let few = Params {
        max_rows: 3,
        ..params()
    };
    let world = World::new(2).with_deadline(std::time::Duration::from_millis(200));
    let sets = [&customers(0, 4, 1)[..], &customers(0, 2, 1)];
    let out = run_with(&world, sets, [few, params()]).await;
    assert!(out[0].as_ref().unwrap_err().to_string().contains("3 rows"));
}

#[tokio::test]
async fn too_few_in_common_ends_the_job_at_both() {
    let least = Params {
        min_matched: 11,
        ..params()
    };
    let (a, b) = (customers(0, 20, 1), customers(10, 30, 2));
    let out = run_with(&World::new(2), [&a, &b], [least.clone(), least]).await;
    assert!(
        out.iter()
            .all(|r| r.as_ref().unwrap_err().code() == "too_few_matched")
    );
}

#[tokio::test]
async fn parties_with_different_jobs_name_each_other() {
    let other = |change: fn(&mut Params)| {
        let mut p = params();
        change(&mut p);
        p
    };
    for (different, text) in [
        (other(|p| p.session[3] ^= 1), "another session"),
        (other(|p| p.batch = 256), "other steps"),
        (other(|p| p.min_matched = 1), "least number"),
    ] {
        let a = customers(0, 9, 1);
        let out = run_with(&World::new(2), [&a, &a], [params(), different]).await;
        for (i, result) in out.iter().enumerate() {
            let e = result.as_ref().unwrap_err();
            let peer = Role::Party(1 - i as u8);
            assert_eq!((e.code(), e.culprit()), ("disagreement", Some(peer)));
            assert!(e.to_string().contains(text), "{e}");
        }
    }
}

#[tokio::test]
async fn six_parties_are_too_many() {
    let out = World::new(6)
        .run(
            |_, ctx| async move {
                let ids = IterIds(["a"].into_iter());
                align::run(&ctx, Method::Vole, &params(), ids, |_, _| {}).await
            },
            |_| async { Ok(()) },
        )
        .await;
    assert!(
        out.iter()
            .all(|r| r.as_ref().unwrap_err().code() == "input")
    );
}

/// What the meter counts is what is declared, and depends on announced sizes only.
#[tokio::test]
async fn costs_exactly_what_is_declared() {
    for sets in [[300, 40], [40, 300], [100, 100], [0, 0], [150_000, 1_000]] {
        let out = World::new(2)
            .run(
                |i, ctx| {
                    let ids = IterIds((0..sets[i]).map(|id| format!("{id}")));
                    async move {
                        let big = Params {
                            batch: 128,
                            ..params()
                        };
                        align::run(&ctx, Method::Vole, &big, ids, |_, _| {}).await?;
                        Ok(ctx.meter().by_phase())
                    }
                },
                |_| async { Ok(()) },
            )
            .await;
        for (i, phases) in out.iter().enumerate() {
            let (own, peer) = (sets[i], sets[1 - i]);
            let declared = align::declared_cost(Method::Vole, &params(), i as u8, own, peer);
            let phases = phases.as_ref().unwrap();
            assert_eq!(phases.get("align"), Some(&declared), "{sets:?} party {i}");
            assert_eq!(phases.len(), 1);
        }
    }
}

/// All messages of a run as (tag, bytes), of both parties.
async fn messages(a: &[String], b: &[String]) -> Vec<(String, Bytes)> {
    let world = World::new(2);
    let out = run_with(&world, [a, b], [params(), params()]).await;
    assert!(out.iter().all(Result::is_ok), "{out:?}");
    let log = world.log().into_iter();
    log.map(|(_, _, tag, b)| (tag, b)).collect()
}

/// Names and lengths of messages say nothing of what the sets hold, nor do two runs share a value.
#[tokio::test]
async fn what_travels_depends_on_announced_sizes_and_is_never_the_same() {
    let shape = |m: &[(String, Bytes)]| -> BTreeSet<(String, usize)> {
        m.iter().map(|(t, b)| (t.clone(), b.len())).collect()
    };
    // 64 to 192 rows are announced as two frames of 128
    let one = messages(&customers(0, 65, 1), &customers(0, 65, 1)).await;
    let two = messages(&customers(0, 65, 1), &customers(0, 65, 1)).await;
    let other = messages(&customers(500, 680, 1), &customers(0, 190, 1)).await;
    assert_eq!(shape(&one), shape(&two));
    assert_eq!(shape(&one), shape(&other));
    let blocks = |m: &[(String, Bytes)]| -> HashSet<[u8; 16]> {
        let same = [
            "align/hello",
            "align/size",
            "align/outcome",
            "align/found-0",
        ];
        m.iter()
            .filter(|(tag, _)| !same.contains(&tag.as_str()))
            .flat_map(|(_, b)| b.as_chunks::<16>().0.to_vec())
            .collect()
    };
    assert!(blocks(&one).is_disjoint(&blocks(&two)));
}

/// Tables and outputs look uniform whatever the sets are, even if both are one customer.
#[tokio::test]
async fn tables_and_outputs_are_uniform() {
    for set in [customers(0, 1, 1), customers(0, 3_000, 1)] {
        for (tag, body) in messages(&set, &set).await {
            let name = tag.trim_start_matches("align/");
            let kinds = ["masked-0", "columns", "trees-0", "seed-trees", "outputs-0"];
            if !kinds.contains(&name) {
                continue;
            }
            let ones: u64 = body.iter().map(|b| u64::from(b.count_ones())).sum();
            let bits = body.len() as f64 * 8.0;
            // five standard deviations
            assert!(
                (ones as f64 - bits / 2.0).abs() < 2.5 * bits.sqrt(),
                "{tag}"
            );
            let distinct: HashSet<&[u8; 16]> = body.as_chunks().0.iter().collect();
            assert_eq!(distinct.len(), body.len() / 16, "{tag}");
        }
    }
}

/// No id, hash of it or anything else of one party's ids is in what it sends.
#[tokio::test]
async fn ids_do_not_travel() {
    let ids: Vec<String> = (0..50).map(|i| format!("CANARY-{i}")).collect();
    for (_, body) in messages(&ids, &ids).await {
        assert!(!body.windows(7).any(|w| w == b"CANARY-"));
    }
}
