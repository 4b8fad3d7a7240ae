//! Logistic regression over columns of several parties: the training loop.

use std::sync::Arc;

use paripassu_crypto::{fixed, share::Shares, sine::Sine};
use zeroize::Zeroizing;

use super::{
    newton::{self, Inverse},
    points::{self, Points},
    whiten::{Whitened, encode_matrix, ridge_words},
};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Operand, OwnerMatrix, Receivers, SigmoidSpec},
    channel::Channel,
    codec,
    compute::offload,
    correlation::CorrelationSource,
};

/// When training stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// When a pass's step is below the tolerance: one bit opened per pass.
    Bit,
    /// After this many passes: one bit opened at the end, which must say that it settled.
    After(u32),
}

/// The public parameters of a training run, equal at all parties.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticSpec {
    /// Ridge on the standardised scale; the intercept is not penalised.
    pub l2: f64,
    /// Largest step of a standardised coefficient at which training has settled.
    pub tolerance: f64,
    /// Passes allowed per range.
    pub max_passes: u32,
    /// When to stop.
    pub stop: Stop,
    /// log2 of the sigmoid's range, or the smallest of 4, 5, 6 that holds.
    pub range_log2: Option<u32>,
    /// Sine terms of the last passes; by default what makes the series exact to 4e-5.
    pub terms: Option<usize>,
    /// Rows that the Hessian is made of; by default at least 16,384 or 64 a column.
    pub hessian_rows: Option<usize>,
}

impl Default for LogisticSpec {
    fn default() -> Self {
        Self {
            l2: 1.0,
            tolerance: 2e-5,
            max_passes: 24,
            stop: Stop::Bit,
            range_log2: None,
            terms: None,
            hessian_rows: None,
        }
    }
}

/// One party's input: rows in the aligned order, equal at all parties.
pub struct LogisticInput {
    /// Standardised columns, row-major `[rows, cols]`.
    pub x: Vec<f64>,
    /// Number of columns.
    pub cols: usize,
    /// Rows.
    pub rows: usize,
    /// The label, 1 = bad, at party 0 only.
    pub label: Option<Vec<u8>>,
}

impl std::fmt::Debug for LogisticInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogisticInput({} x {})", self.rows, self.cols)
    }
}

/// One party's part of the model, and how it was reached.
#[derive(Clone, PartialEq)]
pub struct LogisticFit {
    /// Coefficients of this party's standardised columns.
    pub coefficients: Vec<f64>,
    /// The intercept, at party 0.
    pub intercept: Option<f64>,
    /// How it was reached: equal at all parties.
    pub facts: SolverFacts,
}

impl std::fmt::Debug for LogisticFit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "LogisticFit(<{} coefficients>, {:?})",
            self.coefficients.len(),
            self.facts
        )
    }
}

/// How a fit was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct SolverFacts {
    /// Passes made, all ranges together.
    pub passes: u32,
    /// Hessians made.
    pub hessians: u32,
    /// Rows of each Hessian.
    pub hessian_rows: usize,
    /// The sigmoid's range.
    pub range: f64,
    /// Sine terms of the last passes.
    pub terms: usize,
    /// Largest error of the sigmoid within its range.
    pub sigmoid_error: f64,
    /// Binary points.
    pub points: Points,
    /// Columns of each party, the intercept included.
    pub widths: Vec<usize>,
}

/// Told after each pass: passes made, passes allowed, and whether the final precision is reached.
pub trait Progress: Send {
    /// A pass is done.
    fn pass(&mut self, done: u32, of: u32, fine: bool);
}

impl<F: FnMut(u32, u32, bool) + Send> Progress for F {
    fn pass(&mut self, done: u32, of: u32, fine: bool) {
        self(done, of, fine);
    }
}

