//! Matches by several keys, against plain sets.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use super::*;
use crate::{
    align::{IterIds, run_any},
    channel::Tag,
    ctx::Cost,
    testing::{Intercept, World},
};

mod resumed;

/// Numbers of a fixed order.
pub(in crate::align) struct Drawing(pub(in crate::align) u64);

impl Drawing {
    pub(in crate::align) fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 33) as u32 % n
    }
}

/// A table in memory: a list for each key.
#[derive(Clone, Debug)]
pub(in crate::align) struct Table {
    keys: Vec<Vec<String>>,
    /// Most rows in common with which this party goes on.
    most: u64,
}

impl Table {
    pub(in crate::align) fn of(keys: Vec<Vec<String>>) -> Self {
        Self {
            keys,
            most: u64::MAX,
        }
    }

    fn rows(&self) -> usize {
        self.keys[0].len()
    }

    /// Rows that may match by a key, by their value.
    fn usable(&self, key: usize, open: &[bool]) -> HashMap<&str, usize> {
        let ids = &self.keys[key];
        let mut times: HashMap<&str, u32> = HashMap::new();
        ids.iter().for_each(|id| *times.entry(id).or_default() += 1);
        let rows = ids.iter().enumerate();
        let usable =
            rows.filter(|(row, id)| open[*row] && !id.is_empty() && times[id.as_str()] == 1);
        usable.map(|(row, id)| (id.as_str(), row)).collect()
    }

    fn left_out(&self, key: usize) -> LeftOut {
        let ids = &self.keys[key];
        let all: Vec<bool> = vec![true; ids.len()];
        let empty = ids.iter().filter(|id| id.is_empty()).count() as u64;
        LeftOut {
            empty,
            repeated: ids.len() as u64 - empty - self.usable(key, &all).len() as u64,
        }
    }
}

impl Keys for Table {
    type Ids = IterIds<std::vec::IntoIter<String>>;

    fn count(&self) -> usize {
        self.keys.len()
    }

    fn open(&mut self, key: usize) -> Result<Self::Ids, Abort> {
        Ok(IterIds(self.keys[key].clone().into_iter()))
    }

    fn found(&self, _: usize, so_far: u64) -> Result<(), Abort> {
        match so_far > self.most {
            true => Err(Abort::Input("more than this party allows".into())),
            false => Ok(()),
        }
    }
}

/// The rows of each party that all of them have in common, by key.
fn plain(tables: &[Table]) -> Vec<Vec<BTreeSet<Vec<usize>>>> {
    let mut open: Vec<Vec<bool>> = tables.iter().map(|t| vec![true; t.rows()]).collect();
    let mut found = Vec::new();
    for key in 0..tables[0].keys.len() {
        let maps: Vec<HashMap<&str, usize>> = tables
            .iter()
            .zip(&open)
            .map(|(table, open)| table.usable(key, open))
            .collect();
        let common = maps[0]
            .keys()
            .filter(|id| maps.iter().all(|m| m.contains_key(*id)));
        let common: BTreeSet<Vec<usize>> = common
            .map(|id| maps.iter().map(|map| map[id]).collect())
            .collect();
        for rows in &common {
            rows.iter()
                .zip(&mut open)
                .for_each(|(row, open)| open[*row] = false);
        }
        found.push(vec![common]);
    }
    found
}

fn params() -> Params {
    Params {
        batch: 128,
        min_matched: 0,
        ..Params::new([9; 32])
    }
}

async fn run_in(
    world: &World,
    method: Method,
    tables: &[Table],
    params: &Params,
) -> Vec<Result<(Keyed, Cost), Abort>> {
    world
        .run(
            |i, ctx| {
                let (mut table, params) = (tables[i].clone(), params.clone());
                async move {
                    let keyed = run_keys(
                        &ctx,
                        method,
                        &params,
                        &mut table,
                        &Course::default(),
                        |_, _| {},
                    )
                    .await?;
                    Ok((keyed, ctx.meter().total()))
                }
            },
            |_| async { Ok(()) },
        )
        .await
}

