//! Logistic regression by Newton's method (iteratively reweighted least squares).
//!
//! Minimises `0.5 l2 |w|^2 + sum of weight_i * logloss(y_i, x_i w + b + offset_i)`; the intercept
//! `b` is not penalised. This is the optimum that a joint fit, vertical or horizontal, must reach.
//!
//! ```
//! use ndarray::array;
//! use paripassu_model::logistic::{FitOptions, TrainingSet, fit};
//!
//! let x = array![[-1.0], [-0.5], [0.4], [0.2], [1.0]];
//! let rows = TrainingSet::new(&x, &[0, 0, 0, 1, 1])?;
//! let fitted = fit(&rows, &FitOptions::default())?;
//! let pd = fitted.model.pd(&x)?;
//! // With a free intercept the mean PD is the bad rate.
//! assert!((pd.iter().sum::<f64>() - 2.0).abs() < 1e-7);
//! # Ok::<(), paripassu_model::logistic::LogisticError>(())
//! ```

mod cholesky;
mod constrained;
mod fuzzy;
mod kernels;
mod newton;
mod parts;
mod passes;

pub use constrained::{Sign, fit_constrained};
pub use fuzzy::{Fuzzy, FuzzyAsk, FuzzyRows, fuzzy};
pub use newton::{Fit, FitOptions, Wald, fit};
pub use parts::{Parts, Penalty, triangle};
pub use passes::{NewtonPass, NewtonPasses, newton_passes};

use kernels::Rows;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// A fitted model: PD = 1 / (1 + exp(-(x w + b))).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogisticModel {
    /// `b`.
    pub intercept: f64,
    /// `w`, one per column of the design.
    pub coefficients: Vec<f64>,
}

/// Why a regression cannot be fitted or applied. Rows and columns count from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LogisticError {
    /// A part does not have one entry per row, or a row not one per coefficient.
    #[error("{part}: {got} entries, expected {expected}")]
    Length {
        /// Which part.
        part: &'static str,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// The matrix is not contiguous by rows.
    #[error("the design matrix is not contiguous by rows: pass it through `as_standard_layout`")]
    Layout,
    /// A label is neither 0 nor 1.
    #[error("label of training row {row} is {got}, expected 0 (good) or 1 (bad)")]
    Label {
        /// The row.
        row: usize,
        /// What was there.
        got: u8,
    },
    /// A feature, weight or offset is NaN or infinite, or a weight negative.
    #[error("{part} of training row {row} is {got}: fill or drop such rows before fitting")]
    Value {
        /// Which part.
        part: &'static str,
        /// The row.
        row: usize,
        /// What was there.
        got: f64,
    },
    /// Only one class carries weight, so the intercept has no optimum.
    #[error("{bads} bad and {goods} good training rows: a fit needs at least one of each")]
    OneClass {
        /// Rows with label 1 and weight.
        bads: usize,
        /// Rows with label 0 and weight.
        goods: usize,
    },
    /// A setting makes no sense.
    #[error("{setting} is {got}, expected {expected}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was asked for.
        got: f64,
    },
    /// The columns are linearly dependent and nothing penalises them.
    #[error(
        "design column {column} (the last is the intercept) is a combination of those before it: \
         drop it, or fit with l2 above 0"
    )]
    Singular {
        /// The column.
        column: usize,
    },
    /// The columns tell good from bad without error, so coefficients grow without bound.
    #[error(
        "the columns separate good from bad (margins beyond {margin:.0} after {passes} passes; \
         column {column} has the largest coefficient): look for a column that knows the outcome, \
         or fit with l2 above 0"
    )]
    Separation {
        /// The column with the largest coefficient.
        column: usize,
        /// Passes made.
        passes: usize,
        /// Largest margin.
        margin: f64,
    },
    /// The limit of passes was reached.
    #[error(
        "no convergence in {passes} passes: largest gradient entry {gradient:e} per unit of \
         weight, wanted {tolerance:e}; raise the limit of passes or l2"
    )]
    NoConvergence {
        /// Passes made.
        passes: usize,
        /// What was reached.
        gradient: f64,
        /// What was asked for.
        tolerance: f64,
    },
}

/// Checked training rows.
#[derive(Clone, Copy)]
pub struct TrainingSet<'a> {
    rows: Rows<'a>,
}

impl std::fmt::Debug for TrainingSet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrainingSet")
            .field("rows", &self.rows())
            .field("columns", &self.columns())
            .field("weighted", &self.rows.weights.is_some())
            .field("offset", &self.rows.offset.is_some())
            .finish()
    }
}

fn finite(part: &'static str, values: &[f64], per_row: usize) -> Result<(), LogisticError> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(LogisticError::Value {
            part,
            row: at / per_row.max(1),
            got: values[at],
        }),
        None => Ok(()),
    }
}

