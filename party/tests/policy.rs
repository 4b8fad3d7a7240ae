//! The table of cases that ships with the examples: each decided as expected, and each refusal signed in the
//! transcript.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, path::Path, sync::Arc};

use paripassu_audit::{
    event::{Body, Envelope, hex},
    policy::Asked,
};
use paripassu_job::{
    Spec,
    spec::{TemplateKind, template},
};
use paripassu_party::{
    config::PartyConfig,
    policy::{
        cases::{Table, contract},
        explain::explain,
        file::{PolicyFile, SAMPLE},
        judge::{Bench, judge},
        signed::{PersonSignature, Signatures, statement, take},
    },
};
use paripassu_service::{
    clock::Clock,
    identity::{Identity, files},
    person::PersonKey,
    pki,
    transcript::Transcript,
};

const NOW: i64 = 1_795_000_000;

fn examples() -> (Table, PartyConfig, PolicyFile) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/policy");
    let table = Table::load(&folder.join("cases.toml"), NOW).unwrap();
    let config = PartyConfig::load(&folder.join("party.toml")).unwrap();
    let text = std::fs::read_to_string(config.policy.as_ref().unwrap()).unwrap();
    let file = PolicyFile::parse(&text).unwrap();
    (table, config.governed(&file), file)
}

fn identity(dir: &Path) -> Identity {
    let ca = dir.join("ca");
    pki::init(&ca, "Test consortium", 365).unwrap();
    let node = dir.join("bank");
    let peer = "party/bank".parse().unwrap();
    let csr = pki::request(&node, &peer).unwrap();
    let crt = dir.join("bank.crt");
    pki::sign(&ca, &csr, Some(&peer), &crt, 30).unwrap();
    pki::install(&node, &crt, &ca.join(files::AUTHORITY), None).unwrap()
}

