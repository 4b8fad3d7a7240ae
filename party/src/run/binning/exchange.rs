//! What an owner of columns and the label holder tell each other of bins, and what they make of it.

use paripassu_crypto::dp::{DiscreteGaussian, OsWords};
use paripassu_job::spec;
use paripassu_model::{
    binning::{
        self, Binned, Binning, Counts, Method, Order, Recipe, Woe, by_group, join_small, prebin,
        weight_of_evidence,
    },
    table::Table,
};
use paripassu_protocol::{abort::Abort, channel::Role, vertical::bins::Assigned};
use serde::{Deserialize, Serialize};

use super::{Anonymous, Row};
use crate::run::own;

/// Longest message about bins.
const MAX_MESSAGE: usize = 32 << 20;
/// No weight of evidence of fewer than 2^25 rows is larger.
const LARGEST_WOE: f64 = 40.0;
/// Weights of evidence are told to so many parts of one.
const WOE_PARTS: f64 = 1e6;

/// What an owner tells the label holder of a column.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    pub(super) order: Order,
    pub(super) ordinary: usize,
    pub(super) method: Method,
    pub(super) max_bins: usize,
    pub(super) rows: Vec<u64>,
}

/// What the label holder answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) group: Vec<usize>,
    pub(super) woe: Vec<f64>,
    pub(super) iv: f64,
    pub(super) kept: bool,
}

/// A column cut finely by its owner.
#[derive(Clone)]
pub(super) struct Fine {
    pub(super) binning: Binning,
    pub(super) rows: Vec<u64>,
    pub(super) recipe: Recipe,
}

/// Fine bins of an owner's columns, and in which the training rows are.
pub(super) fn cut(
    table: &Table,
    train: &[usize],
    columns: Vec<(String, Recipe)>,
) -> Result<(Vec<Fine>, Assigned), binning::BinningError> {
    let (mut all, mut assigned) = (Vec::new(), Assigned::default());
    for (column, recipe) in columns {
        let binning = prebin(table, train, &column, &recipe.cut)?;
        let at = binning.assign(table, train)?;
        let mut rows = vec![0u64; binning.bins.len()];
        at.iter().flatten().for_each(|b| rows[*b] += 1);
        let of = |b: Option<usize>| b.and_then(|b| u32::try_from(b).ok()).unwrap_or(u32::MAX);
        assigned.columns.push(at.into_iter().map(of).collect());
        assigned.bins.push(binning.bins.len());
        all.push(Fine {
            binning,
            rows,
            recipe,
        });
    }
    Ok((all, assigned))
}

/// Joins bins that lack rows of a label; the list says which, through all columns.
pub(super) fn join(
    fine: &mut [Fine],
    enough: &[bool],
) -> Result<Vec<usize>, binning::BinningError> {
    let (mut all, mut at, mut before) = (Vec::new(), 0, 0);
    for f in fine {
        let here = enough.get(at..at + f.rows.len()).unwrap_or_default();
        at += f.rows.len();
        let (ordinary, order) = f.binning.ordinary();
        let group = join_small(here, &f.rows, ordinary, order);
        f.binning = f.binning.merged(&group)?;
        f.rows = by_group(&f.rows, &group);
        all.extend(group.iter().map(|g| g + before));
        before += f.rows.len();
    }
    Ok(all)
}

