//! Which columns of several owners say again what others say, and by how much.
//!
//! What the protocol of the same name computes on shares, in the clear: on pooled columns it gives the same, and is what
//! that one is compared with.
//!
//! **Pairs.** Of two columns whose correlation is above a limit in magnitude the one stays whose own correlation with the
//! label is the larger in magnitude (the first, where they are equal); a column goes if one that stays says so.
//! **Inflation.** The variance inflation of a column is its entry on the diagonal of the inverse of the columns' correlations,
//! `1 / (1 - R²)`. Before they are inverted, correlations are divided by `1 + 2^-14`, those between owners twice
//! ([`SHRINK`]), so that there is an inverse, whatever the columns: an inflation of 10 is computed as 9.98, one of 100 as 98, one
//! of 1,000 as 800; what is above [`LARGEST`] is told as that.

use ndarray::{Array2, ArrayView2};

/// What one is added to, to divide correlations by, once within an owner's columns and twice between owners'.
pub const SHRINK: f64 = 1.0 / 16_384.0;
/// The largest inflation that is told as a number.
pub const LARGEST: f64 = 1_000.0;

/// Most that columns may have in common.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Largest magnitude of the correlation of two columns, 0 to 1.
    pub correlation: Option<f64>,
    /// Largest variance inflation, 1 to [`LARGEST`].
    pub vif: Option<f64>,
}

/// Why a column goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It correlates with this one, which tells more of the label.
    Correlated {
        /// Position of the other.
        with: usize,
    },
    /// Its inflation was the largest, and above the limit.
    Inflated,
}

/// A column that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// Its position among all columns.
    pub column: usize,
    /// Why.
    pub why: Why,
}

/// What is left of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// Columns that go, in the order in which they went.
    pub dropped: Vec<Dropped>,
    /// Of the columns that stay, in their order.
    pub inflation: Vec<f64>,
}

/// Positions of the `d` columns that stay.
pub fn kept(d: usize, dropped: &[Dropped]) -> Vec<usize> {
    let stays = |column: &usize| dropped.iter().all(|gone| gone.column != *column);
    (0..d).filter(stays).collect()
}

/// Which of `d` columns go, where `beats[j * d + k]` says that j and k correlate too much and j tells more. Nothing where
/// columns beat one another in a circle.
pub fn correlated(d: usize, beats: &[bool]) -> Option<Vec<Dropped>> {
    let mut stays: Vec<Option<bool>> = vec![None; d];
    let mut dropped = Vec::new();
    while stays.contains(&None) {
        let before = stays.clone();
        for k in (0..d).filter(|k| before[*k].is_none()) {
            let over = |j: &usize| beats[j * d + k];
            let by = (0..d).filter(over).find(|j| before[*j] == Some(true));
            if let Some(with) = by {
                let why = Why::Correlated { with };
                dropped.push(Dropped { column: k, why });
                stays[k] = Some(false);
            } else if (0..d).filter(over).all(|j| before[j] == Some(false)) {
                stays[k] = Some(true);
            }
        }
        if stays == before {
            return None;
        }
    }
    dropped.sort_by_key(|gone| gone.column);
    Some(dropped)
}

/// Correlations of the columns of `x`; a constant column correlates with none.
pub fn correlations(x: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut x = x.to_owned();
    let rows = x.nrows().max(1) as f64;
    for mut column in x.columns_mut() {
        let mean = column.sum() / rows;
        column.mapv_inplace(|v| v - mean);
        let sd = (column.iter().map(|v| v * v).sum::<f64>() / rows).sqrt();
        column.mapv_inplace(|v| if sd > 0.0 { v / sd } else { 0.0 });
    }
    let mut r = x.t().dot(&x) / rows;
    r.diag_mut().fill(1.0);
    r
}

/// Variance inflation of the columns at `places`, of which `owners` says whose each is.
pub fn inflations(r: &Array2<f64>, owners: &[usize], places: &[usize]) -> Vec<f64> {
    let d = places.len();
    let by = 1.0 + SHRINK;
    let entry = |(i, j): (usize, usize)| match (places[i], places[j]) {
        (a, b) if a == b => 1.0,
        (a, b) if owners[a] == owners[b] => r[[a, b]] / by,
        (a, b) => r[[a, b]] / (by * by),
    };
    let mut a = Array2::from_shape_fn((d, d), entry);
    // Gauss and Jordan: positive definite, so that no pivot is 0
    for k in 0..d {
        let pivot = a[[k, k]];
        let row = a.row(k).to_owned();
        for i in (0..d).filter(|i| *i != k) {
            let factor = a[[i, k]] / pivot;
            for j in (0..d).filter(|j| *j != k) {
                a[[i, j]] -= factor * row[j];
            }
            a[[i, k]] = -factor;
        }
        for j in (0..d).filter(|j| *j != k) {
            a[[k, j]] = row[j] / pivot;
        }
        a[[k, k]] = 1.0 / pivot;
    }
    a.diag().to_vec()
}

