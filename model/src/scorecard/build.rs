//! From a design and its coefficients to points.

use std::collections::BTreeMap;

use super::{Card, CardError, Characteristic, Kind, Points, SCHEMA, Scaling, VERSION};
use crate::{
    binning::{Bin, Binned, Binning},
    design::{DesignColumn, MISSING_LEVEL, Source},
};

/// Most points a characteristic may give or take.
const LIMIT: f64 = 1e6;

/// Design columns of one column of the table, with their coefficients.
type Group<'a> = Vec<(&'a DesignColumn, f64)>;

/// Contribution of a design column's value to the log-odds.
fn part(column: &DesignColumn, coef: f64, value: f64) -> f64 {
    coef * (value - column.mean) / column.sd
}

impl Card {
    /// A party's card: `columns` with their coefficients in the order of the design, and the intercept
    /// where the party holds it. `reasons` are texts by column.
    ///
    /// # Errors
    /// [`CardError::Scaling`], [`CardError::Range`], [`CardError::Column`].
    pub fn new<'a>(
        job: &str,
        party: &str,
        scaling: Scaling,
        intercept: Option<f64>,
        columns: impl IntoIterator<Item = (&'a DesignColumn, f64)>,
        reasons: &BTreeMap<String, String>,
    ) -> Result<Self, CardError> {
        if !scaling.is_usable() {
            return Err(CardError::Scaling {
                base: scaling.base_score,
                odds: scaling.base_odds,
                pdo: scaling.pdo,
            });
        }
        let mut groups: Vec<(&str, Group<'a>)> = Vec::new();
        for (column, coef) in columns {
            let name = column.source.column();
            match groups.iter_mut().find(|(n, _)| *n == name) {
                Some((_, group)) => group.push((column, coef)),
                None => groups.push((name, vec![(column, coef)])),
            }
        }
        let initial = intercept.map_or(0.0, |b| scaling.score(b));
        let characteristics = groups
            .into_iter()
            .map(|(name, group)| {
                let (kind, baseline) = kind(scaling.factor(), name, &group)?;
                Ok(Characteristic {
                    column: name.to_owned(),
                    reason_code: format!("{party}:{name}"),
                    reason_text: reasons.get(name).cloned().unwrap_or_default(),
                    baseline,
                    kind,
                })
            })
            .collect::<Result<Vec<_>, CardError>>()?;
        Ok(Self {
            schema: SCHEMA.to_owned(),
            version: VERSION,
            job: job.to_owned(),
            party: party.to_owned(),
            scaling,
            initial: checked("(intercept)", initial)?,
            characteristics,
        })
    }
}

impl Card {
    /// A column with log-odds of bad that is added to the score as it stands. It is no reason.
    pub fn add_offset(&mut self, column: &str) {
        self.characteristics.push(Characteristic {
            column: column.to_owned(),
            reason_code: format!("{}:{column}", self.party),
            reason_text: String::new(),
            // lower than any points a log-odds gives, so that none is lost against it
            baseline: -(LIMIT as i64),
            kind: Kind::Linear {
                per_unit: -self.scaling.factor(),
                at_zero: 0.0,
                missing: Points::default(),
            },
        });
    }
}

fn checked(column: &str, exact: f64) -> Result<Points, CardError> {
    if exact.is_nan() || exact.abs() > LIMIT {
        return Err(CardError::Range {
            column: column.to_owned(),
        });
    }
    Ok(Points::of(exact))
}

/// How a column's values become points, and its baseline.
fn kind(factor: f64, name: &str, group: &Group<'_>) -> Result<(Kind, i64), CardError> {
    match group.first().map(|(c, _)| &c.source) {
        Some(Source::Level { .. } | Source::Other { .. }) => levels(factor, name, group),
        Some(Source::Woe(binned)) => of_woe(factor, name, group, binned),
        _ => linear(factor, name, group),
    }
}

fn bins(
    name: &str,
    binning: Binning,
    woe: Vec<f64>,
    points: Vec<Points>,
    otherwise: Points,
) -> Result<(Kind, i64), CardError> {
    let best = points.iter().map(|p| p.points).max();
    let best = best.ok_or_else(|| CardError::Column {
        name: name.to_owned(),
    })?;
    let labels = binning.bins.iter().map(Bin::label).collect();
    let kind = Kind::Bins {
        binning,
        labels,
        woe,
        points,
        otherwise,
    };
    Ok((kind, best))
}

/// A column as the weight of evidence of its bins.
fn of_woe(
    factor: f64,
    name: &str,
    group: &Group<'_>,
    binned: &Binned,
) -> Result<(Kind, i64), CardError> {
    let at = |woe: f64| {
        let of = |(column, coef): &(&DesignColumn, f64)| part(column, *coef, woe);
        checked(name, -factor * group.iter().map(of).sum::<f64>())
    };
    let points = binned.woe.iter().map(|woe| at(*woe));
    let points = points.collect::<Result<Vec<_>, _>>()?;
    let (binning, woe) = (binned.binning.clone(), binned.woe.clone());
    // a value in no bin weighs nothing
    bins(name, binning, woe, points, at(0.0)?)
}

/// A category with a 0/1 column for each level: the points of a level are the sum over all columns.
fn levels(factor: f64, name: &str, group: &Group<'_>) -> Result<(Kind, i64), CardError> {
    let sum = |hit: &dyn Fn(&Source) -> bool| {
        let of = |(column, coef): &(&DesignColumn, f64)| {
            part(column, *coef, f64::from(u8::from(hit(&column.source))))
        };
        checked(name, -factor * group.iter().map(of).sum::<f64>())
    };
    let is = |source: &Source, wanted: &str| match source {
        Source::Level { level, .. } => level == wanted,
        Source::Other { known, .. } => !known.iter().any(|k| k == wanted),
        _ => false,
    };
    let mut found: Vec<Bin> = Vec::new();
    let mut points = Vec::new();
    let mut rest: Option<&[String]> = None;
    let mut missing = false;
    for (column, _) in group {
        match &column.source {
            Source::Level { level, .. } if level == MISSING_LEVEL => {
                found.push(Bin {
                    missing: true,
                    ..Bin::default()
                });
                missing = true;
                points.push(sum(&|s| is(s, MISSING_LEVEL))?);
            }
            Source::Level { level, .. } => {
                found.push(Bin {
                    levels: std::iter::once(level.clone()).collect(),
                    ..Bin::default()
                });
                points.push(sum(&|s| is(s, level))?);
            }
            Source::Other { known, .. } => rest = Some(known),
            _ => {
                return Err(CardError::Column {
                    name: column.name.clone(),
                });
            }
        }
    }
    if let Some(known) = rest {
        // levels that the design knows but that have no column here were constant: they are no others
        let constant = known
            .iter()
            .filter(|k| *k != MISSING_LEVEL && !found.iter().any(|b| b.levels.contains(*k)));
        let constant: Vec<&String> = constant.collect();
        for level in constant {
            found.push(Bin {
                levels: std::iter::once(level.clone()).collect(),
                ..Bin::default()
            });
            points.push(sum(&|s| is(s, level))?);
        }
        found.push(Bin {
            other_levels: true,
            missing: !missing && !known.iter().any(|k| k == MISSING_LEVEL),
            ..Bin::default()
        });
        points.push(sum(&|s| matches!(s, Source::Other { .. }))?);
    }
    let binning = Binning {
        column: name.to_owned(),
        bins: found,
    };
    bins(name, binning, Vec::new(), points, sum(&|_| false)?)
}

/// A number as it stands, and perhaps a column that says where it is missing.
fn linear(factor: f64, name: &str, group: &Group<'_>) -> Result<(Kind, i64), CardError> {
    let (mut per_unit, mut at_zero, mut filled, mut at_mean) = (0.0, 0.0, 0.0, 0.0);
    for (column, coef) in group {
        match &column.source {
            Source::Numeric { fill, .. } => {
                per_unit += coef / column.sd;
                at_zero += part(column, *coef, 0.0);
                filled += part(column, *coef, *fill);
            }
            Source::MissingFlag { .. } => {
                let present = part(column, *coef, 0.0);
                at_zero += present;
                at_mean += present;
                filled += part(column, *coef, 1.0);
            }
            _ => {
                return Err(CardError::Column {
                    name: column.name.clone(),
                });
            }
        }
    }
    let kind = Kind::Linear {
        per_unit: -factor * per_unit,
        at_zero: checked(name, -factor * at_zero)?.exact,
        missing: checked(name, -factor * filled)?,
    };
    // at the training mean the column itself adds nothing
    Ok((kind, checked(name, -factor * at_mean)?.points))
}
