use std::collections::HashSet;

use rand::RngExt;

use super::*;

fn items(n: usize) -> Vec<u128> {
    let mut rng = rand::rng();
    (0..n).map(|_| rng.random()).collect()
}

fn key() -> [u8; 32] {
    rand::rng().random()
}

fn check(okvs: &Okvs, items: &[u128], table: &[u128]) {
    let (mut got, mut want) = (vec![0; items.len()], vec![0; items.len()]);
    okvs.decode(items, table, &mut got);
    okvs.values(items, &mut want);
    assert_eq!(got, want);
}

#[test]
fn every_item_finds_its_value() {
    let mut work = Workspace::default();
    for n in [0, 1, 2, 3, 300, 4_096, 20_000, 131_072] {
        let okvs = Okvs::new(&key(), Shape::new(n).unwrap());
        let items = items(n);
        let table = okvs.encode(&items, &mut work).unwrap();
        check(&okvs, &items, &table);
    }
}

#[test]
fn given_values_are_found_in_a_table_that_is_even_over_all() {
    let mut work = Workspace::default();
    for n in [0, 1, 300, 4_096, 20_000] {
        let okvs = Okvs::new(&key(), Shape::new(n).unwrap());
        let (items, values) = (items(n), items(n));
        let table = okvs.encode_values(&items, &values, &mut work).unwrap();
        let mut got = vec![0; n];
        okvs.decode(&items, &table, &mut got);
        assert_eq!(got, values, "{n}");
        // no column is left as it was, and none comes twice
        let again = okvs.encode_values(&items, &values, &mut work).unwrap();
        assert!(table.iter().zip(&again).all(|(a, b)| *a != 0 && a != b));
    }
}

#[test]
fn decoding_is_linear_and_other_items_find_nothing() {
    let okvs = Okvs::new(&key(), Shape::new(5_000).unwrap());
    let (inside, outside) = (items(5_000), items(5_000));
    let table = okvs.encode(&inside, &mut Workspace::default()).unwrap();
    let mask = items(table.len());
    let masked: Vec<u128> = table.iter().zip(&mask).map(|(a, b)| a ^ b).collect();
    let decode = |table: &[u128]| {
        let mut out = vec![0; outside.len()];
        okvs.decode(&outside, table, &mut out);
        out
    };
    let sum: Vec<u128> = decode(&table)
        .iter()
        .zip(decode(&mask))
        .map(|(a, b)| a ^ b)
        .collect();
    assert_eq!(decode(&masked), sum);
    let mut values = vec![0; outside.len()];
    okvs.values(&outside, &mut values);
    assert!(decode(&table).iter().zip(&values).all(|(a, b)| a != b));
}

#[test]
fn refuses_equal_items_and_too_many() {
    let okvs = Okvs::new(&key(), Shape::new(100).unwrap());
    let mut some = items(101);
    let mut work = Workspace::default();
    let too_many = OkvsError::TooMany {
        got: 101,
        most: 100,
    };
    assert_eq!(okvs.encode(&some, &mut work), Err(too_many));
    some.truncate(100);
    some[7] = some[80];
    assert_eq!(okvs.encode(&some, &mut work), Err(OkvsError::Dependent));
    assert!(Shape::new(Shape::MOST + 1).is_none());
}

/// A table with too few columns for peeling: cores of hundreds of rows, and still no failure.
#[test]
fn cores_are_solved_in_starved_tables() {
    let mut cores = 0;
    let mut work = Workspace::default();
    for run in 0..30 {
        let n = 1_500;
        let mut okvs = Okvs::new(&key(), Shape::new(n).unwrap());
        // at 1.22 columns an item peeling begins to fail; full rank is kept down to 1.09
        okvs.shape.sparse = n * [125, 120, 115][run % 3] / 100;
        let items = items(n);
        let table = okvs.encode(&items, &mut work).unwrap();
        cores += usize::from(work.order.len() < n);
        check(&okvs, &items, &table);
    }
    assert!(cores >= 10, "{cores} of 30 tables had a core");
}

