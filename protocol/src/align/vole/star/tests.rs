//! Three to five parties over queues in memory.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;

use crate::{
    abort::Abort,
    align::{self, Alignment, IterIds, Method, Params},
    channel::{Role, Tag},
    testing::{Intercept, World},
};

fn params() -> Params {
    Params {
        batch: 128,
        min_matched: 0,
        ..Params::new([7; 32])
    }
}

fn customers(of: impl IntoIterator<Item = u32>, seed: u32) -> Vec<String> {
    let mut ids: Vec<u32> = of.into_iter().collect();
    ids.sort_by_key(|i| (i ^ seed).wrapping_mul(0x9e37_79b1));
    ids.into_iter()
        .map(|i| format!("customer-{i:08}"))
        .collect()
}

async fn run_in(
    world: &World,
    sets: &[Vec<String>],
    params: &Params,
) -> Vec<Result<Alignment, Abort>> {
    world
        .run(
            |i, ctx| {
                let (ids, params) = (IterIds(sets[i].clone().into_iter()), params.clone());
                async move { align::run(&ctx, Method::Vole, &params, ids, |_, _| {}).await }
            },
            |_| async { Ok(()) },
        )
        .await
}

/// Checks that all parties hold one list in one order, and that it is the plain intersection.
async fn check_exact(sets: &[Vec<String>], params: &Params) -> usize {
    let out = run_in(&World::new(sets.len() as u8), sets, params).await;
    let lists: Vec<Vec<&String>> = out
        .iter()
        .zip(sets)
        .map(|(aligned, set)| {
            let aligned = aligned.as_ref().unwrap();
            aligned.rows.iter().map(|r| &set[*r as usize]).collect()
        })
        .collect();
    let mut want: BTreeSet<&String> = sets[0].iter().collect();
    for set in sets {
        let these: HashSet<&String> = set.iter().collect();
        want.retain(|id| these.contains(id));
    }
    for list in &lists {
        assert_eq!(list, &lists[0], "one order at all parties");
    }
    assert_eq!(lists[0].len(), want.len());
    assert_eq!(lists[0].iter().copied().collect::<BTreeSet<_>>(), want);
    let print = out[0].as_ref().unwrap().fingerprint;
    assert!(out.iter().all(|a| a.as_ref().unwrap().fingerprint == print));
    want.len()
}

#[tokio::test]
async fn finds_exactly_what_all_have() {
    for parties in 3..=5_u32 {
        // each lacks some that all others have, and has some of its own
        let sets = |n: u32| -> Vec<Vec<String>> {
            (0..parties)
                .map(|p| {
                    let shared = (0..n).filter(move |i| i % (3 * parties) != p);
                    customers(shared.chain(n + 1_000 * p..n + 1_000 * p + 10 * p), p)
                })
                .collect()
        };
        for n in [0, 1, 60, 400] {
            check_exact(&sets(n), &params()).await;
        }
    }
    // pairs in common, nothing in all three; identical; one empty; one much larger
    let ranges = |ranges: [(u32, u32); 3]| -> Vec<Vec<String>> {
        ranges.iter().map(|(a, b)| customers(*a..*b, *b)).collect()
    };
    for (r, want) in [
        ([(0, 100), (50, 150), (100, 200)], 0),
        ([(0, 77), (0, 77), (0, 77)], 77),
        ([(0, 77), (0, 0), (0, 77)], 0),
        ([(0, 5_000), (10, 20), (5, 15)], 5),
        ([(10, 20), (0, 5_000), (5, 15)], 5),
    ] {
        assert_eq!(check_exact(&ranges(r), &params()).await, want);
    }
}

#[tokio::test]
async fn finds_exactly_what_all_have_in_several_buckets() {
    let sets = [
        customers(0..140_000, 3),
        customers(100_000..240_000, 5),
        customers(120_000..150_000, 7),
    ];
    let spilling = Params {
        memory_bytes: 1 << 20,
        ..Params::new([1; 32])
    };
    assert_eq!(check_exact(&sets, &spilling).await, 20_000);
}

#[tokio::test]
async fn costs_exactly_what_is_declared() {
    for sets in [vec![300_u32, 40, 100], vec![5, 300, 0, 9], vec![10; 5]] {
        let least = sets.iter().copied().min().unwrap_or_default();
        let out = World::new(sets.len() as u8)
            .run(
                |i, ctx| {
                    let ids = IterIds((0..sets[i]).map(|id| format!("{id}")));
                    async move {
                        align::run(&ctx, Method::Vole, &params(), ids, |_, _| {}).await?;
                        Ok(ctx.meter().by_phase())
                    }
                },
                |_| async { Ok(()) },
            )
            .await;
        let rows: Vec<u64> = sets.iter().map(|n| u64::from(*n)).collect();
        for (i, phases) in out.iter().enumerate() {
            let declared = super::declared_cost(&params(), i as u8, &rows, u64::from(least));
            let phases = phases.as_ref().unwrap();
            assert_eq!(phases.get("align"), Some(&declared), "{sets:?} party {i}");
        }
    }
}

