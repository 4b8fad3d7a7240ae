//! `job.toml`: what a modeler asks for.
//!
//! Every key, its meaning, unit and default are documented on the fields below and, as comments, in the
//! [template](template()). A key or value that the engine does not carry out is an error that says what is
//! available: nothing is accepted and ignored.

mod align;
mod batches;
mod binning;
mod choice;
mod columns;
mod error;
mod evaluation;
mod held;
mod horizontal;
mod keys;
mod locate;
mod network;
mod overlap;
mod parse;
mod reject;
mod resume;
mod rows;
mod scorecard;
mod selection;
mod solver;
mod template;
mod training;
mod tuning;
mod validate;

use serde::{Deserialize, Serialize};

pub use paripassu_model::schema::IdRule;

#[cfg(test)]
pub(crate) use self::reject::tests::spec as of_declined;
pub use self::{
    align::{Align, AlignMethod, AlignReveal},
    batches::MiniBatches,
    binning::{BinColumn, BinCounts, BinMethod, BinTrend, Binning, Smoothing, WoeSign},
    choice::AutoOr,
    columns::Columns,
    error::{Problem, SpecError, SpecErrors},
    evaluation::{Evaluation, Fairness, Higher, Incumbent, LossGivenDefault},
    held::{ColumnSign, SignOf},
    horizontal::{Horizontal, Intercept, Start},
    network::{Activation, Network},
    overlap::{Overlap, OverlapOf},
    reject::RejectInference,
    resume::KeptPoints,
    rows::{ClassWeight, RowWeight},
    scorecard::{Preset, Scorecard},
    selection::{Selection, SelectionCorrelations, StepBy, StepDirection, Stepwise},
    solver::{Link, Solver, SolverMethod, Steps, Stop},
    template::{TemplateKind, template},
    training::{LocalOptimiser, Method, Privacy, Robust, Schedule, Training, Weights},
    tuning::{Tuning, TuningRule},
};
use crate::{constants, decimal::Decimal, id::NodeId, when::Date};

/// A whole job specification.
///
/// Read one with [`Spec::from_toml`], which also checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name shown in lists and reports: 1 to 64 characters of `a-z 0-9 . _ -`. Need not be unique.
    pub name: String,
    /// Purpose code that each party's policy is asked for, such as `application_score`.
    pub purpose: String,
    /// Legal basis code that each party's policy is asked for, such as `contract` or `consent`.
    pub legal_basis: String,
    /// Last day (UTC) on which the job may be approved and started. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
    /// The data parties: two to five, exactly one of them with the label; in a horizontal job three banks or
    /// more; where only an overlap is asked for two to five.
    pub party: Vec<Party>,
    /// Who deals correlated randomness, or adds up masked vectors.
    pub helper: Helper,
    /// Many banks with the same columns; without it, parties with different columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizontal: Option<Horizontal>,
    /// Matching alone: the job ends with lists of common customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// How a network on columns of several parties is trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// How customers are matched.
    #[serde(default)]
    pub align: Align,
    /// Which matched rows are held out.
    #[serde(default)]
    pub split: Split,
    /// How columns become the design matrix.
    #[serde(default)]
    pub design: Design,
    /// Columns as weight of evidence of their bins; without it, columns as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binning: Option<Binning>,
    /// Columns of several parties that say the same; without it, all are fitted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// Declined applicants, who have no outcome; without it, every row has a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject_inference: Option<RejectInference>,
    /// What is fitted.
    #[serde(default)]
    pub model: Model,
    /// How it is fitted.
    #[serde(default)]
    pub solver: Solver,
    /// Which ridge is taken, by cross-validation; without it, `model.l2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
    /// What is released, to whom.
    #[serde(default)]
    pub outputs: Outputs,
    /// The model as points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scorecard: Option<Scorecard>,
    /// What the label party computes on the test rows beyond the comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// Which assumptions protect the job.
    #[serde(default)]
    pub security: Security,
    /// Deadlines.
    #[serde(default)]
    pub limits: Limits,
    /// How long results are kept. Default: as long as each party likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// `[retention]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// So many days after the release each party's node erases what the job has left it: model, lists, scores,
    /// report; 1 to 3650. The transcript, which holds none of them, stays.
    pub results_days: u64,
}

