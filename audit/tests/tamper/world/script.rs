//! What an honest node writes.

use super::*;

fn openings(
    step: &str,
    id: &str,
) -> Vec<(&'static str, u64, &'static str, u64, Vec<&'static str>)> {
    let all = vec!["party:bank", "party:partner", "helper:coordinator"];
    let parties = vec!["party:bank", "party:partner"];
    if id == "coordinator" {
        return Vec::new();
    }
    match step {
        "align" => vec![
            ("relay.traffic", 1, "traffic", 0, vec!["relay"]),
            (
                "align.sizes",
                1,
                "count",
                1,
                vec!["party:bank", "party:partner", "relay"],
            ),
            (
                "align.sizes",
                2,
                "count",
                1,
                vec!["party:bank", "party:partner", "relay"],
            ),
            ("align.members", 1, "membership", 1, parties),
            (
                "align.matched",
                1,
                "count",
                1,
                vec!["helper:coordinator", "relay"],
            ),
            (
                "align.matched",
                2,
                "count",
                1,
                vec!["helper:coordinator", "relay"],
            ),
            (
                "design.width",
                1,
                "count",
                1,
                vec!["party:bank", "party:partner", "helper:coordinator", "relay"],
            ),
            (
                "design.width",
                2,
                "count",
                1,
                vec!["party:bank", "party:partner", "helper:coordinator", "relay"],
            ),
        ],
        "train/pass-1" => vec![("train.converged", 1, "bit", 1, all)],
        "train/pass-2" => vec![
            ("train.converged", 2, "bit", 1, all.clone()),
            ("train.range-check", 1, "bit", 1, all),
            (
                "release.coefficients.bank",
                1,
                "coefficients",
                12,
                vec!["party:bank"],
            ),
            (
                "release.coefficients.partner",
                1,
                "coefficients",
                9,
                vec!["party:partner"],
            ),
        ],
        _ => vec![
            ("release.scores", 1, "scores", 1_500, vec!["party:bank"]),
            ("release.metrics", 1, "summary", 9, parties),
        ],
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|t| (*t).to_owned()).collect()
}

/// The policy of a party, canonical.
pub(crate) fn policy(id: &str) -> String {
    let (dataset, label) = match id {
        "bank" => ("applications", true),
        _ => ("payments", false),
    };
    format!(
        "{{\"approval\":\"officer\",\"datasets\":[{{\"categorical\":[],\"label\":{label},\"name\":\"{dataset}\",\
         \"numeric\":[]}}],\"format\":\"paripassu.policy.v2\",\"four_eyes\":true,\"max_runs\":3,\
         \"min_matched\":100,\"party\":\"{id}\",\"period_days\":30,\"spent\":[],\
         \"ttl_hours\":96,\"version\":7}}"
    )
}

/// The rules of its own in [`policy_signed`], in their order.
pub(crate) const OWN_RULES: [&str; 7] = [
    "purpose",
    "parties",
    "forbidden_pairs",
    "openings",
    "level_rows",
    "open_days",
    "jobs_per_day",
];

/// The bank's policy with rules of its own, and with people who sign.
pub(crate) fn policy_signed() -> String {
    let rules = [
        ("within", "/spec/purpose", "", "[\"application_score\"]"),
        ("within", "parties", "", "[\"partner\"]"),
        ("without", "pairs", "", "[]"),
        ("within", "openings", "", &declared()),
        ("least", "/spec/design/rare_level_rows", "20", "[]"),
        ("most", "open_days", "999999999", "[]"),
        ("unspent", "", "3", "[]"),
    ];
    let rules = OWN_RULES.iter().zip(rules).map(|(id, (is, of, number, values))| {
        format!("{{\"id\":\"{id}\",\"is\":\"{is}\",\"number\":\"{number}\",\"of\":\"{of}\",\"values\":{values}}}")
    });
    let rules: Vec<_> = rules.collect();
    let key = |seed| {
        hex(SigningKey::from_bytes(&[seed; 32])
            .verifying_key()
            .as_bytes())
    };
    let people = format!(
        "[{{\"key\":\"{}\",\"name\":\"data-owner\",\"role\":\"data_owner\"}},\
          {{\"key\":\"{}\",\"name\":\"compliance\",\"role\":\"compliance\"}}]",
        key(31),
        key(32)
    );
    policy("bank")
        .replace("policy.v2", "policy.v3")
        .replace(
            "\"period_days\"",
            &format!("\"people\":{people},\"period_days\""),
        )
        .replace(
            "\"spent\"",
            &format!(
                "\"roles\":[\"data_owner\",\"compliance\"],\"rules\":[{}],\"spent\"",
                rules.join(",")
            ),
        )
}

/// Everything that the contract opens, to whom, as a list.
fn declared() -> String {
    let contract: serde_json::Value = serde_json::from_str(contract()).unwrap();
    let mut all = Vec::new();
    for disclosure in contract["disclosures"].as_array().unwrap() {
        for to in disclosure["to"].as_array().unwrap() {
            let (id, to) = (disclosure["id"].as_str(), to.as_str());
            all.push(format!("\"{}>{}\"", id.unwrap(), to.unwrap()));
        }
    }
    format!("[{}]", all.join(","))
}

