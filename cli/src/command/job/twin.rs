//! `paripassu job twin`.

use std::path::PathBuf;

use clap::Args;
use paripassu_job::{NodeId, spec::SolverMethod};
use serde::Serialize;

use super::read_spec;
use crate::{
    command::{read_text, sandbox::party_file},
    failure::{Exit, Failure},
    outcome::Outcome,
    sandbox::{Finished, Input, Metrics, Sandbox, made_up},
    screen::{Screen, count},
};

/// Train a job jointly and in the clear, and compare.
#[derive(Debug, Args)]
#[command(after_help = "\
Without files, tables are made up: every column that the job names, of customers who do not exist. So a job can
be tried before any party brings data: its file, its columns, its cost and its exactness. Each node is a local
process. The exit code is 0 only where the joint model equals the plain one; of mini-batches (solver.method
= \"sgd\") that is the same descent in the clear, which ends near the optimum, not at it.

Examples:
  paripassu job twin job.toml
  paripassu job twin job.toml --rows 20000 --json
  paripassu job twin job.toml --party bank=public-a.csv --party partner=public-b.csv")]
pub(crate) struct Twin {
    /// Job file
    #[arg(value_name = "JOB.toml")]
    job: PathBuf,
    /// A party's CSV file of public or made-up rows; once for each party, or not at all
    #[arg(long = "party", value_name = "ID=FILE", value_parser = party_file)]
    parties: Vec<(NodeId, PathBuf)>,
    /// Customers of each made-up table; by default 4,000, or what align.min_matched asks for
    #[arg(long)]
    rows: Option<u64>,
    /// Seed of made-up tables
    #[arg(long, default_value_t = 2026)]
    seed: u64,
    /// Keep models, reports and transcripts in this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Largest difference of a coefficient on the standardised scale: by default 0.001, of mini-batches, whose features are
    /// rounded to a 64th, 0.1
    #[arg(long)]
    coefficient: Option<f64>,
    /// Largest difference of a held-out customer's log-odds of bad: by default 0.02, of mini-batches 0.1
    #[arg(long)]
    score: Option<f64>,
    /// Largest difference of AUC: by default 0.0005, of mini-batches 0.0025, of networks of many banks, whose training is random, 0.005
    #[arg(long)]
    auc: Option<f64>,
    /// Largest difference of KS: by default 0.002, of mini-batches 0.01, of networks of many banks 0.02
    #[arg(long)]
    ks: Option<f64>,
    /// Column with the unique customer id, in every file
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    id: String,
    /// Column with the outcome (1 = bad)
    #[arg(long, value_name = "COLUMN", default_value = "y")]
    label: String,
}

/// One comparison.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    /// Absent where the job releases nothing to compare.
    difference: Option<f64>,
    allowed: f64,
    pass: bool,
}

#[derive(Debug, Serialize)]
struct Verdict<'a> {
    pass: bool,
    checks: Vec<Check>,
    metrics: &'a Metrics,
}

