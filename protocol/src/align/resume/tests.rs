//! Matches that end in the middle and go on: the result is the plain intersection, and nothing random is used twice.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::*;
use crate::{
    align::{self, IterIds, Method, Params},
    testing::World,
};

/// A store in memory that is full after so many parts.
#[derive(Default)]
struct Memory {
    parts: Mutex<BTreeMap<u32, Vec<u8>>>,
    room: Option<usize>,
}

impl Keep for Memory {
    fn keep(&self, part: u32, text: &[u8]) -> io::Result<()> {
        let mut parts = self.parts.lock().unwrap();
        if self.room.is_some_and(|room| parts.len() >= room) {
            return Err(io::Error::other("no space left"));
        }
        parts.insert(part, text.to_vec());
        Ok(())
    }

    fn kept(&self, part: u32) -> Option<Zeroizing<Vec<u8>>> {
        let parts = self.parts.lock().unwrap();
        parts.get(&part).cloned().map(Zeroizing::new)
    }
}

impl Memory {
    fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Self {
            room: Some(room),
            ..Self::default()
        })
    }

    fn buckets(&self) -> usize {
        let parts = self.parts.lock().unwrap();
        parts
            .keys()
            .filter(|part| !matches!(**part, 0 | WHOLE))
            .count()
    }
}

fn customers(of: impl IntoIterator<Item = u32>, seed: u32) -> Vec<String> {
    let mut ids: Vec<u32> = of.into_iter().collect();
    ids.sort_by_key(|i| (i ^ seed).wrapping_mul(0x9e37_79b1));
    ids.into_iter()
        .map(|i| format!("customer-{i:08}"))
        .collect()
}

/// One job: what each party finds, with these stores.
async fn job(
    world: &World,
    session: u8,
    method: Method,
    sets: &[Vec<String>],
    stores: &[(Arc<Memory>, Option<Arc<Memory>>)],
) -> Vec<Result<Alignment, Abort>> {
    world
        .run(
            |i, ctx| {
                let ids = IterIds(sets[i].clone().into_iter());
                let (keep, before) = stores[i].clone();
                let course = Course {
                    keep: Some(keep),
                    before: before.map(|b| b as Arc<dyn Keep>),
                };
                let params = Params::new([session; 32]);
                async move { align::run_on(&ctx, method, &params, ids, &course, |_, _| {}).await }
            },
            |_| async { Ok(()) },
        )
        .await
}

fn check_exact(out: &[Result<Alignment, Abort>], sets: &[Vec<String>]) {
    let list = |(aligned, set): (&Result<Alignment, Abort>, &Vec<String>)| -> Vec<String> {
        let rows = &aligned.as_ref().unwrap().rows;
        rows.iter().map(|r| set[*r as usize].clone()).collect()
    };
    let lists: Vec<Vec<String>> = out.iter().zip(sets).map(list).collect();
    let mut want: BTreeSet<&String> = sets[0].iter().collect();
    for (own, set) in lists.iter().zip(sets) {
        let these: HashSet<&String> = set.iter().collect();
        want.retain(|id| these.contains(id));
        assert_eq!(*own, lists[0], "one order at all parties");
    }
    assert_eq!(lists[0].len(), want.len());
    assert_eq!(lists[0].iter().collect::<BTreeSet<_>>(), want);
    let prints: HashSet<[u8; 32]> = out
        .iter()
        .map(|o| o.as_ref().unwrap().fingerprint)
        .collect();
    assert_eq!(prints.len(), 1);
}

/// Messages of a kind.
fn sent(world: &World, what: &str) -> Vec<bytes::Bytes> {
    let log = world.log().into_iter();
    log.filter(|(_, _, tag, _)| tag.contains(what))
        .map(|(_, _, _, body)| body)
        .collect()
}

fn fresh() -> Arc<Memory> {
    Arc::new(Memory::default())
}

type Pair = [Arc<Memory>; 2];

/// Stores of a job that begins, and of one that goes on.
fn stores(keep: &Pair, before: Option<&Pair>) -> Vec<(Arc<Memory>, Option<Arc<Memory>>)> {
    let of = |i: usize| (keep[i].clone(), before.map(|b| b[i].clone()));
    vec![of(0), of(1)]
}

