//! One training by mini-batches.

use std::sync::Arc;

use paripassu_crypto::{fixed, share::Shares, sine::Sine};
use zeroize::Zeroizing;

use super::{
    SgdFacts, SgdFit,
    course::{SgdSpec, groups},
    features::{check_columns, features},
    plain,
    points::{DECAY, FEATURE, LARGEST, Points, checked},
    ridge::damped,
};
#[cfg(test)]
use crate::vertical::tests::leakage::{Spill, spill};
use crate::{
    abort::Abort,
    arith::{Batch, Engine, Opening, Operand, OwnerMatrix, Passes, Receivers, Updates},
    channel::Channel,
    compute::offload,
    correlation::{
        CorrelationSource, Request, Words,
        descent::{CUTS, MAX_KEPT},
    },
    vertical::{
        logistic::{LogisticInput, Progress, label_words, widths},
        network::public::Public,
        points::{RIDGE, SHORT},
        whiten::{Design, Whitened, encode_matrix},
    },
};

pub(super) struct Run {
    spec: SgdSpec,
    points: Points,
    batches: usize,
    rows: usize,
    widths: Vec<usize>,
    mine: Whitened,
    label: Option<Arc<Zeroizing<Vec<u8>>>>,
    passes: Passes,
    ridges: Vec<OwnerMatrix>,
    epochs_done: usize,
}

/// Weights, stretched to the series' period, and the last step, of all columns.
struct State {
    weights: Shares,
    stretch: f64,
    step: Shares,
}

fn not_here(what: &str) -> Abort {
    Abort::Input(format!(
        "training by mini-batches takes no {what}: set solver.method to \"newton\""
    ))
}

impl Run {
    pub(super) async fn prepare<C: Channel, S: CorrelationSource>(
        engine: &mut Engine<C, S>,
        spec: &SgdSpec,
        mut input: LogisticInput,
    ) -> Result<Self, Abort> {
        engine.step("train/shapes");
        let rows = input.rows;
        if input.row_weights.is_some() {
            return Err(not_here("weights of rows"));
        }
        if input.offset.is_some() {
            return Err(not_here("offsets"));
        }
        if !input.signs.is_empty() {
            return Err(not_here("signs of coefficients"));
        }
        if input.x.len() != rows * input.cols {
            return Err(Abort::Input("design matrix and its sizes disagree".into()));
        }
        let points = spec.check(rows)?;
        let batches = spec.batches(rows);
        let label = label_words(engine.me(), rows, input.label.take())?;
        let design = Design {
            x: input.x,
            cols: input.cols,
            rows,
            intercept: label.is_some(),
        };
        let widths = widths(engine, rows, design.width()).await?;
        let columns = widths.iter().sum::<usize>();
        if batches.saturating_mul(columns) > MAX_KEPT {
            return Err(Abort::Input(format!(
                "{batches} batches of {columns} columns are more than the {MAX_KEPT} columns whose masks are made at once: raise solver.batch"
            )));
        }
        let (seed, l2) = (spec.seed, spec.l2);
        let by = spec.decay(0, batches, engine.parties());
        let (mine, entries, label, ridge) = offload(move || {
            let order = Public::new(seed).rows(rows);
            let mut penalty = vec![l2; design.width()];
            if design.intercept {
                penalty[0] = 0.0;
            }
            let mine = Whitened::new(&design, &penalty, 0.0)?;
            let entries = features(&mine, &design, &order)?;
            check_columns(&entries, design.width(), (rows, batches), points)?;
            let label = label.map(|y| {
                let y = Zeroizing::new(y);
                order.iter().map(|i| y[*i]).collect::<Vec<u8>>()
            });
            let ridge = (l2 > 0.0).then(|| damped(mine.ridge(), design.width(), by));
            let ridge = ridge.map(|taken| encode_matrix(&Zeroizing::new(taken), RIDGE));
            Ok::<_, Abort>((mine, entries, label, ridge.transpose()?))
        })
        .await?;
        engine.step("train/features");
        let mut entries = Some(entries);
        let mut matrices = Vec::with_capacity(engine.parties());
        for (p, d) in widths.iter().enumerate() {
            let own = entries.take_if(|_| p == engine.me());
            matrices.push(engine.register_narrow(p, rows, *d, own).await?);
        }
        let (mut ridge, mut ridges) = (ridge, Vec::new());
        for (p, d) in widths.iter().enumerate().filter(|_| l2 > 0.0) {
            let own = ridge.take_if(|_| p == engine.me());
            ridges.push(engine.register(p, *d, *d, RIDGE, own).await?);
        }
        Ok(Self {
            spec: spec.clone(),
            points,
            batches,
            rows,
            widths,
            mine,
            label: label.map(|y| Arc::new(Zeroizing::new(y))),
            passes: Passes::new(matrices, batches),
            ridges,
            epochs_done: 0,
        })
    }

