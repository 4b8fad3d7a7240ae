//! Writes a sample report from simulated scores, so that the page can be looked at without a job:
//! `cargo run -p paripassu-model --example report_sample -- OUT_DIR`.
//!
//! Everything in it is made up by a seeded generator; no figure in it is a result.

use std::path::PathBuf;

use paripassu_model::report::{
    self, Agreement, Band, CalibrationPoint, Coefficient, Coefficients, Convergence,
    ConvergenceStep, Curves, Data, Disclosure, Evaluation, Fact, Job, KsPoint, Machine, Metric,
    ModelKind, Party, Phase, Report, RocPoint, Sample, ScoreHistogram, Security, Solver, Traffic,
    Uplift,
};

fn main() -> Result<(), report::ReportError> {
    let out = std::env::args_os().nth(1).map_or_else(
        || std::env::temp_dir().join("paripassu-report-sample"),
        PathBuf::from,
    );
    let bank = bank_report(9_000);
    println!("{}", report::write(&out.join("bank"), &bank)?.display());
    println!(
        "{}",
        report::write(&out.join("partner"), &partner_report())?.display()
    );
    let summary = report::summary_rows(&bank);
    println!("{}", summary.header.join(" | "));
    for row in summary.rows {
        println!("{}", row.join(" | "));
    }
    println!("{}", summary.verdict);
    Ok(())
}

/// A small seeded generator (SplitMix64); good enough for pictures.
struct Dice(u64);

