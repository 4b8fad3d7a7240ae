//! Jobs that only match, with every node a process: lists, what stays secret, and nodes killed in the middle.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use common::{Said, files_below, holds, paripassu, rig::Rig, run, wait_for};
use paripassu_audit::{
    bundle::Bundle,
    verify::{Options, verify},
};
use rand::RngExt;

const SECTIONS: [&str; 3] = ["bank", "partner", "insurer"];

/// A file of ids `from..to`, every one marked.
fn ids(dir: &Path, name: &str, from: u32, to: u32) -> PathBuf {
    let path = dir.join(format!("{name}.csv"));
    let rows: String = (from..to)
        .rev()
        .map(|i| format!("CANARY-{i:08}\n"))
        .collect();
    fs::write(&path, format!("id\n{rows}")).unwrap();
    path
}

fn job(parties: &[&str], of: &str, method: &str, min_matched: u32) -> String {
    let parties: String = parties
        .iter()
        .map(|p| format!("[[party]]\nid = \"{p}\"\nrole = \"member\"\ndataset = \"table\"\n"))
        .collect();
    format!(
        "name = \"overlap\"\npurpose = \"test\"\nlegal_basis = \"test\"\n{parties}[helper]\n\
         id = \"hub\"\n[overlap]\nof = \"{of}\"\n[align]\nmethod = \"{method}\"\n\
         min_matched = {min_matched}\n[limits]\nmessage_deadline_s = 30\n"
    )
}

/// The same with sizes told in finer steps.
fn fine_job(parties: &[&str], method: &str, min_matched: u32, step: u32) -> String {
    let job = job(parties, "all", method, min_matched);
    job.replace("[align]\n", &format!("[align]\nsize_step = {step}\n"))
}

/// A sandbox of these parties with these ranges of ids.
fn sandbox(of: &str, method: &str, sets: &[(u32, u32)]) -> (Said, tempfile::TempDir) {
    sandbox_of(&job(&SECTIONS[..sets.len()], of, method, 10), sets)
}

/// The same with this job.
fn sandbox_of(job: &str, sets: &[(u32, u32)]) -> (Said, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let names = &SECTIONS[..sets.len()];
    let text = dir.path().join("job.toml");
    fs::write(&text, job).unwrap();
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(&text);
    for (name, (from, to)) in names.iter().zip(sets) {
        let file = ids(dir.path(), name, *from, *to);
        command
            .arg("--party")
            .arg(format!("{name}={}", file.display()));
    }
    command.arg("--out").arg(dir.path().join("out"));
    (command.output().unwrap().into(), dir)
}

#[test]
fn lists_are_exactly_the_common_customers_and_nothing_else_gets_out() {
    for (of, method, sets, common) in [
        ("all", "curve", &[(0, 300), (200, 900)][..], [100, 100, 0]),
        (
            "all",
            "vole",
            &[(0, 300), (200, 900), (250, 600)],
            [50, 50, 50],
        ),
        (
            "any",
            "vole",
            &[(0, 300), (200, 900), (290, 600)],
            [100, 100, 10],
        ),
    ] {
        let (said, dir) = sandbox(of, method, sets);
        assert_eq!(said.code, 0, "{said:?}");
        let told = said.json();
        assert_eq!(told["exact"], true, "{told:#}");
        for (name, want) in SECTIONS.iter().zip(common).take(sets.len()) {
            assert_eq!(told["matched"][name], want, "{of} {method} {name}");
        }
        let bundles = told["bundles"].as_object().unwrap();
        assert_eq!(bundles.len(), sets.len() + 1);
        for path in bundles.values() {
            let bundle = Bundle::load(Path::new(path.as_str().unwrap())).unwrap();
            let verdict = verify(&bundle, &Options::default());
            assert_eq!(verdict.exit_code, 0, "{verdict}");
        }
        // an id stands in its owner's list, and nowhere else
        let out = dir.path().join("out");
        for (path, bytes) in files_below(&out) {
            let list = path.ends_with("members.csv");
            assert!(list || !holds(&bytes, b"CANARY"), "{}", path.display());
        }
    }
}