pub(super) fn told(fine: &[Fine]) -> Vec<Told> {
    let of = |f: &Fine| {
        let (ordinary, order) = f.binning.ordinary();
        Told {
            order,
            ordinary,
            method: f.recipe.method,
            max_bins: f.recipe.limits.max_bins,
            rows: f.rows.clone(),
        }
    };
    fine.iter().map(of).collect()
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(
    body: &[u8],
    from: Role,
    step: &str,
) -> Result<T, Abort> {
    let malformed = |problem: String| Abort::Malformed {
        from,
        step: step.to_owned(),
        problem,
    };
    if body.len() > MAX_MESSAGE {
        return Err(malformed(format!(
            "{} bytes about bins, at most {MAX_MESSAGE}",
            body.len()
        )));
    }
    serde_json::from_slice(body).map_err(|e| malformed(e.to_string()))
}

/// Counts of good and bad by column of at most so many rows, where what was told and what was opened can both be true; good
/// rows are all that are not bad, unless they are given.
pub(super) fn counts_of(
    told: &[Told],
    (bads, goods): (&[u64], Option<&[u64]>),
    total: Counts,
    most: u64,
) -> Result<Vec<Vec<Counts>>, String> {
    let bins = told.iter().map(|t| t.rows.len()).sum::<usize>();
    if bins != bads.len() || goods.is_some_and(|goods| goods.len() != bins) {
        return Err("it names another number of bins than it joined".to_owned());
    }
    let mut bads = bads.iter();
    let mut goods = goods.map(<[u64]>::iter);
    let mut all = Vec::new();
    for (position, t) in told.iter().enumerate() {
        let mut counts = Vec::with_capacity(t.rows.len());
        for (rows, bad) in t.rows.iter().zip(bads.by_ref()) {
            // what a peer says must not overflow a sum of them
            if *rows > most {
                return Err(format!(
                    "a bin of column {position} has more rows than there are training rows"
                ));
            }
            let good = rows.checked_sub(*bad);
            let rest =
                good.ok_or_else(|| format!("column {position} has more bad rows than rows"))?;
            let good = match &mut goods {
                Some(goods) => goods.next().copied().unwrap_or(rest),
                None => rest,
            };
            if good > rest {
                return Err(format!(
                    "column {position} has more good and bad rows than rows"
                ));
            }
            counts.push(Counts { good, bad: *bad });
        }
        if counts.iter().copied().sum::<Counts>() != total || t.ordinary > counts.len() {
            return Err(format!(
                "the rows of column {position} are not all training rows"
            ));
        }
        all.push(counts);
    }
    Ok(all)
}

/// Bins of one column by its counts, and what its owner is told.
pub(super) fn answer(
    told: &Told,
    counts: &[Counts],
    recipe: &Recipe,
    job: &spec::Binning,
) -> Result<(Answer, Anonymous), Abort> {
    let mut recipe = recipe.clone();
    recipe.method = told.method;
    recipe.limits.max_bins = told.max_bins;
    let weighed = binning::weigh(counts, told.ordinary, told.order, &recipe).map_err(own)?;
    let (group, woe) = weighed;
    let kept = woe.bins.len() > 1 && woe.iv >= job.min_iv.value();
    let noisy = match job.noise_rows {
        0 => woe.clone(),
        rows => noised(&woe, rows, &recipe)?,
    };
    let answer = Answer {
        group,
        woe: noisy
            .bins
            .iter()
            .map(|b| (b.woe * WOE_PARTS).round() / WOE_PARTS)
            .collect(),
        iv: (noisy.iv * WOE_PARTS).round() / WOE_PARTS,
        kept,
    };
    let row = |b: &binning::BinWoe| Row {
        label: None,
        values: None,
        rows: b.counts.rows(),
        bad: Some(b.counts.bad),
        woe: Some(b.woe),
        iv: Some(b.iv),
        smoothed: Some(b.smoothed),
    };
    let other = Anonymous {
        party: String::new(),
        position: 0,
        kept,
        iv: woe.iv,
        cut: None,
        monotone: None,
        bins: woe.bins.iter().map(row).collect(),
    };
    Ok((answer, other))
}

/// The same with noise in every count.
fn noised(woe: &Woe, rows: u64, recipe: &Recipe) -> Result<Woe, Abort> {
    let noise = DiscreteGaussian::new(rows.saturating_mul(rows)).map_err(own)?;
    let mut words = OsWords::default();
    let mut change = |count: u64| -> Result<u64, Abort> {
        let by = noise.sample(&mut words).map_err(own)?;
        Ok(count.saturating_add_signed(by))
    };
    let mut counts = Vec::with_capacity(woe.bins.len());
    for bin in &woe.bins {
        counts.push(Counts {
            good: change(bin.counts.good)?,
            bad: change(bin.counts.bad)?,
        });
    }
    weight_of_evidence(&counts, recipe.sign, recipe.smoothing).map_err(own)
}

/// What the label holder answered, carried out on the owner's bins.
pub(super) fn carried_out(fine: Fine, answer: Answer) -> Result<(Binned, Vec<Row>), String> {
    let merged = fine
        .binning
        .merged(&answer.group)
        .map_err(|e| e.to_string())?;
    let sound = |w: &f64| w.is_finite() && w.abs() <= LARGEST_WOE;
    if answer.woe.len() != merged.bins.len() || !answer.woe.iter().all(sound) || !sound(&answer.iv)
    {
        return Err("weights of evidence that cannot be".to_owned());
    }
    let sizes = by_group(&fine.rows, &answer.group);
    let rows = merged.bins.iter().zip(sizes).zip(&answer.woe);
    let rows = rows.map(|((bin, rows), woe)| Row {
        label: Some(bin.label()),
        values: Some(bin.clone()),
        rows,
        bad: None,
        woe: Some(*woe),
        iv: None,
        smoothed: None,
    });
    let rows = rows.collect();
    let binned = Binned {
        binning: merged,
        woe: answer.woe,
        iv: answer.iv,
    };
    Ok((binned, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rows: &[u64]) -> Told {
        Told {
            order: Order::Ascending,
            ordinary: rows.len(),
            method: Method::Keep,
            max_bins: 5,
            rows: rows.to_vec(),
        }
    }

    #[test]
    fn counts_that_cannot_be_are_refused() {
        let total = Counts { good: 70, bad: 30 };
        let of = |rows: &[u64], bads: &[u64]| counts_of(&[told(rows)], (bads, None), total, 100);
        assert_eq!(
            of(&[60, 40], &[10, 20]).unwrap()[0][1],
            Counts { good: 20, bad: 20 }
        );
        assert!(
            of(&[60, 40], &[10, 20, 0])
                .unwrap_err()
                .contains("another number of bins")
        );
        assert!(
            of(&[u64::MAX - 40, 141], &[10, 20])
                .unwrap_err()
                .contains("more rows than there are training rows")
        );
        assert!(
            of(&[60, 10], &[20, 10])
                .unwrap_err()
                .contains("not all training rows")
        );
        assert!(
            of(&[60, 40], &[70, 0])
                .unwrap_err()
                .contains("more bad rows than rows")
        );
        // 40 of 140 rows are neither
        let known = |bads: &[u64], goods: &[u64]| {
            counts_of(&[told(&[90, 50])], (bads, Some(goods)), total, 140)
        };
        assert_eq!(
            known(&[10, 20], &[50, 20]).unwrap()[0][1],
            Counts { good: 20, bad: 20 }
        );
        let problem = known(&[10, 20], &[39, 31]).unwrap_err();
        assert!(problem.contains("more good and bad rows"), "{problem}");
        let problem = known(&[10, 20], &[39, 30]).unwrap_err();
        assert!(problem.contains("not all training rows"), "{problem}");
    }

    #[test]
    fn noise_changes_weights_and_what_cannot_be_is_refused() {
        let job: spec::Binning = spec::Binning::default();
        let recipe = job.recipe("", "", 1_000, 1);
        let counts = [
            Counts {
                good: 400,
                bad: 100,
            },
            Counts {
                good: 300,
                bad: 200,
            },
        ];
        let exact = spec::Binning {
            noise_rows: 0,
            ..job.clone()
        };
        let given = told(&[500, 500]);
        let (plain, seen) = answer(&given, &counts, &recipe, &exact).unwrap();
        let woe = (400f64 / 700.0 / (100.0 / 300.0)).ln();
        assert!(
            (plain.woe[0] - woe).abs() < 1e-6 && (seen.bins[0].woe.unwrap() - woe).abs() < 1e-12
        );
        let loud = spec::Binning {
            noise_rows: 20,
            ..job
        };
        let (noisy, seen) = answer(&given, &counts, &recipe, &loud).unwrap();
        // four draws of deviation 20 are hardly ever all 0
        assert!(noisy.woe != plain.woe && (seen.bins[0].woe.unwrap() - woe).abs() < 1e-12);
        assert!(
            noisy
                .woe
                .iter()
                .zip(&plain.woe)
                .all(|(a, b)| (a - b).abs() < 3.0)
        );
        let mut fine = Fine {
            binning: Binning {
                column: "x".into(),
                bins: Vec::new(),
            },
            rows: vec![500, 500],
            recipe,
        };
        let half = |low: Option<f64>, high: Option<f64>| binning::Bin {
            range: Some(binning::Range {
                low: low.map(|v| binning::Edge::new(v).unwrap()),
                high: high.map(|v| binning::Edge::new(v).unwrap()),
            }),
            ..binning::Bin::default()
        };
        fine.binning.bins = vec![half(None, Some(1.0)), half(Some(1.0), None)];
        let (binned, rows) = carried_out(fine.clone(), plain).unwrap();
        assert_eq!(
            (binned.woe.len(), rows[0].rows, rows[0].bad),
            (2, 500, None)
        );
        for (group, woe) in [
            (vec![0, 1], vec![f64::NAN, 0.0]),
            (vec![0, 1], vec![0.0]),
            (vec![0, 2], vec![0.0; 2]),
        ] {
            let wrong = Answer {
                group,
                woe,
                iv: 0.0,
                kept: true,
            };
            assert!(carried_out(fine.clone(), wrong).is_err());
        }
    }
}
