//! Federated Newton against an independent reference on real data: scikit-learn's optimum on the pooled rows,
//! for every horizontal split that the reference names.
//!
//! The data folder is not part of the repository: it is found through `PARIPASSU_DATA` or beside the repository,
//! and the test says so and passes when it is absent.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flate2::read::GzDecoder;
use paripassu_model::{
    design::{ConstantColumns, Design, DesignOptions},
    logistic::{self, FitOptions, TrainingSet},
    schema::DatasetSpec,
    split::{IdSplit, id_word},
    table::{ColumnData, CsvReader, Table},
};
use paripassu_protocol::{
    horizontal::{
        newton::{self, NewtonFit, NewtonSpec, Rows},
        prepare::{Book, Joint, prepare},
        secagg::{Client, Params, serve},
    },
    testing::{World, dealt::AllowAll},
};
use serde_json::Value;
use zeroize::Zeroizing;

fn data_folder() -> Option<PathBuf> {
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

fn json(path: &Path) -> Value {
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
struct Set {
    table: Table,
    numeric: Vec<String>,
    levels: Vec<(String, Vec<String>)>,
    /// The column that splits it naturally, and its values by bank.
    natural: Option<(String, Vec<Vec<String>>)>,
    reference: Value,
}

fn load(folder: &Path, name: &str) -> Set {
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
    fn banks(&self, split: &str) -> Vec<Option<usize>> {
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

    fn labels(&self, rows: &[usize]) -> Vec<u8> {
        rows.iter()
            .map(|r| self.table.label().unwrap()[*r])
            .collect()
    }
}

const KEEP: DesignOptions = DesignOptions {
    constant: ConstantColumns::Keep,
    rare_level_rows: 20,
};

/// What all banks find, each with its own training rows.
async fn federated(set: Arc<Set>, train: Vec<Vec<usize>>) -> (Joint, NewtonFit) {
    let banks = train.len();
    let patient = Duration::from_secs(60);
    let params = Params::new(banks, None, [3; 32], patient).unwrap();
    let served = params.clone();
    let world = World::new(u8::try_from(banks).unwrap()).with_deadline(patient);
    let train = Arc::new(train);
    let results = world
        .run(
            |me, ctx| {
                let (set, train, params) = (set.clone(), train.clone(), params.clone());
                async move {
                    let root =
                        |p: usize| Zeroizing::new([me.min(p) as u8 * 16 + me.max(p) as u8; 32]);
                    let roots = (0..train.len()).map(root).collect();
                    let mut ledger = AllowAll::default();
                    let mut client = Client::join(&ctx, params, roots).await?;
                    let book = Book {
                        table: &set.table,
                        train: &train[me],
                        numeric: &set.numeric,
                        levels: &set.levels,
                        options: KEEP,
                        min_rows: 1,
                        largest_weight: 1.0,
                    };
                    let joint = prepare(&mut client, &mut ledger, &book).await?;
                    let x = joint.design.transform(&set.table, &train[me]).unwrap();
                    let rows = Rows {
                        x: x.iter().copied().collect(),
                        columns: joint.design.names().map(str::to_owned).collect(),
                        labels: set.labels(&train[me]),
                        weights: None,
                        offset: None,
                        all_rows: joint.rows,
                        weight_exponent: joint.weight_exponent,
                    };
                    let spec = NewtonSpec {
                        l2: 1.0,
                        l1: 0.0,
                        tolerance: 1e-7,
                        max_passes: 30,
                        own_intercepts: false,
                    };
                    let fit =
                        newton::fit(&mut client, &mut ledger, &spec, rows, &mut |_, _| {}).await?;
                    client.done().await?;
                    Ok((joint, fit))
                }
            },
            |ctx| async move { serve(&ctx, &served).await.map(drop) },
        )
        .await;
    let mut all: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert!(all.windows(2).all(|w| w[0].1 == w[1].1), "banks differ");
    all.pop().unwrap()
}

/// Relative to the coefficient, or to a hundredth of the largest where it is near 0; `slack` is how far the other
/// side itself may be from its optimum.
fn compare(what: &str, got: &[f64], want: &[f64], slack: f64) {
    let largest = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        let off = ((a - b).abs() - slack).max(0.0) / b.abs().max(1e-2 * largest);
        assert!(
            off < 1e-6,
            "{what}, coefficient {i}: {a}, reference {b}: {off:e}"
        );
    }
    assert_eq!(got.len(), want.len(), "{what}");
}

fn split(name: &str, split: &str) {
    let Some(folder) = data_folder() else { return };
    let mut set = load(&folder, name);
    let banks = set.banks(split);
    if split == "natural" {
        // the column that says which bank it is describes no customer
        let (column, _) = set.natural.clone().unwrap();
        set.numeric.retain(|c| *c != column);
        set.levels.retain(|(c, _)| *c != column);
    }
    let number = banks.iter().flatten().max().unwrap() + 1;
    let test = IdSplit::new(3).unwrap();
    let mut train = vec![Vec::new(); number];
    for (row, bank) in banks.iter().enumerate() {
        if let Some(bank) = bank
            && !test.is_test(&set.table.ids()[row])
        {
            train[*bank].push(row);
        }
    }
    let set = Arc::new(set);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (joint, fit) = runtime.block_on(federated(set.clone(), train.clone()));
    assert!(fit.passes <= 15, "{name}, {split}: {} passes", fit.passes);
    eprintln!(
        "{name}, {split}: {} passes, {} fraction bits",
        fit.passes, fit.frac
    );
    let got: Vec<f64> = fit
        .coefficients
        .iter()
        .copied()
        .chain([fit.intercept])
        .collect();
    {
        let mut rows: Vec<usize> = train.concat();
        rows.sort_unstable();
        let categories: Vec<&String> = set.levels.iter().map(|(c, _)| c).collect();
        let numeric: Vec<&String> = set.numeric.iter().collect();
        let design = Design::fit(&set.table, &rows, &numeric, &categories, KEEP).unwrap();
        let x = design.transform(&set.table, &rows).unwrap();
        let y = set.labels(&rows);
        let options = FitOptions::default();
        let plain = logistic::fit(&TrainingSet::new(&x, &y).unwrap(), &options).unwrap();
        let (pooled, left) = (plain.model, plain.gradient_max);
        let want: Vec<f64> = pooled
            .coefficients
            .into_iter()
            .chain([pooled.intercept])
            .collect();
        assert_eq!(joint.design.columns().len(), design.columns().len());
        compare(&format!("{name}, {split}, plain fit"), &got, &want, left);
    }
    if split == "natural" {
        return;
    }
    let features = set.reference["features"].as_array().unwrap();
    let listed: Vec<&str> = features
        .iter()
        .map(|f| f["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        joint.design.names().collect::<Vec<_>>(),
        listed,
        "{name}, {split}"
    );
    let want = features
        .iter()
        .map(|f| &f["coef"])
        .chain([&set.reference["intercept"]]);
    let want: Vec<f64> = want.map(|v| v.as_f64().unwrap()).collect();
    // a gradient entry that it left is at most so much of a coefficient: the ridge bounds the Hessian by 1
    let left = set.reference["gradient_max_abs"].as_f64().unwrap();
    compare(&format!("{name}, {split}"), &got, &want, left);
}

macro_rules! every_split_lands_on_the_pooled_optimum {
    ($($test:ident: $name:literal $split:literal),* $(,)?) => {
        $(#[test] fn $test() { split($name, $split); })*
    };
}

every_split_lands_on_the_pooled_optimum! {
    taiwan_thirds: "taiwan_default" "iid_thirds",
    taiwan_skew: "taiwan_default" "skew_80_15_5",
    taiwan_natural: "taiwan_default" "natural",
    german_thirds: "german_credit" "iid_thirds",
    german_skew: "german_credit" "skew_80_15_5",
    marketing_thirds: "bank_marketing" "iid_thirds",
    marketing_skew: "bank_marketing" "skew_80_15_5",
    marketing_natural: "bank_marketing" "natural",
    lending_thirds: "lending_club" "iid_thirds",
    lending_skew: "lending_club" "skew_80_15_5",
    lending_natural: "lending_club" "natural",
    credit_data_thirds: "credit_data" "iid_thirds",
    credit_data_skew: "credit_data" "skew_80_15_5",
    credit_data_natural: "credit_data" "natural",
    sba_thirds: "sba_loans" "iid_thirds",
    sba_skew: "sba_loans" "skew_80_15_5",
    sba_natural: "sba_loans" "natural",
    polish_thirds: "polish_bankruptcy_5y" "iid_thirds",
    polish_skew: "polish_bankruptcy_5y" "skew_80_15_5",
}
