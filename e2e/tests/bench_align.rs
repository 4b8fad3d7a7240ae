//! `paripassu bench align`: two parties and the relay as processes, from CSV files to the rows in common.

#![allow(clippy::unwrap_used)]

mod common;

use common::{number, run};

#[test]
fn both_methods_find_what_is_common_and_say_what_it_cost() {
    for method in ["curve", "vole"] {
        let args = [
            "bench", "align", "--n", "3000", "--method", method, "--json",
        ];
        let said = run(args);
        assert_eq!(said.code, 0, "{said:?}");
        let told = said.json();
        assert_eq!(told["matched"], 1_500);
        assert_eq!(told["method"], method);
        for key in ["wall_s", "cpu_s_total", "bytes_per_item", "peak_mib_party"] {
            assert!(number(&told, key) > 0.0, "{key}: {told}");
        }
    }
}
