//! Jobs on weight of evidence, with real processes: against the plain twin, and against published figures.
//!
//! The larger data sets are not part of the repository: they are found through `PARIPASSU_DATA` or beside
//! the repository, and the tests say so and pass when they are absent.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

use common::{Said, assert_lands, example, number, root, sandbox};
use flate2::read::GzDecoder;
use paripassu_audit::{
    bundle::Bundle,
    verify::{Options, verify},
};
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn german(dir: &Path, name: &str, text: &str) -> (Said, PathBuf) {
    let job = dir.join(format!("{name}.toml"));
    fs::write(&job, text).unwrap();
    let data = example("data/german_credit");
    let out = dir.join(name);
    let said = sandbox(
        &job,
        &data.join("bank.csv"),
        &data.join("partner.csv"),
        &out,
        &[],
    );
    (said, out)
}

#[test]
fn the_example_keeps_what_it_declares() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("german_credit_woe.toml")).unwrap();
    let (said, out) = german(dir.path(), "noisy", &text);
    assert_eq!(said.code, 0, "{said:?}");
    let told = said.json();
    // noise of two rows in each count moves the score little
    let off = number(&told, "joint.auc") - number(&told, "pooled.auc");
    assert!(off.abs() < 0.02, "{off}");
    for path in told["bundles"].as_object().unwrap().values() {
        let bundle = Bundle::load(Path::new(path.as_str().unwrap())).unwrap();
        let verdict = verify(&bundle, &Options::default());
        assert!(verdict.findings.is_empty(), "{verdict:?}");
    }
    let (bank, partner) = (
        json(&out.join("bank/bins.json")),
        json(&out.join("partner/bins.json")),
    );
    assert_eq!(bank["formula"], "ln(good% / bad%)");
    // the bank knows neither names nor edges of the partner's bins, the partner no counts of bad
    let others = bank["others"].as_array().unwrap();
    assert_eq!(others.len(), 8);
    for other in others {
        for bin in other["bins"].as_array().unwrap() {
            assert!(bin.get("label").is_none() && bin.get("values").is_none());
            let (rows, bad) = (bin["rows"].as_u64().unwrap(), bin["bad"].as_u64().unwrap());
            assert!(bad >= 5 && rows - bad >= 5, "{bin}");
        }
    }
    assert!(partner.get("others").is_none());
    let columns = partner["columns"].as_array().unwrap();
    assert_eq!(columns.len(), 8);
    for (column, other) in columns.iter().zip(others) {
        assert!(!column.to_string().contains("\"bad\""));
        assert_eq!(column["kept"], other["kept"]);
        assert_eq!(column.get("reason").is_none(), column["kept"] == true);
    }
    let kept = columns.iter().filter(|c| c["kept"] == true).count();
    assert!((1..8).contains(&kept), "{kept}");
    let model = json(&out.join("partner/model.json"));
    assert_eq!(model["columns"].as_array().unwrap().len(), kept);
    assert_eq!(
        json(&out.join("partner/metrics.json"))["columns"]
            .as_array()
            .unwrap()
            .len(),
        8
    );
    let report = fs::read_to_string(out.join("partner/report.html")).unwrap();
    assert!(report.contains("left out: its information value"));
    // a half of the card has points for each bin of the columns that were kept, and of no others
    for (party, bins) in [("bank", &bank), ("partner", &partner)] {
        let card = json(&out.join(party).join("scorecard.json"));
        let kept = bins["columns"].as_array().unwrap().iter();
        let kept: Vec<&Value> = kept.filter(|c| c["kept"] == true).collect();
        let of_card = card["characteristics"].as_array().unwrap();
        assert_eq!(of_card.len(), kept.len());
        for (one, column) in of_card.iter().zip(kept) {
            assert_eq!(one["column"], column["column"]);
            let points = one["kind"]["points"].as_array().unwrap();
            assert_eq!(points.len(), column["bins"].as_array().unwrap().len());
            let (first, last) = (&points[0]["exact"], &points[points.len() - 1]["exact"]);
            assert!(first != last, "{one}");
        }
    }
    let told = fs::read_to_string(out.join("bank/reasons.csv")).unwrap();
    assert!(told.contains("partner:") && told.contains("bank:"));
}

