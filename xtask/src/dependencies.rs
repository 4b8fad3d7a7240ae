//! What may be built into the program: sources, licences and unwanted packages.

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{Findings, licence};

/// Never, of no kind: a second TLS library, or a format library nobody keeps.
const BANNED: [(&str, &str); 4] = [
    ("openssl-sys", "one TLS library only: rustls with ring"),
    ("native-tls", "one TLS library only: rustls with ring"),
    ("aws-lc-sys", "one TLS library only: rustls with ring"),
    ("serde_yaml", "no longer kept by anyone"),
];

/// In what is built into the program, not below this version: one generation of the cryptographic
/// crates.
const LEAST: [(&str, [u64; 2]); 2] = [("rand", [0, 10]), ("curve25519-dalek", [5, 0])];

/// What `cargo metadata` says of all features on the platform that is released.
pub(crate) fn metadata(root: &Path) -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--all-features", "--filter-platform"])
        .arg("x86_64-unknown-linux-gnu")
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(
        out.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).context("cargo metadata printed no JSON")
}

/// Every package that breaks the policy.
pub(crate) fn check(metadata: &Value) -> Result<Findings> {
    let mut findings = Vec::new();
    let built_in = built_in(metadata)?;
    for package in metadata["packages"].as_array().context("no packages")? {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        if package["source"].is_null() {
            continue;
        }
        if !text("source").starts_with("registry+") {
            findings.push(format!(
                "{name} {version} comes from {}, not from the registry",
                text("source")
            ));
        }
        if !licence::is_allowed(text("license")) {
            findings.push(format!(
                "{name} {version} has licence `{}`, which is not in the list of xtask/src/licence.rs",
                text("license")
            ));
        }
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            findings.push(format!("{name} {version} is unwanted: {why}"));
        }
        if let Some((_, least)) = LEAST.iter().find(|(old, _)| *old == name)
            && built_in.contains(text("id"))
            && !at_least(version, *least)
        {
            findings.push(format!(
                "{name} {version} is older than {}.{}: the cryptographic crates are of one generation",
                least[0], least[1]
            ));
        }
    }
    Ok(findings)
}

fn at_least(version: &str, least: [u64; 2]) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u64>());
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => [major, minor] >= least,
        _ => false,
    }
}

/// Ids of the packages reached from the workspace by normal dependencies alone.
fn built_in(metadata: &Value) -> Result<BTreeSet<&str>> {
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .context("cargo metadata resolved nothing")?;
    let members = metadata["workspace_members"].as_array();
    let mut todo: Vec<&str> = members
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if !seen.insert(id) {
            continue;
        }
        let node = nodes.iter().find(|node| node["id"] == id);
        for dep in node
            .and_then(|node| node["deps"].as_array())
            .into_iter()
            .flatten()
        {
            let kinds = dep["dep_kinds"].as_array();
            if kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null())) {
                todo.extend(dep["pkg"].as_str());
            }
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree(name: &str, version: &str, licence: &str, source: &str, kind: Value) -> Value {
        json!({
            "packages": [{
                "id": "x", "name": name, "version": version, "license": licence, "source": source,
            }],
            "workspace_members": ["us"],
            "resolve": {"nodes": [
                {"id": "us", "deps": [{"pkg": "x", "dep_kinds": [{"kind": kind}]}]},
                {"id": "x", "deps": []},
            ]},
        })
    }

    fn one(name: &str, version: &str, licence: &str, source: &str, kind: Value) -> String {
        check(&tree(name, version, licence, source, kind))
            .unwrap()
            .join("\n")
    }

    #[test]
    fn a_good_tree_passes() {
        let none = one("rand", "0.10.3", "MIT", "registry+x", Value::Null);
        assert_eq!(none, "");
        // an old generation is tolerated where it is not built in
        assert_eq!(one("rand", "0.9.1", "MIT", "registry+x", json!("dev")), "");
    }

    #[test]
    fn each_breach_is_named() {
        for (got, want) in [
            (
                one("a", "1.0.0", "MIT", "git+somewhere", Value::Null),
                "not from the registry",
            ),
            (
                one("a", "1.0.0", "GPL-3.0", "registry+x", Value::Null),
                "licence `GPL-3.0`",
            ),
            (
                one("openssl-sys", "0.9.1", "MIT", "registry+x", json!("dev")),
                "unwanted",
            ),
            (
                one("rand", "0.9.1", "MIT", "registry+x", Value::Null),
                "older than 0.10",
            ),
            (
                one(
                    "curve25519-dalek",
                    "4.1.3",
                    "MIT",
                    "registry+x",
                    Value::Null,
                ),
                "older than 5.0",
            ),
        ] {
            assert!(got.contains(want), "{got:?} lacks {want:?}");
        }
    }
}
