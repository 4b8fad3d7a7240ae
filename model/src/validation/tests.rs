use super::*;
use crate::table::{Column, Table};

const LABELS: [u8; 10] = [1, 0, 1, 0, 0, 0, 1, 0, 0, 0];
const JOINT: [f64; 10] = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05];
const ALONE: [f64; 10] = [0.5, 0.9, 0.1, 0.6, 0.5, 0.4, 0.8, 0.2, 0.3, 0.05];

fn ask<'a>() -> Ask<'a> {
    Ask {
        labels: &LABELS,
        baseline: Model {
            name: "bank alone",
            pd: &ALONE,
        },
        challenger: Model {
            name: "joint",
            pd: &JOINT,
        },
        sample: None,
        month: None,
        segment: None,
        incumbent: None,
        rules: None,
        approve: 0.5,
        loss: None,
        fairness: None,
        resamples: 0,
    }
}

#[test]
fn months_and_the_incumbent_follow_their_rows() {
    // a month of goods only, a row without a month, a row without an incumbent score
    let months = ["b", "b", "b", "b", "b", "b", "b", "a", "a", ""];
    let months = months.map(|m| Some(m).filter(|m| !m.is_empty()));
    let mut points = [
        10.0,
        20.0,
        30.0,
        40.0,
        50.0,
        60.0,
        70.0,
        80.0,
        90.0,
        f64::NAN,
    ];
    points[0] = 95.0;
    let asked = Ask {
        month: Some(Groups::new("month", months)),
        incumbent: Some(Score {
            name: "old",
            values: &points,
            higher_is_worse: false,
        }),
        ..ask()
    };
    let v = validate(&asked).unwrap();
    let joint: Vec<_> = v.groups.iter().filter(|g| g.model == "joint").collect();
    let named: Vec<_> = joint
        .iter()
        .map(|g| (g.group.as_str(), g.rows, g.bads))
        .collect();
    assert_eq!(named, [("a", 2, 0), ("b", 7, 3), ("(missing)", 1, 0)]);
    assert!(joint[0].auc.is_none() && joint[0].stability == Some(0.0));
    // bads 0.9, 0.7, 0.3 over goods 0.8, 0.6, 0.5, 0.4: 4 + 3 + 0 of 12
    assert!((joint[1].auc.unwrap()[0] - 7.0 / 12.0).abs() < 1e-12);
    assert!(v.bands.iter().all(|b| b.group == "b"));
    let c = v.challenge.unwrap();
    assert_eq!((c.left_out, c.rows.len()), (1, 3));
    assert_eq!(c.rows[2].month, "all");
    assert_eq!((c.rows[0].rows, c.rows[0].lift), (2, None));
    // nine rows: the worst tenth is none
    assert_eq!(
        (c.rows[2].challenger, c.rows[2].incumbent),
        (Some(0.0), Some(0.0))
    );
}

#[test]
fn cut_offs_swap_sets_and_losses_add_up() {
    let exposure: Vec<f64> = (1..=10).map(f64::from).collect();
    let asked = Ask {
        loss: Some(Loss {
            lgd: 0.4,
            exposure: Some(&exposure),
        }),
        ..ask()
    };
    let v = validate(&asked).unwrap();
    let half = v.cutoffs.iter().find(|c| c.approved == 5).unwrap();
    assert_eq!((half.bads, half.max_pd), (1, 0.4));
    assert!((half.bads_declined - 2.0 / 3.0).abs() < 1e-12);
    let want = 0.4 * (0.4 * 6.0 + 0.3 * 7.0 + 0.2 * 8.0 + 0.1 * 9.0 + 0.05 * 10.0);
    assert!((half.expected_loss.unwrap() - want).abs() < 1e-12);
    assert!((half.realised_loss.unwrap() - 0.4 * 7.0).abs() < 1e-12);
    assert_eq!(v.cutoffs.last().unwrap().approved, 10);
    // alone approves 0.05 0.1 0.2 0.3 0.4 (rows 9 2 7 8 5), joint rows 5..=9
    let s = v.swap.unwrap();
    assert_eq!(s.before, "bank alone");
    assert_eq!(s.kept, SwapCell { rows: 4, bads: 0 });
    assert_eq!(s.swapped_in, SwapCell { rows: 1, bads: 1 });
    assert_eq!(s.swapped_out, SwapCell { rows: 1, bads: 1 });
    assert_eq!(s.declined, SwapCell { rows: 4, bads: 1 });
    assert_eq!(s.kept.bad_rate(), Some(0.0));
}

#[test]
fn tied_pds_are_decided_alike() {
    let pd = [0.3; 10];
    let asked = Ask {
        challenger: Model {
            name: "joint",
            pd: &pd,
        },
        ..ask()
    };
    let v = validate(&asked).unwrap();
    assert_eq!(v.cutoffs.len(), 1);
    assert_eq!(v.cutoffs[0].approved, 10);
    assert_eq!(v.swap.unwrap().kept.rows, 0);
}