#[test]
fn without_noise_every_method_lands_on_the_plain_twin() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("german_credit_woe.toml")).unwrap();
    let text = text.replace("noise_rows = 2", "noise_rows = 0");
    for method in ["chi", "tree", "equal-range"] {
        let text = text.replace("\"monotone\"", &format!("{method:?}"));
        let (said, _) = german(dir.path(), method, &text);
        assert_eq!(said.code, 0, "{said:?}");
        assert_lands(&said.json());
        let points = number(&said.json(), "points_max_diff");
        assert!(points <= 1.0, "{method}: a point is off by {points}");
    }
}

fn data_folder() -> Option<PathBuf> {
    let beside = root().join("../shared/data");
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

fn names(value: &Value) -> Vec<String> {
    let all = value.as_array().unwrap().iter();
    all.map(|v| v.as_str().unwrap().to_owned()).collect()
}

/// The rows of a compressed table, by column.
fn columns(path: &Path) -> BTreeMap<String, Vec<String>> {
    let mut table = csv::Reader::from_reader(GzDecoder::new(File::open(path).unwrap()));
    let header: Vec<String> = table.headers().unwrap().iter().map(Into::into).collect();
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in table.records() {
        for (name, cell) in header.iter().zip(record.unwrap().iter()) {
            all.entry(name.clone()).or_default().push(cell.to_owned());
        }
    }
    all
}

fn write(path: &Path, table: &BTreeMap<String, Vec<String>>, take: &[&str]) {
    let mut out = csv::Writer::from_path(path).unwrap();
    out.write_record(take).unwrap();
    let columns: Vec<&Vec<String>> = take.iter().map(|name| &table[*name]).collect();
    (0..table["id"].len())
        .for_each(|row| out.write_record(columns.iter().map(|c| &c[row])).unwrap());
    out.flush().unwrap();
}

/// Edges at the training deciles, which close bins on the right: the next number above opens a bin.
fn deciles(ids: &[String], cells: &[String]) -> Vec<f64> {
    let split = paripassu_model::split::IdSplit::new(3).unwrap();
    let rows = ids.iter().zip(cells).filter(|(id, _)| !split.is_test(id));
    let mut seen: Vec<f64> = rows.filter_map(|(_, cell)| cell.parse().ok()).collect();
    seen.sort_by(f64::total_cmp);
    let at = |k: usize| {
        let h = (seen.len() - 1) as f64 * (k as f64 / 10.0);
        let low = h.floor() as usize;
        let high = (low + 1).min(seen.len() - 1);
        (seen[low] + (seen[high] - seen[low]) * (h - low as f64)).next_up()
    };
    let mut edges: Vec<f64> = (1..10).map(at).collect();
    edges.dedup();
    edges
}

/// A job whose bins are those of the reference recipe.
fn check(name: &str, split: &str) {
    check_with(name, split, "bank-sees");
}

/// Whether the share of bads of a column of numbers moves one way over its bins, on training rows.
fn monotone(table: &BTreeMap<String, Vec<String>>, column: &str) -> bool {
    let edges = deciles(&table["id"], &table[column]);
    let split = paripassu_model::split::IdSplit::new(3).unwrap();
    let mut counts = vec![(0u64, 0u64); edges.len() + 1];
    for ((id, cell), y) in table["id"].iter().zip(&table[column]).zip(&table["y"]) {
        let Ok(value) = cell.parse::<f64>() else {
            continue;
        };
        if !split.is_test(id) && !value.is_nan() {
            let bin = &mut counts[edges.partition_point(|e| *e <= value)];
            bin.0 += 1;
            bin.1 += u64::from(y == "1");
        }
    }
    counts.retain(|(rows, _)| *rows > 0);
    let moves = |rises: bool| {
        counts.windows(2).all(|w| {
            let (before, after) = (w[0].1 * w[1].0, w[1].1 * w[0].0);
            if rises {
                before <= after
            } else {
                before >= after
            }
        })
    };
    counts.len() > 1 && (moves(true) || moves(false))
}

/// The same where counts and weights of the partner's columns stay shared.
fn check_with(name: &str, split: &str, counts: &str) {
    let strict = counts == "strict";
    let Some(folder) = data_folder() else { return };
    let about = &json(&folder.join("datasets.json"))[name];
    let reference = &json(&folder.join("reference.json"))["datasets"][name];
    let categorical = names(&about["categorical"]);
    let table = columns(&folder.join(about["file"].as_str().unwrap()));
    let dir = tempfile::tempdir().unwrap();
    let at = |file: &str| dir.path().join(file);
    let mut text = "name = \"reference\"\npurpose = \"test\"\nlegal_basis = \"test\"\n".to_owned();
    let mut overrides = String::new();
    for (party, role) in [("bank", "label"), ("partner", "features")] {
        let own = names(&about["vertical"][split][party]);
        let mut take = vec!["id"];
        take.extend(own.iter().map(String::as_str));
        if role == "label" {
            take.push("y");
        }
        write(&at(&format!("{party}.csv")), &table, &take);
        let (categories, numbers): (Vec<_>, Vec<_>) =
            own.iter().partition(|name| categorical.contains(name));
        text += &format!(
            "[[party]]\nid = {party:?}\nrole = {role:?}\ndataset = {party:?}\n\
             columns = {{ numeric = {numbers:?}, categorical = {categories:?} }}\n"
        );
        for number in numbers {
            let edges = deciles(&table["id"], &table[number]);
            let edges: Vec<String> = edges.iter().map(|e| format!("{e:?}")).collect();
            overrides += &format!(
                "[[binning.column]]\nparty = {party:?}\ncolumn = {number:?}\nedges = [{}]\n",
                edges.join(", ")
            );
        }
    }
    text += "[helper]\nid = \"coordinator\"\n\
             [outputs]\nscores = { to = \"bank\" }\nmetrics_to = [\"bank\", \"partner\"]\n\
             [binning]\nmax_bins = 50\n";
    text += &format!("counts = {counts:?}\n");
    text += "\
             min_share = 0\nmin_class = 0\nnoise_rows = 0\n\
             smoothing = \"all-cells\"\nmin_iv = 0\nmax_missing = 1\nmax_identical = 1\n\
             [scorecard]\n";
    text += &overrides;
    fs::write(at("job.toml"), text).unwrap();
    let out = at("out");
    let said = sandbox(
        &at("job.toml"),
        &at("bank.csv"),
        &at("partner.csv"),
        &out,
        &[],
    );
    assert_eq!(said.code, 0, "{said:?}");
    let told = said.json();
    let coefficients = number(&told, "coef_max_abs_diff");
    assert!(
        coefficients <= 2e-3,
        "{name}: a coefficient is off by {coefficients}"
    );
    // each party's points are those of the card fitted on pooled columns
    let points = number(&told, "points_max_diff");
    assert!(points <= 1.0, "{name}: a point is off by {points}");
    let joint = &reference["vertical"][split]["models"]["woe_lr"]["joint"];
    let auc = number(&told, "joint.auc") - number(joint, "auc");
    assert!(auc.abs() <= 5e-4, "{name}: AUC differs by {auc}");
    // every column's information value is the published one, whoever has it
    let published = reference["information_value_train"].as_object().unwrap();
    let mut largest: f64 = 0.0;
    if strict {
        // by their places: numbers first, as the job lists them
        let own = names(&about["vertical"][split]["partner"]);
        let (categories, numbers): (Vec<_>, Vec<_>) =
            own.iter().partition(|name| categorical.contains(name));
        let bins = json(&out.join("bank/bins.json"));
        let others = bins["others"].as_array().unwrap();
        assert_eq!(others.len(), own.len());
        for (column, other) in numbers.iter().chain(&categories).zip(others) {
            let off = other["iv"].as_f64().unwrap() - published[*column].as_f64().unwrap();
            largest = largest.max(off.abs());
            let flag = other.get("monotone").and_then(Value::as_bool);
            match categories.contains(column) {
                true => assert_eq!(flag, None, "{name}: {column}"),
                false => assert_eq!(
                    flag.unwrap_or(false),
                    monotone(&table, column),
                    "{name}: {column}"
                ),
            }
            assert!(other.get("bins").is_none());
        }
        nothing_of_labels(&out.join("partner"));
    }
    for party in ["bank", "partner"] {
        let bins = json(&out.join(party).join("bins.json"));
        for column in bins["columns"].as_array().unwrap() {
            let Some(iv) = column["iv"].as_f64() else {
                continue;
            };
            let want = published[column["column"].as_str().unwrap()]
                .as_f64()
                .unwrap();
            largest = largest.max((iv - want).abs());
        }
    }
    assert!(
        largest <= 1e-3,
        "{name}: an information value is off by {largest}"
    );
    eprintln!(
        "{name}, {split}: coefficients within {coefficients:.1e}, points within {points}, AUC off by {auc:.1e}, information values \
         within {largest:.1e}, {:.1} s",
        number(&told, "wall_s")
    );
}

/// Nothing that the partner keeps of the job depends on labels, but for the figures that the bank tells it.
fn nothing_of_labels(folder: &Path) {
    let bins = json(&folder.join("bins.json"));
    assert_eq!(bins["counts"], "strict");
    for column in bins["columns"].as_array().unwrap() {
        assert!(
            column.get("iv").is_none() && column.get("kept").is_none(),
            "{column}"
        );
        for bin in column["bins"].as_array().unwrap() {
            let known: Vec<&String> = bin.as_object().unwrap().keys().collect();
            assert_eq!(known, ["label", "rows", "values"]);
        }
    }
    let model = json(&folder.join("model.json"));
    assert_eq!(model["columns"].as_array().unwrap().len(), 0);
    assert!(model["intercept"].is_null() && !folder.join("scorecard.json").exists());
}

#[test]
fn the_strict_example_opens_no_count() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("german_credit_strict.toml")).unwrap();
    let (said, out) = german(dir.path(), "strict", &text);
    assert_eq!(said.code, 0, "{said:?}");
    let told = said.json();
    let off = number(&told, "joint.auc") - number(&told, "pooled.auc");
    assert!(off.abs() < 5e-4, "{off}");
    let coefficients = number(&told, "coef_max_abs_diff");
    assert!(
        coefficients < 2e-3,
        "a coefficient of the bank's is off by {coefficients}"
    );
    nothing_of_labels(&out.join("partner"));
    let bank = json(&out.join("bank/bins.json"));
    let others = bank["others"].as_array().unwrap();
    assert_eq!(others.len(), 8);
    assert!(
        others
            .iter()
            .all(|c| c.get("bins").is_none() && c["iv"].as_f64().unwrap() >= 0.0)
    );
    let kept = others.iter().filter(|c| c["kept"] == true).count();
    assert!((1..8).contains(&kept), "{kept}");
    for (node, path) in told["bundles"].as_object().unwrap() {
        let bundle = Bundle::load(Path::new(path.as_str().unwrap())).unwrap();
        let verdict = verify(&bundle, &Options::default());
        assert!(verdict.findings.is_empty(), "{node}: {verdict:?}");
    }
    // what was opened stands in the report: nothing by bin, and no coefficient of the partner's
    for party in ["bank", "partner"] {
        let report = fs::read_to_string(out.join(party).join("report.html")).unwrap();
        for id in [
            "binning.rows",
            "binning.bads",
            "binning.woe",
            "binning.enough",
            "release.coefficients.partner",
        ] {
            assert!(!report.contains(id), "{party}: {id}");
        }
        assert!(
            report.contains("binning.iv.partner") && report.contains("binning.monotone.partner")
        );
    }
}

