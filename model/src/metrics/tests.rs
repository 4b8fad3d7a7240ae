use super::*;

/// Labels and PDs with ties, from a fixed linear congruential sequence.
fn sample(rows: usize, levels: u64) -> (Vec<u8>, Vec<f64>) {
    let mut state = 2026u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..rows)
        .map(|_| {
            let pd = (next() % levels) as f64 / levels as f64;
            let bad = (next() % 1000) as f64 / 1000.0 < pd;
            (u8::from(bad), pd)
        })
        .unzip()
}

#[test]
fn auc_equals_the_pairwise_definition() {
    let (labels, pd) = sample(300, 40);
    let scored = Scored::new(&labels, &pd).unwrap();
    let (mut wins, mut pairs) = (0.0, 0.0);
    for (i, &bad) in labels.iter().enumerate().filter(|(_, l)| **l == 1) {
        assert_eq!(bad, 1);
        for (j, _) in labels.iter().enumerate().filter(|(_, l)| **l == 0) {
            pairs += 1.0;
            wins += if pd[i] > pd[j] {
                1.0
            } else if pd[i] == pd[j] {
                0.5
            } else {
                0.0
            };
        }
    }
    assert!((scored.auc().auc - wins / pairs).abs() < 1e-12);
}

#[test]
fn figures_do_not_depend_on_row_order() {
    let (labels, pd) = sample(500, 25);
    let mut order: Vec<usize> = (0..500).collect();
    order.reverse();
    order.swap(3, 77);
    let labels2: Vec<u8> = order.iter().map(|&i| labels[i]).collect();
    let pd2: Vec<f64> = order.iter().map(|&i| pd[i]).collect();
    let (a, b) = (
        Scored::new(&labels, &pd).unwrap(),
        Scored::new(&labels2, &pd2).unwrap(),
    );
    let (ma, mb) = (a.metrics(), b.metrics());
    for (x, y) in [
        (ma.auc, mb.auc),
        (ma.auc_se, mb.auc_se),
        (ma.ks, mb.ks),
        (ma.log_loss, mb.log_loss),
    ] {
        assert!((x - y).abs() < 1e-12, "{x} {y}");
    }
    let (da, db) = (a.deciles(), b.deciles());
    assert_eq!(da.len(), db.len());
    assert!(
        da.iter()
            .zip(&db)
            .all(|(x, y)| x.bads == y.bads && x.rows == y.rows)
    );
}

#[test]
fn curves_agree_with_the_scalars() {
    let (labels, pd) = sample(1000, 60);
    let scored = Scored::new(&labels, &pd).unwrap();
    let m = scored.metrics();
    let roc = scored.roc();
    // The trapezium under the tie-grouped ROC curve is the AUC with ties one half.
    let area: f64 = roc
        .windows(2)
        .map(|w| (w[1].fpr - w[0].fpr) * (w[1].tpr + w[0].tpr) / 2.0)
        .sum();
    assert!((area - m.auc).abs() < 1e-12);
    let best = roc
        .iter()
        .map(|p| (p.tpr - p.fpr).abs())
        .fold(0.0, f64::max);
    assert!((best - m.ks).abs() < 1e-12);
    let thin = scored.ks_curve_thinned(10);
    assert!(thin.points.len() <= 11);
    let p = thin.points[thin.at];
    assert!(((p.bads_share - p.goods_share).abs() - m.ks).abs() < 1e-12);
    let gains = scored.gains(1000);
    assert_eq!((gains[0].rows_share, gains[0].capture), (0.0, 0.0));
    assert_eq!(
        gains.last().map(|g| (g.rows_share, g.capture)),
        Some((1.0, 1.0))
    );
    let bars = scored.histogram(20).unwrap();
    assert_eq!(bars.iter().map(|b| b.goods + b.bads).sum::<usize>(), 1000);
    assert_eq!(bars.iter().map(|b| b.bads).sum::<usize>(), m.bads);
    for bar in &bars {
        let inside = |p: f64| p >= bar.from && (p < bar.to || bar.to == bars[19].to);
        assert_eq!(
            bar.goods + bar.bads,
            pd.iter().filter(|p| inside(**p)).count()
        );
    }
}

#[test]
fn bands_keep_ties_together_and_add_up() {
    let (labels, pd) = sample(997, 7);
    let scored = Scored::new(&labels, &pd).unwrap();
    let bands = scored.deciles();
    assert!(
        bands.len() <= 7,
        "seven distinct PDs make at most seven bands"
    );
    assert_eq!(bands.iter().map(|b| b.rows).sum::<usize>(), 997);
    assert!(bands.windows(2).all(|w| w[0].min_pd > w[1].max_pd));
    let last = bands.last().unwrap();
    assert!((last.cumulative_capture - 1.0).abs() < 1e-12 && last.ks < 1e-12);

    let (labels, pd) = sample(1000, 1 << 30);
    let scored = Scored::new(&labels, &pd).unwrap();
    let bands = scored.deciles();
    assert_eq!(bands.len(), 10);
    assert!(bands.iter().all(|b| b.rows == 100));
    assert!((bands[0].cumulative_capture - scored.metrics().top_decile_capture).abs() < 1e-12);
}

