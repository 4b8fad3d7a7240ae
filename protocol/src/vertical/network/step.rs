//! One batch: through the layers, back, and the step of all weights.

use std::sync::Arc;

use paripassu_crypto::{share::Shares, sine::Sine};

use super::{
    Hidden, NetworkSpec,
    points::{self, LayerPoints},
    public::Public,
    range::{DERIVATIVES, Looked, SCORES},
    run::one,
};
use crate::{
    abort::Abort,
    arith::{Engine, Operand, OwnerMatrix, SigmoidSpec},
    channel::Channel,
    correlation::{CorrelationSource, Request},
    vertical::row_weights::WEIGHT,
};

#[cfg(test)]
use crate::vertical::tests::leakage::{Spill, spill};

/// Shares of a block of weights `[inputs, outputs]`: of one party's columns in the first layer, of a further layer
/// with its biases as the last row.
pub(super) struct Weights {
    pub(super) words: Shares,
    /// The same at the point [`points::SHORT`].
    short: Shares,
    /// The last step.
    pub(super) step: Shares,
    pub(super) outputs: usize,
    points: LayerPoints,
}

impl Weights {
    /// Publicly known values: party 0 holds them, the others zeros.
    pub(super) fn known(
        values: &[f64],
        outputs: usize,
        points: LayerPoints,
        me: usize,
    ) -> Result<Self, Abort> {
        let at = |frac: u32| -> Result<Shares, Abort> {
            if me > 0 {
                return Ok(Shares::zeros(values.len(), frac));
            }
            let words = values
                .iter()
                .map(|v| paripassu_crypto::fixed::encode(*v, frac));
            let words: Result<_, _> = words.collect();
            let words = words.map_err(|e| Abort::Input(format!("initial weights: {e}")))?;
            Ok(Shares::new(words, frac))
        };
        Ok(Self {
            words: at(points.weight)?,
            short: at(points::SHORT)?,
            step: Shares::zeros(values.len(), points.weight),
            outputs,
            points,
        })
    }

    fn take(&mut self, step: Shares, short: &Shares) {
        self.words.add(&step);
        self.short.add(short);
        self.step = step;
    }
}

/// All weights, and how they are trained.
pub(super) struct Layers {
    /// Of the first layer, one block a party.
    pub(super) first: Vec<Weights>,
    pub(super) further: Vec<Weights>,
    pub(super) activation: Hidden,
    hidden: Vec<usize>,
    pub(super) dropout: f64,
    pub(super) series: [Arc<Sine>; 2],
}

/// Rows of one batch, or of those that are watched or scored: each party's masked columns.
pub(super) struct Batch {
    pub(super) rows: usize,
    pub(super) columns: Vec<OwnerMatrix>,
    /// Labels at the point of derivatives, at party 0; a share of 0 elsewhere.
    pub(super) label: Vec<u64>,
    /// Weights of rows, a column of each party that holds some.
    pub(super) weights: Vec<OwnerMatrix>,
}

/// What the way through the layers leaves for the way back.
struct Passed {
    /// Outputs of each hidden layer with a one as the last column, `[rows, h + 1]`.
    outputs: Vec<Shares>,
    /// Derivatives of the activations, `[rows, h]`.
    slopes: Vec<Shares>,
    scores: Shares,
}

/// What dropout does to a batch.
pub(super) struct Drops<'a> {
    pub(super) public: &'a Public,
    /// Number of the batch.
    pub(super) batch: usize,
}

fn transposed(words: &[u64], cols: usize) -> Vec<u64> {
    let rows = words.len() / cols.max(1);
    let mut out = vec![0; words.len()];
    for (r, row) in words.chunks_exact(cols).enumerate() {
        for (c, w) in row.iter().enumerate() {
            out[c * rows + r] = *w;
        }
    }
    out
}

