//! `job.toml`: what is accepted, and what the errors say.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is not there")]

use paripassu_job::{
    Spec,
    spec::{
        AlignMethod, AutoOr, Columns, ConstantColumns, IdRule, Network, Problem, Stop,
        TemplateKind, Training, template,
    },
};

const SMALLEST: &str = r#"
name = "small"
purpose = "application_score"
legal_basis = "contract"
[[party]]
id = "bank"
role = "label"
dataset = "loans"
columns = { numeric = ["amount", "age"], categorical = ["branch"] }
[[party]]
id = "partner"
role = "features"
dataset = "payments"
columns = "all"
[helper]
id = "coordinator"
[outputs]
"#;

fn refused(text: &str) -> String {
    Spec::from_toml(text, "job.toml").unwrap_err().to_string()
}

/// The smallest specification with one text replaced by another, and the line of the replacement.
fn edited(from: &str, to: &str) -> (String, usize) {
    assert_eq!(
        SMALLEST.matches(from).count(),
        1,
        "{from:?} must be there once"
    );
    let line = 1 + SMALLEST.split(from).next().unwrap().matches('\n').count();
    (SMALLEST.replace(from, to), line)
}

#[test]
fn smallest_gets_the_documented_defaults() {
    let spec = Spec::from_toml(SMALLEST, "job.toml").unwrap();
    assert_eq!(spec.align.id_rules, [IdRule::Trim]);
    assert_eq!(
        (
            spec.align.min_matched,
            spec.split.test_tenths,
            spec.design.rare_level_rows
        ),
        (100, 3, 20)
    );
    assert_eq!(spec.design.constant_columns, ConstantColumns::Drop);
    assert_eq!((spec.model.l2.value(), spec.model.intercept), (1.0, true));
    assert_eq!(
        (
            spec.solver.max_passes,
            spec.solver.tolerance.value(),
            spec.solver.stop
        ),
        (20, 2e-5, Stop::Bit)
    );
    assert_eq!(
        (spec.solver.range, spec.solver.terms),
        (AutoOr::Auto, AutoOr::Auto)
    );
    assert_eq!(
        (spec.limits.message_deadline_s, spec.limits.job_deadline_s),
        (60, 3_600)
    );
    assert_eq!(spec.outputs.scores, None);
    assert_eq!(spec.party[1].columns, Columns::All);
    assert_eq!(
        spec.party[0].columns.names().collect::<Vec<_>>(),
        ["amount", "age", "branch"]
    );
}

#[test]
fn templates_parse_and_spell_out_the_defaults() {
    for kind in TemplateKind::REFERENCE {
        let spec = Spec::from_toml(template(kind), kind.name()).unwrap();
        let mut plain = Spec::from_toml(SMALLEST, "job.toml").unwrap();
        if kind == TemplateKind::Overlap {
            // three parties are matched by this method only
            plain.align.method = AlignMethod::Vole;
        }
        assert_eq!(spec.align, plain.align);
        assert_eq!(spec.split, plain.split);
        assert_eq!(spec.design, plain.design);
        if ![TemplateKind::HorizontalMlp, TemplateKind::VerticalMlp].contains(&kind) {
            assert_eq!(spec.model, plain.model);
        }
        assert_eq!(spec.solver, plain.solver);
        assert_eq!(spec.limits, plain.limits);
        assert_eq!(TemplateKind::named(kind.name()), Some(kind));
        if let Some(network) = &spec.network {
            assert_eq!(*network, Network::default());
        }
        if let Some(training) = spec.horizontal.and_then(|h| h.training) {
            assert_eq!(training, Training::default());
        }
    }
}

#[test]
fn every_key_of_the_specification_is_in_the_template() {
    let text = template(TemplateKind::VerticalLogistic);
    let spec = Spec::from_toml(text, "job.toml").unwrap();
    fn keys(value: &serde_json::Value, out: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(members) => members.iter().for_each(|(key, value)| {
                out.push(key.clone());
                keys(value, out);
            }),
            serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, out)),
            _ => {}
        }
    }
    let mut found = vec!["expires".to_owned()];
    keys(&serde_json::to_value(&spec).unwrap(), &mut found);
    assert!(found.len() > 40);
    for key in found {
        assert!(
            text.contains(&format!("{key} =")) || text.contains(&format!("{key}]")),
            "{key} is not in the template"
        );
    }
}