/// Checks each party's rows, keys, counts and order against plain sets; how many match by each key.
async fn check(method: Method, tables: &[Table], params: &Params) -> Vec<u64> {
    let out = run_in(&World::new(tables.len() as u8), method, tables, params).await;
    let out: Vec<Keyed> = out.into_iter().map(|o| o.unwrap().0).collect();
    let (want, first) = (plain(tables), &out[0]);
    let sizes: Vec<u64> = want.iter().map(|of_key| of_key[0].len() as u64).collect();
    for (keyed, table) in out.iter().zip(tables) {
        assert_eq!(keyed.by_key, sizes);
        assert_eq!(keyed.alignment.fingerprint, first.alignment.fingerprint);
        let left_out: Vec<LeftOut> = (1..table.keys.len()).map(|k| table.left_out(k)).collect();
        assert_eq!(keyed.left_out, left_out);
        let once: HashSet<u32> = keyed.alignment.rows.iter().copied().collect();
        assert_eq!(
            once.len(),
            keyed.alignment.rows.len(),
            "a row matched twice"
        );
        assert_eq!(keyed.keys().count(), once.len());
    }
    let mut by_key: BTreeMap<usize, BTreeSet<Vec<usize>>> = BTreeMap::new();
    for (place, key) in first.keys().enumerate() {
        let rows = out.iter().map(|keyed| keyed.alignment.rows[place] as usize);
        by_key.entry(key).or_default().insert(rows.collect());
    }
    for (key, want) in want.iter().enumerate() {
        assert_eq!(
            by_key.get(&key).cloned().unwrap_or_default(),
            want[0],
            "key {key}"
        );
    }
    sizes
}

/// A table of customers drawn from a common population: some without a phone, some that share one with another, some
/// whose national id is another at this party.
fn drawn(rng: &mut Drawing, party: usize, people: u32, rows: u32, shared: u32) -> Table {
    let mut who: Vec<u32> = (0..people).collect();
    for at in (1..who.len()).rev() {
        who.swap(at, rng.below(at as u32 + 1) as usize);
    }
    who.truncate(rows as usize);
    let mut keys = vec![Vec::new(), Vec::new(), Vec::new()];
    for person in who {
        keys[0].push(match rng.below(3) {
            0 => format!("own-{party}-{person}"),
            _ => person.to_string(),
        });
        keys[1].push(match rng.below(4) {
            0 => String::new(),
            1 => format!("household-{}", person % shared.max(1)),
            _ => person.to_string(),
        });
        keys[2].push(match rng.below(3) {
            0 => String::new(),
            _ => format!("name-{}|{}", person / 2, rng.below(2)),
        });
    }
    Table::of(keys)
}

fn ways() -> [(Method, usize); 5] {
    let vole = |parties| (Method::Vole, parties);
    [(Method::Curve, 2), vole(2), vole(3), vole(4), vole(5)]
}

#[tokio::test]
async fn each_key_adds_exactly_what_the_plain_sets_do() {
    let mut rng = Drawing(5);
    let mut seen = [0; 3];
    for (method, parties) in ways() {
        // random; skewed; many that share a key; hardly any people; as many as there are
        for (people, rows, shared) in [
            (200, &[120, 150, 100, 140, 130][..], 300),
            (300, &[290, 12, 280, 40, 290][..], 300),
            (150, &[140, 130, 120, 140, 150][..], 4),
            (9, &[8, 6, 9, 7, 8][..], 3),
            (60, &[60; 5][..], 60),
        ] {
            let tables: Vec<Table> = rows[..parties]
                .iter()
                .zip(0..)
                .map(|(rows, party)| drawn(&mut rng, party, people, *rows, shared))
                .collect();
            let sizes = check(method, &tables, &params()).await;
            seen.iter_mut()
                .zip(sizes)
                .for_each(|(seen, size)| *seen += size);
        }
    }
    assert!(seen.iter().all(|seen| *seen > 50), "{seen:?}");
}

