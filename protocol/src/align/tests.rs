//! Every way of matching against plain sets, on every kind of set, for every number of parties.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    keys::tests::{Drawing, Table},
    *,
};
use crate::testing::World;

type Sets = Vec<Vec<String>>;

fn params() -> Params {
    Params {
        batch: 128,
        min_matched: 0,
        ..Params::new([6; 32])
    }
}

/// The numbers `of` as ids, in an order of this party's.
fn ids(of: impl IntoIterator<Item = u32>, party: u32) -> Vec<String> {
    let mut numbers: Vec<u32> = of.into_iter().collect();
    numbers.sort_by_key(|n| (n ^ (party + 1)).wrapping_mul(0x9e37_79b1));
    numbers.iter().map(|n| format!("{n}")).collect()
}

/// Sets of each kind for so many parties.
fn kinds(parties: u32, rng: &mut Drawing) -> Vec<(&'static str, Sets)> {
    let of = |set: &mut dyn FnMut(u32) -> Vec<u32>| -> Sets {
        (0..parties).map(|party| ids(set(party), party)).collect()
    };
    let last = parties - 1;
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let sets = of(&mut |_| (0..300).filter(|_| rng.below(10) < 7).collect());
        kinds.push(("random", sets));
    }
    for small in [0, last] {
        let sets = of(&mut |party| match party == small {
            true => (0..9)
                .map(|_| rng.below(1_500))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            false => (0..1_500).filter(|_| rng.below(10) < 8).collect(),
        });
        kinds.push(("skewed", sets));
    }
    for nobody in [0, last] {
        let sets = of(&mut |party| (0..if party == nobody { 0 } else { 70 }).collect());
        kinds.push(("one empty", sets));
    }
    kinds.push(("all empty", of(&mut |_| Vec::new())));
    kinds.push(("identical", of(&mut |_| (0..200).collect())));
    kinds.push((
        "disjoint",
        of(&mut |party| (100 * party..100 * party + 90).collect()),
    ));
    let one = of(&mut |party| {
        let own = 1 + 100 * party..60 + 100 * party;
        std::iter::once(0).chain(own).collect()
    });
    kinds.push(("one in common", one));
    // texts that differ in a space, a zero, a case, a byte at the end of many
    let long = |end: &str| "x".repeat(3_000) + end;
    let all = [
        "7", "07", "7 ", " 7", "a", "A", "ä", "a\u{308}", "-7", "7.0",
    ]
    .map(str::to_owned);
    let mut alike: Sets = vec![all.to_vec(); parties as usize];
    for (party, set) in alike.iter_mut().enumerate() {
        set.rotate_left(party);
        set.retain(|id| *id != all[party % all.len()]);
        set.push(long("1"));
        set.push(long(&format!("2-{party}")));
    }
    kinds.push(("alike", alike));
    kinds
}

fn plain<'s>(sets: impl IntoIterator<Item = &'s Vec<String>>) -> BTreeSet<&'s String> {
    let mut sets = sets.into_iter();
    let mut common: BTreeSet<&String> = sets.next().unwrap().iter().collect();
    for set in sets {
        let these: BTreeSet<&String> = set.iter().collect();
        common.retain(|id| these.contains(id));
    }
    common
}

/// These parties' rows are the ids that all of these sets have, each once, in one order.
fn exact(what: &str, found: &[(&Alignment, &Vec<String>)]) {
    let want = plain(found.iter().map(|(_, set)| *set));
    let list = |(aligned, set): &(&Alignment, &Vec<String>)| -> Vec<String> {
        let rows = aligned.rows.iter();
        rows.map(|row| set[*row as usize].clone()).collect()
    };
    let first = list(&found[0]);
    for one in found {
        assert_eq!(list(one), first, "{what}: one order");
        assert_eq!(one.0.fingerprint, found[0].0.fingerprint, "{what}");
    }
    assert_eq!(first.len(), want.len(), "{what}: each once");
    assert_eq!(first.iter().collect::<BTreeSet<_>>(), want, "{what}");
}

async fn together(world: &World, method: Method, sets: &Sets) -> Vec<Result<Alignment, Abort>> {
    world
        .run(
            |i, ctx| {
                let ids = IterIds(sets[i].clone().into_iter());
                async move { run(&ctx, method, &params(), ids, |_, _| {}).await }
            },
            |_| async { Ok(()) },
        )
        .await
}

