//! Training with differential privacy for each customer: noisy sums of clipped gradients.
//!
//! **Functionality.** Each round every bank takes each of its training rows with chance q, by coins that stay at
//! home, cuts the gradient of each row's loss to length C and adds them up in units of C / 2^16. To every number it
//! adds discrete Gaussian noise of variance `(σ 2^16)² / h`. The banks learn the sum over all of them, and step
//! along it. So any h honest banks in the sum alone have put in the noise that the job says; what others leave out or
//! tell does not matter.
//!
//! **Guarantee.** Neighbours are data sets with and without one training row of one bank. The sum without noise
//! changes by a vector of whole numbers of length at most 2^16 ([`clipped_sum`]); the noise has whole numbers, too; so
//! the account of [`Spent`](paripassu_crypto::dp::Spent) holds without any slack for rounding. Against: every other
//! bank but h - 1, the helper, and whoever reads the model. A customer known to two banks is counted twice.
//!
//! **Not covered.** What a bank does with its own rows; which banks are there; that a bank with too few rows ends
//! the job; times. The design must not depend on the data: it is declared in the job.
//!
//! **Going on** where an aborted job stopped spends anew: fresh coins and fresh noise, and the budget counts both jobs whole.
//!
//! **Evaluation** ([`evaluate`]) counts test rows, which are other customers, by band of the score with noise in each
//! count. Counts are not cut at 0, which would make rows out of noise; losses and calibration are not told, because
//! over bands that hold few rows they would be those of the noise. How much of the AUC is noise is told.
//!
//! **Source.** Abadi et al., CCS 2016 (clipping, sampling); Kairouz, Liu and Steinke, ICML 2021 (noise of whole
//! numbers in shares under secure aggregation). Departure: gradients are cut off towards 0 and not rounded at
//! random, which never lengthens them, so no part of the bound goes to rounding.

use std::sync::Arc;

use ndarray::Array2;
use paripassu_crypto::dp::{DiscreteGaussian, NoiseError, OsWords, Words};
use paripassu_model::mlp::{Adam, MlpError, Network, Optimiser, clipped_sum};

use super::{Schedule, first_parameters, own, purpose, state, trained};
use crate::{
    abort::Abort,
    arith::Openings,
    channel::Channel,
    compute::offload,
    horizontal::{SumOf, course::Course, evaluate::Evaluation, secagg::Client, sum},
};

/// Units in the length to which gradients are cut.
pub const UNITS: u32 = 1 << 16;

/// Least variance of a bank's part of the noise: below it a sum of parts would be no discrete Gaussian.
const LEAST_VARIANCE: f64 = (1u64 << 20) as f64;

/// What is trained, and how.
#[derive(Debug, Clone)]
pub struct PrivateTraining {
    /// The network.
    pub network: Network,
    /// Seeds the first parameters; public.
    pub start: [u8; 32],
    /// Rounds: exactly so many are made.
    pub rounds: u32,
    /// Learning rate.
    pub rate: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// How a step follows from the sum.
    pub optimiser: Optimiser,
    /// Weight of `0.5 |w|²`.
    pub l2: f64,
    /// Chance of a row to be in a round.
    pub sampling: f64,
    /// Length to which the gradient of a row is cut.
    pub clip: f64,
    /// Standard deviation of the noise of `honest` banks, in lengths of `clip`.
    pub noise: f64,
    /// Banks whose noise suffices.
    pub honest: usize,
    /// Training rows of all banks, about, as the job says.
    pub rows: u64,
}

/// The trained network, the same at every bank.
#[derive(Debug, Clone, PartialEq)]
pub struct PrivateFit {
    /// Parameters.
    pub params: Vec<f64>,
    /// Rounds made.
    pub rounds: u32,
    /// Banks in the sums: fewest of any round.
    pub fewest_banks: usize,
    /// After how many of them it went on from an aborted job; 0 where it did not.
    pub resumed: u32,
}

fn noise(e: NoiseError) -> Abort {
    own(e)
}

/// A bank's part of noise with this standard deviation.
fn part(sigma: f64, honest: usize) -> Result<DiscreteGaussian, Abort> {
    let variance = (sigma * sigma / honest.max(1) as f64).ceil();
    if variance < LEAST_VARIANCE {
        return Err(own(format!(
            "each bank's part of the noise has a variance of {variance}, below 2^20: take more \
             noise, or a lower horizontal.privacy.honest"
        )));
    }
    DiscreteGaussian::new(variance as u64).map_err(noise)
}

/// Each row with chance `sampling`, to 2^-64.
fn sampled(rows: usize, sampling: f64, words: &mut impl Words) -> Result<Vec<usize>, NoiseError> {
    // cut off: never more than said
    let below = (sampling * 2f64.powi(64)) as u64;
    let mut taken = Vec::new();
    for row in 0..rows {
        if sampling >= 1.0 || words.word()? < below {
            taken.push(row);
        }
    }
    Ok(taken)
}

