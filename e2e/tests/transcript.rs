//! What becomes of the transcript when nodes fail, lie or are restarted.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use paripassu_audit::{
    bundle::Bundle,
    event::Envelope,
    witness::{Contradiction, Evidence},
};
use paripassu_e2e::{Consortium, JOB, proves, state};
use paripassu_job::JobId;
use paripassu_proto::control::v1::{JobState, JobStatus};
use paripassu_service::transcript::{LOG_FOLDER, WITNESS_FOLDER, assemble, export};

mod common;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/data")
        .join(name)
}

/// A bank and a partner with a column or two each.
async fn consortium() -> Consortium {
    let mut c = Consortium::new(None).await;
    c.party(
        "bank",
        &data("german_credit/bank.csv"),
        "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\", \"credit_amount\"]\n",
    );
    c.party(
        "partner",
        &data("german_credit/partner.csv"),
        "id = \"id\"\nnumeric = [\"age_in_years\"]\n",
    );
    c
}

/// A node's bundle of a job, waited for.
async fn bundle(c: &Consortium, node: &str, job: JobId) -> Bundle {
    let state = c.path(&format!("{node}-state"));
    for _ in 0..400 {
        if let Ok(bundle) = export(&state, &job.to_string()) {
            return bundle;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no bundle of {node}");
}

/// The kinds of all events of one log in a bundle.
fn events(bundle: &Bundle, origin: &str) -> Vec<String> {
    let parse = |text: &str| Envelope::parse(text.as_bytes()).unwrap().event;
    let log = bundle.log(origin);
    log.into_iter()
        .flat_map(|log| &log.events)
        .map(|e| parse(&e.envelope))
        .collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

fn abort(status: &JobStatus) -> (String, String, String) {
    let abort = status.summary.clone().unwrap().abort.unwrap();
    (abort.culprit, abort.code, abort.reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_goes_on_with_its_log_and_a_restored_one_is_refused() {
    let mut c = consortium().await;
    let (status, first) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    proves(&bundle(&c, "partner", first).await, &[]);

    // a restart goes on where the log was, with all that others remember of it
    c.halt("bank").await;
    let (log, backup) = (c.path("bank-state").join(LOG_FOLDER), c.path("backup"));
    copy(&log, &backup);
    c.resume("bank");
    let (status, second) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    let proved = bundle(&c, "bank", second).await;
    proves(&proved, &[]);
    let first_index = proved.log(&proved.node).unwrap().events[0].index;
    assert!(first_index > 20, "the log began anew: {first_index}");

    // an older copy of the log is whole in itself, but the others remember more
    c.halt("bank").await;
    fs::remove_dir_all(&log).unwrap();
    copy(&backup, &log);
    c.resume("bank");
    let (status, third) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Aborted, "{status:?}");
    let (culprit, code, reason) = abort(&status);
    assert_eq!(
        (culprit.as_str(), code.as_str()),
        ("bank", "not_countersigned"),
        "{reason}"
    );
    assert!(reason.contains("paripassu/party/bank"), "{reason}");
    assert!(!c.results("bank", third).exists());
    let mut kept = Vec::new();
    for node in ["partner", "hub"] {
        let folder = c
            .path(&format!("{node}-state"))
            .join(WITNESS_FOLDER)
            .join("evidence");
        kept.extend(fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()));
    }
    assert!(!kept.is_empty(), "no evidence is kept");
    for file in kept {
        let evidence: Evidence = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        assert_eq!(evidence.origin, "paripassu/party/bank");
        assert!(matches!(
            evidence.kind,
            Contradiction::Rollback | Contradiction::Fork
        ));
    }
    c.stop().await;
}

/// A file system of its own for a folder, if this user may make one; gone with this.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, bytes: u64) -> Option<Self> {
        let options = format!("size={bytes},mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "paripassu-test"])
            .arg(at)
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // what is still open keeps it a little longer
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_job_and_room_lets_it_go_on() {
    let mut c = consortium().await;
    c.halt("partner").await;
    let log = c.path("partner-state").join(LOG_FOLDER);
    copy(&log, &c.path("aside"));
    let Some(_disk) = Disk::mount(&log, 4 << 20) else {
        eprintln!("skipped: mounting a small file system takes a privilege that this user lacks");
        return;
    };
    copy(&c.path("aside"), &log);
    c.resume("partner");
    let (status, _) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    // room for the beginning of a job, and no more
    let filler = log.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    let block = vec![0; 4_096];
    let mut blocks = 0;
    while file.write_all(&block).is_ok() {
        blocks += 1;
    }
    file.set_len((blocks - 2) * 4_096).unwrap();
    drop(file);
    // the first as it writes, the second as nothing is written any more
    for _ in 0..2 {
        let (status, job) = c.run(JOB).await;
        assert_eq!(state(&status), JobState::Aborted, "{status:?}");
        let (culprit, code, reason) = abort(&status);
        assert_eq!(
            (culprit.as_str(), code.as_str()),
            ("partner", "transcript_failed"),
            "{reason}"
        );
        assert!(!c.results("bank", job).exists() && !c.results("partner", job).exists());
    }
    c.halt("partner").await;
    fs::remove_file(&filler).unwrap();
    c.resume("partner");
    let (status, job) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    proves(&bundle(&c, "partner", job).await, &[]);
    c.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_party_is_gone_the_others_still_prove_what_happened() {
    let mut c = consortium().await;
    let (status, _) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    // the partner goes as soon as the job runs
    let log = c.path("partner-state").join(LOG_FOLDER);
    let before = size_of(&log);
    {
        let running = c.run(JOB);
        tokio::pin!(running);
        while size_of(&log) < before + 6_000 {
            tokio::select! {
                _ = &mut running => panic!("the job ended too early"),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    }
    c.halt("partner").await;
    let state = c.path("bank-state");
    let mut found = None;
    for _ in 0..400 {
        let bundles = fs::read_dir(state.join("bundles")).unwrap();
        let jobs: Vec<_> = bundles
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "bundle"))
            .collect();
        if jobs.len() == 2 {
            found = jobs.into_iter().find(|p| {
                let bundle = Bundle::load(p).unwrap();
                events(&bundle, "paripassu/party/bank").contains(&"aborted".to_owned())
            });
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let bundle = Bundle::load(&found.expect("a bundle of the job that was aborted")).unwrap();
    proves(&bundle, &[]);
    assert!(!events(&bundle, "paripassu/party/bank").contains(&"run.completed".to_owned()));
    // the partner writes the end of the job when it is back, and a bundle with what it has
    let job = bundle.job.clone();
    let state = c.path("partner-state");
    let from_log = assemble(&state, &job).unwrap();
    // a node that was told to stop left all it wrote under a head on disk
    assert_eq!(from_log.bundle.job, job);
    let own = events(&from_log.bundle, "paripassu/party/partner");
    assert!(own.contains(&"session.opened".to_owned()), "{own:?}");
    c.resume("partner");
    let left = export(&state, &job).unwrap();
    assert!(events(&left, "paripassu/party/partner").contains(&"aborted".to_owned()));
    proves(&left, &[]);
    // and where that is lost, too, one can be made of the log beside the running node
    fs::remove_file(state.join("bundles").join(format!("{job}.bundle"))).unwrap();
    let made = assemble(&state, &job).unwrap();
    assert_eq!(made.bundle.logs.len(), 1);
    assert!(made.lacks[0].contains("other members"), "{:?}", made.lacks);
    proves(&made.bundle, &[]);
    // as the officer does it, by hand
    let out = c.path("made.bundle");
    let said = common::run([
        "audit".as_ref(),
        "export".as_ref(),
        "--json".as_ref(),
        "--job".as_ref(),
        job.as_ref(),
        "--state".as_ref(),
        state.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    let lacks = said.json()["lacks"].as_array().unwrap().len();
    // the node may have heard meanwhile how the job ended, and have written its bundle again
    assert!(lacks == made.lacks.len() || lacks == 0, "{said:?}");
    assert_eq!(Bundle::load(&out).unwrap().logs.len(), 1);
    // nodes built with the means of tests say so of themselves, which is check 10's to find
    let known = common::run(["audit", "verify", out.to_str().unwrap()]);
    assert!(matches!(known.code, 0 | 19), "{known:?}");
    c.stop().await;
}

/// What old events say can be removed while the node is stopped; what proves them cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pruned_log_proves_what_it_no_longer_says() {
    let mut c = consortium().await;
    let (status, old) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    let whole = bundle(&c, "bank", old).await;
    let (status, _) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    let folder = c.path("bank-state").display().to_string();
    let identity = c.path("party-bank").display().to_string();
    let id = old.to_string();
    let base = [
        "audit",
        "prune",
        "--json",
        "--state",
        &folder,
        "--identity",
        &identity,
    ];
    let prune = |more: &[&str]| common::run([&base[..], more].concat());
    // a running node's log is left alone
    let refused = prune(&["--job", &id]);
    refused.refuses(1, &["in use"]);
    assert_eq!(bundle(&c, "bank", old).await, whole);
    c.halt("bank").await;
    assert_eq!(prune(&["--job", "zzz"]).code, 1);
    assert_eq!(prune(&["--older-than", "1"]).json()["bodies"], 0);
    let said = prune(&["--job", &id, "--bundles"]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = said.json();
    let own = &whole.log(&whole.node).unwrap().events;
    assert_eq!(said["bodies"], own.len(), "{said}");
    assert!(said["freed_bytes"].as_u64().unwrap() > 1_000, "{said}");
    assert_eq!(prune(&["--job", &id]).json()["bodies"], 0);

    // the same envelopes, proofs and countersignatures, and nothing of what they were about
    let pruned = bundle(&c, "bank", old).await;
    let own_after = &pruned.log(&pruned.node).unwrap().events;
    assert!(own_after.iter().zip(own).all(|(a, b)| {
        a.body.is_none() && (&a.envelope, &a.proof, a.index) == (&b.envelope, &b.proof, b.index)
    }));
    let path = c.path("pruned.bundle");
    pruned.save(&path).unwrap();
    let file = path.to_str().unwrap();
    let trust = |more: &str| {
        let ca = fs::read_to_string(c.path("party-bank").join("ca.crt")).unwrap();
        let text = format!("authority = \"\"\"{ca}\"\"\"\nallow_debug_builds = true\n{more}");
        fs::write(c.path("trust.toml"), text).unwrap();
        common::run([
            "audit",
            "verify",
            file,
            "--trust",
            c.path("trust.toml").to_str().unwrap(),
        ])
    };
    assert_eq!(trust("").code, 13);
    let verified = trust("allow_pruned = true\n");
    assert_eq!(verified.code, 0, "{verified:?}");
    let proof = c.path("one.tlog-proof");
    let event = format!("bank#{}", own[3].index);
    let out = [
        "audit",
        "prove",
        file,
        &event,
        "--out",
        proof.to_str().unwrap(),
    ];
    assert_eq!(common::run(out).code, 0);
    let certificate = c.path("party-bank").join("node.crt");
    let checked = [
        "audit",
        "check-proof",
        proof.to_str().unwrap(),
        "--certificate",
    ];
    let checked = common::run([&checked[..], &[certificate.to_str().unwrap()]].concat());
    assert_eq!(checked.code, 0, "{checked:?}");

    // the log goes on, and tells of what was removed
    c.resume("bank");
    let (status, job) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    let after = bundle(&c, "bank", job).await;
    proves(&after, &[]);
    let log = paripassu_audit::log::Log::read(&c.path("bank-state").join(LOG_FOLDER));
    let told = log.unwrap().0.job_entries("").unwrap();
    assert!(told.iter().any(|entry| {
        let envelope = Envelope::parse(&entry.envelope).unwrap();
        envelope.event == "data.erased"
    }));
    c.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_of_a_training_that_fails_are_accounted_for() {
    let c = consortium().await;
    let (status, job) = c.run(&format!("{JOB}[solver]\nmax_passes = 2\n")).await;
    assert_eq!(state(&status), JobState::Aborted, "{status:?}");
    for node in ["bank", "partner"] {
        let bundle = bundle(&c, node, job).await;
        proves(&bundle, &[]);
        // two passes in each of three ranges; the last may have been under way
        let own = events(&bundle, &bundle.node);
        let finished = own.iter().filter(|e| *e == "step.finished").count();
        assert!(finished > 5, "{node}: {own:?}");
    }
    c.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_is_proved_as_well_as_an_approval() {
    let c = consortium().await;
    let partners = "id = \"partner\"\nrole = \"features\"\ndataset = \"table\"";
    assert!(JOB.contains(partners));
    let other = JOB.replace(partners, &partners.replace("\"table\"", "\"nothing\""));
    let (status, job) = c.run(&other).await;
    assert_eq!(state(&status), JobState::Rejected, "{status:?}");
    for node in ["bank", "partner", "hub"] {
        let bundle = bundle(&c, node, job).await;
        proves(&bundle, &[]);
        let own = events(&bundle, &bundle.node);
        assert!(own.contains(&"job.rejected".to_owned()), "{node}: {own:?}");
        assert!(
            !own.contains(&"session.opened".to_owned()),
            "{node}: {own:?}"
        );
    }
    c.stop().await;
}

/// Bytes of a log up to the zeros that its files end with.
fn size_of(log: &Path) -> usize {
    let files = fs::read_dir(log).unwrap().map(|e| e.unwrap().path());
    let used = |bytes: Vec<u8>| bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    files.map(|p| used(fs::read(p).unwrap())).sum()
}
