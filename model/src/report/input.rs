//! What a report is made of: plain structs that the caller fills.

use serde::{Deserialize, Serialize};

use super::{
    BinsReport, CardReport, Convergence, Correlations, Curves, Planned, RejectReport,
    SelectionReport, Trials,
};
use crate::validation::{Compared, Drift, Validation};

/// Everything one party may read about one finished job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Version of this layout; see [`Report::FORMAT`].
    pub format: u32,
    /// The job.
    pub job: Job,
    /// The party this copy is written for.
    pub receiver: Party,
    /// All parties of the job, the receiver included.
    pub parties: Vec<Party>,
    /// Data, split, and row counts.
    pub data: Data,
    /// Kind of model and how it was fitted.
    pub solver: Solver,
    /// One row per model that was evaluated on the held-out rows.
    pub comparison: Vec<Evaluation>,
    /// Differences between models, with their intervals.
    pub uplift: Vec<Uplift>,
    /// Distance from the same model fitted on pooled plaintext, where that exists.
    pub agreement: Option<Agreement>,
    /// Curves per model, in the order of `comparison`.
    pub curves: Vec<Curves>,
    /// What validation asks of the held-out rows, where the receiver has them.
    pub validation: Option<Validation>,
    /// Stability of the receiver's own columns.
    pub drift: Option<Drift>,
    /// The job against the receiver's last one on the same data set and columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
    /// Which ridge cross-validation chose.
    pub trials: Option<Trials>,
    /// What was made of declined applicants, where outcomes are inferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejects: Option<RejectReport>,
    /// Bins and weight of evidence, where columns are binned.
    pub bins: Option<BinsReport>,
    /// Which columns of all parties say the same, where the job selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection: Option<SelectionReport>,
    /// How the receiver's own columns move together.
    pub correlations: Option<Correlations>,
    /// The receiver's half of the scorecard.
    pub scorecard: Option<CardReport>,
    /// The receiver's own coefficients. Those of another party are never written out.
    pub coefficients: Option<Coefficients>,
    /// What the job declared that it would open, beside what was opened.
    pub disclosures: Vec<Disclosure>,
    /// Bytes and frames by peer and step, as this party counted them.
    pub traffic: Vec<Traffic>,
    /// Wall time by phase.
    pub timing: Vec<Phase>,
    /// The fit, step by step.
    pub convergence: Option<Convergence>,
    /// What the plan said, beside what this party counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<Planned>,
    /// The security profile in plain words.
    pub security: Security,
    /// Remarks to print with the definitions.
    pub notes: Vec<String>,
    /// Software and machine.
    pub machine: Machine,
}

impl Report {
    /// Version of the layout that this build writes.
    pub const FORMAT: u32 = 1;

    /// Whether the parties are banks with the same columns of different customers: then each has the whole model.
    pub fn is_horizontal(&self) -> bool {
        self.security.profile == "masked-sums"
    }

    /// The coefficients, if they belong to the receiver.
    pub fn own_coefficients(&self) -> Option<&Coefficients> {
        self.coefficients
            .as_ref()
            .filter(|own| own.owner == self.receiver.id)
    }
}

impl Default for Report {
    fn default() -> Self {
        Self {
            format: Self::FORMAT,
            job: Job::default(),
            receiver: Party::default(),
            parties: Vec::new(),
            data: Data::default(),
            solver: Solver::default(),
            comparison: Vec::new(),
            uplift: Vec::new(),
            agreement: None,
            curves: Vec::new(),
            validation: None,
            drift: None,
            compared: None,
            trials: None,
            rejects: None,
            bins: None,
            selection: None,
            correlations: None,
            scorecard: None,
            coefficients: None,
            disclosures: Vec::new(),
            traffic: Vec::new(),
            timing: Vec::new(),
            convergence: None,
            planned: None,
            security: Security::default(),
            notes: Vec::new(),
            machine: Machine::default(),
        }
    }
}

/// The job as its contract names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    /// Job id.
    pub id: String,
    /// Title.
    pub title: String,
    /// Purpose, as approved by all parties.
    pub purpose: String,
    /// Legal basis, as approved by all parties.
    pub legal_basis: String,
    /// Digest of the contract, hexadecimal.
    pub contract_digest: String,
    /// When the job was released, RFC 3339.
    pub released_at: String,
}