impl Layers {
    pub(super) fn new(
        spec: &NetworkSpec,
        public: &Public,
        widths: &[usize],
        me: usize,
    ) -> Result<Self, Abort> {
        let count = spec.hidden.len() + 1;
        let outputs = |l: usize| spec.hidden.get(l).copied().unwrap_or(1);
        let inputs: usize = widths.iter().sum::<usize>() - 1;
        let values = public.initial(0, inputs, outputs(0), 0);
        let mut rest = &values[..];
        let mut first = Vec::with_capacity(widths.len());
        for width in widths {
            let (block, tail) = rest.split_at(width * outputs(0));
            rest = tail;
            let points = points::layer(0, count, spec.activation);
            first.push(Weights::known(block, outputs(0), points, me)?);
        }
        let mut further = Vec::with_capacity(count - 1);
        for l in 1..count {
            let inputs = spec.hidden[l - 1];
            let values = public.initial(l, inputs, outputs(l), inputs);
            let points = points::layer(l, count, spec.activation);
            further.push(Weights::known(&values, outputs(l), points, me)?);
        }
        Ok(Self {
            first,
            further,
            activation: spec.activation,
            hidden: spec.hidden.clone(),
            dropout: spec.dropout,
            series: [super::hidden_series(), super::output_series()].map(Arc::new),
        })
    }

    pub(super) fn series_errors(&self) -> [f64; 2] {
        let hidden = match self.activation {
            Hidden::Tanh => self.series[0].max_error(),
            Hidden::Relu => 0.0,
        };
        [hidden, self.series[1].max_error()]
    }

    /// Copies of all weights, to come back to.
    pub(super) fn kept(&self) -> Vec<Shares> {
        let all = self.first.iter().chain(&self.further);
        all.map(|w| w.words.duplicate()).collect()
    }

    /// Takes weights that were kept; what else belongs to them is not needed any more.
    pub(super) fn take_back(&mut self, kept: Vec<Shares>) {
        let all = self.first.iter_mut().chain(&mut self.further);
        all.zip(kept).for_each(|(w, kept)| w.words = kept);
    }

    /// What a step needs of those before it: of each block its weights, their short copy and their last step.
    pub(super) fn course(&mut self) -> impl Iterator<Item = &mut Shares> {
        let all = self.first.iter_mut().chain(&mut self.further);
        all.flat_map(|w| [&mut w.words, &mut w.short, &mut w.step])
    }

