//! What a sandbox leaves of a job of matching alone: each party's list, checked against the plain sets.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use paripassu_job::spec::{Overlap, OverlapOf};
use serde::{Deserialize, Serialize};

use super::{layout::Layout, linked, results, setup::Setup};
use crate::{
    command::write_whole,
    failure::Failure,
    outcome::Outcome,
    screen::{Screen, count, seconds},
};

/// Everything that is known about the job afterwards: `overlap.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Matched {
    name: String,
    job: String,
    /// `all`, `any` or `size`.
    of: String,
    /// How customers were matched.
    method: String,
    /// Each party's customers, and how many of them are common.
    customers: BTreeMap<String, u64>,
    matched: BTreeMap<String, u64>,
    /// Where nobody learns who is common: what each party learns of how many they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    size: BTreeMap<String, Size>,
    /// Whether every party's list is exactly that of the plain sets, which only a sandbox can see.
    exact: bool,
    /// From the first process to the release, in seconds.
    wall_s: f64,
    out_dir: PathBuf,
    /// Each party's folder.
    parties: BTreeMap<String, PathBuf>,
    /// Each node's bundle: the job's transcript, to be verified by anybody.
    bundles: BTreeMap<String, PathBuf>,
}

/// Moves each party's results to their place and compares them with the plain sets.
pub(super) async fn collect(
    setup: &Setup,
    overlap: &Overlap,
    layout: &Layout,
    job: &str,
    wall_s: f64,
) -> Result<Matched, Failure> {
    let folders = results::place(setup, layout, job)?;
    let mut tables: Vec<linked::Keyed> = Vec::new();
    let mut sets: Vec<(String, BTreeSet<String>)> = Vec::new();
    for source in &setup.parties {
        let keys = source.keys(&setup.spec)?;
        let ids = keys.first().into_iter().flatten().cloned().collect();
        sets.push((source.party.id.to_string(), ids));
        tables.push(keys);
    }
    let expected = expected(&tables, overlap.of);
    let keys = setup.spec.keys();
    let names: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
    let (mut matched, mut size, mut exact) = (BTreeMap::new(), BTreeMap::new(), true);
    for (at, (party, own)) in sets.iter().enumerate() {
        if setup.spec.sizes_only() {
            let found = bucket(&layout.party(party).join("overlap.json"))?;
            let is_common = |id: &&String| sets.iter().all(|(_, set)| set.contains(*id));
            exact &= found.holds(own.iter().filter(is_common).count() as u64);
            size.insert(party.clone(), found);
            continue;
        }
        let found = read(&layout.party(party).join("members.csv"), &names)?;
        matched.insert(party.clone(), found.len() as u64);
        let want = expected.get(at).cloned().unwrap_or_default();
        exact &= found.len() == want.len() && found.into_iter().collect::<BTreeSet<_>>() == want;
    }
    let result = Matched {
        name: setup.spec.name.clone(),
        job: job.to_owned(),
        of: match size.is_empty() {
            true => overlap.of.to_string(),
            false => "size".to_owned(),
        },
        size,
        method: setup.spec.align.method.to_string(),
        customers: sets
            .iter()
            .map(|(id, set)| (id.clone(), set.len() as u64))
            .collect(),
        matched,
        exact,
        wall_s,
        out_dir: layout.root().to_owned(),
        parties: folders,
        bundles: results::bundles(setup, layout, job).await?,
    };
    let text = serde_json::to_string_pretty(&result).map_err(Failure::ours)?;
    write_whole(&layout.root().join("overlap.json"), text.as_bytes())?;
    Ok(result)
}

