//! One training run: what stays the same through all attempts, and the passes of an attempt.

use std::sync::Arc;

use paripassu_crypto::{fixed, share::Shares, sine::Sine};
use zeroize::Zeroizing;

use super::{
    alone,
    logistic::{
        LogisticFit, LogisticInput, LogisticSpec, Progress, SolverFacts, Stop, widths,
        with_intercept,
    },
    newton::{self, Inverse},
    points::{self, Points},
    whiten::{Whitened, encode_matrix, ridge_words},
};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Operand, OwnerMatrix, Receivers, SigmoidSpec},
    channel::Channel,
    compute::offload,
    correlation::CorrelationSource,
};

/// Rows of the Hessian by default, at least: a sample may lack the few rows that carry a column's
/// tail, and then steps along it are too long.
const HESSIAN_ROWS: usize = 32_768;
/// Steps below this switch to the final number of terms and finer gradients.
const COARSE_TOLERANCE: f64 = 5e-3;
/// Entries and trace of `I - H Y` allowed in a step that settles, in units of 2^-6.
const INVERSE_LIMIT: u16 = 8;
/// Fraction bits at which that difference is compared: 2^48 units are 2^-6.
const INVERSE_POINT: u32 = 54;

/// What stays the same through all attempts.
pub(super) struct Run {
    spec: LogisticSpec,
    rows: usize,
    hessian_rows: usize,
    widths: Vec<usize>,
    mine: Whitened,
    ridge: Vec<u64>,
    label: Option<Zeroizing<Vec<u8>>>,
    features: Vec<OwnerMatrix>,
    /// Whitened weights to begin with: party 0's own fit, zeros elsewhere.
    start: Zeroizing<Vec<f64>>,
    ridges: Vec<OwnerMatrix>,
    unwhiten: Vec<OwnerMatrix>,
}

/// One attempt at one range.
pub(super) struct Attempt {
    pub(super) settled: bool,
    pub(super) passes: u32,
    pub(super) hessians: u32,
    series: Arc<Sine>,
    points: Points,
    weights: Vec<Shares>,
}

impl Run {
    pub(super) async fn prepare<C: Channel, S: CorrelationSource>(
        engine: &mut Engine<C, S>,
        spec: &LogisticSpec,
        input: LogisticInput,
        label: Option<Vec<u8>>,
    ) -> Result<Self, Abort> {
        let LogisticInput {
            mut x,
            mut cols,
            rows,
            ..
        } = input;
        let mut penalty = vec![spec.l2; cols];
        let mut alone = None;
        let l2 = spec.l2;
        let mut label = label;
        if let Some(y) = label.take() {
            (x, alone, label) = offload(move || {
                let alone = alone::fit(&x, &y, cols, l2);
                (with_intercept(&x, cols, rows), alone, Some(y))
            })
            .await;
            cols += 1;
            penalty.insert(0, 0.0);
        }
        let widths = widths(engine, rows, cols).await?;
        let mine = offload(move || Whitened::new(&x, rows, cols, &penalty)).await?;
        let start = alone.map_or_else(|| vec![0.0; cols], |w| mine.weights(&w));
        let start = Zeroizing::new(start);
        let d: usize = widths.iter().sum();
        let hessian_rows = spec
            .hessian_rows
            .unwrap_or((64 * d).max(HESSIAN_ROWS))
            .min(points::HESSIAN_ROWS_MAX)
            .clamp(1, rows);
        let ridge = ridge_words(mine.ridge())?;
        let mut run = Self {
            spec: spec.clone(),
            rows,
            hessian_rows,
            widths,
            mine,
            ridge,
            label: label.map(Zeroizing::new),
            features: Vec::new(),
            start,
            ridges: Vec::new(),
            unwhiten: Vec::new(),
        };
        engine.step("train/features");
        for p in 0..engine.parties() {
            let d = run.widths[p];
            let own = p == engine.me();
            let give = |m: Result<Vec<i32>, Abort>| if own { m.map(Some) } else { Ok(None) };
            let z = give(if own {
                run.mine.features(points::FEATURE)
            } else {
                Ok(vec![])
            })?;
            run.features
                .push(engine.register(p, rows, d, points::FEATURE, z).await?);
            let r = give(encode_matrix(run.mine.ridge(), points::RIDGE))?;
            run.ridges
                .push(engine.register(p, d, d, points::RIDGE, r).await?);
            let t = give(encode_matrix(run.mine.unwhiten(), points::UNWHITEN))?;
            run.unwhiten
                .push(engine.register(p, d, d, points::UNWHITEN, t).await?);
        }
        Ok(run)
    }

