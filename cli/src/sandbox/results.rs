//! What a sandbox leaves: each party's half, and `metrics.json` over all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ndarray::ArrayView1;
use paripassu_job::Decimal;
use paripassu_model::{
    metrics::{self, AucDelta},
    report::{self, Finding, Report},
    scorecard::Card,
};
use paripassu_service::transcript::bundle_path;
use serde::{Deserialize, Serialize};

use super::{layout::Layout, setup::Setup, twin};
use crate::{
    command::{model::ModelFile, read_text, write_whole},
    failure::Failure,
};

/// Everything that is known about the job afterwards: `metrics.json`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Metrics {
    /// Name of the job.
    pub(crate) name: String,
    /// Its id.
    pub(crate) job: String,
    /// The label party's own columns alone; absent where the job releases no metrics.
    pub(crate) bank: Option<Figures>,
    /// The joint model.
    pub(crate) joint: Option<Figures>,
    /// The same model fitted on pooled plaintext: only a sandbox can.
    pub(crate) pooled: Figures,
    /// Joint over bank alone.
    pub(crate) uplift: Option<Uplift>,
    /// Largest distance of a coefficient, intercept included, between joint and pooled; none of a network.
    pub(crate) coef_max_abs_diff: Option<f64>,
    /// Largest distance of a held-out customer's log-odds of bad between joint and pooled, by these coefficients; only where each
    /// party learns its own.
    pub(crate) score_max_abs_diff: Option<f64>,
    /// Most points by which the parties' scorecards and those of the pooled model differ for any customer in one
    /// characteristic; only where the job makes scorecards.
    pub(crate) points_max_diff: Option<u64>,
    /// Distance of AUC between joint and pooled.
    pub(crate) auc_abs_diff: Option<f64>,
    /// Distance of KS between joint and pooled.
    pub(crate) ks_abs_diff: Option<f64>,
    /// Row counts.
    pub(crate) rows: Rows,
    /// Passes over the training rows.
    pub(crate) passes: Option<u32>,
    /// Whether the parties are banks with customers of their own.
    pub(crate) horizontal: bool,
    /// Bytes sent over sealed links.
    pub(crate) bytes: Bytes,
    /// From the first process to the release, in seconds.
    pub(crate) wall_s: f64,
    /// Seconds by phase, as the label party measured them.
    pub(crate) phase_s: BTreeMap<String, f64>,
    /// The label party's report.
    pub(crate) report: PathBuf,
    /// Folder with everything.
    pub(crate) out_dir: PathBuf,
    /// Each party's folder.
    pub(crate) parties: BTreeMap<String, PathBuf>,
    /// Each node's bundle: the job's transcript, to be verified by anybody.
    pub(crate) bundles: BTreeMap<String, PathBuf>,
    /// Label party's id.
    pub(crate) label_party: String,
}

/// Results of one model on the held-out rows.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Figures {
    pub(crate) auc: f64,
    pub(crate) ks: f64,
    pub(crate) gini: f64,
    pub(crate) log_loss: f64,
    pub(crate) brier: f64,
    /// Share of all bads in the worst tenth.
    pub(crate) capture_10: f64,
}

/// How much the joint model gains.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Uplift {
    pub(crate) auc: f64,
    pub(crate) ci95: [f64; 2],
    /// `better`, `not_shown` or `worse`.
    pub(crate) finding: &'static str,
    pub(crate) verdict: String,
}

/// Row counts.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Rows {
    pub(crate) parties: BTreeMap<String, u64>,
    pub(crate) matched: usize,
    pub(crate) train: usize,
    pub(crate) test: usize,
}

/// Bytes sent over sealed links, from the parties' own counts.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Bytes {
    /// By everyone.
    pub(crate) total: u64,
    /// By sender.
    pub(crate) sent: BTreeMap<String, u64>,
    /// All bytes of the job per training row and pass.
    pub(crate) per_train_row_and_pass: Option<f64>,
}

/// `metrics.json` of a party's results.
#[derive(Debug, Deserialize)]
struct Summary {
    alone: metrics::Metrics,
    joint: metrics::Metrics,
    uplift: AucDelta,
}

