//! Those that need another trust file, none, or files.

use super::*;

pub(crate) fn add_to(cases: &mut Vec<Case>) {
    let honest = || World::new().bundle();
    let mut add = |name, code, names, bundle, trust, files: Vec<(&'static str, &'static [u8])>| {
        cases.push(Case {
            name,
            code,
            names,
            bundle,
            trust,
            files: files
                .iter()
                .map(|(name, content)| HeldFile::new(name, content))
                .collect(),
            content: files,
        });
    };
    add("honest", 0, "", honest(), Some(""), vec![]);
    add("honest-without-trust", 0, "", honest(), None, vec![]);
    let files: Vec<(&str, &[u8])> = vec![("report.json", REPORT), ("model.json", MODEL)];
    add("honest-with-files", 0, "", honest(), Some(""), files);
    let edited: Vec<(&str, &[u8])> = vec![("model.json", b"{\"coefficients\":[1]}\n")];
    add(
        "alter-model-file",
        21,
        "model.committed",
        honest(),
        Some(""),
        edited,
    );
    // of the numbers in an event, those of a held file count, too
    let metrics: &[u8] = b"{\"joint\":{\"auc\":0.7812},\"all_banks\":{\"ks\":0.25}}\n";
    let numbers = |value: &'static str| {
        inside(|world| {
            let file = FileDigest {
                name: "metrics.json".into(),
                sha256: sha(metrics),
                bytes: metrics.len() as u64,
            };
            world.artifacts.push(Artifact {
                name: file.name.clone(),
                sha256: file.sha256.clone(),
                bytes: file.bytes,
            });
            edit(world.script("bank"), |body| match body {
                Body::MetricsReported(metrics) => {
                    metrics.values = [("auc.joint", value), ("ks.all-banks", "0.250000")]
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .into();
                }
                Body::ModelCommitted(model) => model.files.push(file.clone()),
                _ => {}
            });
        })
    };
    let held = || vec![("metrics.json", metrics)];
    add(
        "numbers-of-the-held-report",
        0,
        "",
        numbers("0.781200"),
        Some(""),
        held(),
    );
    add(
        "metric-not-that-of-the-held-report",
        20,
        "metrics.reported",
        numbers("0.881200"),
        Some(""),
        held(),
    );
    let report: Vec<(&str, &[u8])> = vec![("report.json", b"{\"auc\":\"0.9812\"}\n")];
    add(
        "alter-report-file",
        20,
        "metrics.reported",
        honest(),
        Some(""),
        report,
    );
    let foreign: Vec<(&str, &[u8])> = vec![("scores.csv", b"id,score\n")];
    add(
        "file-of-another-job",
        21,
        "scores.csv",
        honest(),
        Some(""),
        foreign,
    );
    let key = World::new().script("partner").person.key_hex();
    let revoked = format!(
        "[[revoked]]\nkey = \"{key}\"\nfrom = \"2026-03-01T00:11:00Z\"\nreason = \"stolen\"\n"
    );
    add(
        "key-revoked",
        10,
        "data.committed",
        honest(),
        Some(revoked.leak()),
        vec![],
    );
    let pins = "[pins]\n\"paripassu/party/bank\" = [\"60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752\"]\n";
    add("key-not-pinned", 10, BANK, honest(), Some(pins), vec![]);
    add(
        "quorum-of-three",
        13,
        BANK,
        honest(),
        Some("[witnesses]\nquorum = 3\n"),
        vec![],
    );
    add(
        "members-do-not-count",
        13,
        BANK,
        honest(),
        Some("[witnesses]\nquorum = 1\nmembers = false\n"),
        vec![],
    );
    let alone = || {
        let consent = Consent {
            second: String::new(),
            ..consent()
        };
        World::consenting(&consent).bundle()
    };
    add(
        "no-second-approver",
        15,
        "job.approved",
        alone(),
        Some(""),
        vec![],
    );
    // without a trust file that asks for it, the parties' own policies do
    add(
        "no-second-approver-against-its-policy",
        16,
        "job.approved",
        alone(),
        None,
        vec![],
    );
    let endless = || {
        let consent = Consent {
            expires: String::new(),
            ..consent()
        };
        World::consenting(&consent).bundle()
    };
    add(
        "approval-without-end-against-its-policy",
        16,
        "job.approved",
        endless(),
        Some(""),
        vec![],
    );
    let outsider = Authority::new("consortium", 1).certify("helper", "observer", 16);
    let name = "observer.example/witness";
    let key = VerifierKey::of(name, SignatureType::Cosignature, &outsider.signer()).unwrap();
    let with_outsider = || {
        let mut bundle = inside(|world| world.script("partner").witnesses = vec!["bank"]);
        let log = log(&mut bundle, PARTNER);
        log.checkpoint = also_cosigned(&log.checkpoint, name, &outsider.signer());
        bundle
    };
    add(
        "outsider-witnesses-for-a-member",
        13,
        "not cosigned by coordinator",
        with_outsider(),
        Some(format!("[witnesses]\nkeys = [\"{key}\"]\n").leak()),
        vec![],
    );
    add(
        "outsider-counts-towards-a-quorum",
        0,
        "",
        with_outsider(),
        Some(format!("[witnesses]\nquorum = 2\nkeys = [\"{key}\"]\n").leak()),
        vec![],
    );
    let stopped = |finished: bool| {
        inside(|world| {
            let script = world.script("partner");
            leave_out(script, |id| id == "release.metrics");
            // whoever was stopped before an opening has not finished its step
            script.after.retain(|draft| {
                finished
                    || !matches!(&draft.body, Body::StepFinished(step) if step.step == "evaluate")
            });
            script.after.last_mut().unwrap().body = Aborted {
                culprit: None,
                step: "evaluate".into(),
                code: "lost".into(),
                destroyed: true,
                node: 1,
            }
            .into();
        })
    };
    add(
        "stopped-before-the-last-opening",
        0,
        "",
        stopped(false),
        Some(""),
        vec![],
    );
    add(
        "aborted-and-an-opening-left-out",
        17,
        "step.finished",
        stopped(true),
        Some(""),
        vec![],
    );
    let pruned = || {
        outside(|bundle| {
            for event in bundle.logs.iter_mut().flat_map(|log| &mut log.events) {
                if event.envelope.contains("step.finished") {
                    event.body = None;
                }
            }
            bundle.frames.clear();
        })
    };
    add("pruned", 14, "step.finished", pruned(), Some(""), vec![]);
    add(
        "all-bodies-pruned",
        13,
        "log.witnessed",
        outside(Bundle::prune),
        Some(""),
        vec![],
    );
    add(
        "all-bodies-pruned-and-allowed",
        0,
        "",
        outside(Bundle::prune),
        Some("#pruned"),
        vec![],
    );
    // pruned or not, who took a whole event away is found
    let cut = outside(|bundle| {
        bundle.prune();
        let at = position(bundle, PARTNER, "disclosure");
        log(bundle, PARTNER).events.remove(at);
    });
    add(
        "event-removed-under-cover-of-pruning",
        11,
        PARTNER,
        cut,
        Some("#pruned"),
        vec![],
    );
    add(
        "announced-pruned-and-allowed",
        0,
        "",
        announced::pruned(),
        Some("#pruned"),
        vec![],
    );
    add(
        "pruned-and-allowed",
        0,
        "",
        pruned(),
        Some("#pruned"),
        vec![],
    );
}
