//! Matches by several keys that end in the middle, and jobs that go on with them.

use std::{io, sync::Mutex};

use super::*;
use crate::align::Keep;

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

fn stores(room: Option<usize>, parties: usize) -> Vec<Arc<Memory>> {
    let store = |_| {
        let parts = Mutex::default();
        Arc::new(Memory { parts, room })
    };
    (0..parties).map(store).collect()
}

/// One job of a session of its own, which keeps what it finds, and goes on from what an earlier one kept.
async fn job(
    world: &World,
    session: u8,
    method: Method,
    tables: &[Table],
    keep: &[Arc<Memory>],
    before: Option<&[Arc<Memory>]>,
) -> Vec<Result<Keyed, Abort>> {
    world
        .run(
            |i, ctx| {
                let mut table = tables[i].clone();
                let course = Course {
                    keep: Some(keep[i].clone()),
                    before: before.map(|b| b[i].clone() as Arc<dyn Keep>),
                };
                let params = Params {
                    session: [session; 32],
                    ..params()
                };
                async move { run_keys(&ctx, method, &params, &mut table, &course, |_, _| {}).await }
            },
            |_| async { Ok(()) },
        )
        .await
}

/// Values of 16 bytes that parties send with these ids.
fn values(world: &World) -> HashSet<[u8; 16]> {
    let log = world.log().into_iter();
    let masked = log.filter(|(_, _, tag, _)| tag.contains("masked") || tag.contains("outputs"));
    masked
        .flat_map(|(_, _, _, body)| body.as_chunks::<16>().0.to_vec())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn finished_keys_are_not_matched_again_and_all_is_the_plain_result() {
    let mut rng = Drawing(21);
    for (method, parties) in ways() {
        let tables: Vec<Table> = (0..parties)
            .map(|party| drawn(&mut rng, party, 200, 150, 300))
            .collect();
        let whole = World::new(parties as u8);
        let all = job(&whole, 1, method, &tables, &stores(None, parties), None).await;
        let all: Vec<Keyed> = all.into_iter().map(Result::unwrap).collect();
        for done in 0..=3_usize {
            // the last party's disk is full after so many keys; the others may have one more
            let mut first = stores(None, parties);
            first[parties - 1] = stores((done < 3).then_some(done), 1).remove(0);
            let broken = World::new(parties as u8);
            let out = job(&broken, 2, method, &tables, &first, None).await;
            match (done, &out[parties - 1]) {
                (3, out) => assert!(out.is_ok()),
                (_, out) => {
                    let said = out.as_ref().unwrap_err().to_string();
                    assert!(said.contains("no space left"), "{said}");
                }
            }
            let on = World::new(parties as u8);
            let second = stores(None, parties);
            let out = job(&on, 3, method, &tables, &second, Some(&first)).await;
            let out: Vec<Keyed> = out.into_iter().map(Result::unwrap).collect();
            for (found, whole) in out.iter().zip(&all) {
                assert_eq!(found.by_key, whole.by_key);
                assert_eq!(found.left_out, whole.left_out);
                let rows = |keyed: &Keyed| -> BTreeSet<(usize, u32)> {
                    keyed.keys().zip(keyed.alignment.rows.clone()).collect()
                };
                assert_eq!(rows(found), rows(whole));
                assert_eq!(found.alignment.fingerprint, out[0].alignment.fingerprint);
                assert_eq!(found.alignment.peer_batches, whole.alignment.peer_batches);
            }
            // nothing of a finished key is sent again, nor any value twice
            let steps = ["align/hello", "align/size", "align/key-1/", "align/key-2/"];
            let again = |step: &str| on.log().iter().any(|(_, _, tag, _)| tag.starts_with(step));
            assert_eq!(
                again(steps[0]) || again(steps[1]),
                done == 0,
                "{method} {done}"
            );
            assert_eq!(again(steps[2]), done <= 1, "{method} {done}");
            assert_eq!(again(steps[3]), done <= 2, "{method} {done}");
            assert!(values(&broken).is_disjoint(&values(&on)));
            // what was taken over is kept for the next
            assert!(second.iter().all(|store| store.kept(3).is_some()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_table_is_refused_and_what_not_all_hold_is_matched_anew() {
    let rows = table(&[["1", "a"], ["2", "b"], ["3", "c"]]);
    let other = table(&[["1", "z"], ["8", "b"], ["9", "c"]]);
    let tables = [rows.clone(), other];
    for method in Method::ALL {
        let first = [stores(Some(1), 1).remove(0), stores(None, 1).remove(0)];
        job(&World::new(2), 1, method, &tables, &first, None).await;
        let mut changed = tables.clone();
        changed[0].keys[0].swap(0, 1);
        let on = World::new(2);
        let out = job(&on, 2, method, &changed, &stores(None, 2), Some(&first)).await;
        let said = out[0].as_ref().unwrap_err().to_string();
        assert!(said.contains("align.resume"), "{said}");
        // the key that was not finished may be another
        let mut later = tables.clone();
        later[0].keys[1][0] = "z".into();
        let on = World::new(2);
        let out = job(&on, 3, method, &later, &stores(None, 2), Some(&first)).await;
        assert_eq!(out[1].as_ref().unwrap().by_key, [1, 2]);
        assert!(
            on.log()
                .iter()
                .all(|(_, _, tag, _)| tag.contains("key-1") || tag == "align/held")
        );
        // one that holds nothing, or what another match found
        let strange = stores(None, 2);
        job(&World::new(2), 4, method, &tables, &strange, None).await;
        for one in [stores(None, 1).remove(0), strange[0].clone()] {
            let before = [one, first[1].clone()];
            let out = job(
                &World::new(2),
                5,
                method,
                &tables,
                &stores(None, 2),
                Some(&before),
            )
            .await;
            for found in out {
                assert_eq!(found.unwrap().by_key, [1, 2]);
            }
        }
    }
}