impl Twin {
    pub(super) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let spec = read_spec(&self.job)?;
        if spec.overlap.is_some() {
            return Err(Failure::user(
                "this job only matches customers: there is nothing to train",
            ));
        }
        if !spec.align.id_more_rules.is_empty() || !spec.align.fallback.is_empty() {
            return Err(Failure::user(
                "this job matches customers by several columns or keys, and a twin by one",
            )
            .hint("`paripassu sandbox run` takes --id-more and --fallback"));
        }
        let in_batches = spec.solver.method == SolverMethod::Sgd;
        let temporary = tempfile::tempdir()
            .map_err(|e| Failure::ours(format!("cannot make a temporary folder: {e}")))?;
        let made_up = self.parties.is_empty();
        let files = match made_up {
            true => {
                let least = spec.align.min_matched.saturating_mul(3) / 2;
                let rows = self.rows.unwrap_or(least.max(4_000));
                if !(200..=1_000_000).contains(&rows) {
                    return Err(Failure::user("--rows takes a number from 200 to 1,000,000"));
                }
                made_up::write(&spec, rows, self.seed, temporary.path())?
            }
            false => self.parties.clone(),
        };
        let (id, label) = match made_up {
            true => ("id".to_owned(), "y".to_owned()),
            false => (self.id.clone(), self.label.clone()),
        };
        let sandbox = Sandbox {
            spec,
            job: read_text(&self.job)?,
            inputs: files
                .into_iter()
                .map(|(id, file)| (id, Input::File(file)))
                .collect(),
            out: self
                .out
                .clone()
                .unwrap_or_else(|| temporary.path().join("twin")),
            force: false,
            separate_helper: false,
            keep_nodes: false,
            id,
            id_more: Vec::new(),
            fallback: Vec::new(),
            label,
            missing: Vec::new(),
        };
        let print = |finished: &Finished, root: &std::path::Path| match finished {
            Finished::Released(metrics) => self.verdict(metrics, (made_up, in_batches), screen),
            other => crate::command::sandbox::outcome(other, root, screen),
        };
        sandbox.run(screen, print).await
    }

    fn verdict(
        &self,
        metrics: &Metrics,
        (made_up, in_batches): (bool, bool),
        screen: &Screen,
    ) -> Result<Outcome, Failure> {
        let check = |what, difference: Option<f64>, allowed: f64| Check {
            what,
            difference,
            allowed,
            // what is no number is no pass
            pass: difference.is_none_or(|d| d <= allowed),
        };
        // two trainings of a network by many banks begin and go differently
        let slack = if metrics.horizontal && metrics.coef_max_abs_diff.is_none() {
            10.0
        } else if in_batches {
            // a few customers of nearly the same score may change places
            5.0
        } else {
            1.0
        };
        let (coefficient, score) = if in_batches { (0.1, 0.1) } else { (1e-3, 2e-2) };
        let coefficient = self.coefficient.unwrap_or(coefficient);
        let mut checks = vec![
            check("coefficients", metrics.coef_max_abs_diff, coefficient),
            check(
                "scores",
                metrics.score_max_abs_diff,
                self.score.unwrap_or(score),
            ),
            check(
                "AUC",
                metrics.auc_abs_diff,
                self.auc.unwrap_or(5e-4 * slack),
            ),
            check("KS", metrics.ks_abs_diff, self.ks.unwrap_or(2e-3 * slack)),
        ];
        if let Some(points) = metrics.points_max_diff {
            // a point that stands on the edge of two whole numbers may go to either
            checks.insert(1, check("points", Some(points as f64), 1.0));
        }
        // what releases nothing to compare has shown nothing
        let any = checks.iter().any(|c| c.difference.is_some());
        let pass = any && checks.iter().all(|c| c.pass);
        let mut table = screen.table(&["", "largest difference", "allowed", ""]);
        for c in &checks {
            table.row([
                c.what.to_owned(),
                c.difference
                    .map_or("not released".to_owned(), |d| format!("{d:.1e}")),
                format!("{:.1e}", c.allowed),
                if c.pass { "✓" } else { "✗" }.to_owned(),
            ]);
        }
        let line = match pass {
            true if in_batches => screen.out().good(
                "✓ the joint model is that of the same descent in the clear, near the optimum and not at it",
            ),
            true => screen.out().good("✓ the joint model is the plain one"),
            false => screen.out().bad("✗ the joint model is not the plain one"),
        };
        let text = format!(
            "{}: {} rows to train, {} held out{}\n{table}\n{line}\n",
            screen.out().strong(&metrics.name),
            count(metrics.rows.train as u64),
            count(metrics.rows.test as u64),
            if made_up { ", all made up" } else { "" },
        );
        let verdict = Verdict {
            pass,
            checks,
            metrics,
        };
        let outcome = Outcome::new(&verdict, text)?;
        Ok(if pass {
            outcome
        } else {
            outcome.exit_with(Exit::Failed)
        })
    }
}
