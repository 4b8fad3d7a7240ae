//! One pass over the training rows: scores, residuals, gradient, and the slopes that a Hessian needs.

use std::sync::Arc;

use paripassu_crypto::{fixed, ring64, share::Shares, sine::Sine};

use super::{
    newton,
    points::{self, Points, SlopePoints},
    run::Run,
};
use crate::{
    abort::Abort,
    arith::{Ahead, Engine, Operand, OwnerMatrix, Precision, SigmoidSpec},
    channel::Channel,
    compute::offload,
    correlation::{CorrelationSource, Request},
};

#[cfg(test)]
use super::tests::leakage::{Spill, spill};

/// Passes whose masks are made together.
const PASSES_AHEAD: usize = 4;
/// Passes at final precision that share a Hessian.
const FINE_PASSES: u32 = 4;
/// Most rows of all passes whose masks are made together.
const ROWS_AHEAD: usize = 1 << 22;

/// Passes whose masks are made together, for so many rows.
pub(super) fn passes_ahead(rows: usize) -> usize {
    (ROWS_AHEAD / rows.max(1)).clamp(1, PASSES_AHEAD)
}

/// Masks for the products with all owners' features, made for some passes ahead.
#[derive(Debug, Default)]
pub(super) struct Masks {
    scores: Vec<Ahead>,
    gradients: Vec<Ahead>,
}

impl Masks {
    /// Makes masks for the next passes where none are left for a gradient, if one comes, and for scores alone
    /// where none are left for these: a pass from party 0's own start takes none for scores, the check of the
    /// range does.
    pub(super) async fn refill<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        features: &[OwnerMatrix],
        gradient: bool,
    ) -> Result<(), Abort> {
        let left = |of: &[Ahead]| of.first().map_or(0, Ahead::left);
        let kinds: &[bool] = match (left(&self.scores), left(&self.gradients)) {
            (_, 0) if gradient => &[false, true],
            (0, _) => &[false],
            _ => return Ok(()),
        };
        let jobs: Vec<_> = kinds
            .iter()
            .flat_map(|transposed| features.iter().map(move |m| (m, *transposed)))
            .collect();
        let count = passes_ahead(features.first().map_or(0, OwnerMatrix::rows));
        let mut made = engine.ahead(&jobs, count).await?;
        let gradients = made.split_off(features.len());
        if kinds.len() == 2 {
            self.gradients = gradients;
        }
        match left(&self.scores) {
            0 => self.scores = made,
            _ => self
                .scores
                .iter_mut()
                .zip(made)
                .for_each(|(a, more)| a.extend(more)),
        }
        Ok(())
    }
}

/// How a pass is made.
pub(super) struct How<'a> {
    pub(super) series: &'a Arc<Sine>,
    pub(super) points: &'a Points,
    /// Final precision.
    pub(super) fine: bool,
    /// Whether slopes are wanted, on which rows.
    pub(super) slopes: Option<SlopePoints>,
}

impl How<'_> {
    fn precision(&self) -> Precision {
        match self.fine {
            true => points::FINE,
            false => points::COARSE,
        }
    }

    /// Fraction bits of residuals.
    fn residual(&self) -> u32 {
        match self.fine {
            true => self.points.fine_residual,
            false => self.points.residual,
        }
    }

    /// Fraction bits of the gradient.
    pub(super) fn gradient(&self) -> u32 {
        match self.fine {
            true => points::GRADIENT_FINE,
            false => points::GRADIENT_COARSE,
        }
    }
}

/// What a pass makes.
pub(super) struct Made {
    /// By weights of rows.
    pub(super) residual: Shares,
    /// Slopes of the first rows, where they were asked for.
    pub(super) slope: Option<Shares>,
    pub(super) gradient: Shares,
}

