//! `paripassu bench train`: two parties, helper and relay as processes, on loopback and over a slower link.

#![allow(clippy::unwrap_used)]

mod common;

use common::run;

#[test]
fn a_measured_training_is_the_plain_one_also_over_a_slow_link() {
    let small = [
        "bench", "train", "--json", "--rows", "3000", "--cols-a", "4", "--cols-b", "5",
    ];
    let said = run(small);
    assert_eq!(said.code, 0, "{said:?}");
    let near = said.json();
    let said = run([
        &small[..],
        &["--passes", "10", "--rtt-ms", "10", "--mbit", "40"],
    ]
    .concat());
    assert_eq!(said.code, 0, "{said:?}");
    let far = said.json();
    for measured in [&near, &far] {
        let number = |name: &str| measured[name].as_f64().unwrap();
        assert!(number("coef_max_rel_diff") < 1e-4, "{measured:#}");
        assert!((number("auc_joint") - number("auc_plain")).abs() < 1e-4);
        assert!(number("auc_plain") > 0.6);
        for positive in [
            "wall_s",
            "party_cpu_ratio",
            "total_cpu_ratio",
            "peak_by_table",
        ] {
            assert!(number(positive) > 0.0, "{positive}: {measured:#}");
        }
    }
    assert_eq!(far["passes"], 10);
    // most rounds that the bank waits for take a round trip to the relay
    let least = far["rounds"].as_f64().unwrap() * 0.005;
    assert!(far["wall_s"].as_f64().unwrap() > least, "{far:#}");
}

#[test]
fn a_measured_network_is_the_plain_one() {
    let said = run([
        "bench", "train", "--json", "--model", "mlp", "--hidden", "5", "--rows", "2000",
        "--cols-a", "4", "--cols-b", "5", "--passes", "2",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    let measured = said.json();
    let number = |name: &str| measured[name].as_f64().unwrap();
    assert!(number("coef_max_abs_diff") < 2e-2, "{measured:#}");
    assert!((number("auc_joint") - number("auc_plain")).abs() < 5e-3);
    assert!(number("total_cpu_ratio") > 0.0 && measured["passes"] == 2);
}

#[test]
fn a_measured_training_by_another_solver_is_the_plain_one() {
    let small = [
        "bench", "train", "--json", "--rows", "3000", "--cols-a", "4", "--cols-b", "5", "--method",
    ];
    let batches = ["sgd", "--epochs", "4", "--batch", "512"];
    // a descent by mini-batches is compared with the same descent, whose residuals are not rounded
    for (method, within) in [(&batches[..], 1e-2), (&["accelerated"], 1e-3)] {
        let said = run([&small[..], method].concat());
        assert_eq!(said.code, 0, "{said:?}");
        let measured = said.json();
        let number = |name: &str| measured[name].as_f64().unwrap();
        assert_eq!(measured["method"], method[0]);
        assert!(number("coef_max_rel_diff") < within, "{measured:#}");
        assert!((number("auc_joint") - number("auc_plain")).abs() < 5e-4);
        assert!(number("auc_plain") > 0.6 && number("total_cpu_ratio") > 0.0);
        let asked = if method[0] == "sgd" { 4.0 } else { 1.0 };
        assert!(number("passes") >= asked && number("hessians") == 0.0);
    }
}
