//! Columns that say again what columns of other parties say: which go, and what the report says of it.

use ndarray::{Array2, Axis};
use paripassu_job::spec::{self, SelectionCorrelations};
use paripassu_model::{
    design::Design,
    report::{Across, SelectedColumn, SelectionReport},
    selection::LARGEST,
};
use paripassu_protocol::{
    abort::Abort,
    vertical::{
        selection::{self, Selection, SelectionInput, SelectionSpec, Why},
        stepwise::Leaver,
    },
};

use super::{Prepared, Run, own, train::JobEngine};

/// What there was before columns went, for the label holder's own model.
pub(crate) struct Before {
    pub(crate) design: Design,
    pub(crate) train: Array2<f64>,
    pub(crate) test: Array2<f64>,
}

impl Prepared {
    /// Design and rows of this party's own columns, also of those that other parties' columns have replaced.
    pub(crate) fn alone(&self) -> (&Design, &Array2<f64>, &Array2<f64>) {
        match &self.before {
            Some(before) => (&before.design, &before.train, &before.test),
            None => (&self.design, &self.train, &self.test),
        }
    }

    /// Leaves only these columns.
    fn keep(&mut self, places: &[usize]) {
        let pick = |m: &Array2<f64>| m.select(Axis(1), places).as_standard_layout().into_owned();
        let next = (
            self.design.only(places),
            pick(&self.train),
            pick(&self.test),
        );
        let before = Before {
            design: std::mem::replace(&mut self.design, next.0),
            train: std::mem::replace(&mut self.train, next.1),
            test: std::mem::replace(&mut self.test, next.2),
        };
        // what there was at first
        self.before.get_or_insert(before);
    }
}

/// The label less its mean, as its holder weighs rows.
fn ranked(label: &[u8], weights: Option<&[f64]>) -> Vec<f64> {
    let weight = |row: usize| weights.map_or(1.0, |w| w[row]);
    let each = || {
        label
            .iter()
            .enumerate()
            .map(|(row, y)| (weight(row), f64::from(*y)))
    };
    let (sum, bad) = each().fold((0.0, 0.0), |(s, b), (w, y)| (s + w, b + w * y));
    let mean = if sum > 0.0 { bad / sum } else { 0.0 };
    each().map(|(w, y)| w * (y - mean)).collect()
}

impl Run {
    /// Leaves out columns as the job asks, and says so.
    pub(super) async fn select(
        &self,
        asked: &spec::Selection,
        engine: &mut JobEngine,
        data: &mut Prepared,
    ) -> Result<(), Abort> {
        let asked_for = SelectionSpec {
            max_correlation: asked.max_correlation.map(|r| r.value()),
            max_vif: asked.max_vif.map(|v| v.value()),
            table: asked.correlations == SelectionCorrelations::All,
        };
        let weights = data.rows.known_weights();
        let label = data.train_label.as_deref();
        let input = SelectionInput {
            x: data.train.iter().copied().collect(),
            cols: data.train.ncols(),
            rows: data.train.nrows(),
            label: label.map(|y| ranked(y, weights.as_deref())),
        };
        let made = selection::select(engine, &asked_for, input).await?;
        let me = engine.me();
        let told = self.told(asked, &made, me, &data.design)?;
        let stays = made.kept(me);
        if let Some(bins) = &mut data.bins {
            let gone = made
                .dropped
                .iter()
                .map(|d| (made.owner(d.column), d.column));
            for ((_, place), at) in gone.filter(|((party, _), _)| *party == me) {
                let column = data.design.columns().get(place).map(|c| c.source.column());
                let reason = told.columns.get(at).map(|c| c.reason.clone());
                if let (Some(column), Some(reason)) = (column, reason) {
                    bins.gone(column, reason);
                }
            }
        }
        if stays.len() < data.design.width() {
            data.keep(&stays);
        }
        data.selection = Some(told);
        Ok(())
    }

