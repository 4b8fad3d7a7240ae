//! The walk of `examples/README.md`, run as it is written.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{fs, net::TcpListener, process::Command};

use common::{example, program};

/// The commands of the README, each on a line.
fn commands_of_readme() -> Vec<String> {
    let text = fs::read_to_string(example("README.md")).unwrap();
    let mut inside = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => commands.push(line.to_owned()),
            _ => {}
        }
    }
    commands
}

#[test]
fn the_script_runs_what_the_readme_says() {
    let script = fs::read_to_string(example("by_hand.sh")).unwrap();
    // The script takes another port and folder.
    let mut lines = script
        .lines()
        .map(|line| line.replace("$PORT", "7443").replace("\"$WALK\"", "walk"));
    for command in commands_of_readme() {
        assert!(
            lines.any(|line| line == command),
            "examples/by_hand.sh lacks, or has in another order: {command}"
        );
    }
}

#[test]
fn the_walk_by_hand_ends_with_two_halves_of_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let walk = dir.path().join("walk");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let folder = program().parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("bash")
        .arg(example("by_hand.sh"))
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("PORT", port.to_string())
        .env("WALK", &walk)
        .env_remove("PARIPASSU_IDENTITY")
        .env_remove("PARIPASSU_COORDINATOR_ID")
        .output()
        .unwrap();
    let said = common::Said::from(output);
    assert_eq!(said.code, 0, "{said:?}");
    for words in [
        "released",
        "Uplift on the held-out rows",
        "funded_amnt",
        "revol_util",
    ] {
        assert!(
            said.out.contains(words),
            "nothing is said of {words}:\n{said:?}"
        );
    }
    for party in ["bank", "partner"] {
        let results = fs::read_dir(walk.join(party).join("results")).unwrap();
        let folders: Vec<_> = results.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(folders.len(), 1, "{folders:?}");
        assert!(folders[0].join("report.html").is_file());
    }
    // asked to stop, the nodes leave no ready file behind
    assert!(!walk.join("coordinator.json").exists());
}