/// What is left of the columns `x` of these owners; `label` holds a number for each row that columns are ranked by, of any
/// scale, and centred.
pub fn select(
    x: ArrayView2<'_, f64>,
    owners: &[usize],
    label: &[f64],
    limits: &Limits,
) -> Selected {
    let (r, d) = (correlations(x), x.ncols());
    let mut dropped = Vec::new();
    if let Some(limit) = limits.correlation {
        let strength: Vec<f64> = x
            .columns()
            .into_iter()
            .map(|c| {
                let mean = c.sum() / c.len().max(1) as f64;
                let (mut dot, mut square) = (0.0, 0.0);
                for (v, y) in c.iter().zip(label) {
                    dot += (v - mean) * y;
                    square += (v - mean) * (v - mean);
                }
                if square > 0.0 {
                    dot * dot / square
                } else {
                    0.0
                }
            })
            .collect();
        let beats: Vec<bool> = (0..d * d)
            .map(|at| {
                let (j, k) = (at / d, at % d);
                let more = match j < k {
                    true => strength[j] >= strength[k],
                    false => strength[j] > strength[k],
                };
                j != k && r[[j, k]].abs() >= limit && more
            })
            .collect();
        dropped = correlated(d, &beats).unwrap_or_default();
    }
    loop {
        let places = kept(d, &dropped);
        let inflation = inflations(&r, owners, &places);
        let worst = (0..places.len()).max_by(|a, b| inflation[*a].total_cmp(&inflation[*b]));
        let above = |w: &usize| limits.vif.is_some_and(|limit| inflation[*w] > limit);
        let Some(worst) = worst.filter(above) else {
            return Selected { dropped, inflation };
        };
        dropped.push(Dropped {
            column: places[worst],
            why: Why::Inflated,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns a, b, a + b with some noise of its own, and a again but for a little.
    fn sample() -> (Array2<f64>, Vec<f64>) {
        let n = 400;
        let wave = |i: usize, by: f64| (i as f64 * by).sin();
        let x = Array2::from_shape_fn((n, 4), |(i, j)| {
            let (a, b) = (wave(i, 0.7), wave(i, 1.9));
            match j {
                0 => a,
                1 => b,
                2 => a + b + 0.3 * wave(i, 2.3),
                _ => a + 0.1 * wave(i, 3.1),
            }
        });
        let label = (0..n).map(|i| wave(i, 0.7) + 0.5 * wave(i, 3.1)).collect();
        (x, label)
    }

    #[test]
    fn of_two_alike_the_one_that_tells_more_stays() {
        let (x, label) = sample();
        let limits = Limits {
            correlation: Some(0.9),
            vif: None,
        };
        let left = select(x.view(), &[0, 0, 1, 1], &label, &limits);
        let why = Why::Correlated { with: 3 };
        assert_eq!(left.dropped, [Dropped { column: 0, why }]);
        assert_eq!(kept(4, &left.dropped), [1, 2, 3]);
    }

    #[test]
    fn inflations_are_those_of_regressions_and_the_largest_goes_first() {
        let (x, label) = sample();
        let free = select(x.view(), &[0, 0, 1, 1], &label, &Limits::default());
        // of two columns 1 / (1 - r²), but for what correlations are divided by
        let r = correlations(x.view());
        let two = inflations(&r, &[0, 0, 1, 1], &[0, 3]);
        let want = 1.0 / (1.0 - r[[0, 3]] * r[[0, 3]]);
        assert!((two[0] / want - 1.0).abs() < 4.0 * SHRINK * want && two[0] == two[1]);
        assert!(free.inflation.iter().all(|v| *v > 1.5));
        let limits = Limits {
            correlation: None,
            vif: Some(3.0),
        };
        let left = select(x.view(), &[0, 0, 1, 1], &label, &limits);
        let worst = (0..4).max_by(|a, b| free.inflation[*a].total_cmp(&free.inflation[*b]));
        assert_eq!(Some(left.dropped[0].column), worst);
        assert!(left.inflation.iter().all(|v| *v <= 3.0));
    }

    #[test]
    fn a_column_twice_has_an_inflation_beyond_what_is_told() {
        let (x, label) = sample();
        let twice = ndarray::concatenate(ndarray::Axis(1), &[x.view(), x.view()]).unwrap();
        let owners = [0, 0, 0, 0, 1, 1, 1, 1];
        let free = select(twice.view(), &owners, &label, &Limits::default());
        assert!(free.inflation.iter().all(|v| *v > LARGEST && v.is_finite()));
    }

    #[test]
    fn chains_go_from_the_strongest_down() {
        // 0 beats 1, 1 beats 2: 1 goes, so that 2 stays
        let mut beats = vec![false; 9];
        (beats[1], beats[5]) = (true, true);
        let gone = correlated(3, &beats).unwrap();
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].column, 1);
        // no order at all
        beats[2 * 3] = true;
        assert_eq!(correlated(3, &beats), None);
    }
}
