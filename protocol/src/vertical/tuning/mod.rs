//! Which penalties predict best: cross-validation on shares.
//!
//! **Functionality.** For each of k folds of the training rows and each pair of a ridge and an L1 penalty of two lists, the model is
//! fitted on the other folds and its squared error summed over the rows of the fold: `sum (sigma(z_i) - y_i)^2`; where L1 penalties are
//! listed, also how many columns of all parties that fit leaves in, the coefficients that are not 0. All data parties learn these
//! numbers; from them all pick the same pair ([`Tuned::chosen`]). Party 0 alone knows which rows are in which fold.
//! Coefficients, scores and residuals of trials stay shared and are forgotten.
//!
//! **How.** Which rows count is a column of zeros and ones of party 0's, as weights of rows are ([`RowWeights`]), so that the same masked
//! columns serve all trials; with a fold's column another one marks the rows left out. A trial is training that ends when a step is small
//! before the last passes' precision (at most 5e-3 a standardised coefficient, and Newton's next would be far smaller), then the check of the
//! sigmoid's range, then residuals at full precision, multiplied with the marks and with themselves. The ridge's term is linear in the
//! ridge: columns are whitened for the largest of the list. An L1 penalty is the threshold of proximal steps, which each owner enters
//! anew; columns that a fit leaves in are counted by comparing each coefficient with 0 on shares, and their sum alone is opened.
//!
//! Trials go from the strongest penalties to the weakest, L1 penalties within a ridge: a path on which columns enter. A trial begins where the
//! one before it has ended, on shares: another fold of the same penalties, or the next penalty of the same ridge, is so near
//! that a Hessian made there serves several passes; with another ridge Hessians are made as in training. Where that does not settle in
//! two fifths of the passes, the trial begins anew as training does, with what is left of them.
//!
//! **Adversary.** As of training: passive, up to all but one data party if the source joins none. **Learns** what the openings `TrialLoss`,
//! `TrialColumns`, `Converged` and `RangeExceeded` declare, each for each trial. A sum over the rows of a fold is an aggregate of at least N/k rows,
//! cut to 2^-10; the folds of one pair add up to about the error over all rows, and differ by penalty as little as penalties do. The
//! number of columns left in is of all parties together; of the fit to all rows each knows its own after release.
//!
//! **Cost.** A trial: the passes to a small step (3 to 6 and as many Hessians for the first of a ridge, 2 to 4 and one or two Hessians for
//! the others), a range check, one more pass of scores and residuals, 16 bytes a row from each party for
//! the product; with L1 penalties a comparison of twice the columns. A fold: 16 bytes a row from party 0 to each other.
//! **Source.** Cross-validation and the rule of one standard error: Breiman, Friedman, Olshen and Stone, Classification and Regression Trees
//! (1984), section 3.4.3; paths from the strongest penalty with warm starts: Friedman, Hastie and Tibshirani (Journal of Statistical
//! Software 33, 2010, section 2.5); the gates are those of training.

mod choice;

use paripassu_crypto::{fixed, share::Shares};
use zeroize::Zeroizing;

use choice::Told;
pub use choice::{Penalties, Rule, Tuned, Tuning};

use super::{
    attempts::give_up,
    kept::Along,
    logistic::{LogisticSpec, Method, Progress, Stop},
    newton,
    pass::How,
    points,
    row_weights::{self, RowWeights, Weighting},
    run::{Attempt, Run, Start},
    whiten::{encode_matrix, ridge_words},
};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Operand, Receivers},
    channel::Channel,
    correlation::CorrelationSource,
};

/// Fraction bits of residuals whose squares are summed, at most.
const RESIDUAL: u32 = 20;
/// Least passes that are divided between a trial's first beginning and another.
const LEAST_TO_SPLIT: u32 = 15;
/// Fraction bits of the sums that are opened.
const LOSS: u32 = 10;

