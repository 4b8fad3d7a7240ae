//! Contracts: one text, one digest, strictly read; and the ledger that holds a run to them.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is not there")]

use paripassu_job::{
    Audience, Contract, ContractError, DisclosureId, JobId, Ledger, LedgerError, NodeId, NodeKind,
    Seat, Shape, Spec, Submitter, Timestamp, canonical,
    contract::ContractDigest,
    disclosure::disclosures,
    spec::{TemplateKind, template},
};
use proptest::prelude::*;
use serde_json::Value;

fn id(text: &str) -> NodeId {
    text.parse().unwrap()
}

fn spec() -> Spec {
    Spec::from_toml(template(TemplateKind::VerticalLogistic), "job.toml").unwrap()
}

fn contract_of(spec: Spec) -> Contract {
    let created = Timestamp::from_unix(1_772_323_200).unwrap();
    Contract::new(
        spec,
        JobId::from_bytes([7; 16]),
        created,
        Submitter::user(id("modeler")),
    )
    .unwrap()
}

fn contract() -> Contract {
    contract_of(spec())
}

/// The contract's text with its JSON edited, in canonical form again.
fn edited(edit: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(contract().canonical()).unwrap();
    edit(&mut value);
    canonical::to_string(&value).unwrap()
}

#[test]
fn reads_back_what_it_wrote() {
    let contract = contract();
    let back = Contract::parse(contract.canonical().as_bytes()).unwrap();
    assert_eq!(back, contract);
    assert_eq!(back.digest(), contract.digest());
    assert_eq!(
        ContractDigest::from_hex(&back.digest().to_string()),
        Some(contract.digest())
    );
    assert_eq!(ContractDigest::from_hex("00"), None);
}

#[test]
fn text_and_digest_are_pinned() {
    // Written once and compared with Python's json.dumps(sort_keys=True) and hashlib: a change here
    // means that two versions sign different texts, and needs a new PROTOCOL_VERSION.
    let contract = contract();
    assert!(contract.canonical().starts_with(
        r#"{"created":"2026-03-01T00:00:00Z","disclosures":[{"at_most":1,"id":"relay.traffic","#
    ));
    assert!(contract.canonical().ends_with(
        r#""split":{"rule":"id-hash","test_tenths":3}},"submitter":{"id":"modeler","kind":"user"}}"#
    ));
    assert_eq!(
        contract.digest().to_string(),
        include_str!("vectors/contract.sha256").trim()
    );
    assert_eq!(
        contract.canonical(),
        include_str!("vectors/contract.json").trim_end()
    );
}

#[test]
fn accessors() {
    let contract = contract();
    assert_eq!(contract.parties(), [&id("bank"), &id("partner")]);
    assert_eq!(contract.helper(), &id("coordinator"));
    for (name, seat) in [
        ("bank", Seat::Party(0)),
        ("partner", Seat::Party(1)),
        ("coordinator", Seat::Helper),
    ] {
        assert_eq!(contract.seat(&id(name)), Some(seat));
        assert_eq!(contract.node(seat), Some(&id(name)));
    }
    assert_eq!(contract.seat(&id("stranger")), None);
    assert_eq!(contract.node(Seat::Party(2)), None);
    assert_eq!(contract.expires_at(), None);
    assert!(!contract.is_expired(Timestamp::from_unix(200_000_000_000).unwrap()));
}

#[test]
fn expiry() {
    let mut spec = spec();
    spec.expires = Some("2026-03-01".parse().unwrap());
    let contract = contract_of(spec.clone());
    let end: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
    assert_eq!(contract.expires_at(), Some(end));
    assert!(
        contract.is_expired(end)
            && !contract.is_expired(Timestamp::from_unix(end.unix() - 1).unwrap())
    );
    let late = Contract::new(
        spec,
        JobId::from_bytes([7; 16]),
        end,
        Submitter::user(id("modeler")),
    );
    assert!(matches!(late, Err(ContractError::Expired { .. })));
}