/// Steps below this switch to the final number of terms and finer gradients.
const COARSE_TOLERANCE: f64 = 5e-3;
/// `|I - H Y|` allowed in a step that settles, in units of 2^-6.
const INVERSE_LIMIT: u16 = 8;
/// Fraction bits at which that difference is compared: 2^48 units are 2^-6.
const INVERSE_POINT: u32 = 54;

/// Trains jointly. See the module for what each party learns.
///
/// # Leakage
/// Rows and widths; the openings `Converged`, `RangeExceeded`, `Coefficients`.
///
/// # Errors
/// The channel's, the ledger's; input that cannot be used; a fit that does not settle or whose
/// scores leave the widest range.
pub async fn train<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &LogisticSpec,
    input: LogisticInput,
    progress: &mut dyn Progress,
) -> Result<LogisticFit, Abort> {
    engine.step("train/shapes");
    let me = engine.me();
    let mut input = input;
    let label = label_words(me, &mut input)?;
    let run = Run::prepare(engine, spec, input, label).await?;
    let ranges: Vec<u32> = match spec.range_log2 {
        Some(r) => vec![r],
        None => vec![4, 5, 6],
    };
    let mut passes = 0;
    let mut hessians = 0;
    let last = ranges.len() - 1;
    for (i, range_log2) in ranges.into_iter().enumerate() {
        let attempt = run.attempt(engine, range_log2, passes, progress).await?;
        passes = attempt.passes;
        hessians += attempt.hessians;
        let problem = match attempt.settled {
            true if run.within_range(engine, &attempt).await? => {
                let facts = run.facts(&attempt, hessians)?;
                return run.release(engine, attempt, facts).await;
            }
            true => "scores leave the sigmoid's range",
            false => "its steps stay above the tolerance",
        };
        if i == last {
            return Err(give_up(problem, passes, range_log2));
        }
    }
    Err(Abort::Input("no range to try".into()))
}

fn give_up(problem: &str, passes: u32, range_log2: u32) -> Abort {
    let advice = "winsorise or bin the columns with long tails, drop columns that two parties both \
                  hold, or raise model.l2";
    if problem.starts_with("scores") {
        return Abort::OutOfRange {
            step: "train/range".into(),
            problem: format!("{problem} of ±{}: {advice}", 1u64 << range_log2),
        };
    }
    Abort::NotConverged {
        passes,
        problem: format!("{problem}: {advice}, or raise solver.max_passes"),
    }
}

fn label_words(me: usize, input: &mut LogisticInput) -> Result<Option<Vec<u8>>, Abort> {
    if input.x.len() != input.rows * input.cols {
        return Err(Abort::Input("design matrix and its sizes disagree".into()));
    }
    if input.rows == 0 {
        return Err(Abort::Input("no training rows".into()));
    }
    match (me, input.label.take()) {
        (0, Some(y)) if y.len() == input.rows && y.iter().all(|y| *y <= 1) => {
            if y.iter().all(|v| *v == y[0]) {
                return Err(Abort::Input(
                    "all training rows have the same label: nothing can be learnt".into(),
                ));
            }
            Ok(Some(y))
        }
        (0, _) => Err(Abort::Input(
            "party 0 gives one label, 0 or 1, per row".into(),
        )),
        (_, None) => Ok(None),
        (_, Some(_)) => Err(Abort::Input("only party 0 gives the label".into())),
    }
}

/// What stays the same through all attempts.
struct Run {
    spec: LogisticSpec,
    rows: usize,
    hessian_rows: usize,
    widths: Vec<usize>,
    mine: Whitened,
    ridge: Vec<u64>,
    label: Option<Zeroizing<Vec<u8>>>,
    features: Vec<OwnerMatrix>,
    hessian: Vec<OwnerMatrix>,
    ridges: Vec<OwnerMatrix>,
    unwhiten: Vec<OwnerMatrix>,
}

/// One attempt at one range.
struct Attempt {
    settled: bool,
    passes: u32,
    hessians: u32,
    series: Arc<Sine>,
    points: Points,
    weights: Vec<Shares>,
}

