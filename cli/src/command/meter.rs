//! The leakage meter: the attack of a score's receiver on this party's own rows, as `data leakage` and the page of a
//! contract that is to be approved show it.

use std::path::Path;

use paripassu_job::{Contract, spec::Columns};
use paripassu_model::{
    binning::{Cut, CutOptions, prebin},
    leakage::{Attack, Granularity, LeakageError},
    schema::DatasetSpec,
    scorecard::Scaling,
    table::Table,
};
use paripassu_party::config::PartyConfig;
use serde::Serialize;

use crate::{failure::Failure, screen::Paint};

/// Draws of points where there is no card yet.
const DRAWS: u64 = 5;
/// Standard deviation of weight of evidence over bins, of a column of medium information value.
const WOE_SD: f64 = 0.5;
/// Bins of equal size of each column, where there is no card yet.
const BINS: usize = 5;

/// Numbers that look drawn from a normal, the same in every run.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        let mut sum = -6.0;
        for _ in 0..12 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            sum += ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        }
        sum
    }
}

/// Bins of each column, and tables of points to try.
pub(super) struct Rows {
    pub(super) columns: Vec<String>,
    pub(super) bins: Vec<Vec<u32>>,
    pub(super) points: Vec<Vec<Vec<f64>>>,
    pub(super) rows: usize,
}

/// What the attack recovers, in the order of what is seen.
pub(super) struct Measured {
    pub(super) recovered: Vec<f64>,
    pub(super) prior: f64,
    pub(super) combinations: usize,
}

impl Rows {
    /// Bins of equal size of a data set's columns, points drawn as those of columns of medium strength.
    pub(super) fn assumed(file: &Path, spec: &DatasetSpec, bins: usize) -> Result<Self, Failure> {
        let table = Table::load(file, spec)?;
        let all: Vec<usize> = (0..table.rows()).collect();
        let options = CutOptions {
            cut: Cut::Quantile(bins),
            special: Vec::new(),
            rare_level_rows: 0,
            min_rows: 1,
        };
        let columns: Vec<String> = spec
            .numeric
            .iter()
            .chain(&spec.categorical)
            .cloned()
            .collect();
        let mut found = Vec::new();
        for column in &columns {
            let wrong =
                |e: &dyn std::fmt::Display| Failure::user(format!("{}: {e}", file.display()));
            let binning = prebin(&table, &all, column, &options).map_err(|e| wrong(&e))?;
            let last = binning.bins.len() as u32;
            let of_rows = binning.assign(&table, &all).map_err(|e| wrong(&e))?;
            let of_rows = of_rows.iter().map(|b| b.map_or(last, |b| b as u32));
            found.push(of_rows.collect::<Vec<u32>>());
        }
        let factor = Scaling::default().factor();
        let mut draws = Draws(186);
        let points = (0..DRAWS)
            .map(|_| {
                found
                    .iter()
                    .map(|b| {
                        let most = b.iter().max().copied().unwrap_or(0);
                        (0..=most).map(|_| factor * WOE_SD * draws.next()).collect()
                    })
                    .collect()
            })
            .collect();
        Ok(Self {
            columns,
            bins: found,
            points,
            rows: table.rows(),
        })
    }

    /// Runs the attack for each of `seen`, on average over the tables of points. The receiver's own points have this
    /// standard deviation, or that of this party's.
    pub(super) fn attacked(
        &self,
        seen: &[Granularity],
        receiver_sd: Option<f64>,
    ) -> Result<Measured, LeakageError> {
        let mut measured = Measured {
            recovered: vec![0.0; seen.len()],
            prior: 0.0,
            combinations: 0,
        };
        let tries = self.points.len() as f64;
        for (draw, tables) in self.points.iter().enumerate() {
            let part = |whole: bool| -> Vec<f64> {
                (0..self.rows)
                    .map(|row| {
                        let each = self.bins.iter().zip(tables);
                        let points = each.map(|(bins, table)| table[bins[row] as usize]);
                        match whole {
                            true => points.map(f64::round).sum(),
                            false => points.sum(),
                        }
                    })
                    .collect()
            };
            let (exact, whole) = (part(false), part(true));
            let sd = receiver_sd.unwrap_or_else(|| deviation(&exact));
            let mut draws = Draws(0x0070_6172_6970_6173 + draw as u64);
            let own: Vec<f64> = (0..self.rows)
                .map(|_| (sd * draws.next()).round())
                .collect();
            let exact = Attack::new(&self.bins, &exact)?;
            let whole = Attack::new(&self.bins, &whole)?;
            measured.combinations = exact.combinations();
            for (sum, seen) in measured.recovered.iter_mut().zip(seen) {
                let attack = match seen {
                    Granularity::Exact | Granularity::Step(_) => &exact,
                    _ => &whole,
                };
                let leak = attack.run(&own, *seen)?;
                *sum += leak.recovered / tries;
                measured.prior = leak.prior;
            }
        }
        Ok(measured)
    }
}