#[test]
fn every_case_is_decided_as_expected_and_each_refusal_is_signed() {
    let (table, config, file) = examples();
    let cases = &table.cases.cases;
    assert!(cases.len() >= 40, "{}", cases.len());
    let dir = tempfile::tempdir().unwrap();
    let identity = Arc::new(identity(dir.path()));
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let transcript = Transcript::open(&state, Arc::clone(&identity), Clock::system()).unwrap();
    let mut wrong = Vec::new();
    let mut denied = 0;
    let mut rules = BTreeSet::new();
    for (number, case) in cases.iter().enumerate() {
        let tried = table.run(case, &config, Some(&file), "bank").unwrap();
        if !tried.passed {
            wrong.push(tried);
            continue;
        }
        if tried.got != "deny" {
            continue;
        }
        denied += 1;
        rules.insert(tried.because.clone());
        let proposed = table.propose(case, &config, Some(&file), "bank");
        let proposed = proposed.unwrap().unwrap();
        // which rule of whose policy, and what would satisfy it
        let refusal = proposed.judgement.refusal().unwrap();
        assert!(
            refusal.contains("policy of `bank`") && refusal.contains(&tried.because),
            "{refusal}"
        );
        let job = format!("case-{number}");
        let digest = proposed.contract.digest().to_string();
        let evaluated = proposed.judgement.evaluated(digest.clone());
        transcript
            .evaluated(&job, &proposed.judgement.stated, evaluated)
            .unwrap();
        let mut seen = Vec::new();
        for entry in transcript.log().job_entries(&job).unwrap() {
            let envelope = Envelope::parse(&entry.envelope).unwrap();
            envelope.verify(&identity.public_key()).unwrap();
            let body = String::from_utf8(entry.body.unwrap()).unwrap();
            seen.push(Body::parse(&envelope.event, &body).unwrap());
        }
        let verdict = seen.iter().find_map(|body| match body {
            Body::PolicyEvaluated(verdict) => Some(verdict),
            _ => None,
        });
        let verdict = verdict.unwrap();
        assert_eq!(
            (verdict.verdict.as_str(), &verdict.contract),
            ("deny", &digest)
        );
        let Some(Body::Denied(last)) = seen.last() else {
            panic!("{seen:?}");
        };
        assert!(last.subject.contains(&tried.because), "{last:?}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(denied >= 20 && rules.len() >= 15, "{denied} of {rules:?}");
}

/// A limit on rows counts whole steps: what a counterpart can only announce above it is denied when the job is proposed.
#[test]
fn a_limit_on_rows_is_held_against_the_step_in_which_sizes_are_told() {
    let (table, mut config, file) = examples();
    config.align.max_rows = 5_000;
    let mut case = table.cases.cases[0].clone();
    case.expect = "deny".into();
    case.because = Some("max_rows".into());
    let tried = table.run(&case, &config, Some(&file), "bank").unwrap();
    assert!(tried.passed, "{tried:?}");
    let proposed = table.propose(&case, &config, Some(&file), "bank");
    let refusal = proposed.unwrap().unwrap().judgement.refusal().unwrap();
    assert!(refusal.contains("set align.size_step"), "{refusal}");
    // and so it is without a policy file
    let tried = table.run(&case, &config, None, "bank").unwrap();
    assert!(tried.passed, "{tried:?}");
    case.set.insert("align.size_step".into(), 1_024.into());
    case.expect = "ask".into();
    case.because = None;
    let tried = table.run(&case, &config, Some(&file), "bank").unwrap();
    assert!(tried.passed, "{tried:?}");
    let proposed = table.propose(&case, &config, Some(&file), "bank");
    let proposed = proposed.unwrap().unwrap();
    let offered = config.dataset("applications").map(|d| &d.columns);
    let page = explain(
        &proposed.contract,
        "bank",
        offered,
        Some(&file),
        &proposed.judgement,
        true,
    );
    let text = page.text();
    assert!(
        text.contains("a counterpart may bring 4032 customers"),
        "{text}"
    );
    // a limit on customers is one on the values of each key
    assert!(!text.contains("for each key anew"), "{text}");
    case.set
        .insert("align.fallback".into(), vec!["phone"].into());
    case.set.insert(
        "align.fallback_rules".into(),
        vec![vec![vec!["phone:49"]]].into(),
    );
    let proposed = table.propose(&case, &config, Some(&file), "bank");
    let proposed = proposed.unwrap().unwrap();
    let page = explain(
        &proposed.contract,
        "bank",
        offered,
        Some(&file),
        &proposed.judgement,
        true,
    );
    let text = page.text();
    assert!(text.contains("4032 customers; for each key anew"), "{text}");
    let mut small = file.clone();
    small.align.max_rows = 5_000;
    let found = small.lint(NOW);
    let found: Vec<_> = found.iter().filter(|f| f.key == "align.max_rows").collect();
    assert!(
        found.len() == 2 && found[0].what.contains("with 1024 4032"),
        "{found:?}"
    );
}

#[test]
fn the_sample_is_a_policy_and_nothing_of_it_is_carelessly_open() {
    let file = PolicyFile::parse(SAMPLE).unwrap();
    assert_eq!(file.lint(NOW), []);
    for (from, to, where_to) in [
        (
            "signers_required = 2",
            "signers_required = 3",
            "policy.signers_required",
        ),
        (
            "roles = [\"data_owner\", \"compliance\"]",
            "roles = [\"data_owner\", \"regulator\"]",
            "approves nothing",
        ),
        (
            "roles = [\"data_owner\", \"compliance\"]",
            "roles = [\"data_owner\", \"data_owner\"]",
            "nobody could approve",
        ),
        ("2027-06-30", "2027-06-31", "policy.expires"),
        ("version = 1 ", "versoin = 1 ", "versoin"),
        (
            "min_score_step = \"0.0009765625\"",
            "min_score_step = \"1e-3\"",
            "min_score_step",
        ),
    ] {
        assert!(SAMPLE.contains(from), "{from}");
        let refused = PolicyFile::parse(&SAMPLE.replacen(from, to, 1)).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains(where_to), "{said}");
    }
    let purpose = "purposes.application_score";
    for (from, to, where_to) in [
        (
            "signers_required = 2",
            "signers_required = 1",
            "policy.signers_required".into(),
        ),
        ("min_set_change = 50", "", "quota.min_set_change".into()),
        (
            "ttl_hours = 72",
            "",
            format!("{purpose}.approval.ttl_hours"),
        ),
        ("income = 3", "income = 4", format!("{purpose}.columns")),
        (
            "[\"income\", \"age\", \"channel\"]",
            "[\"*\"]",
            format!("{purpose}.columns"),
        ),
    ] {
        let text = SAMPLE.replacen(from, to, 1);
        let found = PolicyFile::parse(&text).unwrap().lint(NOW);
        assert!(
            found.iter().any(|finding| finding.key == where_to),
            "{found:?}"
        );
    }
}

#[test]
fn a_policy_is_taken_by_the_people_of_the_one_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let key = |name: &str| PersonKey::create(&dir.path().join(name)).unwrap();
    let [owner, compliance, stranger, next] = ["owner", "compliance", "stranger", "next"].map(key);
    let named = [
        "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
        "22fc297792f0b6ffc0bfcfdb7edb0c0aa14e025a365ec0e342e86e3829cb74b6",
    ];
    let first = SAMPLE
        .replace(named[0], &owner.public())
        .replace(named[1], &compliance.public());
    let signed = |text: &str, by: &[(&str, &PersonKey)]| {
        let signature = by.iter().map(|(name, key)| PersonSignature {
            name: (*name).into(),
            key: key.public(),
            signature: hex(&key.sign(&statement("bank", text))),
        });
        let signature = signature.collect();
        toml::to_string(&Signatures { signature }).unwrap()
    };
    let both = [("owner-1", &owner), ("compliance-1", &compliance)];
    let taken = take(&first, &signed(&first, &both), "bank", None, NOW).unwrap();
    assert_eq!(taken.signers, ["compliance-1", "owner-1"]);
    let another = first.replace("jobs_per_day = 3", "jobs_per_day = 9");
    for (signatures, why) in [
        (String::new(), "0 of 2"),
        (signed(&first, &both[..1]), "1 of 2"),
        (signed(&first, &[both[0], both[0]]), "1 of 2"),
        // the same key under another name
        (
            signed(&first, &[both[0], ("compliance-1", &owner)]),
            "1 of 2",
        ),
        (
            signed(&first, &[both[0], ("compliance-1", &stranger)]),
            "1 of 2",
        ),
        (signed(&another, &both), "0 of 2"),
    ] {
        let refused = take(&first, &signatures, "bank", None, NOW).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains(why), "{said}");
    }
    let said = take(&first, &signed(&first, &both), "partner", None, NOW).unwrap_err();
    assert!(said.to_string().contains("`partner`"), "{said}");

    // a change: signed by those whom the policy in force names, and of a higher version
    let before = Some(&taken);
    let said = take(&another, &signed(&another, &both), "bank", before, NOW).unwrap_err();
    assert!(said.to_string().contains("higher version"), "{said}");
    let changed = another.replace("version = 1 ", "version = 2 ");
    take(&changed, &signed(&changed, &both), "bank", before, NOW).unwrap();
    // an administrator who puts in keys of their own is not enough
    let own = changed
        .replace(&owner.public(), &stranger.public())
        .replace(&compliance.public(), &next.public());
    let by_own = [("owner-1", &stranger), ("compliance-1", &next)];
    let said = take(&own, &signed(&own, &by_own), "bank", before, NOW).unwrap_err();
    assert!(said.to_string().contains("the policy in force"), "{said}");
    // a key changes hands with both versions' people
    let rotated = changed.replace(&owner.public(), &next.public());
    let by_all = [("owner-1", &next), both[0], both[1]];
    take(&rotated, &signed(&rotated, &by_all), "bank", before, NOW).unwrap();
    assert!(
        take(
            &rotated,
            &signed(&rotated, &by_all[..1]),
            "bank",
            before,
            NOW
        )
        .is_err()
    );
}

