//! What of a data set's quality may be told to a modeler: by the party's signed policy, and nothing else.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Said, paripassu};
use serde_json::Value;

const POLICY: &str = r#"
[policy]
owner = "bank"
version = 1
expires = "2099-06-30"
PEOPLE
[datasets.applications.grades]
income = 3
age = 4

[purposes.application_score]
legal_basis = ["contract"]
parties = ["partner"]
helpers = ["hub"]
columns = { applications = ["income", "age", "channel", "gone"] }
max_grade = 3
outputs = { "relay.traffic" = ["relay"] }
"#;

struct Party {
    dir: tempfile::TempDir,
}

impl Party {
    /// A bank with a data set, a policy that nobody has signed, and two people with keys.
    fn new() -> Self {
        let me = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let mut people = String::new();
        for (name, role) in [("owner-1", "data_owner"), ("compliance-1", "compliance")] {
            let key = me.path(&format!("{name}.key"));
            let said = me.run(&["policy", "key", "--json", "--out"], &key);
            assert_eq!(said.code, 0, "{said:?}");
            let public = said.json()["key"].as_str().unwrap().to_owned();
            people.push_str(&format!(
                "[[person]]\nname = \"{name}\"\nroles = [\"{role}\"]\nkey = \"{public}\"\n"
            ));
        }
        me.write("policy.toml", &POLICY.replace("PEOPLE", &people));
        me.write(
            "bank.toml",
            "coordinator = \"hub:1\"\nidentity = \"bank\"\nstate = \"state\"\nresults = \"results\"\n\
             policy = \"policy.toml\"\n[[dataset]]\nname = \"applications\"\npath = \"bank.csv\"\n\
             id = \"id\"\nlabel = \"y\"\nnumeric = [\"income\", \"age\"]\ncategorical = [\"channel\", \"nickname\"]\n",
        );
        let mut rows = String::from("id,income,age,channel,nickname,y\n");
        for i in 0..60 {
            let channel = if i % 2 == 0 { "web" } else { "branch" };
            rows.push_str(&format!(
                "c{i},{},{},{channel},wolf-{i},{}\n",
                7_000 + i,
                20 + i,
                i % 3 / 2
            ));
        }
        me.write("bank.csv", &rows);
        me
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, args: &[&str], last: &Path) -> Said {
        paripassu().args(args).arg(last).output().unwrap().into()
    }

    fn sign(&self, name: &str) {
        let (policy, key) = (self.path("policy.toml"), self.path(&format!("{name}.key")));
        let said: Said = paripassu()
            .args(["policy", "sign"])
            .arg(policy)
            .args(["--name", name, "--key"])
            .arg(key)
            .output()
            .unwrap()
            .into();
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// `data inspect --share`; nothing is written where it is refused.
    fn share(&self, dataset: &str, purpose: &str) -> Said {
        let out = self.path("told.json");
        let _ = fs::remove_file(&out);
        let said: Said = paripassu()
            .args(["data", "inspect"])
            .arg(self.path("bank.csv"))
            .args([
                "--label",
                "y",
                "--dataset",
                dataset,
                "--purpose",
                purpose,
                "--config",
            ])
            .arg(self.path("bank.toml"))
            .arg("--share")
            .arg(&out)
            .output()
            .unwrap()
            .into();
        assert_eq!(out.exists(), said.code == 0, "{said:?}");
        said
    }
}

#[test]
fn only_what_a_signed_policy_lists_is_told_and_no_value() {
    let party = Party::new();
    // nobody's decision yet, then one person's
    for (signed, by) in [("0 of 2", "owner-1"), ("1 of 2", "compliance-1")] {
        let said = party.share("applications", "application_score");
        said.refuses(1, &["policy.toml", signed, "policy sign"]);
        party.sign(by);
    }
    let said = party.share("applications", "application_score");
    assert_eq!(said.code, 0, "{said:?}");
    let text = fs::read_to_string(party.path("told.json")).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    // `age` is of a higher grade, `channel` of none, `nickname` and the label are not listed
    let columns = told["columns"].as_array().unwrap();
    let names: Vec<&str> = columns
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["income"], "{told:#}");
    assert_eq!(told["rows"], "below 1,000");
    let members: Vec<&str> = columns[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(members.len(), 5, "{members:?}");
    for value in ["7000", "7059", "wolf", "web", "c12", "nickname", "\"y\""] {
        assert!(!text.contains(value), "{value}: {text}");
    }

    // what is not named is refused, with the rule and whose it is
    let said = party.share("applications", "marketing");
    said.refuses(
        1,
        &["policy of `bank`", "rule `purpose`", "ask the data owner"],
    );
    party
        .share("accounts", "application_score")
        .refuses(1, &["accounts"]);

    // an edit after the signatures, and a policy that is over
    let path = party.path("policy.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("\"income\", \"age\"", "\"income\", \"nickname\""),
    )
    .unwrap();
    let said = party.share("applications", "application_score");
    said.refuses(1, &["0 of 2", "policy sign"]);
    fs::write(&path, text.replace("2099-06-30", "2020-06-30")).unwrap();
    party.sign("owner-1");
    party.sign("compliance-1");
    let said = party.share("applications", "application_score");
    said.refuses(1, &["policy of `bank`", "rule `policy_expires`"]);
}