#[test]
fn anything_but_the_canonical_text_is_refused() {
    let text = contract().canonical().to_owned();
    for (other, why) in [
        (format!(" {text}"), "white space before"),
        (format!("{text}\n"), "white space after"),
        (
            text.replacen("\"job\":", "\"job\" :", 1),
            "white space inside",
        ),
        (text.replacen("bank", "\\u0062ank", 1), "another escape"),
        (
            text.replacen("\"at_most\":1", "\"at_most\":1.0", 1),
            "another spelling of a number",
        ),
        (
            text.replacen(
                "\"test_tenths\":3",
                "\"test_tenths\":3,\"test_tenths\":3",
                1,
            ),
            "a member twice",
        ),
        (
            text.replacen("\"l2\":\"1\"", "\"l2\":1", 1),
            "a decimal as number",
        ),
        (
            text.replacen("\"l2\":\"1\"", "\"l2\":\"1.0\"", 1),
            "another spelling of a decimal",
        ),
        (
            text.replacen("\"intercept\":true,", "", 1),
            "a default left out",
        ),
        (
            text.replacen("{\"created\"", "{\"zzz\":1,\"created\"", 1),
            "an unknown member",
        ),
    ] {
        assert_ne!(other, text, "{why}");
        let error = Contract::parse(other.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ContractError::NotCanonical | ContractError::Json(_)),
            "{why}: {error}"
        );
    }
    assert!(matches!(
        Contract::parse(&[0xff; 10]),
        Err(ContractError::Json(_))
    ));
    assert!(matches!(
        Contract::parse(&vec![b' '; 2 << 20]),
        Err(ContractError::TooLong { .. })
    ));
}

#[test]
fn disclosures_must_be_those_of_the_specification() {
    let fewer = edited(|json| {
        json["disclosures"].as_array_mut().unwrap().remove(2);
    });
    let more = edited(|json| {
        let list = json["disclosures"].as_array_mut().unwrap();
        list.push(list[0].clone());
    });
    let wider = edited(|json| {
        json["disclosures"][2]["to"] = serde_json::json!(["party:bank", "party:partner", "relay"])
    });
    let oftener = edited(|json| json["disclosures"][2]["at_most"] = 2.into());
    let sentence = edited(|json| json["disclosures"][2]["what"] = "Nothing.".into());
    let spec = edited(|json| json["spec"]["solver"]["max_passes"] = 21.into());
    for text in [fewer, more, wider, oftener, sentence, spec] {
        let error = Contract::parse(text.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ContractError::Disclosures { .. }),
            "{error}"
        );
    }
}

#[test]
fn versions_formats_submitters_and_bad_specifications_are_told_apart() {
    let error = Contract::parse(edited(|json| json["protocol_version"] = 99.into()).as_bytes())
        .unwrap_err();
    assert!(
        matches!(error, ContractError::Version { got: 99 }),
        "{error}"
    );
    let error = Contract::parse(edited(|json| json["format"] = "x".into()).as_bytes()).unwrap_err();
    assert!(matches!(error, ContractError::Format { .. }), "{error}");
    let error =
        Contract::parse(edited(|json| json["submitter"]["kind"] = "helper".into()).as_bytes())
            .unwrap_err();
    assert!(
        matches!(
            error,
            ContractError::SubmitterKind {
                kind: NodeKind::Helper
            }
        ),
        "{error}"
    );
    let error =
        Contract::parse(edited(|json| json["spec"]["helper"]["id"] = "bank".into()).as_bytes())
            .unwrap_err();
    assert!(
        matches!(error, ContractError::Spec(_)) && error.to_string().contains("must hold no data"),
        "{error}"
    );
    let error =
        Contract::parse(edited(|json| json["spec"]["solver"]["secret"] = 1.into()).as_bytes())
            .unwrap_err();
    assert!(
        matches!(error, ContractError::Json(_)) && error.to_string().contains("secret"),
        "{error}"
    );
}

#[test]
fn optional_openings_are_declared_only_where_asked_for() {
    let ids = |spec: &Spec| {
        disclosures(spec)
            .into_iter()
            .map(|disclosure| disclosure.id.to_string())
            .collect::<Vec<_>>()
    };
    let full = spec();
    assert_eq!(
        ids(&full),
        [
            "relay.traffic",
            "align.sizes",
            "align.members",
            "align.matched",
            "design.width",
            "train.converged",
            "train.range-check",
            "release.coefficients.bank",
            "release.coefficients.partner",
            "release.scores",
            "release.metrics"
        ]
    );
    let mut lean = full.clone();
    lean.solver.stop = paripassu_job::spec::Stop::Fixed;
    lean.solver.range = paripassu_job::spec::AutoOr::Is(16);
    lean.outputs.scores = None;
    lean.outputs.metrics_to.clear();
    let gone = ["release.scores", "release.metrics"];
    let want: Vec<_> = ids(&full)
        .into_iter()
        .filter(|id| !gone.contains(&id.as_str()))
        .collect();
    assert_eq!(ids(&lean), want);
    for disclosure in disclosures(&full) {
        assert_eq!(
            disclosure.id.to_string().parse::<DisclosureId>().unwrap(),
            disclosure.id
        );
        for to in disclosure.to {
            assert_eq!(to.to_string().parse::<Audience>().unwrap(), to);
        }
    }
}

