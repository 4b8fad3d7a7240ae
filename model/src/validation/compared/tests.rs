use super::*;
use crate::table::Column;

/// Rows of a made-up portfolio: a column that tells of the label, one that does not, and a category.
fn portfolio(rows: usize) -> (Vec<f64>, Vec<f64>, Vec<u8>) {
    let mut state = 11_u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (mut income, mut noise, mut label) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let x = uniform();
        income.push(x);
        noise.push(uniform());
        label.push(u8::from(uniform() < 0.6 * (1.0 - x)));
    }
    (income, noise, label)
}

fn table(income: &[f64], noise: &[f64], label: Option<&[u8]>) -> Table {
    let ids = (0..income.len()).map(|i| format!("c{i}")).collect();
    let columns = vec![
        Column::numeric("income", income.to_vec()),
        Column::numeric("noise", noise.to_vec()),
    ];
    Table::new(ids, label.map(<[u8]>::to_vec), columns).unwrap()
}

fn names() -> Vec<String> {
    vec!["income".into(), "noise".into()]
}

fn said(alarms: &[Alarm]) -> Vec<String> {
    let said = alarms.iter().map(|alarm| match &alarm.column {
        Some(column) => format!("{} {column}", alarm.what),
        None => alarm.what.clone(),
    });
    said.collect()
}

#[test]
fn what_is_unchanged_is_not_flagged_and_what_is_is_named() {
    let (income, noise, label) = portfolio(4_000);
    let rows: Vec<usize> = (0..3_000).collect();
    let first = table(&income, &noise, Some(&label));
    let profile = Profile::of(&first, &names(), &rows);
    let text = serde_json::to_string(&profile).unwrap();
    let profile: Profile = serde_json::from_str(&text).unwrap();
    let limits = Limits::default();
    assert_eq!(profile.data_alarms(&first, &rows, &limits), []);
    // other customers of the same kind
    let later: Vec<usize> = (1_000..4_000).collect();
    assert_eq!(profile.data_alarms(&first, &later, &limits), []);
    // one column by half a deviation and more
    let shifted: Vec<f64> = income.iter().map(|x| x + 0.25).collect();
    let moved = table(&shifted, &noise, None);
    let alarms = profile.data_alarms(&moved, &rows, &limits);
    assert_eq!(said(&alarms), ["csi income"]);
    assert!(
        alarms[0].to_string().starts_with("csi of income "),
        "{}",
        alarms[0]
    );
    // a fifth of the labels flipped
    let mut flipped = label.clone();
    flipped.iter_mut().step_by(5).for_each(|y| *y = 1 - *y);
    let poisoned = table(&income, &noise, Some(&flipped));
    let alarms = profile.data_alarms(&poisoned, &rows, &limits);
    assert_eq!(said(&alarms), ["iv income", "bad_rate"]);
    // with wider limits nothing is said
    let wide = Limits {
        csi: 9.0,
        iv: 9.0,
        bad_rate: 0.9,
        ..limits
    };
    assert_eq!(profile.data_alarms(&poisoned, &rows, &wide), []);
    // half of a column is missing
    let holes: Vec<f64> = noise
        .iter()
        .enumerate()
        .map(|(i, x)| if i % 2 == 0 { f64::NAN } else { *x })
        .collect();
    let alarms = profile.data_alarms(&table(&income, &holes, None), &rows, &limits);
    assert_eq!(said(&alarms), ["csi noise"]);
}

#[test]
fn figures_are_compared_where_both_jobs_have_them() {
    let (income, noise, _) = portfolio(100);
    let rows: Vec<usize> = (0..100).collect();
    let profile = Profile::of(&table(&income, &noise, None), &names(), &rows);
    let with = |alone, joint, iv| {
        let mut profile = profile.clone();
        profile.figures = Figures {
            auc_alone: alone,
            auc_joint: joint,
        };
        profile.binned("income", iv);
        profile
    };
    let limits = Limits::default();
    let before = with(Some(0.70), Some(0.78), 0.3);
    let none = with(None, None, 0.3);
    assert_eq!(before.figure_alarms(&before, &limits), []);
    assert_eq!(before.figure_alarms(&none, &limits), []);
    assert_eq!(none.figure_alarms(&before, &limits), []);
    for (now, wanted) in [
        (with(Some(0.71), Some(0.78), 0.25), &[][..]),
        (with(Some(0.70), Some(0.74), 0.3), &["uplift"]),
        (
            with(Some(0.62), Some(0.70), 0.3),
            &["auc.alone", "auc.joint"],
        ),
        (with(Some(0.70), Some(0.78), 0.1), &["iv income"]),
    ] {
        assert_eq!(said(&before.figure_alarms(&now, &limits)), wanted);
    }
    assert!(limits.are_sound());
    assert!(!Limits { csi: 0.0, ..limits }.are_sound());
    assert!(
        !Limits {
            auc: f64::NAN,
            ..limits
        }
        .are_sound()
    );
}