impl Run {
    async fn prepare<C: Channel, S: CorrelationSource>(
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
        if engine.me() == 0 {
            x = with_intercept(&x, cols);
            cols += 1;
            penalty.insert(0, 0.0);
        }
        let widths = widths(engine, rows, cols).await?;
        let mine = offload(move || Whitened::new(x, cols, &penalty)).await?;
        let d: usize = widths.iter().sum();
        let hessian_rows = spec
            .hessian_rows
            .unwrap_or((64 * d).max(16_384))
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
            hessian: Vec::new(),
            ridges: Vec::new(),
            unwhiten: Vec::new(),
        };
        engine.step("train/features");
        for p in 0..engine.parties() {
            let d = run.widths[p];
            let own = p == engine.me();
            let give = |m: Result<Vec<i32>, Abort>| if own { m.map(Some) } else { Ok(None) };
            let z = give(if own {
                run.mine.features(rows, points::FEATURE)
            } else {
                Ok(vec![])
            })?;
            run.features
                .push(engine.register(p, rows, d, points::FEATURE, z).await?);
            let h = give(match own {
                true => run.mine.features(hessian_rows, points::HESSIAN_FEATURE),
                false => Ok(vec![]),
            })?;
            let frac = points::HESSIAN_FEATURE;
            run.hessian
                .push(engine.register(p, hessian_rows, d, frac, h).await?);
            let r = give(encode_matrix(run.mine.ridge(), points::RIDGE))?;
            run.ridges
                .push(engine.register(p, d, d, points::RIDGE, r).await?);
            let t = give(encode_matrix(&run.mine.unwhiten(), points::UNWHITEN))?;
            run.unwhiten
                .push(engine.register(p, d, d, points::UNWHITEN, t).await?);
        }
        Ok(run)
    }

    async fn attempt<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        range_log2: u32,
        passes_before: u32,
        progress: &mut dyn Progress,
    ) -> Result<Attempt, Abort> {
        let fine_terms = self.spec.terms.unwrap_or(match range_log2 {
            ..=3 => 10,
            r => 1 << r,
        });
        let coarse_terms = (fine_terms / 2).max(6).min(fine_terms);
        let fine = Arc::new(Sine::logistic(range_log2, fine_terms));
        let coarse = Arc::new(Sine::logistic(range_log2, coarse_terms));
        let points = Points::new(self.rows, self.hessian_rows, fine.period_log2())?;
        let mut weights: Vec<Shares> = self
            .widths
            .iter()
            .map(|d| Shares::zeros(*d, points.weight))
            .collect();
        let mut stage = Stage {
            fine: false,
            since_hessian: 0,
        };
        let mut inverse: Option<Inverse> = None;
        let mut hessians = 0;
        let most = match self.spec.stop {
            Stop::Bit => self.spec.max_passes,
            Stop::After(n) => n,
        };
        for t in 1..=most {
            let pass = passes_before + t;
            engine.step(format_args!("train/pass-{pass}"));
            if let Stop::After(n) = self.spec.stop
                && t + 3 > n
            {
                stage.fine = true;
            }
            let series = if stage.fine { &fine } else { &coarse };
            let refresh = stage.wants_hessian() || inverse.is_none();
            let (gradient, slope) = self
                .gradient(engine, &weights, series, &points, refresh, stage.fine)
                .await?;
            if refresh {
                let h = self.curvature(engine, slope, &points).await?;
                inverse = Some(newton::inverse(engine, &h, self.width()).await?);
                hessians += 1;
                stage.since_hessian = 0;
            }
            stage.since_hessian += 1;
            let Some(inv) = &inverse else { continue };
            let d = self.width();
            let step = engine.matmul(&inv.inverse, &gradient, d, d, 1).await?;
            let step = newton::one(engine.truncate(vec![(step, points.weight)]).await?)?;
            let steps = self.split(&step);
            for (w, s) in weights.iter_mut().zip(&steps) {
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
                stage = Stage {
                    fine: true,
                    since_hessian: u32::MAX / 2,
                };
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
        series: &Arc<Sine>,
        points: &Points,
        slopes: bool,
        fine: bool,
    ) -> Result<(Shares, Shares), Abort> {
        let z = self.margins(engine, weights).await?;
        let (m, n) = (self.hessian_rows as f64, self.rows as f64);
        let gain =
            2f64.powi(points.hessian_rows_log2 as i32) / m * n / 2f64.powi(points.rows_log2 as i32);
        let spec = SigmoidSpec {
            series: Arc::clone(series),
            terms_frac: points.terms,
            phase_frac: points.phase,
            slope_rows: if slopes { self.hessian_rows } else { 0 },
            slope_gain: gain,
            slope_frac: points.slope,
        };
        let (mut residual, slope) = engine.sigmoid(&z, &spec).await?;
        if let Some(y) = &self.label {
            let one = 1u64 << points.residual();
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
                .zip(weights)
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

    async fn curvature<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        slope: Shares,
        points: &Points,
    ) -> Result<Shares, Abort> {
        let jobs: Vec<_> = newton::spread_jobs(&self.hessian, &slope).collect();
        let scaled = engine.products(&jobs).await?;
        newton::hessian(
            engine,
            &self.hessian,
            &scaled,
            points.hessian_rows_log2,
            &self.ridge,
        )
        .await
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
        let error = inverse.error.duplicate().widened(INVERSE_POINT);
        let opening = Opening::Converged { pass };
        engine
            .all_negative_and_within(&both, &error, INVERSE_LIMIT, opening)
            .await
    }

    /// Whether all training rows' scores lie where the series is a sigmoid: one bit.
    async fn within_range<C: Channel, S: CorrelationSource>(
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

    fn facts(&self, attempt: &Attempt, hessians: u32) -> Result<SolverFacts, Abort> {
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
    async fn release<C: Channel, S: CorrelationSource>(
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

#[derive(Clone, Copy)]
struct Stage {
    fine: bool,
    since_hessian: u32,
}

impl Stage {
    /// Every pass while steps are large, then every fourth.
    fn wants_hessian(&self) -> bool {
        !self.fine || self.since_hessian >= 4
    }
}

fn with_intercept(x: &[f64], cols: usize) -> Vec<f64> {
    if cols == 0 {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(x.len() / cols * (cols + 1));
    for row in x.chunks_exact(cols) {
        out.push(1.0);
        out.extend_from_slice(row);
    }
    out
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

/// Exchanges rows and widths: all must see the same rows.
async fn widths<C: Channel, S>(
    engine: &mut Engine<C, S>,
    rows: usize,
    cols: usize,
) -> Result<Vec<usize>, Abort> {
    let ctx = engine.ctx().clone();
    let got = ctx
        .broadcast("shape", codec::put_words(&[rows as u64, cols as u64]))
        .await?;
    let mut all = vec![0; engine.parties()];
    all[engine.me()] = cols;
    for (from, body) in ctx.peers().zip(got) {
        let shape = codec::take_words(&body, 2, from, ctx.path())?;
        let (theirs, cols) = (shape[0], shape[1]);
        if theirs != rows as u64 {
            return Err(Abort::Disagreement {
                from,
                step: ctx.path().to_owned(),
                problem: format!("it has {theirs} training rows, this party {rows}"),
            });
        }
        let i = from.index().unwrap_or_default();
        all[i] = usize::try_from(cols)
            .ok()
            .filter(|c| *c <= 4096)
            .ok_or_else(|| Abort::Malformed {
                from,
                step: ctx.path().to_owned(),
                problem: format!("{cols} design columns; at most 4096 are supported"),
            })?;
    }
    Ok(all)
}
