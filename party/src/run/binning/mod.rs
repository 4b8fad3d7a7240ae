//! Bins and weight of evidence: the label holder's own columns by itself, the others' by counts on shares.

mod exchange;
mod strict;

use std::sync::Arc;

use paripassu_job::{DisclosureId, spec};
use paripassu_model::{
    binning::{self, Binned, Binning, Counts, Recipe, Woe, WoeSign},
    report::{BinRow, BinnedColumn, BinsReport},
    table::Table,
};
use paripassu_protocol::{
    abort::Abort,
    channel::Role,
    horizontal::bins::{LeftOut, OfColumn},
    vertical::{
        bins::{self, Assigned},
        hidden::HiddenColumns,
    },
};
use serde::Serialize;
use serde_json::{Value, json};

use self::exchange::{Answer, Fine, Told, answer, carried_out, counts_of, cut, join, read, told};
pub(super) use self::strict::matrix;
use super::{Run, blocking, own, reject, train::JobEngine};

/// What became of the columns of a job with bins, as far as this party may know.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Bins {
    format: u32,
    /// Which way weight of evidence points.
    sign: WoeSign,
    /// The same as a formula.
    formula: String,
    /// `strict` where counts stay shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<&'static str>,
    /// Columns that are part of the design, in their order.
    #[serde(skip)]
    pub(crate) kept: Vec<Binned>,
    /// The same where counts stay shared, at their owner, which knows no weights of evidence.
    #[serde(skip)]
    pub(crate) hidden: Vec<Binning>,
    /// This party's columns.
    columns: Vec<Column>,
    /// The other parties' columns without names, at the label holder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<Anonymous>,
}

/// One of this party's columns.
#[derive(Debug, Clone, Serialize)]
struct Column {
    column: String,
    /// Nothing where only the label holder knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<bool>,
    /// Why it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iv: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bins: Vec<Row>,
}

/// One bin.
#[derive(Debug, Clone, Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<binning::Bin>,
    rows: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bad: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    woe: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iv: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smoothed: Option<bool>,
}

/// Another party's column, by its position.
#[derive(Debug, Clone, Serialize)]
struct Anonymous {
    party: String,
    position: usize,
    kept: bool,
    iv: f64,
    /// Where counts stay shared: how many bins there are, and whether the share of bads moves one way over those of
    /// numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    monotone: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bins: Vec<Row>,
}

/// Why a column of one bin is left out.
const ONE_BIN: &str = "all rows are in one bin";

/// Why a column that tells little is left out.
fn below(least: f64) -> String {
    format!("its information value is below {least}")
}

impl Bins {
    /// What became of a column whose bins all banks made of their sums.
    pub(crate) fn of_sums(sign: WoeSign, job: &spec::Binning, all: Vec<OfColumn>) -> Self {
        let mut bins = Self::new(sign);
        for of in all {
            let reason = match of.left_out {
                Some(LeftOut::Missing) => Some(too_many_missing(job)),
                Some(LeftOut::Identical) => Some(too_many_identical(job)),
                _ => None,
            };
            match (of.bins, reason) {
                (Some((binned, woe)), None) => {
                    let rows = rows_of(&binned.binning, &woe);
                    let kept = of.left_out.is_none();
                    bins.decide(binned, rows, kept, job.min_iv.value());
                }
                (_, reason) => {
                    bins.left_out(of.column, reason.unwrap_or_default(), None, Vec::new());
                }
            }
        }
        bins
    }

