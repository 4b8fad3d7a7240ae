//! The page by which an officer decides: what leaves, to whom, in what shape, and what could be inferred from it.

mod inferred;

use std::fmt::Write as _;

use paripassu_job::{Audience, Contract, spec::PartyRole};
use serde::Serialize;

use self::inferred::inferred;
use super::{
    file::PolicyFile,
    judge::{Judged, Judgement},
};

/// The page's content.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// The party for which it is explained.
    pub party: String,
    /// The job's name.
    pub name: String,
    /// SHA-256 of the contract; none of an example.
    pub contract: Option<String>,
    /// What the party's policy says.
    pub verdict: &'static str,
    /// The rules that deny.
    pub denied: Vec<Judged>,
    /// Facts, each with its name.
    pub facts: Vec<(String, String)>,
    /// The party's columns that take part: name, kind, grade.
    pub columns: Vec<Column>,
    /// What others learn from what leaves this party or is computed with its data.
    pub leaves: Vec<Opening>,
    /// What only this party learns.
    pub comes: Vec<Opening>,
    /// What never leaves.
    pub stays: Vec<String>,
    /// What to do.
    pub next: String,
}

/// A column of the party that takes part.
#[derive(Debug, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `number`, `category` or `label`.
    pub kind: &'static str,
    /// Its grade.
    pub grade: Option<u8>,
}

/// Something that is opened.
#[derive(Debug, Serialize)]
pub struct Opening {
    /// Its name in the contract.
    pub id: String,
    /// What it is.
    pub what: String,
    /// Who learns it.
    pub to: Vec<String>,
    /// In what shape.
    pub shape: String,
    /// How often at most.
    pub at_most: u32,
    /// What the receivers could infer in the worst case.
    pub infer: String,
}

fn receiver(audience: &Audience) -> String {
    match audience {
        Audience::Party(id) => id.to_string(),
        Audience::Helper(id) => format!("{id} (helper)"),
        Audience::Relay => "the coordinator".to_owned(),
    }
}