/// What a spoke sends says nothing of whether another spoke holds the same customers: sizes and names
/// are equal, contents uniform, and what all have is the only thing that is told.
#[tokio::test]
async fn overlaps_of_some_do_not_show() {
    let shape = async |sets: [Vec<String>; 3]| {
        let world = World::new(3);
        let out = run_in(&world, &sets, &params()).await;
        assert!(out.iter().all(|o| o.as_ref().unwrap().rows.is_empty()));
        for (_, _, tag, body) in world.log() {
            if tag.contains("/table-") || tag.contains("/masked-") {
                let ones: u64 = body.iter().map(|b| u64::from(b.count_ones())).sum();
                let bits = body.len() as f64 * 8.0;
                assert!(
                    (ones as f64 - bits / 2.0).abs() < 2.5 * bits.sqrt(),
                    "{tag}"
                );
                let words: HashSet<&[u8; 16]> = body.as_chunks().0.iter().collect();
                assert_eq!(words.len(), body.len() / 16, "{tag}");
            }
        }
        let log = world.log().into_iter();
        log.map(|(from, to, tag, body)| (format!("{from}{to}{tag}"), body.len()))
            .collect::<BTreeSet<_>>()
    };
    let apart = [
        customers(0..60, 1),
        customers(60..120, 2),
        customers(120..180, 3),
    ];
    let pairs = [
        customers(0..60, 1),
        customers(0..60, 2),
        customers(120..180, 3),
    ];
    let spokes = [
        customers(0..60, 1),
        customers(60..120, 2),
        customers(60..120, 3),
    ];
    let one = shape(apart).await;
    assert_eq!(one, shape(pairs).await);
    assert_eq!(one, shape(spokes).await);
}

#[tokio::test]
async fn whatever_is_altered_ends_the_run_in_the_senders_name() {
    let sets = [
        customers(0..90, 1),
        customers(30..120, 2),
        customers(60..150, 3),
    ];
    for (from, name) in [
        (1, "hello"),
        (2, "coin"),
        (1, "size"),
        (0, "share"),
        (0, "masked-0"),
        (1, "proof-0"),
        (2, "table-0"),
        (0, "common-0"),
        (1, "outcome"),
    ] {
        let attack = move |of: Role, to: Role, tag: &Tag, body: &Bytes| {
            let hit = of == Role::Party(from)
                && to == Role::Party(if from == 0 { 2 } else { 0 })
                && tag.as_str() == format!("align/{name}");
            let mut body = body.to_vec();
            match (hit, body.last_mut()) {
                (true, Some(last)) => {
                    *last ^= 1;
                    Intercept::Replace(body.into())
                }
                _ => Intercept::Pass,
            }
        };
        let world = World::new(3)
            .with_attack(attack)
            .with_deadline(std::time::Duration::from_millis(300));
        let out = run_in(&world, &sets, &params()).await;
        assert!(out.iter().any(Result::is_err), "{name}: {out:?}");
        let victim = if from == 0 { 2 } else { 0 };
        let blamed = out[victim].as_ref().unwrap_err().culprit();
        assert!(blamed.is_some(), "{name}: {:?}", out[victim]);
    }
}

#[tokio::test]
async fn a_claim_of_what_a_spoke_does_not_have_is_refused() {
    let sets = [
        customers(0..90, 1),
        customers(30..120, 2),
        customers(60..150, 3),
    ];
    let attack = |from: Role, to: Role, tag: &Tag, body: &Bytes| {
        if from == Role::Party(0) && to == Role::Party(1) && tag.as_str() == "align/common-0" {
            let mut more = body.to_vec();
            more.extend([255; 16]);
            return Intercept::Replace(more.into());
        }
        Intercept::Pass
    };
    let world = World::new(3)
        .with_attack(attack)
        .with_deadline(std::time::Duration::from_millis(300));
    let out = run_in(&world, &sets, &params()).await;
    let e = out[1].as_ref().unwrap_err();
    assert_eq!(e.culprit(), Some(Role::Party(0)));
    assert!(e.to_string().contains("does not have"), "{e}");
}

#[tokio::test(start_paused = true)]
async fn a_party_with_more_rows_than_one_allows_is_refused_by_its_announcement() {
    let sets = [
        customers(0..20, 1),
        customers(10..30, 2),
        customers(0..400, 3),
    ];
    let few = Params {
        max_rows: 400,
        ..params()
    };
    let world = World::new(3);
    let out = run_in(&world, &sets, &few).await;
    for refused in &out[..2] {
        let e = refused.as_ref().unwrap_err();
        let wanted = ("too_many_rows", Some(Role::Party(2)));
        assert_eq!((e.code(), e.culprit()), wanted, "{e}");
        assert!(e.to_string().contains("it may bring 320 at most"), "{e}");
    }
    let early = ["align/hello", "align/coin", "align/size"];
    let sent = world.log();
    let mut sent = sent.iter().filter(|sent| sent.0 != Role::Party(2));
    assert!(sent.all(|(_, _, tag, _)| early.contains(&tag.as_str())));
}

#[tokio::test]
async fn too_few_in_common_or_too_many_parties_end_the_run() {
    let least = Params {
        min_matched: 11,
        ..params()
    };
    let sets = [
        customers(0..20, 1),
        customers(10..30, 2),
        customers(0..30, 3),
    ];
    let out = run_in(&World::new(3), &sets, &least).await;
    assert!(
        out.iter()
            .all(|r| r.as_ref().unwrap_err().code() == "too_few_matched")
    );
    let six: Vec<Vec<String>> = (0..6).map(|p| customers(0..9, p)).collect();
    let out = run_in(&World::new(6), &six, &params()).await;
    assert!(
        out.iter()
            .all(|r| r.as_ref().unwrap_err().code() == "input")
    );
}