impl Run {
    /// What a pass makes at these weights, only party 0's of which differ from 0 where `by_zero`.
    pub(super) async fn gradient_at<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        masks: &mut Masks,
        (weights, short): (&[Shares], &[Shares]),
        how: &How<'_>,
        by_zero: bool,
    ) -> Result<Made, Abort> {
        let (residual, slope) = match by_zero {
            true => self.first_residuals(engine.me(), weights, how).await?,
            false => {
                let both = (weights, short);
                self.residuals(engine, masks, both, how).await?
            }
        };
        let residual = self.by_row_weights(engine, residual, by_zero).await?;
        let gradient = self.gradient(engine, masks, &residual, short, how).await?;
        Ok(Made {
            residual,
            slope,
            gradient,
        })
    }

    /// Residuals where only party 0's weights differ from 0: its scores are its own, so it makes them in
    /// the clear and enters them as its share. Nothing is sent.
    pub(super) async fn first_residuals(
        &self,
        me: usize,
        weights: &[Shares],
        how: &How<'_>,
    ) -> Result<(Shares, Option<Shares>), Abort> {
        let p = how.points;
        let slope_rows = how.slopes.map_or(0, |s| s.rows);
        let slope_frac = how.slopes.map_or(1, |s| s.frac);
        let mut residual = Shares::zeros(self.rows, how.residual());
        let mut slope = Shares::zeros(slope_rows, slope_frac);
        if let (0, Some(y)) = (me, &self.label) {
            let x = self.features[0].own()?;
            let (w, y) = (weights[0].words().to_vec(), Arc::clone(y));
            let offset = self.offset.clone();
            let gain = how.slopes.map_or(0.0, |s| self.slope_gain(p, s));
            let (frac, score) = (how.residual(), points::FEATURE + p.weight);
            let made = offload(move || -> Result<_, fixed::DoesNotFit> {
                let mut z = vec![0; y.len()];
                ring64::mat_vec(&x, &w, &mut z);
                for (z, o) in z.iter_mut().zip(offset.iter().flat_map(|o| o.iter())) {
                    *z = z.wrapping_add(fixed::encode(*o, score)?);
                }
                let sigma = |z: u64| 1.0 / (1.0 + (-fixed::decode(z, score)).exp());
                let r = z.iter().zip(y.iter());
                let r = r.map(|(z, y)| fixed::encode(sigma(*z) - f64::from(*y), frac));
                let r = r.collect::<Result<Vec<u64>, _>>()?;
                let s = z[..slope_rows].iter().map(|z| {
                    let sigma = sigma(*z);
                    fixed::encode(gain * sigma * (1.0 - sigma), slope_frac)
                });
                Ok((r, s.collect::<Result<Vec<u64>, _>>()?))
            });
            let (r, s) = made.await.map_err(|e| Abort::Input(e.to_string()))?;
            residual.words_mut().copy_from_slice(&r);
            slope.words_mut().copy_from_slice(&s);
        }
        Ok((residual, how.slopes.map(|_| slope)))
    }

    /// Residuals of all rows, and slopes of the first ones.
    pub(super) async fn residuals<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        masks: &mut Masks,
        (weights, short): (&[Shares], &[Shares]),
        how: &How<'_>,
    ) -> Result<(Shares, Option<Shares>), Abort> {
        let weights = self.inner(engine, weights, short).await?;
        let z = self.margins(engine, masks, &weights).await?;
        self.residuals_of(engine, &z, how).await
    }

    /// Residuals of rows with these scores, and slopes of the first ones.
    pub(super) async fn residuals_of<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        z: &Shares,
        how: &How<'_>,
    ) -> Result<(Shares, Option<Shares>), Abort> {
        let (mut residual, slope) = engine.sigmoid(z, &self.sigmoid_spec(how)).await?;
        let slope = how.slopes.map(|_| slope);
        if let Some(y) = &self.label {
            let one = 1u64 << how.residual();
            for (r, y) in residual.words_mut().iter_mut().zip(y.iter()) {
                *r = r.wrapping_sub(u64::from(*y).wrapping_mul(one));
            }
        }
        if let Some(inferred) = &self.inferred {
            residual.sub(inferred.at(how.fine));
        }
        #[cfg(test)]
        spill(engine, Spill::Residual, &residual).await?;
        Ok((residual, slope))
    }

    pub(super) fn sigmoid_spec(&self, how: &How<'_>) -> SigmoidSpec {
        SigmoidSpec {
            series: Arc::clone(how.series),
            precision: how.precision(),
            value_frac: how.residual(),
            slope_rows: how.slopes.map_or(0, |s| s.rows),
            slope_gain: how.slopes.map_or(0.0, |s| self.slope_gain(how.points, s)),
            slope_frac: how.slopes.map_or(0, |s| s.frac),
        }
    }

    /// All that a pass asks the source for up to its Hessian, in the order of its gates: it is made meanwhile.
    /// `by_zero` where residuals are party 0's own.
    pub(super) fn pass_requests(
        &self,
        short: &[Shares],
        how: &How<'_>,
        by_zero: bool,
    ) -> Vec<Request> {
        let mut all = match by_zero {
            true => Vec::new(),
            false => self.sigmoid_spec(how).requests(self.rows),
        };
        all.extend(self.row_weight_requests(self.rows, by_zero));
        let ridges = self.ridges.iter().zip(short);
        all.extend(ridges.map(|(m, w)| Operand::Plain(w, 1).request(m)));
        let len = self.width() as u64;
        let want = how.gradient();
        let data = points::FEATURE + how.residual() + how.points.rows_log2;
        for frac in [data, points::RIDGE + points::SHORT] {
            let by = frac - want;
            all.push(Request::Truncate { len, by });
        }
        all
    }

    /// Gradient over N' of all weights.
    pub(super) async fn gradient<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        masks: &mut Masks,
        residual: &Shares,
        short: &[Shares],
        how: &How<'_>,
    ) -> Result<Shares, Abort> {
        let mut jobs: Vec<(&OwnerMatrix, Operand<'_>)> = self
            .features
            .iter()
            .map(|m| (m, Operand::Transposed(residual, 1)))
            .collect();
        jobs.extend(
            self.ridges
                .iter()
                .zip(short)
                .map(|(m, w)| (m, Operand::Plain(w, 1))),
        );
        let mut out = engine.products_ahead(&jobs, &mut masks.gradients).await?;
        let mut ridge = out.split_off(self.features.len());
        self.add_hidden_ridge(engine, &mut ridge, short).await?;
        let ridge = joined(ridge);
        let data = joined(out);
        // divide by N' by moving the point
        let frac = data.frac() + how.points.rows_log2;
        let data = Shares::new(data.into_words(), frac);
        let want = how.gradient();
        let mut cut = engine.truncate(vec![(data, want), (ridge, want)]).await?;
        let (ridge, gradient) = (newton::one(cut.split_off(1))?, newton::one(cut)?);
        let mut gradient = self.gradient_of_columns(engine, gradient).await?;
        gradient.add(&ridge);
        #[cfg(test)]
        spill(engine, Spill::Gradient, &gradient).await?;
        Ok(gradient)
    }

    /// `m' N / (N' m)`, so that a mean over the Hessian's m rows stands for the sum over all over N'.
    fn slope_gain(&self, points: &Points, s: SlopePoints) -> f64 {
        let (m, n) = (s.rows as f64, self.rows as f64);
        2f64.powi(s.rows_log2 as i32) / m * n / 2f64.powi(points.rows_log2 as i32)
    }

    /// Shares of sigma'(0), the largest slope, for the Hessian's rows: a public value.
    pub(super) fn largest_slopes(
        &self,
        me: usize,
        points: &Points,
        s: SlopePoints,
    ) -> Result<Shares, Abort> {
        let most = fixed::encode(0.25 * self.slope_gain(points, s), s.frac)
            .map_err(|e| Abort::Input(e.to_string()))?;
        let own = if me == 0 { most } else { 0 };
        Ok(Shares::new(vec![own; s.rows], s.frac))
    }

    /// Scores of all rows, from weights of what each owner's matrix has columns for ([`Run::inner`]).
    pub(super) async fn margins<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        masks: &mut Masks,
        weights: &[Shares],
    ) -> Result<Shares, Abort> {
        let jobs: Vec<_> = self
            .features
            .iter()
            .zip(weights)
            .map(|(m, w)| (m, Operand::Plain(w, 1)))
            .collect();
        let mut parts = engine
            .products_ahead(&jobs, &mut masks.scores)
            .await?
            .into_iter();
        let mut z = parts
            .next()
            .ok_or_else(|| Abort::Input("no parties".into()))?;
        parts.for_each(|p| z.add(&p));
        self.add_offset(engine.me(), &mut z)?;
        Ok(z)
    }
}

/// Sine terms while steps are large: three quarters of the final ones.
pub(super) fn coarse_terms(fine: usize) -> usize {
    (fine * 3 / 4).max(6).min(fine)
}

/// Which passes make a Hessian.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    pub(super) fine: bool,
    /// Passes that share a Hessian while steps are large: three where it is made of a sample, because a
    /// newer one of the same sample would not bring them closer by much.
    pub(super) large: u32,
    pub(super) since_hessian: u32,
}

impl Stage {
    /// Final precision, whose first pass makes a Hessian of its own, unless the last one is to be kept.
    pub(super) fn last(self, keep: bool) -> Self {
        Self {
            fine: true,
            since_hessian: match keep {
                true => self.since_hessian,
                false => u32::MAX / 2,
            },
            ..self
        }
    }

    pub(super) fn wants_hessian(&self) -> bool {
        let passes = if self.fine { FINE_PASSES } else { self.large };
        self.since_hessian >= passes
    }
}

pub(super) fn joined(parts: Vec<Shares>) -> Shares {
    let frac = parts.first().map_or(0, Shares::frac);
    Shares::new(
        parts
            .iter()
            .flat_map(|p| p.words().iter().copied())
            .collect(),
        frac,
    )
}
