//! Columns that say again what columns of other parties say: which go, and what the report says of it.

use ndarray::{Array2, Axis};
use paripassu_job::spec::{self, SelectionCorrelations};
use paripassu_model::{
    design::Design,
    logistic::Sign,
    report::{Across, SelectedColumn, SelectionReport},
    selection::LARGEST,
};
use paripassu_protocol::{
    abort::Abort,
    vertical::{
        selection::{self, Selection, SelectionInput, SelectionSpec, Why},
        stepwise::Moved,
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

    /// Leaves out the columns that are not in the model after these steps, and says so. Gives the columns that each party brought
    /// to them.
    pub(super) fn step(
        &self,
        asked: &spec::Stepwise,
        steps: &[Moved],
        me: usize,
        data: &mut Prepared,
    ) -> Vec<usize> {
        let stays: Vec<usize> = (0..data.design.width())
            .filter(|at| outcome(asked, steps, (me, *at)).0)
            .collect();
        let mut places = vec![0; self.contract.parties().len()];
        if let Some(told) = &mut data.selection {
            let names: Vec<String> = (0..places.len()).map(|p| self.name(p)).collect();
            for column in told.columns.iter_mut().filter(|c| c.kept) {
                let Some(party) = names.iter().position(|name| *name == column.owner) else {
                    continue;
                };
                // places are among the columns that the party brought to the steps
                let place = places[party];
                places[party] += 1;
                (column.kept, column.reason) = outcome(asked, steps, (party, place));
                let own = data.design.columns().get(place);
                let own = own.filter(|_| party == me && !column.kept);
                if let (Some(bins), Some(own)) = (&mut data.bins, own) {
                    bins.gone(own.source.column(), column.reason.clone());
                }
            }
        }
        if stays.len() < data.design.width() {
            data.keep(&stays);
        }
        places
    }

    /// Says of each of this party's columns whose coefficient a penalty or a sign holds at exactly 0 that it is not in the model.
    pub(super) fn tell_zeros(&self, coefficients: &[f64], data: &mut Prepared) {
        let Some((l1, signs)) = self.held(&data.design) else {
            return;
        };
        let me = self.site.identity.peer().id.to_string();
        let columns = data.design.columns().iter();
        let columns: Vec<String> = columns.map(|c| c.source.column().to_owned()).collect();
        let mut own = data.selection.iter_mut().flat_map(|told| &mut told.columns);
        for (place, w) in coefficients.iter().enumerate() {
            // of the columns that the filters have left, in the order of the design
            let told = own.find(|c| c.kept && c.owner == me);
            if *w != 0.0 {
                continue;
            }
            let reason = zero(l1, signs.get(place).copied().unwrap_or_default());
            if let (Some(bins), Some(column)) = (&mut data.bins, columns.get(place)) {
                bins.held_at_zero(column, &reason);
            }
            if let Some(told) = told {
                (told.kept, told.reason) = (false, reason);
            }
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

/// Whether a column is in the model after these steps, and why.
fn outcome(
    asked: &spec::Stepwise,
    steps: &[Moved],
    (party, column): (usize, usize),
) -> (bool, String) {
    let of = |m: &&Moved| (m.party, m.column) == (party, column);
    let each = steps.iter().zip(1..);
    let own: Vec<(bool, usize)> = each
        .filter(|(m, _)| of(m))
        .map(|(m, step)| (m.enters, step))
        .collect();
    let before = |until: usize| {
        let each = own[..until].iter();
        let words = each.map(|(enters, step)| match enters {
            true => format!("entered in step {step}"),
            false => format!("left in step {step}"),
        });
        words.map(|w| w + ", ").collect::<String>()
    };
    match own.last() {
        Some((true, step)) => {
            let why = format!(
                "it {}entered the model in step {step}: of those that were not in it, it said most of the label beside those \
                 that were, and {}",
                before(own.len() - 1),
                asked.enters_if()
            );
            (true, why)
        }
        Some((false, step)) => {
            let why = format!(
                "it {}left the model in step {step}: of all columns its coefficient was the smallest beside its standard \
                 error, and {}",
                before(own.len() - 1),
                asked.leaves_if()
            );
            (false, why)
        }
        None if asked.entering().is_none() => (true, String::new()),
        None => {
            let end = match steps.len() as u64 >= asked.max_steps {
                true => format!(" before steps ended after max_steps = {}", asked.max_steps),
                false => String::new(),
            };
            let why = format!(
                "it did not enter the model{end}: a column does if, of those that are not in it, it says most of the label \
                 beside those that are and is no near combination of them, and {}",
                asked.enters_if()
            );
            (false, why)
        }
    }
}

/// Why a coefficient is exactly 0.
fn zero(l1: f64, sign: Sign) -> String {
    match (l1 > 0.0, sign) {
        (true, Sign::Free) => format!("its coefficient is exactly 0 with an L1 penalty of {l1}"),
        (true, _) => format!(
            "its coefficient is exactly 0 with an L1 penalty of {l1} and the sign that it must have"
        ),
        (false, _) => {
            "its coefficient is held at 0: the rows would have it of the sign that it must not have"
                .to_owned()
        }
    }
}

/// Own columns whose coefficient is exactly 0, in words.
pub(super) fn zeros(run: &Run, data: &Prepared, coefficients: &[f64]) -> Option<String> {
    let (l1, signs) = run.held(&data.design)?;
    let names = data.design.names().zip(coefficients);
    let names: Vec<&str> = names.filter(|(_, w)| **w == 0.0).map(|n| n.0).collect();
    if names.is_empty() {
        return None;
    }
    let others =
        "Which of the others' columns a penalty or sign holds at 0 only their owners know.";
    if data.bins.is_some() || data.selection.is_some() {
        // own ones stand among what these say of each column
        return Some(others.to_owned());
    }
    let by = match (l1 > 0.0, signs.is_empty()) {
        (true, true) => format!("the L1 penalty of {l1} holds"),
        (true, false) => format!("the L1 penalty of {l1}, or their sign, holds"),
        (false, _) => "the sign that they must have holds".to_owned(),
    };
    Some(format!(
        "Own columns whose coefficient {by} at exactly 0, so that they are not in the model: {}. {others}",
        names.join(", ")
    ))
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
            "Columns left the model, or entered it, by its own statistics: standard errors and p-values are those of the last fit and know nothing \
             of the choice before it, so that p-values are too small. Variance inflation is that before these steps, of all columns then."
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
    fn a_column_s_steps_are_its_reason() {
        let both = spec::Stepwise {
            direction: spec::StepDirection::Both,
            max_steps: 4,
            ..spec::Stepwise::default()
        };
        let step = |column, enters| Moved {
            party: 1,
            column,
            enters,
        };
        let steps = [step(0, true), step(2, true), step(0, false), step(0, true)];
        let (kept, why) = outcome(&both, &steps, (1, 0));
        assert!(
            kept && why.contains("entered in step 1, left in step 3, entered the model in step 4")
        );
        let (kept, why) = outcome(&both, &steps[..3], (1, 0));
        assert!(
            !kept && why.contains("it entered in step 1, left the model in step 3"),
            "{why}"
        );
        assert!(why.contains("p-value is above 0.05"), "{why}");
        let (kept, why) = outcome(&both, &steps, (0, 0));
        assert!(
            !kept && why.contains("before steps ended after max_steps = 4"),
            "{why}"
        );
        let (kept, why) = outcome(&spec::Stepwise::default(), &[], (0, 0));
        assert!(kept && why.is_empty());
    }

    #[test]
    fn rows_that_do_not_count_rank_no_column() {
        let y = ranked(&[1, 0, 0, 1], Some(&[1.0, 1.0, 2.0, 0.0]));
        assert_eq!(y, [0.75, -0.25, -0.5, 0.0]);
        assert_eq!(ranked(&[1, 0], None), [0.5, -0.5]);
    }
}