/// Labels that a partner reads off its results, of columns that are 1 for one customer each.
fn labels_read(folder: &Path, columns: usize) -> Vec<Option<bool>> {
    let bins = json(&folder.join("bins.json"));
    let model = json(&folder.join("model.json"));
    let read = |k: usize| {
        let column = bins["columns"]
            .as_array()?
            .iter()
            .find(|c| c["column"] == format!("t{k}"))?;
        let alone = column["bins"].as_array()?.iter().find(|b| b["rows"] == 1)?;
        // higher is safer
        let by_bin = alone.get("woe").and_then(Value::as_f64).map(|w| w < 0.0);
        let coef = model["columns"]
            .as_array()?
            .iter()
            .find(|c| c["name"] == format!("t{k}"));
        by_bin.or_else(|| Some(coef?["coef"].as_f64()? > 0.0))
    };
    (0..columns).map(read).collect()
}

#[test]
fn columns_made_up_around_single_customers_tell_their_labels_unless_counts_stay_shared() {
    let (rows, targets) = (2_000usize, 100usize);
    let dir = tempfile::tempdir().unwrap();
    let split = paripassu_model::split::IdSplit::new(3).unwrap();
    let ids: Vec<String> = (0..rows).map(|i| format!("customer-{i}")).collect();
    let training = (0..rows).filter(|i| !split.is_test(&ids[*i]));
    let picked: Vec<usize> = training.step_by(11).take(targets).collect();
    assert_eq!(picked.len(), targets);
    let label = |i: usize| (i * i + 7 * i) % 10 < 4;
    let mut bank = "id,x,y\n".to_owned();
    let mut partner = "id".to_owned();
    (0..targets).for_each(|k| partner += &format!(",t{k}"));
    for (i, id) in ids.iter().enumerate() {
        bank += &format!("{id},{},{}\n", (i * 37) % 101, u8::from(label(i)));
        partner += &format!("\n{id}");
        picked
            .iter()
            .for_each(|t| partner += if *t == i { ",1" } else { ",0" });
    }
    partner += "\n";
    fs::write(dir.path().join("bank.csv"), bank).unwrap();
    fs::write(dir.path().join("partner.csv"), partner).unwrap();
    let listed: Vec<String> = (0..targets).map(|k| format!("\"t{k}\"")).collect();
    for (counts, most) in [("strict", 0), ("bank-sees", targets)] {
        let mut text = format!(
            "name = \"attack\"\npurpose = \"test\"\nlegal_basis = \"test\"\n\
             [[party]]\nid = \"bank\"\nrole = \"label\"\ndataset = \"bank\"\ncolumns = {{ numeric = [\"x\"] }}\n\
             [[party]]\nid = \"partner\"\nrole = \"features\"\ndataset = \"partner\"\n\
             columns = {{ numeric = [{}] }}\n\
             [helper]\nid = \"coordinator\"\n[outputs]\nscores = {{ to = \"bank\" }}\n\
             [binning]\ncounts = {counts:?}\nmin_share = 0\nmin_class = 0\nnoise_rows = 0\n\
             smoothing = \"all-cells\"\nmin_iv = 0\nmax_missing = 1\nmax_identical = 1\n",
            listed.join(", ")
        );
        for column in &listed {
            text += &format!(
                "[[binning.column]]\nparty = \"partner\"\ncolumn = {column}\nedges = [0.5]\n"
            );
        }
        let job = dir.path().join(format!("{counts}.toml"));
        fs::write(&job, text).unwrap();
        let out = dir.path().join(counts);
        let (bank, partner) = (dir.path().join("bank.csv"), dir.path().join("partner.csv"));
        let said = sandbox(&job, &bank, &partner, &out, &[]);
        assert_eq!(said.code, 0, "{said:?}");
        let read = labels_read(&out.join("partner"), targets);
        let right = picked
            .iter()
            .zip(&read)
            .filter(|(i, told)| **told == Some(label(**i)));
        assert_eq!(right.count(), most, "{counts}: {read:?}");
        assert_eq!(read.iter().flatten().count(), most, "{counts}: {read:?}");
    }
}

#[test]
fn strict_is_the_reference_too() {
    check_with("german_credit", "bank_vs_partner", "strict");
    check_with("taiwan_default", "bank_vs_bureau", "strict");
}

#[test]
fn german_credit_is_the_reference() {
    check("german_credit", "bank_vs_partner");
}

#[test]
fn lending_club_is_the_reference() {
    check("lending_club", "lender_vs_bureau");
}

#[test]
fn credit_data_is_the_reference() {
    check("credit_data", "lender_vs_openbanking");
}

#[test]
fn bank_marketing_is_the_reference() {
    check("bank_marketing", "secretflow_alice_vs_bob");
}

#[test]
fn sba_loans_is_the_reference() {
    check("sba_loans", "lender_vs_registry");
}

#[test]
fn polish_bankruptcy_is_the_reference() {
    check("polish_bankruptcy_5y", "first_vs_second_half");
}

#[test]
fn taiwan_default_is_the_reference() {
    check("taiwan_default", "bank_vs_bureau");
    check("taiwan_default", "fate_guest_vs_host");
}
