//! Every job file and configuration in `examples/` is one that the program reads.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::fs;

use common::{example, run};
use paripassu_job::Spec;

#[test]
fn every_job_file_parses_and_plans() {
    let mut found = 0;
    for entry in fs::read_dir(example("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        found += 1;
        let name = path.display().to_string();
        let spec = Spec::from_toml(&fs::read_to_string(&path).unwrap(), &name).unwrap();
        let parties = match (&spec.horizontal, spec.name.contains("three")) {
            (Some(_), _) => 5,
            (None, true) => 3,
            (None, false) => 2,
        };
        assert_eq!(spec.party.len(), parties, "{name}");
        let said = run(["job", "plan", path.to_str().unwrap(), "--json"]);
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(said.json()["name"], spec.name.as_str());
    }
    assert!(found >= 4, "{found} job files");
}

#[test]
fn every_configuration_parses() {
    let config = |name: &str| example("config").join(name);
    paripassu_coordinator::Config::load(&config("coordinator.toml")).unwrap();
    for party in ["bank.toml", "partner.toml"] {
        paripassu_party::config::PartyConfig::load(&config(party)).unwrap();
    }
    assert_eq!(fs::read_dir(example("config")).unwrap().count(), 3);
}