/// Rows with the same three places: the dense columns take up to `DENSE` such coincidences.
#[test]
fn dense_columns_solve_coincidences() {
    let shape = Shape {
        capacity: 100,
        sparse: 12,
    };
    let mut work = Workspace::default();
    let (mut solved, mut failed) = (0, 0);
    for _ in 0..200 {
        let okvs = Okvs::new(&key(), shape);
        let items = items(15);
        // at most 12 of 15 rows are independent in the sparse columns
        match okvs.encode(&items, &mut work) {
            Ok(table) => {
                solved += 1;
                check(&okvs, &items, &table);
            }
            Err(e) => {
                failed += 1;
                assert_eq!(e, OkvsError::Dependent);
            }
        }
    }
    assert!(solved > 100, "{solved} solved, {failed} failed");
    // more rows than columns never fit
    let okvs = Okvs::new(&key(), shape);
    let got = okvs.encode(&items(12 + DENSE + 1), &mut work);
    assert_eq!(got, Err(OkvsError::Dependent));
}

/// The sizes against the paper's formula in floating point, and the two ways to fail.
#[test]
fn failure_is_below_2_to_the_minus_64() {
    for n in (10..=180).map(|i| 2f64.powf(f64::from(i) / 10.0) as usize) {
        let shape = Shape::new(n).unwrap();
        let rows = n.max(Shape::LEAST) as f64;
        let m = shape.sparse as f64;
        let slope = 2f64.powf(0.555 * rows.log2() + 2.335);
        let bits = slope * (m / rows - 1.223) - 9.2;
        assert!(bits >= 66.0 + 13.0, "{n}: {bits}");
        assert!(n < Shape::LEAST || m <= 1.42 * rows, "{n}: {m} columns");
        // pairs of rows with the same places, `DENSE + 1` of them: expected number to that power
        // over its factorial
        let pairs = rows * rows / 2.0 * 6.0 / (m * (m - 1.0) * (m - 2.0));
        let coincidences = -(f64::from(DENSE as u32 + 1) * pairs.log2() - 720f64.log2());
        assert!(coincidences >= 64.0 + 13.0, "{n}: {coincidences}");
    }
}

/// Peeling alone at a small size: the measured rate of cores is no more than the formula says.
#[test]
fn cores_are_as_rare_as_the_formula_says() {
    let (n, runs) = (2_048, 400);
    let slope = 2f64.powf(0.555 * 11.0 + 2.335);
    // 2^-3 by the formula
    let sparse = (n as f64 * (1.223 + (3.0 + 9.2) / slope)) as usize;
    let mut work = Workspace::default();
    let mut cores = 0;
    for _ in 0..runs {
        let mut okvs = Okvs::new(&key(), Shape::new(n).unwrap());
        okvs.shape.sparse = sparse;
        okvs.encode(&items(n), &mut work).unwrap();
        // a core of a few rows with the same places is not what the formula counts
        cores += usize::from(work.order.len() + 20 < n);
    }
    assert!(cores <= runs / 8, "{cores} of {runs}");
}

#[test]
fn places_are_different_and_spread() {
    let shape = Shape::new(4_096).unwrap();
    let mut counts = vec![0; shape.sparse];
    for h in items(20_000) {
        let places = shape.places(h);
        assert_eq!(places.iter().collect::<HashSet<_>>().len(), 3);
        for p in places {
            counts[p as usize] += 1;
        }
    }
    assert_eq!(shape.places(0), [0, 1, 2]);
    let last = shape.sparse as u32 - 1;
    assert_eq!(shape.places(u128::MAX), [last, last - 1, last - 2]);
    let most = counts.iter().max().unwrap();
    assert!(*most < 45, "{most} where 10.5 are expected");
}