impl From<&metrics::Metrics> for Figures {
    fn from(of: &metrics::Metrics) -> Self {
        Self {
            auc: of.auc,
            ks: of.ks,
            gini: of.gini,
            log_loss: of.log_loss,
            brier: of.brier,
            capture_10: of.top_decile_capture,
        }
    }
}

/// Longest wait for the bundle of a node: those of nodes without results come a moment later.
const BUNDLES: Duration = Duration::from_secs(20);

/// Lays every node's bundle of the job into that node's folder; those that do not come are left out.
pub(crate) async fn bundles(
    setup: &Setup,
    layout: &Layout,
    job: &str,
) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let until = Instant::now() + BUNDLES;
    let mut found = BTreeMap::new();
    for node in setup.nodes() {
        let from = bundle_path(&layout.node(node).join("state"), job);
        while !from.is_file() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if !from.is_file() {
            tracing::warn!(node, "wrote no bundle");
            continue;
        }
        let folder = layout.party(node);
        std::fs::create_dir_all(&folder).map_err(|e| Failure::file("make", &folder, &e))?;
        let to = folder.join(format!("{job}.bundle"));
        std::fs::copy(&from, &to).map_err(|e| Failure::file("copy the bundle to", &to, &e))?;
        found.insert(node.to_owned(), to);
    }
    Ok(found)
}

/// Moves each party's results to their place.
pub(super) fn place(
    setup: &Setup,
    layout: &Layout,
    job: &str,
) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut folders = BTreeMap::new();
    for source in &setup.parties {
        let party = source.party.id.as_str();
        let from = layout.node(party).join("results").join(job);
        let to = layout.party(party);
        std::fs::rename(&from, &to).map_err(|e| Failure::file("move the results in", &from, &e))?;
        folders.insert(party.to_owned(), to);
    }
    Ok(folders)
}

/// Moves each party's results to their place, fits the twin and writes `metrics.json`.
pub(crate) async fn collect(
    setup: &Setup,
    layout: &Layout,
    job: &str,
    wall_s: f64,
) -> Result<Metrics, Failure> {
    let folders = place(setup, layout, job)?;
    let tables = setup
        .parties
        .iter()
        .map(|source| source.load(&setup.spec))
        .collect::<Result<Vec<_>, _>>()?;
    let keys = match setup.spec.align.fallback.is_empty() {
        true => Vec::new(),
        false => {
            let each = setup.parties.iter();
            each.map(|source| source.keys(&setup.spec))
                .collect::<Result<Vec<_>, _>>()?
        }
    };
    let mut rows = BTreeMap::new();
    for (source, table) in setup.parties.iter().zip(&tables) {
        rows.insert(source.party.id.to_string(), table.rows() as u64);
    }
    let label = layout.party(setup.label_party());
    let content = read_report(&label)?;
    let mut spec = setup.spec.clone();
    // which rows are in which fold only the label party knows: the twin takes the penalties that were chosen
    if let Some(tuning) = spec.tuning.take() {
        if let Some(l2) = content.solver.l2 {
            spec.model.l2 = Decimal::new(l2).map_err(Failure::ours)?;
        }
        if let Some(l1) = content.solver.l1.filter(|_| tuning.is_path()) {
            spec.model.l1 = Decimal::new(l1).map_err(Failure::ours)?;
        }
    }
    let noisy = spec.binning.as_ref().is_some_and(|b| b.noise_rows > 0);
    let kept = match spec.selection.is_some() && noisy {
        true => Some(kept(setup, layout)?),
        false => None,
    };
    let twin =
        tokio::task::spawn_blocking(move || twin::fit(&spec, tables, &keys, kept.as_deref()))
            .await
            .map_err(|e| Failure::ours(format!("the plaintext twin failed: {e}")))??;

    let apart = distances(setup, layout, &twin)?;
    let summary = read_summary(&label)?;
    let pooled = Figures::from(&twin.metrics);
    let joint = summary
        .as_ref()
        .map(|summary| Figures::from(&summary.joint));
    let passes = content.solver.passes;
    let result = Metrics {
        name: setup.spec.name.clone(),
        job: job.to_owned(),
        bank: summary.as_ref().map(|summary| (&summary.alone).into()),
        joint,
        pooled,
        uplift: summary
            .as_ref()
            .map(|summary| uplift(&summary.uplift, &content)),
        coef_max_abs_diff: apart.as_ref().map(Distances::largest),
        score_max_abs_diff: apart.as_ref().and_then(|apart| apart.of_scores(&twin)),
        points_max_diff: points_apart(setup, layout, &twin)?,
        auc_abs_diff: joint.map(|joint| (joint.auc - pooled.auc).abs()),
        ks_abs_diff: joint.map(|joint| (joint.ks - pooled.ks).abs()),
        rows: Rows {
            parties: rows,
            matched: twin.matched,
            train: twin.train,
            test: twin.test,
        },
        passes,
        horizontal: setup.spec.horizontal.is_some(),
        bytes: traffic(setup, layout, twin.train, passes)?,
        wall_s,
        phase_s: content
            .timing
            .iter()
            .map(|phase| (phase.name.clone(), phase.seconds))
            .collect(),
        report: label.join("report.html"),
        out_dir: layout.root().to_owned(),
        parties: folders,
        bundles: bundles(setup, layout, job).await?,
        label_party: setup.label_party().to_owned(),
    };
    let text = serde_json::to_string_pretty(&result).map_err(Failure::ours)?;
    write_whole(&layout.root().join("metrics.json"), text.as_bytes())?;
    Ok(result)
}