    /// After an attempt that failed: Hessians of all rows, in case the sample was the cause.
    pub(super) fn use_all_rows(&mut self) {
        let all = self.rows.min(points::HESSIAN_ROWS_MAX);
        self.hessian_rows = self.hessian_rows.max(all);
    }

    pub(super) async fn attempt<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        range_log2: u32,
        passes_before: u32,
        careful: bool,
        progress: &mut dyn Progress,
    ) -> Result<Attempt, Abort> {
        let fine_terms = self.spec.terms.unwrap_or(match range_log2 {
            ..=3 => 12,
            // five quarters of the range: the series is then exact to 3e-6
            r => 5 << (r - 2),
        });
        let coarse_terms = coarse_terms(fine_terms);
        let fine = Arc::new(Sine::logistic(range_log2, fine_terms));
        let coarse = Arc::new(Sine::logistic(range_log2, coarse_terms));
        let points = Points::new(self.rows, self.hessian_rows, fine.period_log2())?;
        let mut weights = self.begin(engine.me(), points.weight)?;
        let mut short = self.begin(engine.me(), points::SHORT)?;
        let mut stage = Stage {
            fine: false,
            large: if careful || self.hessian_rows == self.rows {
                1
            } else {
                3
            },
            since_hessian: 0,
        };
        let mut inverse: Option<Inverse> = None;
        let mut hessians = 0;
        // whether the last Hessian was made of slopes, not of their bound
        let mut real = false;
        let most = match self.spec.stop {
            Stop::Bit => self.spec.max_passes,
            Stop::After(n) => n,
        };
        for t in 1..=most {
            let pass = passes_before + t;
            engine.step(format_args!("train/pass-{pass}"));
            if let Stop::After(n) = self.spec.stop
                && t + 3 > n
                && !stage.fine
            {
                stage = stage.last();
            }
            let series = if stage.fine { &fine } else { &coarse };
            let refresh = stage.wants_hessian() || inverse.is_none();
            // the first Hessian is the largest there can be: what is far out does not overshoot
            let bound = inverse.is_none() && !stage.fine;
            let slopes = refresh && !bound;
            let (gradient, mut slope) = self
                .gradient(
                    engine, &weights, &short, series, &points, slopes, stage.fine,
                )
                .await?;
            if bound {
                slope = Some(self.largest_slopes(engine.me(), &points)?);
            }
            if let Some(slope) = slope {
                let rows_log2 = points.hessian_rows_log2;
                let h = newton::hessian(engine, &self.features, &slope, rows_log2, &self.ridge);
                let h = h.await?;
                // while steps are large the Hessian may change by any factor, and from the bound it does
                let before = inverse.as_ref().filter(|_| stage.fine && real);
                let d = self.width();
                let next = newton::inverse(engine, &h, d, before, points.headroom).await?;
                inverse = Some(next);
                hessians += 1;
                real = !bound;
                // the bound is for one pass
                stage.since_hessian = if bound { u32::MAX / 2 } else { 0 };
            }
            stage.since_hessian += 1;
            let Some(inv) = &inverse else { continue };
            let d = self.width();
            let step = engine.matmul(&inv.inverse, &gradient, d, d, 1).await?;
            let cut = vec![(step.duplicate(), points.weight), (step, points::SHORT)];
            let mut cut = engine.truncate(cut).await?;
            let steps = self.split(&newton::one(cut.split_off(1))?);
            for (w, s) in weights.iter_mut().zip(self.split(&newton::one(cut)?)) {
                w.sub(&s);
            }
            for (w, s) in short.iter_mut().zip(&steps) {
                w.sub(s);
            }
            progress.pass(pass, passes_before + most, stage.fine);
            let ask = self.spec.stop == Stop::Bit || t == most;
            if ask && self.settled(engine, &steps, inv, stage.fine, pass).await? {
                if stage.fine {
                    let passes = pass;
                    return Ok(Attempt {
                        settled: true,
                        passes,
                        hessians,
                        series: fine,
                        points,
                        weights,
                    });
                }
                stage = stage.last();
            }
        }
        let passes = passes_before + most;
        Ok(Attempt {
            settled: false,
            passes,
            hessians,
            series: fine,
            points,
            weights,
        })
    }

    fn width(&self) -> usize {
        self.widths.iter().sum()
    }

    /// Gradient over N' of all weights, and the slopes that the Hessian needs.
    async fn gradient<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        weights: &[Shares],
        short: &[Shares],
        series: &Arc<Sine>,
        points: &Points,
        slopes: bool,
        fine: bool,
    ) -> Result<(Shares, Option<Shares>), Abort> {
        let z = self.margins(engine, weights).await?;
        let spec = SigmoidSpec {
            series: Arc::clone(series),
            terms_frac: if fine { points::TERMS } else { points.terms },
            phase_frac: if fine { points::PHASE } else { points.phase },
            slope_rows: if slopes { self.hessian_rows } else { 0 },
            slope_gain: self.slope_gain(points),
            slope_frac: points::SLOPE,
        };
        let (value, slope) = engine.sigmoid(&z, &spec).await?;
        let mut residual = match fine {
            true => newton::one(engine.truncate(vec![(value, points.residual)]).await?)?,
            false => value,
        };
        let slope = match slopes {
            true => Some(newton::one(
                engine.truncate(vec![(slope, points.slope)]).await?,
            )?),
            false => None,
        };
        if let Some(y) = &self.label {
            let one = 1u64 << points.residual;
            for (r, y) in residual.words_mut().iter_mut().zip(y.iter()) {
                *r = r.wrapping_sub(u64::from(*y).wrapping_mul(one));
            }
        }
        let mut jobs: Vec<(&OwnerMatrix, Operand<'_>)> = self
            .features
            .iter()
            .map(|m| (m, Operand::Transposed(&residual, 1)))
            .collect();
        jobs.extend(
            self.ridges
                .iter()
                .zip(short)
                .map(|(m, w)| (m, Operand::Plain(w, 1))),
        );
        let mut out = engine.products(&jobs).await?;
        let ridge = joined(out.split_off(self.features.len()));
        let data = joined(out);
        // divide by N' by moving the point
        let frac = data.frac() + points.rows_log2;
        let data = Shares::new(data.into_words(), frac);
        let want = if fine {
            points::GRADIENT_FINE
        } else {
            points::GRADIENT_COARSE
        };
        let mut cut = engine.truncate(vec![(data, want), (ridge, want)]).await?;
        let (ridge, mut gradient) = (newton::one(cut.split_off(1))?, newton::one(cut)?);
        gradient.add(&ridge);
        Ok((gradient, slope))
    }

    /// `m' N / (N' m)`, so that a mean over the Hessian's m rows stands for the sum over all over N'.
    fn slope_gain(&self, points: &Points) -> f64 {
        let (m, n) = (self.hessian_rows as f64, self.rows as f64);
        2f64.powi(points.hessian_rows_log2 as i32) / m * n / 2f64.powi(points.rows_log2 as i32)
    }

    /// Shares of sigma'(0), the largest slope, for the Hessian's rows: a public value.
    fn largest_slopes(&self, me: usize, points: &Points) -> Result<Shares, Abort> {
        let most = fixed::encode(0.25 * self.slope_gain(points), points.slope)
            .map_err(|e| Abort::Input(e.to_string()))?;
        let own = if me == 0 { most } else { 0 };
        Ok(Shares::new(vec![own; self.hessian_rows], points.slope))
    }

    async fn margins<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        weights: &[Shares],
    ) -> Result<Shares, Abort> {
        let jobs: Vec<_> = self
            .features
            .iter()
            .zip(weights)
            .map(|(m, w)| (m, Operand::Plain(w, 1)))
            .collect();
        let mut parts = engine.products(&jobs).await?.into_iter();
        let mut z = parts
            .next()
            .ok_or_else(|| Abort::Input("no parties".into()))?;
        parts.for_each(|p| z.add(&p));
        Ok(z)
    }

    /// Shares of the weights to begin with.
    fn begin(&self, me: usize, frac: u32) -> Result<Vec<Shares>, Abort> {
        let mut all: Vec<Shares> = self
            .widths
            .iter()
            .map(|d| Shares::zeros(*d, frac))
            .collect();
        for (word, u) in all[me].words_mut().iter_mut().zip(self.start.iter()) {
            *word = fixed::encode(*u, frac).map_err(|e| Abort::Input(e.to_string()))?;
        }
        Ok(all)
    }

    fn split(&self, all: &Shares) -> Vec<Shares> {
        let mut at = 0;
        self.widths
            .iter()
            .map(|d| {
                at += d;
                all.slice(at - d..at)
            })
            .collect()
    }

    /// Whether every coefficient's step is below the tolerance and the inverse is one: one bit.
    async fn settled<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        steps: &[Shares],
        inverse: &Inverse,
        fine: bool,
        pass: u32,
    ) -> Result<bool, Abort> {
        let jobs: Vec<_> = self
            .unwhiten
            .iter()
            .zip(steps)
            .map(|(m, s)| (m, Operand::Plain(s, 1)))
            .collect();
        let step = joined(engine.products(&jobs).await?);
        let tolerance = if fine {
            self.spec.tolerance
        } else {
            COARSE_TOLERANCE
        };
        let bound =
            fixed::encode(tolerance, step.frac()).map_err(|e| Abort::Input(e.to_string()))?;
        let bound = if engine.me() == 0 { bound } else { 0 };
        // |step| < bound: both step - bound and -step - bound are negative
        let mut words = step.words().to_vec();
        words.extend(step.words().iter().map(|w| w.wrapping_neg()));
        words.iter_mut().for_each(|w| *w = w.wrapping_sub(bound));
        let both = Shares::new(words, step.frac());
        // I - H Y is an even power of a matrix with real spectrum: its trace bounds its eigenvalues
        let d = self.width();
        let trace = inverse.error.words().iter().step_by(d + 1);
        let trace = trace.fold(0u64, |sum, w| sum.wrapping_add(*w));
        let mut error = inverse.error.words().to_vec();
        error.push(trace);
        let error = Shares::new(error, inverse.error.frac()).widened(INVERSE_POINT);
        let opening = Opening::Converged { pass };
        engine
            .all_negative_and_within(&both, &error, INVERSE_LIMIT, opening)
            .await
    }

    /// Whether all training rows' scores lie where the series is a sigmoid: one bit.
    pub(super) async fn within_range<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        attempt: &Attempt,
    ) -> Result<bool, Abort> {
        engine.step(format_args!("train/range-{}", attempt.passes));
        let range_log2 = attempt.series.period_log2() - 2;
        // 2^48 units are R / 64
        let frac = 54 - points::FEATURE - range_log2;
        let cut = attempt
            .weights
            .iter()
            .map(|w| (w.duplicate(), frac))
            .collect();
        let weights = engine.truncate(cut).await?;
        let z = self.margins(engine, &weights).await?;
        // beyond R the series is sigma(2R - z), within 1e-4 of sigma(z) up to 2R - 9.2
        let range = attempt.series.range();
        let bound = range.max(2.0 * range - 9.2);
        let limit = (bound / range * 64.0) as u16;
        engine.all_within(&z, limit, Opening::RangeExceeded).await
    }

    pub(super) fn facts(&self, attempt: &Attempt, hessians: u32) -> Result<SolverFacts, Abort> {
        Ok(SolverFacts {
            passes: attempt.passes,
            hessians,
            hessian_rows: self.hessian_rows,
            range: attempt.series.range(),
            terms: attempt.series.terms(),
            sigmoid_error: attempt.series.max_error(),
            points: attempt.points,
            widths: self.widths.clone(),
        })
    }

    /// Opens each party's weights to itself.
    pub(super) async fn release<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        attempt: Attempt,
        facts: SolverFacts,
    ) -> Result<LogisticFit, Abort> {
        engine.step("release/coefficients");
        let mut own = Vec::new();
        for (p, w) in attempt.weights.into_iter().enumerate() {
            let party = p as u8;
            let opening = Opening::Coefficients { party };
            let words = Zeroizing::new(engine.open(w, opening, Receivers::One(party)).await?);
            if p == engine.me() {
                own = words
                    .iter()
                    .map(|w| fixed::decode(*w, attempt.points.weight))
                    .collect();
            }
        }
        let mut coefficients = self.mine.coefficients(own);
        let intercept =
            (engine.me() == 0 && !coefficients.is_empty()).then(|| coefficients.remove(0));
        Ok(LogisticFit {
            coefficients,
            intercept,
            facts,
        })
    }
}

/// Sine terms while steps are large: three quarters of the final ones.
fn coarse_terms(fine: usize) -> usize {
    (fine * 3 / 4).max(6).min(fine)
}

/// Which passes make a Hessian.
#[derive(Clone, Copy)]
struct Stage {
    fine: bool,
    /// Passes that share a Hessian while steps are large: three where it is made of a sample, because a
    /// newer one of the same sample would not bring them closer by much.
    large: u32,
    since_hessian: u32,
}

impl Stage {
    /// Final precision, whose first pass makes a Hessian of its own.
    fn last(self) -> Self {
        Self {
            fine: true,
            since_hessian: u32::MAX / 2,
            ..self
        }
    }

    fn wants_hessian(&self) -> bool {
        self.since_hessian >= if self.fine { 3 } else { self.large }
    }
}

fn joined(parts: Vec<Shares>) -> Shares {
    let frac = parts.first().map_or(0, Shares::frac);
    Shares::new(
        parts
            .iter()
            .flat_map(|p| p.words().iter().copied())
            .collect(),
        frac,
    )
}
