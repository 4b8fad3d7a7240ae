//! A network of dense layers on columns of several parties.
//!
//! **Functionality.** Party p gives standardised columns X_p (rows aligned), party 0 the label y as well. The
//! parties fit `sigma(W_L a_(L-1))` with `a_l = t(W_l a_(l-1))` to y by stochastic gradient descent with momentum
//! on the log-loss. Party p learns the first layer's weights of its own columns; party 0 the first layer's biases
//! and all further layers too; and, where asked for, the rounded log-odds of the test rows. All learn the rows,
//! each party's number of columns, one bit an epoch (whether training is within the range of the fixed point),
//! and another (whether the loss on the validation rows fell), if such rows are set apart. Activations, gradients,
//! steps and losses stay shared: this is no split learning.
//!
//! Rows may have weights, which any party may hold: residuals are multiplied with them.
//!
//! **Parties.** Two to five data parties; a source of correlations (see [`crate::correlation`]).
//!
//! **Security model.** Passive; up to all but one data party may pool what they see, if the source joins none of
//! them. Ends with abort.
//!
//! **Activation.** t is the odd sine series that is within 8e-4 of tanh on [-4, 4] and periodic beyond
//! ([`hidden_series`]): the model *is* defined with it, so that a score is what the released weights give, wherever
//! an activation's argument lies. The output's series is exact to 3e-6 on [-32, 32]; scores cannot leave that
//! range, because party 0 checks the last layer's weights, whose inputs are bounded. Or t is the rectifier
//! ([`Hidden::Relu`]), by exact comparison; then sums and scores of the test rows are checked on shares, because
//! nothing bounds them.
//!
//! **Source.** Owner-matrix products as in SecureML's linear steps (ePrint 2017/396) for the first layer; Beaver's
//! triples (CRYPTO 1991) for matrices and entry by entry above it; the sine series as in Squirrel (ePrint 2023/527)
//! with odd harmonics, whose derivative is the cosine series of the same opening; rectifiers by the comparison of
//! Damgård et al. (TCC 2006, section 6). Heavy-ball momentum: Polyak
//! (1964). Departure from usual practice: batches are cut once from a public order of the rows, and taken in a new
//! public order each epoch, so that masked features are sent once; weights decay once an epoch.
//!
//! **Cost.** Per row and pass, for hidden widths h_1 … h_L with sum H and two parties: from the helper about 88
//! bytes for each of H values and 24 more for the other gates; between parties about 12 H and 16 sum of
//! (h_l + h_(l+1)). Rounds per batch: 13 for each hidden layer and 12. Rectifiers: 104 bytes for each of H values
//! between parties instead of 12, and 6 rounds a layer more. The look at the range: about 60 bytes a value, once an
//! epoch.
//!
//! **Precision.** [`points`] has the range budget. All rounding is at random and has mean zero.

mod activation;
mod course;
pub mod plain;
pub mod points;
pub(in crate::vertical) mod public;
mod range;
mod run;
mod step;

#[cfg(test)]
mod tests;

use paripassu_crypto::sine::Sine;

use crate::{
    abort::Abort,
    arith::Engine,
    channel::Channel,
    correlation::CorrelationSource,
    vertical::{course::Course, logistic::Progress, row_weights::RowWeights},
};

/// What hidden layers apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// The hyperbolic tangent, as a sine series ([`hidden_series`]).
    Tanh,
    /// The rectifier `max(z, 0)`, exactly; its derivative is 1 from 0 on.
    Relu,
}

/// How the learning rate changes over the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls to 0 on a line.
    Linear,
    /// It falls to 0 on half a cosine.
    Cosine,
}

impl Schedule {
    /// The factor before batch `t` of `of`.
    pub fn factor(self, t: usize, of: usize) -> f64 {
        let done = t as f64 / of.max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - done,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        }
    }
}

/// What to fit and how. Equal at all parties.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkSpec {
    /// Widths of the hidden layers, one to four.
    pub hidden: Vec<usize>,
    /// What they apply.
    pub activation: Hidden,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Most rows of a batch; all have about as many.
    pub batch: usize,
    /// Learning rate of the mean gradient of a batch.
    pub rate: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// Part of the last step that is taken again, from 0 to below 1.
    pub momentum: f64,
    /// Weight of `0.5 |w|²` beside the sum of log losses, biases included.
    pub l2: f64,
    /// Part of each hidden layer's values that are left out of a batch's step, from 0 to below 1.
    pub dropout: f64,
    /// What initial weights, the order of rows and dropout follow from; public.
    pub seed: u64,
    /// Tenths of the rows on which the loss is watched, 0 to 5.
    pub validation_tenths: usize,
    /// Training ends when that loss has not fallen for so many epochs; 0: never. The best epoch's weights are taken.
    pub patience: usize,
    /// Whether party 0 learns the log-odds of the test rows, as multiples of 2^-step.
    pub score_step_log2: Option<u32>,
    /// Parties that hold weights of rows, in their order. A row counts by the product of theirs.
    pub row_weights: Vec<RowWeights>,
}