    fn new(sign: WoeSign) -> Self {
        Self {
            format: 1,
            sign,
            formula: sign.to_string(),
            counts: None,
            kept: Vec::new(),
            hidden: Vec::new(),
            columns: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Information value of each own column, where it is known.
    pub(crate) fn information(&self) -> impl Iterator<Item = (&str, f64)> {
        let columns = self.columns.iter();
        columns.filter_map(|column| Some((column.column.as_str(), column.iv?)))
    }

    /// What became of each own column, and why.
    pub(crate) fn selection(&self) -> Value {
        let of = |c: &Column| json!({ "column": c.column, "kept": c.kept, "reason": c.reason, "iv": c.iv });
        self.columns.iter().map(of).collect()
    }

    /// For the report: own columns by name, others' by their places.
    pub(super) fn report(&self, me: &str, least: f64) -> BinsReport {
        let row = |(at, bin): (usize, &Row)| {
            Some(BinRow {
                label: bin
                    .label
                    .clone()
                    .unwrap_or_else(|| format!("bin {}", at + 1)),
                rows: bin.rows,
                bad: bin.bad,
                woe: bin.woe?,
                iv: bin.iv,
            })
        };
        let rows = |bins: &[Row]| bins.iter().enumerate().filter_map(row).collect();
        let own = self.columns.iter().map(|c| BinnedColumn {
            owner: me.to_owned(),
            column: c.column.clone(),
            kept: c.kept == Some(true),
            reason: c.reason.clone().unwrap_or_default(),
            not_told: c.kept.is_none(),
            cut: c.kept.is_none().then_some(c.bins.len() as u64),
            iv: c.iv,
            bins: rows(&c.bins),
        });
        let others = self.others.iter().map(|c| BinnedColumn {
            owner: c.party.clone(),
            column: format!("column {}", c.position + 1),
            kept: c.kept,
            reason: match (c.kept, c.cut.unwrap_or(c.bins.len())) {
                (true, _) => c.moves().to_owned(),
                (false, 0 | 1) => ONE_BIN.to_owned(),
                (false, _) => below(least),
            },
            iv: Some(c.iv),
            not_told: false,
            cut: c.cut.map(|bins| bins as u64),
            bins: rows(&c.bins),
        });
        BinsReport {
            formula: self.formula.clone(),
            columns: own.chain(others).collect(),
        }
    }

    /// What a reader of the report should know.
    pub(crate) fn notes(&self, fitted: &[(&str, f64)]) -> Vec<String> {
        let mut notes = vec![format!(
            "Columns are weight of evidence, {}, of bins that are closed on the left; bins.json has them.",
            self.formula
        )];
        if self.counts.is_some() {
            notes.push(strict::NOTE.to_owned());
        }
        for c in &self.columns {
            match (&c.reason, c.iv) {
                (Some(_), _) if c.kept.is_none() => {}
                (Some(reason), _) => notes.push(format!("{} left out: {reason}.", c.column)),
                (None, Some(iv)) if iv > 0.5 => notes.push(format!(
                    "{} has an information value of {iv:.3}: above 0.5 it may know the outcome.",
                    c.column
                )),
                _ => {}
            }
        }
        // log-odds of bad fall where weight of evidence is safer
        let against = |w: f64| w * self.sign.factor() > 0.0;
        notes.extend(fitted.iter().filter(|(_, w)| against(*w)).map(|(column, _)| {
            format!(
                "The coefficient of {column} has the sign opposite to its weight of evidence: other columns say \
                 it better; consider to leave it out."
            )
        }));
        notes
    }

    fn left_out(&mut self, column: String, reason: String, iv: Option<f64>, bins: Vec<Row>) {
        self.columns.push(Column {
            column,
            kept: Some(false),
            reason: Some(reason),
            iv,
            bins,
        });
    }

    /// A column that was kept so far goes.
    pub(crate) fn gone(&mut self, column: &str, reason: String) {
        self.kept.retain(|binned| binned.binning.column != column);
        for c in self.columns.iter_mut().filter(|c| c.column == column) {
            c.kept = Some(false);
            c.reason = Some(reason.clone());
        }
    }

    /// The report says why a column with its bins has no weight in the model.
    pub(crate) fn held_at_zero(&mut self, column: &str, reason: &str) {
        for c in self.columns.iter_mut().filter(|c| c.column == column) {
            (c.kept, c.reason) = (Some(false), Some(reason.to_owned()));
        }
    }

    /// Keeps a column, or says why not.
    fn decide(&mut self, binned: Binned, bins: Vec<Row>, kept: bool, least: f64) {
        let (column, iv) = (binned.binning.column.clone(), binned.iv);
        if !kept {
            let reason = match bins.len() {
                0 | 1 => ONE_BIN.to_owned(),
                _ => below(least),
            };
            return self.left_out(column, reason, Some(iv), bins);
        }
        self.columns.push(Column {
            column,
            kept: Some(true),
            reason: None,
            iv: Some(iv),
            bins,
        });
        self.kept.push(binned);
    }
}

/// Why a column is left out before it is binned: too many missing, or the same everywhere.
fn unfit(table: &Table, rows: &[usize], column: &str, job: &spec::Binning) -> Option<String> {
    let shares = binning::shares(table.column(column)?.data(), rows);
    if shares.missing > job.max_missing.value() {
        return Some(too_many_missing(job));
    }
    (shares.most_common > job.max_identical.value()).then(|| too_many_identical(job))
}

fn too_many_missing(job: &spec::Binning) -> String {
    let most = job.max_missing;
    format!("more than {most} of its training rows are missing")
}

fn too_many_identical(job: &spec::Binning) -> String {
    let most = job.max_identical;
    format!("more than {most} of its training rows have one value")
}

fn rows_of(binning: &Binning, woe: &Woe) -> Vec<Row> {
    let of = |(bin, w): (&binning::Bin, &binning::BinWoe)| Row {
        label: Some(bin.label()),
        values: Some(bin.clone()),
        rows: w.counts.rows(),
        bad: Some(w.counts.bad),
        woe: Some(w.woe),
        iv: Some(w.iv),
        smoothed: Some(w.smoothed),
    };
    binning.bins.iter().zip(&woe.bins).map(of).collect()
}

impl Run {
    /// Bins all columns of this party, and helps to bin the others'.
    pub(super) async fn bin(
        &self,
        job: &spec::Binning,
        engine: &mut JobEngine,
        (table, train): (Arc<Table>, Arc<Vec<usize>>),
        columns: Vec<String>,
    ) -> Result<(Bins, Vec<HiddenColumns>), Abort> {
        let me = self.site.identity.peer().id.to_string();
        let rare = self.spec().design.rare_level_rows;
        let rows = train.len();
        let recipe = |column: &str| job.recipe(&me, column, rows, rare);
        let mut bins = Bins::new(recipe("").sign);
        bins.counts = job.strict().then_some("strict");
        let mut hidden = Vec::new();
        let mut fit: Vec<(String, Recipe)> = Vec::new();
        for column in columns {
            match unfit(&table, &train, &column, job) {
                Some(reason) => bins.left_out(column, reason, None, Vec::new()),
                None => {
                    let recipe = recipe(&column);
                    fit.push((column, recipe));
                }
            }
        }
        let declined = reject::declined(self.spec(), &me, &table, &train)?;
        let known = Arc::new(reject::accepted(&train, declined.as_deref()));
        let label: Option<Vec<u8>> = table
            .label()
            .filter(|_| self.label)
            .map(|y| train.iter().map(|r| y[*r]).collect());
        // where rows are declined, those that are neither good nor bad are neither
        let good = label.as_ref().zip(declined.as_ref()).map(|(y, declined)| {
            let of = |(y, declined): (&u8, &bool)| u8::from(*y == 0 && !declined);
            y.iter().zip(declined).map(of).collect::<Vec<u8>>()
        });
        let mut fine = Vec::new();
        let mut assigned = Assigned::default();
        if let Some(y) = table.label().filter(|_| self.label) {
            let label: Vec<u8> = known.iter().map(|r| y[*r]).collect();
            let (table, known) = (Arc::clone(&table), Arc::clone(&known));
            let made = blocking(move || {
                let one = |(column, recipe): &(String, Recipe)| {
                    binning::bin(&table, &known, &label, column, recipe)
                };
                fit.iter().map(one).collect::<Result<Vec<_>, _>>()
            });
            for (binned, woe) in made.await.map_err(own)? {
                let rows = rows_of(&binned.binning, &woe);
                let kept = rows.len() > 1 && binned.iv >= job.min_iv.value();
                bins.decide(binned, rows, kept, job.min_iv.value());
            }
        } else {
            let (table, train) = (Arc::clone(&table), Arc::clone(&train));
            let cut = blocking(move || cut(&table, &train, fit)).await;
            (fine, assigned) = cut.map_err(own)?;
            if job.strict() {
                strict::check(&fine)?;
            }
        }
        engine.step("train/bins");
        let widths = bins::announce(engine, rows, assigned.all()).await?;
        for _ in widths.iter().skip(1) {
            self.book
                .disclose(&DisclosureId::BinningFine, 1, "train/bins")?;
        }
        for (owner, width) in widths.into_iter().enumerate().skip(1) {
            let mine = (owner == engine.me()).then_some((fine.as_slice(), &assigned));
            let task = Owner {
                job,
                owner,
                width,
                rows,
            };
            if job.strict() {
                let mine = mine.map(|(fine, assigned)| (fine.to_vec(), assigned));
                let made = self.hide(engine, &task, mine, label.as_deref(), &mut bins);
                hidden.push(made.await?);
                continue;
            }
            let marks = Marks {
                bad: label.as_deref(),
                good: good.as_deref(),
            };
            self.bin_of(engine, &task, mine, marks, &mut bins).await?;
        }
        if !bins.hidden.is_empty() {
            return Ok((bins, hidden));
        }
        let (kept, limits) = (std::mem::take(&mut bins.kept), job.in_common());
        let judged = blocking(move || {
            let why = binning::redundant(&table, &train, &kept, &limits);
            why.map(|why| (kept, why))
        });
        let (kept, why) = judged.await.map_err(own)?;
        for (binned, why) in kept.into_iter().zip(why) {
            match why {
                None => bins.kept.push(binned),
                Some(why) => bins.gone(&binned.binning.column, why.to_string()),
            }
        }
        if bins.kept.is_empty() {
            return Err(own(
                "no column of this party is left after binning: lower binning.min_iv or min_class, or bring others",
            ));
        }
        Ok((bins, hidden))
    }

    /// One party's columns, which it gives as `mine`.
    async fn bin_of(
        &self,
        engine: &mut JobEngine,
        task: &Owner<'_>,
        mine: Option<(&[Fine], &Assigned)>,
        marks: Marks<'_>,
        bins: &mut Bins,
    ) -> Result<(), Abort> {
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
        let inferring = self.spec().reject_inference.is_some();
        let label = marks.bad;
        if width == 0 {
            // declared, and nothing there
            if job.min_class > 0 {
                self.book
                    .disclose(&DisclosureId::BinningEnough(id.clone()), 0, &step)?;
            }
            self.book
                .disclose(&DisclosureId::BinningRows(id.clone()), 0, &step)?;
            self.book
                .disclose(&DisclosureId::BinningBads(id.clone()), 0, &step)?;
            if inferring {
                self.book
                    .disclose(&DisclosureId::BinningGoods(id.clone()), 0, &step)?;
            }
            return self.book.disclose(&DisclosureId::BinningWoe(id), 0, &step);
        }
        let assigned = mine.map(|(_, assigned)| assigned);
        let (bads, goods) = match inferring {
            true => {
                let both = marks.bad.zip(marks.good).map(|(bad, good)| [bad, good]);
                let shape = (rows, width);
                let [bads, goods] = bins::count_each(engine, owner, shape, assigned, both).await?;
                (bads, Some(goods))
            }
            false => {
                let bads = bins::count(engine, owner, rows, width, assigned, label).await?;
                (bads, None)
            }
        };
        let sizes: Option<Vec<u64>> =
            mine.map(|(fine, _)| fine.iter().flat_map(|f| f.rows.clone()).collect());
        let mut joined = mine.map(|(fine, _)| fine.to_vec());
        let group: Vec<usize> = if job.min_class > 0 {
            let least = job.min_class;
            let enough = match &goods {
                Some(goods) => bins::enough_of(engine, owner, (&bads, goods), least).await?,
                None => bins::enough(engine, owner, &bads, sizes.as_deref(), least).await?,
            };
            let group = match &mut joined {
                Some(fine) => Some(join(fine, &enough).map_err(own)?),
                None => None,
            };
            bins::groups(engine, owner, width, group.as_deref()).await?
        } else {
            (0..width).collect()
        };
        let count = group.iter().max().map_or(0, |g| g + 1) as u64;
        let ctx = engine.at_step().clone();
        let from = Role::Party(u8::try_from(owner).map_err(own)?);
        self.book
            .disclose(&DisclosureId::BinningRows(id.clone()), count, &step)?;
        if let Some(fine) = &joined {
            let body = serde_json::to_vec(&told(fine)).map_err(own)?;
            ctx.send(Role::Party(0), "rows", body.into()).await?;
        }
        let told: Vec<Told> = match label {
            Some(_) => read(&ctx.recv(from, "rows").await?, from, &step)?,
            None => Vec::new(),
        };
        let opened = bins::open(engine, owner, &bads, &group).await?;
        let opened_good = match &goods {
            Some(goods) => Some(bins::open_goods(engine, owner, goods, &group).await?),
            None => None,
        };
        self.book
            .disclose(&DisclosureId::BinningWoe(id.clone()), count, &step)?;
        if let Some(label) = label {
            let recipe = job.recipe("", "", rows, 1);
            let ones = |of: &[u8]| of.iter().filter(|y| **y == 1).count() as u64;
            let bad = ones(label);
            let total = Counts {
                good: marks.good.map_or(label.len() as u64 - bad, ones),
                bad,
            };
            let most = label.len() as u64;
            let opened = (&opened[..], opened_good.as_deref());
            let counts =
                counts_of(&told, opened, total, most).map_err(|problem| Abort::Malformed {
                    from,
                    step: step.clone(),
                    problem,
                })?;
            let mut answers = Vec::new();
            for (position, (told, counts)) in told.iter().zip(&counts).enumerate() {
                let (answer, other) = answer(told, counts, &recipe, job)?;
                bins.others.push(Anonymous {
                    party: id.to_string(),
                    position,
                    ..other
                });
                answers.push(answer);
            }
            let body = serde_json::to_vec(&answers).map_err(own)?;
            ctx.send(from, "woe", body.into()).await?;
        }
        if let Some(fine) = joined {
            let label_holder = Role::Party(0);
            let body = ctx.recv(label_holder, "woe").await?;
            let answers: Vec<Answer> = read(&body, label_holder, &step)?;
            let wrong = |problem: String| Abort::Malformed {
                from: label_holder,
                step: step.clone(),
                problem,
            };
            if answers.len() != fine.len() {
                return Err(wrong(format!(
                    "{} columns instead of {}",
                    answers.len(),
                    fine.len()
                )));
            }
            for (fine, answer) in fine.into_iter().zip(answers) {
                let kept = answer.kept;
                let (binned, rows) = carried_out(fine, answer).map_err(&wrong)?;
                bins.decide(binned, rows, kept, job.min_iv.value());
            }
        }
        Ok(())
    }
}

/// Training rows that are bad, and, where some are neither, good; at the label holder.
#[derive(Clone, Copy)]
struct Marks<'a> {
    bad: Option<&'a [u8]>,
    good: Option<&'a [u8]>,
}

/// Whose columns are binned.
#[derive(Clone, Copy)]
struct Owner<'a> {
    job: &'a spec::Binning,
    owner: usize,
    width: usize,
    rows: usize,
}