#[test]
fn label_party_sits_first() {
    let swapped = SMALLEST
        .replace("\"label\"", "\"x\"")
        .replace("\"features\"", "\"label\"")
        .replace("\"x\"", "\"features\"");
    let spec = Spec::from_toml(&swapped, "job.toml").unwrap();
    let seats: Vec<_> = spec
        .seats()
        .iter()
        .map(|party| party.id.to_string())
        .collect();
    assert_eq!(seats, ["partner", "bank"]);
    assert_eq!(spec.label_party().unwrap().id.as_str(), "partner");
}

#[test]
fn unknown_keys_name_line_key_and_the_nearest() {
    let text = format!("{SMALLEST}metrics-to = [\"bank\"]\n");
    assert_eq!(
        refused(&text),
        "job.toml:18: `outputs.metrics-to`: there is no such key, did you mean `metrics_to`?; available here: `coefficients`, `standard_errors`, `scores`, `metrics_to`"
    );
    let text = format!("{SMALLEST}[solver]\nstop = \"bit\"\nrnage = 16\n");
    assert!(
        refused(&text).starts_with(
            "job.toml:20: `solver.rnage`: there is no such key, did you mean `range`?"
        ),
        "{}",
        refused(&text)
    );
    let (text, line) = edited("role = \"features\"", "role = \"features\"\nrank = 1");
    assert!(
        refused(&text).starts_with(&format!(
            "job.toml:{}: `party[2].rank`: there is no such key",
            line + 1
        )),
        "{}",
        refused(&text)
    );
    let (text, line) = edited("categorical =", "categories =");
    assert!(refused(&text).starts_with(&format!("job.toml:{line}: `party[1].columns.categories`: there is no such key, did you mean `categorical`?")), "{}", refused(&text));
    assert!(refused("solvr = 1\n").contains("did you mean `solver`?"));
}

#[test]
fn values_the_engine_does_not_carry_out_are_refused() {
    for (table, key, value, want) in [
        (
            "model",
            "kind",
            "\"gbdt\"",
            "`gbdt` is not available; available: `logistic`, `mlp`",
        ),
        ("model", "kind", "\"logistc\"", "did you mean `logistic`?"),
        (
            "model",
            "intercept",
            "false",
            "`false` is not available; available: `true`",
        ),
        ("solver", "method", "\"lbfgs\"", "available: `newton`"),
        ("solver", "stop", "\"bits\"", "did you mean `bit`?"),
        (
            "solver",
            "range",
            "12",
            "`12` is not available; available: `auto`, `8`, `16`, `32`, `64`",
        ),
        (
            "solver",
            "range",
            "\"wide\"",
            "available: `auto`, `a whole number`",
        ),
        ("align", "method", "\"rr22\"", "available: `curve`"),
        ("align", "reveal", "\"nothing\"", "available: `members`"),
        (
            "align",
            "id_rules",
            "[\"trim\", \"sha\"]",
            "available: `trim`, `lower_case`, `digits_only`, `strip_leading_zeros`",
        ),
        ("split", "rule", "\"random\"", "available: `id-hash`"),
        (
            "design",
            "constant_columns",
            "\"keep\"",
            "available: `drop`, `error`",
        ),
        (
            "security",
            "profile",
            "\"two-party\"",
            "available: `helper`",
        ),
    ] {
        let text = format!("{SMALLEST}[{table}]\n{key} = {value}\n");
        let error = refused(&text);
        assert!(
            error.starts_with(&format!("job.toml:19: `{table}.{key}")),
            "{error}"
        );
        assert!(error.contains(want), "{error}");
    }
    let error = refused(&format!("{SMALLEST}coefficients = \"all\"\n"));
    assert!(error.contains("available: `own`"), "{error}");
}

