//! Horizontal jobs that train a network: what is accepted, opened and guaranteed.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is not there")]

use paripassu_job::{
    Assumptions, Contract, DisclosureId, Guarantee, JobId, Ledger, Spec, Submitter, Timestamp,
    plan::plan,
    spec::{TemplateKind, template},
};

fn network() -> String {
    template(TemplateKind::HorizontalMlp).to_owned()
}

/// The template with noise.
fn private() -> String {
    let text = network()
        .replacen("\"fedavg\"", "\"private-sgd\"", 1)
        .replacen("validation_tenths = 1", "validation_tenths = 0", 1);
    let (head, rest) = text.split_once("# [horizontal.privacy]").unwrap();
    let (section, tail) = rest.split_once("\n\n").unwrap();
    let section = section.replace("\n# ", "\n");
    format!("{head}[horizontal.privacy]{section}\n\n{tail}")
}

fn refused(text: &str) -> String {
    Spec::from_toml(text, "job.toml").unwrap_err().to_string()
}

fn contract(text: &str) -> Contract {
    let spec = Spec::from_toml(text, "job.toml").unwrap();
    let user = Submitter::user("modeler".parse().unwrap());
    let now = Timestamp::from_unix(1_800_000_000).unwrap();
    Contract::new(spec, JobId::from_bytes([7; 16]), now, user).unwrap()
}

/// More banks: copies of the last.
fn with_banks(text: &str, banks: usize) -> String {
    let at = text.find("[[party]]\nid = \"bank-c\"").unwrap();
    let end = text.find("[helper]").unwrap();
    let more: String = (3..banks)
        .map(|i| text[at..end].replace("bank-c", &format!("bank-{i}")))
        .collect();
    format!("{}{more}{}", &text[..end], &text[end..])
}

#[test]
fn what_does_not_fit_together_is_refused() {
    for (from, to, want) in [
        (
            "kind = \"mlp\"",
            "kind = \"logistic\"",
            "for model.kind = \"mlp\"",
        ),
        ("\"fedavg\"", "\"private-sgd\"", "go together"),
        ("groups = 1", "groups = 2", "outside 1 to 1"),
        ("robust = \"none\"", "robust = \"median\"", "nine banks"),
        (
            "hidden = [64, 32]",
            "hidden = [0]",
            "horizontal.training.hidden[0]",
        ),
        (
            "# proximal = 0.01",
            "proximal = 0.01",
            "only for method = \"fedprox\"",
        ),
        ("intercept = true", "intercept = false", "`true`"),
        (
            "min_rows = 100",
            "min_rows = 100\nl1 = 3",
            "l1 is for logistic",
        ),
        ("rounds = 40", "rounds = 0", "outside 1 to"),
        ("\"fedavg\"", "\"fedsgd\"", "private-sgd"),
    ] {
        let text = network();
        assert!(text.contains(from), "{from}");
        let error = refused(&text.replacen(from, to, 1));
        assert!(error.contains(want), "{to}: {error}");
    }
    let votes = network()
        .replacen("robust = \"none\"", "robust = \"votes\"", 1)
        .replacen("validation_tenths = 1", "validation_tenths = 0", 1);
    assert!(refused(&votes).contains("validation rows"));
    for (from, to, want) in [
        ("noise = 1.1", "noise = 0.1", "outside 0.3 to 100"),
        ("income = [0, 150000], ", "", "each numeric column has"),
        (
            "validation_tenths = 0",
            "validation_tenths = 1",
            "covered by the noise",
        ),
        (
            "robust = \"none\"",
            "robust = \"votes\"",
            "covered by the noise",
        ),
        ("honest = \"auto\"", "honest = 9", "honest"),
    ] {
        let text = private();
        assert!(text.contains(from), "{from}: {text}");
        let error = refused(&text.replacen(from, to, 1));
        assert!(error.contains(want), "{to}: {error}");
    }
}

#[test]
fn groups_are_declared_by_name_and_votes_with_them() {
    let text = with_banks(&network(), 6)
        .replacen("groups = 1", "groups = 2", 1)
        .replacen("robust = \"none\"", "robust = \"votes\"", 1);
    let contract = contract(&text);
    let updates = contract
        .disclosures()
        .iter()
        .find(|d| d.id == DisclosureId::SumsUpdates)
        .unwrap();
    assert!(
        updates
            .what
            .contains("bank-a, bank-c, bank-4; bank-b, bank-3, bank-5"),
        "{}",
        updates.what
    );
    assert_eq!(updates.at_most, 41);
    let mut ledger = Ledger::new(&contract);
    ledger.record(&DisclosureId::SumsVotes, 2).unwrap();
    assert!(ledger.record(&DisclosureId::SumsNewton, 1).is_err());
    let spec = contract.spec();
    let plan = plan(spec, &Assumptions::usual(spec)).unwrap();
    let step = plan
        .steps
        .iter()
        .find(|s| s.step == "updates of the network")
        .unwrap();
    assert_eq!(step.times, 40);
    // 8 columns: (9 · 64) + (65 · 32) + 33 parameters and a weight, of two groups, and a loss with its rows
    let words = 2 * (9 * 64 + 65 * 32 + 33 + 1) + 2;
    let up: Vec<u64> = step
        .links
        .iter()
        .filter(|l| l.to == spec.helper.id)
        .map(|l| l.bytes / 40)
        .collect();
    let around = 169 + 80 * 5 + 16 + 64 + 32 * 6;
    assert!(
        up.iter().all(|bytes| *bytes == around + 8 * words),
        "{up:?}"
    );
}

#[test]
fn a_job_with_noise_opens_two_kinds_of_sums_and_says_its_epsilon() {
    let contract = contract(&private());
    let ids: Vec<String> = contract
        .disclosures()
        .iter()
        .map(|d| d.id.to_string())
        .collect();
    assert_eq!(
        ids,
        [
            "relay.traffic",
            "sums.members",
            "sums.gradients",
            "sums.evaluation"
        ]
    );
    let guarantee = Guarantee::of(contract.spec()).unwrap().unwrap();
    assert!(guarantee.training > guarantee.evaluation);
    assert_eq!(guarantee.epsilon, guarantee.training);
    let said = format!("epsilon {:.3}", guarantee.training);
    assert!(contract.disclosures()[2].what.contains(&said), "{said}");
    for id in &ids {
        assert!(id.parse::<DisclosureId>().is_ok());
    }
    // more noise is worth more, and a job without any has nothing to say
    let noisy = private().replacen("noise = 1.1", "noise = 2.2", 1);
    let more = Spec::from_toml(&noisy, "job.toml").unwrap();
    let more = Guarantee::of(&more).unwrap().unwrap();
    assert!(more.epsilon < guarantee.epsilon / 1.5);
    let plain = Spec::from_toml(&network(), "job.toml").unwrap();
    assert_eq!(Guarantee::of(&plain).unwrap(), None);
    // every row in every round: the plainer account says so, too, and a little more
    let all = private().replacen("sampling = 0.05", "sampling = 1", 1);
    let all = Guarantee::of(&Spec::from_toml(&all, "job.toml").unwrap())
        .unwrap()
        .unwrap();
    assert!(all.zcdp.unwrap() >= all.training);
}
