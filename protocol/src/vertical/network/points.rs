//! Where the binary points lie: the range budget of a network.
//!
//! Ring elements have 64 bits. Arguments of activations stand where the ring wraps at the series' period, so that
//! they are never cut: that fixes the point of each layer's weights. Bounds: features are cut at ±5, activations lie
//! within ±1.2 (the series overshoots by less), residuals within ±1.2. What is cut with
//! [`truncate`](crate::arith::Engine::truncate) must stay below 2^62 units: derivatives by a layer's outputs below
//! 16, steps of weights below 4. A run that leaves these diverges: after each epoch a bit tells so
//! ([`WithinRange`](crate::arith::Opening::WithinRange)), and [`LARGEST`] is asked of released weights.
//!
//! Rectifiers have no period: sums before them are cut to the point of activations, and must be below 2^10; they are
//! looked at as the rest is. Weights of rows are divided by the largest there can be, and the rate multiplied with
//! it, so that residuals stay within ±1.2.

use super::{Hidden, NetworkSpec};
use crate::{abort::Abort, arith::Precision};

/// Fraction bits of features.
pub const FEATURE: u32 = 12;
/// Of activations.
pub const ACTIVATION: u32 = 20;
/// Of derivatives by a layer's outputs, and of residuals.
pub const DELTA: u32 = 18;
/// Of the copy of weights that derivatives are taken back through, and that decays.
pub const SHORT: u32 = 20;
/// Of activations' slopes.
pub const SLOPE: u32 = 20;
/// At which steps are added up before they are cut.
pub const STEP: u32 = 60;
/// Bits in which what dropout leaves is scaled up.
pub const DROPOUT: u32 = 4;

/// log2 of the range of the hidden layers' logistic series, twice that of their arguments.
pub const HIDDEN_RANGE_LOG2: u32 = 3;
/// Its terms.
pub const HIDDEN_TERMS: usize = 6;
/// How it is evaluated: rounding moves an activation by 1e-4 at random.
pub const HIDDEN: Precision = Precision::Narrow;
/// log2 of the range of the output's series.
pub const OUTPUT_RANGE_LOG2: u32 = 5;
/// Its terms.
pub const OUTPUT_TERMS: usize = 40;
/// How it is evaluated.
pub const OUTPUT: Precision = Precision::Wide;

/// Fraction bits of hidden layers' arguments: `2 z` wraps at the period of the logistic series.
pub const HIDDEN_ARGUMENT: u32 = 64 - (HIDDEN_RANGE_LOG2 + 2) + 1;
/// Fraction bits of sums before rectifiers.
pub const RELU_ARGUMENT: u32 = 52;
/// Fraction bits of scores as they are summed: up to 2^13, many times what the output's series takes, does not wrap.
pub const SUM: u32 = 50;
/// Fraction bits of scores where the ring wraps at the period of the output's series.
pub const SCORE: u32 = 64 - (OUTPUT_RANGE_LOG2 + 2);
/// Largest score that is surely within the output's range, and below what a cut takes.
pub const LARGEST_SCORE: f64 = 31.0;
/// Largest activation: the series overshoots 1 by less than 2e-3.
pub const LARGEST_ACTIVATION: f64 = 1.01;
/// Largest sum before a rectifier.
pub const LARGEST_RELU: f64 = 256.0;
/// Largest weight that a run that went well ends with.
pub const LARGEST: f64 = 64.0;

/// Points of one layer's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerPoints {
    /// Fraction bits of weights.
    pub weight: u32,
    /// Of the gradient over a batch.
    pub gradient: u32,
}

/// Points of layer `l` of `layers`.
pub fn layer(l: usize, layers: usize, activation: Hidden) -> LayerPoints {
    let input = if l == 0 { FEATURE } else { ACTIVATION };
    let argument = match activation {
        _ if l + 1 == layers => SUM,
        Hidden::Tanh => HIDDEN_ARGUMENT,
        Hidden::Relu => RELU_ARGUMENT,
    };
    LayerPoints {
        weight: argument - input,
        gradient: input + DELTA,
    }
}

/// What a gradient over a batch of `rows` rows is multiplied with to be a step at the point [`STEP`].
///
/// # Errors
/// If so small a rate for so large a batch has too few bits.
pub fn rate(points: LayerPoints, rate: f64, rows: usize) -> Result<u64, Abort> {
    let exact = rate / rows.max(1) as f64 * 2f64.powi((STEP - points.gradient) as i32);
    // a schedule ends near 0, where bits do not matter
    Ok(exact.round() as u64)
}

/// What the last step is multiplied with, to be a part of the next at the point [`STEP`].
pub fn momentum(points: LayerPoints, momentum: f64) -> u64 {
    (momentum * 2f64.powi((STEP - points.weight) as i32)).round() as u64
}

/// The part of the weights that decays in an epoch of `batches` batches, and what the short copy is multiplied with
/// to be it at the point [`STEP`].
pub fn decay(spec: &NetworkSpec, factor: f64, batches: usize, rows: usize) -> (f64, u64) {
    let rate = spec.rate * factor / (1.0 - spec.momentum);
    let part = (rate * spec.l2 / rows.max(1) as f64 * batches as f64).min(0.5);
    let word = (part * 2f64.powi((STEP - SHORT) as i32)).round();
    (part, word as u64)
}

/// Sixteenths that what dropout leaves is multiplied with.
pub fn kept_scale(dropout: f64) -> u64 {
    (f64::from(1u32 << DROPOUT) / (1.0 - dropout)).round() as u64
}

/// Whether steps of these rates have bits enough.
///
/// # Errors
/// If the rate is too small for the batch.
pub fn check_rate(spec: &NetworkSpec, layers: usize, rows: usize) -> Result<(), Abort> {
    for l in 0..layers {
        if rate(
            layer(l, layers, spec.activation),
            spec.rate * weight_unit(spec),
            rows,
        )? < 16
        {
            return Err(Abort::Input(format!(
                "a rate of {} for batches of {rows} rows is too small for the fixed point: raise network.rate or \
                 take smaller batches",
                spec.rate
            )));
        }
    }
    Ok(())
}

/// What weights of rows are divided by, and the rate multiplied with: the largest there can be; 1 without any.
pub fn weight_unit(spec: &NetworkSpec) -> f64 {
    spec.row_weights.iter().map(|w| w.max).product()
}
