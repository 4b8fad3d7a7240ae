//! Columns that a logistic regression does as well without: backward elimination by Wald statistics.
//!
//! What the protocol of the same name does on shares, in the clear: fit, drop the column with the least statistic
//! `(w / s)²` if that is below a threshold, s its standard error, ridge included; fit again, until none is.

use ndarray::{Array2, Axis};

use super::logistic::{FitOptions, LogisticError, Parts, Penalty, TrainingSet, fit};
use crate::metrics::normal_two_sided;

/// The Wald statistic of which `p` is the p-value: the square of a normal one's quantile.
pub fn statistic(p: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 40.0_f64);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        match normal_two_sided(middle) > p {
            true => low = middle,
            false => high = middle,
        }
    }
    low * low
}

/// Places of the columns that leave, in the order in which they leave, at most `most`; the intercept never does.
///
/// # Errors
/// As [`fit`].
pub fn backward(
    (x, labels): (&Array2<f64>, &[u8]),
    weights: &[f64],
    offset: &[f64],
    l2: f64,
    (threshold, most): (f64, usize),
) -> Result<Vec<usize>, LogisticError> {
    let mut stays: Vec<usize> = (0..x.ncols()).collect();
    let mut left = Vec::new();
    while left.len() < most && !stays.is_empty() {
        let now = x.select(Axis(1), &stays).as_standard_layout().into_owned();
        let set = TrainingSet::new(&now, labels)?
            .with_weights(weights)?
            .with_offset(offset)?;
        let options = FitOptions {
            l2,
            ..FitOptions::default()
        };
        let model = fit(&set, &options)?.model;
        let mut params = model.coefficients.clone();
        params.push(model.intercept);
        let penalty = Penalty {
            l2,
            l1: 0.0,
            columns: stays.len(),
        };
        let errors = penalty.standard_errors(&Parts::at(&set, &params)?)?;
        let statistics = params.iter().zip(&errors).take(stays.len());
        let statistics: Vec<f64> = statistics.map(|(w, s)| (w / s) * (w / s)).collect();
        let least = (0..stays.len()).min_by(|a, b| statistics[*a].total_cmp(&statistics[*b]));
        let Some(least) = least.filter(|at| statistics[*at] < threshold) else {
            break;
        };
        left.push(stays.remove(least));
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statistic_has_its_p_value() {
        for (p, want) in [(0.05, 3.841_459), (0.01, 6.634_897), (0.5, 0.454_936)] {
            assert!((statistic(p) - want).abs() < 1e-4, "{}", statistic(p));
        }
    }

    #[test]
    fn columns_that_tell_nothing_leave_and_the_others_stay() {
        let n = 900;
        let mut state = 5_u64;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        let x = Array2::from_shape_simple_fn((n, 4), &mut noise);
        let y: Vec<u8> = (0..n)
            .map(|i| u8::from(2.0 * x[[i, 0]] - 1.5 * x[[i, 2]] + noise() > 0.3))
            .collect();
        let (ones, zeros) = (vec![1.0; n], vec![0.0; n]);
        let left = backward((&x, &y), &ones, &zeros, 1.0, (statistic(0.05), 9)).unwrap();
        assert!(!left.contains(&0) && !left.contains(&2), "{left:?}");
        // with a threshold that nothing passes all leave, the strongest last
        let all = backward((&x, &y), &ones, &zeros, 1.0, (1e9, 9)).unwrap();
        assert!(all.len() == 4 && [0, 2].contains(&all[3]), "{all:?}");
        let one = backward((&x, &y), &ones, &zeros, 1.0, (1e9, 1)).unwrap();
        assert_eq!(one, all[..1]);
    }
}