fn table(rows: &[[&str; 2]]) -> Table {
    let of = |key: usize| rows.iter().map(|row| row[key].to_owned()).collect();
    Table::of(vec![of(0), of(1)])
}

#[tokio::test]
async fn empty_disjoint_identical_and_odd_tables_match_as_plain_sets_do() {
    for (method, parties) in ways() {
        let nobody = table(&[]);
        let some = table(&[["1", "p"], ["2", "q"], ["3", ""]]);
        let others = table(&[["4", "r"], ["5", ""], ["6", "s"]]);
        let no_key = table(&[["1", ""], ["9", ""], ["8", ""]]);
        // 1 by the id; the phone of 2 belongs to 7 there
        let moved = table(&[["7", "q"], ["1", "x"], ["3", "p"]]);
        // a phone that one of those matched by id has, too, names nobody
        let spouse = table(&[["1", "q"], ["77", "q"], ["78", "p"]]);
        // the id of one is the phone of another: different keys, so different values
        let crossed = table(&[["p", "1"], ["q", "2"], ["r", "3"]]);
        for (odd, want) in [
            (&nobody, [0, 0]),
            (&some, [3, 0]),
            (&others, [0, 0]),
            (&no_key, [1, 0]),
            (&moved, [2, 1]),
            (&spouse, [1, 0]),
            (&crossed, [0, 0]),
        ] {
            let mut tables = vec![some.clone(); parties];
            tables[parties - 1] = odd.clone();
            assert_eq!(check(method, &tables, &params()).await, want, "{odd:?}");
        }
        check(method, &vec![nobody; parties], &params()).await;
    }
}

#[tokio::test]
async fn a_budget_of_almost_nothing_gives_the_same() {
    let mut rng = Drawing(8);
    let tables = [0, 1].map(|party| drawn(&mut rng, party, 3_000, 2_000, 100));
    for method in Method::ALL {
        let small = Params {
            memory_bytes: 2_000,
            ..params()
        };
        let sizes = check(method, &tables, &small).await;
        assert_eq!(sizes, check(method, &tables, &params()).await);
        assert!(sizes.iter().all(|size| *size > 10), "{sizes:?}");
    }
}

#[tokio::test]
async fn each_pair_matches_by_several_keys_and_the_least_number_counts_all_of_them() {
    let first = table(&[["1", "a"], ["2", "b"], ["3", "c"]]);
    let tables = [
        first.clone(),
        table(&[["1", "z"], ["8", "b"]]),
        table(&[["7", "c"], ["6", "b"]]),
    ];
    for (method, min) in [(Method::Curve, 3), (Method::Vole, 3), (Method::Curve, 4)] {
        let out = World::new(3)
            .run(
                |i, ctx| {
                    let (mut own, params) = (tables[i].clone(), params());
                    async move {
                        let params = Params {
                            min_matched: min,
                            ..params
                        };
                        run_any(&ctx, method, &params, &mut own, |_, _| {}).await
                    }
                },
                |_| async { Ok(()) },
            )
            .await;
        for (party, found) in out.into_iter().enumerate() {
            if min == 4 {
                assert_eq!(found.unwrap_err().code(), "too_few_matched");
                continue;
            }
            let found = found.unwrap();
            let by_key: Vec<&[u64]> = found.iter().map(|pair| &pair.by_key[..]).collect();
            match party {
                0 => {
                    assert_eq!(by_key, [[1, 1], [0, 2]]);
                    assert_eq!(found[0].alignment.rows, [0, 1]);
                    let both: BTreeSet<u32> = found[1].alignment.rows.iter().copied().collect();
                    assert_eq!(both, BTreeSet::from([1, 2]));
                }
                1 => assert_eq!(by_key, [[1, 1]]),
                _ => assert_eq!(by_key, [[0, 2]]),
            }
        }
    }
}

