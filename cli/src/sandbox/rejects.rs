//! The plaintext twin of a job with declined applicants: who they are, bins of accepted ones, both fits.

use ndarray::Array2;
use paripassu_job::{Spec, spec::RejectInference};
use paripassu_model::{
    binning::{self, Binned, BinningError, Recipe, by_group, join_small},
    logistic::{FuzzyAsk, FuzzyRows, LogisticError, LogisticModel, TrainingSet, fuzzy},
    table::{ColumnData, Table},
};

use crate::failure::Failure;

/// Which rows of the label party's table are declined; nobody where the job infers nothing.
pub(super) fn declined(spec: &Spec, table: &Table) -> Result<Vec<bool>, Failure> {
    let Some(asked) = &spec.reject_inference else {
        return Ok(vec![false; table.rows()]);
    };
    match table.column(&asked.rejected).map(|c| c.data()) {
        Some(ColumnData::Numeric(values)) => Ok(values.iter().map(|v| *v == 1.0).collect()),
        _ => Err(Failure::failed(format!(
            "the plaintext twin: no numeric column `{}`",
            asked.rejected
        ))),
    }
}

/// Those of `rows` that are accepted.
pub(super) fn accepted(rows: &[usize], declined: &[bool]) -> Vec<usize> {
    rows.iter().copied().filter(|row| !declined[*row]).collect()
}

/// Bins of another party's column: cut and joined by how many rows there are, weighed by the accepted ones.
pub(super) fn bins(
    table: &Table,
    (train, labels): (&[usize], &[u8]),
    declined: &[bool],
    column: &str,
    recipe: &Recipe,
) -> Result<(Binned, binning::Woe), BinningError> {
    let fine = binning::prebin(table, train, column, &recipe.cut)?;
    let assigned = fine.assign(table, train)?;
    let bins = fine.bins.len();
    let mut sizes = vec![0u64; bins];
    assigned.iter().flatten().for_each(|bin| sizes[*bin] += 1);
    let known = train.iter().map(|row| !declined[*row]);
    let rows = known
        .zip(assigned)
        .zip(labels)
        .filter(|((known, _), _)| *known);
    let (assigned, labels): (Vec<_>, Vec<u8>) = rows.map(|((_, bin), y)| (bin, *y)).unzip();
    let counts = binning::counts(&assigned, &labels, bins)?;
    let least = recipe.limits.min_class;
    let enough: Vec<bool> = counts
        .iter()
        .map(|c| c.good >= least && c.bad >= least)
        .collect();
    let (ordinary, order) = fine.ordinary();
    let group = join_small(&enough, &sizes, ordinary, order);
    let (fine, counts) = (fine.merged(&group)?, by_group(&counts, &group));
    let (ordinary, order) = fine.ordinary();
    let (group, woe) = binning::weigh(&counts, ordinary, order, recipe)?;
    let binned = Binned {
        binning: fine.merged(&group)?,
        woe: woe.bins.iter().map(|bin| bin.woe).collect(),
        iv: woe.iv,
    };
    Ok((binned, woe))
}

/// The second fit, where the job infers.
pub(super) fn fit(
    asked: &RejectInference,
    (x, y): (&Array2<f64>, &[u8]),
    declined: &[bool],
    (weights, offset): (&[f64], &[f64]),
    fit: impl Fn(&TrainingSet<'_>) -> Result<LogisticModel, LogisticError>,
) -> Result<LogisticModel, Failure> {
    let wrong = |e: &dyn std::fmt::Display| Failure::failed(format!("the plaintext twin: {e}"));
    let rows = FuzzyRows {
        x: x.as_slice().ok_or_else(|| wrong(&"an odd layout"))?,
        columns: x.ncols(),
        y,
        declined,
        weights,
        offset,
    };
    let ask = FuzzyAsk {
        odds: asked.factor(),
        weight: asked.weight.value(),
    };
    Ok(fuzzy(&rows, ask, fit).map_err(|e| wrong(&e))?.inferred)
}
