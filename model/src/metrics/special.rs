//! The few special functions the figures need.

/// Complementary error function, relative error below 1e-12 where it is not below 1e-290.
fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    // erfc(x) = Q(1/2, x^2)
    gamma_upper(0.5, x * x)
}

/// Two-sided p of a standard normal: P(|Z| >= |z|).
pub fn normal_two_sided(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// P(X >= x) for X chi-squared with `degrees` degrees of freedom.
pub fn chi_squared_upper_tail(x: f64, degrees: usize) -> f64 {
    if x <= 0.0 || degrees == 0 {
        return 1.0;
    }
    gamma_upper(degrees as f64 / 2.0, x / 2.0)
}

/// Wilson's 95 % score interval of `hits` in `rows`; `[0, 1]` for no rows.
pub fn wilson_interval(hits: usize, rows: usize) -> [f64; 2] {
    if rows == 0 {
        return [0.0, 1.0];
    }
    let (n, z) = (rows as f64, 1.96);
    let share = hits as f64 / n;
    let middle = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    [
        ((middle - half) / scale).max(0.0),
        ((middle + half) / scale).min(1.0),
    ]
}

/// Natural logarithm of the gamma function for x > 0 (Lanczos, g = 7, nine terms).
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = TERMS
        .iter()
        .enumerate()
        .fold(0.999_999_999_999_809_9, |sum, (k, c)| {
            sum + c / (x + k as f64 + 1.0)
        });
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// Regularised upper incomplete gamma function Q(a, x): its series below a + 1, its continued
/// fraction (modified Lentz) above.
fn gamma_upper(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if !x.is_finite() {
        return 0.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term.abs() > sum.abs() * 1e-16 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return (1.0 - front * sum).clamp(0.0, 1.0);
    }
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut value = d;
    for k in 1..10_000 {
        let k = f64::from(k);
        let an = -k * (k - a);
        b += 2.0;
        d = an * d + b;
        d = 1.0 / if d.abs() < TINY { TINY } else { d };
        c = b + an / c;
        c = if c.abs() < TINY { TINY } else { c };
        let step = d * c;
        value *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (front * value).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64) {
        assert!(
            (got - want).abs() <= 1e-10 * want.abs().max(1e-3),
            "{got} is not {want}"
        );
    }

    // Expected values: published tables and erfc in closed form, to 12 digits.
    #[test]
    fn normal_tail_matches_tables() {
        close(normal_two_sided(0.0), 1.0);
        close(normal_two_sided(1.0), 0.317_310_507_863);
        close(normal_two_sided(-1.959_963_984_540), 0.05);
        close(normal_two_sided(5.0), 5.733_031_437_58e-7);
    }

    #[test]
    fn chi_squared_tail_matches_tables() {
        // Two degrees of freedom: exp(-x / 2).
        close(chi_squared_upper_tail(3.0, 2), (-1.5f64).exp());
        close(chi_squared_upper_tail(40.0, 2), (-20.0f64).exp());
        // One degree: the normal's tail.
        close(chi_squared_upper_tail(4.0, 1), 0.045_500_263_896_4);
        // Four degrees: exp(-x/2) (1 + x/2).
        close(chi_squared_upper_tail(9.0, 4), (-4.5f64).exp() * 5.5);
        close(chi_squared_upper_tail(0.0, 8), 1.0);
    }

    #[test]
    fn wilson_interval_matches_hand_calculation() {
        let [low, high] = wilson_interval(10, 100);
        assert!(
            (low - 0.055_229).abs() < 1e-5 && (high - 0.174_366).abs() < 1e-5,
            "{low} {high}"
        );
        assert_eq!(wilson_interval(0, 0), [0.0, 1.0]);
        assert_eq!(wilson_interval(0, 50)[0], 0.0);
    }
}
