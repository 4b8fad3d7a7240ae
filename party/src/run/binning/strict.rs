//! Bins whose counts, weights of evidence and coefficients stay shared.

use ndarray::Array2;
use paripassu_job::DisclosureId;
use paripassu_model::{
    binning::{Binning, BinningError, Order},
    design::Design,
    table::Table,
};
use paripassu_protocol::{
    abort::Abort,
    vertical::{
        bins::{self, Assigned},
        evidence::{self, Column, Given, Totals},
        hidden::HiddenColumns,
    },
};

use super::{Anonymous, Bins, Column as Own, Owner, Row, exchange::Fine};
use crate::run::{Run, own, train::JobEngine};

/// What a reader of the report should know.
pub(super) const NOTE: &str = "Counts, weights of evidence and coefficients of the other parties' columns stayed shared: \
    nobody learnt them, and they are gone. New customers are scored by a new job.";
/// What an owner is told of its columns.
const NOT_TOLD: &str = "which columns the model uses only the label party knows";

impl Anonymous {
    /// In words, whether the share of bads moves one way.
    pub(super) fn moves(&self) -> &'static str {
        match self.monotone {
            Some(true) => "monotone",
            Some(false) => "not monotone",
            None => "",
        }
    }
}

/// Refuses an owner without columns.
pub(super) fn check(fine: &[Fine]) -> Result<(), Abort> {
    match fine.is_empty() {
        true => Err(own(
            "no column of this party is left: all are the same or missing nearly everywhere; bring others",
        )),
        false => Ok(()),
    }
}

/// Zeros and ones, row-major: which bin each row is in, of all columns side by side.
fn ones(columns: &[Binning], table: &Table, rows: &[usize]) -> Result<Array2<f64>, BinningError> {
    let wide = columns.iter().map(|c| c.bins.len()).sum();
    let (mut out, mut from) = (Array2::zeros((rows.len(), wide)), 0);
    for column in columns {
        for (row, bin) in column.assign(table, rows)?.into_iter().enumerate() {
            if let Some(bin) = bin {
                out[(row, from + bin)] = 1.0;
            }
        }
        from += column.bins.len();
    }
    Ok(out)
}

/// The rows of a design; where columns are hidden, zeros and ones of their bins.
pub(crate) fn matrix(
    hidden: &[Binning],
    design: &Design,
    table: &Table,
    rows: &[usize],
) -> Result<Array2<f64>, Abort> {
    match hidden {
        [] => design.transform(table, rows).map_err(own),
        hidden => ones(hidden, table, rows).map_err(own),
    }
}

impl Run {
    /// One party's columns, which it gives as `mine`: their weights of evidence on shares; what of them is opened goes to
    /// the label holder.
    pub(super) async fn hide(
        &self,
        engine: &mut JobEngine,
        task: &Owner<'_>,
        mine: Option<(Vec<Fine>, &Assigned)>,
        label: Option<&[u8]>,
        bins: &mut Bins,
    ) -> Result<HiddenColumns, Abort> {
        let Owner {
            job,
            owner,
            width,
            rows,
        } = *task;
        let parties = self.contract.parties();
        let id = parties.get(owner).map(|id| (*id).clone());
        let id = id.ok_or_else(|| own("a position without a party"))?;
        let step = format!("train/bins-{owner}");
        engine.step(&step);
        let count = |label: u8, all: &[u8]| all.iter().filter(|y| **y == label).count() as u64;
        let totals = label.map(|all| Totals {
            good: count(0, all),
            bad: count(1, all),
        });
        self.book.disclose(
            &DisclosureId::BinningColumns(id.clone()),
            width as u64,
            &step,
        )?;
        let listed: Option<Vec<Column>> = mine.as_ref().map(|(fine, _)| {
            let of = |f: &Fine| {
                let (ordinary, order) = f.binning.ordinary();
                Column {
                    bins: f.rows.len(),
                    ordered: if order == Order::Ascending {
                        ordinary
                    } else {
                        0
                    },
                }
            };
            fine.iter().map(of).collect()
        });
        let columns = evidence::columns(engine, owner, width, listed.as_deref()).await?;
        let assigned = mine.as_ref().map(|(_, assigned)| *assigned);
        let bads = bins::count(engine, owner, rows, width, assigned, label).await?;
        let sizes: Option<Vec<u64>> = mine
            .as_ref()
            .map(|(fine, _)| fine.iter().flat_map(|f| f.rows.clone()).collect());
        let given = Given {
            owner,
            rows,
            sizes: sizes.as_deref(),
            totals,
        };
        let values = evidence::weights(engine, &given, &bads).await?;
        if columns.iter().all(|c| c.ordered < 2) {
            // declared, and nothing there
            self.book
                .disclose(&DisclosureId::BinningMonotone(id.clone()), 0, &step)?;
        }
        let told = evidence::reveal(engine, &given, &columns, &bads, &values).await?;
        let least = job.min_iv.value();
        let kept = label.map(|_| {
            let of = |(told, c): (&evidence::Revealed, &Column)| c.bins > 1 && told.iv >= least;
            told.iter().zip(&columns).map(of).collect::<Vec<bool>>()
        });
        for (position, (told, c)) in told.iter().zip(&columns).enumerate() {
            bins.others.push(Anonymous {
                party: id.to_string(),
                position,
                kept: c.bins > 1 && told.iv >= least,
                iv: told.iv,
                cut: Some(c.bins),
                monotone: told.monotone,
                bins: Vec::new(),
            });
        }
        for fine in mine.into_iter().flat_map(|(fine, _)| fine) {
            let each = fine.binning.bins.iter().zip(&fine.rows);
            let row = |(bin, rows): (&paripassu_model::binning::Bin, &u64)| Row {
                label: Some(bin.label()),
                values: Some(bin.clone()),
                rows: *rows,
                bad: None,
                woe: None,
                iv: None,
                smoothed: None,
            };
            bins.columns.push(Own {
                column: fine.binning.column.clone(),
                kept: None,
                reason: Some(NOT_TOLD.to_owned()),
                iv: None,
                bins: each.map(row).collect(),
            });
            bins.hidden.push(fine.binning);
        }
        Ok(HiddenColumns {
            owner,
            columns: columns.iter().map(|c| c.bins).collect(),
            values,
            sizes,
            kept,
        })
    }
}
