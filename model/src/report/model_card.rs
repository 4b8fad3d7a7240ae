//! The model card: sixteen sections in Markdown, filled from the run.
//!
//! What the run does not know is named as such, with who is to write it: a section is never left out.

use super::number::{compact, fixed, percent, signed};
use super::table::Table;
use super::{Fact, ModelKind, Report, page, reject, scorecard, tables, validation};

/// Text in Markdown: nothing in it is markup.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn facts(facts: &[Fact]) -> String {
    facts
        .iter()
        .map(|f| format!("- {}: {}\n", plain(&f.name), plain(&f.value)))
        .collect()
}

fn table(table: &Table) -> String {
    if table.rows.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}:\n\n|", plain(&table.caption));
    for column in &table.columns {
        out.push_str(&format!(" {} |", plain(column.title)));
    }
    out.push_str("\n|");
    for column in &table.columns {
        out.push_str(if column.numeric { " ---: |" } else { " --- |" });
    }
    out.push('\n');
    for row in &table.rows {
        out.push('|');
        for cell in row {
            out.push_str(&format!(" {} |", plain(&cell.shown())));
        }
        out.push('\n');
    }
    out.push('\n');
    out
}

fn list(items: &[String]) -> String {
    items.iter().map(|i| format!("- {}\n", plain(i))).collect()
}

/// What nobody can take from a run.
fn to_write(what: &str) -> String {
    format!("To be written by the model's owner: {what}.\n")
}

fn find(report: &Report, kind: ModelKind) -> Option<&super::Evaluation> {
    report.comparison.iter().find(|e| e.kind == kind)
}

fn purpose(r: &Report) -> String {
    let mut out = facts(&page::job_facts(r));
    out.push_str("\nLimits:\n\n");
    out.push_str(&list(&r.security.limits));
    out + &to_write("intended users, decisions it may and may not be used for")
}

fn parties(r: &Report) -> String {
    let mut out = String::new();
    if !r.job.legal_basis.is_empty() {
        out.push_str(&format!(
            "- Legal basis, as in the contract: {}\n",
            plain(&r.job.legal_basis)
        ));
    }
    out.push_str(&format!(
        "- Contract that every party has signed, SHA-256: {}\n",
        plain(&r.job.contract_digest)
    ));
    out.push_str(&table(&tables::parties(r)));
    out
}

fn data(r: &Report) -> String {
    let mut out = facts(&page::data_facts(r));
    out.push_str(&table(&tables::samples(r)));
    out.push_str(&table(&reject::facts(r)));
    out + &to_write(
        "observation and performance window, exclusions, data quality, and whether matched customers differ \
         from the others",
    )
}

fn method(r: &Report) -> String {
    let mut out = facts(&page::solver_facts(r));
    if let Some(alone) = find(r, ModelKind::Alone) {
        out.push_str(&format!(
            "- Alternative: {}, the same model on the label holder's columns alone\n",
            plain(&alone.name)
        ));
    }
    let inferred = reject::sentences(r);
    if !inferred.is_empty() {
        out.push('\n');
        out.push_str(&list(&inferred));
        out.push_str(&table(&reject::compared(r)));
    }
    if !r.notes.is_empty() {
        out.push('\n');
        out.push_str(&list(&r.notes));
    }
    out
}

fn variables(r: &Report) -> String {
    let own = table(&tables::coefficients(r));
    let mut out = String::from(
        "This copy holds the receiver's own columns; each other party's are in its own copy.\n",
    );
    if own.is_empty() {
        out.push_str("No coefficient was released to this party.\n");
    }
    out + &own + &table(&scorecard::points(r))
}

fn results(r: &Report) -> String {
    let mut out = format!("{}\n", plain(&r.verdict()));
    for t in [
        tables::comparison(r).without_empty_columns(),
        tables::uplift(r),
        validation::intervals(r),
        validation::by_group(r),
        validation::challenger(r),
        validation::top(r),
        validation::cutoffs(r),
        validation::swap(r),
    ] {
        out.push_str(&table(&t));
    }
    out
}

fn or(text: String, otherwise: &str) -> String {
    match text.is_empty() {
        true => format!("{otherwise}\n"),
        false => text,
    }
}

fn robustness(r: &Report) -> String {
    let mut out = String::new();
    if let (Some(a), Some(j)) = (find(r, ModelKind::Alone), find(r, ModelKind::Joint))
        && let (Some(auc_a), Some(auc_j)) = (a.auc, j.auc)
    {
        out.push_str(&format!(
            "- Without the partners (the model of the label holder's columns alone): AUC {}, {} against the \
             joint model\n",
            fixed(auc_a, 4),
            signed(auc_a - auc_j, 4)
        ));
    }
    out.push_str(
        "- What a score tells its receiver about a party's bins: `paripassu data leakage`, at that party\n",
    );
    out + &to_write("stress tests and the outcome of attack tests")
}

