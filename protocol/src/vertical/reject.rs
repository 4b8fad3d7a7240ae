//! Reject inference: declined applicants, who have no outcome, count as bad and as good in part.
//!
//! **Functionality.** Party 0 knows which rows are declined. A first fit takes the others alone. By its scores z_i a declined row
//! is bad with probability `p_i = sigma(z_i + ln odds)`; the second fit minimises
//! `l2/2 |w|^2 + sum over accepted rows of v_i log-loss(z_i, y_i) + sum over declined rows of c v_i (p_i log-loss(z_i, 1) + (1 - p_i) log-loss(z_i, 0))`,
//! c what a declined row counts and v_i the weights of rows. Each party learns the coefficients of its own columns of the second
//! fit; party 0 the sum of p_i over the declined rows, where it marks enough of them ([`LEAST_TOLD`]); and where the job compares,
//! each party also its coefficients of the first fit.
//!
//! **How.** A declined row weighs 0 in the first fit: party 0 always holds weights of rows ([`RowWeights`](super::logistic::RowWeights)), so that the others see
//! the same messages whoever is declined. At its end, on shares, `sigma(z + ln odds)` of all rows is multiplied with party 0's
//! column of zeros and ones; with party 0's labels of accepted rows that is the label of the second fit, whose residuals are
//! `sigma(z) - y - p`. It begins where the first has ended, on shares. Nothing of p is opened but the sum.
//!
//! **Adversary.** As of training: passive, up to all but one data party if the source joins none. **Learns** what the openings
//! `InferredBads` and `KnownCoefficients` declare beside those of training; `Converged` and `RangeExceeded` of both fits, and
//! `RangeExceeded` once for each range in which `z + ln odds` is looked for. Who is declined and how many the others do not learn;
//! which of their customers count as what is in their coefficients alone, as all labels are. That the sum is told of
//! [`LEAST_TOLD`] rows or more party 0 sees to itself, which alone knows how many there are: a party 0 that does not follow the
//! protocol learns the sum over any rows it marks.
//! The helper sees that there are two fits.
//!
//! **Cost.** Of the second fit the passes from a near start (4 to 8, one or two Hessians) with a column of weights; between the two
//! a pass of scores for each range looked at, one of scores and the series, and 8 bytes a row for the product.
//! **Source.** Fuzzy augmentation: Siddiqi, Credit Risk Scorecards (2006), chapter 6; the gates are those of training.

use std::sync::Arc;

use paripassu_crypto::{fixed, share::Shares, sine::Sine};
use zeroize::Zeroizing;

use super::{
    attempts::{settle, settle_from},
    logistic::{LogisticFit, LogisticInput, LogisticSpec, Progress, label_words},
    newton::one,
    pass::How,
    points::Points,
    row_weights::{self, Weighting},
    run::{Attempt, Run},
    tuning::with_first,
};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, OwnerMatrix, Receivers},
    channel::Channel,
    correlation::CorrelationSource,
};

/// Fewer declined rows have no sum of probabilities told.
pub const LEAST_TOLD: usize = 100;
/// Smallest and largest factor of the odds.
const ODDS: std::ops::RangeInclusive<f64> = 0.1..=20.0;
/// Most that a declined row counts.
const WEIGHT: f64 = 4.0;
/// Fraction bits of the sum that is opened.
const SUM: u32 = 10;

/// What is assumed of declined rows: equal at all parties.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rejects {
    /// How many times higher their odds of bad are than those of accepted rows with the same columns, 0.1 to 20.
    pub odds: f64,
    /// What one counts, above 0 and at most 4; where above 1, [`LogisticSpec::row_weights`] says so of party 0.
    pub weight: f64,
    /// Whether each party learns its coefficients of the first fit as well.
    pub compare: bool,
}

/// Both fits, as far as this party learns them.
#[derive(Clone)]
pub struct Augmented {
    /// Of all rows.
    pub fit: LogisticFit,
    /// Of accepted rows alone, where the job compares.
    pub known: Option<LogisticFit>,
    /// Mean probability of bad of the declined rows, at party 0, where there are at least [`LEAST_TOLD`].
    pub rate: Option<f64>,
    /// Declined rows that count, at party 0.
    pub declined: Option<usize>,
    /// Passes of the first fit.
    pub first_passes: u32,
}

impl std::fmt::Debug for Augmented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Augmented({:?})", self.fit)
    }
}

/// Shares of the labels that are inferred, with the fraction bits of residuals.
pub(super) struct Inferred {
    coarse: Shares,
    fine: Shares,
}