#[test]
fn numbers_have_ranges() {
    for (table, key, value) in [
        ("model", "l2", "0"),
        ("model", "l2", "-1.0"),
        ("model", "l2", "2e6"),
        ("solver", "max_passes", "0"),
        ("solver", "max_passes", "61"),
        ("solver", "tolerance", "0.0"),
        ("solver", "terms", "3"),
        ("solver", "hessian_rows", "10"),
        ("split", "test_tenths", "0"),
        ("split", "test_tenths", "10"),
        ("align", "min_matched", "9"),
        ("design", "rare_level_rows", "0"),
        ("limits", "message_deadline_s", "0"),
        ("limits", "job_deadline_s", "604801"),
    ] {
        let error = refused(&format!("{SMALLEST}[{table}]\n{key} = {value}\n"));
        assert!(
            error.contains(&format!("job.toml:19: `{table}.{key}`: "))
                && error.contains(" is outside "),
            "{error}"
        );
    }
    for value in ["nan", "inf", "\"x\"", "true"] {
        let error = refused(&format!("{SMALLEST}[model]\nl2 = {value}\n"));
        assert!(error.starts_with("job.toml:19: `model.l2`: "), "{error}");
    }
    for value in ["-1", "4.5", "4294967296"] {
        let error = refused(&format!("{SMALLEST}[solver]\nterms = {value}\n"));
        assert!(
            error.starts_with("job.toml:19: `solver.terms`: "),
            "{error}"
        );
    }
}

#[test]
fn parties_must_fit_together() {
    for (from, to, key, want) in [
        (
            "role = \"features\"",
            "role = \"label\"",
            "party[2].role",
            "2 parties have role = \"label\"",
        ),
        (
            "role = \"label\"",
            "role = \"features\"",
            "party",
            "0 parties have role = \"label\"",
        ),
        (
            "id = \"partner\"",
            "id = \"bank\"",
            "party[2].id",
            "listed twice",
        ),
        (
            "id = \"coordinator\"",
            "id = \"partner\"",
            "helper.id",
            "must hold no data",
        ),
        (
            "id = \"bank\"",
            "id = \"Bank\"",
            "party[1].id",
            "is no node id",
        ),
        (
            "numeric = [\"amount\", \"age\"], categorical = [\"branch\"]",
            "",
            "party[1].columns",
            "brings no column",
        ),
        (
            "\"age\"",
            "\"amount\"",
            "party[1].columns.numeric[2]",
            "twice",
        ),
        (
            "\"branch\"",
            "\"age\"",
            "party[1].columns.categorical[1]",
            "twice",
        ),
        (
            "\"branch\"",
            "\" branch\"",
            "party[1].columns.categorical[1]",
            "is no column name",
        ),
        (
            "columns = \"all\"",
            "columns = \"every\"",
            "party[2].columns",
            "available: `all`",
        ),
        (
            "columns = \"all\"",
            "columns = 3",
            "party[2].columns",
            "expected \"all\" or",
        ),
        (
            "dataset = \"payments\"",
            "dataset = \"../x\"",
            "party[2].dataset",
            "is no data set name",
        ),
        (
            "\"application_score\"",
            "\"Application\"",
            "purpose",
            "is no purpose code",
        ),
        (
            "\"contract\"",
            "\"\"",
            "legal_basis",
            "is no legal basis code",
        ),
        ("\"small\"", "\"a b\"", "name", "is no job name"),
    ] {
        let (text, line) = edited(from, to);
        let error = refused(&text);
        let at = if key == "party" { 5 } else { line };
        assert!(
            error.contains(&format!("job.toml:{at}: `{key}`: ")) && error.contains(want),
            "{from} -> {to}: {error}"
        );
    }
}

#[test]
fn two_to_five_parties_train_and_more_than_two_are_matched_at_once() {
    let more = |parties: usize| {
        let mut text = SMALLEST.to_owned();
        for p in 2..parties {
            text += &format!(
                "[[party]]\nid = \"p{p}\"\nrole = \"features\"\ndataset = \"x\"\ncolumns = \"all\"\n"
            );
        }
        text
    };
    let by_curve = refused(&more(3));
    assert!(by_curve.contains("`align.method`: by `curve`, every party would see which of its"));
    for parties in [3, 5] {
        let text = more(parties) + "[align]\nmethod = \"vole\"\n";
        let spec = Spec::from_toml(&text, "job.toml").unwrap();
        assert_eq!(spec.seats().len(), parties);
    }
    let six = refused(&(more(6) + "[align]\nmethod = \"vole\"\n"));
    assert!(
        six.contains("6 parties; a job over different columns of the same customers takes 2 to 5")
    );
}