#[test]
fn rules_are_compared_at_as_many_rows_as_they_flag() {
    let alerts = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, f64::NAN, 1.0];
    let asked = Ask {
        rules: Some(Score {
            name: "alerts",
            values: &alerts,
            higher_is_worse: true,
        }),
        ..ask()
    };
    let top = validate(&asked).unwrap().top;
    let first: Vec<_> = top[..3]
        .iter()
        .map(|t| (t.model.as_str(), t.rows, t.bads))
        .collect();
    // alone ranks 0.9 0.8 0.6: one bad; the rules flag rows 0, 2 and 9: two bads
    assert_eq!(
        first,
        [
            ("joint", 3, 2.0),
            ("bank alone", 3, 1.0),
            ("alerts", 3, 2.0)
        ]
    );
    assert!(top[0].basis.contains("alerts flags"));
}

#[test]
fn small_groups_are_left_out_and_never_alone() {
    let n = 400;
    let labels: Vec<u8> = (0..n).map(|i| u8::from(i % 4 == 0)).collect();
    let pd: Vec<f64> = (0..n).map(|i| (i % 97) as f64 / 100.0 + 0.01).collect();
    let group = |i: usize| match i {
        0..200 => "x",
        200..320 => "y",
        320..395 => "z",
        _ => "tiny",
    };
    let asked = |min_rows| Ask {
        labels: &labels,
        baseline: Model { name: "a", pd: &pd },
        challenger: Model { name: "b", pd: &pd },
        fairness: Some(FairnessAsk {
            groups: Groups::new("sex", (0..n).map(|i| Some(group(i)))),
            reference: Some("y"),
            min_rows,
            least_ratio: 0.8,
        }),
        ..ask()
    };
    let f = validate(&asked(50)).unwrap().fairness.unwrap();
    // `tiny` alone would follow from the totals, so the next smallest goes, too
    assert_eq!(f.left_out, ["tiny", "z"]);
    assert_eq!(f.reference.as_deref(), Some("y"));
    let y = f.rows.iter().find(|r| r.group == "y").unwrap();
    assert_eq!((y.impact_ratio, y.opportunity_gap), (Some(1.0), 0.0));
    let x = f.rows.iter().find(|r| r.group == "x").unwrap();
    let approved = approved_in(&pd, 0..200) as f64 / 200.0;
    assert!((x.approval_rate - approved).abs() < 1e-12);
    let f = validate(&asked(1000)).unwrap().fairness.unwrap();
    assert!(f.rows.is_empty() && f.left_out.len() == 4 && f.reference.is_none());
}

fn approved_in(pd: &[f64], rows: std::ops::Range<usize>) -> usize {
    let mut sorted = pd.to_vec();
    sorted.sort_by(f64::total_cmp);
    // half of 400, ties whole
    let edge = sorted[200];
    pd[rows].iter().filter(|p| **p < edge).count()
}

#[test]
fn drift_sees_a_shift_a_new_gap_and_a_new_level() {
    let n = 1000;
    let x: Vec<f64> = (0..n)
        .map(|i| (i % 500) as f64 + if i >= 500 { 250.0 } else { 0.0 })
        .collect();
    let still: Vec<f64> = (0..n).map(|i| (i % 50) as f64).collect();
    let gap: Vec<f64> = (0..n)
        .map(|i| if i >= 750 { f64::NAN } else { (i % 10) as f64 })
        .collect();
    let level = (0..n).map(|i| Some(if i >= 900 { "new" } else { "old" }));
    let columns = vec![
        Column::numeric("x", x),
        Column::numeric("still", still),
        Column::numeric("gap", gap),
        Column::categorical("level", level),
    ];
    let ids = (0..n).map(|i| i.to_string()).collect();
    let table = Table::new(ids, None, columns).unwrap();
    let (train, test): (Vec<usize>, Vec<usize>) = (0..n).partition(|i| *i < 500);
    let names = ["x", "still", "gap", "level"];
    let samples = [("test".to_owned(), test), ("none".to_owned(), Vec::new())];
    let d = drift(&table, &names, &train, &samples);
    let at = |k: usize| d.columns[k].index[0].unwrap();
    assert!(
        at(0) > 0.25 && at(1) < 1e-9 && at(2) > 0.25 && at(3) > 0.1,
        "{d:?}"
    );
    assert!(d.columns.iter().all(|c| c.index[1].is_none()));
}

#[test]
fn columns_of_another_length_are_refused() {
    let asked = Ask {
        month: Some(Groups::new("month", [Some("a")])),
        ..ask()
    };
    assert!(matches!(
        validate(&asked),
        Err(MetricError::Length { labels: 10, pds: 1 })
    ));
}