    /// Leaves out the columns that have left the model, and says so.
    pub(super) fn leave(
        &self,
        asked: &spec::Stepwise,
        left: &[Leaver],
        me: usize,
        data: &mut Prepared,
    ) {
        let own = |column: usize| left.iter().any(|l| (l.party, l.column) == (me, column));
        let stays: Vec<usize> = (0..data.design.width()).filter(|at| !own(*at)).collect();
        if let Some(told) = &mut data.selection {
            let stayed: Vec<usize> = (0..told.columns.len())
                .filter(|at| told.columns[*at].kept)
                .collect();
            for (step, leaver) in left.iter().enumerate() {
                let owner = self.name(leaver.party);
                // places are among the columns that the party brought to the first fit
                let mut of = stayed.iter().filter(|at| told.columns[**at].owner == owner);
                let Some(at) = of.nth(leaver.column).copied() else {
                    continue;
                };
                let column = &mut told.columns[at];
                column.kept = false;
                column.reason = format!(
                    "it left the model in step {}: of all columns its coefficient was the smallest beside its standard error, \
                     and {}",
                    step + 1,
                    asked.rule()
                );
                let own = data.design.columns().get(leaver.column);
                let own = own
                    .filter(|_| leaver.party == me)
                    .map(|c| c.source.column());
                if let (Some(bins), Some(own)) = (&mut data.bins, own) {
                    bins.gone(own, column.reason.clone());
                }
            }
        }
        if stays.len() < data.design.width() {
            data.keep(&stays);
        }
    }

    fn name(&self, position: usize) -> String {
        let parties = self.contract.parties();
        parties
            .get(position)
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// For the report: own columns by name, others' by their places.
    fn told(
        &self,
        asked: &spec::Selection,
        made: &Selection,
        me: usize,
        design: &Design,
    ) -> Result<SelectionReport, Abort> {
        let names: Vec<&str> = design.names().collect();
        let column = |at: usize| -> (String, String) {
            let (owner, place) = made.owner(at);
            let name = match names.get(place).filter(|_| owner == me) {
                Some(name) => (*name).to_owned(),
                None => format!("column {}", place + 1),
            };
            (self.name(owner), name)
        };
        let named = |at: usize| {
            let (owner, name) = column(at);
            if made.owner(at).0 == me {
                name
            } else {
                format!("{name} of {owner}")
            }
        };
        let limit = |limit: Option<paripassu_job::Decimal>| {
            limit.map(|l| l.to_string()).unwrap_or_default()
        };
        let reason = |why: Why| match why {
            Why::Correlated { with } => format!(
                "it correlates {} or more with {}, which tells more of the label",
                limit(asked.max_correlation),
                named(with)
            ),
            Why::Inflated => format!(
                "all other columns predict it: its variance inflation was the largest, and above {}",
                limit(asked.max_vif)
            ),
        };
        let stays = made.kept(me);
        if stays.len() != made.inflation.len() {
            return Err(own("as many variance inflations as columns were expected"));
        }
        let all = made.widths.iter().sum();
        let columns = (0..all).map(|at| {
            let gone = made.dropped.iter().find(|d| d.column == at);
            let (party, place) = made.owner(at);
            let own = stays.iter().position(|s| party == me && *s == place);
            let vif = own.and_then(|at| made.inflation.get(at)).copied();
            let (owner, column) = column(at);
            SelectedColumn {
                owner,
                column,
                kept: gone.is_none(),
                reason: gone.map(|d| reason(d.why)).unwrap_or_default(),
                vif: vif.filter(|v| *v <= LARGEST),
                beyond: vif.is_some_and(|v| v > LARGEST),
            }
        });
        let across = made.correlations.iter().map(|(i, j, r)| {
            let ((owner, first), (other, with)) = (column(*i), column(*j));
            Across {
                owner,
                column: first,
                other,
                with,
                r: *r,
            }
        });
        Ok(SelectionReport {
            columns: columns.collect(),
            correlations: across.collect(),
        })
    }
}

/// What a reader of the report should know.
pub(super) fn notes(told: &SelectionReport, stepwise: bool) -> Vec<String> {
    let mut notes = vec![
        "Variance inflation is computed from correlations divided by 1 + 2^-14, between parties twice: 10 is told as 9.98, 100 as 98, \
         1,000 as 800, and what is above as over 1,000. Each training row counts once in it."
            .to_owned(),
    ];
    let gone = told.columns.iter().filter(|c| !c.kept);
    notes.extend(gone.map(|c| format!("{} of {} left out: {}.", c.column, c.owner, c.reason)));
    if stepwise {
        notes.push(
            "Columns left the model by its own statistics: standard errors and p-values are those of the last fit and know nothing \
             of the choice before it, so that p-values are too small. Variance inflation is that before columns left so."
                .to_owned(),
        );
    }
    if told.columns.iter().any(|c| c.beyond) {
        notes.push(
            "A column with a variance inflation over 1,000 is nearly a combination of others: coefficients of these share what \
             they say as the ridge has it. Consider selection.max_vif."
                .to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_do_not_count_rank_no_column() {
        let y = ranked(&[1, 0, 0, 1], Some(&[1.0, 1.0, 2.0, 0.0]));
        assert_eq!(y, [0.75, -0.25, -0.5, 0.0]);
        assert_eq!(ranked(&[1, 0], None), [0.5, -0.5]);
    }
}