    /// Log-odds of a batch, at the point [`points::SUM`].
    pub(super) async fn scores<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        batch: &Batch,
        looked: &mut Looked,
    ) -> Result<Shares, Abort> {
        let passed = self.forward(engine, batch, None, false, looked).await?;
        Ok(passed.scores)
    }

    /// Residuals of scores, at the point [`points::DELTA`].
    pub(super) async fn residuals<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        batch: &Batch,
        scores: &Shares,
    ) -> Result<Shares, Abort> {
        let spec = self.output_spec();
        let scores = scores.duplicate().widened(points::SCORE);
        let (mut residuals, _) = engine.sigmoid(&scores, &spec).await?;
        paripassu_crypto::ring64::sub_assign(residuals.words_mut(), &batch.label);
        #[cfg(test)]
        spill(engine, Spill::Residual, &residuals).await?;
        Ok(residuals)
    }

    /// Residuals times the weights of their rows, over the largest there can be.
    pub(super) async fn weighed<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        batch: &Batch,
        mut residuals: Shares,
    ) -> Result<Shares, Abort> {
        for column in &batch.weights {
            let column = std::slice::from_ref(column);
            let made = engine.weighted(column, &residuals).await?;
            let made = made.into_iter().map(|w| (w.rows, points::DELTA)).collect();
            residuals = one(engine.truncate(made).await?)?;
        }
        Ok(residuals)
    }

    fn output_spec(&self) -> SigmoidSpec {
        SigmoidSpec {
            series: Arc::clone(&self.series[1]),
            precision: points::OUTPUT,
            value_frac: points::DELTA,
            slope_rows: 0,
            slope_gain: 1.0,
            slope_frac: points::SLOPE,
        }
    }

    /// All that [`Layers::step`] asks the source for, in its order.
    fn requests(&self, batch: &Batch, parties: usize) -> Vec<Request> {
        let rows = batch.rows as u64;
        let of = |n: usize| n as u64;
        let mut all = Vec::new();
        for (m, w) in batch.columns.iter().zip(&self.first) {
            all.push(Operand::Plain(&w.words, w.outputs).request(m));
        }
        for (w, h) in self.further.iter().zip(&self.hidden) {
            let values = batch.rows * h;
            all.extend(self.activation_requests(parties, values));
            all.push(Request::Matmul {
                rows,
                inner: of(h + 1),
                cols: of(w.outputs),
            });
        }
        all.extend(self.output_spec().requests(batch.rows));
        for column in &batch.weights {
            all.push(column.weighted_request(batch.rows));
            all.push(Request::Truncate {
                len: rows,
                by: WEIGHT,
            });
        }
        for (w, h) in self.further.iter().zip(&self.hidden).rev() {
            let (h, outputs) = (of(*h), of(w.outputs));
            let matmul = |rows, inner, cols| Request::Matmul { rows, inner, cols };
            all.push(matmul(h + 1, rows, outputs));
            all.push(matmul(rows, outputs, h));
            all.push(Request::Entrywise { len: rows * h });
            let by = points::SHORT + self.slope_frac();
            all.push(Request::Truncate { len: rows * h, by });
        }
        let first = self.first.first().map_or(0, |w| w.outputs);
        let delta = Shares::zeros(batch.rows * first, points::DELTA);
        for (m, w) in batch.columns.iter().zip(&self.first) {
            all.push(Operand::Transposed(&delta, w.outputs).request(m));
        }
        for w in self.first.iter().chain(&self.further) {
            let len = of(w.words.len());
            for frac in [w.points.weight, points::SHORT] {
                let by = points::STEP - frac;
                all.push(Request::Truncate { len, by });
            }
        }
        all
    }

    /// Asks the source for a step's correlations before the step: they are made meanwhile.
    pub(super) async fn prefetch<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        batch: &Batch,
    ) -> Result<(), Abort> {
        let requests = self.requests(batch, engine.parties());
        engine.source_mut().prefetch(&requests).await
    }

    /// One step of all weights against the gradient of a batch; of its first rows, what is to be `looked` at.
    pub(super) async fn step<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        batch: &Batch,
        drops: Drops<'_>,
        (rate, momentum): (f64, f64),
        looked: &mut Looked,
    ) -> Result<(), Abort> {
        let drops = (self.dropout > 0.0).then_some(&drops);
        let passed = self.forward(engine, batch, drops, true, looked).await?;
        let residuals = self.residuals(engine, batch, &passed.scores).await?;
        let residuals = self.weighed(engine, batch, residuals).await?;
        let gradients = self.backward(engine, batch, passed, residuals, looked);
        let gradients = gradients.await?;
        #[cfg(test)]
        for gradient in &gradients {
            spill(engine, Spill::Gradient, gradient).await?;
        }
        let mut cut = Vec::with_capacity(2 * gradients.len());
        let all = self.first.iter().chain(&self.further);
        for (w, gradient) in all.zip(&gradients) {
            let rate = points::rate(w.points, rate, batch.rows)?;
            let keep = points::momentum(w.points, momentum);
            let pairs = w.step.words().iter().zip(gradient.words());
            let words = pairs.map(|(s, g)| {
                let kept = s.wrapping_mul(keep);
                kept.wrapping_sub(g.wrapping_mul(rate))
            });
            let step = Shares::new(words.collect(), points::STEP);
            cut.push((step.duplicate(), w.points.weight));
            cut.push((step, points::SHORT));
        }
        self.take(engine.truncate(cut).await?);
        Ok(())
    }

    /// All weights decay, by what [`points::decay`] says.
    pub(super) async fn decay<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        part: u64,
    ) -> Result<(), Abort> {
        let mut cut = Vec::new();
        for w in self.first.iter().chain(&self.further) {
            let words = w.short.words().iter();
            let words = words.map(|w| w.wrapping_mul(part).wrapping_neg());
            let step = Shares::new(words.collect(), points::STEP);
            cut.push((step.duplicate(), w.points.weight));
            cut.push((step, points::SHORT));
        }
        let steps = engine.truncate(cut).await?;
        let mut steps = steps.into_iter();
        for w in self.first.iter_mut().chain(&mut self.further) {
            if let (Some(step), Some(short)) = (steps.next(), steps.next()) {
                w.words.add(&step);
                w.short.add(&short);
            }
        }
        Ok(())
    }

    fn take(&mut self, steps: Vec<Shares>) {
        let mut steps = steps.into_iter();
        for w in self.first.iter_mut().chain(&mut self.further) {
            if let (Some(step), Some(short)) = (steps.next(), steps.next()) {
                w.take(step, &short);
            }
        }
    }

    async fn forward<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        batch: &Batch,
        drops: Option<&Drops<'_>>,
        slopes: bool,
        looked: &mut Looked,
    ) -> Result<Passed, Abort> {
        let jobs: Vec<_> = batch
            .columns
            .iter()
            .zip(&self.first)
            .map(|(m, w)| (m, Operand::Plain(&w.words, w.outputs)))
            .collect();
        let mut sums = engine.products(&jobs).await?.into_iter();
        let mut z = sums.next().unwrap_or_else(|| Shares::zeros(0, 0));
        sums.for_each(|s| z.add(&s));
        let mut passed = Passed {
            outputs: Vec::new(),
            slopes: Vec::new(),
            scores: Shares::zeros(0, points::SUM),
        };
        for (l, w) in self.further.iter().enumerate() {
            let h = self.hidden[l];
            let made = self.activation(engine, batch, z, slopes, looked);
            let (mut value, slope) = made.await?;
            if let (Some(drops), true) = (drops, slopes) {
                let kept = drops.public.kept(drops.batch, l, value.len(), self.dropout);
                let scale = points::kept_scale(self.dropout);
                let factor = |kept: &bool| if *kept { scale } else { 0 };
                value = scaled(value, kept.iter().map(factor), points::ACTIVATION);
                passed
                    .slopes
                    .push(scaled(slope, kept.iter().map(factor), self.slope_frac()));
            } else {
                passed.slopes.push(slope);
            }
            let one = if engine.me() == 0 {
                1 << points::ACTIVATION
            } else {
                0
            };
            let mut words = Vec::with_capacity(batch.rows * (h + 1));
            for row in value.words().chunks_exact(h) {
                words.extend_from_slice(row);
                words.push(one);
            }
            let output = Shares::new(words, points::ACTIVATION);
            z = engine
                .matmul(&output, &w.words, batch.rows, h + 1, w.outputs)
                .await?;
            passed.outputs.push(output);
        }
        looked.take(&z, batch.rows, SCORES);
        passed.scores = z;
        Ok(passed)
    }

    /// Gradients of the batch's log-loss by all weights, in their order.
    async fn backward<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        batch: &Batch,
        passed: Passed,
        residuals: Shares,
        looked: &mut Looked,
    ) -> Result<Vec<Shares>, Abort> {
        let mut delta = residuals;
        let mut further = Vec::with_capacity(self.further.len());
        let layers = self.further.iter().zip(&self.hidden);
        let layers = layers.zip(passed.outputs.into_iter().zip(passed.slopes));
        for ((w, h), (output, slope)) in layers.rev() {
            let input = Shares::new(transposed(output.words(), h + 1), output.frac());
            let gradient = engine.matmul(&input, &delta, h + 1, batch.rows, w.outputs);
            further.push(gradient.await?);
            // without the biases
            let weights = &w.short.words()[..h * w.outputs];
            let back = Shares::new(transposed(weights, w.outputs), points::SHORT);
            let back = engine
                .matmul(&delta, &back, batch.rows, w.outputs, *h)
                .await?;
            let before = engine.entrywise(&back, &slope).await?;
            let cut = engine.truncate(vec![(before, points::DELTA)]).await?;
            delta = one(cut)?;
            looked.take(&delta, batch.rows, DERIVATIVES);
        }
        further.reverse();
        let jobs: Vec<_> = batch
            .columns
            .iter()
            .zip(&self.first)
            .map(|(m, w)| (m, Operand::Transposed(&delta, w.outputs)))
            .collect();
        let mut gradients = engine.products(&jobs).await?;
        gradients.extend(further);
        Ok(gradients)
    }
}

/// Shares times public factors, at another point.
fn scaled(shares: Shares, factors: impl Iterator<Item = u64>, frac: u32) -> Shares {
    let words = shares.words().iter().zip(factors);
    Shares::new(words.map(|(w, f)| w.wrapping_mul(f)).collect(), frac)
}
