//! Which columns say again what others of the same table say.

use ndarray::Array2;

use super::Binned;
use crate::{design::Design, table::Table};

/// Most that columns may have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InCommon {
    /// Largest magnitude of the correlation of two columns' weights of evidence; 1: any.
    pub correlation: f64,
    /// Largest variance inflation of a column by all others; infinite: any.
    pub vif: f64,
}

/// Why a column goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Redundant {
    /// It correlates with another that has more information value.
    Correlated {
        /// The other.
        with: String,
        /// How much.
        r: f64,
    },
    /// All others together predict it.
    Inflated {
        /// 1 / (1 - R²).
        vif: f64,
    },
}

impl std::fmt::Display for Redundant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Correlated { with, r } => write!(
                f,
                "its weight of evidence correlates {r:.2} with that of {with}, whose information value is higher"
            ),
            Self::Inflated { vif } => write!(
                f,
                "the other columns predict it: its variance inflation is {vif:.1}"
            ),
        }
    }
}

/// For each column, whether it goes, and why.
///
/// First, from the highest information value down, columns that correlate too much with one that stays; then, one
/// after the other, the column with the largest variance inflation. Correlations are over `rows`; a constant
/// column correlates with none.
///
/// # Errors
/// As [`Design::of_woe`].
pub fn redundant(
    table: &Table,
    rows: &[usize],
    columns: &[Binned],
    limits: &InCommon,
) -> Result<Vec<Option<Redundant>>, crate::design::DesignError> {
    let mut out: Vec<Option<Redundant>> = vec![None; columns.len()];
    if limits.correlation >= 1.0 && limits.vif.is_infinite() || columns.is_empty() {
        return Ok(out);
    }
    let design = Design::of_woe(table, rows, columns.iter().cloned())?;
    // of_woe leaves constant columns out: places by name
    let names: Vec<&str> = design.columns().iter().map(|c| c.source.column()).collect();
    let place = |c: &Binned| names.iter().position(|n| *n == c.binning.column);
    let x = design.transform(table, rows)?;
    let r = correlations(&x);
    let mut order: Vec<(usize, usize)> = columns
        .iter()
        .enumerate()
        .filter_map(|(i, c)| Some((i, place(c)?)))
        .collect();
    order.sort_by(|a, b| {
        columns[b.0]
            .iv
            .total_cmp(&columns[a.0].iv)
            .then(a.0.cmp(&b.0))
    });
    let mut kept: Vec<(usize, usize)> = Vec::new();
    for (i, p) in order {
        let close = kept
            .iter()
            .find(|(_, q)| r[[p, *q]].abs() > limits.correlation);
        match close {
            Some((j, q)) => {
                out[i] = Some(Redundant::Correlated {
                    with: columns[*j].binning.column.clone(),
                    r: r[[p, *q]],
                });
            }
            None => kept.push((i, p)),
        }
    }
    while kept.len() > 1 && limits.vif.is_finite() {
        let places: Vec<usize> = kept.iter().map(|(_, p)| *p).collect();
        let inflation = inflations(&r, &places);
        let worst = (0..kept.len()).max_by(|a, b| inflation[*a].total_cmp(&inflation[*b]));
        let Some(worst) = worst.filter(|w| inflation[*w] > limits.vif) else {
            break;
        };
        let (i, _) = kept.remove(worst);
        out[i] = Some(Redundant::Inflated {
            vif: inflation[worst],
        });
    }
    Ok(out)
}

/// Correlations of centred columns.
fn correlations(x: &Array2<f64>) -> Array2<f64> {
    let gram = x.t().dot(x);
    let d = gram.nrows();
    Array2::from_shape_fn((d, d), |(i, j)| {
        let scale = (gram[[i, i]] * gram[[j, j]]).sqrt();
        if scale > 0.0 {
            gram[[i, j]] / scale
        } else {
            0.0
        }
    })
}

/// Variance inflation of each of these columns: the diagonal of the inverse of their correlations, found by
/// sweeping (Gauss and Jordan); infinite where others add up to a column.
fn inflations(r: &Array2<f64>, places: &[usize]) -> Vec<f64> {
    let d = places.len();
    let mut a = Array2::from_shape_fn((d, d), |(i, j)| r[[places[i], places[j]]]);
    let mut singular = vec![false; d];
    for k in 0..d {
        let pivot = a[[k, k]];
        if pivot.abs() < 1e-10 {
            singular[k] = true;
            continue;
        }
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
    (0..d)
        .map(|k| match singular[k] {
            true => f64::INFINITY,
            false => a[[k, k]],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        binning::{Bin, Binning, Edge, Range},
        table::Column,
    };

    /// A column of numbers whose weight of evidence is the number itself, one bin each.
    fn made(name: &str, values: &[f64], iv: f64) -> (Column, Binned) {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.dedup();
        let edge = |v: &f64| Edge::new(*v).unwrap();
        let bins = (0..sorted.len()).map(|k| Bin {
            range: Some(Range {
                low: (k > 0).then(|| edge(&sorted[k])),
                high: sorted.get(k + 1).map(edge),
            }),
            ..Bin::default()
        });
        let binned = Binned {
            binning: Binning {
                column: name.to_owned(),
                bins: bins.collect(),
            },
            woe: sorted,
            iv,
        };
        (Column::numeric(name, values.to_vec()), binned)
    }

    #[test]
    fn what_others_say_goes() {
        let n = 200;
        let wave = |k: usize| -> Vec<f64> { (0..n).map(|i| ((i * k) % 101) as f64).collect() };
        let (a, b) = (wave(7), wave(13));
        let near: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + 0.1 * b).collect();
        let sum: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let (columns, binned): (Vec<_>, Vec<_>) = [
            made("near", &near, 0.1),
            made("a", &a, 0.2),
            made("b", &b, 0.3),
            made("sum", &sum, 0.05),
        ]
        .into_iter()
        .unzip();
        let ids = (0..n).map(|i| i.to_string()).collect();
        let table = Table::new(ids, None, columns).unwrap();
        let rows: Vec<usize> = (0..n).collect();
        let of = |correlation, vif| {
            redundant(&table, &rows, &binned, &InCommon { correlation, vif }).unwrap()
        };
        assert!(of(1.0, f64::INFINITY).iter().all(Option::is_none));
        let by_r = of(0.9, f64::INFINITY);
        assert!(
            matches!(&by_r[0], Some(Redundant::Correlated { with, r }) if with == "a" && *r > 0.9)
        );
        assert!(by_r[1..].iter().all(Option::is_none), "{by_r:?}");
        // a, b and their sum: one of them goes, the other two are left with nothing in common
        let by_vif = of(0.9, 5.0);
        let gone: Vec<_> = by_vif[1..].iter().flatten().collect();
        assert_eq!(gone.len(), 1);
        assert!(matches!(gone[0], Redundant::Inflated { vif } if *vif > 1e6 || vif.is_infinite()));
    }

    #[test]
    fn inflation_is_that_of_the_formula() {
        // two columns with correlation r: 1 / (1 - r²)
        let r = Array2::from_shape_vec((2, 2), vec![1.0, 0.6, 0.6, 1.0]).unwrap();
        for v in inflations(&r, &[0, 1]) {
            assert!((v - 1.0 / 0.64).abs() < 1e-12);
        }
    }
}