#[test]
fn outputs_must_fit_the_parties() {
    for (outputs, key, want) in [
        (
            "scores = { to = \"partner\" }",
            "outputs.scores.to",
            "scores go to the label party only, which is `bank`",
        ),
        (
            "scores = { to = \"banc\" }",
            "outputs.scores.to",
            "did you mean `bank`?",
        ),
        (
            "scores = { to = \"bank\", step = 0.001 }",
            "outputs.scores.step",
            "the nearest is 0.0009765625",
        ),
        (
            "scores = { to = \"bank\", step = 2 }",
            "outputs.scores.step",
            "outside",
        ),
        (
            "scores = { to = \"bank\", rows = \"train\" }",
            "outputs.scores.rows",
            "available: `test`",
        ),
        (
            "metrics_to = [\"bank\"]",
            "outputs.metrics_to",
            "add `scores = { to = \"bank\" }`",
        ),
        (
            "scores = { to = \"bank\" }\nmetrics_to = [\"partner\"]",
            "outputs.metrics_to",
            "add it to the list",
        ),
        (
            "scores = { to = \"bank\" }\nmetrics_to = [\"bank\", \"coordinator\"]",
            "outputs.metrics_to[2]",
            "is no party of this job",
        ),
        (
            "scores = { to = \"bank\" }\nmetrics_to = [\"bank\", \"bank\"]",
            "outputs.metrics_to[2]",
            "named twice",
        ),
    ] {
        let error = refused(&format!("{SMALLEST}{outputs}\n"));
        assert!(
            error.contains(&format!("`{key}`: ")) && error.contains(want),
            "{outputs}: {error}"
        );
    }
    let good =
        format!("{SMALLEST}scores = {{ to = \"bank\" }}\nmetrics_to = [\"partner\", \"bank\"]\n");
    let scores = Spec::from_toml(&good, "job.toml")
        .unwrap()
        .outputs
        .scores
        .unwrap();
    assert_eq!(
        (scores.step.to_string().as_str(), scores.keep),
        ("0.0009765625", true)
    );
}

#[test]
fn all_findings_come_at_once_in_the_order_of_the_file() {
    let text = format!("{SMALLEST}[solver]\nmax_passes = 99\n[limits]\nmessage_deadline_s = 90\njob_deadline_s = 60\n")
        .replace("\"small\"", "\"\"");
    let error = Spec::from_toml(&text, "job.toml").unwrap_err();
    let lines: Vec<_> = error.errors().iter().map(|error| error.line).collect();
    assert_eq!(lines, [Some(2), Some(19), Some(21)]);
    assert_eq!(
        error.errors()[2].problem,
        Problem::Deadlines {
            message: 90,
            job: 60
        }
    );
}

#[test]
fn syntax_and_missing_keys() {
    let error = refused("name = \"a\"\npurpose = = 3\n");
    assert!(error.starts_with("job.toml:2: not valid TOML: "), "{error}");
    let error = refused("name = \"a\"\nname = \"b\"\n");
    assert!(
        error.starts_with("job.toml:2: not valid TOML: duplicate key"),
        "{error}"
    );
    let (text, _) = edited("[helper]\nid = \"coordinator\"\n", "");
    assert_eq!(
        refused(&text),
        "job.toml: `helper` is missing; see the template for its meaning"
    );
    let (text, line) = edited("[[party]]\nid = \"partner\"\n", "[[party]]\n");
    assert_eq!(
        refused(&text),
        format!("job.toml:{line}: `party[2]`: `id` is missing; see the template for its meaning")
    );
    assert!(refused(&"#".repeat(2 << 20)).contains("more than the"));
}

#[test]
fn expiry_is_a_date() {
    for date in ["2027-03-31", "\"2027-03-31\""] {
        let spec = Spec::from_toml(&format!("expires = {date}\n{SMALLEST}"), "job.toml").unwrap();
        assert_eq!(
            spec.expires.unwrap().end().to_string(),
            "2027-04-01T00:00:00Z"
        );
    }
    assert!(
        refused(&format!("expires = \"31.3.2027\"\n{SMALLEST}"))
            .starts_with("job.toml:1: `expires`: `31.3.2027` is no date")
    );
}

#[test]
fn check_finds_without_a_file_what_reading_finds() {
    let mut spec = Spec::from_toml(SMALLEST, "job.toml").unwrap();
    spec.check().unwrap();
    spec.helper.id = "bank".parse().unwrap();
    assert!(
        spec.check()
            .unwrap_err()
            .to_string()
            .contains("job specification: `helper.id`: `bank` is a data party")
    );
}
