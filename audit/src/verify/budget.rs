//! Check 9, where a job adds noise: what it spends of customers' privacy follows from the contract, and is added to
//! what all jobs before it spent of the same data.
//!
//! Rényi divergences by order (arXiv 1908.10530, section 3.3) and their conversion (arXiv 2004.00010, proposition
//! 12), computed here once more and apart from the nodes' own accounts. Orders that are no whole numbers are not
//! computed again: divergences do not fall with their order, so their neighbours bound them.

use serde_json::Value;

use super::{
    contract::ContractView,
    verdict::{Check, Report},
    view::{Case, Log},
};
use crate::event::{
    Body,
    bodies::{DpSpent, PolicyStated},
};

/// Orders: 1.1 to 10.9 by tenths, then 11 to 256.
const ORDERS: usize = 345;
/// The first whole order, 2, among them, and the distance of whole orders below 11.
const FIRST_WHOLE: usize = 9;
const LEFT_OUT: &str = "what the job spends of its customers' privacy is not accounted for";
const ACCOUNT: &str =
    "the account of privacy does not follow from the contract and what was spent before";
const LIMIT: &str = "more of the customers' privacy is spent than the party's own policy allows";

fn orders() -> impl Iterator<Item = f64> {
    let tenths = (11u32..110).map(|tenth| f64::from(tenth) / 10.0);
    tenths.chain((11u32..=256).map(f64::from))
}

/// What the contract says of noise.
struct Noise {
    sampling: f64,
    sigma: f64,
    rounds: f64,
    evaluation: f64,
    delta: f64,
}

impl Noise {
    fn of(contract: &ContractView) -> Option<Self> {
        let at = |pointer: &str| contract.value.pointer(pointer);
        let decimal = |name: &str| {
            let text = at(&format!("/spec/horizontal/privacy/{name}"))?.as_str()?;
            text.parse::<f64>()
                .ok()
                .filter(|v| v.is_finite() && *v > 0.0)
        };
        Some(Self {
            sampling: decimal("sampling")?,
            sigma: decimal("noise")?,
            rounds: at("/spec/horizontal/training/rounds")?.as_u64()? as f64,
            evaluation: decimal("evaluation_noise")?,
            delta: decimal("delta")?,
        })
    }

    /// Divergence of a whole order of the training sums.
    fn training(&self, order: u32) -> f64 {
        self.rounds * one_sum(order, self.sampling, self.sigma)
    }

    fn evaluation(&self, order: f64) -> f64 {
        order / (2.0 * self.evaluation * self.evaluation)
    }
}

/// log Σ_k C(α, k) (1 - q)^(α - k) q^k exp((k² - k) / 2σ²), over α - 1.
fn one_sum(order: u32, q: f64, sigma: f64) -> f64 {
    let alpha = f64::from(order);
    if q >= 1.0 {
        return alpha / (2.0 * sigma * sigma);
    }
    let (mut terms, mut log_choose) = (Vec::with_capacity(257), 0.0);
    for k in (0..=order).map(f64::from) {
        let power = (alpha - k) * (-q).ln_1p() + k * q.ln();
        terms.push(log_choose + power + (k * k - k) / (2.0 * sigma * sigma));
        log_choose += ((alpha - k) / (k + 1.0)).ln();
    }
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = terms.iter().map(|t| (t - most).exp()).sum();
    ((most + sum.ln()) / (alpha - 1.0)).max(0.0)
}

fn epsilon(curve: impl Iterator<Item = (f64, f64)>, delta: f64) -> f64 {
    let of = |(alpha, divergence): (f64, f64)| {
        divergence + (-1.0 / alpha).ln_1p() - (delta.ln() + alpha.ln()) / (alpha - 1.0)
    };
    curve.map(of).fold(f64::INFINITY, f64::min).max(0.0)
}

/// Within what two ways of computing the same differ by.
fn alike(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs()) + 1e-9
}

/// Digits with at most one point between them.
fn number(text: &str) -> Option<f64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let sound = match text.split_once('.') {
        Some((whole, rest)) => digits(whole) && digits(rest),
        None => digits(text),
    };
    let value: f64 = text.parse().ok().filter(|_| sound && text.len() <= 800)?;
    value.is_finite().then_some(value)
}

fn numbers(texts: &[String]) -> Option<Vec<f64>> {
    let all: Option<Vec<f64>> = texts.iter().map(|t| number(t)).collect();
    all.filter(|all| all.len() == ORDERS)
}

