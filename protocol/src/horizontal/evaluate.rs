//! How good a model is on the test rows of all banks, from masked histograms of its scores.
//!
//! **Functionality.** Each bank scores its own test rows. All learn, for each of [`BANDS`] bands of the score, how
//! many good and bad rows of all banks fall into it, and the sums of PDs, log losses and squared errors.
//!
//! **What is learned.** These sums. A band with a single row says that some bank has a customer with about that
//! score and outcome, not which bank; bands are as wide as 0.19 on the log-odds scale.
//!
//! **Precision.** AUC and KS are those of the scores rounded to their band. Pairs within a band count half, so the
//! true AUC lies within `auc ± auc_bound`, which is told.

use super::{SumOf, fixed::Point, secagg::Client, sum};
use crate::{abort::Abort, arith::Openings, channel::Channel};

/// Bands of the score, equally wide on the log-odds scale from -[`EDGE`] to [`EDGE`]; the outer ones are open.
pub const BANDS: usize = 128;

/// Where the outermost bands begin, on the log-odds scale.
pub const EDGE: f64 = 12.0;

/// Groups of the calibration, each of about as many rows.
const GROUPS: usize = 10;

/// Least PD that a log loss takes.
const LEAST_PD: f64 = 1e-12;

/// Results over the test rows of all banks.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Rows.
    pub rows: u64,
    /// Of them bad.
    pub bads: u64,
    /// Area under the ROC curve of the banded scores.
    pub auc: f64,
    /// Most that banding can have changed it by.
    pub auc_bound: f64,
    /// Standard deviation of the AUC by noise that was put into counts; 0 without noise.
    pub auc_noise: f64,
    /// Largest distance of the two distributions of the banded scores.
    pub ks: f64,
    /// Mean log loss; with noise it is not known.
    pub log_loss: Option<f64>,
    /// Mean squared error of the PD; with noise it is not known.
    pub brier: Option<f64>,
    /// Rows, mean PD and bad rate of groups of about a tenth of the rows, best first; with noise none.
    pub calibration: Vec<Group>,
}

/// One group of a calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Rows.
    pub rows: u64,
    /// Of them bad.
    pub bads: u64,
    /// Mean PD.
    pub mean_pd: f64,
}

fn band(log_odds: f64) -> usize {
    let place = (log_odds + EDGE) / (2.0 * EDGE) * BANDS as f64;
    (place.max(0.0) as usize).min(BANDS - 1)
}

/// Evaluates log-odds of this bank's test rows together with those of all others.
///
/// # Leakage
/// The histogram over all banks, to all banks: declared as [`SumOf::Evaluation`].
///
/// # Errors
/// Those of sums; a score that is no number.
pub async fn evaluate<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    purpose: &str,
    log_odds: &[f64],
    labels: &[u8],
) -> Result<Evaluation, Abort> {
    if let Some(row) = log_odds.iter().position(|z| !z.is_finite()) {
        return Err(Abort::Input(format!(
            "the score of test row {} is no number",
            row + 1
        )));
    }
    let clients = client.clients();
    // at most 2^30 rows, each with a log loss below 28
    let point = Point::for_sums_up_to(35, clients);
    let mut counts = vec![0u64; 2 * BANDS];
    let mut pds = vec![0.0; BANDS];
    let (mut log_loss, mut brier) = (0.0, 0.0);
    for (z, y) in log_odds.iter().zip(labels) {
        let pd = paripassu_model::logistic::sigmoid(*z);
        let place = band(*z);
        counts[place + BANDS * usize::from(*y == 1)] += 1;
        pds[place] += pd;
        let right = if *y == 1 { pd } else { 1.0 - pd };
        log_loss -= right.max(LEAST_PD).ln();
        brier += (1.0 - right) * (1.0 - right);
    }
    let mut values = counts;
    for x in pds.into_iter().chain([log_loss, brier]) {
        values.push(point.encode(x, clients, || "a sum over the test rows".into())?);
    }
    let got = sum(client, ledger, SumOf::Evaluation, purpose, values).await?;
    Ok(results(&got.words, point))
}

fn results(words: &[u64], point: Point) -> Evaluation {
    let (goods, rest) = words.split_at(BANDS.min(words.len()));
    let (bads, rest) = rest.split_at(BANDS.min(rest.len()));
    let (pds, rest) = rest.split_at(BANDS.min(rest.len()));
    let (good, bad) = (
        goods.iter().sum::<u64>() as f64,
        bads.iter().sum::<u64>() as f64,
    );
    let (mut above, mut tied, mut ks) = (0.0, 0.0, 0.0f64);
    let (mut good_below, mut bad_below) = (0.0, 0.0);
    for (g, b) in goods.iter().zip(bads) {
        let (g, b) = (*g as f64, *b as f64);
        above += b * good_below;
        tied += b * g;
        good_below += g;
        bad_below += b;
        ks = ks.max((good_below / good - bad_below / bad).abs());
    }
    let rows = good + bad;
    let last = |i: usize| rest.get(i).map_or(f64::NAN, |w| point.decode(*w) / rows);
    Evaluation {
        rows: rows as u64,
        bads: bad as u64,
        auc: (above + tied / 2.0) / (good * bad),
        auc_bound: tied / 2.0 / (good * bad),
        auc_noise: 0.0,
        ks,
        log_loss: Some(last(0)),
        brier: Some(last(1)),
        calibration: calibration(goods, bads, pds, point),
    }
}

fn calibration(goods: &[u64], bads: &[u64], pds: &[u64], point: Point) -> Vec<Group> {
    let total: u64 = goods.iter().chain(bads).sum();
    let mut groups = Vec::new();
    let (mut rows, mut bad, mut pd) = (0, 0, 0.0);
    for ((g, b), p) in goods.iter().zip(bads).zip(pds) {
        rows += g + b;
        bad += b;
        pd += point.decode(*p);
        if rows * GROUPS as u64 >= total && rows > 0 {
            groups.push(Group {
                rows,
                bads: bad,
                mean_pd: pd / rows as f64,
            });
            (rows, bad, pd) = (0, 0, 0.0);
        }
    }
    if rows > 0 {
        groups.push(Group {
            rows,
            bads: bad,
            mean_pd: pd / rows as f64,
        });
    }
    groups
}