impl Dice {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Rows as (probability of bad, is bad), worst first.
fn ranked(pd: &[f64], bad: &[bool]) -> Vec<(f64, bool)> {
    let mut rows: Vec<_> = pd.iter().copied().zip(bad.iter().copied()).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    rows
}

fn score(pd: f64) -> f64 {
    let factor = 20.0 / std::f64::consts::LN_2;
    600.0 - factor * 30f64.ln() + factor * ((1.0 - pd) / pd).ln()
}

fn evaluate(kind: ModelKind, name: &str, rows: &[(f64, bool)]) -> (Evaluation, Curves) {
    let n = rows.len() as f64;
    let bads = rows.iter().filter(|r| r.1).count() as f64;
    let goods = n - bads;
    let (mut auc, mut seen_bad, mut ks) = (0.0, 0.0, 0.0f64);
    let mut points = vec![KsPoint::default()];
    for (i, row) in rows.iter().enumerate() {
        if row.1 {
            seen_bad += 1.0
        } else {
            auc += seen_bad
        }
        let seen = i as f64 + 1.0;
        let at = KsPoint {
            population: seen / n,
            bad: seen_bad / bads,
            good: (seen - seen_bad) / goods,
        };
        ks = ks.max((at.bad - at.good).abs());
        points.push(at);
    }
    let auc = auc / (bads * goods);
    let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
    let variance =
        auc * (1.0 - auc) + (bads - 1.0) * (q1 - auc * auc) + (goods - 1.0) * (q2 - auc * auc);
    let loss = |r: &(f64, bool)| -(if r.1 { r.0 } else { 1.0 - r.0 }).ln();
    let brier = |r: &(f64, bool)| (r.0 - f64::from(r.1)).powi(2);
    let tenth = rows.len().div_ceil(10);
    let caught = rows.iter().take(tenth).filter(|r| r.1).count() as f64;
    let evaluation = Evaluation {
        kind,
        name: name.into(),
        auc: Some(auc),
        auc_se: Some((variance / (bads * goods)).sqrt()),
        ks: Some(ks),
        gini: Some(2.0 * auc - 1.0),
        log_loss: Some(rows.iter().map(loss).sum::<f64>() / n),
        brier: Some(rows.iter().map(brier).sum::<f64>() / n),
        capture: Some(caught / bads),
        capture_at: Some(tenth as f64 / n),
    };
    (evaluation, curves(kind, name, rows, points))
}

fn curves(kind: ModelKind, name: &str, rows: &[(f64, bool)], ks: Vec<KsPoint>) -> Curves {
    let (mut bands, mut calibration) = (Vec::new(), Vec::new());
    for part in rows.chunks(rows.len().div_ceil(10)) {
        let bads = part.iter().filter(|r| r.1).count();
        let n = part.len() as f64;
        let mean_pd = part.iter().map(|r| r.0).sum::<f64>() / n;
        let (p, z) = (bads as f64 / n, 1.96f64);
        let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        bands.push(Band {
            score_low: score(part[0].0),
            score_high: score(part[part.len() - 1].0),
            rows: part.len() as u64,
            bads: bads as u64,
            mean_pd,
        });
        calibration.push(CalibrationPoint {
            rows: part.len() as u64,
            predicted: mean_pd,
            observed: p,
            low: centre - half,
            high: centre + half,
        });
    }
    let low = (score(rows[0].0) / 5.0).floor() * 5.0;
    let high = (score(rows[rows.len() - 1].0) / 5.0).ceil() * 5.0;
    let bins = ((high - low) / 5.0) as usize;
    let mut scores = ScoreHistogram {
        label: "score (600 at good:bad odds 30:1, 20 points double the odds)".into(),
        edges: (0..=bins).map(|i| low + 5.0 * i as f64).collect(),
        good: vec![0; bins],
        bad: vec![0; bins],
    };
    for row in rows {
        let bin = (((score(row.0) - low) / 5.0) as usize).min(bins - 1);
        if row.1 {
            scores.bad[bin] += 1
        } else {
            scores.good[bin] += 1
        }
    }
    Curves {
        kind,
        name: name.into(),
        roc: ks
            .iter()
            .map(|p| RocPoint {
                fpr: p.good,
                tpr: p.bad,
            })
            .collect(),
        ks,
        bands,
        calibration,
        scores: Some(scores),
    }
}

fn parties() -> Vec<Party> {
    vec![
        Party {
            id: "bank".into(),
            name: "Example bank".into(),
            role: "label holder".into(),
            rows: Some(41_260),
            columns: Some(9),
        },
        Party {
            id: "partner".into(),
            name: "Example partner".into(),
            role: "feature holder".into(),
            rows: None,
            columns: Some(6),
        },
    ]
}

fn coefficients(owner: &str, rows: &[(&str, f64, f64, f64)]) -> Coefficients {
    let row = |&(name, mean, sd, coef): &(&str, f64, f64, f64)| {
        let se = 0.021 + 0.013 * (mean.abs() + 1.0).ln() / 12.0;
        let z = coef / se;
        Coefficient {
            name: name.into(),
            mean,
            sd,
            coef,
            se: Some(se),
            z: Some(z),
            p: Some((-0.717 * z.abs() - 0.416 * z * z).exp()),
        }
    };
    Coefficients {
        owner: owner.into(),
        intercept: (owner == "bank").then_some(-1.4702),
        rows: rows.iter().map(row).collect(),
    }
}

/// What both copies share.
fn common() -> Report {
    let fact = |name: &str, value: &str| Fact {
        name: name.into(),
        value: value.into(),
    };
    Report {
        job: Job {
            id: "job-7f3a91c2".into(),
            title: "Card default, bank with partner".into(),
            purpose: "Simulated scores, to show the layout of a report. No figure on this page is \
                      a result."
                .into(),
            legal_basis: "contract".into(),
            contract_digest: "9d0c2b7e51f84c36a1e0557d4b8f2e93c6107aa9d8235e4f7b1c60d29e8f3a54"
                .into(),
            released_at: "2026-01-15T10:32:07Z".into(),
        },
        parties: parties(),
        data: Data {
            dataset: "simulated".into(),
            split: "70 : 30 by hash of the id".into(),
            seed: "186".into(),
            bad_definition: "90 days past due or worse within 12 months".into(),
            matched: "30,000 to 30,999 (declared bucket of 1,000)".into(),
            ..Data::default()
        },
        solver: Solver {
            model: "logistic regression, vertical split".into(),
            method: "full batch, Newton type, secret Hessian from a subsample".into(),
            l2: Some(1.0),
            l1: None,
            passes: Some(8),
            converged: Some(true),
            sigmoid_terms: Some(16),
            sigmoid_range: Some(16.0),
            sigmoid_max_error: Some(3.1e-5),
            fixed_point_bits: Some(20),
            facts: vec![fact(
                "Missing values",
                "training mean, with an indicator column",
            )],
        },
        disclosures: [
            ("matched rows", "rounded up to 1,000", "both parties", 1, 1),
            ("converged, yes or no", "1 bit a pass", "all nodes", 12, 8),
            ("own coefficients", "9 x 1", "Example bank", 1, 1),
            ("own coefficients", "6 x 1", "Example partner", 1, 1),
            ("test scores", "9,000 x 1", "Example bank", 1, 1),
            ("edge alarm", "1 bit", "all nodes", 1, 0),
        ]
        .map(|(what, shape, to, declared, happened)| Disclosure {
            what: what.into(),
            shape: shape.into(),
            to: to.into(),
            declared: Some(declared),
            happened,
        })
        .to_vec(),
        traffic: [
            ("Example partner", "align", 2_640_512, 2_641_024, 42, 42),
            ("Example partner", "train", 48_213_760, 48_213_760, 196, 196),
            ("Example partner", "evaluate", 144_384, 72_192, 4, 3),
            ("helper", "prepare", 1_536, 86_016_220, 3, 91),
        ]
        .map(|(peer, step, sent, received, out, inn)| Traffic {
            peer: peer.into(),
            step: step.into(),
            sent_bytes: sent,
            received_bytes: received,
            sent_frames: out,
            received_frames: inn,
        })
        .to_vec(),
        convergence: Some(Convergence {
            step: "pass".into(),
            quantity: String::new(),
            rows: [(1.9, false), (2.8, false), (3.6, true), (2.4, true)]
                .map(|(seconds, fine)| ConvergenceStep {
                    seconds: Some(seconds),
                    fine,
                    value: None,
                })
                .to_vec(),
            note: "Wall time of each pass.".into(),
        }),
        timing: [
            ("aligning", 3.41),
            ("preparing", 0.87),
            ("training", 12.64),
            ("evaluating", 0.52),
            ("release", 0.09),
        ]
        .map(|(name, seconds)| Phase {
            name: name.into(),
            seconds,
        })
        .to_vec(),
        security: Security::helper("coordinator"),
        machine: Machine {
            version: format!("paripassu {}", env!("CARGO_PKG_VERSION")),
            revision: "not recorded".into(),
            machine: "2 cores, x86_64, Linux".into(),
        },
        ..Report::default()
    }
}

/// The label holder's copy, with `rows` simulated held-out rows.
pub(crate) fn bank_report(rows: usize) -> Report {
    let mut dice = Dice(186);
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let (mut alone, mut joint, mut pooled, mut bad) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rows {
        let (own, other) = (dice.normal(), dice.normal());
        let z = -1.55 + 0.75 * own + 0.85 * other;
        bad.push(dice.uniform() < sigmoid(z + 0.15 * dice.normal()));
        alone.push(sigmoid(-1.33 + 0.66 * own));
        joint.push(sigmoid(z));
        pooled.push(sigmoid(z + 0.002 * dice.normal()));
    }
    let mut report = common();
    report.receiver = report.parties[0].clone();
    report.data.test = Sample {
        rows: Some(rows as u64),
        bads: Some(bad.iter().filter(|b| **b).count() as u64),
    };
    report.data.train = Sample {
        rows: Some(21_412),
        bads: Some(4_747),
    };
    for (kind, name, pd) in [
        (ModelKind::Alone, "bank alone", &alone),
        (ModelKind::Joint, "joint", &joint),
        (ModelKind::Pooled, "pooled plaintext", &pooled),
    ] {
        let (evaluation, curves) = evaluate(kind, name, &ranked(pd, &bad));
        report.comparison.push(evaluation);
        report.curves.push(curves);
    }
    let (a, j) = (report.comparison[0].clone(), report.comparison[1].clone());
    type Read = fn(&Evaluation) -> Option<f64>;
    let measures: [(Metric, Read, f64); 5] = [
        (Metric::Auc, |e| e.auc, 0.0064),
        (Metric::Ks, |e| e.ks, 0.0121),
        (Metric::Capture, |e| e.capture, 0.0118),
        (Metric::LogLoss, |e| e.log_loss, 0.0049),
        (Metric::Brier, |e| e.brier, 0.0017),
    ];
    for (metric, read, se) in measures {
        let delta = read(&j).unwrap_or(f64::NAN) - read(&a).unwrap_or(f64::NAN);
        let method = if metric == Metric::Auc {
            "DeLong, paired"
        } else {
            "paired bootstrap"
        };
        report.uplift.push(Uplift {
            metric,
            baseline: a.name.clone(),
            challenger: j.name.clone(),
            delta,
            low: Some(delta - 1.96 * se),
            high: Some(delta + 1.96 * se),
            method: method.into(),
        });
    }
    report.agreement = Some(Agreement {
        coef_max_abs_diff: Some(2.3e-4),
        auc_abs_diff: Some(4.1e-6),
        ks_abs_diff: Some(1.2e-4),
    });
    report.coefficients = Some(coefficients(
        "bank",
        &[
            ("limit", 167_472.08, 129_975.07, -0.0674),
            ("age", 35.5143, 9.2376, 0.0497),
            ("months_on_book", 41.2, 27.9, -0.1213),
            ("repayment_status_last_month", -0.01586, 1.1252, 0.6424),
            ("repayment_status_two_months_ago", -0.1303, 1.1993, 0.1122),
            ("bill_last_month", 51_178.35, 73_521.85, -0.3476),
            ("bill_two_months_ago", 49_245.98, 71_275.41, 0.1298),
            ("employment=self_employed", 0.1432, 0.3503, 0.0871),
            ("employment=missing", 0.0211, 0.1437, -0.0192),
        ],
    ));
    report
}

/// The partner's copy: nothing of the evaluation is released to it.
pub(crate) fn partner_report() -> Report {
    let mut report = common();
    report.receiver = report.parties[1].clone();
    report.parties[0].rows = None;
    report.parties[1].rows = Some(1_204_118);
    for entry in &mut report.traffic {
        if entry.peer == "Example partner" {
            entry.peer = "Example bank".into();
        }
    }
    report.coefficients = Some(coefficients(
        "partner",
        &[
            ("prepaid_topups_90d", 3.412, 4.871, 0.2211),
            ("late_bills_12m", 0.8312, 1.672, 0.4127),
            ("tenure_months", 51.77, 33.42, -0.3024),
            ("roaming_share", 0.00312, 0.01871, -0.0561),
            ("device_price", 8_412_300.0, 5_120_440.0, -0.1187),
            ("payment_channel=cash", 0.3871, 0.4871, 0.1504),
        ],
    ));
    report
}