pub(super) fn check(case: &Case<'_>, contract: &ContractView, report: &mut Report) {
    let declared = contract
        .value
        .pointer("/spec/horizontal/privacy")
        .is_some_and(|privacy| !privacy.is_null());
    for log in case.logs.iter().filter(|log| case.is_party(log.node)) {
        let spent: Vec<_> = log
            .events
            .iter()
            .filter(|e| e.name() == "dp.spent")
            .collect();
        let end = log.events.iter().find(|e| e.name() == "run.completed");
        let due = usize::from(declared);
        if let Some(place) = spent
            .get(due)
            .or(end.as_ref().filter(|_| spent.len() < due))
        {
            report.examined(Check::Threshold, 1);
            let what = format!(
                "`dp.spent` stands {} times, {due} times is right",
                spent.len()
            );
            report.find(Check::Threshold, log.at(place), what, LEFT_OUT);
        }
        for event in spent {
            let Some(Body::DpSpent(body)) = event.body() else {
                continue;
            };
            report.examined(Check::Threshold, 1);
            let account = Noise::of(contract)
                .ok_or("the contract does not say how much noise is added")
                .and_then(|noise| account(&noise, body));
            match account {
                Err(what) => report.find(Check::Threshold, log.at(event), what.into(), ACCOUNT),
                Ok(total) => {
                    if let Some((most, delta)) = limit(log)
                        && let of = epsilon(orders().zip(total), delta)
                        && of > most
                        && !alike(of, most)
                    {
                        let what = format!("epsilon {of:.4} of all jobs, {most} is allowed");
                        report.find(Check::Threshold, log.at(event), what, LIMIT);
                    }
                }
            }
        }
    }
}

/// Divergences of all jobs, if the account is right.
fn account(noise: &Noise, said: &DpSpent) -> Result<Vec<f64>, &'static str> {
    let (Some(job), Some(before)) = (numbers(&said.job), numbers(&said.before)) else {
        return Err("`job` and `before` are no divergences of 345 orders");
    };
    let value = |text: &str| number(text).ok_or("a number is none");
    if !alike(value(&said.delta)?, noise.delta) {
        return Err("`delta` is not the contract's");
    }
    let whole: Vec<(f64, f64)> = (2..=256)
        .map(|order| (f64::from(order), noise.training(order)))
        .collect();
    let own = |order: u32| match order {
        ..=10 => job.get(FIRST_WHOLE + 10 * (order as usize - 2)),
        _ => job.get(order as usize + ORDERS - 257),
    };
    let right = (2u32..).zip(&whole).all(|(order, (alpha, training))| {
        let of = training.max(noise.evaluation(*alpha));
        own(order).is_some_and(|said| alike(*said, of))
    });
    if !right {
        return Err("`job` is not what so much noise gives");
    }
    let falls = |curve: &[f64]| curve.windows(2).any(|w| w[1] < w[0] && !alike(w[0], w[1]));
    if falls(&job) || falls(&before) {
        return Err("divergences fall with their order");
    }
    let of = |curve: &[f64]| epsilon(orders().zip(curve.iter().copied()), noise.delta);
    let evaluation: Vec<f64> = orders().map(|alpha| noise.evaluation(alpha)).collect();
    if !alike(value(&said.evaluation)?, of(&evaluation)) {
        return Err("`evaluation` is not what so much noise gives");
    }
    // at most what whole orders give, at least what the bounds between them do
    let training = value(&said.training)?;
    let most = epsilon(whole.iter().copied(), noise.delta);
    let (of_job, below) = (of(&job), training.max(of(&evaluation)));
    if (training > most && !alike(training, most)) || (below > of_job && !alike(below, of_job)) {
        return Err("`training` is not what so much noise gives");
    }
    let total: Vec<f64> = job.iter().zip(&before).map(|(a, b)| a + b).collect();
    match alike(value(&said.total)?, of(&total)) {
        true => Ok(total),
        false => Err("`total` is not the sum of this job and those before"),
    }
}

/// The most that all jobs may spend by the party's own policy, and the delta that it is meant for.
fn limit(log: &Log<'_>) -> Option<(f64, f64)> {
    let pieces = log.events.iter().filter_map(|event| match event.body()? {
        Body::PolicyStated(piece) => Some(piece),
        _ => None,
    });
    let mut text = String::new();
    for PolicyStated {
        part, text: piece, ..
    } in pieces
    {
        if *part == 1 {
            text.clear();
        }
        text.push_str(piece);
    }
    let policy: Value = serde_json::from_str(&text).ok()?;
    let rules = policy.get("rules")?.as_array()?;
    let rule = rules.iter().find(|rule| rule["id"] == "privacy")?;
    let (most, delta) = rule["number"]
        .as_str()?
        .strip_prefix("epsilon ")?
        .split_once(" at delta ")?;
    Some((number(most)?, number(delta)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_sampled_rows_diverge_as_published() {
        // order 2 in closed form: log(1 + q² (exp(1 / σ²) - 1))
        for (q, sigma) in [(0.01_f64, 1.1_f64), (0.1, 2.0), (0.5, 0.7)] {
            let exact = (q * q * (1.0 / (sigma * sigma)).exp_m1()).ln_1p();
            assert!((one_sum(2, q, sigma) - exact).abs() < 1e-12, "{q} {sigma}");
        }
        // Google's dp-accounting 0.6.0 with the orders 2 to 256
        let whole = (2..=256).map(|k| (f64::from(k), 10_000.0 * one_sum(k, 0.01, 1.1)));
        assert!((epsilon(whole, 1e-5) - 5.654_308_000_149_514).abs() < 1e-6);
    }
}