fn sum_of_rows(
    training: &PrivateTraining,
    params: &[f64],
    x: &Array2<f64>,
    y: &[u8],
    noise: DiscreteGaussian,
) -> Result<Vec<u64>, Abort> {
    let mut words = OsWords::default();
    let rows = sampled(y.len(), training.sampling, &mut words).map_err(own)?;
    let clipped = clipped_sum(&training.network, params, x, y, &rows, training.clip, UNITS);
    let mut out = Vec::with_capacity(params.len());
    for value in clipped.map_err(trained)?.sum {
        let noisy = value.wrapping_add(noise.sample(&mut words).map_err(own)?);
        out.push(noisy as u64);
    }
    Ok(out)
}

/// Trains. `course` is told of each round.
///
/// # Leakage
/// The noisy sum at each round, to all banks: declared as [`SumOf::Gradients`].
///
/// # Errors
/// Too little noise to share; no randomness; those of sums.
pub async fn fit<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    training: &PrivateTraining,
    x: Array2<f64>,
    y: Vec<u8>,
    course: &mut dyn Course,
) -> Result<PrivateFit, Abort> {
    let noise = part(training.noise * f64::from(UNITS), training.honest)?;
    let mut params = first_parameters(&training.network, &training.start);
    let mut adam = (training.optimiser == Optimiser::Adam).then(|| Adam::new(params.len()));
    let rows = Arc::new((training.clone(), x, y));
    let mut fewest = client.clients();
    let kept = course.from();
    let resumed = kept.as_ref().map_or(0, |state| state.round);
    if let Some(state) = &kept {
        (params, adam, fewest) = state::read_private(state, params.len(), adam.is_some())?;
    }
    // of one unit, in the mean over the rows that a round expects
    let unit = training.clip / f64::from(UNITS) / (training.sampling * training.rows as f64);
    for round in resumed + 1..=training.rounds {
        if round > resumed + 1 && course.keeps() {
            let done = state::write_private(round - 1, &params, adam.as_ref(), fewest);
            course.keep(done).await?;
        }
        course.progress(round, training.rounds);
        let (here, data) = (params.clone(), rows.clone());
        let values = offload(move || sum_of_rows(&data.0, &here, &data.1, &data.2, noise)).await?;
        let named = purpose("gradients", round, &params);
        let got = sum(client, ledger, SumOf::Gradients, &named, values).await?;
        fewest = fewest.min(got.members.count());
        let gradient: Vec<f64> = got
            .words
            .iter()
            .zip(&params)
            .map(|(word, w)| (*word as i64) as f64 * unit + training.l2 / training.rows as f64 * w)
            .collect();
        let rate = training.rate * training.schedule.factor(round, training.rounds);
        match &mut adam {
            Some(adam) => adam.step(&mut params, &gradient, rate, 1e-8),
            None => params
                .iter_mut()
                .zip(&gradient)
                .for_each(|(w, g)| *w -= rate * g),
        }
        if params.iter().any(|w| !w.is_finite()) {
            return Err(trained(MlpError::Diverged {
                batches: round as usize,
            }));
        }
    }
    Ok(PrivateFit {
        params,
        rounds: training.rounds,
        fewest_banks: fewest,
        resumed,
    })
}

/// Bands of the score in the evaluation: fewer than without noise, because each has its own.
pub const BANDS: usize = 32;

/// The log-odds where the outermost bands end; they are open.
const EDGES: [f64; 2] = [-8.0, 4.0];

fn band(log_odds: f64) -> usize {
    let place = (log_odds - EDGES[0]) / (EDGES[1] - EDGES[0]) * BANDS as f64;
    (place.max(0.0) as usize).min(BANDS - 1)
}

/// Results of noisy counts of goods and bads by band, each with noise of this standard deviation.
fn results(goods: &[f64], bads: &[f64], sigma: f64) -> Evaluation {
    let (good, bad) = (goods.iter().sum::<f64>(), bads.iter().sum::<f64>());
    let pairs = good * bad;
    let (mut above, mut tied, mut ks) = (0.0, 0.0, 0.0f64);
    let (mut good_below, mut bad_below) = (0.0, 0.0);
    let mut places = Vec::with_capacity(goods.len());
    for (g, b) in goods.iter().zip(bads) {
        above += b * good_below;
        tied += b * g;
        places.push(((good_below + g / 2.0) / good, (bad_below + b / 2.0) / bad));
        good_below += g;
        bad_below += b;
        ks = ks.max((good_below / good - bad_below / bad).abs());
    }
    let auc = (above + tied / 2.0) / pairs;
    // how the AUC moves with each count, to first order
    let square: f64 = places
        .iter()
        .map(|(g, b)| ((g - auc) / bad).powi(2) + ((1.0 - b - auc) / good).powi(2))
        .sum();
    Evaluation {
        rows: (good + bad).round().max(0.0) as u64,
        bads: bad.round().max(0.0) as u64,
        auc: auc.clamp(0.0, 1.0),
        auc_bound: (tied / 2.0 / pairs).abs(),
        auc_noise: sigma * square.sqrt(),
        ks: ks.min(1.0),
        log_loss: None,
        brier: None,
        calibration: Vec::new(),
    }
}