    fn width(&self) -> usize {
        self.widths.iter().sum()
    }

    fn own_columns(&self, p: usize) -> std::ops::Range<usize> {
        let first = self.widths[..p].iter().sum();
        first..first + self.widths[p]
    }

    /// Weights to begin with: party 0's intercept.
    fn begin(&self, me: usize, series: &Sine) -> Result<State, Abort> {
        let frac = Points::weight(series.range() as u32);
        let stretch = series.stretch();
        let mut weights = Shares::zeros(self.width(), frac);
        if let (0, Some(y)) = (me, &self.label) {
            let mut w = vec![0.0; self.widths[0]];
            w[0] = plain::log_odds(y);
            let all = weights.words_mut().iter_mut();
            for (word, u) in all.zip(self.mine.weights(&w)) {
                *word =
                    fixed::encode(u * stretch, frac).map_err(|e| Abort::Input(e.to_string()))?;
            }
        }
        Ok(State {
            weights,
            stretch,
            step: Shares::zeros(self.width(), self.points.gradient()),
        })
    }

    fn batch(&self, epoch: usize, batch: usize, series: &Arc<Sine>) -> Batch {
        Batch {
            epoch,
            batch,
            series: Arc::clone(series),
            frac: self.points.residual,
        }
    }

    /// All that training at this range asks the source for, in the order of its use.
    fn requests(&self, range: u32, series: &Arc<Sine>) -> Vec<Request> {
        let len = self.width() as u64;
        let weight = Points::weight(range);
        let short = Shares::zeros(0, SHORT);
        let mut all = Vec::new();
        for epochs in groups(self.spec.epochs, self.rows, self.batches * self.width()) {
            all.extend(self.passes.request(epochs));
            for within in 0..epochs {
                all.push(Passes::steps_request(&self.batch(within, 0, series)));
                all.extend(CUTS.map(|by| Request::Truncate { len, by }));
                if !self.ridges.is_empty() {
                    all.push(Request::Truncate {
                        len,
                        by: weight - SHORT,
                    });
                    let products = self.ridges.iter();
                    all.extend(products.map(|m| Operand::Plain(&short, 1).request(m)));
                    all.push(Request::Truncate {
                        len,
                        by: RIDGE + SHORT - DECAY,
                    });
                }
            }
        }
        all
    }