/// Explains a contract to the officers of `party`.
pub fn explain(
    contract: &Contract,
    party: &str,
    dataset_columns: Option<&paripassu_model::schema::DatasetSpec>,
    file: Option<&PolicyFile>,
    judgement: &Judgement,
    example: bool,
) -> Explained {
    use paripassu_job::spec::Columns;

    let spec = contract.spec();
    let seats = spec.seats();
    let seat = seats.iter().find(|seat| seat.id.to_string() == party);
    let purpose = file.and_then(|file| file.purposes.get(&spec.purpose));
    let submitter = contract.submitter();
    let others = seats.iter().filter(|seat| seat.id.to_string() != party);
    let role = |role: &PartyRole| match role {
        PartyRole::Label => "brings the outcome and columns",
        PartyRole::Features => "brings columns",
        PartyRole::Bank => "brings its own customers",
        PartyRole::Member => "brings ids alone",
    };
    let others: Vec<_> = others
        .map(|seat| format!("{} ({})", seat.id, role(&seat.role)))
        .collect();
    let mut facts = vec![
        (
            "purpose".to_owned(),
            format!(
                "{}, on the legal basis `{}`",
                spec.purpose, spec.legal_basis
            ),
        ),
        (
            "proposed by".to_owned(),
            format!("{}/{}", submitter.kind, submitter.id),
        ),
        ("with".to_owned(), others.join(", ")),
        (
            "helper".to_owned(),
            format!(
                "{}: deals randomness or adds up masked numbers; sees no data",
                contract.helper()
            ),
        ),
    ];
    if let Some(purpose) = purpose {
        let refs = [
            ("agreement", &purpose.contract_ref),
            ("impact assessment", &purpose.dpia_ref),
        ];
        for (name, reference) in refs {
            facts.push((
                name.to_owned(),
                reference
                    .clone()
                    .unwrap_or_else(|| "none named in the policy".to_owned()),
            ));
        }
    }
    let rows = judgement.rules.iter().find(|rule| rule.id == "max_rows");
    if let Some(rule) = rows {
        let mut limit = rule.measured.clone();
        if !spec.align.fallback.is_empty() {
            limit.push_str("; for each key anew: it may try that many values of each of them");
        }
        facts.push(("limit on customers".to_owned(), limit));
    }
    let scores = spec.outputs.scores.as_ref();
    if let Some(scores) = scores.filter(|scores| scores.to.to_string() != party) {
        let number = match scores.max_rows {
            Some(most) => {
                format!("of at most {most} customers: with more the job ends before it trains")
            }
            None => "of as many customers as are held out: no number is named".to_owned(),
        };
        facts.push((format!("scores to {}", scores.to), number));
    }
    let until = contract
        .expires_at()
        .map_or_else(|| "no last day".to_owned(), |end| format!("until {end}"));
    facts.push(("may start".to_owned(), until));
    let kept = spec.retention.as_ref().map_or_else(
        || "as long as each party likes".to_owned(),
        |retention| {
            format!(
                "{} days after the release; then each party's node erases them",
                retention.results_days
            )
        },
    );
    facts.push(("results are kept".to_owned(), kept));
    if let Some(binning) = &spec.binning {
        let told = match binning.strict() {
            true => format!(
                "of a share of at least {} of the training rows; counts, weights of evidence and coefficients of parties \
                 without labels stay shared",
                binning.min_share
            ),
            false => format!(
                "of at least {} rows of each label and a share of {} of the training rows; noise of {} rows (one standard deviation) on counts",
                binning.min_class, binning.min_share, binning.noise_rows
            ),
        };
        facts.push(("bins".to_owned(), told));
    }

    let mut columns = Vec::new();
    if let Some(seat) = seat {
        let grades = file.and_then(|file| file.datasets.get(&seat.dataset));
        let grade = |name: &String| grades.and_then(|d| d.grades.get(name)).copied();
        let (numeric, categorical) = match (&seat.columns, dataset_columns) {
            (
                Columns::Listed {
                    numeric,
                    categorical,
                },
                _,
            ) => (numeric.clone(), categorical.clone()),
            (Columns::All, Some(offered)) => (offered.numeric.clone(), offered.categorical.clone()),
            (Columns::All, None) => (vec!["every column that is offered".to_owned()], Vec::new()),
        };
        let brings = matches!(seat.role, PartyRole::Label | PartyRole::Bank);
        let label = dataset_columns.and_then(|offered| offered.label.clone());
        let label = label
            .filter(|_| brings)
            .into_iter()
            .map(|name| (name, "label"));
        let numeric = numeric.into_iter().map(|name| (name, "number"));
        let categorical = categorical.into_iter().map(|name| (name, "category"));
        columns.extend(
            label
                .chain(numeric)
                .chain(categorical)
                .map(|(name, kind)| Column {
                    grade: grade(&name),
                    name,
                    kind,
                }),
        );
    }
    let scored = spec.outputs.scores.as_ref().map(|scores| &scores.to);
    let mut features = Some(0);
    for seat in seats.iter().filter(|seat| Some(&seat.id) != scored) {
        let listed = match &seat.columns {
            Columns::Listed { .. } => Some(seat.columns.names().count()),
            Columns::All if seat.id.to_string() == party => {
                let own = columns.iter().filter(|column| column.kind != "label");
                Some(own.count())
            }
            Columns::All => None,
        };
        features = features.zip(listed).map(|(all, listed)| all + listed);
    }
    let openings = contract.disclosures().iter().map(|disclosure| {
        let own = |to: &Audience| matches!(to, Audience::Party(id) if id.to_string() == party);
        let mine = disclosure.to.iter().all(own);
        (
            mine,
            Opening {
                id: disclosure.id.to_string(),
                what: disclosure.what.clone(),
                to: disclosure.to.iter().map(receiver).collect(),
                shape: disclosure.shape.to_string(),
                at_most: disclosure.at_most,
                infer: inferred(disclosure, features),
            },
        )
    });
    let (comes, leaves): (Vec<_>, Vec<_>) = openings.partition(|(mine, _)| *mine);
    let strip = |list: Vec<(bool, Opening)>| list.into_iter().map(|(_, opening)| opening).collect();
    let stays = match spec.overlap {
        Some(_) => vec!["every column; ids leave only under encryption".to_owned()],
        None => vec![
            "the table itself: no value of a column above is sent as it is, nor whose it is; what the openings above tell of them is said there".to_owned(),
            "outcomes of single customers, as such".to_owned(),
            "everything that is computed on the way: it stays split into random parts that no one holds together".to_owned(),
        ],
    };
    let people = match judgement.stated.roles.as_slice() {
        [] => "the holder of this party's key".to_owned(),
        roles => format!("{}, each with a key of their own", roles.join(" and ")),
    };
    let ends = match judgement.stated.ttl_hours {
        Some(hours) => format!("; an approval ends within {hours} hours"),
        None => String::new(),
    };
    let next = match judgement.verdict {
        "deny" => "Nothing: the policy denies it, and the node rejects it by itself.".to_owned(),
        "allow" => {
            "Nothing: this node approves by itself (danger_approve_automatically).".to_owned()
        }
        _ => format!(
            "To approve or reject: {people}{ends}. No byte of the data is used before all parties have approved."
        ),
    };
    let denied = judgement
        .rules
        .iter()
        .filter(|rule| rule.verdict == "deny")
        .cloned();
    Explained {
        party: party.to_owned(),
        name: spec.name.clone(),
        contract: (!example).then(|| contract.digest().to_string()),
        verdict: judgement.verdict,
        denied: denied.collect(),
        facts,
        columns,
        leaves: strip(leaves),
        comes: strip(comes),
        stays,
        next,
    }
}