pub(super) fn script(
    person: Person,
    role: &'static str,
    contract: &str,
    keys: &BTreeMap<&'static str, String>,
    decisions: &[(&'static str, (SignedStatement, String))],
) -> Script {
    let id = person.id;
    let digest = sha(contract.as_bytes());
    let peers: Vec<&'static str> = keys.keys().copied().filter(|peer| *peer != id).collect();
    let mut at = START;
    let mut draft = |body: Body| {
        at += 1;
        Draft::new(JOB, role, id, at, body)
    };
    let mut before = vec![draft(
        JobProposed {
            contract: digest.clone(),
            name: "card-default-joint".into(),
            purpose: "application_score".into(),
            submitter: "user/modeler".into(),
            parties: decisions.iter().map(|(party, _)| (*party).into()).collect(),
            helper: "coordinator".into(),
        }
        .into(),
    )];
    if person.kind == "party" {
        let policy = policy(id);
        let rule = |id: &str, verdict: &str| RuleVerdict {
            id: id.into(),
            verdict: verdict.into(),
            measured: "as configured".into(),
        };
        let (first, second) = policy.split_at(policy.len() / 2);
        for (part, text) in [(1, first), (2, second)] {
            let text = text.to_owned();
            before.push(draft(
                PolicyStated {
                    part,
                    parts: 2,
                    text,
                }
                .into(),
            ));
        }
        before.push(draft(
            PolicyEvaluated {
                policy: sha(policy.as_bytes()),
                version: 7,
                contract: digest.clone(),
                rules: vec![
                    rule("submitter", "allow"),
                    rule("offered", "allow"),
                    rule("min_matched", "allow"),
                    rule("max_runs", "allow"),
                    rule("approval", "ask"),
                ],
                verdict: "ask".into(),
            }
            .into(),
        ));
    }
    for (party, (_, statement)) in decisions {
        before.push(draft(
            JobApproved {
                party: (*party).into(),
                contract: digest.clone(),
                statement: statement.clone(),
                approver: "data-owner".into(),
                second: Some("compliance".into()),
                ticket: Some("CHG-1182".into()),
                expires: Some("2026-03-04T00:00:00Z".into()),
            }
            .into(),
        ));
    }
    for peer in &peers {
        before.push(draft(
            SessionOpened {
                peer: (*peer).into(),
                peer_key: keys[peer].clone(),
                tls: "1.3".into(),
                suite: "TLS_AES_256_GCM_SHA384".into(),
                sealed: "X25519 HKDF-SHA256 AES-256-GCM".into(),
                binary: hex(&BINARY),
                build: "release".into(),
                test_mode: false,
                contract: digest.clone(),
            }
            .into(),
        ));
    }
    at = START + 70;
    let mut draft = |body: Body| {
        at += 1;
        Draft::new(JOB, role, id, at, body)
    };
    let mut after = Vec::new();
    if person.kind == "party" {
        after.push(draft(
            DataCommitted {
                dataset: "applications".into(),
                schema: sha(b"schema"),
                columns: 12,
                rows: 5_000,
                root: sha(id.as_bytes()),
                grade: Some("3".into()),
            }
            .into(),
        ));
    }
    let mut disclosed = 0;
    for step in STEPS {
        after.push(draft(
            StepStarted {
                step: step.into(),
                randomness: "helper".into(),
            }
            .into(),
        ));
        for (opened, ordinal, shape, values, to) in openings(step, id) {
            disclosed += 1;
            after.push(draft(
                Disclosure {
                    id: opened.into(),
                    ordinal,
                    shape: shape.into(),
                    values,
                    to: texts(&to),
                    step: step.into(),
                }
                .into(),
            ));
        }
        if step == "align" && person.kind == "party" {
            after.push(draft(
                AlignDone {
                    method: "curve".into(),
                    matched: 4_700,
                }
                .into(),
            ));
        }
        after.push(draft(
            StepFinished {
                step: step.into(),
                wall_s: "1.25".into(),
                cpu_s: "0.75".into(),
                peers: peers
                    .iter()
                    .map(|peer| PeerFlow {
                        peer: (*peer).into(),
                        sent: frames(step, id, peer).flow(),
                        received: frames(step, peer, id).flow(),
                    })
                    .collect(),
            }
            .into(),
        ));
    }
    if person.kind == "party" {
        after.push(draft(
            MetricsReported {
                report: "report.json".into(),
                sha256: sha(REPORT),
                values: BTreeMap::from([("auc".into(), "0.7812".into())]),
            }
            .into(),
        ));
        let file = FileDigest {
            name: "model.json".into(),
            sha256: sha(MODEL),
            bytes: MODEL.len() as u64,
        };
        after.push(draft(ModelCommitted { files: vec![file] }.into()));
    }
    after.push(draft(
        RunCompleted {
            disclosures: disclosed,
            steps: STEPS.len() as u64,
            node: 1,
            wall_s: "6.5".into(),
        }
        .into(),
    ));
    let started = LogStarted {
        version: "0.1.0".into(),
        binary: hex(&BINARY),
        size: 3,
    };
    let started = Draft::new("", "node", id, START - 90_000, started.into());
    Script {
        started: vec![started],
        between: Vec::new(),
        renewed: None,
        person,
        role,
        before,
        after,
        witnesses: peers,
        witness_seed: None,
        skip_sequence: false,
        fork: false,
        saw_another_root: false,
        asks_before: true,
        asks_for: |draft| matches!(draft.body, Body::Disclosure(_)),
        unseen_by: Vec::new(),
        bits_unseen_by: Vec::new(),
    }
}