fn read_report(dir: &std::path::Path) -> Result<Report, Failure> {
    let path = dir.join("report.json");
    report::from_json(&read_text(&path)?)
        .map_err(|e| Failure::ours(format!("{}: {e}", path.display())))
}

fn read_summary(dir: &std::path::Path) -> Result<Option<Summary>, Failure> {
    let path = dir.join("metrics.json");
    if !path.exists() {
        return Ok(None);
    }
    serde_json::from_str(&read_text(&path)?)
        .map(Some)
        .map_err(|e| Failure::ours(format!("{}: {e}", path.display())))
}

fn uplift(delta: &AucDelta, content: &Report) -> Uplift {
    let finding = content.main_uplift().map(report::Uplift::finding);
    Uplift {
        auc: delta.delta,
        ci95: delta.ci95,
        finding: match finding {
            Some(Finding::Better) => "better",
            Some(Finding::Worse) => "worse",
            _ => "not_shown",
        },
        verdict: content.verdict(),
    }
}

/// The design columns of each party's model.
fn kept(setup: &Setup, layout: &Layout) -> Result<Vec<Vec<String>>, Failure> {
    let of = |source: &super::setup::Source| {
        let party = source.party.id.as_str();
        let model = ModelFile::load(&layout.party(party).join("model.json"))?;
        Ok(model.columns.into_iter().map(|c| c.name).collect())
    };
    setup.parties.iter().map(of).collect()
}

/// Whether nobody learns the coefficients of this party's columns.
fn hidden(setup: &Setup, party: &str) -> bool {
    let strict = setup.spec.binning.as_ref().is_some_and(|b| b.strict());
    let label = setup.spec.label_party();
    strict && label.is_none_or(|label| label.id.as_str() != party)
}

/// By how much the parties' coefficients differ from the twin's.
#[derive(Default)]
struct Distances {
    intercepts: Vec<f64>,
    /// Of all parties' columns, in their order.
    columns: Vec<f64>,
    /// Whether some columns' coefficients are nobody's to know.
    hidden: bool,
}

impl Distances {
    fn largest(&self) -> f64 {
        largest(self.intercepts.iter().chain(&self.columns).copied())
    }