    /// All epochs at one range; weights at their end.
    pub(super) async fn epochs<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        range: u32,
        progress: &mut dyn Progress,
    ) -> Result<Shares, Abort> {
        let series = Arc::new(Sine::within(range, SgdSpec::terms(range)));
        let requests = self.requests(range, &series);
        engine.source_mut().prefetch(&requests).await?;
        let mut state = self.begin(engine.me(), &series)?;
        let of = self.epochs_done + self.spec.epochs;
        let mut e = 0;
        for epochs in groups(self.spec.epochs, self.rows, self.batches * self.width()) {
            engine.step(format_args!("train/masks-{}", self.epochs_done + 1));
            engine.prepare_epochs(&mut self.passes, epochs).await?;
            for within in 0..epochs {
                self.epochs_done += 1;
                engine.step(format_args!("train/epoch-{}", self.epochs_done));
                self.epoch(engine, &mut state, (e, within), &series).await?;
                progress.pass(
                    self.epochs_done as u32,
                    of as u32,
                    e + 1 == self.spec.epochs,
                );
                e += 1;
            }
        }
        Ok(state.weights)
    }

    async fn epoch<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        state: &mut State,
        (e, within): (usize, usize),
        series: &Arc<Sine>,
    ) -> Result<(), Abort> {
        let at: Vec<Batch> = (0..self.batches)
            .map(|b| self.batch(within, b, series))
            .collect();
        let Some(first) = at.first() else {
            return Err(Abort::Input("no batches".into()));
        };
        let of = &mut self.passes;
        engine.begin_epoch(of, &state.weights, within).await?;
        let steps = engine.steps(of, first).await?;
        let mut last: Option<Words> = None;
        for (b, at) in at.iter().enumerate() {
            let masks = engine.source_mut().step(&steps, b).await?;
            let cut = match (last.take(), &masks.cuts) {
                (Some(g), Some(cuts)) => Some((pending(&g, state, &self.spec, self.points), cuts)),
                _ => None,
            };
            let (theta, updates) = engine.phases(of, at, &state.weights, cut).await?;
            if let Some(updates) = updates {
                let by = factor(
                    &self.spec,
                    e,
                    (self.rows, self.batches),
                    &self.widths,
                    state,
                );
                take(state, updates, by);
            }
            let label = self.label.as_ref();
            let label = label.map(|y| Zeroizing::new(y[of.rows_of(b)].to_vec()));
            let residual = at.residuals(theta, masks, label).await;
            #[cfg(test)]
            spilled(engine, Spill::Residual, &residual, self.points).await?;
            let gradient = engine.gradients(of, at, residual, &state.weights).await?;
            #[cfg(test)]
            spilled(engine, Spill::Gradient, &gradient, self.points).await?;
            last = Some(gradient);
        }
        if let Some(g) = last {
            let values = pending(&g, state, &self.spec, self.points);
            let frac = self.points.gradient();
            let mut cut = engine.truncate(values.map(|v| (v, frac)).into()).await?;
            if let (Some(kept), Some(gradient)) = (cut.pop(), cut.pop()) {
                let by = factor(
                    &self.spec,
                    e,
                    (self.rows, self.batches),
                    &self.widths,
                    state,
                );
                take(state, Updates { gradient, kept }, by);
            }
        }
        self.decay(engine, state, e).await
    }

    /// What the ridge takes of the weights after epoch `e`.
    async fn decay<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        state: &mut State,
        e: usize,
    ) -> Result<(), Abort> {
        if self.ridges.is_empty() {
            return Ok(());
        }
        let whole = state.weights.duplicate();
        let short = engine.truncate(vec![(whole, SHORT)]).await?;
        let short = short.into_iter().next();
        let short = short.ok_or_else(|| Abort::Input("no weights".into()))?;
        let short: Vec<Shares> = (0..self.widths.len())
            .map(|p| short.slice(self.own_columns(p)))
            .collect();
        let jobs = self.ridges.iter().zip(&short);
        let jobs: Vec<_> = jobs.map(|(m, w)| (m, Operand::Plain(w, 1))).collect();
        let ridge = engine.products(&jobs).await?;
        let words = ridge.iter().flat_map(|r| r.words().iter().copied());
        let ridge = Shares::new(words.collect(), RIDGE + SHORT);
        let ridge = engine.truncate(vec![(ridge, DECAY)]).await?;
        let by = self.spec.decay(e, self.batches, self.widths.len());
        let by = by * 2f64.powi(state.weights.frac() as i32 - DECAY as i32);
        let by = by.round() as u64;
        for ridge in ridge {
            let all = state.weights.words_mut().iter_mut().zip(ridge.words());
            all.for_each(|(w, r)| *w = w.wrapping_sub(by.wrapping_mul(*r)));
        }
        Ok(())
    }

    /// Whether weights, and the scores of the first rows, lie within their ranges: one bit.
    pub(super) async fn within_range<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        weights: &Shares,
        range: u32,
    ) -> Result<bool, Abort> {
        engine.step(format_args!("train/range-{}", self.epochs_done));
        engine.announce(Opening::RangeExceeded, Receivers::All, 1)?;
        // modulo 2^40 scores up to 512 R are told apart
        let frac = 30 + Points::weight(range) - 62;
        let cut = engine.truncate(vec![(weights.duplicate(), frac)]).await?;
        let cut = cut.into_iter().next();
        let cut = cut.ok_or_else(|| Abort::Input("no weights".into()))?;
        let first: Vec<OwnerMatrix> = self
            .passes
            .matrices()
            .iter()
            .map(|m| m.first_rows(checked(self.rows), FEATURE))
            .collect();
        let parts: Vec<Shares> = (0..first.len())
            .map(|p| cut.slice(self.own_columns(p)))
            .collect();
        let jobs = first.iter().zip(&parts);
        let jobs: Vec<_> = jobs.map(|(m, w)| (m, Operand::Plain(w, 1))).collect();
        let scores = engine.products(&jobs).await?;
        let mut z = Shares::zeros(checked(self.rows), FEATURE + frac);
        scores.iter().for_each(|part| z.add(part));
        let words = z.words().iter().map(|z| z << CUTS[0]).collect();
        let z = Shares::new(words, z.frac() + CUTS[0]);
        let range = f64::from(range);
        let limit = (largest_score(range) / range * 64.0) as u16;
        let weight = LARGEST * 2f64.powi(weights.frac() as i32 - 48);
        let groups = [(z, limit), (weights.duplicate(), weight as u16)];
        engine
            .all_within_each(&groups, Opening::RangeExceeded)
            .await
    }

    /// Opens each party's weights to itself.
    pub(super) async fn release<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        weights: &Shares,
        range: u32,
    ) -> Result<SgdFit, Abort> {
        engine.step("release/coefficients");
        let of = |p: usize| Opening::Coefficients { party: p as u8 };
        for (p, d) in self.widths.iter().enumerate() {
            engine.announce(of(p), Receivers::One(p as u8), *d)?;
        }
        let series = Sine::within(range, SgdSpec::terms(range));
        let mut own = Vec::new();
        for p in 0..self.widths.len() {
            let part = weights.slice(self.own_columns(p));
            let opened = engine.open(part, of(p), Receivers::One(p as u8)).await?;
            let opened = Zeroizing::new(opened);
            if p == engine.me() {
                let frac = weights.frac();
                let decoded = opened.iter().map(|w| fixed::decode(*w, frac));
                own = decoded.map(|w| w / series.stretch()).collect();
            }
        }
        let mut coefficients = self.mine.coefficients(own);
        let intercept = (engine.me() == 0).then(|| coefficients.remove(0));
        Ok(SgdFit {
            coefficients,
            intercept,
            facts: SgdFacts {
                epochs: self.epochs_done,
                batches: self.batches,
                range: series.range(),
                terms: series.terms(),
                sigmoid_error: series.max_error(),
                points: self.points,
                widths: self.widths.clone(),
            },
        })
    }
}

