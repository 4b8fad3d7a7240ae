//! `paripassu bench binning`.

use clap::Args;
use paripassu_job::Spec;
use serde::Serialize;

use crate::{
    command::sandbox::outcome,
    failure::Failure,
    outcome::Outcome,
    sandbox::{Finished, Input, Metrics, Sandbox, made_up},
    screen::{Screen, bytes, count},
};

/// Of ten customers how many are common and in training, in a made-up job that holds one tenth out.
const USED: f64 = 0.95 * 0.95 * 0.9;

/// Bin the columns of two parties against the label of one, in a whole job among processes.
///
/// A sandbox with made-up customers: bank, partner and coordinator are processes of their own over real TLS on loopback, each with its
/// transcript. The step of the bins is measured at the bank, from the committed data to information value and weight of evidence of every
/// column; matching before it and the training on the columns that were kept are shown beside it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu bench binning
  paripassu bench binning --rows 100000 --cols-a 30 --cols-b 300 --json")]
pub(crate) struct Binning {
    /// Training rows, about
    #[arg(long, default_value_t = 30_000)]
    rows: u64,
    /// The bank's columns, at most 1000
    #[arg(long, default_value_t = 30)]
    cols_a: usize,
    /// The partner's columns, at most 1000
    #[arg(long, default_value_t = 270)]
    cols_b: usize,
    /// As `binning.method` of a job
    #[arg(long, default_value = "monotone", value_parser = ["quantile", "equal-range", "chi", "tree", "monotone"])]
    method: String,
    /// Bins that each column is cut into before they are counted
    #[arg(long, default_value_t = 20)]
    fine_bins: u32,
    /// Seed of the made-up customers
    #[arg(long, default_value_t = 2026)]
    seed: u64,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    /// Training rows that were binned.
    rows: usize,
    /// Columns of bank and partner.
    columns: [usize; 2],
    method: String,
    fine_bins: u32,
    /// Seconds of the step of the bins at the bank.
    binning_s: f64,
    /// Seconds of each phase at the bank.
    phase_s: std::collections::BTreeMap<String, f64>,
    /// From the first process to the release.
    wall_s: f64,
    /// Bytes over sealed links in the whole job.
    bytes: u64,
    /// AUC of the joint model, and its distance from the pooled one's.
    auc: Option<f64>,
    auc_abs_diff: Option<f64>,
}

impl Binning {
    pub(super) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let columns = 1..=1_000;
        if !(1_000..=10_000_000).contains(&self.rows)
            || !columns.contains(&self.cols_a)
            || !columns.contains(&self.cols_b)
        {
            return Err(Failure::user(
                "--rows takes a number from 1,000 to 10,000,000, --cols-a and --cols-b one from 1 to 1,000",
            ));
        }
        let folder = tempfile::tempdir()
            .map_err(|e| Failure::ours(format!("cannot make a temporary folder: {e}")))?;
        let job = self.job();
        let spec = Spec::from_toml(&job, "bench.toml").map_err(Failure::user)?;
        let rows = (self.rows as f64 / USED).ceil() as u64;
        let files = made_up::write(&spec, rows, self.seed, folder.path())?;
        let sandbox = Sandbox {
            spec,
            job,
            inputs: files
                .into_iter()
                .map(|(id, file)| (id, Input::File(file)))
                .collect(),
            out: folder.path().join("out"),
            force: false,
            separate_helper: false,
            keep_nodes: false,
            id: "id".to_owned(),
            id_more: Vec::new(),
            fallback: Vec::new(),
            label: "y".to_owned(),
            missing: Vec::new(),
        };
        let print = |finished: &Finished, root: &std::path::Path| match finished {
            Finished::Released(metrics) => self.measured(metrics, screen),
            other => outcome(other, root, screen),
        };
        sandbox.run(screen, print).await
    }

    fn job(&self) -> String {
        let party = |id: &str, role: &str, columns: usize| {
            let names: Vec<String> = (1..=columns).map(|k| format!("\"{id}_{k}\"")).collect();
            format!(
                "[[party]]\nid = \"{id}\"\nrole = \"{role}\"\ndataset = \"{id}\"\n\
                 columns = {{ numeric = [{}] }}\n",
                names.join(", ")
            )
        };
        format!(
            "name = \"bench-binning\"\npurpose = \"measurement\"\nlegal_basis = \"made_up_data\"\n{}{}\
             [helper]\nid = \"coordinator\"\n\
             [split]\ntest_tenths = 1\n\
             [binning]\nmethod = \"{}\"\nfine_bins = {}\nnoise_rows = 0\nmax_correlation = 0.7\n\
             [outputs]\nmetrics_to = [\"bank\"]\n[outputs.scores]\nto = \"bank\"\n",
            party("bank", "label", self.cols_a),
            party("partner", "features", self.cols_b),
            self.method,
            self.fine_bins,
        )
    }

    fn measured(&self, metrics: &Metrics, screen: &Screen) -> Result<Outcome, Failure> {
        let phase = |name: &str| metrics.phase_s.get(name).copied().unwrap_or_default();
        let m = Measured {
            rows: metrics.rows.train,
            columns: [self.cols_a, self.cols_b],
            method: self.method.clone(),
            fine_bins: self.fine_bins,
            binning_s: phase("prepare"),
            phase_s: metrics.phase_s.clone(),
            wall_s: metrics.wall_s,
            bytes: metrics.bytes.total,
            auc: metrics.joint.map(|joint| joint.auc),
            auc_abs_diff: metrics.auc_abs_diff,
        };
        let mut t = screen.table(&["measure", "value"]);
        let seconds = |s: f64| format!("{s:.2} s");
        for (name, value) in [
            ("training rows binned", count(m.rows as u64)),
            (
                "columns, bank and partner",
                format!("{} + {}", self.cols_a, self.cols_b),
            ),
            ("bins and information value", seconds(m.binning_s)),
            ("matching before it", seconds(phase("align"))),
            ("training after it", seconds(phase("train"))),
            ("whole job with all processes", seconds(m.wall_s)),
            ("sent in the whole job", bytes(m.bytes)),
        ] {
            t.row([name.to_owned(), value]);
        }
        Outcome::new(&m, t.to_string())
    }
}
