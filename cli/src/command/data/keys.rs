//! Keys by which customers may be matched: ids of several columns, and further ones.

use std::{collections::HashMap, path::Path};

use paripassu_model::schema::{DatasetSpec, IdPart, IdRule};
use paripassu_party::{config::FallbackKey, dataset::FileIds};
use paripassu_protocol::align::{IdBatch, Ids};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{ColumnFacts, Kind};
use crate::{
    failure::Failure,
    screen::{Paint, count},
};

/// Reads `key=column,column`.
pub(crate) fn parse(text: &str) -> Result<FallbackKey, String> {
    let (key, columns) = text.split_once('=').unwrap_or_default();
    let columns: Vec<String> = columns.split(',').map(|c| c.trim().to_owned()).collect();
    match key.is_empty() || columns.iter().any(String::is_empty) {
        true => Err(format!("`{text}` is not of the form key=column,column")),
        false => Ok(FallbackKey {
            key: key.to_owned(),
            columns,
        }),
    }
}

/// Further columns of an id, without rules: those are the job's.
pub(crate) fn parts(columns: &[String]) -> Vec<IdPart> {
    let part = |column: &String| IdPart {
        column: column.clone(),
        rules: Vec::new(),
    };
    columns.iter().map(part).collect()
}

/// Takes columns of the id and of further keys for what they are, so that none is a feature.
pub(crate) fn mark(
    file: &Path,
    columns: &mut [ColumnFacts],
    id_more: &[String],
    fallback: &[FallbackKey],
) -> Result<(), Failure> {
    let further = fallback.iter().flat_map(|key| &key.columns);
    let all = id_more.iter().map(|name| (name, Kind::Id));
    for (name, kind) in all.chain(further.map(|name| (name, Kind::Key))) {
        let found = columns.iter_mut().find(|column| column.name == *name);
        let column = found
            .ok_or_else(|| Failure::user(format!("{} has no column `{name}`", file.display())))?;
        if column.kind == Kind::Label {
            return Err(Failure::user(format!(
                "column `{name}` is the label, which no other party may know: it cannot be part of a key"
            )));
        }
        if column.kind != Kind::Id {
            column.kind = kind;
            (column.least, column.largest) = (None, None);
        }
    }
    Ok(())
}

/// What matching by a key would find in a file.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct KeyFacts {
    /// Its name; `id` for the id.
    pub(crate) key: String,
    pub(crate) columns: Vec<String>,
    /// Rows that lack it, or a part of it.
    pub(crate) without: u64,
    /// Rows with one that another row has, too.
    pub(crate) shared: u64,
    /// Rows that can match by it.
    pub(crate) usable: u64,
}

impl KeyFacts {
    /// As a line.
    pub(crate) fn line(&self, paint: Paint) -> String {
        let mark = match (self.without, self.shared) {
            (0, 0) => paint.good("✓"),
            _ => paint.warn("!"),
        };
        format!(
            "{mark} key `{}` ({}): {} rows can match by it, {} lack it, {} share it with another row\n",
            self.key,
            self.columns.join(", "),
            count(self.usable),
            count(self.without),
            count(self.shared)
        )
    }
}

/// Reads each key of a file, of the id first; trimmed, for other rules are the job's.
pub(crate) fn facts(
    file: &Path,
    dataset: &DatasetSpec,
    fallback: &[FallbackKey],
) -> Result<Vec<KeyFacts>, Failure> {
    let more = dataset.id_more.iter().map(|part| part.column.clone());
    let id = FallbackKey {
        key: "id".to_owned(),
        columns: std::iter::once(dataset.id.clone()).chain(more).collect(),
    };
    std::iter::once(&id)
        .chain(fallback)
        .map(|key| {
            let trim = key.columns.iter().map(|_| &[IdRule::Trim][..]);
            let (mut times, mut rows, mut without) = (HashMap::new(), 0, 0);
            each(file, &key.as_id(dataset, trim), |text| {
                rows += 1;
                match text.is_empty() {
                    true => without += 1,
                    false => {
                        let print: [u8; 32] = Sha256::digest(text).into();
                        *times.entry(print).or_insert(0_u64) += 1;
                    }
                }
            })?;
            let shared = times.values().filter(|times| **times > 1).sum();
            Ok(KeyFacts {
                key: key.key.clone(),
                columns: key.columns.clone(),
                without,
                shared,
                usable: rows - without - shared,
            })
        })
        .collect()
}

/// The texts of a file's ids, or of a key read as one; empty where a row has none.
pub(crate) fn texts(file: &Path, columns: &DatasetSpec) -> Result<Vec<String>, Failure> {
    let mut texts = Vec::new();
    each(file, columns, |text| {
        texts.push(String::from_utf8_lossy(text).into_owned());
    })?;
    Ok(texts)
}

fn each(file: &Path, columns: &DatasetSpec, mut take: impl FnMut(&[u8])) -> Result<(), Failure> {
    let mut ids = FileIds::open_key(file, columns)?;
    loop {
        let mut batch = IdBatch::default();
        let read = ids.read(1 << 14, &mut batch);
        read.map_err(|e| Failure::user(e.to_string()))?;
        if batch.is_empty() {
            return Ok(());
        }
        batch.iter().for_each(&mut take);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_key_or_with_a_shared_one_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.csv");
        let rows = "born,name,phone\n1970,moss, 1\n1970,moss,1\n1971,moss,NA\n,ash,2\n1972,ash,\n";
        std::fs::write(&file, rows).unwrap();
        let dataset = DatasetSpec {
            id: "name".into(),
            id_more: parts(&["born".into()]),
            label: None,
            numeric: Vec::new(),
            categorical: Vec::new(),
            missing: vec!["NA".into()],
            id_rules: Vec::new(),
        };
        let phone = parse("phone=phone").unwrap();
        let found = facts(&file, &dataset, &[phone]).unwrap();
        let counts: Vec<_> = found
            .iter()
            .map(|k| (k.without, k.shared, k.usable))
            .collect();
        assert_eq!(counts, [(1, 2, 2), (2, 2, 1)]);
        assert_eq!(found[0].columns, ["name", "born"]);
        for bad in ["phone", "=a", "a=", "a=b,,c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