impl Inferred {
    pub(super) fn at(&self, fine: bool) -> &Shares {
        if fine { &self.fine } else { &self.coarse }
    }
}

/// Trains on accepted rows, infers what declined ones are, and trains on all. Party 0 gives `declined`, one a row; the labels
/// of declined rows are not looked at. See the module for what each party learns.
///
/// # Leakage
/// As of [`train`](fn@super::logistic::train), for both fits; and the openings `InferredBads`, and `KnownCoefficients` where asked for.
///
/// # Errors
/// As of training, in either fit; a factor or weight out of range; where no row is declined.
pub async fn train_with_rejects<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &LogisticSpec,
    rejects: &Rejects,
    declined: Option<Vec<bool>>,
    input: LogisticInput,
    progress: &mut dyn Progress,
) -> Result<Augmented, Abort> {
    let (me, rows) = (engine.me(), input.rows);
    let sound = ODDS.contains(&rejects.odds) && rejects.weight > 0.0 && rejects.weight <= WEIGHT;
    if !sound || spec.standard_errors {
        return Err(Abort::Input(
            "reject inference takes odds from 0.1 to 20 and a weight above 0 and at most 4, and gives no standard errors".into(),
        ));
    }
    if declined.is_some() != (me == 0) || declined.as_ref().is_some_and(|d| d.len() != rows) {
        return Err(Abort::Input(
            "party 0 alone says which rows are declined, of every row".into(),
        ));
    }
    let mut spec = spec.clone();
    spec.row_weights = with_first(&spec.row_weights);
    spec.check(&input.signs)?;
    let mut input = input;
    if input.x.len() != rows * input.cols {
        return Err(Abort::Input("design matrix and its sizes disagree".into()));
    }
    let (mut marks, mut second) = (None, None);
    if let Some(declined) = declined {
        let base = input.row_weights.take().unwrap_or_else(|| vec![1.0; rows]);
        let count = |(w, d): (&f64, &bool)| *d && *w > 0.0;
        marks = Some(base.iter().zip(&declined).map(count).collect::<Vec<bool>>());
        let weigh = |by: f64| {
            let one = |(w, d): (&f64, &bool)| if *d { w * by } else { *w };
            base.iter().zip(&declined).map(one).collect::<Vec<f64>>()
        };
        second = Some(weigh(rejects.weight));
        input.row_weights = Some(weigh(0.0));
        input.label = input
            .label
            .take()
            .map(|y| known_labels(y, &declined))
            .transpose()?;
    }
    if second.is_none() {
        second.clone_from(&input.row_weights);
    }
    engine.step("train/shapes");
    let label = label_words(me, rows, input.label.take())?;
    let mut run = Run::prepare(engine, &spec, input, label, &[], "train/features").await?;
    engine.step("train/declined");
    let mine = row_weights::own(&spec.row_weights, run.row_scale(), me, rows, second)?;
    let all = Weighting::register(engine, &spec.row_weights, rows, mine).await?;
    let column = marks
        .as_ref()
        .map(|m| m.iter().map(|d| i32::from(*d)).collect());
    let column = engine.register(0, rows, 1, 0, column).await?;

    let (mut passes, mut hessians) = (0, 0);
    let first = settle(&mut run, engine, (&mut passes, &mut hessians), progress).await?;
    let first_passes = passes;
    let known = match rejects.compare {
        true => {
            engine.step("release/known-coefficients");
            let facts = run.facts(&first, hessians)?;
            let of = |party| Opening::KnownCoefficients { party };
            Some(run.release_as(engine, &first, facts, of).await?)
        }
        false => None,
    };
    let inferred = run.infer(engine, &first, &column, rejects.odds).await?;
    let declined = marks.map(|m| m.iter().filter(|d| **d).count());
    let rate = rate(engine, inferred.at(true), declined).await?;
    run.inferred = Some(inferred);
    run.weighting = all;
    let start = first.into_start(true);
    let made = settle_from(
        &mut run,
        engine,
        (&mut passes, &mut hessians),
        Some(&start),
        progress,
    );
    let attempt = made.await?;
    let facts = run.facts(&attempt, hessians)?;
    let fit = run.release(engine, &attempt, facts).await?;
    Ok(Augmented {
        fit,
        known,
        rate,
        declined,
        first_passes,
    })
}