impl Explained {
    fn heading(&self) -> &'static str {
        match self.verdict {
            "deny" => "The policy DENIES this job",
            "allow" => "The node approves this job by itself",
            _ => "The policy leaves this job to its officers",
        }
    }

    /// As text for a terminal.
    pub fn text(&self) -> String {
        let mut out = format!(
            "Job `{}`, as it concerns {}\n\n{}\n",
            self.name,
            self.party,
            self.heading()
        );
        for rule in &self.denied {
            let _ = writeln!(
                out,
                "  rule `{}`: {}. To satisfy it: {}",
                rule.id,
                rule.measured,
                or_dash(&rule.remedy)
            );
        }
        out.push('\n');
        for (name, value) in &self.facts {
            let _ = writeln!(out, "  {name:<18} {value}");
        }
        if let Some(digest) = &self.contract {
            let _ = writeln!(out, "  {:<18} {digest}", "contract");
        }
        out.push_str("\nColumns of yours that take part (the values themselves are not sent)\n");
        if self.columns.is_empty() {
            out.push_str("  none\n");
        }
        for column in &self.columns {
            let grade = column
                .grade
                .map_or_else(|| "no grade".to_owned(), |grade| format!("grade {grade}"));
            let _ = writeln!(out, "  {} ({}, {grade})", column.name, column.kind);
        }
        for (title, openings) in [
            ("What others learn", &self.leaves),
            ("What only you learn", &self.comes),
        ] {
            let _ = writeln!(out, "\n{title}");
            if openings.is_empty() {
                out.push_str("  nothing\n");
            }
            for opening in openings {
                let _ = writeln!(
                    out,
                    "  {} -> {}; {}, at most {} time(s)\n    {}\n    Could be inferred: {}",
                    opening.id,
                    opening.to.join(", "),
                    opening.shape,
                    opening.at_most,
                    opening.what,
                    opening.infer
                );
            }
        }
        out.push_str("\nWhat never leaves\n");
        for line in &self.stays {
            let _ = writeln!(out, "  {line}");
        }
        let _ = writeln!(out, "\n{}", self.next);
        out
    }

    /// As one page of HTML that fetches nothing.
    pub fn html(&self) -> String {
        let mut out = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>Job {0} for {1}</title><style>{STYLE}</style><main><h1>Job {0}</h1>\
             <p class=sub>as it concerns <b>{1}</b></p><p class=\"verdict {2}\">{3}</p>",
            escaped(&self.name),
            escaped(&self.party),
            self.verdict,
            self.heading()
        );
        if !self.denied.is_empty() {
            out.push_str("<table><tr><th>rule<th>found<th>what would satisfy it</tr>");
            for rule in &self.denied {
                let cells =
                    [&rule.id, &rule.measured, &rule.remedy].map(|text| escaped(or_dash(text)));
                let _ = write!(
                    out,
                    "<tr><td><code>{}</code><td data-h=\"found\">{}<td data-h=\"what would satisfy it\">{}</tr>",
                    cells[0], cells[1], cells[2]
                );
            }
            out.push_str("</table>");
        }
        out.push_str("<dl>");
        for (name, value) in &self.facts {
            let _ = write!(out, "<dt>{}<dd>{}", escaped(name), escaped(value));
        }
        if let Some(digest) = &self.contract {
            let _ = write!(out, "<dt>contract<dd><code>{digest}</code>");
        }
        out.push_str("</dl><h2>Columns of yours that take part</h2><p>The values themselves are not sent.</p><p class=columns>");
        for column in &self.columns {
            let grade = column
                .grade
                .map_or_else(String::new, |grade| format!(", grade {grade}"));
            let _ = write!(
                out,
                "<span>{} <small>{}{grade}</small></span>",
                escaped(&column.name),
                column.kind
            );
        }
        out.push_str("</p>");
        for (title, openings) in [
            ("What others learn", &self.leaves),
            ("What only you learn", &self.comes),
        ] {
            let _ = write!(out, "<h2>{title}</h2>");
            if openings.is_empty() {
                out.push_str("<p>Nothing.</p>");
                continue;
            }
            out.push_str("<table><tr><th>what<th>to<th>shape<th>could be inferred</tr>");
            for opening in openings {
                let _ = write!(
                    out,
                    "<tr><td><code>{}</code><br>{}<td data-h=\"to\">{}<td data-h=\"shape\">{}, at most {}&nbsp;×\
                     <td data-h=\"could be inferred\">{}</tr>",
                    escaped(&opening.id),
                    escaped(&opening.what),
                    escaped(&opening.to.join(", ")),
                    escaped(&opening.shape),
                    opening.at_most,
                    escaped(&opening.infer)
                );
            }
            out.push_str("</table>");
        }
        out.push_str("<h2>What never leaves</h2><ul>");
        for line in &self.stays {
            let _ = write!(out, "<li>{}", escaped(line));
        }
        let _ = write!(
            out,
            "</ul><p class=next>{}</p></main></html>",
            escaped(&self.next)
        );
        out
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}

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

