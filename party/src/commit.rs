//! Commitments to this party's aligned rows: a salted Merkle root in the transcript, the salt in this
//! node's state folder.
//!
//! Row k is the leaf SHA-256(SHA-256(salt ‖ k) ‖ id, label and cells): whoever is given a row and its own
//! salt can check that one row and learns nothing of the others.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use paripassu_audit::{
    canonical,
    event::{bodies::DataCommitted, hex},
    merkle::{Tree, leaf_hash},
};
use paripassu_model::table::{ColumnData, Table};
use rand::{TryRng, rngs::SysRng};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Commits to `rows` of a table, in their order, and keeps the salt as `commitments/JOB.json`.
///
/// # Errors
/// When there is no randomness or the salt cannot be kept.
pub(crate) fn commit(
    state: &Path,
    job: &str,
    dataset: &str,
    table: &Table,
    rows: &[usize],
) -> std::io::Result<DataCommitted> {
    let mut salt = [0u8; 32];
    SysRng
        .try_fill_bytes(&mut salt)
        .map_err(|_| std::io::Error::other("the operating system gave no randomness"))?;
    let root = hex(&root(&salt, table, rows));
    let kind = |data: &ColumnData| match data {
        ColumnData::Numeric(_) => "numeric",
        ColumnData::Categorical { .. } => "categorical",
        _ => "other",
    };
    let columns: Vec<_> = table.columns().iter().collect();
    let schema: Vec<_> = columns
        .iter()
        .map(|c| json!([c.name(), kind(c.data())]))
        .collect();
    let schema = json!({ "columns": schema, "label": table.label().is_some() });
    let schema = canonical::to_string(&schema).map_err(std::io::Error::other)?;
    let folder = state.join("commitments");
    fs::create_dir_all(&folder)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(folder.join(format!("{job}.json")))?;
    let kept = json!({ "job": job, "dataset": dataset, "root": root, "salt": hex(&salt) });
    file.write_all(format!("{kept}\n").as_bytes())?;
    file.sync_all()?;
    Ok(DataCommitted {
        dataset: dataset.to_owned(),
        schema: hex(&Sha256::digest(schema)),
        columns: columns.len() as u64,
        rows: rows.len() as u64,
        root,
        grade: None,
    })
}

/// Whether a data set is still what was committed to in a job; none where nothing is kept of that.
///
/// # Errors
/// When what is kept cannot be read.
pub(crate) fn is_as_committed(
    state: &Path,
    job: &str,
    dataset: &str,
    table: &Table,
) -> std::io::Result<Option<bool>> {
    let kept = match fs::read(state.join("commitments").join(format!("{job}.json"))) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let kept: serde_json::Value = serde_json::from_slice(&kept)?;
    let text = |key: &str| kept.get(key).and_then(serde_json::Value::as_str);
    let salt = text("salt").and_then(paripassu_audit::event::unhex::<32>);
    let (Some(salt), Some(then)) = (salt, text("root")) else {
        return Err(std::io::Error::other(
            "the commitment to the data is not what it should be",
        ));
    };
    let all: Vec<usize> = (0..table.rows()).collect();
    let same = text("dataset") == Some(dataset) && hex(&root(&salt, table, &all)) == then;
    Ok(Some(same))
}

/// Digest of a job's rows: those of training in their order, those of testing by their ids. Never told, and kept sealed.
pub(crate) fn named(table: &Table, train: &[usize], test: &[usize]) -> [u8; 32] {
    let mut last = test.to_vec();
    last.sort_by_key(|row| table.ids().get(*row));
    root(&[0; 32], table, &[train, &last].concat())
}

fn root(salt: &[u8; 32], table: &Table, rows: &[usize]) -> [u8; 32] {
    let mut tree = Tree::new();
    let mut text = Vec::new();
    for (k, row) in (0u64..).zip(rows) {
        text.clear();
        let own = Sha256::new()
            .chain_update(salt)
            .chain_update(k.to_le_bytes())
            .finalize();
        text.extend_from_slice(&own);
        let mut field = |bytes: &[u8]| {
            text.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            text.extend_from_slice(bytes);
        };
        field(table.ids().get(*row).map_or("", String::as_str).as_bytes());
        field(
            table
                .label()
                .and_then(|y| y.get(*row))
                .map_or(&[][..], std::slice::from_ref),
        );
        for column in table.columns() {
            match column.data() {
                ColumnData::Numeric(values) => {
                    let value = values.get(*row).copied().unwrap_or(f64::NAN);
                    field(&value.to_bits().to_le_bytes());
                }
                ColumnData::Categorical { levels, codes } => {
                    let code = codes.get(*row).and_then(|c| usize::try_from(*c).ok());
                    let level = code.and_then(|c| levels.names().get(c));
                    field(level.map_or("", String::as_str).as_bytes());
                }
                _ => field(&[]),
            }
        }
        tree.append(leaf_hash(&text));
    }
    tree.root()
}

#[cfg(test)]
mod tests {
    use paripassu_model::table::Column;

    use super::*;

    fn table(value: f64) -> Table {
        let columns = vec![
            Column::numeric("income", vec![1.0, value]),
            Column::categorical("channel", [Some("web"), None]),
        ];
        Table::new(vec!["a".into(), "b".into()], Some(vec![0, 1]), columns).unwrap()
    }

    #[test]
    fn a_commitment_hides_behind_its_salt_and_binds_every_cell() {
        let dir = tempfile::tempdir().unwrap();
        let commit = |value| commit(dir.path(), "j", "t", &table(value), &[1, 0]).unwrap();
        let (first, again) = (commit(2.0), commit(2.0));
        assert_eq!((first.rows, first.columns), (2, 2));
        assert_ne!(first.root, again.root, "another salt");
        assert_eq!(first.schema, again.schema);

        let salt = [3; 32];
        let same = root(&salt, &table(2.0), &[1, 0]);
        assert_eq!(same, root(&salt, &table(2.0), &[1, 0]));
        for (table, rows) in [(table(2.5), [1, 0]), (table(2.0), [0, 1])] {
            assert_ne!(same, root(&salt, &table, &rows));
        }
        // without a salt, whatever the order of the test rows
        let named = |value, test: &[usize]| named(&table(value), &[], test);
        assert_eq!(named(2.0, &[1, 0]), named(2.0, &[0, 1]));
        assert_ne!(named(2.0, &[1, 0]), named(2.5, &[1, 0]));
        let trained = super::named(&table(2.0), &[1, 0], &[]);
        assert_ne!(trained, super::named(&table(2.0), &[0, 1], &[]));
        let kept = fs::read_to_string(dir.path().join("commitments/j.json")).unwrap();
        assert!(
            kept.contains(&again.root) && kept.contains("salt"),
            "{kept}"
        );
    }
}