/// Labels of accepted rows, 0 elsewhere.
fn known_labels(mut label: Vec<u8>, declined: &[bool]) -> Result<Vec<u8>, Abort> {
    if label.len() != declined.len() {
        return Err(Abort::Input(
            "party 0 gives one label, 0 or 1, per row".into(),
        ));
    }
    let accepted = || label.iter().zip(declined).filter(|(_, d)| !**d);
    let bads = accepted().filter(|(y, _)| **y == 1).count();
    if bads == 0 || bads == accepted().count() {
        return Err(Abort::Input(
            "all accepted training rows have the same label: nothing can be learnt".into(),
        ));
    }
    if declined.iter().all(|d| !d) {
        return Err(Abort::Input(
            "no training row is declined: there is nothing to infer; leave reject inference out"
                .into(),
        ));
    }
    let of_declined = label.iter_mut().zip(declined).filter(|(_, d)| **d);
    of_declined.for_each(|(y, _)| *y = 0);
    Ok(label)
}

/// The mean of what is inferred, at party 0, which knows of how many rows: a sum, or 0 where these are few.
async fn rate<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    inferred: &Shares,
    declined: Option<usize>,
) -> Result<Option<f64>, Abort> {
    engine.step("train/inferred-rate");
    let opening = Opening::InferredBads;
    engine.announce(opening, Receivers::One(0), 1)?;
    let words = inferred.words().iter();
    let sum = words.fold(0u64, |sum, w| sum.wrapping_add(*w));
    let sum = Shares::new(vec![sum], inferred.frac());
    let told = declined.filter(|n| *n >= LEAST_TOLD);
    // whether it is told, the others do not see
    let flag = declined.map(|_| vec![i32::from(told.is_some())]);
    let flag = engine.register(0, 1, 1, 0, flag).await?;
    let sum = engine.weighted(std::slice::from_ref(&flag), &sum).await?;
    let sum = sum.into_iter().map(|w| (w.rows, SUM)).collect();
    let sum = one(engine.truncate(sum).await?)?;
    let opened = Zeroizing::new(engine.open(sum, opening, Receivers::One(0)).await?);
    let rate = told.zip(opened.first());
    Ok(rate.map(|(n, word)| (fixed::decode(*word, SUM) / n as f64).clamp(0.0, 1.0)))
}

impl Run {
    /// Probabilities of bad of the rows that `column` marks, where `attempt` has ended, on shares.
    async fn infer<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        attempt: &Attempt,
        column: &OwnerMatrix,
        odds: f64,
    ) -> Result<Inferred, Abort> {
        let least = attempt.series.period_log2() - 2;
        let mut ranges = self.spec.ranges();
        ranges.retain(|range| *range >= least);
        let widest = ranges.last().copied().unwrap_or(least);
        for range_log2 in ranges {
            engine.step(format_args!("train/inferred-range-{range_log2}"));
            if !self
                .scores_within(engine, attempt, range_log2, odds.ln())
                .await?
            {
                continue;
            }
            engine.step("train/inferred");
            return self
                .inferred(engine, attempt, range_log2, column, odds)
                .await;
        }
        Err(Abort::OutOfRange {
            step: "train/inferred".into(),
            problem: format!(
                "scores of training rows with the factor of declined ones leave the sigmoid's range of ±{}: winsorise or bin the \
                 columns with long tails, raise model.l2, or lower reject_inference.odds",
                1u64 << widest
            ),
        })
    }

    async fn inferred<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        attempt: &Attempt,
        range_log2: u32,
        column: &OwnerMatrix,
        odds: f64,
    ) -> Result<Inferred, Abort> {
        let series = Arc::new(Sine::logistic(range_log2, self.fine_terms(range_log2)));
        let points = Points::new(
            self.rows,
            self.width(),
            self.hessian_rows,
            series.period_log2(),
            self.row_scale().headroom,
        )?;
        let weights = match points.weight < attempt.points.weight {
            true => {
                let cut = attempt.weights.iter();
                let cut = cut.map(|w| (w.duplicate(), points.weight)).collect();
                engine.truncate(cut).await?
            }
            false => attempt.weights.iter().map(Shares::duplicate).collect(),
        };
        let z = self.raised(engine, attempt, &weights, odds.ln()).await?;
        let how = How {
            series: &series,
            points: &points,
            fine: true,
            slopes: None,
        };
        let (bad, _) = engine.sigmoid(&z, &self.sigmoid_spec(&how)).await?;
        let made = engine.weighted(std::slice::from_ref(column), &bad).await?;
        let fine = one(made.into_iter().map(|w| w.rows).collect())?;
        let coarse = match points.residual < fine.frac() {
            true => one(engine
                .truncate(vec![(fine.duplicate(), points.residual)])
                .await?)?,
            false => fine.duplicate().widened(points.residual),
        };
        Ok(Inferred { coarse, fine })
    }
}