#[test]
fn right_pds_pass_hosmer_lemeshow_and_wrong_ones_fail() {
    let (labels, pd) = sample(5000, 1 << 30);
    let right = Scored::new(&labels, &pd)
        .unwrap()
        .hosmer_lemeshow(10, Sample::HeldOut)
        .unwrap();
    assert_eq!((right.groups, right.degrees), (10, 10));
    assert!(right.p > 0.001, "{right:?}");
    let halved: Vec<f64> = pd.iter().map(|p| p / 2.0).collect();
    let wrong = Scored::new(&labels, &halved).unwrap();
    assert!(wrong.hosmer_lemeshow(10, Sample::HeldOut).unwrap().p < 1e-6);
    let off = wrong.calibration(10).unwrap();
    assert!(
        off.iter()
            .skip(1)
            .all(|b| b.observed > b.predicted && b.ci95[0] < b.observed)
    );
}

#[test]
fn paired_delta_of_a_model_with_itself_is_nothing() {
    let (labels, pd) = sample(400, 50);
    let a = Scored::new(&labels, &pd).unwrap();
    let same = a.auc_over(&a).unwrap();
    assert_eq!((same.delta, same.se, same.z, same.p), (0.0, 0.0, 0.0, 1.0));
    assert!(!same.is_significant());
    let flipped: Vec<f64> = pd.iter().map(|p| 1.0 - p).collect();
    let b = Scored::new(&labels, &flipped).unwrap();
    let delta = a.auc_over(&b).unwrap();
    assert!((delta.delta - (2.0 * a.auc().auc - 1.0)).abs() < 1e-12 && delta.is_significant());
    let other: Vec<u8> = labels.iter().map(|l| 1 - l).collect();
    let c = Scored::new(&other, &pd).unwrap();
    assert!(matches!(a.auc_over(&c), Err(MetricError::Unpaired { .. })));
}

#[test]
fn refuses_what_cannot_be_evaluated() {
    assert_eq!(
        Scored::new(&[0, 1], &[0.5]).unwrap_err(),
        MetricError::Length { labels: 2, pds: 1 }
    );
    assert_eq!(
        Scored::new(&[0, 2], &[0.5, 0.5]).unwrap_err(),
        MetricError::Label { row: 1, got: 2 }
    );
    assert!(matches!(
        Scored::new(&[0, 1], &[0.5, f64::NAN]).unwrap_err(),
        MetricError::Pd { row: 1, .. }
    ));
    assert_eq!(
        Scored::new(&[1, 1], &[0.5, 0.5]).unwrap_err(),
        MetricError::OneClass { bads: 2, goods: 0 }
    );
    assert_eq!(
        Scored::new(&[0, 1], &[0.5, 0.5])
            .unwrap()
            .histogram(0)
            .unwrap_err(),
        MetricError::Bins {
            expected: 1,
            got: 0
        }
    );
}

#[test]
fn stability_index_follows_the_definition() {
    let same = stability_index(&[10, 20, 30], &[100, 200, 300]).unwrap();
    assert!(same.index.abs() < 1e-15);
    assert_eq!(same.verdict, StabilityVerdict::Stable);
    let moved = stability_index(&[50, 50], &[80, 20]).unwrap();
    let want = 0.3 * (0.8f64 / 0.5).ln() - 0.3 * (0.2f64 / 0.5).ln();
    assert!((moved.index - want).abs() < 1e-12);
    assert_eq!(moved.verdict, StabilityVerdict::Act);
    let empty = stability_index(&[0, 100], &[10, 90]).unwrap();
    assert!(empty.bins[0].adjusted && !empty.bins[1].adjusted && empty.index.is_finite());
    assert!(stability_index(&[1], &[1, 2]).is_err());
    assert!(stability_index(&[0], &[1]).is_err());
}

#[test]
fn drift_of_half_a_deviation_is_about_a_quarter() {
    // Near normal values: sums of twelve uniforms.
    let mut state = 7u64;
    let mut normal = || {
        (0..12)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 11) as f64 / (1u64 << 53) as f64
            })
            .sum::<f64>()
            - 6.0
    };
    let before: Vec<f64> = (0..20_000).map(|_| normal()).collect();
    let after: Vec<f64> = (0..20_000).map(|_| normal() + 0.5).collect();
    let drift = score_stability(&before, &after, 10).unwrap();
    assert!((0.2..0.3).contains(&drift.index), "{}", drift.index);
    assert_eq!((drift.edges.len(), drift.bins.len()), (9, 10));
    let none = score_stability(&before, &before, 10).unwrap();
    assert!(none.index.abs() < 1e-12);
    assert!(score_stability(&before, &[], 10).is_err());
}