#[test]
fn declared_bits_are_those_that_the_solver_opens() {
    use paripassu_job::spec::{AutoOr, Stop};
    let mut spec = spec();
    for (stop, range, converged, range_check) in [
        (Stop::Bit, AutoOr::Auto, 54, 3),
        (Stop::Bit, AutoOr::Is(16), 18, 1),
        (Stop::Fixed, AutoOr::Auto, 3, 3),
        (Stop::Fixed, AutoOr::Is(64), 1, 1),
    ] {
        (spec.solver.stop, spec.solver.range) = (stop, range);
        let list = disclosures(&spec);
        for (id, at_most) in [
            (DisclosureId::TrainConverged, converged),
            (DisclosureId::TrainRangeCheck, range_check),
        ] {
            let bit = list.iter().find(|disclosure| disclosure.id == id).unwrap();
            assert_eq!(
                (bit.at_most, &bit.shape),
                (at_most, &Shape::Bit),
                "{id} {stop:?} {range}"
            );
            let to: Vec<_> = bit.to.iter().map(ToString::to_string).collect();
            assert_eq!(to, ["party:bank", "party:partner", "helper:coordinator"]);
            assert!(bit.what.contains("helper sees"), "{}", bit.what);
        }
        let check = list
            .iter()
            .find(|disclosure| disclosure.id == DisclosureId::TrainRangeCheck)
            .unwrap();
        let ranges = match range {
            AutoOr::Auto => "(16, then 32, then 64)".to_owned(),
            AutoOr::Is(range) => format!("({range})"),
        };
        assert!(check.what.contains(&ranges), "{}", check.what);
    }
}

#[test]
fn scores_are_the_other_partys_part() {
    let list = disclosures(&spec());
    let scores = list
        .iter()
        .find(|disclosure| disclosure.id == DisclosureId::ReleaseScores)
        .unwrap();
    assert_eq!(
        scores.what,
        "partner's own part of the score (log-odds of bad) of each test row, rounded to a \
            multiple of 0.0009765625; bank adds its own part and so knows the joint score."
    );
}

#[test]
fn nobody_but_the_owner_gets_coefficients_and_nobody_but_the_label_party_gets_scores() {
    let mut spec = spec();
    let declared = |spec: &Spec| disclosures(spec).len();
    let without = declared(&spec);
    spec.outputs.standard_errors = true;
    assert_eq!(declared(&spec), without + 2);
    for disclosure in disclosures(&spec) {
        let name = disclosure.id.to_string();
        assert_eq!(name.parse::<DisclosureId>().unwrap(), disclosure.id);
        match disclosure.id {
            DisclosureId::ReleaseCoefficients(owner)
            | DisclosureId::ReleaseStandardErrors(owner) => {
                assert_eq!(disclosure.to, [Audience::Party(owner)])
            }
            DisclosureId::ReleaseScores => assert_eq!(disclosure.to, [Audience::Party(id("bank"))]),
            _ => assert!(!matches!(
                disclosure.shape,
                Shape::Coefficients | Shape::Scores { .. }
            )),
        }
    }
}