const STYLE: &str = "body{margin:0;font:16px/1.5 system-ui,sans-serif;color:#1c2430;background:#f4f5f7}\
main{max-width:64rem;margin:2rem auto;padding:2rem;background:#fff;border:1px solid #dde1e6}\
h1{margin:0;font-size:1.6rem}h2{margin:1.8rem 0 .4rem;font-size:1.1rem}.sub{margin:.2rem 0 1rem;color:#566}\
.verdict{padding:.6rem 1rem;font-weight:600;border-left:5px solid #2563a8;background:#eaf2fb}\
.verdict.deny{border-color:#b3261e;background:#fdecea}.verdict.allow{border-color:#b07a00;background:#fff6e0}\
dl{display:grid;grid-template-columns:11rem 1fr;gap:.2rem .8rem}dt{color:#566}dd{margin:0;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%;font-size:.93rem}th{text-align:left;color:#566;font-weight:600}\
th,td{padding:.45rem .6rem;border-bottom:1px solid #e3e6ea;vertical-align:top}code{font-size:.9em;overflow-wrap:anywhere}\
.columns span{display:inline-block;margin:0 .4rem .4rem 0;padding:.1rem .6rem;background:#eef1f4;border-radius:1rem}\
small{color:#566}.next{margin-top:1.5rem;padding:.6rem 1rem;background:#eef1f4}\
@media(max-width:44rem){main{margin:0;padding:1rem;border:0}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}\
table,tbody,tr,td{display:block}th{display:none}tr{padding:.5rem 0;border-bottom:1px solid #e3e6ea}td{padding:.15rem 0;border:0}\
td[data-h]::before{content:attr(data-h)\": \";color:#566}}";
