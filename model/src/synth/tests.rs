//! The vectors come from the recipe's reference program, an independent implementation.

use super::*;
use sha2::{Digest, Sha256};

const SEED: u64 = 2026;

fn cell(portfolio: &Portfolio, party: Party, row: u64, local: usize) -> f64 {
    let mut cells = vec![0.0; party.width()];
    portfolio.fill(party, row, &mut cells);
    cells[local]
}

#[test]
fn streams_match_the_vectors() {
    let portfolio = Portfolio::new(SEED);
    let bits = [0, 1, 2].map(|row| portfolio.bits(row, 1));
    assert_eq!(
        bits,
        [
            0xd9bc_0440_9216_d967,
            0x7d40_d4e1_f68f_6898,
            0xff10_6a4a_9e39_c1f7
        ]
    );
    let normals = [0, 1, 2].map(|row| portfolio.normal(row, 1000));
    assert_eq!(
        normals,
        [
            0.286_453_247_070_312_5,
            1.228_347_778_320_312_5,
            -0.348_098_754_882_812_5
        ]
    );
    assert_eq!(
        portfolio.uniform(0, 1),
        (0xd9bc_0440_9216_d967u64 >> 11) as f64 / (1u64 << 53) as f64
    );
}

#[test]
fn the_first_ten_thousand_rows_match_the_vectors() {
    let portfolio = Portfolio::new(SEED);
    let (mut bads, mut pds, mut banks, mut bureau, mut telco) = (0, 0.0, [0; 3], 0, 0);
    for row in 0..10_000 {
        let truth = portfolio.truth(row);
        bads += u32::from(truth.bad);
        pds += truth.pd;
        banks[usize::from(truth.bank)] += 1;
        bureau += u32::from(portfolio.holds(Party::Bureau, row));
        telco += u32::from(portfolio.holds(Party::Telco, row));
    }
    assert_eq!(
        (bads, banks, bureau, telco),
        (349, [5532, 2976, 1492], 8529, 5893)
    );
    assert!((pds - 344.266_108).abs() < 1e-6, "{pds}");
}

#[test]
fn single_rows_match_the_vectors() {
    use Party::{Bank, Bureau, Telco};
    let portfolio = Portfolio::new(SEED);
    for (row, id, bank, month, pd, bad) in [
        (0, "1442695040888963", 2, 21, 0.024_666_993, 1),
        (1, "7806831264735756", 0, 10, 0.177_993_391, 1),
        (2, "4170967488582549", 2, 14, 0.042_135_922, 0),
    ] {
        let truth = portfolio.truth(row);
        assert_eq!(portfolio.customer_id(row), id);
        assert_eq!((truth.bank, truth.month, truth.bad), (bank, month, bad));
        assert!((truth.pd - pd).abs() < 1e-9);
    }
    for (row, party, local, want) in [
        (0, Bank, 0, -1.103),
        (0, Bank, 4, 698.0),
        (0, Bank, 5, 1.0),
        (0, Bank, 6, 762.0),
        (0, Bank, 8, 2.0),
        (0, Bank, 9, 7.0),
        (0, Bureau, 0, 0.075),
        (0, Bureau, 4, 5952.0),
        (0, Telco, 0, -0.028),
        (0, Telco, 9, 7.0),
        (2, Bank, 0, -1.669),
        (2, Bank, 4, 2029.0),
        (2, Bank, 6, 0.0),
        (2, Bank, 7, 0.602),
        (2, Bureau, 0, 1.107),
        (2, Bureau, 4, 1951.0),
        (2, Telco, 0, 1.376),
    ] {
        assert_eq!(
            cell(&portfolio, party, row, local),
            want,
            "row {row}, {party:?} {local}"
        );
    }
    assert!(cell(&portfolio, Bank, 0, 7).is_nan() && cell(&portfolio, Bureau, 1, 4).is_nan());
}

/// SHA-256 of the files the reference program writes for 2,000 rows.
#[test]
fn files_match_the_vectors_byte_for_byte() {
    let portfolio = Portfolio::new(SEED);
    let hex = |bytes: &[u8]| {
        Sha256::digest(bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    for (party, rows, want) in [
        (
            Party::Bank,
            2000,
            "16aa0e0aa7593e4f5d3e946b6dd1e5b663b2bf10e337d9ad4fd4ed5593523555",
        ),
        (
            Party::Bureau,
            1720,
            "5a5fd8db2c2076e0e4a71f0a2baeee06cb3009c1b522f2088a4f39b808844fcf",
        ),
        (
            Party::Telco,
            1183,
            "7785b1ecbf4d68973fd7761ae8a4122aa162a47e9822da0b6d6e418821bb5cbe",
        ),
    ] {
        let mut file = Vec::new();
        let written = portfolio.write_csv(party, 0..2000, &mut file).unwrap();
        assert_eq!(
            (hex(&file).as_str(), written),
            (want, rows),
            "{}",
            party.file_name()
        );
    }
    let mut truth = Vec::new();
    portfolio.write_truth(0..2000, &mut truth).unwrap();
    assert_eq!(
        hex(&truth),
        "a18a95730ca6c3dc2167573aa2eeefcadd788bfa15ffa2ff8fd9761a431c362d"
    );
}

#[test]
fn slices_equal_the_whole() {
    let portfolio = Portfolio::new(7);
    let body = |rows| {
        let mut file = Vec::new();
        portfolio.write_csv(Party::Telco, rows, &mut file).unwrap();
        String::from_utf8(file)
            .unwrap()
            .split_once('\n')
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(body(0..90), body(0..31) + &body(31..90));
    assert_ne!(Portfolio::new(8).customer_id(5), portfolio.customer_id(6));
    assert_ne!(Portfolio::new(8).truth(5), portfolio.truth(5));
}

#[test]
fn the_plan_of_variables_is_as_described() {
    let count = |party: Party, kind| party.variables().filter(|v| v.kind() == kind).count();
    for (party, plan) in [
        (Party::Bank, [12, 12, 6, 90]),
        (Party::Bureau, [12, 12, 6, 90]),
        (Party::Telco, [6, 6, 3, 45]),
    ] {
        let kinds = [Kind::Signal, Kind::Proxy, Kind::Twin, Kind::Noise];
        assert_eq!(kinds.map(|k| count(party, k)), plan);
        assert!(
            party
                .variables()
                .all(|v| (v.weight() != 0.0) == (v.kind() == Kind::Signal))
        );
        assert_eq!(party.variables().filter(|v| v.drifts()).count(), 1);
    }
}

#[test]
fn drift_is_seen_and_only_where_planted() {
    use crate::metrics::score_stability;
    let portfolio = Portfolio::new(SEED);
    let (mut before, mut after) = (vec![Vec::new(); 4], vec![Vec::new(); 4]);
    let mut cells = [0.0; 4];
    for row in 0..20_000 {
        portfolio.fill(Party::Bureau, row, &mut cells);
        let late = portfolio.truth(row).month >= 18;
        for (k, v) in cells.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
            let side = if late { &mut after } else { &mut before };
            side[k].push(*v);
        }
    }
    let index = |k: usize| score_stability(&before[k], &after[k], 10).unwrap().index;
    assert!((0.18..0.31).contains(&index(3)), "{}", index(3));
    assert!(index(0) < 0.01 && index(1) < 0.01 && index(2) < 0.01);
}