/// Where a trial begins, and its most passes from there. A level that the trial before saw no bad of has all but no slope at that one's
/// end; with one Newton's step then goes far beyond the range. So what does not settle in two fifths of Newton's passes begins anew.
fn begun_at<'a>(
    near: Option<&'a Start>,
    spec: &LogisticSpec,
) -> impl Iterator<Item = (Option<&'a Start>, u32)> + use<'a> {
    let newton = spec.method == Method::Newton;
    let all = spec.max_passes;
    let first = match spec.stop {
        Stop::Bit if newton && near.is_some() && all >= LEAST_TO_SPLIT => all * 2 / 5,
        _ => all,
    };
    let anew = (first < all).then_some((None, all - first));
    [(near, first)].into_iter().chain(anew)
}

/// Rows of a fold: of so many rows dealt out in turn.
fn rows_of_fold(rows: usize, folds: usize, fold: usize) -> usize {
    rows / folds + usize::from(fold < rows % folds)
}

/// Which fold each row is left out in, stratified by the label and otherwise by `order`, a random permutation of the rows: folds differ by at
/// most one row in all, and by at most one of each label.
pub fn stratified(label: &[u8], folds: usize, order: &[usize]) -> Vec<u8> {
    let mut all = vec![0; label.len()];
    let bads = order.iter().filter(|row| label[**row] == 1);
    let goods = order.iter().filter(|row| label[**row] != 1);
    for (place, row) in bads.chain(goods).enumerate() {
        all[*row] = (place % folds.max(1)) as u8;
    }
    all
}

impl Run {
    /// Makes all trials, and leaves this run with the penalties that were chosen.
    pub(super) async fn tune<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        tuning: &Tuning,
        folds: Option<Vec<u8>>,
        weights: Option<Vec<f64>>,
        progress: &mut dyn Progress,
    ) -> Result<Tuned, Abort> {
        let (rows, k) = (self.rows, tuning.folds);
        let sound = (2..=50).contains(&k) && rows >= 2 * k;
        let given = folds.is_some() == (engine.me() == 0)
            && folds.as_ref().is_none_or(|f| {
                f.len() == rows
                    && (0..k).all(|j| {
                        f.iter().filter(|x| usize::from(**x) == j).count()
                            == rows_of_fold(rows, k, j)
                    })
            });
        if !(sound && given) {
            return Err(Abort::Input(
                "trials need 2 to 50 folds of 2 rows or more, and the folds of party 0 alone"
                    .into(),
            ));
        }
        let folds = folds.map(Zeroizing::new);
        let prepared = self.l2;
        let whole = std::mem::take(&mut self.weighting);
        let grid = tuning.grid(self.spec.l1);
        let mut told = vec![Vec::with_capacity(k); grid.len()];
        let (mut passes, mut trial) = (0, 0);
        self.rough = true;
        let mut parts = Vec::with_capacity(k);
        for fold in 0..k {
            engine.step(format_args!("train/fold-{fold}"));
            let counts = |row: usize| folds.as_ref().is_some_and(|f| usize::from(f[row]) != fold);
            let mine = self.fold_weights(engine.me(), weights.as_deref(), &counts)?;
            row_weights::check_enough(mine.as_deref(), &self.widths)?;
            let declared = self.spec.row_weights_in_trials();
            let weighting = Weighting::register(engine, &declared, rows, mine).await?;
            let left_out =
                (engine.me() == 0).then(|| (0..rows).map(|row| i32::from(!counts(row))).collect());
            let left_out = engine.register(0, rows, 1, 0, left_out).await?;
            parts.push((weighting, left_out));
        }
        // the strongest penalties first: they settle soonest, and what does not settle is known before all is done
        let mut start: Option<Start> = None;
        let mut ridge = None;
        for (g, penalties) in grid.iter().enumerate().rev() {
            if ridge.replace(penalties.l2) != Some(penalties.l2) {
                engine.step(format_args!("train/ridge-{g}"));
                self.use_ridge(engine, prepared, penalties.l2).await?;
                // with another ridge Hessians are made as in training
                start = start.map(Start::far);
            }
            self.use_l1(penalties.l1)?;
            for (weighting, left_out) in &mut parts {
                engine.step(format_args!("train/trial-{trial}"));
                std::mem::swap(&mut self.weighting, weighting);
                let begun = start.as_ref();
                let along = &mut Along::unkept(progress);
                let attempt = self.trial(engine, &mut passes, begun, along).await?;
                engine.step(format_args!("train/loss-{trial}"));
                let path = tuning.is_path();
                let (sum, columns) = self.loss(engine, &attempt, left_out, trial, path).await?;
                std::mem::swap(&mut self.weighting, weighting);
                let fold = told[g].len();
                told[g].push(Told {
                    loss: sum / rows_of_fold(rows, k, fold) as f64,
                    columns,
                });
                trial += 1;
                start = Some(attempt.into_start(true));
            }
        }
        self.rough = false;
        self.weighting = whole;
        let tuned = Tuned::new(grid, tuning.rule, told, passes);
        engine.step("train/chosen");
        if let Some(chosen) = tuned.penalties() {
            self.use_ridge(engine, prepared, chosen.l2).await?;
            self.use_l1(chosen.l1)?;
        }
        Ok(tuned)
    }

    /// The L1 penalty from now on, where steps are proximal.
    fn use_l1(&mut self, l1: f64) -> Result<(), Abort> {
        let by = self.scale.by;
        self.proximal
            .as_mut()
            .map_or(Ok(()), |of| of.penalise(l1 / by))
    }

    /// This party's weights where only some rows count: party 0's are 0 elsewhere, the others' as ever.
    fn fold_weights(
        &self,
        me: usize,
        weights: Option<&[f64]>,
        counts: &dyn Fn(usize) -> bool,
    ) -> Result<Option<Vec<f64>>, Abort> {
        let declared = self.spec.row_weights_in_trials();
        let given = match (me, weights) {
            (0, Some(weights)) => Some(weights.to_vec()),
            (0, None) => Some(vec![1.0; self.rows]),
            (_, weights) => weights.map(<[f64]>::to_vec),
        };
        let given = given.map(|mut weights| {
            for (row, w) in weights.iter_mut().enumerate().filter(|_| me == 0) {
                *w *= f64::from(u8::from(counts(row)));
            }
            weights
        });
        row_weights::own(&declared, self.scale, me, self.rows, given)
    }

    /// The ridge from now on; `prepared` is the one that columns were whitened for.
    async fn use_ridge<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        prepared: f64,
        l2: f64,
    ) -> Result<(), Abort> {
        let l2 = l2 / self.scale.by;
        self.l2 = l2;
        let ridge: Vec<f64> = self
            .mine
            .ridge()
            .iter()
            .map(|r| r * (l2 / prepared))
            .collect();
        self.ridge = ridge_words(&ridge)?;
        let mut own = Some(encode_matrix(&ridge, points::RIDGE)?);
        self.ridges.clear();
        for (p, d) in self.widths.clone().into_iter().enumerate() {
            let r = own.take_if(|_| p == engine.me());
            self.ridges
                .push(engine.register(p, d, d, points::RIDGE, r).await?);
        }
        Ok(())
    }

    /// Trains until steps are small, at the narrowest range that holds all scores, but none below the start's.
    async fn trial<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        passes: &mut u32,
        start: Option<&Start>,
        along: &mut Along<'_>,
    ) -> Result<Attempt, Abort> {
        let mut ranges = self.spec.ranges();
        // what the trial before it needed, this one will need as well
        ranges.retain(|range| start.is_none_or(|start| *range >= start.range_log2));
        let mut problem = ("no range to try", 0);
        for range_log2 in ranges {
            let near = start.filter(|start| start.range_log2 == range_log2);
            for (begun, most) in begun_at(near, &self.spec) {
                let all = std::mem::replace(&mut self.spec.max_passes, most);
                let attempt = self.attempt(engine, range_log2, *passes, false, begun, along);
                let attempt = attempt.await?;
                self.spec.max_passes = all;
                *passes = attempt.passes;
                problem = match attempt.settled {
                    true if self.within_range(engine, &attempt).await? => return Ok(attempt),
                    true => ("scores leave the sigmoid's range", range_log2),
                    false => ("its steps stay above the tolerance", range_log2),
                };
                if attempt.settled {
                    break;
                }
            }
        }
        Err(give_up(self.spec.method, problem.0, *passes, problem.1))
    }

    /// The sum of squared residuals over the rows left out, and on a path the number of columns left in: opened to all.
    async fn loss<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        attempt: &Attempt,
        left_out: &crate::arith::OwnerMatrix,
        trial: u32,
        path: bool,
    ) -> Result<(f64, Option<u32>), Abort> {
        let opening = Opening::TrialLoss { trial };
        let left_in = Opening::TrialColumns { trial };
        let split = attempt.split.as_ref().filter(|_| path);
        engine.announce(opening, Receivers::All, 1)?;
        if split.is_some() {
            engine.announce(left_in, Receivers::All, 1)?;
        }
        let how = How {
            series: &attempt.series,
            points: &attempt.points,
            fine: true,
            slopes: None,
        };
        let jobs: Vec<_> = self
            .features
            .iter()
            .zip(&attempt.weights)
            .map(|(m, w)| (m, Operand::Plain(w, 1)))
            .collect();
        let mut parts = engine.products(&jobs).await?.into_iter();
        let mut z = parts
            .next()
            .ok_or_else(|| Abort::Input("no parties".into()))?;
        parts.for_each(|p| z.add(&p));
        self.add_offset(engine.me(), &mut z)?;
        let (residual, _) = self.residuals_of(engine, &z, &how).await?;
        // squares of values below 1 summed over N' rows stay below 2^62 units
        let room = (61 - attempt.points.rows_log2) / 2;
        let frac = RESIDUAL.min(room).min(residual.frac() - 1);
        let residual = newton::one(engine.truncate(vec![(residual, frac)]).await?)?;
        let marked = engine
            .weighted(std::slice::from_ref(left_out), &residual)
            .await?;
        let marked: Vec<Shares> = marked.into_iter().map(|w| w.rows).collect();
        let marked = newton::one(marked)?;
        let sum = engine.matmul(&marked, &residual, 1, self.rows, 1).await?;
        let sum = newton::one(engine.truncate(vec![(sum, LOSS)]).await?)?;
        let kept = match split {
            Some(split) => Some(self.columns_kept(engine, split).await?),
            None => None,
        };
        let opened = engine.open(sum, opening, Receivers::All).await?;
        let loss = opened.first().map_or(f64::NAN, |w| fixed::decode(*w, LOSS));
        let Some(kept) = kept else {
            return Ok((loss, None));
        };
        let kept = engine.open(kept, left_in, Receivers::All).await?;
        let kept = kept.first().and_then(|kept| u32::try_from(*kept).ok());
        let kept = kept.filter(|kept| *kept as usize <= self.width());
        let problem = "more columns left in than there are";
        let kept = kept.ok_or_else(|| Abort::OutOfRange {
            step: engine.path().to_owned(),
            problem: problem.into(),
        })?;
        Ok((loss, Some(kept)))
    }
}

/// Weights of rows as trials declare them: party 0 always has some.
pub(super) fn with_first(declared: &[RowWeights]) -> Vec<RowWeights> {
    let mut all = declared.to_vec();
    if all.first().is_none_or(|w| w.party != 0) {
        all.insert(0, RowWeights { party: 0, max: 1.0 });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_have_as_many_of_each_label() {
        let label: Vec<u8> = (0..103).map(|i| u8::from(i % 7 == 0)).collect();
        let order: Vec<usize> = (0..103).map(|i| (i * 29) % 103).collect();
        let folds = stratified(&label, 5, &order);
        let count = |of: &dyn Fn(usize) -> bool| (0..103).filter(|i| of(*i)).count();
        for fold in 0..5 {
            let all = count(&|i| usize::from(folds[i]) == fold);
            let bad = count(&|i| usize::from(folds[i]) == fold && label[i] == 1);
            assert_eq!(all, rows_of_fold(103, 5, fold));
            assert!((3..=3).contains(&bad), "{bad}");
        }
    }
}
