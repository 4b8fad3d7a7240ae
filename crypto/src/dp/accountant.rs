//! What noise is worth: Rényi differential privacy of Gaussian sums, with Poisson sampling of rows.
//!
//! Neighbours are data sets with and without one customer. All of this holds of the discrete Gaussian as of the
//! continuous one, for whole-numbered sums:
//!
//! - Without sampling, for every order α: `E[(Q/P)^α]` is at most `exp((α² - α) Δ² / 2σ²)`, with equality for whole
//!   orders. Its mirror image is itself, which is what the proof for sampled rows needs.
//! - With sampling, for whole orders: expand the power; each term is one of the above, exactly.
//! - With sampling, for other orders: `P(x) (1 - q + q exp((2⟨x, Δ⟩ - Δ²) / 2σ²))^α` is analytic where
//!   `|⟨Im x, Δ⟩| < π σ² / 2`, because its base has a positive real part there, and at most `exp(|Im x|² / 2σ²)` times its
//!   real values. So by Poisson's formula its sum over whole numbers is its integral but for a factor of
//!   `1 + 3 n exp(π² σ² / 8 - π² σ² / Δ)` with σ in units of Δ and Δ in whole numbers, for n numbers: with 2^16 units
//!   and σ of 0.3 or more below `1 + e^-50000`. The integral is that of the continuous Gaussian.
//!
//! **Source.** Rényi divergence of the sampled Gaussian: Mironov, Talwar and Zhang, 2019 (arXiv 1908.10530),
//! section 3.3; orders that are no whole numbers by the integral itself (trapezoids, whose error for such functions
//! falls exponentially) instead of its series. From Rényi to (ε, δ): Canonne, Kamath and Steinke 2020, proposition 12.
//! zCDP: Bun and Steinke 2016. Noise as a sum of n discrete Gaussians of variance σ²/n: Kairouz, Liu and Steinke,
//! ICML 2021, theorem 1: for σ²/n of 2^20 and more (below it is refused) the divergence is larger by less than e^-10000.

/// How many orders are looked at.
pub const ORDERS: usize = 345;

/// The orders: 1.1 to 10.9 by tenths, then 11 to 256.
fn orders() -> impl Iterator<Item = f64> {
    let tenths = (11u32..110).map(|tenth| f64::from(tenth) / 10.0);
    tenths.chain((11u32..=256).map(f64::from))
}

/// Why there is no account.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// A number that cannot be.
    #[error("{what} of {got} cannot be")]
    Parameter {
        /// Which.
        what: &'static str,
        /// What it was.
        got: f64,
    },
    /// Divergences of another number of orders.
    #[error("{got} divergences: expected one for each of {ORDERS} orders")]
    Orders {
        /// How many.
        got: usize,
    },
}

/// Rényi divergences spent, by order.
#[derive(Debug, Clone, PartialEq)]
pub struct Spent(Vec<f64>);

impl Default for Spent {
    fn default() -> Self {
        Self(vec![0.0; ORDERS])
    }
}

fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    match low == f64::NEG_INFINITY {
        true => high,
        false => high + (low - high).exp().ln_1p(),
    }
}

/// Divergence of order `alpha` of one sum with noise of `sigma` sensitivities over rows taken with chance `q`.
fn one_step(alpha: f64, q: f64, sigma: f64) -> f64 {
    if q >= 1.0 {
        return alpha / (2.0 * sigma * sigma);
    }
    let log = match alpha.fract() == 0.0 {
        true => log_moment_by_terms(alpha as u32, q, sigma),
        false => log_moment_by_integral(alpha, q, sigma),
    };
    (log / (alpha - 1.0)).max(0.0)
}

/// log Σ_k C(α, k) (1 - q)^(α - k) q^k exp((k² - k) / 2σ²)
fn log_moment_by_terms(order: u32, q: f64, sigma: f64) -> f64 {
    let alpha = f64::from(order);
    let (mut sum, mut log_choose) = (f64::NEG_INFINITY, 0.0);
    for k in 0..=order {
        let i = f64::from(k);
        let term = log_choose
            + (alpha - i) * (-q).ln_1p()
            + i * q.ln()
            + (i * i - i) / (2.0 * sigma * sigma);
        sum = log_add(sum, term);
        log_choose += ((alpha - i) / (i + 1.0)).ln();
    }
    sum
}

