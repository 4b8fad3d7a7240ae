//! The page of a data file: one HTML file that fetches nothing. It holds values, and stays with the party.

use std::fmt::Write as _;

use super::{Inspected, Kind};
use crate::screen::count;

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Inspected {
    /// As a page of HTML.
    pub(super) fn html(&self) -> String {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let mut out = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>{0}</title><style>{STYLE}</style><main>\
             <h1>{0}</h1><p>{1} rows, {2} columns. {3} repeated ids, {4} repeated rows. This page shows values: it \
             stays where the data are.</p>",
            escaped(&name),
            count(self.rows),
            self.columns.len(),
            count(self.quality.repeated_ids),
            count(self.quality.repeated_rows)
        );
        for key in &self.keys {
            let _ = write!(
                out,
                "<p>Key <code>{}</code> ({}): {} rows can match by it, {} lack it, {} share it with another row.</p>",
                escaped(&key.key),
                escaped(&key.columns.join(", ")),
                count(key.usable),
                count(key.without),
                count(key.shared)
            );
        }
        for problem in &self.problems {
            let _ = write!(out, "<p class=bad>{}</p>", escaped(problem));
        }
        out.push_str(
            "<table><tr><th>column<th>taken as<th class=n>missing<th class=n>distinct<th class=n>1%<th class=n>25%\
             <th class=n>median<th class=n>75%<th class=n>99%<th class=n>far out<th>look at</tr>",
        );
        for (facts, quality) in self.columns.iter().zip(&self.quality.columns) {
            let kind = match facts.kind {
                Kind::Id => "id",
                Kind::Key => "key",
                Kind::Label => "label",
                Kind::Numeric => "number",
                Kind::Categorical if quality.days.is_some() => "day",
                Kind::Categorical => "category",
            };
            let _ = write!(
                out,
                "<tr><td><code>{}</code><td>{kind}<td class=n>{:.1}%<td class=n>{}",
                escaped(&facts.name),
                100.0 * quality.missing_share,
                count(facts.distinct as u64)
            );
            match quality.quantiles {
                Some(values) => {
                    for value in values {
                        let _ = write!(out, "<td class=n>{}", short(value));
                    }
                }
                None => {
                    let frequent: Vec<_> = quality
                        .frequent
                        .iter()
                        .map(|(value, rows)| format!("{value} {}", count(*rows)))
                        .collect();
                    let days = quality
                        .days
                        .as_ref()
                        .map(|d| format!("{} to {}", d.first, d.last));
                    let text = days.unwrap_or_else(|| frequent.join(", "));
                    let _ = write!(out, "<td colspan=5>{}", escaped(&text));
                }
            }
            let _ = write!(
                out,
                "<td class=n>{}<td>{}</tr>",
                count(quality.outliers),
                escaped(&quality.notes.join(". "))
            );
        }
        out.push_str("</table>");
        if let Some(outcomes) = &self.outcomes {
            let _ = write!(
                out,
                "<h2>The outcome, from <code>{}</code></h2><p>Bad from {} days past due, good below {}: {} bad, {} good \
                 ({:.2}% bad), {} indeterminate, {} unknown, {} watched for too short.</p><table><tr><th>worst days past \
                 due<th class=n>rows</tr>",
                escaped(&outcomes.past_due),
                outcomes.bad_from,
                outcomes.good_below,
                count(outcomes.bad),
                count(outcomes.good),
                100.0 * outcomes.bad_rate,
                count(outcomes.indeterminate),
                count(outcomes.unknown),
                count(outcomes.too_short)
            );
            for (range, rows) in &outcomes.by_days {
                let _ = write!(out, "<tr><td>{range}<td class=n>{}</tr>", count(*rows));
            }
            out.push_str(
                "</table><table><tr><th>if bad began at<th class=n>bad<th class=n>share</tr>",
            );
            for (from, bad, rate) in &outcomes.instead {
                let _ = write!(
                    out,
                    "<tr><td>{from} days<td class=n>{}<td class=n>{:.2}%</tr>",
                    count(*bad),
                    100.0 * rate
                );
            }
            out.push_str("</table><ul>");
            for note in &outcomes.notes {
                let _ = write!(out, "<li>{}", escaped(note));
            }
            out.push_str("</ul>");
        }
        out.push_str("</main></html>");
        out
    }
}

const STYLE: &str = "body{margin:0;font:15px/1.45 system-ui,sans-serif;color:#1c2430;background:#f4f5f7}\
main{max-width:76rem;margin:2rem auto;padding:2rem;background:#fff;border:1px solid #dde1e6}\
h1{margin:0;font-size:1.5rem}h2{font-size:1.1rem;margin-top:1.6rem}table{border-collapse:collapse;margin:.8rem 0}\
th{text-align:left;color:#566;font-weight:600}th,td{padding:.35rem .6rem;border-bottom:1px solid #e3e6ea;vertical-align:top}\
.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#b3261e}";