    /// What they make of a held-out customer's log-odds.
    fn of_scores(&self, twin: &twin::Twin) -> Option<f64> {
        let x = twin.held_out.as_ref().filter(|_| !self.hidden)?;
        let [intercept] = self.intercepts[..] else {
            return None;
        };
        let score = |row: ArrayView1<'_, f64>| {
            row.iter()
                .zip(&self.columns)
                .map(|(x, c)| x * c)
                .sum::<f64>()
                + intercept
        };
        (x.ncols() == self.columns.len()).then(|| largest(x.outer_iter().map(score)))
    }
}

/// The largest magnitude; NaN is none, and must not pass for nothing.
fn largest(of: impl Iterator<Item = f64>) -> f64 {
    of.fold(0.0, |most, off| match off.abs() {
        off if off.is_nan() => f64::INFINITY,
        off => most.max(off),
    })
}

/// The differences between the parties' coefficients and the twin's.
fn distances(
    setup: &Setup,
    layout: &Layout,
    twin: &twin::Twin,
) -> Result<Option<Distances>, Failure> {
    if twin.coefficients.is_empty() {
        return Ok(None);
    }
    let mut all = Distances::default();
    let expected = twin.coefficients.iter().zip(&twin.intercepts);
    for (source, (expected, pooled)) in setup.parties.iter().zip(expected) {
        let party = source.party.id.as_str();
        if hidden(setup, party) {
            all.hidden = true;
            continue;
        }
        let model = ModelFile::load(&layout.party(party).join("model.json"))?;
        let names = |model: &ModelFile| {
            let columns = model.columns.iter();
            columns
                .map(|column| column.name.clone())
                .collect::<Vec<_>>()
        };
        let wanted: Vec<_> = expected.iter().map(|(name, _)| name.clone()).collect();
        if names(&model) != wanted {
            return Err(Failure::ours(format!(
                "{party}'s design columns are not those of the plaintext twin: {} and {}",
                names(&model).join(", "),
                wanted.join(", ")
            )));
        }
        let columns = model.columns.iter().zip(expected);
        let apart = columns.map(|(c, (_, expected))| c.coef.unwrap_or(f64::NAN) - expected);
        all.columns.extend(apart);
        all.intercepts.extend(model.intercept.map(|b| b - pooled));
    }
    Ok(Some(all))
}

/// The most points by which a party's card differs from the twin's.
fn points_apart(setup: &Setup, layout: &Layout, twin: &twin::Twin) -> Result<Option<u64>, Failure> {
    let mut largest = None;
    for (source, (pooled, table)) in setup.parties.iter().zip(&twin.cards) {
        if hidden(setup, source.party.id.as_str()) {
            continue;
        }
        let path = layout
            .party(source.party.id.as_str())
            .join("scorecard.json");
        let wrong = |e: &dyn std::fmt::Display| Failure::ours(format!("{}: {e}", path.display()));
        let mut card = Card::from_json(&read_text(&path)?).map_err(|e| wrong(&e))?;
        // an offset is a column as it stands, and none of the pooled card's
        card.characteristics.truncate(pooled.characteristics.len());
        let apart = card.apart(pooled, table).map_err(|e| wrong(&e))?;
        largest = largest.max(Some(apart));
    }
    Ok(largest)
}

/// What everyone sent: parties by their own counts, the helper by what parties received from it.
fn traffic(
    setup: &Setup,
    layout: &Layout,
    train: usize,
    passes: Option<u32>,
) -> Result<Bytes, Failure> {
    let mut sent: BTreeMap<String, u64> = BTreeMap::new();
    for source in &setup.parties {
        let party = source.party.id.as_str();
        let content = read_report(&layout.party(party))?;
        for traffic in &content.traffic {
            *sent.entry(party.to_owned()).or_default() += traffic.sent_bytes;
            if traffic.peer == "helper" || traffic.peer == setup.spec.helper.id.as_str() {
                *sent.entry(setup.spec.helper.id.to_string()).or_default() +=
                    traffic.received_bytes;
            }
        }
    }
    let total: u64 = sent.values().sum();
    let units = passes.map(|passes| f64::from(passes) * train as f64);
    Ok(Bytes {
        total,
        sent,
        per_train_row_and_pass: units.filter(|n| *n > 0.0).map(|n| total as f64 / n),
    })
}