#[tokio::test]
async fn the_least_and_the_most_are_of_all_keys_together() {
    let tables = [
        table(&[["1", "a"], ["2", "b"], ["3", "c"]]),
        table(&[["1", "z"], ["8", "b"], ["9", "c"]]),
    ];
    for (method, min) in [(Method::Curve, 3), (Method::Vole, 3), (Method::Vole, 4)] {
        let least = Params {
            min_matched: min,
            ..params()
        };
        for out in run_in(&World::new(2), method, &tables, &least).await {
            match (min, out) {
                (3, out) => assert_eq!(out.unwrap().0.by_key, [1, 2]),
                (_, out) => {
                    let Err(Abort::TooFewMatched { matched, min, .. }) = out else {
                        panic!("{out:?}")
                    };
                    assert_eq!((matched, min), (3, 4));
                }
            }
        }
    }
    // who has enough after the first key sends nothing for the next
    let mut few = tables.clone();
    few[0].most = 0;
    let world = World::new(2);
    let out = run_in(&world, Method::Curve, &few, &params()).await;
    assert_eq!(out[0].as_ref().unwrap_err().code(), "input");
    assert!(out[1].is_err());
}

/// What relays see follows from the first announcement: the same for tables whose keys differ in every way, and
/// exactly so many runs of the method.
#[tokio::test]
async fn sizes_of_further_keys_say_nothing_of_what_is_left() {
    for (method, parties) in ways() {
        let customers = |party: usize, same: u32| -> Vec<[String; 3]> {
            let id = move |i: u32| {
                if i < same {
                    i.to_string()
                } else {
                    format!("{party}-{i}")
                }
            };
            (0..200).map(|i| [id(i), i.to_string(), id(i)]).collect()
        };
        let of = |rows: Vec<[String; 3]>| {
            let of = |key: usize| rows.iter().map(|row| row[key].clone()).collect();
            Table::of(vec![of(0), of(1), of(2)])
        };
        let mut costs = BTreeSet::new();
        for (common, empty) in [(0, false), (190, false), (0, true), (200, false)] {
            let tables: Vec<Table> = (0..parties)
                .map(|party| {
                    let mut table = of(customers(party, common));
                    if empty {
                        table.keys[1].fill(String::new());
                        table.keys[2].fill("shared".into());
                    }
                    table
                })
                .collect();
            let out = run_in(&World::new(parties as u8), method, &tables, &params()).await;
            for (party, out) in out.into_iter().enumerate() {
                let (keyed, mut cost) = out.unwrap();
                if parties > 2 {
                    // tags of common rows, of 16 bytes, from the centre to each other party
                    let tags = 16 * keyed.alignment.rows.len() as u64;
                    match party {
                        0 => cost.bytes_sent -= tags * (parties as u64 - 1),
                        _ => cost.bytes_received -= tags,
                    }
                }
                costs.insert((party, format!("{cost:?}")));
                let once = match parties {
                    2 => crate::align::declared_cost(method, &params(), party as u8, 200, 200),
                    _ => vole::star::declared_cost(&params(), party as u8, &vec![200; parties], 0),
                };
                assert_eq!(cost.bytes_sent, 3 * once.bytes_sent);
                assert_eq!(cost.bytes_received, 3 * once.bytes_received);
                assert_eq!(
                    (cost.rounds, cost.messages),
                    (3 * once.rounds, 3 * once.messages)
                );
            }
        }
        assert_eq!(costs.len(), parties);
    }
}

