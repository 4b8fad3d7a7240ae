//! `model.l1`, `model.woe_signs` and `[[model.sign]]`.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is not there")]

use paripassu_job::{
    Contract, JobId, Spec, Submitter, Timestamp,
    spec::{TemplateKind, WoeSign, template},
};
use paripassu_model::{design::Source, logistic::Sign};

const SIGN: &str =
    "[[model.sign]]\nparty = \"partner\"\ncolumn = \"utilisation\"\nsign = \"positive\"\n";

/// The template with keys in `[model]`, other replacements, and lines at its end.
fn with(model: &str, changes: &[(&str, &str)], end: &str) -> Result<Spec, String> {
    let mut text = template(TemplateKind::VerticalLogistic)
        .replace("intercept = true", &format!("intercept = true\n{model}"));
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text.push_str(end);
    Spec::from_toml(&text, "job.toml").map_err(|e| e.to_string())
}

/// The partner's columns as a list with this one.
fn listed() -> Vec<(&'static str, &'static str)> {
    let text = template(TemplateKind::VerticalLogistic);
    let at = text.find("id = \"partner\"").unwrap();
    let line = text[at..]
        .lines()
        .find(|l| l.starts_with("columns"))
        .unwrap();
    vec![(
        line,
        "columns = { numeric = [\"utilisation\", \"months\"], categorical = [\"region\"] }",
    )]
}

#[test]
fn a_penalty_and_signs_are_read_and_told() {
    let spec = with("l1 = 5", &listed(), SIGN).unwrap();
    assert!(spec.is_held() && spec.has_signs());
    let numeric = |column: &str| Source::Numeric {
        column: column.to_owned(),
        fill: 0.0,
    };
    let sign = |party, column| spec.sign_of(party, &numeric(column));
    assert_eq!(sign("partner", "utilisation"), Sign::Positive);
    assert_eq!(sign("partner", "months"), Sign::Free);
    assert_eq!(sign("bank", "utilisation"), Sign::Free);
    let missing = Source::MissingFlag {
        column: "utilisation".to_owned(),
    };
    assert_eq!(spec.sign_of("partner", &missing), Sign::Free);
    let contract = |spec: Spec| {
        let at = Timestamp::from_unix(1_772_323_200).unwrap();
        let by = Submitter::user("modeler".parse().unwrap());
        Contract::new(spec, JobId::from_bytes([7; 16]), at, by).unwrap()
    };
    let told = |spec: Spec| {
        let all = contract(spec);
        let mut all = all.disclosures().iter();
        all.any(|d| d.what.contains("coefficient of exactly 0"))
    };
    assert!(told(spec));
    let without = with("", &[], "").unwrap();
    assert!(!without.is_held() && !told(without.clone()));
    // what is not used is not in the contract
    let text = contract(without).canonical().to_owned();
    assert!(!text.contains("\"l1\"") && !text.contains("woe_signs"));
}

#[test]
fn signs_of_weights_of_evidence_follow_their_convention() {
    let mut spec = with("woe_signs = true", &[], "[binning]\n").unwrap();
    assert!(spec.is_held() && spec.model.l1.value() == 0.0);
    assert_eq!(spec.binning.as_ref().unwrap().woe_sign, WoeSign::GoodBad);
    let numeric = Source::Numeric {
        column: "age".to_owned(),
        fill: 0.0,
    };
    assert_eq!(spec.sign_of("bank", &numeric), Sign::Free);
    spec.binning.as_mut().unwrap().woe_sign = WoeSign::BadGood;
    assert!(spec.has_signs());
}

#[test]
fn what_does_not_fit_is_refused_with_the_way_out() {
    let partner = listed();
    let other = |column: &str| SIGN.replace("utilisation", column);
    let errors = ("standard_errors = false", "standard_errors = true");
    let mut told = partner.clone();
    told.push(errors);
    for (made, says) in [
        (with("l1 = -1", &[], ""), "0 to 1000000"),
        (with("l1 = 1", &[errors], ""), "not defined"),
        (with("", &told, SIGN), "not defined"),
        (with("woe_signs = true", &[], ""), "[[model.sign]]"),
        (
            with("", &partner, &format!("{SIGN}[binning]\n")),
            "woe_signs = true",
        ),
        (with("", &partner, &other("region")), "is a category"),
        (with("", &partner, &other("income")), "none of the numeric"),
        (
            with("", &partner, &format!("{SIGN}{SIGN}")),
            "a sign already",
        ),
        (
            with("", &partner, &SIGN.replace("partner", "stranger")),
            "no party of this job",
        ),
        (
            with("", &partner, &SIGN.replace("positive", "up")),
            "negative",
        ),
    ] {
        let error = made.unwrap_err();
        assert!(error.contains(says), "{says}: {error}");
    }
    for (kind, says) in [
        (TemplateKind::HorizontalLogistic, "[horizontal]"),
        (TemplateKind::VerticalMlp, "not for a network"),
    ] {
        let text = template(kind).replacen("[model]\n", "[model]\nl1 = 1\n", 1);
        let error = Spec::from_toml(&text, "job.toml").unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