#[test]
fn every_opening_of_every_template_is_explained_to_every_party() {
    for kind in TemplateKind::ALL {
        let spec = Spec::from_toml(template(kind), kind.name()).unwrap();
        let contract = contract(spec, "user/modeler", NOW).unwrap();
        let value = serde_json::from_str(contract.canonical()).unwrap();
        let config = "coordinator = \"c:1\"\nidentity = \"i\"\nstate = \"s\"\nresults = \"r\"\n";
        let config = PartyConfig::from_toml(config, "p.toml".as_ref()).unwrap();
        for party in contract.parties() {
            let party = party.as_str();
            let asked = Asked::of(&value, party, "user/modeler").unwrap();
            let bench = Bench {
                party,
                version: 1,
                now: NOW,
                ..Bench::default()
            };
            let judgement = judge(&config, bench, Some(&asked), "user/modeler");
            let page = explain(&contract, party, None, None, &judgement, true);
            let told = page.leaves.len() + page.comes.len();
            assert_eq!(told, contract.disclosures().len(), "{}", kind.name());
            for (text, of) in [(page.text(), "text"), (page.html(), "page")] {
                assert!(
                    !text.contains("Not described"),
                    "{}: {of}: {text}",
                    kind.name()
                );
                for disclosure in contract.disclosures() {
                    assert!(
                        text.contains(&disclosure.id.to_string()),
                        "{of}: {}",
                        disclosure.id
                    );
                }
            }
            // what is this party's alone stands apart from what others learn
            let alone = |opening: &paripassu_party::policy::explain::Opening| opening.to == [party];
            assert!(page.comes.iter().all(alone) && !page.leaves.iter().any(alone));
        }
    }
}

