//! Reject inference by fuzzy augmentation: applicants who were declined, and so have no outcome, count as bad and as good in
//! part.
//!
//! A first fit takes the accepted rows alone. By it a declined row has a probability of bad, whose odds are then multiplied
//! by a factor; the second fit takes the row twice, as bad with this probability as its weight and as good with the rest.
//! Where the factor is 1 the second fit is the first: its optimum already is that for its own predictions.
//!
//! Source: Siddiqi, Credit Risk Scorecards (2006), chapter 6, with the factor on the odds.

use super::{LogisticError, LogisticModel, TrainingSet, sigmoid};

/// What is assumed of declined rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FuzzyAsk {
    /// How many times higher their odds of bad are than those of accepted rows with the same columns.
    pub odds: f64,
    /// What one counts.
    pub weight: f64,
}

/// The rows of a fit: row-major `x: [y.len(), columns]`; the other parts are as long as `y`.
#[derive(Debug, Clone, Copy)]
pub struct FuzzyRows<'a> {
    /// Columns of all rows.
    pub x: &'a [f64],
    /// How many columns.
    pub columns: usize,
    /// Labels; those of declined rows are not read.
    pub y: &'a [u8],
    /// Which rows are declined.
    pub declined: &'a [bool],
    /// What rows count.
    pub weights: &'a [f64],
    /// Log-odds that scores begin with.
    pub offset: &'a [f64],
}

/// Both fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Fuzzy {
    /// Of accepted rows alone.
    pub known: LogisticModel,
    /// Of all rows.
    pub inferred: LogisticModel,
    /// Mean probability of bad that declined rows of weight above 0 are given; none without such rows.
    pub rate: Option<f64>,
}

/// Fits twice, each time with `fit`.
///
/// # Errors
/// As of `fit`; parts of different lengths.
pub fn fuzzy<F>(rows: &FuzzyRows<'_>, ask: FuzzyAsk, fit: F) -> Result<Fuzzy, LogisticError>
where
    F: Fn(&TrainingSet<'_>) -> Result<LogisticModel, LogisticError>,
{
    let n = rows.y.len();
    for (part, got) in [
        ("declined rows", rows.declined.len()),
        ("weights", rows.weights.len()),
        ("offsets", rows.offset.len()),
    ] {
        if got != n {
            let expected = n;
            return Err(LogisticError::Length {
                part,
                expected,
                got,
            });
        }
    }
    let d = rows.columns;
    let row = |i: usize| &rows.x[i * d..(i + 1) * d];
    let mut y: Vec<u8> = rows.y.to_vec();
    let mut weights = rows.weights.to_vec();
    for ((y, w), _) in y
        .iter_mut()
        .zip(&mut weights)
        .zip(rows.declined)
        .filter(|(_, d)| **d)
    {
        (*y, *w) = (0, 0.0);
    }
    let set = TrainingSet::from_slice(rows.x, d, &y)?;
    let known = fit(&set.with_weights(&weights)?.with_offset(rows.offset)?)?;

    let (mut x, mut offset) = (rows.x.to_vec(), rows.offset.to_vec());
    let (mut sum, mut count) = (0.0, 0.0);
    for i in (0..n).filter(|i| rows.declined[*i]) {
        let score = row(i).iter().zip(&known.coefficients).map(|(x, w)| x * w);
        let score = score.sum::<f64>() + known.intercept + rows.offset[i];
        let bad = sigmoid(score + ask.odds.ln());
        let weight = rows.weights[i] * ask.weight;
        if weight > 0.0 {
            (sum, count) = (sum + bad, count + 1.0);
        }
        (y[i], weights[i]) = (1, weight * bad);
        x.extend_from_slice(row(i));
        y.push(0);
        weights.push(weight * (1.0 - bad));
        offset.push(rows.offset[i]);
    }
    let set = TrainingSet::from_slice(&x, d, &y)?;
    let inferred = fit(&set.with_weights(&weights)?.with_offset(&offset)?)?;
    Ok(Fuzzy {
        known,
        inferred,
        rate: (count > 0.0).then(|| sum / count),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logistic::{FitOptions, fit};

    fn made(odds: f64) -> Fuzzy {
        let n = 600;
        let x: Vec<f64> = (0..n).map(|i| f64::from(i % 13) / 6.0 - 1.0).collect();
        let y: Vec<u8> = (0..n).map(|i| u8::from((i * 7) % 20 < i % 13)).collect();
        // the label of a declined row is not read: 9 would be refused
        let declined: Vec<bool> = (0..n).map(|i| i % 13 > 8 && i % 3 > 0).collect();
        let y: Vec<u8> = y
            .iter()
            .zip(&declined)
            .map(|(y, d)| if *d { 9 } else { *y })
            .collect();
        let weights = vec![1.0; y.len()];
        let offset: Vec<f64> = (0..n).map(|i| f64::from(i % 5) / 10.0).collect();
        let rows = FuzzyRows {
            x: &x,
            columns: 1,
            y: &y,
            declined: &declined,
            weights: &weights,
            offset: &offset,
        };
        let ask = FuzzyAsk { odds, weight: 0.5 };
        let one = |set: &TrainingSet<'_>| Ok(fit(set, &FitOptions::default())?.model);
        fuzzy(&rows, ask, one).unwrap()
    }

    #[test]
    fn a_factor_of_one_changes_nothing_and_another_one_does() {
        let same = made(1.0);
        assert!((same.known.intercept - same.inferred.intercept).abs() < 1e-6);
        assert!((same.known.coefficients[0] - same.inferred.coefficients[0]).abs() < 1e-6);
        let higher = made(3.0);
        assert_eq!(same.known, higher.known);
        assert!(higher.rate > same.rate);
        assert!(higher.inferred.coefficients[0] > higher.known.coefficients[0] + 0.05);
    }
}