/// One party's messages of this step are altered; the error of each party.
async fn attacked(
    method: Method,
    parties: u8,
    step: &'static str,
    alter: impl Fn(&mut Vec<u8>) + Send + Sync + 'static,
) -> Vec<Abort> {
    let attack = move |from: Role, _: Role, tag: &Tag, body: &Bytes| {
        if from != Role::Party(1) || tag.as_str() != format!("align/{step}") {
            return Intercept::Pass;
        }
        let mut body = body.to_vec();
        alter(&mut body);
        Intercept::Replace(body.into())
    };
    let world = World::new(parties).with_attack(attack);
    let rows = table(&[["1", "a"], ["2", "b"], ["3", "c"]]);
    let tables: Vec<Table> = (0..parties).map(|_| rows.clone()).collect();
    let out = run_in(&world, method, &tables, &params()).await;
    out.into_iter().filter_map(Result::err).collect()
}

#[tokio::test(start_paused = true)]
async fn who_announces_or_alters_something_at_a_further_key_is_named() {
    for (method, parties, announced) in [
        (Method::Curve, 2, "key-1/hello"),
        (Method::Vole, 2, "key-1/size"),
        (Method::Vole, 4, "key-1/size"),
    ] {
        // one frame more than at the first key: the last four bytes, or those of the greeting
        let more = |bytes: &mut Vec<u8>| {
            let at = bytes.len() - 4;
            bytes[at] = bytes[at].wrapping_add(1);
        };
        let errors = attacked(method, parties, announced, more).await;
        let named = errors
            .iter()
            .filter(|e| e.culprit() == Some(Role::Party(1)));
        assert!(named.count() >= 1, "{method} {parties}: {errors:?}");
        let said = format!("{errors:?}");
        assert!(said.contains("further key"), "{method} {parties}: {said}");
        let flip = |bytes: &mut Vec<u8>| bytes[0] ^= 1;
        let errors = attacked(method, parties, "key-1/outcome", flip).await;
        let named = errors.iter().find(|e| e.culprit() == Some(Role::Party(1)));
        assert!(named.is_some(), "{method} {parties}: {errors:?}");
    }
}

/// A party that sends the first key's messages again at the second is found out: no value of one run is one of another.
#[tokio::test]
async fn runs_of_one_job_share_no_value() {
    let same = ["1", "2", "3"].map(|id| [id, id]);
    let tables = [table(&same), table(&[["7", "1"], ["8", "2"], ["9", "3"]])];
    let world = World::new(2);
    let out = run_in(&world, Method::Curve, &tables, &params()).await;
    assert_eq!(out[0].as_ref().unwrap().0.by_key, [0, 3]);
    let (mut first, mut second) = (HashSet::new(), HashSet::new());
    for (_, _, tag, body) in world.log() {
        let items = body.chunks(16).map(<[u8]>::to_vec);
        match (tag.contains("masked"), tag.contains("key-1")) {
            (false, _) => {}
            (true, false) => first.extend(items),
            (true, true) => second.extend(items),
        }
    }
    assert!(first.len() >= 256 && second.len() >= 256);
    assert!(first.is_disjoint(&second));
}

#[test]
fn rows_are_counted_from_a_set() {
    let mut rng = Drawing(3);
    for len in [0_u32, 1, 63, 64, 65, 511, 512, 513, 5_000] {
        for share in [0, 1, 3, 10] {
            let mut bits = Bits::none(len.into());
            let rows: Vec<u32> = (0..len).filter(|_| rng.below(10) < share).collect();
            rows.iter().for_each(|row| bits.set(*row, true));
            bits.count();
            let found: Vec<u32> = (0..).map_while(|n| bits.nth(n)).collect();
            assert_eq!(found, rows);
            let has: Vec<u32> = (0..len).filter(|row| bits.has((*row).into())).collect();
            assert_eq!(has, rows);
        }
    }
}

#[tokio::test]
async fn a_table_that_changes_on_the_way_ends_the_match() {
    let whole = table(&[["1", "a"], ["2", "b"], ["3", "c"]]);
    let mut torn = whole.clone();
    torn.keys[1].pop();
    let out = run_in(&World::new(2), Method::Curve, &[torn, whole], &params()).await;
    let said = out[0].as_ref().unwrap_err();
    assert!(
        said.code() == "input" && said.to_string().contains("has changed"),
        "{said}"
    );
}