/// One data party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Node id of the party, as in its certificate.
    pub id: NodeId,
    /// `label` for the one party that holds the outcome (1 = bad), `features` for the other; `bank` for
    /// every party of a horizontal job, `member` where only an overlap is asked for.
    pub role: PartyRole,
    /// Name of the data set in that party's own configuration.
    pub dataset: String,
    /// `"all"` (every column that the party's data set offers) or `{ numeric = [..], categorical = [..] }`; left
    /// out where only an overlap is asked for.
    #[serde(default = "Columns::none")]
    pub columns: Columns,
}

/// What a party brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartyRole {
    /// Holds the label, and features.
    Label,
    /// Holds features.
    Features,
    /// Holds label and features of its own customers, in a horizontal job.
    Bank,
    /// Brings ids only, where an overlap is asked for.
    Member,
}

/// The node that deals correlated randomness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Helper {
    /// Node id of the coordinator or of a separate helper; never one of the parties.
    pub id: NodeId,
}

/// `[split]`: which matched rows are held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Split {
    /// `id-hash` (default): the first four bytes of SHA-256 of the normalised id, as a big-endian number
    /// modulo 10, are below `test_tenths`. Both parties find the same rows without a message.
    pub rule: SplitRule,
    /// Tenths of the rows held out for the test, 1 to 9. Default 3.
    pub test_tenths: u64,
}

impl Default for Split {
    fn default() -> Self {
        Self {
            rule: SplitRule::IdHash,
            test_tenths: constants::DEFAULT_TEST_TENTHS,
        }
    }
}

/// A rule of splitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitRule {
    /// By the hash of the id.
    IdHash,
}

/// `[design]`: how columns become the design matrix, at each owner on its own matched training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Design {
    /// A level of a category with fewer training rows joins `__other__`. Default 20.
    pub rare_level_rows: u64,
    /// A column that is constant on the training rows: `drop` (default) leaves it out and says so in the
    /// owner's report, `error` ends the job.
    pub constant_columns: ConstantColumns,
}

impl Default for Design {
    fn default() -> Self {
        Self {
            rare_level_rows: constants::DEFAULT_RARE_LEVEL_ROWS,
            constant_columns: ConstantColumns::Drop,
        }
    }
}

/// What to do with constant columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConstantColumns {
    /// Leave the column out.
    Drop,
    /// End the job.
    Error,
}

/// `[model]`: what is fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// `logistic` (default): logistic regression. `mlp`: a small network; goes with `[network]`, in horizontal jobs
    /// with `[horizontal.training]`.
    pub kind: ModelKind,
    /// Weight of 0.5·|w|² beside the sum of log losses, on standardised columns, intercept free.
    /// 0.001 to 1000000. Default 1.
    pub l2: Decimal,
    /// Weight of |w| likewise: sets small coefficients to exactly 0. 0 (default) to 1000000.
    #[serde(skip_serializing_if = "is_nothing")]
    pub l1: Decimal,
    /// With `[binning]`: whether the coefficient of each weight of evidence must have the sign that it has by itself,
    /// below 0 for `good-bad`, above 0 for `bad-good`, or be 0. Default: false.
    #[serde(skip_serializing_if = "is_false")]
    pub woe_signs: bool,
    /// Whether there is an intercept, held by the label party. Only `true` (default) is available.
    pub intercept: bool,
    /// A column with each row's weight, at any party: `{ party = "bank", column = "exposure", max = 10 }`.
    /// Default: every row counts 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<RowWeight>,
    /// What a row weighs by its label: `{ good = 1, bad = 4 }`. Default: both 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weight: Option<ClassWeight>,
    /// A listed numeric column of the label party that is added to each row's log-odds of bad, such as the
    /// score of a champion model, and is then no feature. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// Signs that coefficients of columns must have. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sign: Vec<ColumnSign>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            kind: ModelKind::Logistic,
            l2: constants::DEFAULT_L2,
            l1: Decimal::literal(0.0),
            woe_signs: false,
            intercept: true,
            weight: None,
            class_weight: None,
            offset: None,
            sign: Vec::new(),
        }
    }
}

/// A kind of model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Logistic regression.
    Logistic,
    /// A network of dense layers.
    Mlp,
}

