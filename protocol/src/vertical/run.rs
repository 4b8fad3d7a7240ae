//! One training run: what stays the same through all attempts, and the passes of an attempt.

use std::sync::Arc;

use paripassu_crypto::{fixed, share::Shares, sine::Sine};
use zeroize::Zeroizing;

use super::{
    alone, errors,
    hidden::{Basis, HiddenColumns, largest_scale},
    kept::{After, Along, Behind},
    logistic::{LogisticInput, LogisticSpec, Method, Stop, widths},
    newton,
    pass::{How, Made, Masks, Stage, coarse_terms, joined},
    points::{self, Points},
    proximal::{self, Proximal, Split},
    reject::Inferred,
    row_weights::{self, Scale, Weighting},
    stepwise::Last,
    whiten::{Design, Whitened, encode_matrix, ridge_words},
};
use crate::{
    abort::Abort,
    arith::{Engine, Inverted, Opening, OwnerMatrix},
    channel::Channel,
    compute::offload,
    correlation::CorrelationSource,
};

/// Rows of the Hessian by default, at least: a sample may lack the few rows that carry a column's
/// tail, and then steps along it are too long.
const HESSIAN_ROWS: usize = 32_768;

/// What stays the same through all attempts.
pub(super) struct Run {
    pub(super) spec: LogisticSpec,
    pub(super) rows: usize,
    pub(super) hessian_rows: usize,
    pub(super) widths: Vec<usize>,
    pub(super) mine: Whitened,
    pub(super) ridge: Vec<u64>,
    /// An L1 penalty and signs, where there are any.
    pub(super) proximal: Option<Proximal>,
    pub(super) label: Option<Arc<Zeroizing<Vec<u8>>>>,
    pub(super) weighting: Weighting,
    pub(super) offset: Option<Arc<Zeroizing<Vec<f64>>>>,
    /// What weights of rows are divided by.
    pub(super) scale: Scale,
    /// The ridge, divided likewise.
    pub(super) l2: f64,
    pub(super) features: Vec<OwnerMatrix>,
    /// By party, where its columns are hidden.
    pub(super) hidden: Vec<Option<Basis>>,
    /// Whitened weights to begin with: party 0's own fit, zeros elsewhere.
    start: Zeroizing<Vec<f64>>,
    pub(super) ridges: Vec<OwnerMatrix>,
    unwhiten: Vec<OwnerMatrix>,
    pub(super) masks: Masks,
    /// Whether it is enough that steps are small, before the last passes' precision: in trials.
    pub(super) rough: bool,
    /// What declined rows are inferred to be, beside the label.
    pub(super) inferred: Option<Inferred>,
    /// Whether attempts keep residuals and slopes of their end.
    pub(super) keeps_last: bool,
}

/// The first pass after which it is asked whether training has settled: steps from party 0's own fit, and with its
/// slopes, are longer than any tolerance, unless others' columns say nothing.
const FIRST_ASKED: u32 = 3;

/// One attempt at one range.
pub(super) struct Attempt {
    pub(super) settled: bool,
    pub(super) passes: u32,
    pub(super) hessians: u32,
    pub(super) series: Arc<Sine>,
    pub(super) points: Points,
    pub(super) weights: Vec<Shares>,
    /// The copy of them with fewer fraction bits.
    pub(super) short: Vec<Shares>,
    /// Where penalties and signs hold coefficients.
    pub(super) split: Option<Split>,
    /// Of the Hessian that the last step was made with.
    pub(super) inverse: Option<Shares>,
    /// What columns that are not in the model are judged by, where the run keeps it.
    pub(super) last: Option<Last>,
}

impl Attempt {
    /// A start where this attempt has ended.
    pub(super) fn into_start(self, near: bool) -> Start {
        Start {
            range_log2: self.series.period_log2() - 2,
            weights: self.weights,
            short: self.short,
            split: self.split,
            near,
            behind: None,
        }
    }
}

/// Weights that passes begin with, on shares.
pub(super) struct Start {
    /// The range of the sigmoid that they are for.
    pub(super) range_log2: u32,
    pub(super) weights: Vec<Shares>,
    pub(super) short: Vec<Shares>,
    pub(super) split: Option<Split>,
    /// Whether they are so near the end that one Hessian, made there, serves on.
    pub(super) near: bool,
    /// The passes of an aborted job, where they are of one that goes on.
    pub(super) behind: Option<Behind>,
}

impl Start {
    /// The same, but so far from the end that Hessians are made as in training.
    pub(super) fn far(self) -> Self {
        Self {
            near: false,
            ..self
        }
    }
}