fn length(part: &'static str, expected: usize, got: usize) -> Result<(), LogisticError> {
    if expected == got {
        Ok(())
    } else {
        Err(LogisticError::Length {
            part,
            expected,
            got,
        })
    }
}

impl<'a> TrainingSet<'a> {
    /// `x`: [rows, columns], row = customer; `labels`: 1 = bad.
    ///
    /// # Errors
    /// [`LogisticError::Layout`], [`LogisticError::Length`], [`LogisticError::Label`],
    /// [`LogisticError::Value`].
    pub fn new(x: &'a Array2<f64>, labels: &'a [u8]) -> Result<Self, LogisticError> {
        length("labels", x.nrows(), labels.len())?;
        Self::from_slice(
            x.as_slice().ok_or(LogisticError::Layout)?,
            x.ncols(),
            labels,
        )
    }

    /// As [`TrainingSet::new`] from a row-major slice.
    ///
    /// # Errors
    /// As [`TrainingSet::new`].
    pub fn from_slice(
        x: &'a [f64],
        columns: usize,
        labels: &'a [u8],
    ) -> Result<Self, LogisticError> {
        length("design matrix", columns * labels.len(), x.len())?;
        if let Some((row, &got)) = labels.iter().enumerate().find(|(_, l)| **l > 1) {
            return Err(LogisticError::Label { row, got });
        }
        finite("a feature", x, columns)?;
        Ok(Self {
            rows: Rows {
                x,
                columns,
                labels,
                weights: None,
                offset: None,
            },
        })
    }

    /// Gives each row a weight of 0 or more.
    ///
    /// # Errors
    /// [`LogisticError::Length`], [`LogisticError::Value`].
    pub fn with_weights(mut self, weights: &'a [f64]) -> Result<Self, LogisticError> {
        length("weights", self.rows(), weights.len())?;
        finite("the weight", weights, 1)?;
        if let Some((row, &got)) = weights.iter().enumerate().find(|(_, w)| **w < 0.0) {
            return Err(LogisticError::Value {
                part: "the weight",
                row,
                got,
            });
        }
        self.rows.weights = Some(weights);
        Ok(self)
    }

    /// Adds a fixed amount to each row's margin.
    ///
    /// # Errors
    /// [`LogisticError::Length`], [`LogisticError::Value`].
    pub fn with_offset(mut self, offset: &'a [f64]) -> Result<Self, LogisticError> {
        length("offset", self.rows(), offset.len())?;
        finite("the offset", offset, 1)?;
        self.rows.offset = Some(offset);
        Ok(self)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Number of columns, without the intercept.
    pub fn columns(&self) -> usize {
        self.rows.columns
    }

    fn weight(&self, row: usize) -> f64 {
        self.rows.weights.map_or(1.0, |w| w[row])
    }

    /// Total weight, after checking that both classes carry some.
    fn total_weight(&self) -> Result<f64, LogisticError> {
        let carrying = (0..self.rows()).filter(|&i| self.weight(i) > 0.0);
        let (bads, goods): (Vec<_>, Vec<_>) = carrying.partition(|&i| self.rows.labels[i] == 1);
        if bads.is_empty() || goods.is_empty() {
            return Err(LogisticError::OneClass {
                bads: bads.len(),
                goods: goods.len(),
            });
        }
        Ok((0..self.rows()).map(|i| self.weight(i)).sum())
    }
}

/// `1 / (1 + exp(-z))`, without overflow.
pub fn sigmoid(z: f64) -> f64 {
    let e = (-z.abs()).exp();
    if z >= 0.0 {
        1.0 / (1.0 + e)
    } else {
        e / (1.0 + e)
    }
}

impl LogisticModel {
    /// `x w + b` for each row.
    ///
    /// # Errors
    /// [`LogisticError::Layout`], [`LogisticError::Length`].
    pub fn margins(&self, x: &Array2<f64>) -> Result<Vec<f64>, LogisticError> {
        length(
            "columns of the design matrix",
            self.coefficients.len(),
            x.ncols(),
        )?;
        let mut out = vec![0.0; x.nrows()];
        let x = x.as_slice().ok_or(LogisticError::Layout)?;
        kernels::margins(x, &self.coefficients, self.intercept, &mut out);
        Ok(out)
    }

    /// The PD of each row.
    ///
    /// # Errors
    /// As [`LogisticModel::margins`].
    pub fn pd(&self, x: &Array2<f64>) -> Result<Vec<f64>, LogisticError> {
        Ok(self.margins(x)?.into_iter().map(sigmoid).collect())
    }
}

#[cfg(test)]
mod tests;