/// `[outputs]`: what is released when the job ends well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// `own` (default): each party gets the coefficients of its own columns, the label party also the
    /// intercept.
    #[serde(default)]
    pub coefficients: Coefficients,
    /// Whether each party also gets the standard errors of its own coefficients, and with them z and
    /// p-values. Default: false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub standard_errors: bool,
    /// Row-level scores. Default: none, and then no metrics either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Scores>,
    /// Parties that get the summary metrics on the test rows. The label party, which computes them, must
    /// be among them. Default: none.
    #[serde(default)]
    pub metrics_to: Vec<NodeId>,
}

/// Who gets coefficients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coefficients {
    /// Each party those of its own columns.
    #[default]
    Own,
}

/// `outputs.scores`: row-level scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// Receiver: the label party.
    pub to: NodeId,
    /// `test` (default): the held-out rows.
    #[serde(default)]
    pub rows: ScoreRows,
    /// Each other party rounds its own part of a score (log-odds of bad) to a multiple of this power of
    /// two before it sends it, 2^-16 to 1. Default 0.0009765625 = 2^-10.
    #[serde(default = "default_score_step")]
    pub step: Decimal,
    /// Most rows that are scored: where more are held out, the job ends before it trains, and no score is opened. What a
    /// party's quota of scores counts until the rows are known. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u64>,
    /// Whether the receiver keeps them as `predictions.csv`. Default true; with false they are used for
    /// the metrics and forgotten.
    #[serde(default = "yes")]
    pub keep: bool,
}

fn default_score_step() -> Decimal {
    constants::DEFAULT_SCORE_STEP
}

fn yes() -> bool {
    true
}

fn is_nothing(number: &Decimal) -> bool {
    number.value() == 0.0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Which rows are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreRows {
    /// The held-out rows.
    #[default]
    Test,
}

/// `[security]`: which assumptions protect the job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// `helper` (default): passively secure against any one of the parties or the helper; the helper must
    /// not collude with a party. `masked-sums`: the one of horizontal jobs; up to `threshold` - 1 banks and the
    /// helper together learn no other's part of a sum.
    pub profile: Profile,
}

/// A security profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// An independent node deals correlated randomness.
    #[default]
    Helper,
    /// Banks mask what a node adds up.
    MaskedSums,
}

/// `[limits]`: deadlines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest wait for one message, in seconds, 1 to 3600. Default 60.
    pub message_deadline_s: u64,
    /// Longest run from the last approval to the release, in seconds, 10 to 604800. Default 3600.
    pub job_deadline_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_deadline_s: constants::DEFAULT_MESSAGE_DEADLINE_S,
            job_deadline_s: constants::DEFAULT_JOB_DEADLINE_S,
        }
    }
}

impl Spec {
    /// How columns leave the fitted model, where the job asks for it.
    pub fn stepwise(&self) -> Option<&Stepwise> {
        self.selection.as_ref()?.stepwise.as_ref()
    }

    /// Whether nobody is to learn who is common.
    pub fn sizes_only(&self) -> bool {
        self.align.reveal == AlignReveal::Size
    }

    /// Reads and checks a `job.toml`. `name` is the file's name, for the errors.
    ///
    /// # Errors
    /// Everything that is wrong, each with line, key and what to do about it. A file that is no TOML, or
    /// has an unknown key or a value of the wrong type, gives that one error.
    pub fn from_toml(text: &str, name: &str) -> Result<Self, SpecErrors> {
        parse::from_toml(text, name)
    }

    /// Checks a specification that did not come from [`Spec::from_toml`].
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub fn check(&self) -> Result<(), SpecErrors> {
        let found = validate::check(self);
        if found.is_empty() {
            return Ok(());
        }
        let errors = found.into_iter().map(|(key, problem)| SpecError {
            line: None,
            key: key.to_string(),
            problem,
        });
        Err(SpecErrors::new("job specification", errors.collect()))
    }

    /// The parties in the order of their positions in the protocol: the label party first.
    pub fn seats(&self) -> Vec<&Party> {
        let (mut label, features): (Vec<_>, Vec<_>) = self
            .party
            .iter()
            .partition(|party| party.role == PartyRole::Label);
        label.extend(features);
        label
    }

    /// The party that holds the label. A checked specification has exactly one.
    pub fn label_party(&self) -> Option<&Party> {
        self.party
            .iter()
            .find(|party| party.role == PartyRole::Label)
    }
}