async fn by_pairs(world: &World, method: Method, sets: &Sets) -> Vec<Result<Vec<Keyed>, Abort>> {
    world
        .run(
            |i, ctx| {
                let mut table = Table::of(vec![sets[i].clone()]);
                async move { run_any(&ctx, method, &params(), &mut table, |_, _| {}).await }
            },
            |_| async { Ok(()) },
        )
        .await
}

fn ways() -> [(Method, u8); 5] {
    [
        (Method::Curve, 2),
        (Method::Vole, 2),
        (Method::Vole, 3),
        (Method::Vole, 4),
        (Method::Vole, 5),
    ]
}

#[tokio::test]
async fn all_parties_find_exactly_what_plain_sets_have_in_common() {
    let mut rng = Drawing(11);
    for (method, parties) in ways() {
        for (kind, sets) in kinds(parties.into(), &mut rng) {
            let what = format!("{method}, {parties} parties, {kind}");
            let out = together(&World::new(parties), method, &sets).await;
            let out: Vec<Alignment> = out.into_iter().map(|o| o.expect(&what)).collect();
            let found: Vec<_> = out.iter().zip(&sets).collect();
            exact(&what, &found);
        }
    }
}

#[tokio::test]
async fn each_pair_finds_exactly_what_its_plain_sets_have_in_common() {
    let mut rng = Drawing(12);
    for method in Method::ALL {
        for parties in 2..=5_u8 {
            for (kind, sets) in kinds(parties.into(), &mut rng) {
                let what = format!("{method}, pairs of {parties}, {kind}");
                let out = by_pairs(&World::new(parties), method, &sets).await;
                let out: Vec<Vec<Keyed>> = out.into_iter().map(|o| o.expect(&what)).collect();
                let pairs = out[0].iter().zip(out.iter().zip(&sets).skip(1));
                assert_eq!(pairs.len(), usize::from(parties) - 1);
                for (centre, (spoke, set)) in pairs {
                    let pair = [(&centre.alignment, &sets[0]), (&spoke[0].alignment, set)];
                    exact(&what, &pair);
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_counted_is_exactly_what_plain_sets_have_in_common() {
    let mut rng = Drawing(13);
    for (kind, sets) in kinds(2, &mut rng) {
        let counted = Arc::new(Mutex::new(None));
        let told = Arc::clone(&counted);
        let out = World::new(2)
            .run(
                |i, ctx| {
                    let ids = IterIds(sets[i].clone().into_iter());
                    async move { size::run(&ctx, &params(), ids, |_, _| {}).await }
                },
                |ctx| async move {
                    *told.lock().unwrap() = Some(size::count(&ctx, &params()).await?);
                    Ok(())
                },
            )
            .await;
        let want = plain(&sets).len() as u64;
        assert_eq!(*counted.lock().unwrap(), Some(want), "{kind}");
        for size in out {
            let bucket = size.unwrap().bucket;
            let below = bucket.below.is_none_or(|below| want < below);
            assert!(bucket.from <= want && below, "{kind}: {want} in {bucket:?}");
        }
    }
}

/// A table with one id more than once matches nobody by any way: its owner says so, and sends nothing of its ids.
#[tokio::test(start_paused = true)]
async fn repeated_ids_are_refused_by_every_way_at_every_party() {
    for (method, parties) in ways() {
        for party in [0, usize::from(parties) - 1] {
            let mut sets: Sets = (0..u32::from(parties)).map(|p| ids(0..60, p)).collect();
            for copy in 0..20 {
                let id = sets[party][copy % 3].clone();
                sets[party].push(id);
            }
            let refused = |error: &Abort, what: &str| {
                let said = error.to_string();
                assert!(
                    said.contains("20 rows in all") || said.contains("same id"),
                    "{what}: {said}"
                );
                assert_eq!(error.code(), "input", "{what}: {said}");
            };
            let what = format!("{method}, {parties} parties, repeated at {party}");
            let world = World::new(parties).with_deadline(Duration::from_millis(300));
            let out = together(&world, method, &sets).await;
            assert!(out.iter().all(Result::is_err), "{what}");
            refused(out[party].as_ref().unwrap_err(), &what);
            let world = World::new(parties).with_deadline(Duration::from_millis(300));
            let out = by_pairs(&world, method, &sets).await;
            assert!(out.iter().all(Result::is_err), "{what}, pairs");
            refused(out[party].as_ref().unwrap_err(), &what);
        }
    }
}