#[test]
fn the_ledger_allows_what_is_declared_and_no_more() {
    let contract = contract();
    let mut ledger = Ledger::new(&contract);
    assert_eq!(
        ledger
            .record(&DisclosureId::AlignMembers, 500)
            .unwrap()
            .ordinal,
        1
    );
    assert_eq!(
        ledger.record(&DisclosureId::AlignMembers, 500).unwrap_err(),
        LedgerError::TooMany {
            id: DisclosureId::AlignMembers,
            at_most: 1
        }
    );
    for pass in 1..=54 {
        assert_eq!(
            ledger
                .record(&DisclosureId::TrainConverged, 1)
                .unwrap()
                .ordinal,
            pass
        );
    }
    assert!(matches!(
        ledger.record(&DisclosureId::TrainConverged, 1),
        Err(LedgerError::TooMany { .. })
    ));
    assert_eq!(
        ledger
            .record(&DisclosureId::TrainRangeCheck, 64)
            .unwrap_err(),
        LedgerError::Shape {
            id: DisclosureId::TrainRangeCheck,
            got: 64
        }
    );
    let stranger = DisclosureId::ReleaseCoefficients(id("stranger"));
    assert_eq!(
        ledger.record(&stranger, 3).unwrap_err(),
        LedgerError::Undeclared { id: stranger }
    );

    // What was refused was not recorded; what was recorded survives a restart.
    assert_eq!(ledger.entries().len(), 55);
    let mut resumed = Ledger::resume(&contract, ledger.entries()).unwrap();
    assert_eq!(resumed.summary(), ledger.summary());
    assert!(resumed.record(&DisclosureId::AlignMembers, 1).is_err());
    let line = ledger
        .summary()
        .lines
        .into_iter()
        .find(|line| line.declared.id == DisclosureId::AlignMembers)
        .unwrap();
    assert_eq!((line.times, line.values), (1, 500));
    let text = ledger.summary().to_string();
    assert!(
        text.contains("train.converged") && text.contains("at most 54"),
        "{text}"
    );
}

fn node() -> impl Strategy<Value = NodeId> {
    "[a-z0-9][a-z0-9-]{0,31}".prop_map(|text| text.parse().unwrap())
}

prop_compose! {
    /// A valid specification.
    fn any_spec()(
        nodes in prop::collection::btree_set(node(), 3).prop_map(|set| set.into_iter().collect::<Vec<_>>()).prop_shuffle(),
        columns in prop::collection::btree_set("[^\\p{C}\\s]{1,20}", 1..8),
        purpose in "[a-z][a-z0-9_]{0,20}",
        (l2, tolerance, step) in (0.001..1e6, 1e-7..0.1, 0_i32..=16),
        (passes, tenths, matched) in (1_u64..=60, 1_u64..=9, 10_u64..=1_000_000_000),
        (range, fixed, scored, keep) in (0_usize..5, any::<bool>(), any::<bool>(), any::<bool>()),
    ) -> Spec {
        let range = ["\"auto\"", "8", "16", "32", "64"][range];
        let stop = if fixed { "fixed" } else { "bit" };
        let outputs = if scored {
            format!("metrics_to = [\"{0}\"]\nscores = {{ to = \"{0}\", step = {1}, keep = {keep} }}", nodes[0], 2_f64.powi(-step))
        } else {
            String::new()
        };
        let columns: Vec<_> = columns.into_iter().collect();
        let text = format!(
            "name = \"job\"\npurpose = \"{purpose}\"\nlegal_basis = \"consent\"\n\
             [[party]]\nid = \"{0}\"\nrole = \"label\"\ndataset = \"a\"\ncolumns = {{ categorical = {1} }}\n\
             [[party]]\nid = \"{2}\"\nrole = \"features\"\ndataset = \"b\"\ncolumns = \"all\"\n\
             [helper]\nid = \"{3}\"\n[align]\nmin_matched = {matched}\n[split]\ntest_tenths = {tenths}\n\
             [model]\nl2 = {l2:?}\n[solver]\nmax_passes = {passes}\ntolerance = {tolerance:?}\nrange = {range}\nstop = \"{stop}\"\n\
             [outputs]\n{outputs}\n",
            nodes[0], toml::Value::try_from(&columns).unwrap(), nodes[1], nodes[2],
        );
        Spec::from_toml(&text, "generated").unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_contract_reads_back(spec in any_spec(), job: [u8; 16], created in 0_u64..200_000_000_000, submitter in node()) {
        let created = Timestamp::from_unix(created).unwrap();
        let contract = Contract::new(spec, JobId::from_bytes(job), created, Submitter::party(submitter)).unwrap();
        let back = Contract::parse(contract.canonical().as_bytes()).unwrap();
        prop_assert_eq!(&back, &contract);
        prop_assert_eq!(back.digest(), contract.digest());
    }

    #[test]
    fn no_altered_byte_gives_the_same_contract(place: prop::sample::Index, flip in 1_u8..=255) {
        let contract = contract();
        let mut bytes = contract.canonical().as_bytes().to_vec();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        if let Ok(other) = Contract::parse(&bytes) {
            prop_assert_ne!(other.digest(), contract.digest());
        }
    }
}
