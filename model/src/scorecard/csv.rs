//! The card as a table, one line a bin.

use super::{Card, Kind};

fn quoted(text: &str) -> String {
    // a spreadsheet takes such a text for a formula
    let text = match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

/// `variable, bin, woe, exact_points, points, baseline, reason_code, reason_text`; the first line is what
/// every score starts from. Of a number that was not binned there are three lines: at 0, per unit, missing.
pub fn csv(card: &Card) -> String {
    let head = "variable,bin,woe,exact_points,points,baseline,reason_code,reason_text\n";
    let mut out = String::from(head);
    let initial = card.initial;
    let start = format!("(initial),,,{},{},,,\n", initial.exact, initial.points);
    out.push_str(&start);
    for c in &card.characteristics {
        let mut line = |bin: &str, woe: Option<f64>, exact: f64, points: Option<i64>| {
            let woe = woe.map_or_else(String::new, |w| w.to_string());
            let points = points.map_or_else(String::new, |p| p.to_string());
            let (code, text) = (quoted(&c.reason_code), quoted(&c.reason_text));
            out.push_str(&format!(
                "{},{},{woe},{exact},{points},{},{code},{text}\n",
                quoted(&c.column),
                quoted(bin),
                c.baseline
            ));
        };
        match &c.kind {
            Kind::Bins {
                labels,
                woe,
                points,
                otherwise,
                ..
            } => {
                for (i, (label, p)) in labels.iter().zip(points).enumerate() {
                    line(label, woe.get(i).copied(), p.exact, Some(p.points));
                }
                line("(in no bin)", None, otherwise.exact, Some(otherwise.points));
            }
            Kind::Linear {
                per_unit,
                at_zero,
                missing,
            } => {
                line("(at 0)", None, *at_zero, None);
                line("(per unit)", None, *per_unit, None);
                line("(missing)", None, missing.exact, Some(missing.points));
            }
        }
    }
    out
}
