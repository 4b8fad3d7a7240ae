//! Logistic regression by mini-batches: stochastic gradient descent in two rounds a batch.
//!
//! **Functionality.** As of [`super::logistic`], ended after a public number of passes: party p learns the coefficients
//! of its own columns that this many passes of gradient descent by batches of a public order reach, party 0 the
//! intercept too. All learn rows and each party's number of columns; one bit an attempt (whether a weight, or a score of
//! the first rows of that order, left its range: [`points::checked`]). Weights, scores, residuals and gradients stay
//! shared.
//!
//! **Parties.** Two to five data parties; a source of correlations (see [`crate::correlation`]) that makes masks of
//! whole batches; one that cannot refuses the first request.
//!
//! **Security model.** Passive; up to all but one data party may pool what they see, if the source joins none of them.
//! Ends with abort.
//!
//! **Method.** Each owner whitens its own columns in the clear, as for Newton's method. A batch's gradient is added to
//! what stays of the last step (heavy ball, Polyak 1964) and taken off at a public rate ([`SgdSpec::rate_of`]). It is made
//! at weights that lack the gradient of the batch before, because that one's cut travels with this one's phases. The
//! ridge is taken off once an epoch, by an implicit step. Rows are put into a public order once; so masked features are sent once. [`plain`]
//! is the same in the clear.
//!
//! **Source.** The batch itself is in [`Passes`](crate::arith::Passes); the sine series as in Squirrel (ePrint 2023/527)
//! with odd harmonics. Departures from SecureML's descent (ePrint 2017/396): no truncation of single values that can
//! fail, the sigmoid itself instead of three pieces.
//!
//! **Cost.** [`cost`]. Per row and pass to each other party 4 bytes of phase and 5 of the residual; from the helper 10 K
//! bytes for K terms, to one party after another; once, 5 bytes an entry of X to each other party. Rounds: two a batch,
//! and six an epoch (two without a ridge).
//!
//! **Precision.** [`points`]. Residuals are rounded at random and right on average; products are exact.

pub mod cost;
pub mod course;
mod features;
mod kernel;
pub mod plain;
pub mod points;
mod ridge;
mod run;

pub use course::SgdSpec;

use self::{points::Points, run::Run};
use super::logistic::{LogisticInput, Progress};
use crate::{abort::Abort, arith::Engine, channel::Channel, correlation::CorrelationSource};

/// One party's part of the model, and how it was reached.
#[derive(Clone, PartialEq)]
pub struct SgdFit {
    /// Coefficients of this party's standardised columns.
    pub coefficients: Vec<f64>,
    /// The intercept, at party 0.
    pub intercept: Option<f64>,
    /// How it was reached: equal at all parties.
    pub facts: SgdFacts,
}

impl std::fmt::Debug for SgdFit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SgdFit(<{} coefficients>, {:?})",
            self.coefficients.len(),
            self.facts
        )
    }
}

/// How a fit was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct SgdFacts {
    /// Epochs made, all ranges together.
    pub epochs: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// The sigmoid's range.
    pub range: f64,
    /// Sine terms of the last epochs.
    pub terms: usize,
    /// Largest error of the sigmoid within its range.
    pub sigmoid_error: f64,
    /// Binary points.
    pub points: Points,
    /// Columns of each party, the intercept included.
    pub widths: Vec<usize>,
}

/// Trains jointly by mini-batches. See the module for what each party learns.
///
/// # Leakage
/// Rows and widths; the openings `RangeExceeded` and `Coefficients`.
///
/// # Errors
/// The channel's, the ledger's; a source that makes no masks of batches; input that cannot be used: weights of rows,
/// offsets and signs are not; scores or weights that leave the widest range.
pub async fn train<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &SgdSpec,
    input: LogisticInput,
    progress: &mut dyn Progress,
) -> Result<SgdFit, Abort> {
    let mut run = Run::prepare(engine, spec, input).await?;
    let mut widest = 0;
    for range in spec.ranges() {
        let weights = run.epochs(engine, range, progress).await?;
        if run.within_range(engine, &weights, range).await? {
            return run.release(engine, &weights, range).await;
        }
        widest = range;
    }
    Err(Abort::OutOfRange {
        step: "train/range".into(),
        problem: format!(
            "scores or weights leave the sigmoid's range of ±{widest}: winsorise or bin the columns with long tails, \
             raise model.l2, or lower solver.rate"
        ),
    })
}
