//! The same training in the clear, in double precision: the twin that tests and sandboxes compare with.
//!
//! Initial weights, batches, dropout, rates and decay are those of the joint training, and so is the activation:
//! what differs is fixed-point rounding alone.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis, Zip, s};
use paripassu_crypto::sine::Sine;
use paripassu_model::logistic::sigmoid;

use super::{
    Dense, EDGE, Hidden, NetworkSpec, hidden_series, output_series, points,
    public::{Public, batch_sizes},
};
use crate::abort::Abort;

/// How functions are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// By the series that the joint training has.
    Series,
    /// The functions themselves, as a plaintext solver would.
    Exact,
}

/// A network in one piece.
#[derive(Debug, Clone, PartialEq)]
pub struct Plain {
    /// What hidden layers apply.
    pub hidden: Hidden,
    /// How that was evaluated.
    pub activation: Activation,
    /// All layers, the first with the columns of all parties in their order.
    pub layers: Vec<Dense>,
    /// Epochs made, and the one whose weights were taken.
    pub epochs: usize,
    /// See `epochs`.
    pub best: usize,
}

/// Weights `[inputs + 1, outputs]`; the first layer's biases are its first row, the others' their last.
type Layers = Vec<Array2<f64>>;

struct Twin<'a> {
    spec: &'a NetworkSpec,
    public: Public,
    activation: Activation,
    hidden: Sine,
    output: Sine,
}

/// What a hidden layer gives for a sum.
fn hidden_value(hidden: Hidden, activation: Activation, series: &Sine, z: f64) -> f64 {
    match (hidden, activation) {
        (Hidden::Relu, _) => z.max(0.0),
        (_, Activation::Series) => 2.0 * series.value(2.0 * z) - 1.0,
        (_, Activation::Exact) => z.tanh(),
    }
}

/// Rows in the order in which batches are cut.
struct Rows {
    x: Array2<f64>,
    y: Vec<u8>,
    /// Over the largest there can be.
    weights: Vec<f64>,
}

fn with_ones(x: ArrayView2<'_, f64>, first: bool) -> Array2<f64> {
    let mut out = Array2::ones((x.nrows(), x.ncols() + 1));
    let at = if first { s![.., 1..] } else { s![.., ..-1] };
    out.slice_mut(at).assign(&x);
    out
}

impl Twin<'_> {
    /// Inputs with ones of each further layer, slopes, scores.
    fn forward(
        &self,
        layers: &Layers,
        x: &Array2<f64>,
        drop: Option<usize>,
    ) -> (Vec<Array2<f64>>, Vec<Array2<f64>>, Array2<f64>) {
        let (mut inputs, mut slopes) = (Vec::new(), Vec::new());
        let mut z = x.dot(&layers[0]);
        for (l, w) in layers.iter().enumerate().skip(1) {
            let hidden = self.spec.activation;
            let mut a = z.mapv(|z| hidden_value(hidden, self.activation, &self.hidden, z));
            let mut slope = match (hidden, self.activation) {
                (Hidden::Relu, _) => z.mapv(|z| f64::from(u8::from(z >= 0.0))),
                (_, Activation::Series) => z.mapv(|z| 4.0 * self.hidden.slope(2.0 * z)),
                (_, Activation::Exact) => a.mapv(|a| 1.0 - a * a),
            };
            if let (Some(batch), true) = (drop, self.spec.dropout > 0.0) {
                let kept = self.public.kept(batch, l - 1, a.len(), self.spec.dropout);
                let scale = points::kept_scale(self.spec.dropout) as f64
                    / f64::from(1u32 << points::DROPOUT);
                for ((a, s), kept) in a.iter_mut().zip(&mut slope).zip(kept) {
                    let factor = if kept { scale } else { 0.0 };
                    *a *= factor;
                    *s *= factor;
                }
            }
            let input = with_ones(a.view(), false);
            z = input.dot(w);
            inputs.push(input);
            slopes.push(slope);
        }
        (inputs, slopes, z)
    }

    fn residuals(&self, scores: &Array2<f64>, y: &[u8]) -> Array2<f64> {
        let mut r = match self.activation {
            Activation::Series => scores.mapv(|z| self.output.value(z)),
            Activation::Exact => scores.mapv(sigmoid),
        };
        r.iter_mut().zip(y).for_each(|(r, y)| *r -= f64::from(*y));
        r
    }

    /// Of rows `at`, in batch `batch`.
    fn gradients(&self, layers: &Layers, rows: &Rows, at: Range<usize>, batch: usize) -> Layers {
        let x = rows.x.slice(s![at.clone(), ..]).to_owned();
        let (inputs, slopes, scores) = self.forward(layers, &x, Some(batch));
        let mut delta = self.residuals(&scores, &rows.y[at.clone()]);
        let weights = rows.weights[at].iter();
        delta.iter_mut().zip(weights).for_each(|(r, v)| *r *= v);
        let mut out = Vec::new();
        for l in (1..layers.len()).rev() {
            out.push(inputs[l - 1].t().dot(&delta));
            let h = layers[l].nrows() - 1;
            delta = delta.dot(&layers[l].slice(s![..h, ..]).t());
            Zip::from(&mut delta)
                .and(&slopes[l - 1])
                .for_each(|d, s| *d *= s);
        }
        out.push(x.t().dot(&delta));
        out.reverse();
        out
    }
}