/// What a contract's scores would tell their receiver of this party's rows.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    /// Receiver of the scores.
    to: String,
    dataset: String,
    rows: usize,
    columns: usize,
    /// Share of rows whose whole combination of bins could be guessed, at most.
    recovered: f64,
    /// The same without any score.
    prior: f64,
    /// What each coarser step of `outputs.scores.step` would leave, as (step, share).
    coarser: Vec<(f64, f64)>,
}

/// Runs the meter for a contract on the data set of party `me` in its configuration; none where the job gives no scores
/// to another party, or `me` brings no columns.
pub(super) fn of_contract(
    contract: &Contract,
    me: &str,
    config: &Path,
) -> Result<Option<Told>, Failure> {
    let spec = contract.spec();
    let Some(scores) = spec.outputs.scores.as_ref().filter(|s| s.to.as_str() != me) else {
        return Ok(None);
    };
    let Some(seat) = spec.seats().into_iter().find(|seat| seat.id.as_str() == me) else {
        return Ok(None);
    };
    let config = PartyConfig::load(config).map_err(|e| Failure::user(e.to_string()))?;
    let Some(dataset) = config.dataset(&seat.dataset) else {
        return Err(Failure::user(format!(
            "the contract asks for data set `{}`, which is not in this configuration",
            seat.dataset
        )));
    };
    let (numeric, categorical) = match &seat.columns {
        Columns::Listed {
            numeric,
            categorical,
        } => (numeric.clone(), categorical.clone()),
        Columns::All => (
            dataset.columns.numeric.clone(),
            dataset.columns.categorical.clone(),
        ),
    };
    let of_job = DatasetSpec {
        label: None,
        numeric,
        categorical,
        ..dataset.columns.clone()
    };
    let step = scores.step.value();
    let steps: Vec<f64> = [step, 0.0625, 0.25, 1.0]
        .into_iter()
        .filter(|s| *s >= step)
        .collect();
    let factor = Scaling::default().factor();
    let seen: Vec<Granularity> = steps
        .iter()
        .map(|s| Granularity::Step(s * factor))
        .collect();
    let rows = Rows::assumed(&dataset.path, &of_job, BINS)?;
    let measured = rows
        .attacked(&seen, None)
        .map_err(|e| Failure::user(format!("{}: {e}", dataset.path.display())))?;
    let mut shares = steps.into_iter().zip(measured.recovered);
    let recovered = shares.next().map_or(measured.prior, |(_, share)| share);
    Ok(Some(Told {
        to: scores.to.to_string(),
        dataset: seat.dataset.clone(),
        rows: rows.rows,
        columns: rows.columns.len(),
        recovered,
        prior: measured.prior,
        coarser: shares.filter(|(s, _)| *s > step).collect(),
    }))
}

impl Told {
    /// A paragraph for the page of a contract.
    pub(super) fn text(&self, paint: Paint) -> String {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let coarser: Vec<String> = self
            .coarser
            .iter()
            .map(|(step, share)| format!("{} with step = {step}", percent(*share)))
            .collect();
        let coarser = match coarser.is_empty() {
            true => String::new(),
            false => format!("; {}", coarser.join(", ")),
        };
        format!(
            "What the scores tell `{}`\n  At most {} of the {} rows of `{}` could have their whole combination of {} \
             columns' bins\n  guessed ({} without any score{coarser}).\n  {BINS} bins of equal size a column, points of columns of medium \
             strength, a receiver that knows this\n  party's points: `paripassu data leakage` tries others.\n\n",
            self.to,
            paint.strong(percent(self.recovered)),
            self.rows,
            self.dataset,
            self.columns,
            percent(self.prior),
        )
    }
}

fn deviation(values: &[f64]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
}
