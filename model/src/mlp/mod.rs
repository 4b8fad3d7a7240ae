//! A small neural network for a probability of default: dense layers with rectifiers, one logit.
//!
//! Parameters are one flat vector, layer after layer: weights `[inputs, outputs]` row-major, then biases; the last
//! layer is its tail. Inputs beyond ±[`EDGE`] standard deviations count as ±[`EDGE`]. Without hidden layers it is a
//! logistic regression.
//!
//! ```
//! use ndarray::array;
//! use paripassu_model::mlp::{Local, Network, Optimiser, Step};
//!
//! let x = array![[-1.0], [-0.5], [0.4], [0.2], [1.0], [1.5]];
//! let y = [0, 0, 0, 1, 1, 1];
//! let network = Network::new(1, &[4]);
//! let mut draw = paripassu_model::mlp::test_draws(1);
//! let mut params = network.initial(&mut draw);
//! let mut local = Local::new(Optimiser::Adam, params.len());
//! let step = Step { rate: 0.05, batch: 2, epochs: 40, ..Step::default() };
//! local.train(&network, &mut params, &x, &y, &step, &mut draw)?;
//! let z = network.log_odds(&params, &x)?;
//! assert!(z[0] < z[5]);
//! # Ok::<(), paripassu_model::mlp::MlpError>(())
//! ```
//!
//! Source: Rumelhart, Hinton and Williams, Nature 323 (1986); initial values as Glorot and Bengio, AISTATS 2010.

mod clipped;
mod train;

pub use clipped::{Clipped, clipped_sum};
pub use train::{Adam, Local, Optimiser, Step};

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Zip};

use crate::logistic::sigmoid;

/// Inputs beyond this many standard deviations count as so many.
pub const EDGE: f64 = 5.0;

/// Why a network cannot be trained or applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MlpError {
    /// Parameters, rows or labels of another number.
    #[error("{part}: {got} entries, expected {expected}")]
    Length {
        /// Which part.
        part: &'static str,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// The loss is no number any more.
    #[error("the loss is no number after {batches} batches: take a lower rate")]
    Diverged {
        /// Batches done.
        batches: usize,
    },
}

fn length(part: &'static str, expected: usize, got: usize) -> Result<(), MlpError> {
    match expected == got {
        true => Ok(()),
        false => Err(MlpError::Length {
            part,
            expected,
            got,
        }),
    }
}

/// Numbers for the documentation and tests: reproducible, not secret.
pub fn test_draws(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A layer's place in the flat vector.
#[derive(Debug, Clone, Copy)]
struct Layer {
    start: usize,
    inputs: usize,
    outputs: usize,
}

impl Layer {
    fn biases(&self) -> usize {
        self.start + self.inputs * self.outputs
    }

    fn end(&self) -> usize {
        self.biases() + self.outputs
    }
}

/// The shape of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Inputs, hidden widths, 1.
    widths: Vec<usize>,
}

impl Network {
    /// From so many inputs through hidden layers of these widths to one logit.
    pub fn new(inputs: usize, hidden: &[usize]) -> Self {
        let widths = [inputs].into_iter().chain(hidden.iter().copied());
        Self {
            widths: widths.chain([1]).collect(),
        }
    }

    /// Widths: inputs, hidden layers, 1.
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn layers(&self) -> impl DoubleEndedIterator<Item = Layer> + use<> {
        let mut start = 0;
        let mut all = Vec::with_capacity(self.widths.len());
        for pair in self.widths.windows(2) {
            let layer = Layer {
                start,
                inputs: pair[0],
                outputs: pair[1],
            };
            start = layer.end();
            all.push(layer);
        }
        all.into_iter()
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.layers().next_back().map_or(0, |last| last.end())
    }

    /// How many of them, at the end, are the last layer's.
    pub fn last_layer(&self) -> usize {
        self.layers()
            .next_back()
            .map_or(0, |last| last.end() - last.start)
    }

    /// Initial parameters from uniform words: within ±√(6 / (inputs + outputs)) of 0, layer by layer.
    pub fn initial(&self, draw: &mut dyn FnMut() -> u64) -> Vec<f64> {
        let mut params = Vec::with_capacity(self.parameters());
        for layer in self.layers() {
            let bound = (6.0 / (layer.inputs + layer.outputs) as f64).sqrt();
            for _ in layer.start..layer.end() {
                // 53 bits, exactly
                let unit = (draw() >> 11) as f64 * 2f64.powi(-53);
                params.push(bound * (2.0 * unit - 1.0));
            }
        }
        params
    }

