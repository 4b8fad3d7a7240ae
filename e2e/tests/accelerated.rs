//! Steps without a Hessian as whole jobs: against the exact pooled fit, against their plan, and chosen by sizes.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use common::{Said, example, number, run, sandbox};
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The German credit job without standard errors, with this `[solver]`.
fn german(dir: &Path, solver: &str) -> PathBuf {
    let text = fs::read_to_string(example("german_credit.toml")).unwrap();
    let errors = text.find("standard_errors = true").unwrap();
    let end = errors + text[errors..].find('\n').unwrap();
    let text = format!("{}{}", &text[..errors], &text[end + 1..]);
    let job = dir.join("job.toml");
    let text = text.replace("[outputs]", &format!("[solver]\n{solver}\n[outputs]"));
    fs::write(&job, text).unwrap();
    job
}

fn trained(dir: &Path, job: &Path) -> Said {
    let data = example("data/german_credit");
    let [bank, partner] = ["bank.csv", "partner.csv"].map(|file| data.join(file));
    sandbox(job, &bank, &partner, &dir.join("out"), &[])
}

/// What a party's report says of its solver, checked against plan and count.
fn solver(out: &Path, party: &str) -> Value {
    let report = json(&out.join(party).join("report.json"));
    for stage in report["planned"]["stages"].as_array().unwrap() {
        let rounds = &stage["rounds"];
        assert_eq!(rounds["for_this_run"], rounds["counted"], "{party} {stage}");
        if stage["stage"] == "train" {
            let bytes = &stage["bytes"];
            assert_eq!(bytes["for_this_run"], bytes["counted"], "{party} {stage}");
        }
    }
    report["solver"].clone()
}

fn facts(solver: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let facts = solver["facts"].as_array().unwrap().iter();
    facts
        .map(|fact| (text(&fact["name"]), text(&fact["value"])))
        .collect()
}

#[test]
fn accelerated_steps_end_at_the_exact_pooled_fit_at_the_cost_that_is_planned() {
    let dir = tempfile::tempdir().unwrap();
    let job = german(dir.path(), "method = \"accelerated\"");
    let said = trained(dir.path(), &job);
    assert_eq!(said.code, 0, "{said:?}");
    let apart = number(&said.json(), "coef_max_abs_diff");
    assert!(apart < 1e-4, "{apart}");
    for party in ["bank", "partner"] {
        let solver = solver(&dir.path().join("out"), party);
        let method = solver["method"].as_str().unwrap();
        assert!(method.contains("accelerated") && method.contains("no Hessian"));
        let passes = solver["passes"].as_u64().unwrap();
        assert!(passes > 16 && passes.is_multiple_of(4), "{passes}");
        assert!(facts(&solver).iter().all(|(name, _)| name != "Hessians"));
    }
}

#[test]
fn passes_that_are_too_few_end_the_job_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let job = german(
        dir.path(),
        "method = \"accelerated\"\nmax_passes = 8\nrange = 16",
    );
    let said = trained(dir.path(), &job);
    assert_ne!(said.code, 0, "{said:?}");
    let error = said.json()["error"].as_str().unwrap().to_owned();
    for words in [
        "did not converge in 8 passes",
        "solver.max_passes",
        "solver.method = \"newton\"",
    ] {
        assert!(
            error.contains(words),
            "nothing is said of `{words}`: {error}"
        );
    }
}

/// Customers and columns of each party of a wide small table.
const ROWS: usize = 2_400;
const WIDE: usize = 130;