/// What stands between two marks, each time.
fn between<'a>(page: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    let parts = page.split(from).skip(1);
    parts
        .filter_map(|part| part.split_once(to).map(|(text, _)| text))
        .collect()
}

#[test]
fn every_column_recipient_and_opening_on_the_page_of_the_demo_is_true_to_its_contract() {
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/lending_club.toml");
    let text = std::fs::read_to_string(job).unwrap();
    let contract = contract(
        Spec::from_toml(&text, "job.toml").unwrap(),
        "user/modeler",
        NOW,
    )
    .unwrap();
    let value: serde_json::Value = serde_json::from_str(contract.canonical()).unwrap();
    let config = "coordinator = \"c:1\"\nidentity = \"i\"\nstate = \"s\"\nresults = \"r\"\n";
    let config = PartyConfig::from_toml(config, "p.toml".as_ref()).unwrap();
    for (position, party) in ["bank", "partner"].into_iter().enumerate() {
        let asked = Asked::of(&value, party, "user/modeler").unwrap();
        let bench = Bench {
            party,
            version: 1,
            now: NOW,
            ..Bench::default()
        };
        let judgement = judge(&config, bench, Some(&asked), "user/modeler");
        let page = explain(&contract, party, None, None, &judgement, false).html();
        // the columns of the contract, all of them and no other
        let seat = &value["spec"]["party"][position];
        let listed = ["numeric", "categorical"].map(|kind| {
            let names = seat["columns"][kind].as_array().cloned();
            names.unwrap_or_default()
        });
        let mut wanted: Vec<&str> = listed.iter().flatten().filter_map(|n| n.as_str()).collect();
        let mut columns = between(&page, "<span>", " <small>");
        wanted.sort_unstable();
        columns.sort_unstable();
        assert_eq!(columns, wanted, "{party}");
        assert!(!columns.is_empty());

        // the openings of the contract with their receivers and numbers, row by row
        let (_, openings) = page.split_once("<h2>What others learn").unwrap();
        let rows = between(openings, "<tr><td><code>", "</tr>");
        let mut told: Vec<(String, String, u64)> = Vec::new();
        for row in rows {
            let id = row.split_once("</code>").unwrap().0;
            let to = between(row, "<td data-h=\"to\">", "<td")[0];
            let shape = between(row, "<td data-h=\"shape\">", "<td")[0];
            let most = between(shape, "at most ", "&nbsp;")[0].parse().unwrap();
            told.push((id.to_owned(), to.to_owned(), most));
        }
        let mut declared: Vec<(String, String, u64)> = value["disclosures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|disclosure| {
                let to = disclosure["to"].as_array().unwrap().iter();
                let to = to.map(|to| match to.as_str().unwrap().split_once(':') {
                    Some(("party", id)) => id.to_owned(),
                    Some(("helper", id)) => format!("{id} (helper)"),
                    _ => "the coordinator".to_owned(),
                });
                let text = |name: &str| disclosure[name].as_str().unwrap().to_owned();
                (
                    text("id"),
                    to.collect::<Vec<_>>().join(", "),
                    disclosure["at_most"].as_u64().unwrap(),
                )
            })
            .collect();
        told.sort();
        declared.sort();
        assert_eq!(told, declared, "{party}");
    }
}
