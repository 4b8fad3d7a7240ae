//! Validation figures against scikit-learn, scipy and pandas: see `docs/spec/validation_figures.py`.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use paripassu_model::metrics::{
    Interval, Sample, Scored, bootstrap, score_stability, stability_index,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
    stability: Stability,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    labels: Vec<u8>,
    pd: Vec<f64>,
    other: Vec<f64>,
    auc: f64,
    auc_se: f64,
    ks: f64,
    gini: f64,
    log_loss: f64,
    brier: f64,
    delong: [f64; 3],
    hosmer_lemeshow: Option<[f64; 4]>,
    recalibration: Option<[f64; 5]>,
    ece: f64,
    top: Vec<(usize, f64)>,
    gains: Vec<[f64; 4]>,
    bootstrap: Resampled,
}

#[derive(Deserialize)]
struct Resampled {
    resamples: usize,
    model: [[f64; 4]; 5],
    delta: [[f64; 4]; 5],
}

#[derive(Deserialize)]
struct Stability {
    before: Vec<f64>,
    after: Vec<f64>,
    index: f64,
    bins: Vec<(Vec<u64>, Vec<u64>, f64)>,
}

fn expected() -> Expected {
    serde_json::from_str(include_str!("validation_expected.json")).unwrap()
}

#[track_caller]
fn close(case: &str, what: &str, got: f64, want: f64) {
    let far = (got - want).abs();
    assert!(
        far <= 1e-9 * want.abs().max(1.0),
        "{case}, {what}: {got}, expected {want}"
    );
}

#[test]
fn figures_equal_independent_implementations() {
    for c in expected().cases {
        let (a, b) = (
            Scored::new(&c.labels, &c.pd).unwrap(),
            Scored::new(&c.labels, &c.other).unwrap(),
        );
        let m = a.metrics();
        for (what, got, want) in [
            ("auc", m.auc, c.auc),
            ("auc_se", m.auc_se, c.auc_se),
            ("ks", m.ks, c.ks),
            ("gini", m.gini, c.gini),
            ("log_loss", m.log_loss, c.log_loss),
            ("brier", m.brier, c.brier),
            ("ece", a.calibration_error(10).unwrap(), c.ece),
        ] {
            close(&c.name, what, got, want);
        }
        let delta = a.auc_over(&b).unwrap();
        for (got, want) in [delta.delta, delta.se, delta.p].into_iter().zip(c.delong) {
            close(&c.name, "delong", got, want);
        }
        for (top, bads) in &c.top {
            let got = a.top(*top).unwrap();
            close(&c.name, "top", got.bads, *bads);
            close(&c.name, "precision", got.precision, bads / *top as f64);
        }
        let gains = a.gains_table(10).unwrap();
        assert_eq!(gains.len(), c.gains.len(), "{}", c.name);
        for (got, want) in gains.iter().zip(&c.gains) {
            let got = [got.rows as f64, got.bads as f64, got.min_pd, got.max_pd];
            assert_eq!(got, *want, "{}", c.name);
        }
    }
}

#[test]
fn calibration_equals_independent_implementations() {
    for c in expected().cases {
        let a = Scored::new(&c.labels, &c.pd).unwrap();
        match c.hosmer_lemeshow {
            None => assert!(
                a.hosmer_lemeshow(10, Sample::HeldOut).is_err(),
                "{}",
                c.name
            ),
            Some([groups, chi, held_out, training]) => {
                let got = a.hosmer_lemeshow(10, Sample::HeldOut).unwrap();
                assert_eq!(got.groups as f64, groups, "{}", c.name);
                close(&c.name, "chi-squared", got.chi_squared, chi);
                close(&c.name, "p held out", got.p, held_out);
                let got = a.hosmer_lemeshow(10, Sample::Training).unwrap();
                close(&c.name, "p training", got.p, training);
            }
        }
        let got = a.recalibration();
        assert_eq!(
            got.is_some(),
            c.recalibration.is_some(),
            "{}: {got:?}",
            c.name
        );
        if let (Some(got), Some(want)) = (got, c.recalibration) {
            let got = [
                got.intercept,
                got.intercept_se,
                got.slope,
                got.slope_se,
                got.in_the_large,
            ];
            for (what, (got, want)) in ["a", "a se", "b", "b se", "large"]
                .iter()
                .zip(got.into_iter().zip(want))
            {
                close(&c.name, what, got, want);
            }
        }
    }
}

#[test]
fn resampled_intervals_equal_an_independent_implementation() {
    for c in expected().cases {
        let (a, b) = (
            Scored::new(&c.labels, &c.pd).unwrap(),
            Scored::new(&c.labels, &c.other).unwrap(),
        );
        let asked = if c.labels.len() == 40 { 20 } else { 60 };
        let (own, delta) = bootstrap(&a, &b, asked, 7).unwrap();
        assert_eq!(own.resamples, c.bootstrap.resamples, "{}", c.name);
        for (got, want) in [(own, c.bootstrap.model), (delta, c.bootstrap.delta)] {
            let got = [got.auc, got.ks, got.log_loss, got.brier, got.capture];
            for (k, (Interval { value, se, ci95 }, want)) in got.into_iter().zip(want).enumerate() {
                for (got, want) in [value, se, ci95[0], ci95[1]].into_iter().zip(want) {
                    close(&c.name, &format!("figure {k}"), got, want);
                }
            }
        }
    }
}

#[test]
fn stability_equals_an_independent_implementation() {
    let s = expected().stability;
    let got = score_stability(&s.before, &s.after, 10).unwrap();
    close("scores", "index", got.index, s.index);
    for (expected, actual, index) in s.bins {
        let got = stability_index(&expected, &actual).unwrap();
        close("bins", "index", got.index, index);
    }
}

/// Resampling and DeLong's formula are two ways to one number.
#[test]
fn resampled_errors_are_near_those_in_closed_form() {
    let case = &expected().cases[0];
    let (a, b) = (
        Scored::new(&case.labels, &case.pd).unwrap(),
        Scored::new(&case.labels, &case.other).unwrap(),
    );
    let (own, delta) = bootstrap(&a, &b, 2000, 186).unwrap();
    for (resampled, exact) in [
        (own.auc, a.auc().se),
        (delta.auc, a.auc_over(&b).unwrap().se),
    ] {
        let ratio = resampled.se / exact;
        assert!((0.9..1.1).contains(&ratio), "{resampled:?}, {exact}");
        let [low, high] = resampled.ci95;
        assert!(low < resampled.value && resampled.value < high);
        assert!((0.85..1.15).contains(&((high - low) / (3.92 * exact))));
    }
}
