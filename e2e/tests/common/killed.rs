//! Bank and partner whose nodes are killed while a job of theirs trains, and the job that goes on.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::{example, rig::Rig, wait_for};

pub const PARTIES: [&str; 2] = ["bank", "partner"];

/// Bank and partner on the lending club's columns, each with its own file, and a coordinator that comes back at its address.
pub fn rig(dir: &Path) -> Rig {
    let mut rig = Rig::new();
    let hub = fs::read_to_string(rig.path("hub.toml")).unwrap();
    rig.write("hub.toml", &hub.replace("127.0.0.1:0", rig.address()));
    for (party, columns) in [
        (
            "bank",
            "label = \"y\"\nnumeric = [\"funded_amnt\", \"annual_inc\"]\ncategorical = [\"term\", \"verification_status\"]\n",
        ),
        (
            "partner",
            "numeric = [\"inq_last_6mths\", \"revol_util\", \"open_il_12m\", \"all_util\", \"inq_last_12m\"]\n",
        ),
    ] {
        let name = format!("{party}.csv");
        let file = dir.join(&name);
        fs::copy(example("data/lending_club").join(&name), &file).unwrap();
        rig.party(party, &file, &format!("id = \"id\"\n{columns}"));
    }
    rig
}

/// A job of both with all their columns, and what is to be fitted.
pub fn job(model: &str) -> String {
    let party = |id: &str, role: &str| {
        format!(
            "[[party]]\nid = \"{id}\"\nrole = \"{role}\"\ndataset = \"table\"\ncolumns = \"all\"\n"
        )
    };
    format!(
        "name = \"network\"\npurpose = \"test\"\nlegal_basis = \"test\"\n{}{}[helper]\nid = \"hub\"\n\
         [outputs]\nscores = {{ to = \"bank\" }}\nmetrics_to = [\"bank\", \"partner\"]\n{model}\
         [limits]\nmessage_deadline_s = 20\n",
        party("bank", "label"),
        party("partner", "features")
    )
}

pub fn approved(rig: &Rig, job: &str) {
    PARTIES.iter().for_each(|party| rig.approve(party, job));
}

pub fn kept(rig: &Rig, party: &str, job: &str) -> PathBuf {
    rig.path(&format!("{party}/state/checkpoints/{job}"))
}

/// The last epoch or pass whose state a party holds.
pub fn last_point(rig: &Rig, party: &str, job: &str) -> u64 {
    let Ok(entries) = fs::read_dir(kept(rig, party, job)) else {
        return 0;
    };
    let names = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok());
    let numbers = names.filter_map(|name| name.strip_suffix(".point")?.parse().ok());
    numbers.max().unwrap_or(0)
}

fn is_aborted(rig: &Rig, job: &str) -> bool {
    let said = rig.job("modeler", &["status", job, "--json"]);
    said.code == 0 && said.json()["state"] == "aborted"
}

/// Runs a job until both hold some points, kills a node, waits for the end and starts the node again.
pub fn killed(rig: &mut Rig, role: &str, job: &str, points: u64) -> String {
    let job = killed_when(rig, role, job, |rig, party, job| {
        last_point(rig, party, job) >= points
    });
    for party in PARTIES {
        assert!(last_point(rig, party, &job) >= points, "{party}");
    }
    job
}

/// The same where something else holds of both.
pub fn killed_when(
    rig: &mut Rig,
    role: &str,
    job: &str,
    when: impl Fn(&Rig, &str, &str) -> bool,
) -> String {
    let job = rig.submit(job);
    approved(rig, &job);
    wait_for("some progress", Duration::from_secs(120), || {
        PARTIES.iter().all(|party| when(rig, party, &job))
    });
    rig.kill(role);
    match role {
        "hub" => rig.start("coordinator", "hub", &rig.path("hub.toml")),
        _ => {
            wait_for("the end", Duration::from_secs(90), || is_aborted(rig, &job));
            rig.start("party", role, &rig.path(&format!("{role}.toml")));
        }
    }
    wait_for("the end", Duration::from_secs(90), || is_aborted(rig, &job));
    for party in PARTIES {
        assert!(!rig.path(&format!("{party}/results/{job}")).exists());
    }
    job
}

/// Proposes a job that goes on with an aborted one, once the nodes know that it was.
pub fn proposed(rig: &Rig, job: &str) -> String {
    let mut new = String::new();
    wait_for("a job that goes on", Duration::from_secs(60), || {
        let said = rig.job("modeler", &["resume", job]);
        assert_eq!(said.code, 0, "{said:?}");
        new = said.out.trim().to_owned();
        std::thread::park_timeout(Duration::from_millis(500));
        let status = rig.job("modeler", &["status", &new, "--json"]).json();
        status["state"] == "proposed"
    });
    approved(rig, &new);
    new
}

pub fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Waits for a job's results: the label party's metrics.
pub fn watched(rig: &Rig, job: &str) -> Value {
    let said = rig.job("modeler", &["watch", job, "--json", "--timeout", "240"]);
    let logs = || format!("{}\n{}", rig.log("bank"), rig.log("partner"));
    assert_eq!(said.code, 0, "{said:?}\n{}", logs());
    for party in PARTIES {
        let last = rig.path(&format!("{party}/results/{job}/model.json"));
        wait_for("the results", Duration::from_secs(10), || last.exists());
        wait_for("an empty folder", Duration::from_secs(10), || {
            !kept(rig, party, job).exists()
        });
    }
    json(&rig.path(&format!("bank/results/{job}/metrics.json")))
}
