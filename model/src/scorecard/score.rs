//! Points of rows.

use super::{Card, CardError, Kind, rounded};
use crate::{
    binning::BinningError,
    table::{ColumnData, Table},
};

/// Largest magnitude of points in a sum.
const FAR: f64 = 1e12;

/// Points of some rows, and what each characteristic gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scores {
    /// Sum with the card's initial points, by row.
    pub points: Vec<i64>,
    /// By characteristic, then by row.
    pub parts: Vec<Vec<i64>>,
}

/// A characteristic of which a row has fewer points than the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// Position of the characteristic on the card.
    pub characteristic: usize,
    /// Points below the baseline; above 0.
    pub shortfall: i64,
}

impl Card {
    /// Points of `rows` of a table.
    ///
    /// # Errors
    /// A column that is not there or of the other kind; a number that is infinite.
    pub fn score(&self, table: &Table, rows: &[usize]) -> Result<Scores, CardError> {
        let parts = self
            .characteristics
            .iter()
            .map(|c| match &c.kind {
                Kind::Bins {
                    binning,
                    points,
                    otherwise,
                    ..
                } => {
                    let found = binning.assign(table, rows)?.into_iter();
                    let of = |bin: Option<usize>| bin.and_then(|b| points.get(b));
                    Ok(found.map(|b| of(b).unwrap_or(otherwise).points).collect())
                }
                Kind::Linear {
                    per_unit,
                    at_zero,
                    missing,
                } => {
                    let column = table.column(&c.column);
                    let column = column.ok_or_else(|| BinningError::NoColumn {
                        column: c.column.clone(),
                    })?;
                    let ColumnData::Numeric(values) = column.data() else {
                        return Err(CardError::Column {
                            name: c.column.clone(),
                        });
                    };
                    let of = |row: &usize| {
                        let value = values.get(*row).copied().unwrap_or(f64::NAN);
                        if value.is_nan() {
                            return Ok(missing.points);
                        }
                        let exact = at_zero + per_unit * value;
                        match exact.abs() < FAR {
                            true => Ok(rounded(exact)),
                            false => Err(CardError::Range {
                                column: c.column.clone(),
                            }),
                        }
                    };
                    rows.iter().map(of).collect()
                }
            })
            .collect::<Result<Vec<Vec<i64>>, CardError>>()?;
        let mut points = vec![self.initial.points; rows.len()];
        for part in &parts {
            points.iter_mut().zip(part).for_each(|(sum, p)| *sum += p);
        }
        Ok(Scores { points, parts })
    }

    /// The most points by which this card and `other`, of the same characteristics, differ for any row of a table, in
    /// one characteristic or in what every score starts from.
    ///
    /// # Errors
    /// Other characteristics; what [`Card::score`] refuses.
    pub fn apart(&self, other: &Self, table: &Table) -> Result<u64, CardError> {
        let names = |card: &Self| -> Vec<String> {
            let all = card.characteristics.iter();
            all.map(|c| c.column.clone()).collect()
        };
        let (mine, theirs) = (names(self), names(other));
        if mine != theirs {
            let differs = mine.iter().zip(&theirs).find(|(a, b)| a != b);
            let name = differs.map_or("(their number)", |(a, _)| a.as_str());
            return Err(CardError::Column {
                name: name.to_owned(),
            });
        }
        let rows: Vec<usize> = (0..table.rows()).collect();
        let (a, b) = (self.score(table, &rows)?, other.score(table, &rows)?);
        let parts = a.parts.iter().flatten().zip(b.parts.iter().flatten());
        let start = self.initial.points.abs_diff(other.initial.points);
        Ok(parts.map(|(a, b)| a.abs_diff(*b)).fold(start, u64::max))
    }

    /// Where a row lost points against the baseline, most first, then in the order of the card; at most
    /// `most`.
    pub fn missed(&self, scores: &Scores, row: usize, most: usize) -> Vec<Missed> {
        let parts = scores.parts.iter().filter_map(|p| p.get(row).copied());
        self.most_missed(&parts.collect::<Vec<_>>(), most)
    }

    /// As [`Card::missed`], of a row's points by characteristic.
    pub fn most_missed(&self, parts: &[i64], most: usize) -> Vec<Missed> {
        let all = self.characteristics.iter().zip(parts).enumerate();
        let mut missed: Vec<Missed> = all
            .filter_map(|(characteristic, (c, points))| {
                let shortfall = c.baseline - points;
                (shortfall > 0).then_some(Missed {
                    characteristic,
                    shortfall,
                })
            })
            .collect();
        missed.sort_by_key(|m| std::cmp::Reverse(m.shortfall));
        missed.truncate(most);
        missed
    }
}