/// What each party's list must say: a line as [`read`] gives it.
fn expected(tables: &[linked::Keyed], of: OverlapOf) -> Vec<BTreeSet<Vec<String>>> {
    let mut lists = vec![BTreeSet::new(); tables.len()];
    let Some((first, others)) = tables.split_first() else {
        return lists;
    };
    let ids = |party: usize, row: usize| -> String {
        let table = tables.get(party).and_then(|keys| keys.first());
        table
            .and_then(|ids| ids.get(row))
            .cloned()
            .unwrap_or_default()
    };
    let several = first.len() > 1;
    let mut add = |party: usize, row: usize, beside: Vec<String>| {
        if let Some(list) = lists.get_mut(party) {
            let mut line = vec![ids(party, row)];
            line.extend(beside);
            list.insert(line);
        }
    };
    // keys by their place: names are the job's, and the same at all parties
    let by = |key: usize| {
        if several {
            vec![key.to_string()]
        } else {
            Vec::new()
        }
    };
    match of {
        OverlapOf::All => {
            let all: Vec<&linked::Keyed> = tables.iter().collect();
            for (key, rows) in linked::common(&all) {
                let each = rows.into_iter().enumerate();
                each.for_each(|(party, row)| add(party, row, by(key)));
            }
        }
        OverlapOf::Any => {
            let mut with: BTreeMap<usize, Vec<String>> = BTreeMap::new();
            let nobody = if several { "" } else { "0" };
            for (place, other) in others.iter().enumerate() {
                for (key, rows) in linked::common(&[first, other]) {
                    let [own, theirs] = rows[..] else { continue };
                    add(place + 1, theirs, by(key));
                    let all = with.entry(own);
                    let all = all.or_insert_with(|| vec![nobody.to_owned(); others.len()]);
                    if let Some(cell) = all.get_mut(place) {
                        *cell = if several {
                            key.to_string()
                        } else {
                            "1".to_owned()
                        };
                    }
                }
            }
            with.into_iter().for_each(|(row, cells)| add(0, row, cells));
        }
    }
    lists
}

/// A bucket of how many customers are common.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Size {
    from: u64,
    below: Option<u64>,
}

impl Size {
    fn holds(&self, matched: u64) -> bool {
        self.from <= matched && self.below.is_none_or(|below| matched < below)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.below) {
            (0, Some(below)) => write!(f, "fewer than {}", count(below)),
            (from, Some(below)) => write!(f, "{} to {}", count(from), count(below - 1)),
            (from, None) => write!(f, "{} or more", count(from)),
        }
    }
}

/// What a party learns of how many are common.
fn bucket(path: &Path) -> Result<Size, Failure> {
    #[derive(Deserialize)]
    struct Told {
        size: Size,
    }
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|e| Failure::ours(format!("{}: {e}", path.display())))?;
    let told: Told = serde_json::from_str(&text).map_err(Failure::ours)?;
    Ok(told.size)
}

/// The lines of a list: id, and by which key or with whom a customer is common; keys by their place.
fn read(path: &Path, keys: &[&str]) -> Result<Vec<Vec<String>>, Failure> {
    let failed = |e: csv::Error| Failure::ours(format!("{}: {e}", path.display()));
    let mut reader = csv::Reader::from_path(path).map_err(failed)?;
    let place = |name: &str| keys.iter().position(|key| *key == name);
    let line = |row: Result<csv::StringRecord, csv::Error>| {
        let row = row?;
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let key = place(cell).filter(|_| at > 0 && keys.len() > 1);
            key.map_or_else(|| cell.to_owned(), |key| key.to_string())
        });
        Ok(cells.collect())
    };
    reader
        .records()
        .map(line)
        .collect::<Result<_, _>>()
        .map_err(failed)
}

impl Matched {
    /// Printed.
    pub(crate) fn outcome(&self, screen: &Screen) -> Result<Outcome, Failure> {
        let paint = screen.out();
        let mut table = screen.table(&["party", "customers", "common", "list"]);
        for (party, customers) in &self.customers {
            let folder = self.parties.get(party).cloned().unwrap_or_default();
            let (found, file) = match self.size.get(party) {
                Some(size) => (size.to_string(), "overlap.json"),
                None => {
                    let found = self.matched.get(party).copied().unwrap_or_default();
                    (count(found), "members.csv")
                }
            };
            let file = folder.join(file).display().to_string();
            table.row([party.clone(), count(*customers), found, file]);
        }
        let verdict = match self.exact {
            true if !self.size.is_empty() => paint
                .good("✓ the plain sets' number is in the bucket, which only a sandbox can see"),
            true => paint.good("✓ exactly the plain sets' lists, which only a sandbox can see"),
            false => paint.bad("✗ not what the plain sets say: please report it"),
        };
        let text = format!(
            "\n{}: matched by {} in {}\n{table}\n{verdict}",
            paint.strong(&self.name),
            self.method,
            seconds(self.wall_s)
        );
        if !self.exact {
            return Err(Failure::ours(
                "a party's result is not that of the plain sets",
            ));
        }
        Outcome::new(self, text)
    }
}