fn privacy(r: &Report) -> String {
    let mut out = format!(
        "- Profile: {}\n- {}\n",
        plain(&r.security.profile),
        plain(&r.security.statement)
    );
    out.push_str("\nIt rests on:\n\n");
    out.push_str(&list(&r.security.assumptions));
    out + &table(&tables::disclosures(r))
}

fn implementation(r: &Report) -> String {
    let mut out = facts(&page::machine_facts(r));
    let number = |v: Option<f64>| v.map_or_else(|| "not known".to_owned(), |v| compact(v, 2));
    match r.agreement {
        Some(a) => out.push_str(&format!(
            "- Largest difference of a coefficient from the same model on pooled plaintext: {}; of the AUC: {}\n",
            number(a.coef_max_abs_diff),
            number(a.auc_abs_diff)
        )),
        None => out.push_str(
            "- No plaintext model of all columns exists to compare with; `paripassu job twin` trains this job on \
             made-up rows both ways\n",
        ),
    }
    if let Some(error) = r.solver.sigmoid_max_error {
        out.push_str(&format!(
            "- Absolute error of the sigmoid series at most {}\n",
            compact(error, 2)
        ));
    }
    out
}

fn monitoring(r: &Report) -> String {
    let mut out = String::from(
        "- Stability index of the score and of each column, monthly: below 0.10 stable, to 0.25 watch, above act\n",
    );
    if let Some(a) = find(r, ModelKind::Alone) {
        let of = |v: Option<f64>| v.map_or_else(|| "–".into(), |v| fixed(v, 4));
        out.push_str(&format!(
            "- Fallback if a partner drops out: {} (AUC {}, KS {}, worst 10 % catches {})\n",
            plain(&a.name),
            of(a.auc),
            of(a.ks),
            a.capture.map_or_else(|| "–".into(), |v| percent(v, 1))
        ));
    }
    out + &to_write("who watches, how often, and what triggers a refit")
}

fn approvals(r: &Report) -> String {
    format!(
        "- Every party's officer approved contract {} with the party's key; the job's bundle proves who, when and \
         of what (`paripassu audit verify`)\n{}",
        plain(&r.job.contract_digest),
        to_write("independent validation: by whom, when, with what findings")
    )
}

fn changes(r: &Report) -> String {
    let version = &r.machine.version;
    format!(
        "- {}: job {}, {}\n",
        plain(&r.job.released_at),
        plain(&r.job.id),
        plain(version)
    )
}

/// The model card in Markdown.
pub fn model_card(report: &Report) -> String {
    let r = report;
    let title = match r.job.title.is_empty() {
        true => "Joint model",
        false => &r.job.title,
    };
    let stability = table(&validation::stability(r));
    let reasons = table(&scorecard::reasons(r));
    let sections: [(&str, String); 16] = [
        ("Purpose, use, users, limits", purpose(r)),
        ("Parties, roles, contract, legal basis", parties(r)),
        ("Data", data(r)),
        ("Method, assumptions, alternatives", method(r)),
        ("Variables", variables(r)),
        ("Results", results(r)),
        (
            "Calibration",
            or(
                table(&validation::calibration(r)),
                "The job asked for no calibration figures ([evaluation]), or they are not for this party.",
            ),
        ),
        ("Stability", or(stability, "Not measured in this run.")),
        (
            "Explainability and reasons",
            or(
                reasons,
                "No reasons were released to this party. Points below each column's baseline explain its own \
                 half: `paripassu model score`.",
            ),
        ),
        (
            "Fairness",
            or(
                table(&validation::fairness(r)),
                "The job named no attribute, or the figures are not for this party.",
            ),
        ),
        ("Robustness", robustness(r)),
        ("Privacy", privacy(r)),
        ("Implementation", implementation(r)),
        ("Monitoring, triggers, fallback", monitoring(r)),
        ("Approvals and validation", approvals(r)),
        ("Change log", changes(r)),
    ];
    let mut out = format!("# Model card: {}\n", plain(title));
    for (k, (name, text)) in sections.iter().enumerate() {
        out.push_str(&format!("\n## {}. {name}\n\n{text}", k + 1));
    }
    out.push_str("\n## Definitions\n\n");
    out.push_str(&facts(&page::definitions(r)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sixteen_sections_are_there_and_text_is_no_markup() {
        let mut report = Report::default();
        report.job.title = "Cards | <b>2026</b> # *x*".into();
        let card = model_card(&report);
        for k in 1..=16 {
            assert!(card.contains(&format!("\n## {k}. ")), "{k}");
        }
        assert!(
            card.contains("# Model card: Cards \\| \\<b\\>2026\\</b\\> \\# \\*x\\*"),
            "{card}"
        );
        assert!(card.contains("To be written by the model's owner"));
    }
}