#[tokio::test(start_paused = true)]
async fn finished_buckets_are_not_matched_again() {
    // three buckets; the second party encodes
    let sets = [customers(0..290_000, 3), customers(200_000..490_000, 5)];
    for (rooms, finished, twice) in [([2, 9], 1, true), ([9, 3], 2, false)] {
        let first = rooms.map(Memory::with_room);
        let mut worlds = vec![World::new(2)];
        let out = job(&worlds[0], 1, Method::Vole, &sets, &stores(&first, None)).await;
        let broken = usize::from(rooms[1] < rooms[0]);
        let said = out[broken].as_ref().unwrap_err().to_string();
        assert!(said.contains("no space left"), "{said}");
        assert_eq!(first.iter().map(|m| m.buckets()).min(), Some(finished));
        let mut before = first;
        if twice {
            // on from there, until another disk is full
            let second = [fresh(), Memory::with_room(2)];
            worlds.push(World::new(2));
            let on = stores(&second, Some(&before));
            let out = job(&worlds[1], 2, Method::Vole, &sets, &on).await;
            assert!(out[1].is_err());
            assert_eq!(second[1].buckets(), 1);
            before = second;
        }
        // to the end
        let third = [fresh(), fresh()];
        worlds.push(World::new(2));
        let last = worlds.last().unwrap();
        let out = job(last, 3, Method::Vole, &sets, &stores(&third, Some(&before))).await;
        check_exact(&out, &sets);
        let left = sent(last, "align/masked-").len();
        assert_eq!(left, 1, "one of three buckets is left");
        let mut all = HashSet::new();
        for body in worlds.iter().flat_map(|world| {
            let tables = sent(world, "align/masked-").into_iter();
            tables.chain(sent(world, "align/outputs-"))
        }) {
            for block in body.as_chunks::<16>().0 {
                assert!(
                    all.insert(*block),
                    "nothing of one run comes again in another"
                );
            }
        }
        // who goes on from the whole match matches nothing
        let idle = World::new(2);
        let fourth = [fresh(), fresh()];
        let done = job(
            &idle,
            4,
            Method::Vole,
            &sets,
            &stores(&fourth, Some(&third)),
        )
        .await;
        for (one, two) in out.iter().zip(&done) {
            assert_eq!(one.as_ref().unwrap(), two.as_ref().unwrap());
        }
        assert_eq!(idle.log().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_shows_no_number_and_another_table_is_refused_by_its_owner() {
    let mut announced = HashSet::new();
    // sets of other sizes with the same announcement
    for more in [0, 900] {
        let sets = [
            customers(0..140_000 + more, 3),
            customers(100_000..230_000, 5),
        ];
        let first = [Memory::with_room(2), fresh()];
        job(
            &World::new(2),
            1,
            Method::Vole,
            &sets,
            &stores(&first, None),
        )
        .await;
        let again = World::new(2);
        let on = stores(&[fresh(), fresh()], Some(&first));
        let out = job(&again, 2, Method::Vole, &sets, &on).await;
        check_exact(&out, &sets);
        announced.insert(sent(&again, "align/size"));
        if more == 0 {
            let mut other = sets.clone();
            other[1][7] = "customer-x".into();
            let again = World::new(2);
            let on = stores(&[fresh(), fresh()], Some(&first));
            let out = job(&again, 2, Method::Vole, &other, &on).await;
            let refused = out[1].as_ref().unwrap_err();
            assert!(refused.to_string().contains("another order"), "{refused}");
            assert!(sent(&again, "align/size").len() < 2 && sent(&again, "masked").is_empty());
        }
    }
    assert_eq!(announced.len(), 1, "{announced:?}");
}

#[tokio::test(start_paused = true)]
async fn a_whole_match_of_every_method_is_taken_over_if_all_hold_it() {
    let two = vec![customers(0..900, 3), customers(500..1_500, 5)];
    let three = vec![
        customers(0..900, 3),
        customers(500..1_500, 5),
        customers(700..800, 9),
    ];
    for (method, sets) in [
        (Method::Curve, &two),
        (Method::Vole, &two),
        (Method::Vole, &three),
    ] {
        let parties = sets.len() as u8;
        let first: Vec<Arc<Memory>> = sets.iter().map(|_| fresh()).collect();
        let stores: Vec<_> = first.iter().map(|m| (m.clone(), None)).collect();
        let out = job(&World::new(parties), 1, method, sets, &stores).await;
        check_exact(&out, sets);
        let on = |before: &[Arc<Memory>]| -> Vec<_> {
            before.iter().map(|m| (fresh(), Some(m.clone()))).collect()
        };
        let world = World::new(parties);
        let again = job(&world, 2, method, sets, &on(&first)).await;
        for (one, two) in out.iter().zip(&again) {
            assert_eq!(one.as_ref().unwrap(), two.as_ref().unwrap());
        }
        assert!(world.log().iter().all(|(_, _, tag, _)| tag == "align/held"));
        // one that holds nothing, or something else: all is matched anew
        let mut other = first.clone();
        other[1] = fresh();
        let anew = job(&World::new(parties), 3, method, sets, &on(&other)).await;
        check_exact(&anew, sets);
        assert_ne!(
            anew[0].as_ref().unwrap().rows,
            out[0].as_ref().unwrap().rows
        );
        other = sets.iter().map(|_| fresh()).collect();
        let stores: Vec<_> = other.iter().map(|m| (m.clone(), None)).collect();
        job(&World::new(parties), 4, method, sets, &stores).await;
        other[0] = first[0].clone();
        let anew = job(&World::new(parties), 5, method, sets, &on(&other)).await;
        check_exact(&anew, sets);
        // the same match over another table
        let mut changed = sets.clone();
        changed[0].swap(0, 1);
        let world = World::new(parties);
        let refused = job(&world, 6, method, &changed, &on(&first)).await;
        let refused = refused[0].as_ref().unwrap_err();
        assert!(refused.to_string().contains("align.resume"), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn several_parties_go_on_after_the_last_bucket_that_all_hold() {
    // two buckets
    let sets = [
        customers(0..140_000, 3),
        customers(100_000..240_000, 5),
        customers(120_000..150_000, 7),
    ];
    let begun = |stores: &[Arc<Memory>]| -> Vec<_> {
        stores.iter().map(|store| (store.clone(), None)).collect()
    };
    let on = |keep: &[Arc<Memory>], before: &[Arc<Memory>]| -> Vec<_> {
        let pairs = keep.iter().zip(before);
        pairs.map(|(k, b)| (k.clone(), Some(b.clone()))).collect()
    };
    // the disk of a spoke, then the centre's, is full after the first bucket
    for full in [2, 0] {
        let mut first = vec![fresh(), fresh(), fresh()];
        first[full] = Memory::with_room(2);
        let broken = World::new(3);
        let out = job(&broken, 1, Method::Vole, &sets, &begun(&first)).await;
        let said = out[full].as_ref().unwrap_err().to_string();
        assert!(said.contains("no space left"), "{said}");
        let second = [fresh(), fresh(), fresh()];
        let again = World::new(3);
        let out = job(&again, 2, Method::Vole, &sets, &on(&second, &first)).await;
        check_exact(&out, &sets);
        let tables = |world: &World| sent(world, "align/masked-").len();
        assert_eq!(
            (tables(&broken), tables(&again)),
            (4, 2),
            "one bucket is left"
        );
        let mut all = HashSet::new();
        for world in [&broken, &again] {
            let bodies = sent(world, "align/masked-").into_iter();
            for body in bodies.chain(sent(world, "align/table-")) {
                for block in body.as_chunks::<16>().0 {
                    assert!(all.insert(*block), "nothing comes again");
                }
            }
        }
        let sizes: HashSet<_> = sent(&again, "align/size").into_iter().collect();
        assert_eq!(sizes.len(), 1, "all announce the same");
    }
}

/// A match that was ended before its last comparison: nothing but that is left.
#[tokio::test(start_paused = true)]
async fn several_parties_that_hold_all_buckets_only_compare() {
    let sets = [
        customers(0..140_000, 3),
        customers(100_000..240_000, 5),
        customers(120_000..150_000, 7),
    ];
    let first = [fresh(), fresh(), fresh()];
    let begun: Vec<_> = first.iter().map(|store| (store.clone(), None)).collect();
    check_exact(
        &job(&World::new(3), 1, Method::Vole, &sets, &begun).await,
        &sets,
    );
    for store in &first {
        store.parts.lock().unwrap().remove(&WHOLE);
        assert_eq!(store.buckets(), 2);
    }
    let on = || -> Vec<_> {
        let before = first.iter().map(|store| Some(store.clone()));
        before.map(|before| (fresh(), before)).collect()
    };
    let mut other = sets.to_vec();
    other[1].swap(3, 4);
    let out = job(&World::new(3), 2, Method::Vole, &other, &on()).await;
    let refused = out[1].as_ref().unwrap_err().to_string();
    assert!(refused.contains("another order"), "{refused}");
    let world = World::new(3);
    let out = job(&world, 3, Method::Vole, &sets, &on()).await;
    check_exact(&out, &sets);
    assert!(sent(&world, "align/size").is_empty() && sent(&world, "align/masked-").is_empty());
}

#[test]
fn what_cannot_be_read_is_not_there() {
    let memory = Memory::default();
    assert!(vole::kept::Past::read(&memory).is_none());
    for text in [&b""[..], &[0; 67], &[0; 70], &[7; 200]] {
        memory.keep(0, text).unwrap();
        assert!(vole::kept::Past::read(&memory).is_none());
        assert!(Whole::decode(&text[..text.len().min(67)]).is_none());
    }
    let held = Whole {
        ids: [1; 32],
        alignment: Alignment {
            rows: vec![3, 1],
            fingerprint: [2; 32],
            peer_batches: 9,
        },
    };
    let text = held.encode();
    assert_eq!(Whole::decode(&text).unwrap().alignment, held.alignment);
    assert!(Whole::decode(&text[..text.len() - 1]).is_none());
}