/// log ∫ N(u; 0, σ²) (1 - q + q exp((2u - 1) / 2σ²))^α du
fn log_moment_by_integral(alpha: f64, q: f64, sigma: f64) -> f64 {
    // what multiplies the error is exp(-π² σ² / step); its mass lies around 0 and up to α
    let step = (sigma / 8.0).min(sigma * sigma / 8.0);
    let (low, high) = (-12.0 * sigma, alpha + 12.0 * sigma);
    let norm = step.ln() - sigma.ln() - 0.5 * std::f64::consts::TAU.ln();
    let points = ((high - low) / step).ceil() as u32;
    let mut sum = f64::NEG_INFINITY;
    for i in 0..=points {
        let u = low + f64::from(i) * step;
        let base = log_add(
            (-q).ln_1p(),
            q.ln() + (2.0 * u - 1.0) / (2.0 * sigma * sigma),
        );
        sum = log_add(sum, norm - u * u / (2.0 * sigma * sigma) + alpha * base);
    }
    // roundings of the sum must not make it too small
    sum + 1e-12
}

impl Spent {
    /// `steps` sums with noise of standard deviation `sigma` (in lengths that one customer can change a sum by), each
    /// over rows taken with chance `sampling`.
    ///
    /// # Errors
    /// [`AccountError::Parameter`].
    pub fn on_sums(sampling: f64, sigma: f64, steps: u64) -> Result<Self, AccountError> {
        let wrong = |what, got| Err(AccountError::Parameter { what, got });
        if !(sampling > 0.0 && sampling <= 1.0) {
            return wrong("a chance", sampling);
        }
        if !(sigma.is_finite() && sigma > 0.0) {
            return wrong("a standard deviation", sigma);
        }
        let of = |order| one_step(order, sampling, sigma) * steps as f64;
        Ok(Self(orders().map(of).collect()))
    }

    /// As it was kept.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn from_divergences(by_order: Vec<f64>) -> Result<Self, AccountError> {
        if by_order.len() != ORDERS {
            return Err(AccountError::Orders {
                got: by_order.len(),
            });
        }
        match by_order.iter().find(|v| v.is_nan() || **v < 0.0) {
            Some(got) => Err(AccountError::Parameter {
                what: "a divergence",
                got: *got,
            }),
            None => Ok(Self(by_order)),
        }
    }

    /// To be kept.
    pub fn divergences(&self) -> &[f64] {
        &self.0
    }

    /// Both, of the same customers.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a + b).collect())
    }

    /// Either, of different customers.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .zip(&other.0)
                .map(|(a, b)| a.max(*b))
                .collect(),
        )
    }

    /// The least ε for this δ.
    pub fn epsilon(&self, delta: f64) -> f64 {
        let of = |(alpha, divergence): (f64, &f64)| {
            divergence + (-1.0 / alpha).ln_1p() - (delta.ln() + alpha.ln()) / (alpha - 1.0)
        };
        let least = orders().zip(&self.0).map(of).fold(f64::INFINITY, f64::min);
        least.max(0.0)
    }
}