/// Two tables of columns with common factors, one of them with the label.
fn wide(dir: &Path) -> [PathBuf; 2] {
    let mut state = 2_026_u64;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let names = |of: &str| -> String { (0..WIDE).map(|j| format!(",{of}{j}")).collect() };
    let mut tables = [
        format!("id,y{}\n", names("a")),
        format!("id{}\n", names("b")),
    ];
    for row in 0..ROWS {
        let factors = [uniform() - 0.5, uniform() - 0.5, uniform() - 0.5];
        let mut columns = || {
            let column = |j: usize| 2.0 * factors[j % 3] + 3.0 * (uniform() - 0.5);
            (0..WIDE).map(column).collect::<Vec<f64>>()
        };
        let own = [columns(), columns()];
        let score = own[0][0] - own[0][4] + own[1][2] + 0.5 * own[1][7] - 1.0;
        let bad = u8::from(uniform() < 1.0 / (1.0 + (-score).exp()));
        write!(tables[0], "c{row:05},{bad}").unwrap();
        write!(tables[1], "c{row:05}").unwrap();
        for (table, own) in tables.iter_mut().zip(&own) {
            for value in own {
                write!(table, ",{value:.5}").unwrap();
            }
            table.push('\n');
        }
    }
    let paths = ["bank.csv", "partner.csv"].map(|name| dir.join(name));
    for (path, table) in paths.iter().zip(&tables) {
        fs::write(path, table).unwrap();
    }
    paths
}

#[test]
fn a_wide_small_table_is_trained_by_accelerated_steps_where_the_job_leaves_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let listed = |of: &str| -> String {
        let all: Vec<String> = (0..WIDE).map(|j| format!("\"{of}{j}\"")).collect();
        format!("[party.columns]\nnumeric = [{}]\n", all.join(", "))
    };
    let text = format!(
        "name = \"wide\"\npurpose = \"application_score\"\nlegal_basis = \"contract\"\n\
         [[party]]\nid = \"bank\"\nrole = \"label\"\ndataset = \"a\"\n{}\
         [[party]]\nid = \"partner\"\nrole = \"features\"\ndataset = \"b\"\n{}\
         [helper]\nid = \"coordinator\"\n[model]\nl2 = 5\n[solver]\nmethod = \"auto\"\n\
         [outputs]\nmetrics_to = [\"bank\", \"partner\"]\n[outputs.scores]\nto = \"bank\"\n",
        listed("a"),
        listed("b"),
    );
    let job = dir.path().join("job.toml");
    fs::write(&job, &text).unwrap();
    let [bank, partner] = wide(dir.path());

    // what is planned says which and why
    let sizes = format!("bank={ROWS},partner={ROWS}");
    let matched = ROWS.to_string();
    let ask = |more: &[&str]| {
        let plan = ["job", "plan", job.to_str().unwrap(), "--rows", &sizes];
        let said = run(plan
            .into_iter()
            .chain(["--matched", &matched])
            .chain(more.iter().copied()));
        assert_eq!(said.code, 0, "{said:?}");
        said
    };
    let planned = ask(&["--json"]).json();
    assert_eq!(planned["solver"]["steps"], "accelerated", "{planned}");
    let shown = ask(&[]).out;
    assert!(
        shown.contains("accelerated steps, by solver.method"),
        "{shown}"
    );

    let said = sandbox(&job, &bank, &partner, &dir.path().join("out"), &[]);
    assert_eq!(said.code, 0, "{said:?}");
    let apart = number(&said.json(), "coef_max_abs_diff");
    assert!(apart < 1e-3, "{apart}");
    let mut told = Vec::new();
    for party in ["bank", "partner"] {
        let solver = solver(&dir.path().join("out"), party);
        assert!(solver["method"].as_str().unwrap().contains("accelerated"));
        let all = facts(&solver);
        let taken = all.iter().find(|(name, _)| name == "Steps taken").unwrap();
        assert!(taken.1.starts_with("accelerated steps, by"), "{taken:?}");
        told.push(taken.1.clone());
    }
    assert_eq!(told[0], told[1]);

    // a table with few columns is not
    let few = german(dir.path(), "method = \"auto\"");
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    let said = trained(dir.path(), &few);
    assert_eq!(said.code, 0, "{said:?}");
    let solver = solver(&dir.path().join("out"), "partner");
    let all = facts(&solver);
    let taken = all.iter().find(|(name, _)| name == "Steps taken").unwrap();
    assert!(taken.1.starts_with("Newton's steps, by"), "{taken:?}");
    assert!(all.iter().any(|(name, _)| name == "Hessians"));
}