/// A party and what it brought.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Party {
    /// Party id, as in its certificate.
    pub id: String,
    /// Name to print.
    pub name: String,
    /// Role in words, for instance `label holder`.
    pub role: String,
    /// Rows of its table, where the receiver may know them.
    pub rows: Option<u64>,
    /// Model columns it brought, where the receiver may know them.
    pub columns: Option<u64>,
}

/// Data, split, and counts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Data {
    /// Name of the data set.
    pub dataset: String,
    /// How rows were split into training and held-out.
    pub split: String,
    /// Seed or salt of the split.
    pub seed: String,
    /// What counts as bad, in words.
    pub bad_definition: String,
    /// Matched rows: the exact number or the declared bucket, in words.
    pub matched: String,
    /// Training rows.
    pub train: Sample,
    /// Held-out rows.
    pub test: Sample,
}

/// Rows and bads of a sample, where the receiver may know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Rows.
    pub rows: Option<u64>,
    /// Rows with y = 1.
    pub bads: Option<u64>,
}

/// Kind of model and how it was fitted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Solver {
    /// Kind of model, for instance `logistic regression, vertical split`.
    pub model: String,
    /// Solver in words.
    pub method: String,
    /// L2 penalty.
    pub l2: Option<f64>,
    /// Penalty on the magnitude of coefficients, where there is one, or signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1: Option<f64>,
    /// Passes over the training rows.
    pub passes: Option<u32>,
    /// Whether the declared stopping rule was met.
    pub converged: Option<bool>,
    /// Terms of the sigmoid series.
    pub sigmoid_terms: Option<u32>,
    /// Range of margins the series covers: from minus this to plus this.
    pub sigmoid_range: Option<f64>,
    /// Bound of the absolute error of the series on that range.
    pub sigmoid_max_error: Option<f64>,
    /// Fraction bits of the fixed-point numbers.
    pub fixed_point_bits: Option<u32>,
    /// Further facts, printed as they are.
    pub facts: Vec<Fact>,
}

/// A named fact in words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Fact {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// Which model a row or a curve belongs to. It fixes the colour and the dash in every plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// The label holder's columns only.
    Alone,
    /// All parties' columns, trained on shares.
    Joint,
    /// All parties' columns, trained on pooled plaintext: only in demonstrations.
    Pooled,
    /// Any other model.
    #[default]
    Other,
}

/// Held-out results of one model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluation {
    /// Which model.
    pub kind: ModelKind,
    /// Name to print.
    pub name: String,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// Standard error of the AUC.
    pub auc_se: Option<f64>,
    /// Kolmogorov-Smirnov distance.
    pub ks: Option<f64>,
    /// Gini coefficient.
    pub gini: Option<f64>,
    /// Mean logarithmic loss.
    pub log_loss: Option<f64>,
    /// Brier score.
    pub brier: Option<f64>,
    /// Share of all bads among the worst 10 %.
    pub capture: Option<f64>,
    /// Fraction of rows really taken as the worst 10 %, tied scores kept together.
    pub capture_at: Option<f64>,
}

/// A measure by which models are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Area under the ROC curve.
    #[default]
    Auc,
    /// Kolmogorov-Smirnov distance.
    Ks,
    /// Gini coefficient.
    Gini,
    /// Mean logarithmic loss; lower is better.
    LogLoss,
    /// Brier score; lower is better.
    Brier,
    /// Share of bads caught in the worst 10 %.
    Capture,
}

/// The difference `challenger − baseline` of one measure on the same held-out rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Uplift {
    /// Measure.
    pub metric: Metric,
    /// Name of the model compared against.
    pub baseline: String,
    /// Name of the model under test.
    pub challenger: String,
    /// Difference.
    #[serde(deserialize_with = "nan_if_null")]
    pub delta: f64,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub high: Option<f64>,
    /// How the interval was made.
    pub method: String,
}

/// Largest distances between the joint model and the same model fitted on pooled plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Agreement {
    /// Largest absolute difference of a coefficient, standardised scale.
    pub coef_max_abs_diff: Option<f64>,
    /// Absolute difference of the AUC.
    pub auc_abs_diff: Option<f64>,
    /// Absolute difference of the KS.
    pub ks_abs_diff: Option<f64>,
}

/// One party's half of the model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Coefficients {
    /// Id of the party that owns these columns. Printed only if it is the receiver.
    pub owner: String,
    /// Intercept on the standardised scale, if this party holds it.
    pub intercept: Option<f64>,
    /// Coefficients in the order of the design matrix.
    pub rows: Vec<Coefficient>,
}

