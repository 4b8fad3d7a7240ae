//! Horizontal jobs: what is accepted, what is planned and opened.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is not there")]

use std::{collections::BTreeMap, time::Duration};

use paripassu_job::{
    Assumptions, Contract, Disclosure, DisclosureId, JobId, Ledger, NodeId, Spec, Submitter,
    Timestamp,
    plan::plan,
    spec::{TemplateKind, template},
};
use paripassu_protocol::{
    horizontal::secagg::{Client, Params, serve},
    testing::World,
};

fn horizontal(from: &str, to: &str) -> String {
    let text = template(TemplateKind::HorizontalLogistic);
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn a_horizontal_job_takes_banks_with_the_same_columns() {
    let spec = Spec::from_toml(template(TemplateKind::HorizontalLogistic), "job.toml").unwrap();
    let horizontal_part = spec.horizontal.as_ref().unwrap();
    assert_eq!(horizontal_part.threshold_of(3), 3);
    assert_eq!(horizontal_part.threshold_of(10), 7);
    assert_eq!(spec.seats().len(), 3);
    let bank_c = "[[party]]\nid = \"bank-c\"\nrole = \"bank\"\ndataset = \"applications\"\n\
                  columns = { numeric = [\"income\", \"age\"], categorical = [\"branch\"] }\n";
    for (from, to, want) in [
        (bank_c, "", "3 to 200 banks"),
        (
            "role = \"bank\"",
            "role = \"label\"",
            "every party has role = \"bank\"",
        ),
        (
            "id = \"bank-b\"\nrole = \"bank\"\ndataset = \"applications\"\ncolumns = { numeric = [\"income\", \"age\"]",
            "id = \"bank-b\"\nrole = \"bank\"\ndataset = \"applications\"\ncolumns = { numeric = [\"income\"]",
            "all banks list the same columns",
        ),
        (
            "branch = [\"city\", \"country\", \"web\"]",
            "",
            "levels of `branch`",
        ),
        (
            "branch = [\"city\", \"country\", \"web\"]",
            "branch = [\"a\", \"a\"]",
            "different levels",
        ),
        ("threshold = \"auto\"", "threshold = 2", "outside 3 to 3"),
        ("min_rows = 100", "min_rows = 5", "outside 20"),
        (
            "# weight = \"exposure\"",
            "weight = \"exposure\"",
            "none of the listed numeric columns",
        ),
        (
            "profile = \"masked-sums\"",
            "profile = \"helper\"",
            "`masked-sums`",
        ),
        (
            "[solver]\n",
            "[solver]\nrange = 16\n",
            "only max_passes and tolerance apply",
        ),
        (
            "[align]\n",
            "[align]\nmin_matched = 50\n",
            "only id_rules applies",
        ),
        (
            "coefficients = \"own\"",
            "metrics_to = [\"bank-a\"]",
            "each bank scores its own rows",
        ),
    ] {
        let error = Spec::from_toml(&horizontal(from, to), "job.toml")
            .unwrap_err()
            .to_string();
        assert!(error.contains(want), "{to}: {error}");
    }
    // and a vertical job takes none of it
    let text = template(TemplateKind::VerticalLogistic);
    for (from, to, want) in [
        (
            "role = \"features\"",
            "role = \"bank\"",
            "[horizontal] section",
        ),
        (
            "profile = \"helper\"",
            "profile = \"masked-sums\"",
            "[horizontal] section",
        ),
    ] {
        let error = Spec::from_toml(&text.replacen(from, to, 1), "job.toml")
            .unwrap_err()
            .to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn a_contract_declares_sums_and_nothing_of_one_bank() {
    let spec = Spec::from_toml(template(TemplateKind::HorizontalLogistic), "job.toml").unwrap();
    let (id, now) = (
        JobId::from_bytes([7; 16]),
        Timestamp::from_unix(1_800_000_000).unwrap(),
    );
    let user = Submitter::user("modeler".parse().unwrap());
    let contract = Contract::new(spec, id, now, user).unwrap();
    let read = Contract::parse(contract.canonical().as_bytes()).unwrap();
    assert_eq!(read.digest(), contract.digest());
    let declared: BTreeMap<String, Vec<String>> = contract
        .disclosures()
        .iter()
        .map(|d| {
            (
                d.id.to_string(),
                d.to.iter().map(ToString::to_string).collect(),
            )
        })
        .collect();
    let helper = "helper:coordinator".to_owned();
    for (id, to) in &declared {
        assert!(id.parse::<DisclosureId>().is_ok());
        let seen_by_helper = to.contains(&helper);
        assert_eq!(seen_by_helper, id == "sums.members", "{id} goes to {to:?}");
    }
    assert!(
        declared
            .keys()
            .all(|id| id.starts_with("sums.") || id == "relay.traffic")
    );
    let mut ledger = Ledger::new(&contract);
    for _ in 0..20 {
        ledger.record(&DisclosureId::SumsNewton, 10).unwrap();
    }
    assert!(
        ledger.record(&DisclosureId::SumsNewton, 10).is_err(),
        "max_passes of them"
    );
    assert!(ledger.record(&DisclosureId::AlignMembers, 1).is_err());
}

#[tokio::test]
async fn bytes_of_a_sum_are_exactly_those_planned() {
    let spec = Spec::from_toml(template(TemplateKind::HorizontalLogistic), "job.toml").unwrap();
    let plan = plan(&spec, &Assumptions::usual(&spec)).unwrap();
    let counts = plan
        .steps
        .iter()
        .find(|step| step.step == "counts")
        .unwrap();
    let bank = &spec.party[0].id;
    let planned = |from: &NodeId, to: &NodeId| {
        let link = counts.links.iter().find(|l| l.from == *from && l.to == *to);
        link.unwrap().bytes
    };
    // rows, bads, two columns; of each category the levels listed, one for what is missing and one for all others
    let levels = &spec.horizontal.as_ref().unwrap().levels;
    let words = 2 + 2 + levels.values().map(|l| l.len() + 2).sum::<usize>();
    let params = Params::new(3, None, [0; 32], Duration::from_secs(10)).unwrap();
    let served = params.clone();
    let results = World::new(3)
        .run(
            |_, ctx| {
                let params = params.clone();
                async move {
                    let mut client =
                        Client::join(&ctx, params, vec![Default::default(); 3]).await?;
                    client.sum("counts", vec![1; words]).await?;
                    Ok(ctx.meter().total())
                }
            },
            |ctx| async move { serve(&ctx, &served).await.map(drop) },
        )
        .await;
    let joining = 2 * (64 + 32);
    for cost in results {
        let cost = cost.unwrap();
        assert_eq!(cost.bytes_sent, joining + planned(bank, &spec.helper.id));
        // two to join, and those of the sum
        assert_eq!(cost.rounds, 2 + counts.waits_of(bank));
        assert_eq!(
            cost.bytes_received,
            joining + planned(&spec.helper.id, bank)
        );
    }
    assert!(plan.to_string().contains("points of the fit expected"));
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains("every bank is needed"))
    );
}

fn opened(spec: &Spec) -> Vec<Disclosure> {
    plan(spec, &Assumptions::usual(spec)).unwrap().disclosures
}

/// A section behind those of the template.
fn with(section: &str, more: &str) -> String {
    let text = horizontal("[horizontal]\n", &format!("[horizontal]\n{more}"));
    format!("{text}\n{section}")
}

#[test]
fn bins_of_a_horizontal_job_are_of_sums_alone() {
    let bins = "[binning]\nmethod = \"monotone\"\nspecial = [-1]\nnoise_rows = 0\n";
    let spec = Spec::from_toml(&with(bins, ""), "job.toml").unwrap();
    let declared: BTreeMap<String, u32> = opened(&spec)
        .into_iter()
        .map(|d| (d.id.to_string(), d.at_most))
        .collect();
    assert_eq!((declared["sums.bins"], declared["sums.quantiles"]), (1, 11));
    // what only a standardised design needs is not opened, and nothing to one bank alone
    for id in ["sums.ranges", "sums.moments"] {
        assert!(!declared.contains_key(id), "{id}");
    }
    assert!(!declared.keys().any(|id| id.starts_with("binning.")));
    let text = plan(&spec, &Assumptions::usual(&spec)).unwrap().to_string();
    assert!(text.contains("rows and bads of bins"), "{text}");
    for (section, more, want) in [
        ("[binning]\n", "", "write noise_rows = 0"),
        (
            "[binning]\nnoise_rows = 0\nmethod = \"equal-range\"\n",
            "",
            "take quantiles",
        ),
        (
            "[binning]\nnoise_rows = 0\nmax_identical = 0.3\n",
            "",
            "0.5 to 1",
        ),
        (
            "[binning]\nnoise_rows = 0\nmax_vif = 10\n",
            "",
            "not compared before the fit",
        ),
        (
            "[binning]\nnoise_rows = 0\n[[binning.column]]\nparty = \"bank-a\"\ncolumn = \"age\"\nmax_bins = 3\n",
            "",
            "binned alike",
        ),
        (
            "[binning]\nnoise_rows = 0\n",
            "weight = \"age\"\n",
            "as one each",
        ),
    ] {
        let error = Spec::from_toml(&with(section, more), "job.toml").unwrap_err();
        assert!(error.to_string().contains(want), "{section}: {error}");
    }
}

#[test]
fn a_job_goes_on_from_one_of_the_same_banks_columns_and_model() {
    let aborted = Spec::from_toml(&horizontal("", ""), "job.toml").unwrap();
    let id = JobId::from_bytes([9; 16]);
    let on = with("", &format!("resume = \"{id}\"\n"))
        .replace("small-banks-joint", "again")
        .replace("max_passes = 20", "max_passes = 40")
        .replace("job_deadline_s = 3600", "job_deadline_s = 7200")
        .replace("id = \"coordinator\"", "id = \"another\"");
    let on_spec = Spec::from_toml(&on, "job.toml").unwrap();
    assert!(on_spec.goes_on_from(&aborted) && aborted.goes_on_from(&on_spec));
    let held = opened(&on_spec)
        .into_iter()
        .find(|d| d.id == DisclosureId::SumsHeld)
        .unwrap();
    assert!(held.what.contains(&id.to_string()) && held.at_most == 1);
    assert!(
        !opened(&aborted)
            .iter()
            .any(|d| d.id == DisclosureId::SumsHeld)
    );
    for (from, to) in [
        ("l2 = 1.0", "l2 = 2.0"),
        ("\"income\", \"age\"", "\"age\", \"income\""),
        ("test_tenths = 3", "test_tenths = 2"),
        ("id = \"bank-c\"", "id = \"bank-d\""),
        ("tolerance = 2e-5", "tolerance = 1e-5"),
        ("purpose = \"application_score\"", "purpose = \"marketing\""),
    ] {
        assert!(on.contains(from), "{from}");
        let other = Spec::from_toml(&on.replace(from, to), "job.toml").unwrap();
        assert!(!other.goes_on_from(&aborted), "{to}");
    }
    let wrong = with("", "resume = \"latest\"\n");
    let error = Spec::from_toml(&wrong, "job.toml").unwrap_err().to_string();
    assert!(error.contains("no job id"), "{error}");
    let network = template(TemplateKind::HorizontalMlp);
    let wrong = network.replacen(
        "[horizontal]\n",
        "[horizontal]\nstart = \"own-models\"\n",
        1,
    );
    let error = Spec::from_toml(&wrong, "job.toml").unwrap_err().to_string();
    assert!(error.contains("goes with logistic regression"), "{error}");
}