/// Largest score for which a series of this range is a sigmoid: beyond R it is sigma(2R - z), which at five quarters
/// of 8 is wrong by 2.5e-3, and further out by less.
pub(super) fn largest_score(range: f64) -> f64 {
    (1.25 * range).max(2.0 * range - 9.2)
}

/// The gradient, moved into the ring modulo 2^64, and what stays of the step, both still to be cut.
fn pending(g: &Words, state: &State, spec: &SgdSpec, points: Points) -> [Shares; 2] {
    let words = g.iter().map(|g| g << CUTS[0]).collect();
    let kept = state.step.words().iter();
    let kept = kept.map(|s| s.wrapping_mul(spec.kept())).collect();
    let frac = points.gradient();
    [
        Shares::new(words, frac + CUTS[0]),
        Shares::new(kept, frac + CUTS[1]),
    ]
}

/// What a step is multiplied with, as an integer.
fn factor(
    spec: &SgdSpec,
    e: usize,
    (rows, batches): (usize, usize),
    widths: &[usize],
    state: &State,
) -> u64 {
    let whole = rows.max(1).next_power_of_two() as f64;
    let rate = spec.rate_of(e) * rows as f64 / whole / widths.len() as f64;
    let by = state.stretch * rate * batches as f64 / rows as f64;
    (by * 2f64.powi(state.weights.frac() as i32 - state.step.frac() as i32)).round() as u64
}

fn take(state: &mut State, of: Updates, by: u64) {
    state.step = of.kept;
    state.step.add(&of.gradient);
    let all = state.weights.words_mut().iter_mut();
    for (w, s) in all.zip(state.step.words()) {
        *w = w.wrapping_sub(by.wrapping_mul(*s));
    }
}

#[cfg(test)]
async fn spilled<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    what: Spill,
    words: &Words,
    points: Points,
) -> Result<(), Abort> {
    let shares = Shares::new(
        words.iter().map(|w| w << CUTS[0]).collect(),
        points.gradient() + CUTS[0],
    );
    spill(engine, what, &shares).await
}
