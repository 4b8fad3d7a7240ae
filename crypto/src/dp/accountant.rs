//! What noise is worth: Rényi differential privacy of Gaussian sums, with Poisson sampling of rows.
//!
//! Neighbours are data sets with and without one customer. All of this holds of the discrete Gaussian as of the
//! continuous one, for whole-numbered sums and whole-numbered orders α: a shift by a whole number maps it to
//! itself, so `E[(Q/P)^α] = exp((α² - α) Δ² / 2σ²)` exactly, and its mirror image is itself, which is what the proof
//! for sampled rows needs. Orders that are no whole numbers would give slightly less for little noise; they are
//! not used because for them this equation is not exact.
//!
//! **Source.** Rényi divergence of the sampled Gaussian: Mironov, Talwar and Zhang, 2019 (arXiv 1908.10530),
//! section 3.3. From Rényi to (ε, δ): Canonne, Kamath and Steinke 2020, proposition 12. zCDP: Bun and Steinke 2016.
//! Noise as a sum of n discrete Gaussians of variance σ²/n: Kairouz, Liu and Steinke, ICML 2021, theorem 1: for
//! σ²/n of 2^20 and more (below it is refused) the divergence is larger by less than e^-10000.

/// The orders that are looked at: 2 to 256.
pub const ORDERS: std::ops::RangeInclusive<u32> = 2..=256;

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
    #[error("{got} divergences: expected one for each order from 2 to 256")]
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
        Self(vec![0.0; ORDERS.count()])
    }
}

fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    match low == f64::NEG_INFINITY {
        true => high,
        false => high + (low - high).exp().ln_1p(),
    }
}

/// Divergence of order `order` of one sum with noise of `sigma` sensitivities over rows taken with chance `q`.
fn one_step(order: u32, q: f64, sigma: f64) -> f64 {
    let alpha = f64::from(order);
    if q >= 1.0 {
        return alpha / (2.0 * sigma * sigma);
    }
    // log Σ_k C(α, k) (1 - q)^(α - k) q^k exp((k² - k) / 2σ²)
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
    (sum / (alpha - 1.0)).max(0.0)
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
        Ok(Self(ORDERS.map(of).collect()))
    }

    /// As it was kept.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn from_divergences(by_order: Vec<f64>) -> Result<Self, AccountError> {
        if by_order.len() != ORDERS.count() {
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
        let of = |(order, divergence): (u32, &f64)| {
            let alpha = f64::from(order);
            divergence + (-1.0 / alpha).ln_1p() - (delta.ln() + alpha.ln()) / (alpha - 1.0)
        };
        let least = ORDERS.zip(&self.0).map(of).fold(f64::INFINITY, f64::min);
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

    /// q, σ, steps, δ; ε by dp-accounting 0.6.0 (`RdpAccountant`) with orders 2 to 256; the same with its own
    /// default orders, some of which are no whole numbers. Made by docs/spec/dp_accounting.py.
    const PUBLISHED: [(f64, f64, u64, f64, f64, f64); 11] = [
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
    ];

    #[test]
    fn epsilons_are_those_of_a_published_accountant() {
        for (q, sigma, steps, delta, same_orders, all_orders) in PUBLISHED {
            let got = Spent::on_sums(q, sigma, steps).unwrap().epsilon(delta);
            assert!(
                (got / same_orders - 1.0).abs() < 1e-6,
                "{q} {sigma}: {got} {same_orders}"
            );
            // fractional orders gain where noise is below one sensitivity: then ours is the larger
            let least_noise = sigma >= 1.0;
            assert!(got > 0.99 * all_orders, "{q} {sigma}: {got} {all_orders}");
            assert!(
                !least_noise || got < 1.01 * all_orders,
                "{q} {sigma}: {got} {all_orders}"
            );
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
        assert!(Spent::from_divergences(vec![-1.0; 255]).is_err());
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