/// Units of a count in the evaluation.
const COUNT_UNITS: u32 = 1 << 12;

/// Evaluates log-odds of this bank's test rows together with those of all others, with noise of standard deviation
/// `sigma` rows, from any `honest` banks alone, in each count.
///
/// # Leakage
/// The noisy histogram over all banks, to all banks: declared as [`SumOf::Evaluation`].
///
/// # Errors
/// Those of sums; a score that is no number; too little noise to share.
pub async fn evaluate<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    purpose: &str,
    log_odds: &[f64],
    labels: &[u8],
    (sigma, honest): (f64, usize),
) -> Result<Evaluation, Abort> {
    let noise = part(sigma * f64::from(COUNT_UNITS), honest)?;
    let mut counts = vec![0i64; 2 * BANDS];
    for (z, y) in log_odds.iter().zip(labels) {
        if !z.is_finite() {
            return Err(own("the score of a test row is no number"));
        }
        counts[band(*z) + BANDS * usize::from(*y == 1)] += i64::from(COUNT_UNITS);
    }
    let mut words = OsWords::default();
    let mut values = Vec::with_capacity(counts.len());
    for count in counts {
        values.push(count.wrapping_add(noise.sample(&mut words).map_err(own)?) as u64);
    }
    let got = sum(client, ledger, SumOf::Evaluation, purpose, values).await?;
    let counts: Vec<f64> = got
        .words
        .iter()
        .map(|word| (*word as i64) as f64 / f64::from(COUNT_UNITS))
        .collect();
    let (goods, bads) = counts.split_at(BANDS.min(counts.len()));
    // every bank in the sum has put its part in, not only the honest ones
    let sigma = sigma * (got.members.count() as f64 / honest.max(1) as f64).sqrt();
    Ok(results(goods, bads, sigma))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_noise_add_up_and_too_small_ones_are_refused() {
        let sigma = 1.1 * f64::from(UNITS);
        let honest = 3;
        let of = part(sigma, honest).unwrap();
        let mut words = OsWords::default();
        let n = 12_000;
        let square: f64 = (0..n)
            .map(|_| {
                let sum: i64 = (0..honest).map(|_| of.sample(&mut words).unwrap()).sum();
                (sum as f64 / sigma).powi(2)
            })
            .sum::<f64>()
            / f64::from(n);
        assert!(
            (square - 1.0).abs() < 6.0 * (2.0 / f64::from(n)).sqrt(),
            "{square}"
        );
        assert!(part(1000.0, 1).is_err());
    }

    #[test]
    fn rows_are_taken_by_chance() {
        let mut words = OsWords::default();
        let taken = sampled(40_000, 0.1, &mut words).unwrap();
        let off = (taken.len() as f64 - 4000.0).abs();
        assert!(off < 6.0 * 3600f64.sqrt(), "{}", taken.len());
        assert_eq!(sampled(7, 1.0, &mut words).unwrap().len(), 7);
    }

    #[test]
    fn noisy_counts_give_the_auc_and_how_much_of_it_is_noise() {
        // without noise: that of the bands
        let (mut goods, mut bads) = (vec![0.0; BANDS], vec![0.0; BANDS]);
        (goods[3], goods[9], bads[3], bads[9], bads[20]) = (600.0, 400.0, 20.0, 50.0, 30.0);
        let plain = results(&goods, &bads, 0.0);
        let want = (20.0 * 300.0 + 50.0 * (600.0 + 200.0) + 30.0 * 1000.0) / 100_000.0;
        assert!((plain.auc - want).abs() < 1e-12 && plain.auc_noise == 0.0);
        assert_eq!((plain.rows, plain.bads), (1100, 100));
        // with it: as often off by as much as it says, and no rows made of noise
        let sigma = 2.0;
        let of = DiscreteGaussian::new((sigma * f64::from(COUNT_UNITS)).powi(2) as u64).unwrap();
        let mut words = OsWords::default();
        let (mut off, mut rows, runs) = (0.0, 0.0, 400);
        for _ in 0..runs {
            let mut noisy = |counts: &[f64]| -> Vec<f64> {
                let add =
                    |c: &f64| c + of.sample(&mut words).unwrap() as f64 / f64::from(COUNT_UNITS);
                counts.iter().map(add).collect()
            };
            let (g, b) = (noisy(&goods), noisy(&bads));
            let got = results(&g, &b, sigma);
            off += ((got.auc - want) / got.auc_noise).powi(2) / f64::from(runs);
            rows += got.rows as f64 / f64::from(runs);
        }
        assert!((0.6..1.6).contains(&off), "{off}");
        assert!((rows - 1100.0).abs() < 6.0, "{rows}");
    }
}
