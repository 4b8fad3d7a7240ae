//! The reference data: sets, splits between banks, results.
//!
//! The data folder is not part of the repository: it is found through `PARIPASSU_DATA` or beside the repository,
//! and tests say so and pass when it is absent.
#![allow(dead_code, reason = "not every test takes all of it")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use paripassu_model::{
    design::{ConstantColumns, DesignOptions},
    schema::DatasetSpec,
    split::{IdSplit, id_word},
    table::{ColumnData, CsvReader, Table},
};
use serde_json::Value;

pub(crate) fn data_folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("PARIPASSU_DATA").map_or(beside, PathBuf::from);
    if folder.join("reference.json").is_file() {
        return Some(folder);
    }
    eprintln!(
        "skipped: no reference data in {} (set PARIPASSU_DATA)",
        folder.display()
    );
    None
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn names(value: &Value) -> Vec<String> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect()
}

/// A set with its columns, levels and training rows.
pub(crate) struct Set {
    pub(crate) table: Table,
    pub(crate) numeric: Vec<String>,
    pub(crate) levels: Vec<(String, Vec<String>)>,
    /// The column that splits it naturally, and its values by bank.
    pub(crate) natural: Option<(String, Vec<Vec<String>>)>,
    pub(crate) reference: Value,
}

pub(crate) fn load(folder: &Path, name: &str) -> Set {
    let about = &json(&folder.join("datasets.json"))[name];
    let (numeric, mut categorical) = (names(&about["numeric"]), names(&about["categorical"]));
    let used = categorical.clone();
    let natural = about["natural_horizontal"]["column"]
        .as_str()
        .map(|column| {
            let banks = about["natural_horizontal"]["banks"].as_object().unwrap();
            (column.to_owned(), banks.values().map(names).collect())
        });
    if let Some((column, _)) = &natural
        && !categorical.contains(column)
        && !numeric.contains(column)
    {
        categorical.push(column.clone());
    }
    let spec = DatasetSpec {
        id_more: Vec::new(),
        id: "id".into(),
        label: Some("y".into()),
        numeric: numeric.clone(),
        categorical,
        missing: Vec::new(),
        id_rules: Vec::new(),
    };
    let file = folder.join(about["file"].as_str().unwrap());
    let gzip = GzDecoder::new(File::open(file).unwrap());
    let table = CsvReader::new(name.to_owned(), gzip, &spec)
        .unwrap()
        .read_all()
        .unwrap();
    let levels = used
        .into_iter()
        .map(|column| {
            let ColumnData::Categorical { levels, .. } = table.column(&column).unwrap().data()
            else {
                panic!("{column} is a category")
            };
            let levels = levels.names().to_vec();
            (column, levels)
        })
        .collect();
    let reference = json(&folder.join("reference.json"))["datasets"][name]["lr_exact"].clone();
    Set {
        table,
        numeric,
        levels,
        natural,
        reference,
    }
}

impl Set {
    /// The bank of each row by one of the reference's rules; none for a row that no bank has.
    pub(crate) fn banks(&self, split: &str) -> Vec<Option<usize>> {
        let ids = self.table.ids();
        match split {
            "iid_thirds" => ids
                .iter()
                .map(|id| Some(id_word(id, 1) as usize % 3))
                .collect(),
            "skew_80_15_5" => {
                let place = |word: u32| match word % 100 {
                    0..80 => 0,
                    80..95 => 1,
                    _ => 2,
                };
                ids.iter().map(|id| Some(place(id_word(id, 2)))).collect()
            }
            _ => {
                let (column, banks) = self.natural.as_ref().unwrap();
                let text: Vec<String> = match self.table.column(column).unwrap().data() {
                    ColumnData::Categorical { levels, codes } => {
                        let of = |c: &u32| levels.names().get(*c as usize).cloned();
                        codes.iter().map(|c| of(c).unwrap_or_default()).collect()
                    }
                    ColumnData::Numeric(values) => values.iter().map(f64::to_string).collect(),
                    _ => panic!("another kind of column"),
                };
                text.iter()
                    .map(|t| banks.iter().position(|b| b.contains(t)))
                    .collect()
            }
        }
    }

    pub(crate) fn labels(&self, rows: &[usize]) -> Vec<u8> {
        rows.iter()
            .map(|r| self.table.label().unwrap()[*r])
            .collect()
    }
}

pub(crate) const KEEP: DesignOptions = DesignOptions {
    constant: ConstantColumns::Keep,
    rare_level_rows: 20,
};

/// The banks' training rows, and the test rows of each; without the column that says which bank it is.
pub(crate) fn split(set: &mut Set, split: &str) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let banks = set.banks(split);
    if split == "natural" {
        let (column, _) = set.natural.clone().unwrap();
        set.numeric.retain(|c| *c != column);
        set.levels.retain(|(c, _)| *c != column);
    }
    let number = banks.iter().flatten().max().unwrap() + 1;
    let rule = IdSplit::new(3).unwrap();
    let (mut train, mut test) = (vec![Vec::new(); number], vec![Vec::new(); number]);
    for (row, bank) in banks.iter().enumerate() {
        if let Some(bank) = bank {
            match rule.is_test(&set.table.ids()[row]) {
                true => test[*bank].push(row),
                false => train[*bank].push(row),
            }
        }
    }
    (train, test)
}

/// AUC of the reference's network on pooled rows: mean and standard deviation. Of natural splits, whose columns are
/// fewer, the reference has one seed, and the deviation is that with all columns.
pub(crate) fn network(folder: &Path, name: &str, split: &str) -> (f64, f64) {
    let set = &json(&folder.join("reference.json"))["datasets"][name];
    let of = |key: &str| set["all_columns"]["mlp"][key].as_f64().unwrap();
    let mean = match split {
        "natural" => set["horizontal"][split]["pooled"]["models"]["mlp"]["auc"]
            .as_f64()
            .unwrap(),
        _ => of("auc_mean_5_seeds"),
    };
    (mean, of("auc_sd_5_seeds"))
}
