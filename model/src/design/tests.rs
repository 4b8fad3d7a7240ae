use super::*;
use crate::table::Column;

/// 60 rows: `x` with missing values, `k` constant, `c` with levels b x30, a x20, rare x5, missing x5.
fn table() -> Table {
    let x = (0..60)
        .map(|i| if i % 10 == 9 { f64::NAN } else { f64::from(i) })
        .collect();
    let level = |i: usize| match i {
        0..30 => Some("b"),
        30..50 => Some("a"),
        50..55 => Some("rare"),
        _ => None,
    };
    let columns = vec![
        Column::numeric("x", x),
        Column::numeric("k", vec![0.1; 60]),
        Column::categorical("c", (0..60).map(level)),
    ];
    Table::new((0..60).map(|i| i.to_string()).collect(), None, columns).unwrap()
}

fn constant(constant: ConstantColumns) -> DesignOptions {
    DesignOptions {
        constant,
        ..DesignOptions::default()
    }
}

fn all() -> Vec<usize> {
    (0..60).collect()
}

#[test]
fn names_and_order_follow_the_rules() {
    let design = Design::fit_all(&table(), &all(), &[], constant(ConstantColumns::Keep)).unwrap();
    let names: Vec<&str> = design.names().collect();
    assert_eq!(names, ["x", "k", "x__missing", "c=a", "c=b", "c=__other__"]);
    assert_eq!(design.constant(), ["k"]);
    assert_eq!(
        (design.columns()[1].mean, design.columns()[1].sd),
        (0.1, 1.0)
    );
    // 54 present values, 0..=58 without 9, 19, ..: the two in the middle are 28 and 30.
    let Source::Numeric { fill, .. } = design.columns()[0].source else {
        panic!()
    };
    assert_eq!(fill, 29.0);
}

#[test]
fn columns_are_standardised_on_the_training_rows() {
    let (table, rows) = (table(), all());
    let design = Design::fit_all(&table, &rows, &[], DesignOptions::default()).unwrap();
    assert_eq!(design.width(), 5);
    let x = design.transform(&table, &rows).unwrap();
    assert_eq!(x.dim(), (60, 5));
    assert!(x.is_standard_layout());
    for column in x.columns() {
        let mean = column.sum() / 60.0;
        let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 60.0;
        assert!(
            mean.abs() < 1e-12 && (variance - 1.0).abs() < 1e-12,
            "{mean} {variance}"
        );
    }
    let raw = design.transform_raw(&table, &[9, 57]).unwrap();
    assert_eq!(raw.row(0).to_vec(), [29.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!(raw.row(1).to_vec(), [57.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn unseen_levels_are_other_or_nothing() {
    let table = table();
    let with_other = Design::fit(&table, &all(), &[], &["c"], DesignOptions::default()).unwrap();
    // Trained on two levels only, there is no `__other__`: rare and missing give zeros.
    let two: Vec<usize> = (0..50).collect();
    let without = Design::fit(&table, &two, &[], &["c"], DesignOptions::default()).unwrap();
    assert_eq!(without.names().collect::<Vec<_>>(), ["c=a", "c=b"]);
    assert_eq!(
        without
            .transform_raw(&table, &[52])
            .unwrap()
            .row(0)
            .to_vec(),
        [0.0, 0.0]
    );
    let fresh = Table::new(
        vec!["z".into()],
        None,
        vec![Column::categorical("c", [Some("never seen")])],
    )
    .unwrap();
    assert_eq!(
        with_other
            .transform_raw(&fresh, &[0])
            .unwrap()
            .row(0)
            .to_vec(),
        [0.0, 0.0, 1.0]
    );
}

#[test]
fn the_least_rows_of_a_level_are_the_callers_choice() {
    // b x30, a x20, rare x5, missing x5
    let table = table();
    let names = |rows: &[usize], rare_level_rows| {
        let options = DesignOptions {
            rare_level_rows,
            ..DesignOptions::default()
        };
        let design = Design::fit(&table, rows, &[], &["c"], options).unwrap();
        design.names().map(str::to_owned).collect::<Vec<_>>()
    };
    let every = ["c=__missing__", "c=a", "c=b", "c=rare"];
    for (least, want) in [
        (0, &every[..]),
        (1, &every[..]),
        (5, &every[..]),
        (6, &["c=a", "c=b", "c=__other__"][..]),
        (20, &["c=a", "c=b", "c=__other__"][..]),
        (21, &["c=b", "c=__other__"][..]),
    ] {
        assert_eq!(names(&all(), least), want, "{least}");
    }
    // A level that the training rows lack gets no column, however low the limit.
    let two: Vec<usize> = (0..50).collect();
    assert_eq!(names(&two, 0), ["c=a", "c=b"]);
}

#[test]
fn a_frequent_missing_category_is_a_level() {
    let columns = vec![Column::categorical(
        "c",
        (0..50).map(|i| (i < 30).then_some("a")),
    )];
    let table = Table::new((0..50).map(|i| i.to_string()).collect(), None, columns).unwrap();
    let rows: Vec<usize> = (0..50).collect();
    let design = Design::fit_all(&table, &rows, &[], DesignOptions::default()).unwrap();
    assert_eq!(design.names().collect::<Vec<_>>(), ["c=__missing__", "c=a"]);
    assert_eq!(
        design.transform_raw(&table, &[49]).unwrap().row(0).to_vec(),
        [1.0, 0.0]
    );
}

#[test]
fn survives_a_round_trip_through_json() {
    let (table, rows) = (table(), all());
    let design = Design::fit_all(&table, &rows, &[], DesignOptions::default()).unwrap();
    let text = serde_json::to_string(&design).unwrap();
    let back: Design = serde_json::from_str(&text).unwrap();
    assert_eq!(design, back);
    assert_eq!(
        design.transform(&table, &rows),
        back.transform(&table, &rows)
    );
}

#[test]
fn refusals_name_the_column() {
    let (table, rows) = (table(), all());
    let fit =
        |n: &[&str], c: &[&str], k| Design::fit(&table, &rows, n, c, constant(k)).unwrap_err();
    let drop = ConstantColumns::Drop;
    assert_eq!(
        fit(&["w"], &[], drop),
        DesignError::NoColumn { column: "w".into() }
    );
    assert!(
        fit(&["c"], &[], drop)
            .to_string()
            .contains("`c` is categorical, expected numeric")
    );
    assert!(
        fit(&[], &["x"], drop)
            .to_string()
            .contains("`x` is numeric, expected categorical")
    );
    let constant = fit(&["x", "k"], &[], ConstantColumns::Refuse);
    assert_eq!(
        constant,
        DesignError::Constant {
            name: "k".into(),
            rows: 60
        }
    );
    let none = Design::fit(&table, &[], &["x"], &[], DesignOptions::default()).unwrap_err();
    assert_eq!(none, DesignError::NoRows);
    let far = Design::fit(&table, &[60], &["x"], &[], DesignOptions::default()).unwrap_err();
    assert_eq!(far, DesignError::Row { got: 60, rows: 60 });
}
