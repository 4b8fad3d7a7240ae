//! What a bank does with its own rows between two sums.

use ndarray::{Array2, Axis};

use super::{MlpError, Network, length};

/// How a bank steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optimiser {
    /// Plain gradient steps.
    Sgd,
    /// Adam; its moments stay at home from one call to the next.
    Adam,
}

/// Moments of Adam (Kingma and Ba, ICLR 2015).
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

const BETA: [f64; 2] = [0.9, 0.999];

impl Adam {
    /// Before the first step.
    pub fn new(parameters: usize) -> Self {
        Self {
            first: vec![0.0; parameters],
            second: vec![0.0; parameters],
            steps: 0,
        }
    }

    /// Steps made and both moments, to be kept.
    pub fn moments(&self) -> (i32, &[f64], &[f64]) {
        (self.steps, &self.first, &self.second)
    }

    /// With what [`Adam::moments`] gave.
    ///
    /// # Errors
    /// Moments of two lengths.
    pub fn resumed(steps: i32, first: Vec<f64>, second: Vec<f64>) -> Result<Self, MlpError> {
        length("second moments", first.len(), second.len())?;
        Ok(Self {
            first,
            second,
            steps,
        })
    }

    /// Steps against `gradient`; `damp` is added to the root of the second moment.
    pub fn step(&mut self, params: &mut [f64], gradient: &[f64], rate: f64, damp: f64) {
        self.steps = self.steps.saturating_add(1);
        let correction = BETA.map(|b| 1.0 - b.powi(self.steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((w, g), (m, v)) in params.iter_mut().zip(gradient).zip(moments) {
            *m = BETA[0] * *m + (1.0 - BETA[0]) * g;
            *v = BETA[1] * *v + (1.0 - BETA[1]) * g * g;
            *w -= rate * (*m / correction[0]) / ((*v / correction[1]).sqrt() + damp);
        }
    }
}

/// One call of [`Local::train`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Passes over the rows, where `batches` says nothing.
    pub epochs: usize,
    /// Batches: the next ones of an order that is drawn afresh whenever it has been gone through.
    pub batches: Option<usize>,
    /// Most rows of a batch; all have about as many.
    pub batch: usize,
    /// Learning rate.
    pub rate: f64,
    /// Weight of `0.5 |w|²` for each row, biases included.
    pub l2_per_row: f64,
    /// Weight of `0.5 |w - start|²`, which keeps a bank near the joint model (FedProx).
    pub proximal: f64,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            epochs: 1,
            batches: None,
            batch: 256,
            rate: 1e-3,
            l2_per_row: 0.0,
            proximal: 0.0,
        }
    }
}

/// A bank's optimiser from one round to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    adam: Option<Adam>,
    /// Rows still to come before the order is drawn again.
    order: Vec<usize>,
}

impl Local {
    /// Before the first round.
    pub fn new(optimiser: Optimiser, parameters: usize) -> Self {
        Self {
            adam: (optimiser == Optimiser::Adam).then(|| Adam::new(parameters)),
            order: Vec::new(),
        }
    }

    /// Moments, where it has any, and the rows still to come, to be kept.
    pub fn kept(&self) -> (Option<&Adam>, &[usize]) {
        (self.adam.as_ref(), &self.order)
    }

    /// With what [`Local::kept`] gave, over so many rows.
    ///
    /// # Errors
    /// A row that there is not.
    pub fn resumed(adam: Option<Adam>, order: Vec<usize>, rows: usize) -> Result<Self, MlpError> {
        let most = order.iter().max().map_or(0, |row| row + 1);
        length("rows still to come", rows, most.max(rows))?;
        Ok(Self { adam, order })
    }

    /// Trains `params` on rows in batches in an order drawn afresh for each pass; the mean log loss of the rows of
    /// the last pass, or of all batches, as it went along.
    ///
    /// # Errors
    /// [`MlpError`].
    pub fn train(
        &mut self,
        network: &Network,
        params: &mut [f64],
        x: &Array2<f64>,
        y: &[u8],
        step: &Step,
        draw: &mut dyn FnMut() -> u64,
    ) -> Result<f64, MlpError> {
        length("parameters", network.parameters(), params.len())?;
        length("labels", x.nrows(), y.len())?;
        // as many batches as that size needs, of one size: a short last one would count as much as the others
        let a_pass = y.len().div_ceil(step.batch.max(1)).max(1);
        let size = y.len().div_ceil(a_pass).max(1);
        let batches = step.batches.unwrap_or(step.epochs * a_pass);
        if step.batches.is_none() {
            self.order.clear();
        }
        let start = params.to_vec();
        let mut gradient = vec![0.0; params.len()];
        let (mut total, mut rows_seen) = (0.0, 0);
        for done in 0..batches {
            if self.order.is_empty() {
                self.order = (0..y.len()).collect();
                shuffle(&mut self.order, draw);
            }
            if done + a_pass == batches {
                (total, rows_seen) = (0.0, 0);
            }
            let rows = self.order.split_off(self.order.len().saturating_sub(size));
            let part = x.select(Axis(0), &rows);
            let labels: Vec<u8> = rows.iter().map(|r| y[*r]).collect();
            let loss = network.gradient(params, part.view(), &labels, &mut gradient)?;
            if !loss.is_finite() {
                return Err(MlpError::Diverged { batches: done + 1 });
            }
            total += loss;
            rows_seen += rows.len();
            let n = rows.len() as f64;
            for ((g, w), s) in gradient.iter_mut().zip(params.iter()).zip(&start) {
                *g = *g / n + step.l2_per_row * w + step.proximal * (w - s);
            }
            match &mut self.adam {
                Some(adam) => adam.step(params, &gradient, step.rate, 1e-8),
                None => params
                    .iter_mut()
                    .zip(&gradient)
                    .for_each(|(w, g)| *w -= step.rate * g),
            }
        }
        Ok(total / rows_seen.max(1) as f64)
    }
}

/// Fisher and Yates, each place drawn without bias.
fn shuffle(order: &mut [usize], draw: &mut dyn FnMut() -> u64) {
    for i in (1..order.len()).rev() {
        let bound = i as u64 + 1;
        let zone = u64::MAX - u64::MAX % bound;
        let word = loop {
            let word = draw();
            if word < zone {
                break word;
            }
        };
        order.swap(i, (word % bound) as usize);
    }
}