/// ε of `steps` sums without sampling for this δ by zero-concentrated differential privacy, ρ = steps / 2σ²: a
/// plainer bound, never below that of [`Spent::epsilon`] by much.
pub fn zcdp_epsilon(sigma: f64, steps: u64, delta: f64) -> f64 {
    let rho = steps as f64 / (2.0 * sigma * sigma);
    rho + 2.0 * (rho * -delta.ln()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// q, σ, steps, δ; ε by dp-accounting 0.6.0 (`RdpAccountant`) with the orders 2 to 256; the same with its own
    /// default orders. Made by docs/spec/dp_accounting.py.
    const PUBLISHED: [(f64, f64, u64, f64, f64, f64); 17] = [
        (
            0.01,
            1.1,
            10_000,
            1e-5,
            5.654_308_000_149_514_5,
            5.632_010_670_081_592,
        ),
        // the MNIST example of TensorFlow Privacy: 256 of 60,000 rows, 60 epochs, noise 1.1
        (
            256.0 / 60_000.0,
            1.1,
            14_063,
            1e-5,
            2.597_079_519_656_661_6,
            2.596_655_529_521_983,
        ),
        (
            0.01,
            0.7,
            1_000,
            1e-5,
            5.684_078_683_694_455,
            5.423_257_444_041_017,
        ),
        (
            0.1,
            2.0,
            100,
            1e-6,
            2.915_592_905_738_108_7,
            2.914_173_762_058_215_5,
        ),
        (
            1.0,
            10.0,
            100,
            1e-6,
            5.222_428_660_953_289,
            5.221_539_631_154_417_5,
        ),
        (
            0.02,
            1.3,
            500,
            1e-6,
            2.158_171_277_695_811,
            2.157_367_765_597_210_8,
        ),
        (
            0.2,
            4.0,
            300,
            1e-5,
            4.182_401_188_891_25,
            4.177_824_535_260_727_5,
        ),
        (
            0.001,
            1.0,
            20_000,
            1e-6,
            1.101_579_191_986_126_6,
            1.101_579_191_986_126_6,
        ),
        (
            1.0,
            1.0,
            1,
            1e-5,
            4.752_728_336_819_822,
            4.728_507_067_217_623,
        ),
        (
            0.05,
            5.0,
            50,
            1e-8,
            0.397_525_891_528_262_7,
            0.397_950_879_491_307_5,
        ),
        (
            0.5,
            8.0,
            60,
            1e-6,
            2.390_469_287_451_297,
            2.387_027_951_952_884,
        ),
        (
            0.01,
            0.3,
            10,
            1e-5,
            30.527_073_595_090_85,
            18.430_978_093_751_385,
        ),
        (
            0.02,
            0.5,
            100,
            1e-5,
            12.247_898_298_299_937,
            11.592_651_821_945_63,
        ),
        (
            0.005,
            0.6,
            3000,
            1e-6,
            8.419_197_390_920_868,
            8.375_370_725_492_017,
        ),
        (
            0.05,
            0.8,
            200,
            1e-5,
            8.753_964_701_839_71,
            8.743_239_135_583_078,
        ),
        (
            0.01,
            0.9,
            5000,
            1e-6,
            6.394_706_141_175_291,
            6.357_415_187_091_843,
        ),
        (
            0.3,
            0.7,
            20,
            1e-6,
            21.863_260_949_378_425,
            21.863_166_248_370_497,
        ),
    ];

    #[test]
    fn epsilons_are_those_of_a_published_accountant() {
        for (q, sigma, steps, delta, whole_orders, all_orders) in PUBLISHED {
            let spent = Spent::on_sums(q, sigma, steps).unwrap();
            let got = spent.epsilon(delta);
            assert!(
                (got / all_orders - 1.0).abs() < 0.01,
                "{q} {sigma}: {got} {all_orders}"
            );
            // the same, where both look at the same orders
            let whole = orders().zip(spent.divergences()).map(|(order, d)| {
                if order.fract() == 0.0 {
                    *d
                } else {
                    f64::INFINITY
                }
            });
            let whole = Spent(whole.collect()).epsilon(delta);
            assert!(
                (whole / whole_orders - 1.0).abs() < 1e-6,
                "{q} {sigma}: {whole} {whole_orders}"
            );
            assert!(got <= whole && got < all_orders * (1.0 + 1e-6));
        }
    }

    #[test]
    fn the_integral_is_the_sum_of_terms_where_both_are_defined() {
        for (q, sigma) in [
            (0.5, 0.3),
            (0.01, 0.7),
            (0.3, 2.0),
            (1e-4, 100.0),
            (0.9, 5.0),
        ] {
            for order in [2u32, 3, 7, 10] {
                let terms = log_moment_by_terms(order, q, sigma);
                let integral = log_moment_by_integral(order.into(), q, sigma);
                assert!(
                    integral >= terms - 1e-15 && integral - terms < 1e-9 * terms + 2e-12,
                    "{q} {sigma} {order}: {integral} {terms}"
                );
            }
        }
    }

    #[test]
    fn two_jobs_cost_as_much_as_one_with_all_steps_and_other_customers_cost_nothing_more() {
        let part = |steps| Spent::on_sums(0.01, 1.2, steps).unwrap();
        let both = part(300).and(&part(700));
        assert!((both.epsilon(1e-6) - part(1000).epsilon(1e-6)).abs() < 1e-9);
        assert_eq!(part(300).or(&part(700)), part(700));
        let kept = Spent::from_divergences(both.divergences().to_vec()).unwrap();
        assert_eq!(kept, both);
        assert!(Spent::from_divergences(vec![0.0; 3]).is_err());
        assert!(Spent::from_divergences(vec![-1.0; ORDERS]).is_err());
        assert_eq!(Spent::default().epsilon(1e-6).max(0.1), 0.1);
    }

    #[test]
    fn zcdp_is_the_weaker_bound() {
        for (sigma, steps) in [(10.0, 100), (4.0, 3), (30.0, 1000)] {
            let plain = zcdp_epsilon(sigma, steps, 1e-6);
            let renyi = Spent::on_sums(1.0, sigma, steps).unwrap().epsilon(1e-6);
            assert!(renyi <= plain && plain < 1.2 * renyi, "{plain} {renyi}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(Spent::on_sums(0.0, 1.0, 1).is_err());
        assert!(Spent::on_sums(1.1, 1.0, 1).is_err());
        assert!(Spent::on_sums(0.1, 0.0, 1).is_err());
        assert!(Spent::on_sums(0.1, f64::NAN, 1).is_err());
    }
}