/// Trains on all parties' columns `[rows, columns]`, party 0's first; `weights` are the product of all parties'
/// weights of a row; without them all rows count alike.
///
/// # Errors
/// What [`NetworkSpec::check`] says; or if there is not a weight for each row.
pub fn train(
    spec: &NetworkSpec,
    (x, y): (&Array2<f64>, &[u8]),
    weights: Option<&[f64]>,
    activation: Activation,
) -> Result<Plain, Abort> {
    spec.check()?;
    let unit = weights.map_or(1.0, |_| points::weight_unit(spec));
    if weights.is_some_and(|w| w.len() != x.nrows()) || y.len() != x.nrows() {
        return Err(Abort::Input("not a label and a weight for each row".into()));
    }
    let public = Public::new(spec.seed);
    let order = public.rows(x.nrows());
    let step = 2f64.powi(points::FEATURE as i32);
    // in the units of the joint training, so that features are the same
    let x = x.mapv(|v| (v.clamp(-EDGE, EDGE) * step).round() / step);
    let x = with_ones(x.select(Axis(0), &order).view(), true);
    let y: Vec<u8> = order.iter().map(|i| y[*i]).collect();
    // as all that is weighed, over the largest there can be
    let weight = |i: &usize| weights.map_or(1.0, |w| w[*i] / unit);
    let rows_of = Rows {
        weights: order.iter().map(weight).collect(),
        x,
        y,
    };
    let x = &rows_of.x;
    let watched = x.nrows() * spec.validation_tenths / 10;
    let rows = x.nrows() - watched;
    let sizes = batch_sizes(rows, spec.batch);
    let mut starts = vec![watched];
    sizes
        .iter()
        .for_each(|n| starts.push(starts[starts.len() - 1] + n));
    let twin = Twin {
        spec,
        public,
        activation,
        hidden: hidden_series(),
        output: output_series(),
    };
    let count = spec.hidden.len() + 1;
    let mut layers: Layers = Vec::new();
    for l in 0..count {
        let inputs = match l {
            0 => x.ncols() - 1,
            l => spec.hidden[l - 1],
        };
        let outputs = spec.hidden.get(l).copied().unwrap_or(1);
        let bias = if l == 0 { 0 } else { inputs };
        let values = twin.public.initial(l, inputs, outputs, bias);
        let shaped = Array2::from_shape_vec((inputs + 1, outputs), values);
        layers.push(shaped.map_err(|e| Abort::Input(e.to_string()))?);
    }
    let mut steps: Layers = layers.iter().map(|w| Array2::zeros(w.raw_dim())).collect();
    let all = spec.epochs * sizes.len();
    let (mut best, mut epochs) = ((0, f64::INFINITY, layers.clone()), 0);
    for epoch in 1..=spec.epochs {
        for (i, b) in twin
            .public
            .batches(epoch, sizes.len())
            .into_iter()
            .enumerate()
        {
            let t = (epoch - 1) * sizes.len() + i;
            let rate = spec.rate * unit * spec.schedule.factor(t, all);
            let at = starts[b]..starts[b + 1];
            let gradients = twin.gradients(&layers, &rows_of, at.clone(), t);
            for (l, ((w, d), g)) in layers
                .iter_mut()
                .zip(&mut steps)
                .zip(&gradients)
                .enumerate()
            {
                let p = points::layer(l, count, spec.activation);
                let exact = points::rate(p, rate, at.len())? as f64
                    * 2f64.powi(p.gradient as i32 - points::STEP as i32);
                let keep = points::momentum(p, spec.momentum) as f64
                    * 2f64.powi(p.weight as i32 - points::STEP as i32);
                Zip::from(w).and(d).and(g).for_each(|w, d, g| {
                    *d = keep * *d - exact * g;
                    *w += *d;
                });
            }
        }
        let factor = spec.schedule.factor((epoch - 1) * sizes.len(), all);
        let (part, word) = points::decay(spec, factor, sizes.len(), rows);
        if word > 0 {
            layers.iter_mut().for_each(|w| *w *= 1.0 - part);
        }
        epochs = epoch;
        if watched == 0 {
            best = (epoch, 0.0, layers.clone());
            continue;
        }
        let part = x.slice(s![..watched, ..]).to_owned();
        let (_, _, scores) = twin.forward(&layers, &part, None);
        let loss: f64 = twin
            .residuals(&scores, &rows_of.y[..watched])
            .iter()
            .zip(&rows_of.weights)
            .map(|(r, v)| v * r * r)
            .sum();
        if loss < best.1 {
            best = (epoch, loss, layers.clone());
        } else if spec.patience > 0 && epoch - best.0 >= spec.patience {
            break;
        }
    }
    let dense = |(l, w): (usize, &Array2<f64>)| {
        let bias = if l == 0 { 0 } else { w.nrows() - 1 };
        let rows = w.rows().into_iter().enumerate();
        let weights = rows.filter(|(i, _)| *i != bias);
        Dense {
            weights: weights.flat_map(|(_, r)| r.to_vec()).collect(),
            biases: w.row(bias).to_vec(),
            outputs: w.ncols(),
        }
    };
    Ok(Plain {
        hidden: spec.activation,
        activation,
        layers: best.2.iter().enumerate().map(dense).collect(),
        epochs,
        best: best.0,
    })
}

impl Plain {
    /// Log-odds of rows `[rows, columns]`, the columns of all parties in their order.
    ///
    /// # Errors
    /// If the columns are not as many as the first layer has inputs.
    pub fn log_odds(&self, x: &Array2<f64>) -> Result<Vec<f64>, Abort> {
        let series = hidden_series();
        let mut a = x.mapv(|v| v.clamp(-EDGE, EDGE));
        for (l, layer) in self.layers.iter().enumerate() {
            if l > 0 {
                a.mapv_inplace(|z| hidden_value(self.hidden, self.activation, &series, z));
            }
            let inputs = layer.weights.len() / layer.outputs.max(1);
            let w = ArrayView2::from_shape((inputs, layer.outputs), &layer.weights);
            let w = w.map_err(|e| Abort::Input(e.to_string()))?;
            if a.ncols() != inputs {
                return Err(Abort::Input(format!(
                    "{} columns for a layer of {inputs} inputs",
                    a.ncols()
                )));
            }
            a = a.dot(&w);
            for mut row in a.rows_mut() {
                row.iter_mut().zip(&layer.biases).for_each(|(z, b)| *z += b);
            }
        }
        Ok(a.into_iter().collect())
    }
}
