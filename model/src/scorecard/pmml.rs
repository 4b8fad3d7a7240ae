//! The card as a PMML 4.4 `Scorecard` with reason codes: points below the baseline.
//!
//! Source: Data Mining Group, PMML 4.4, "Scorecard". The first attribute whose predicate holds gives the
//! points, so special values stand before ranges and what remains stands last.

use std::fmt::Write as _;

use super::{Card, Characteristic, Kind, Points};
use crate::binning::{Bin, Edge};

/// Reason codes that the model returns.
const REASONS: usize = 4;

/// Text that stands in an attribute or between tags.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            // XML 1.0 has no other control characters
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// An item of a PMML array of strings: quoted, quotes and backslashes escaped.
fn item(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("&quot;{}&quot;", escape(&text))
}

fn simple(field: &str, operator: &str, value: impl std::fmt::Display) -> String {
    format!("<SimplePredicate field=\"{field}\" operator=\"{operator}\" value=\"{value}\"/>")
}

fn range(field: &str, low: Option<Edge>, high: Option<Edge>) -> String {
    let low = low.map(|l| simple(field, "greaterOrEqual", l));
    let high = high.map(|h| simple(field, "lessThan", h));
    match (low, high) {
        (Some(l), Some(h)) => {
            format!("<CompoundPredicate booleanOperator=\"and\">{l}{h}</CompoundPredicate>")
        }
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => format!("<SimplePredicate field=\"{field}\" operator=\"isNotMissing\"/>"),
    }
}

/// Predicates of the parts of a bin, each with how early it must stand.
fn predicates(field: &str, bin: &Bin) -> Vec<(u8, String)> {
    let mut all = Vec::new();
    for value in &bin.special {
        all.push((0, simple(field, "equal", value)));
    }
    if bin.missing {
        let missing = format!("<SimplePredicate field=\"{field}\" operator=\"isMissing\"/>");
        all.push((1, missing));
    }
    if let Some(r) = &bin.range {
        all.push((2, range(field, r.low, r.high)));
    }
    if !bin.levels.is_empty() {
        let items: Vec<String> = bin.levels.iter().map(|l| item(l)).collect();
        all.push((
            2,
            format!(
                "<SimpleSetPredicate field=\"{field}\" booleanOperator=\"isIn\"><Array type=\"string\" \
                 n=\"{}\">{}</Array></SimpleSetPredicate>",
                items.len(),
                items.join(" ")
            ),
        ));
    }
    if bin.other_levels {
        let present = format!("<SimplePredicate field=\"{field}\" operator=\"isNotMissing\"/>");
        all.push((3, present));
    }
    all
}

fn attribute(points: i64, predicate: &str) -> String {
    format!("<Attribute partialScore=\"{points}\">{predicate}</Attribute>\n")
}

fn characteristic(c: &Characteristic) -> String {
    let field = escape(&c.column);
    let mut out = format!(
        "<Characteristic name=\"{field}_points\" reasonCode=\"{}\" baselineScore=\"{}\">\n",
        escape(&c.reason_code),
        c.baseline
    );
    match &c.kind {
        Kind::Bins {
            binning,
            points,
            otherwise,
            ..
        } => {
            let mut parts: Vec<(u8, i64, String)> = binning
                .bins
                .iter()
                .zip(points)
                .flat_map(|(bin, Points { points, .. })| {
                    let all = predicates(&field, bin).into_iter();
                    all.map(|(early, predicate)| (early, *points, predicate))
                })
                .collect();
            parts.sort_by_key(|p| p.0);
            for (_, points, predicate) in &parts {
                out.push_str(&attribute(*points, predicate));
            }
            out.push_str(&attribute(otherwise.points, "<True/>"));
        }
        Kind::Linear {
            per_unit,
            at_zero,
            missing,
        } => {
            let missing_value =
                format!("<SimplePredicate field=\"{field}\" operator=\"isMissing\"/>");
            out.push_str(&attribute(missing.points, &missing_value));
            let number = |v: f64| format!("<Constant dataType=\"double\">{v}</Constant>");
            let apply = |f: &str, args: String| format!("<Apply function=\"{f}\">{args}</Apply>");
            let slope = apply(
                "*",
                number(*per_unit) + &format!("<FieldRef field=\"{field}\"/>"),
            );
            let exact = apply("+", number(*at_zero) + &slope);
            let whole = apply("floor", apply("+", exact + &number(0.5)));
            out.push_str(&format!(
                "<Attribute><True/><ComplexPartialScore>{whole}</ComplexPartialScore></Attribute>\n"
            ));
        }
    }
    out.push_str("</Characteristic>\n");
    out
}

/// The PMML document. Missing values are missing fields; levels never seen are taken as they are.
pub fn pmml(card: &Card) -> String {
    let (mut dictionary, mut schema) = (String::new(), String::new());
    for c in &card.characteristics {
        let field = escape(&c.column);
        let numeric = match &c.kind {
            Kind::Linear { .. } => true,
            Kind::Bins { binning, .. } => binning
                .bins
                .iter()
                .any(|b| b.range.is_some() || !b.special.is_empty()),
        };
        let kind = match numeric {
            true => "optype=\"continuous\" dataType=\"double\"",
            false => "optype=\"categorical\" dataType=\"string\"",
        };
        let _ = writeln!(dictionary, "<DataField name=\"{field}\" {kind}/>");
        let _ = writeln!(
            schema,
            "<MiningField name=\"{field}\" usageType=\"active\" invalidValueTreatment=\"asIs\"/>"
        );
    }
    let reasons: String = (1..=REASONS)
        .map(|rank| {
            format!(
                "<OutputField name=\"reason{rank}\" optype=\"categorical\" dataType=\"string\" \
                 feature=\"reasonCode\" rank=\"{rank}\"/>\n"
            )
        })
        .collect();
    let characteristics: String = card.characteristics.iter().map(characteristic).collect();
    let s = &card.scaling;
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <PMML xmlns=\"http://www.dmg.org/PMML-4_4\" version=\"4.4\">\n\
         <Header description=\"Half of a scorecard: the characteristics of {party}, job {job}. Score {base} at \
         {odds}:1 good to bad, {pdo} points double the odds; a higher score is better.\">\
         <Application name=\"paripassu\" version=\"{version}\"/></Header>\n\
         <DataDictionary numberOfFields=\"{fields}\">\n{dictionary}</DataDictionary>\n\
         <Scorecard modelName=\"{party}\" functionName=\"regression\" algorithmName=\"logistic regression\" \
         initialScore=\"{initial}\" useReasonCodes=\"true\" reasonCodeAlgorithm=\"pointsBelow\" \
         baselineMethod=\"max\">\n\
         <MiningSchema>\n{schema}</MiningSchema>\n\
         <Output>\n<OutputField name=\"points\" optype=\"continuous\" dataType=\"double\" \
         feature=\"predictedValue\"/>\n{reasons}</Output>\n\
         <Characteristics>\n{characteristics}</Characteristics>\n</Scorecard>\n</PMML>\n",
        party = escape(&card.party),
        job = escape(&card.job),
        base = s.base_score,
        odds = s.base_odds,
        pdo = s.pdo,
        version = env!("CARGO_PKG_VERSION"),
        fields = card.characteristics.len(),
        initial = card.initial.points,
    )
}