/// One party's input: rows in the aligned order, equal at all parties.
pub struct NetworkInput {
    /// Standardised columns of training rows, row-major `[rows, cols]`.
    pub x: Vec<f64>,
    /// Number of columns.
    pub cols: usize,
    /// Training rows.
    pub rows: usize,
    /// The label, 1 = bad, at party 0 only.
    pub label: Option<Vec<u8>>,
    /// Weights of training rows, at the parties that [`NetworkSpec::row_weights`] names.
    pub row_weights: Option<Vec<f64>>,
    /// The same columns of test rows, row-major `[test_rows, cols]`.
    pub test: Vec<f64>,
    /// Test rows.
    pub test_rows: usize,
}

impl std::fmt::Debug for NetworkInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NetworkInput({} x {})", self.rows, self.cols)
    }
}

/// A layer's weights `[inputs, outputs]`, row-major, and its biases.
#[derive(Clone, PartialEq)]
pub struct Dense {
    /// Weights, row-major.
    pub weights: Vec<f64>,
    /// Biases; empty where another party holds them.
    pub biases: Vec<f64>,
    /// Number of outputs.
    pub outputs: usize,
}

impl std::fmt::Debug for Dense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dense(<{} weights>)", self.weights.len())
    }
}

/// One party's part of the model, and how it was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkFit {
    /// The first layer's weights of this party's columns; at party 0 also its biases.
    pub first: Dense,
    /// The further layers, at party 0.
    pub further: Vec<Dense>,
    /// Log-odds of the test rows, at party 0, where asked for.
    pub scores: Option<Vec<f64>>,
    /// How it was reached: equal at all parties.
    pub facts: NetworkFacts,
}

/// How a network was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkFacts {
    /// Epochs made.
    pub epochs: usize,
    /// The epoch whose weights were taken, from 1.
    pub best: usize,
    /// The epoch of an aborted job after which training went on; 0 where it began here.
    pub resumed: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// Rows that were trained on.
    pub train_rows: usize,
    /// Rows on which the loss was watched.
    pub validation_rows: usize,
    /// Columns of each party, party 0's ones included.
    pub widths: Vec<usize>,
    /// What hidden layers apply.
    pub activation: Hidden,
    /// Fraction bits of the first layer's weights.
    pub weight_bits: u32,
    /// Largest error of the hidden layers' series on its range (0 for rectifiers), and of the output's.
    pub series_errors: [f64; 2],
}

/// The series of hidden layers: `t(z) = 2 s(2 z) - 1` for the logistic series s on [-8, 8].
pub fn hidden_series() -> Sine {
    Sine::logistic(points::HIDDEN_RANGE_LOG2, points::HIDDEN_TERMS)
}

/// The series of the output, on [-32, 32].
pub fn output_series() -> Sine {
    Sine::logistic(points::OUTPUT_RANGE_LOG2, points::OUTPUT_TERMS)
}

/// Inputs beyond so many standard deviations count as so many.
pub const EDGE: f64 = paripassu_model::mlp::EDGE;

/// Trains jointly. See the module for what each party learns.
///
/// # Leakage
/// Rows and widths; the openings `WithinRange`, `Improved`, `Coefficients`, and `Scores` where asked for, with
/// rectifiers then `RangeExceeded`.
///
/// # Errors
/// The channel's, the ledger's; input that cannot be used; a run whose weights or scores leave the range, after the
/// epoch in which they do.
pub async fn train<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &NetworkSpec,
    input: NetworkInput,
    progress: &mut dyn Progress,
) -> Result<NetworkFit, Abort> {
    train_on(engine, spec, input, None, progress).await
}

/// The same, with its states kept after each epoch, from where an aborted job was ended; see [`course`](super::course).
///
/// # Leakage
/// As of [`train`], and where it goes on with an aborted job the opening `HeldPoints`.
///
/// # Errors
/// As of [`train`]; the course's; a state that is of another kind than the job.
pub async fn train_on<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &NetworkSpec,
    input: NetworkInput,
    course: Option<&mut dyn Course>,
    progress: &mut dyn Progress,
) -> Result<NetworkFit, Abort> {
    engine.step("train/shapes");
    spec.check()?;
    let mut run = run::Run::prepare(engine, spec, input).await?;
    run.epochs(engine, course, progress).await?;
    run.release(engine).await
}

impl NetworkSpec {
    /// Whether a network can be trained so.
    ///
    /// # Errors
    /// What is out of range.
    pub fn check(&self) -> Result<(), Abort> {
        let say = |problem: &str| Err(Abort::Input(format!("network: {problem}")));
        if !(1..=4).contains(&self.hidden.len())
            || self.hidden.iter().any(|h| !(1..=512).contains(h))
        {
            return say("1 to 4 hidden layers of 1 to 512");
        }
        if self.epochs == 0 || self.batch == 0 || self.batch > 1 << 16 {
            return say("1 epoch or more, batches of 1 to 65536 rows");
        }
        let rate = self.rate > 0.0 && self.rate <= 1.0;
        if !rate || !(0.0..1.0).contains(&self.momentum) {
            return say("a rate in (0, 1], momentum from 0 to below 1");
        }
        if !(0.0..=0.9).contains(&self.dropout) || !(0.0..=1e6).contains(&self.l2) {
            return say("dropout from 0 to 0.9, l2 from 0 to 1e6");
        }
        if self.validation_tenths > 5 || self.score_step_log2.is_some_and(|s| s > 16) {
            return say("0 to 5 validation tenths, score steps from 2^-16");
        }
        Ok(())
    }
}