#[test]
fn a_bucket_of_how_many_are_common_says_nothing_of_who() {
    let text =
        job(&SECTIONS[..2], "all", "curve", 10).replace("[align]", "[align]\nreveal = \"size\"");
    for (sets, from, below) in [
        ([(0, 300), (200, 900)], 100, 200),
        ([(0, 300), (291, 900)], 0, 10),
        ([(0, 250), (0, 250)], 200, 500),
    ] {
        let (said, dir) = sandbox_of(&text, &sets);
        assert_eq!(said.code, 0, "{said:?}");
        let told = said.json();
        assert_eq!(
            (&told["exact"], &told["of"]),
            (&true.into(), &"size".into()),
            "{told:#}"
        );
        let out = dir.path().join("out");
        for name in &SECTIONS[..2] {
            assert_eq!(told["size"][name]["from"], from, "{told:#}");
            assert_eq!(told["size"][name]["below"], below);
            let path = PathBuf::from(told["bundles"][name].as_str().unwrap());
            let bundle = Bundle::load(&path).unwrap();
            let verdict = verify(&bundle, &Options::default());
            assert_eq!(verdict.exit_code, 0, "{verdict}");
            let events = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!events.contains("align.members\",\"ordinal"), "not opened");
        }
        // no list, and no id anywhere
        for (path, bytes) in files_below(&out) {
            assert!(
                !path.ends_with("members.csv") && !holds(&bytes, b"CANARY"),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn too_few_and_repeated_ids_end_the_job_by_name() {
    let (said, _dir) = sandbox("all", "vole", &[(0, 300), (296, 900), (0, 300)]);
    said.refuses(3, &["4 customers in common"]);
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("job.toml");
    fs::write(&text, job(&SECTIONS[..2], "all", "vole", 10)).unwrap();
    let twice = dir.path().join("twice.csv");
    fs::write(&twice, "id\n1\n2\n1\n").unwrap();
    let other = ids(dir.path(), "partner", 0, 9);
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(&text);
    command
        .arg("--party")
        .arg(format!("bank={}", twice.display()));
    command
        .arg("--party")
        .arg(format!("partner={}", other.display()));
    command.arg("--out").arg(dir.path().join("out"));
    let said: Said = command.output().unwrap().into();
    assert_ne!(said.code, 0);
    assert!(
        said.err.contains("row 3") || said.out.contains("row 3"),
        "{said:?}"
    );
}

fn env(name: &str, usual: u32) -> u32 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

fn is_empty(folder: &Path) -> bool {
    !folder.exists() || fs::read_dir(folder).unwrap().next().is_none()
}

/// Each role is killed at a random moment of a match. The job ends well or is aborted at every node that is
/// left, nothing of it is kept where it was aborted, and after the node's return the same job runs.
/// `PARIPASSU_KILLS`, `PARIPASSU_KILL_ROWS` and `PARIPASSU_KILL_METHOD` ask for more.
#[test]
fn a_node_killed_in_mid_match_ends_the_job_cleanly_and_the_same_job_runs_again() {
    let (kills, rows) = (
        env("PARIPASSU_KILLS", 3),
        env("PARIPASSU_KILL_ROWS", 20_000),
    );
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    for (name, from) in [("bank", 0), ("partner", rows / 2)] {
        let file = ids(dir.path(), name, from, from + rows);
        rig.party(name, &file, "id = \"id\"\n");
    }
    let method = std::env::var("PARIPASSU_KILL_METHOD").unwrap_or_else(|_| "curve".into());
    let spec = job(&["bank", "partner"], "all", &method, 10);
    // the coordinator comes back where it was
    let hub = fs::read_to_string(rig.path("hub.toml")).unwrap();
    let hub = hub.replace("127.0.0.1:0", rig.address());
    rig.write("hub.toml", &hub);

    let runs_well = |rig: &Rig| {
        let begun = Instant::now();
        let job = rig.submit(&spec);
        for party in ["bank", "partner"] {
            rig.approve(party, &job);
        }
        let args = ["watch", &job, "--json", "--timeout", "300"];
        let said = rig.job("modeler", &args);
        let logs = || {
            ["hub", "bank", "partner"]
                .map(|node| rig.log(node))
                .join("\n\n")
        };
        assert_eq!(said.code, 0, "{said:?}\n{}", logs());
        let list = rig.path(&format!("bank/results/{job}/members.csv"));
        wait_for("the list", Duration::from_secs(10), || list.exists());
        let lines = fs::read_to_string(list).unwrap().lines().count() as u32;
        assert_eq!(lines, 1 + rows - rows / 2);
        begun.elapsed()
    };
    let whole = runs_well(&rig);
    let (mut aborted, mut ended_well) = (0, 0);
    for kill in 0..kills {
        let role = ["partner", "hub", "bank"][kill as usize % 3];
        let job = rig.submit(&spec);
        for party in ["bank", "partner"] {
            rig.approve(party, &job);
        }
        std::thread::park_timeout(whole.mul_f64(rand::rng().random_range(0.0..0.6)));
        rig.kill(role);
        if role == "hub" {
            rig.start("coordinator", "hub", &rig.path("hub.toml"));
        }
        let left: Vec<&str> = ["bank", "partner"]
            .into_iter()
            .filter(|p| *p != role)
            .collect();
        // whoever is left knows how it ended, within the deadline
        let mut state = String::new();
        wait_for("the end of the job", Duration::from_secs(90), || {
            let said = rig.job("modeler", &["status", &job, "--json"]);
            if said.code != 0 {
                return false;
            }
            state = said.json()["state"].as_str().unwrap_or_default().to_owned();
            ["released", "aborted", "expired"].contains(&state.as_str())
        });
        if role != "hub" {
            let config = rig.path(&format!("{role}.toml"));
            rig.start("party", role, &config);
        }
        match state.as_str() {
            "released" => ended_well += 1,
            _ => {
                aborted += 1;
                let said = rig.job("modeler", &["status", &job, "--json"]);
                let told = said.json();
                assert_eq!(told["abort"]["culprit"], role, "{told:#}");
                for party in ["bank", "partner"] {
                    let results = rig.path(&format!("{party}/results"));
                    wait_for("nothing half-written", Duration::from_secs(20), || {
                        is_empty(&results.join(&job))
                            && !results.join(format!("{job}.part")).exists()
                    });
                }
                for party in left {
                    wait_for("the party's knowledge", Duration::from_secs(20), || {
                        rig.log(party).contains(&job)
                    });
                }
            }
        }
        runs_well(&rig);
    }
    eprintln!("{kills} kills: {aborted} aborted, {ended_well} ended well, all ran again");
    assert_eq!(aborted + ended_well, kills);
    // and no id is in a log, in the coordinator's folder or in another's state
    for (path, bytes) in files_below(&rig.path("hub")) {
        assert!(!holds(&bytes, b"CANARY"), "{}", path.display());
    }
    for node in ["hub", "bank", "partner"] {
        assert!(!rig.log(node).contains("CANARY"));
        for (path, bytes) in files_below(&rig.path(node).join("state")) {
            assert!(!holds(&bytes, b"CANARY"), "{}", path.display());
        }
    }
}

/// A partner that brings far more ids than agreed, to find out who is a customer, and one that asks again and
/// again or for a handful: the bank's own limits end each before anything of its customers leaves.
#[test]
fn a_partys_own_limits_hold_against_a_match_that_asks_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    let few = ids(dir.path(), "bank", 0, 200);
    let many = ids(dir.path(), "partner", 0, 20_000);
    let limits = "id = \"id\"\n[align]\nmax_rows = 300\nmin_matched = 50\nmax_runs = 1\n";
    rig.party("bank", &few, limits);
    rig.party("partner", &many, "id = \"id\"\n");
    let ended = |rig: &Rig, min_matched: u32| {
        let job = rig.submit(&fine_job(&["bank", "partner"], "vole", min_matched, 256));
        let mut told = serde_json::Value::Null;
        wait_for("an end", Duration::from_secs(30), || {
            told = rig.job("modeler", &["status", &job, "--json"]).json();
            if told["state"] == "proposed" {
                for party in ["bank", "partner"] {
                    // refused once the bank's node has rejected the job
                    let shown = rig.job(party, &["show", &job, "--json"]);
                    if let Some(digest) = shown.json()["digest"].as_str() {
                        rig.job(party, &["approve", &job, "--contract", digest]);
                    }
                }
            }
            ["aborted", "rejected", "released"].contains(&told["state"].as_str().unwrap())
        });
        (told["state"].as_str().unwrap().to_owned(), told.to_string())
    };
    // a job over a handful
    // (an officer who is quicker than the node's own rejection approves what it then refuses to begin)
    let refused = |state: &str| ["rejected", "aborted"].contains(&state);
    let (state, told) = ended(&rig, 10);
    assert!(refused(&state), "{told}");
    assert!(
        told.contains("less than the 50 that this party asks for"),
        "{told}"
    );
    // too many ids
    let (state, told) = ended(&rig, 50);
    assert_eq!(state, "aborted", "{told}");
    assert!(told.contains("\"culprit\":\"partner\""), "{told}");
    assert!(told.contains("this node allows 300:"), "{told}");
    // and once more: that attempt counts
    let (state, told) = ended(&rig, 50);
    assert!(refused(&state), "{told}");
    assert!(told.contains("this party allows 1 alignments"), "{told}");
    for party in ["bank", "partner"] {
        assert!(is_empty(&rig.path(&format!("{party}/results"))));
    }
}

/// How often a signed refusal for this reason stands in the bank's log.
fn denials(rig: &Rig, subject: &str) -> usize {
    let subject = format!("\"subject\":\"{subject}\"");
    files_below(&rig.path("bank/state/transcript"))
        .iter()
        .map(|(_, bytes)| count(bytes, subject.as_bytes()))
        .sum()
}

/// Ten thousand made-up phone numbers against a limit of 5,000 are refused by every method before a masked id leaves; 4,000
/// are matched. Steps above the limit are refused when the job is proposed. Each refusal names rule, party and what would do.
#[test]
fn ten_thousand_made_up_phones_are_refused_and_four_thousand_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    let own = ids(dir.path(), "bank", 0, 200);
    rig.party("bank", &own, "id = \"id\"\n[align]\nmax_rows = 5000\n");
    for (name, phones) in [("insurer", 10_000), ("shop", 4_000)] {
        let made_up = (20..phones).map(|i| format!("139{i:08}\n"));
        let phones: String = (0..20)
            .map(|i| format!("CANARY-{i:08}\n"))
            .chain(made_up)
            .collect();
        let file = dir.path().join(format!("{name}.csv"));
        fs::write(&file, format!("id\n{phones}")).unwrap();
        rig.party(name, &file, "id = \"id\"\n");
    }
    let mut refused = 0;
    for (name, method, code) in [
        ("insurer", "curve", 3),
        ("insurer", "vole", 3),
        ("shop", "curve", 0),
        ("shop", "vole", 0),
    ] {
        let id = rig.submit(&fine_job(&["bank", name], method, 10, 1_024));
        for party in ["bank", name] {
            rig.approve(party, &id);
        }
        let said = rig.job("modeler", &["watch", &id, "--json", "--timeout", "60"]);
        assert_eq!(said.code, code, "{name} {method}: {said:?}");
        let listed = rig.path(&format!("bank/results/{id}/members.csv"));
        assert_eq!(listed.exists(), code == 0, "{name} {method}");
        if code == 0 {
            let listed = fs::read_to_string(listed).unwrap();
            assert_eq!(listed.lines().count(), 21);
            continue;
        }
        refused += 1;
        for part in [
            "policy of `bank`, rule `max_rows`",
            "`insurer` announces 10240",
            "this node allows 5000",
            "it may bring 4032 at most",
        ] {
            assert!(said.out.contains(part), "{part}: {said:?}");
        }
        assert_eq!(denials(&rig, "max_rows"), refused);
    }
    // as many as any counterpart announces in the usual steps are too many
    let id = rig.submit(&job(&["bank", "shop"], "all", "curve", 10));
    let mut told = serde_json::Value::Null;
    wait_for("the refusal", Duration::from_secs(30), || {
        told = rig.job("modeler", &["status", &id, "--json"]).json();
        told["state"] == "rejected"
    });
    let told = told.to_string();
    for part in [
        "policy of `bank`",
        "rule `max_rows`",
        "steps of 16384",
        "align.size_step",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(denials(&rig, "max_rows"), refused + 1);
}

/// Who asks again and again with a set and the same set without one customer, to learn of the one, comes to the end of
/// the quota; where fewer than asked for are common, no list of them is kept. Each refusal names rule and party and is signed.
#[test]
fn fifty_matches_in_a_row_end_at_the_quota_and_a_few_common_customers_give_no_list() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    let own = ids(dir.path(), "bank", 0, 200);
    let limits = "id = \"id\"\n[align]\nmax_runs = 3\n";
    rig.party("bank", &own, limits);
    let brought = ids(dir.path(), "partner", 0, 300);
    rig.party("partner", &brought, "id = \"id\"\n");
    let spec = job(&["bank", "partner"], "all", "vole", 10);
    let (mut ran, mut refused) = (0, 0);
    for number in 0..50 {
        // one customer more, one less
        ids(dir.path(), "partner", number % 2, 300);
        let job = rig.submit(&spec);
        let mut told = serde_json::Value::Null;
        wait_for("a word of the bank", Duration::from_secs(30), || {
            told = rig.job("modeler", &["status", &job, "--json"]).json();
            told["state"] == "rejected" || rig.log("bank").contains(&job)
        });
        if ran < 3 {
            for party in ["bank", "partner"] {
                rig.approve(party, &job);
            }
            let said = rig.job("modeler", &["watch", &job, "--json", "--timeout", "60"]);
            assert_eq!(said.code, 0, "{number}: {said:?}");
            ran += 1;
            continue;
        }
        wait_for("the refusal", Duration::from_secs(30), || {
            told = rig.job("modeler", &["status", &job, "--json"]).json();
            told["state"] == "rejected"
        });
        assert!(
            told.to_string().contains("this party allows 3 alignments"),
            "{told:#}"
        );
        refused += 1;
    }
    assert_eq!((ran, refused), (3, 47));
    let events = rig.path("bank/state/transcript");
    let denied: usize = files_below(&events)
        .iter()
        .map(|(_, bytes)| count(bytes, b"\"event\":\"denied\""))
        .sum();
    assert!(denied >= 47, "{denied} refusals are signed");

    // another counterpart's quota is untouched: it guesses five customers among ten thousand
    let made_up = (5..10_000).map(|i| format!("139{i:08}\n"));
    let phones: String = (0..5)
        .map(|i| format!("CANARY-{i:08}\n"))
        .chain(made_up)
        .collect();
    let file = dir.path().join("insurer.csv");
    fs::write(&file, format!("id\n{phones}")).unwrap();
    rig.party("insurer", &file, "id = \"id\"\n");
    let spec = job(&["bank", "insurer"], "all", "vole", 10);
    let id = rig.submit(&spec);
    for party in ["bank", "insurer"] {
        rig.approve(party, &id);
    }
    let said = rig.job("modeler", &["watch", &id, "--json", "--timeout", "60"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.out.contains("5 customers in common"), "{said:?}");
    for party in ["bank", "insurer"] {
        assert!(!rig.path(&format!("{party}/results/{id}")).exists());
    }
}

/// How often `needle` stands in `bytes`.
fn count(bytes: &[u8], needle: &[u8]) -> usize {
    bytes
        .windows(needle.len())
        .filter(|window| *window == needle)
        .count()
}

/// The officer approves at another place while the node is away: once it is back, the job runs.
#[test]
fn a_job_approved_while_a_node_was_away_runs_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    for (name, from) in [("bank", 0), ("partner", 100)] {
        let file = ids(dir.path(), name, from, from + 200);
        rig.party(name, &file, "id = \"id\"\n");
    }
    rig.kill("partner");
    let job = rig.submit(&job(&["bank", "partner"], "all", "vole", 10));
    for party in ["bank", "partner"] {
        rig.approve(party, &job);
    }
    rig.start("party", "partner", &rig.path("partner.toml"));
    let said = rig.job("modeler", &["watch", &job, "--json", "--timeout", "60"]);
    assert_eq!(said.code, 0, "{said:?}\n{}", rig.log("partner"));
}

#[test]
fn a_template_for_overlaps_is_printed_and_plans() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("job.toml");
    let said = run([
        "job",
        "new",
        "--template",
        "overlap",
        "--out",
        file.to_str().unwrap(),
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = run(["job", "plan", file.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.out.contains("only some of the others have"),
        "{said:?}"
    );
}

/// Customers whom no single column tells apart, written differently at the two ends.
#[test]
fn ids_of_several_columns_match_where_all_of_them_agree() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    let people = |of: std::ops::Range<u32>, row: fn(u32) -> String, head: &str, name: &str| {
        let path = dir.path().join(name);
        let rows: String = of.map(row).collect();
        fs::write(&path, format!("{head}\n{rows}")).unwrap();
        path
    };
    // 300 and 400 people of five surnames, of whom 200 are at both; 100 more agree but for the postcode
    let bank = people(
        0..300,
        |i| format!("Moss{},1970-01-{:02},AB{}\n", i % 5, i % 28 + 1, i),
        "surname,born,postcode",
        "bank.csv",
    );
    let partner = people(
        100..500,
        |i| {
            let other = if (300..400).contains(&i) {
                1_000 + i
            } else {
                i
            };
            format!(" ab{other},moss{},197001{:02}\n", i % 5, i % 28 + 1)
        },
        "zip,name,birth",
        "partner.csv",
    );
    rig.party(
        "bank",
        &bank,
        "id = \"surname\"\nid_more = [{ column = \"born\" }, { column = \"postcode\" }]\n",
    );
    rig.party(
        "partner",
        &partner,
        "id = \"name\"\nid_more = [{ column = \"birth\" }, { column = \"zip\" }]\n",
    );
    let rules = "[align]\nid_rules = [\"trim\", \"lower_case\"]\nid_more_rules = [[\"digits_only\"], [\"trim\", \"lower_case\"]]";
    let spec = job(&["bank", "partner"], "all", "vole", 10).replace("[align]", rules);
    let said = rig.whole_job(&spec);
    assert_eq!(said.code, 0, "{said:?}");
    let folders: Vec<PathBuf> = fs::read_dir(rig.path("bank/results"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    let list = fs::read_to_string(folders[0].join("members.csv")).unwrap();
    let found: std::collections::BTreeSet<&str> = list.lines().skip(1).collect();
    let want: Vec<String> = (100..300_u32)
        .map(|i| format!("moss{}|197001{:02}|ab{i}", i % 5, i % 28 + 1))
        .collect();
    assert_eq!(found, want.iter().map(String::as_str).collect());
    // a job by one column is not for these data sets
    let single = rig.submit(&job(&["bank", "partner"], "all", "vole", 10));
    let mut told = String::new();
    wait_for("a rejection", Duration::from_secs(20), || {
        told = rig.job("modeler", &["show", &single, "--json"]).out;
        told.contains("rejected")
    });
    assert!(told.contains("are made of 3 columns"), "{told}");
}