/// One column's coefficient.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Coefficient {
    /// Column name.
    pub name: String,
    /// Training mean.
    #[serde(deserialize_with = "nan_if_null")]
    pub mean: f64,
    /// Training standard deviation, the divisor of the standardisation.
    #[serde(deserialize_with = "nan_if_null")]
    pub sd: f64,
    /// Coefficient on the standardised scale, in log-odds of bad.
    #[serde(deserialize_with = "nan_if_null")]
    pub coef: f64,
    /// Standard error of `coef`.
    pub se: Option<f64>,
    /// Wald statistic.
    pub z: Option<f64>,
    /// Two-sided p-value.
    pub p: Option<f64>,
}

impl Coefficient {
    /// Coefficient per original unit of the column, `coef / sd`.
    pub fn per_unit(&self) -> Option<f64> {
        Some(self.coef / self.sd).filter(|value| value.is_finite() && self.sd > 0.0)
    }
}

/// A kind of value that is opened to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Disclosure {
    /// What, for instance `test scores`.
    pub what: String,
    /// Shape, for instance `9,000 x 1`.
    pub shape: String,
    /// To whom.
    pub to: String,
    /// Most openings that the job declared; nothing if it declared none of this kind.
    pub declared: Option<u64>,
    /// Openings recorded.
    pub happened: u64,
}

/// How the openings of a kind compare with what was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisclosureStatus {
    /// Opened, no more often than declared.
    AsDeclared,
    /// Declared and not opened.
    NotOpened,
    /// Opened more often than declared.
    Exceeded,
    /// Opened without a declaration.
    Undeclared,
}

impl Disclosure {
    /// Compares what happened with what was declared.
    pub fn status(&self) -> DisclosureStatus {
        match self.declared {
            None if self.happened > 0 => DisclosureStatus::Undeclared,
            Some(most) if self.happened > most => DisclosureStatus::Exceeded,
            _ if self.happened == 0 => DisclosureStatus::NotOpened,
            _ => DisclosureStatus::AsDeclared,
        }
    }
}

/// Traffic with one peer in one step, as this party counted it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Peer.
    pub peer: String,
    /// Step.
    pub step: String,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Frames sent.
    pub sent_frames: u64,
    /// Frames received.
    pub received_frames: u64,
}

/// Wall time of one phase.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Phase {
    /// Phase.
    pub name: String,
    /// Wall time, seconds.
    #[serde(deserialize_with = "nan_if_null")]
    pub seconds: f64,
}

/// The security profile in plain words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// Name of the profile.
    pub profile: String,
    /// Against whom, in one sentence.
    pub statement: String,
    /// What it rests on.
    pub assumptions: Vec<String>,
    /// What it does not cover.
    pub limits: Vec<String>,
}

impl Security {
    /// The `helper` profile: an independent node deals correlated randomness.
    pub fn helper(helper: &str) -> Self {
        Self {
            profile: "helper".into(),
            statement: "Passively secure against one corrupt party, or the helper alone: no \
                        row-level value is opened except the declared disclosures."
                .into(),
            assumptions: vec![
                "Every party and the helper follow the protocol; each may try to learn from what \
                 it sees."
                    .into(),
                format!(
                    "The helper ({helper}) holds no data, is run by no data party and colludes with \
                     none. A helper together with a party could read the other parties' data."
                ),
                "Frames between parties are sealed end to end; the relay sees sender, receiver, \
                 step, size and time."
                    .into(),
            ],
            limits: vec![
                "A party that departs from the protocol is outside this profile.".into(),
                "A declared release, for instance test scores to the bank, can itself tell \
                 something about the other party's columns."
                    .into(),
                "What a party puts into its own table is not verified by the protocol.".into(),
            ],
        }
    }
}

/// Software and machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Version of the software, for instance `paripassu 0.1.0`.
    pub version: String,
    /// Source revision.
    pub revision: String,
    /// Processor, cores, operating system, in words.
    pub machine: String,
}

/// JSON has no NaN: it is written as null and read back as NaN.
pub(super) fn nan_if_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

/// As [`nan_if_null`], for each item.
pub(super) fn nans_if_null<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Vec<f64>, D::Error> {
    let items = Vec::<Option<f64>>::deserialize(from)?;
    Ok(items
        .into_iter()
        .map(|item| item.unwrap_or(f64::NAN))
        .collect())
}