impl Run {
    pub(super) async fn prepare<C: Channel, S: CorrelationSource>(
        engine: &mut Engine<C, S>,
        spec: &LogisticSpec,
        input: LogisticInput,
        label: Option<Vec<u8>>,
        hidden: &[HiddenColumns],
        step: &str,
    ) -> Result<Self, Abort> {
        let LogisticInput {
            x,
            cols,
            rows,
            row_weights: weights,
            offset,
            signs,
            ..
        } = input;
        let intercept = label.is_some();
        let scale = Scale::new(&spec.row_weights)?;
        let weights = row_weights::own(&spec.row_weights, scale, engine.me(), rows, weights)?;
        row_weights::check_offset(engine.me(), rows, offset.as_deref())?;
        let offset = offset.map(|o| Arc::new(Zeroizing::new(o)));
        let mut design = Design {
            x,
            cols,
            rows,
            intercept,
        };
        let l2 = spec.l2 / scale.by;
        let mut penalty = vec![l2; design.width()];
        let mut alone = None;
        let (mut label, mut weights) = (label, weights);
        if let Some(y) = label.take() {
            penalty[0] = 0.0;
            let offset = offset.clone();
            (design, alone, label, weights) = offload(move || {
                let given = alone::Given {
                    weights: weights.as_deref(),
                    offset: offset.as_ref().map(|o| o.as_slice()),
                };
                let alone = alone::fit(&design.x, &y, cols, l2, given);
                (design, alone, Some(y), weights)
            })
            .await;
        }
        // hidden columns are as many as they are, however many bins they have
        let own_hidden = hidden.iter().find(|h| h.owner == engine.me());
        let own_hidden = own_hidden.map(|h| h.columns.len());
        let cols = own_hidden.unwrap_or(design.width());
        let widths = widths(engine, rows, cols).await?;
        let spec = &spec.at(rows, &widths)?;
        row_weights::check_enough(weights.as_deref(), &widths)?;
        let standard_errors = spec.standard_errors;
        let proximal = match spec.is_held() {
            true => {
                let l1 = spec.l1 / scale.by;
                let of = Proximal::new(l1, rows, &signs, &widths, engine.me())?;
                Some(of)
            }
            false => None,
        };
        let pull = if proximal.is_some() {
            proximal::PULL
        } else {
            0.0
        };
        let (mine, z) = offload(move || {
            if let Some(columns) = own_hidden {
                let mut z = vec![0; design.x.len()];
                fixed::encode_all_i32(&design.x, points::FEATURE, &mut z)
                    .map_err(|e| Abort::Input(e.to_string()))?;
                return Ok((
                    Whitened::scaled(columns, largest_scale(columns, l2, rows)),
                    z,
                ));
            }
            let mine = Whitened::new(&design, &penalty, pull)?;
            let z = mine.features(&design, points::FEATURE)?;
            if standard_errors {
                errors::check(mine.unwhiten(), design.width(), rows, l2)?;
            }
            Ok::<_, Abort>((mine, z))
        })
        .await?;
        let mut z = Some(z);
        let start = alone.map_or_else(|| vec![0.0; cols], |w| mine.weights(&w));
        let start = Zeroizing::new(start);
        let d: usize = widths.iter().sum();
        let hessian_rows = spec
            .hessian_rows
            .unwrap_or((points::ROWS_PER_COLUMN * d).max(HESSIAN_ROWS))
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
            proximal,
            label: label.map(|y| Arc::new(Zeroizing::new(y))),
            weighting: Weighting::default(),
            offset,
            scale,
            l2,
            features: Vec::new(),
            hidden: Vec::new(),
            start,
            ridges: Vec::new(),
            unwhiten: Vec::new(),
            masks: Masks::default(),
            rough: false,
            inferred: None,
            keeps_last: false,
        };
        for p in 0..engine.parties() {
            let of = hidden.iter().find(|h| h.owner == p);
            let basis = match of {
                Some(of) if of.columns.len() == run.widths[p] => {
                    Some(Basis::new(engine, of, rows, l2).await?)
                }
                Some(_) => return Err(Abort::Input("hidden columns of another number".into())),
                None => None,
            };
            run.hidden.push(basis);
        }
        engine.step(step);
        for p in 0..engine.parties() {
            let d = run.widths[p];
            let bins = hidden.iter().find(|h| h.owner == p);
            let wide = bins.map_or(d, |h| h.columns.iter().sum());
            let own = p == engine.me();
            let give = |m: Result<Vec<i32>, Abort>| if own { m.map(Some) } else { Ok(None) };
            let z = z.take_if(|_| own);
            run.features
                .push(engine.register(p, rows, wide, points::FEATURE, z).await?);
            let r = give(encode_matrix(run.mine.ridge(), points::RIDGE))?;
            run.ridges
                .push(engine.register(p, d, d, points::RIDGE, r).await?);
            let t = give(encode_matrix(run.mine.unwhiten(), points::UNWHITEN))?;
            run.unwhiten
                .push(engine.register(p, d, d, points::UNWHITEN, t).await?);
        }
        run.weighting = Weighting::register(engine, &spec.row_weights, rows, weights).await?;
        Ok(run)
    }

    /// After an attempt that failed: Hessians of all rows, in case the sample was the cause.
    pub(super) fn use_all_rows(&mut self) {
        let all = self.rows.min(points::HESSIAN_ROWS_MAX);
        self.hessian_rows = self.hessian_rows.max(all);
    }

    pub(super) async fn attempt<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        range_log2: u32,
        passes_before: u32,
        careful: bool,
        start: Option<&Start>,
        along: &mut Along<'_>,
    ) -> Result<Attempt, Abort> {
        let mut masks = std::mem::take(&mut self.masks);
        let made = match self.spec.method {
            Method::Newton => {
                let made = self.passes(
                    engine,
                    &mut masks,
                    range_log2,
                    passes_before,
                    careful,
                    start,
                    along,
                );
                made.await
            }
            Method::Accelerated => {
                let at = (range_log2, passes_before);
                self.accelerate(engine, &mut masks, at, start, along).await
            }
        };
        self.masks = masks;
        made
    }

    #[allow(clippy::too_many_arguments)] // one call, of what an attempt is
    async fn passes<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        masks: &mut Masks,
        range_log2: u32,
        passes_before: u32,
        careful: bool,
        start: Option<&Start>,
        along: &mut Along<'_>,
    ) -> Result<Attempt, Abort> {
        let fine_terms = self.fine_terms(range_log2);
        let fine = Arc::new(Sine::logistic(range_log2, fine_terms));
        let coarse = Arc::new(Sine::logistic(range_log2, coarse_terms(fine_terms)));
        let points = Points::new(
            self.rows,
            self.width(),
            self.hessian_rows,
            fine.period_log2(),
            self.scale.headroom,
        )?;
        let start = start.filter(|start| start.range_log2 == range_log2);
        let (mut weights, mut short) = self.begun_at(engine.me(), start, &points)?;
        let near = start.is_some_and(|start| start.near);
        let behind = start.and_then(|start| start.behind.as_ref());
        let begun = behind.map_or(0, |behind| behind.made);
        let mut split = proximal::begun(start);
        let all_rows = self.hessian_rows == self.rows;
        // of all rows, the Hessian of the last early pass is as good as a new one; standard errors want one at
        // final precision
        let keep = all_rows && !self.spec.standard_errors;
        let mut stage = Stage {
            fine: behind.is_some_and(|behind| behind.fine),
            large: if !near && (careful || all_rows) { 1 } else { 3 },
            since_hessian: 0,
        };
        let mut inverse: Option<Inverted> = None;
        let mut product = None;
        let mut slopes = None;
        let mut hessians = 0;
        // from another training's end, the first step is as large as the two differ
        let first_asked = match (start, begun) {
            (Some(_), 0) => 2,
            _ => FIRST_ASKED,
        };
        let most = match self.spec.stop {
            Stop::Bit => self.spec.max_passes,
            Stop::After(n) => n,
        };
        for t in begun + 1..=most {
            let pass = passes_before + t;
            engine.step(format_args!("train/pass-{pass}"));
            if let Stop::After(n) = self.spec.stop
                && t + 3 > n
                && !stage.fine
            {
                stage = stage.last(keep);
            }
            let tells = self.spec.stop == Stop::Bit && t >= first_asked || t == most;
            if tells {
                engine.foresee(&[Opening::Converged { pass }, Opening::RangeExceeded])?;
            }
            let refresh = stage.wants_hessian() || inverse.is_none();
            // of all rows, the first Hessian is the largest there can be: what is far out does not overshoot
            let bound = inverse.is_none() && !stage.fine && all_rows && !near && begun == 0;
            // all that is not 0 is party 0's; what is inferred is nobody's
            let by_zero = t == 1 && start.is_none() && self.inferred.is_none();
            let of = if stage.fine {
                points.fine
            } else {
                points.coarse
            };
            let how = How {
                series: if stage.fine { &fine } else { &coarse },
                points: &points,
                fine: stage.fine,
                slopes: (refresh && !bound).then_some(of),
            };
            masks.refill(engine, &self.features, true).await?;
            let mut ask = self.pass_requests(&short, &how, by_zero);
            if refresh {
                ask.extend(self.row_weight_requests(of.rows, by_zero || bound));
                let hessian =
                    newton::hessian_requests(&self.features, of.rows, of.frac, of.rows_log2);
                ask.extend(hessian);
            }
            ask.extend(newton::step_requests(
                self.width(),
                how.gradient(),
                points.weight,
            ));
            // gates of hidden columns stand between these, and ask for themselves
            if self.none_hidden() {
                engine.source_mut().prefetch(&ask).await?;
            }
            let both = (&weights[..], &short[..]);
            let at = self.gradient_at(engine, masks, both, &how, by_zero);
            let Made {
                residual,
                mut slope,
                gradient,
            } = at.await?;
            if bound {
                slope = Some(self.largest_slopes(engine.me(), &points, of)?);
            }
            if let Some(slope) = slope {
                let slope = self.by_row_weights(engine, slope, by_zero || bound).await?;
                let own = self.own_block()?;
                let h = newton::hessian(engine, &self.features, &slope, of.rows_log2, self, &own);
                let h = h.await?;
                let made = newton::inverse(engine, &h, self.width(), of.headroom).await?;
                if self.proximal.is_some() {
                    product = Some(self.pulled_inverse(engine, &made.inverse).await?);
                }
                inverse = Some(made);
                slopes = self.keeps_last.then_some((slope, of));
                hessians += 1;
                // the first, of the bound or of party 0's own fit, is for one pass
                let once = hessians == 1 && !near && begun == 0;
                stage.since_hessian = if once { u32::MAX / 2 } else { 0 };
            }
            stage.since_hessian += 1;
            let Some(inv) = &inverse else { continue };
            let d = self.width();
            let (mut gradient, mut gap) = (gradient, None);
            if let (Some(of), Some(product)) = (&self.proximal, &product) {
                let by = (&inv.inverse, product);
                let made = self.proximal_gradient(engine, of, by, (&gradient, &short), &mut split);
                let made = made.await?;
                (gradient, gap) = (made.0, Some(made.1));
            }
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
            along.progress.pass(pass, passes_before + most, stage.fine);
            let at = (stage.fine, pass);
            if tells && self.settled(engine, &steps, inv, gap, at).await? {
                if stage.fine || self.rough {
                    return Ok(Attempt {
                        settled: true,
                        passes: pass,
                        hessians,
                        series: fine,
                        points,
                        weights,
                        short,
                        split,
                        inverse: inverse.map(|i| i.inverse),
                        last: slopes.map(|slopes| Last {
                            slopes,
                            residual,
                            step: joined(steps),
                        }),
                    });
                }
                stage = stage.last(keep);
            }
            let after = After {
                pass: (pass, t),
                range_log2,
                fine: stage.fine,
                weights: (&weights, &short),
                reached: None,
                split: split.as_ref(),
            };
            self.keep(engine, along.course.as_deref_mut(), after)
                .await?;
        }
        Ok(Attempt {
            settled: false,
            passes: passes_before + most.max(begun),
            hessians,
            series: fine,
            points,
            weights,
            short,
            split,
            inverse: None,
            last: None,
        })
    }

    /// Sine terms of the last passes.
    pub(super) fn fine_terms(&self, range_log2: u32) -> usize {
        self.spec.terms.unwrap_or(match range_log2 {
            ..=3 => 12,
            // five quarters of the range: the series is then exact to 3e-6
            r => 5 << (r - 2),
        })
    }

    /// The ridge, as weights of rows are scaled.
    pub(super) fn l2(&self) -> f64 {
        self.l2
    }

    /// What weights of rows are divided by.
    pub(super) fn scale(&self) -> f64 {
        self.scale.by
    }

    /// The same, with their headroom.
    pub(super) fn row_scale(&self) -> Scale {
        self.scale
    }

    /// Columns of each party.
    pub(super) fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Each party's matrix from steps to steps of its coefficients.
    pub(super) fn unwhiten(&self) -> &[OwnerMatrix] {
        &self.unwhiten
    }

    pub(super) fn width(&self) -> usize {
        self.widths.iter().sum()
    }

    /// Shares of the weights that passes begin with, and the copy of them with fewer fraction bits.
    pub(super) fn begun_at(
        &self,
        me: usize,
        start: Option<&Start>,
        points: &Points,
    ) -> Result<(Vec<Shares>, Vec<Shares>), Abort> {
        let all = |of: &[Shares]| of.iter().map(Shares::duplicate).collect();
        Ok(match start {
            Some(start) => (all(&start.weights), all(&start.short)),
            None => (
                self.begin(me, points.weight)?,
                self.begin(me, points::SHORT)?,
            ),
        })
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

    /// This party's diagonal block of the Hessian beside the data's.
    fn own_block(&self) -> Result<Vec<u64>, Abort> {
        let mut own = self.ridge.clone();
        if self.proximal.is_some() {
            let pull = ridge_words(self.mine.pull())?;
            own.iter_mut()
                .zip(pull)
                .for_each(|(r, p)| *r = r.wrapping_add(p));
        }
        Ok(own)
    }

    pub(super) fn split(&self, all: &Shares) -> Vec<Shares> {
        let mut at = 0;
        self.widths
            .iter()
            .map(|d| {
                at += d;
                all.slice(at - d..at)
            })
            .collect()
    }
}
