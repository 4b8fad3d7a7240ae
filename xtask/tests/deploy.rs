//! The files in `deploy/` are what the programs read.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml does not see as such

use std::{
    fs,
    path::{Path, PathBuf},
};

use paripassu_coordinator::Config;
use paripassu_party::config::PartyConfig;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn read(path: &str) -> String {
    let path = deploy().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Files below `config/`, by name without `.toml`.
fn samples() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for level in ["basic", "advanced", "local"] {
        for entry in fs::read_dir(deploy().join("config").join(level)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            found.push((name, path));
        }
    }
    found.sort();
    found
}

#[test]
fn every_sample_is_read_by_its_program() {
    let samples = samples();
    let count = |names: &[&str]| {
        let named = |(name, _): &&(String, PathBuf)| names.contains(&name.as_str());
        samples.iter().filter(named).count()
    };
    assert_eq!(count(&["coordinator", "bank", "partner"]), 9);
    // read by the command line's own test
    assert_eq!(count(&["helper"]), 1);
    assert_eq!(samples.len(), 10);

    for (name, path) in &samples {
        match name.as_str() {
            "coordinator" => {
                Config::load(path).unwrap();
            }
            "helper" => {}
            _ => {
                let config = PartyConfig::load(path).unwrap();
                assert!(!config.datasets.is_empty(), "{}", path.display());
                assert!(!config.danger_approve_automatically, "{}", path.display());
                let labelled = config.datasets.iter().all(|d| d.columns.label.is_some());
                assert_eq!(labelled, name == "bank", "{}", path.display());
            }
        }
    }
}

#[test]
fn the_samples_fit_the_shipped_data() {
    for (party, file) in [("bank", "bank.csv"), ("partner", "partner.csv")] {
        let load = |level: &str| {
            PartyConfig::load(&deploy().join(format!("config/{level}/{party}.toml"))).unwrap()
        };
        let data = deploy().join("../examples/data/lending_club").join(file);
        let header = fs::read_to_string(&data).unwrap();
        let header: Vec<&str> = header.lines().next().unwrap().split(',').collect();
        for config in [load("basic"), load("local")] {
            for column in config.datasets[0].columns.columns() {
                assert!(header.contains(&column), "{file} has no column {column}");
            }
            assert_eq!(config.datasets[0].columns.columns().count(), header.len());
        }
        let local = load("local");
        let path = local.datasets[0].path.canonicalize().unwrap();
        assert_eq!(path, data.canonicalize().unwrap());
        assert_eq!(local.coordinator, "127.0.0.1:7443");
    }
}

#[test]
fn compose_mounts_what_is_there_and_names_what_it_mounts() {
    let compose = read("compose.yaml");
    for party in ["coordinator", "bank", "partner"] {
        let inside = format!("/etc/paripassu/{party}.toml");
        assert!(compose.contains(&format!("--config, {inside}")), "{party}");
        assert!(
            compose.contains(&format!("./config/basic/{party}.toml:{inside}:ro")),
            "{party}"
        );
    }
    for line in compose
        .lines()
        .filter(|line| line.contains("examples/data"))
    {
        let (host, inside) = line
            .trim()
            .trim_start_matches("- ")
            .split_once(':')
            .unwrap();
        assert!(deploy().join(host).exists(), "{host}");
        let party = inside
            .trim_end_matches(":ro")
            .trim_start_matches("/data/")
            .replace(".csv", "");
        assert!(
            read(&format!("config/basic/{party}.toml")).contains("/data/"),
            "{inside}"
        );
    }
    // the listening port is the published one
    assert!(read("config/basic/coordinator.toml").contains("listen = \"0.0.0.0:7443\""));
    assert!(compose.contains("127.0.0.1:7443:7443"));
}

#[test]
fn units_are_hardened_and_start_the_right_command() {
    let required = [
        "User=paripassu",
        "LimitCORE=0",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "MemoryDenyWriteExecute=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "SystemCallFilter=@system-service",
        "UMask=0077",
    ];
    for kind in ["coordinator", "party", "helper"] {
        let unit = read(&format!("systemd/paripassu-{kind}.service"));
        let lines: Vec<&str> = unit.lines().collect();
        for line in required {
            assert!(
                lines.contains(&line),
                "paripassu-{kind}.service lacks {line}"
            );
        }
        let start = format!(
            "ExecStart=/usr/local/bin/paripassu {kind} serve --config /etc/paripassu/{kind}.toml \
             --log-format json"
        );
        assert!(lines.contains(&start.as_str()), "{kind}");
    }
}

#[test]
fn the_image_runs_as_nobody_special() {
    let image = read("Dockerfile");
    let last = image.rsplit("\nFROM ").next().unwrap();
    assert!(
        last.starts_with("scratch"),
        "the last stage holds the program alone"
    );
    assert!(last.contains("\nUSER 10001:10001\n"));
    assert!(last.contains("HEALTHCHECK"));
    assert!(image.contains("target-feature=+crt-static"));
    assert!(image.contains("PARIPASSU_REVISION"));
}

#[test]
fn no_key_or_certificate_is_tracked() {
    let out = std::process::Command::new("git")
        .args(["ls-files"])
        .current_dir(deploy().join(".."))
        .output()
        .unwrap();
    let names = String::from_utf8(out.stdout).unwrap();
    for name in names.lines() {
        let ending = name.rsplit('.').next().unwrap_or_default();
        let secret = ["key", "crt", "pem", "csr", "p12"].contains(&ending);
        assert!(!secret, "{name} looks like a key or a certificate");
    }
}