    /// Weights and biases by layer, as they are written out: `[inputs][outputs]`, `[outputs]`.
    pub fn unflatten(&self, params: &[f64]) -> Vec<(Vec<Vec<f64>>, Vec<f64>)> {
        let layer = |layer: Layer| {
            let weights = params.get(layer.start..layer.biases()).unwrap_or_default();
            let rows = weights.chunks(layer.outputs).map(<[f64]>::to_vec);
            let biases = params.get(layer.biases()..layer.end()).unwrap_or_default();
            (rows.collect(), biases.to_vec())
        };
        self.layers().map(layer).collect()
    }

    fn view<'p>(
        &self,
        params: &'p [f64],
        layer: Layer,
    ) -> Result<(ArrayView2<'p, f64>, ArrayView1<'p, f64>), MlpError> {
        let wrong = |_| MlpError::Length {
            part: "parameters",
            expected: self.parameters(),
            got: params.len(),
        };
        let weights = params.get(layer.start..layer.biases()).unwrap_or_default();
        let weights = ArrayView2::from_shape((layer.inputs, layer.outputs), weights);
        let biases = params.get(layer.biases()..layer.end()).unwrap_or_default();
        let biases = ArrayView1::from_shape(layer.outputs, biases);
        Ok((weights.map_err(wrong)?, biases.map_err(wrong)?))
    }

    /// Inputs of every layer, and the logits.
    fn forward(
        &self,
        params: &[f64],
        x: ArrayView2<'_, f64>,
    ) -> Result<(Vec<Array2<f64>>, Array1<f64>), MlpError> {
        length("columns", self.widths[0], x.ncols())?;
        let mut inputs = vec![x.mapv(|v| v.clamp(-EDGE, EDGE))];
        let last = self.widths.len() - 2;
        for (i, layer) in self.layers().enumerate() {
            let (weights, biases) = self.view(params, layer)?;
            let mut z = inputs[i].dot(&weights);
            z += &biases;
            if i == last {
                return Ok((inputs, z.index_axis_move(Axis(1), 0)));
            }
            z.mapv_inplace(|v| v.max(0.0));
            inputs.push(z);
        }
        Ok((inputs, Array1::zeros(x.nrows())))
    }

    /// Log-odds of bad of rows of the standardised design.
    ///
    /// # Errors
    /// [`MlpError::Length`].
    pub fn log_odds(&self, params: &[f64], x: &Array2<f64>) -> Result<Vec<f64>, MlpError> {
        length("parameters", self.parameters(), params.len())?;
        Ok(self.forward(params, x.view())?.1.to_vec())
    }

    /// Sum of log losses over rows, and its gradient into `gradient`.
    ///
    /// # Errors
    /// [`MlpError::Length`].
    pub fn gradient(
        &self,
        params: &[f64],
        x: ArrayView2<'_, f64>,
        y: &[u8],
        gradient: &mut [f64],
    ) -> Result<f64, MlpError> {
        length("parameters", self.parameters(), params.len())?;
        length("gradient", params.len(), gradient.len())?;
        length("labels", x.nrows(), y.len())?;
        let (inputs, logits) = self.forward(params, x)?;
        let (loss, mut delta) = residuals(&logits, y);
        for (layer, input) in self.layers().rev().zip(inputs.iter().rev()) {
            let (weights, _) = self.view(params, layer)?;
            let (to_weights, to_biases) =
                gradient[layer.start..layer.end()].split_at_mut(layer.inputs * layer.outputs);
            let of_weights = input.t().dot(&delta);
            to_weights
                .iter_mut()
                .zip(&of_weights)
                .for_each(|(g, v)| *g = *v);
            let of_biases = delta.sum_axis(Axis(0));
            to_biases
                .iter_mut()
                .zip(&of_biases)
                .for_each(|(g, v)| *g = *v);
            if layer.start > 0 {
                delta = back(&delta, weights, input);
            }
        }
        Ok(loss)
    }
}

/// Sum of log losses, and PD - y by row.
fn residuals(logits: &Array1<f64>, y: &[u8]) -> (f64, Array2<f64>) {
    let mut loss = 0.0;
    let mut delta = Array2::zeros((logits.len(), 1));
    for ((z, y), d) in logits.iter().zip(y).zip(delta.iter_mut()) {
        let (sign, target) = if *y == 1 { (-1.0, 1.0) } else { (1.0, 0.0) };
        let m = sign * z;
        // ln(1 + e^m) without overflow
        loss += m.max(0.0) + (-m.abs()).exp().ln_1p();
        *d = sigmoid(*z) - target;
    }
    (loss, delta)
}

/// Derivatives by the outputs of the layer before: through the weights, where its rectifier let pass.
fn back(delta: &Array2<f64>, weights: ArrayView2<'_, f64>, input: &Array2<f64>) -> Array2<f64> {
    let mut before = delta.dot(&weights.t());
    Zip::from(&mut before).and(input).for_each(|d, a| {
        if *a <= 0.0 {
            *d = 0.0;
        }
    });
    before
}

#[cfg(test)]
mod tests;
