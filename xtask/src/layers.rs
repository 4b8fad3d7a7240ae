//! Dependencies between the workspace's crates run one way.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::Findings;

/// What each crate may depend on, also in its tests.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("audit", &["crypto"]),
    ("verify", &["audit"]),
    ("crypto", &[]),
    ("model", &[]),
    ("protocol", &["crypto", "model"]),
    ("job", &["crypto", "model", "audit"]),
    ("proto", &[]),
    ("service", &["crypto", "protocol", "proto", "job", "audit"]),
    (
        "party",
        &[
            "service", "job", "protocol", "model", "crypto", "proto", "audit",
        ],
    ),
    (
        "coordinator",
        &["service", "job", "protocol", "crypto", "proto", "audit"],
    ),
    (
        "cli",
        &[
            "bench",
            "crypto",
            "protocol",
            "model",
            "job",
            "proto",
            "service",
            "party",
            "coordinator",
            "audit",
        ],
    ),
    (
        "e2e",
        &[
            "crypto",
            "protocol",
            "model",
            "job",
            "proto",
            "service",
            "party",
            "coordinator",
            "audit",
        ],
    ),
    (
        "bench",
        &[
            "crypto",
            "protocol",
            "model",
            "job",
            "proto",
            "service",
            "party",
            "coordinator",
            "audit",
        ],
    ),
    ("xtask", &["job", "service", "party", "coordinator"]),
];

/// What a crate's tests alone may use besides.
const TESTS_MAY_USE: [(&str, &[&str]); 1] = [("job", &["protocol"])];

const PREFIX: &str = "paripassu-";

/// The feature with which tests switch protection off; never on in what is released.
const TESTS_ONLY: &str = "test-util";

/// Every dependency against the direction, and every one that brings what is for tests only.
pub(crate) fn check(metadata: &Value) -> Result<Findings> {
    let mut findings = Vec::new();
    let packages = metadata["packages"].as_array().context("no packages")?;
    for package in packages.iter().filter(|p| p["source"].is_null()) {
        let name = package["name"].as_str().context("a package has no name")?;
        let short = name.strip_prefix(PREFIX).unwrap_or(name);
        let Some((_, allowed)) = ALLOWED.iter().find(|(crate_, _)| *crate_ == short) else {
            findings.push(format!(
                "{name} is not in the list of layers: add it to xtask/src/layers.rs"
            ));
            continue;
        };
        let dependencies = package["dependencies"].as_array().context("no list")?;
        if names(&package["features"]["default"]).any(|f| f.contains(TESTS_ONLY)) {
            findings.push(format!(
                "{short} has `{TESTS_ONLY}` among its default features"
            ));
        }
        for dependency in dependencies {
            let other = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"] == "dev";
            if !for_tests && names(&dependency["features"]).any(|f| f == TESTS_ONLY) {
                findings.push(format!(
                    "{short} asks for `{TESTS_ONLY}` of {other} outside its tests"
                ));
            }
            if let Some(other) = other.strip_prefix(PREFIX)
                && !allowed.contains(&other)
                && !(for_tests
                    && TESTS_MAY_USE
                        .iter()
                        .any(|(c, m)| *c == short && m.contains(&other)))
            {
                findings.push(format!(
                    "{short} depends on {other}; it may depend on: {}",
                    if allowed.is_empty() {
                        "nothing of this workspace".to_owned()
                    } else {
                        allowed.join(", ")
                    }
                ));
            }
        }
    }
    Ok(findings)
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workspace(name: &str, on: &str) -> Value {
        json!({"packages": [{
            "name": name, "source": null, "dependencies": [{"name": on}],
        }]})
    }

    #[test]
    fn the_right_direction_passes() {
        let good = workspace("paripassu-protocol", "paripassu-crypto");
        assert!(check(&good).unwrap().is_empty());
        let foreign = workspace("paripassu-crypto", "sha2");
        assert!(check(&foreign).unwrap().is_empty());
    }

    #[test]
    fn what_tests_may_use_is_no_dependency() {
        let with = |kind: Value| {
            let dependency = json!({"name": "paripassu-protocol", "kind": kind});
            json!({"packages": [{
                "name": "paripassu-job", "source": null, "dependencies": [dependency],
            }]})
        };
        assert!(check(&with(json!("dev"))).unwrap().is_empty());
        assert_eq!(check(&with(Value::Null)).unwrap().len(), 1);
    }

    #[test]
    fn the_wrong_direction_and_unknown_crates_are_named() {
        let up = check(&workspace("paripassu-crypto", "paripassu-protocol")).unwrap();
        assert!(up[0].contains("crypto depends on protocol"), "{up:?}");
        let beside = check(&workspace("paripassu-party", "paripassu-coordinator")).unwrap();
        assert_eq!(beside.len(), 1);
        let unknown = check(&workspace("paripassu-surprise", "sha2")).unwrap();
        assert!(unknown[0].contains("paripassu-surprise"), "{unknown:?}");
    }
    #[test]
    fn what_is_for_tests_only_stays_there() {
        let with = |kind: Value, features: Value| {
            json!({"packages": [{
                "name": "paripassu-service", "source": null, "features": features,
                "dependencies": [{
                    "name": "paripassu-crypto", "kind": kind, "features": ["test-util"],
                }],
            }]})
        };
        assert_eq!(check(&with(Value::Null, json!({}))).unwrap().len(), 1);
        assert!(check(&with(json!("dev"), json!({}))).unwrap().is_empty());
        let default = json!({"default": ["paripassu-crypto/test-util"]});
        assert_eq!(check(&with(json!("dev"), default)).unwrap().len(), 1);
    }
}
