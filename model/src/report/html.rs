//! The page.

use super::chart::{self, Figure};
use super::number::{bytes, count, escape, fixed, percent, signed};
use super::page::Rows;
use super::table::Table;
use super::{
    Curves, DisclosureStatus, Evaluation, Fact, Finding, Metric, ModelKind, Report, bins,
    convergence, page, reject, rows, scorecard, selection, tables, trials, validation,
    validation_charts,
};

const STYLE: &str = include_str!("style.css");

/// One self-contained HTML page: no script, nothing fetched from anywhere.
pub fn html(report: &Report) -> String {
    let sections = [
        ("result", "Result", result(report)),
        ("discrimination", "Discrimination", discrimination(report)),
        ("calibration", "Calibration", calibration(report)),
        ("months", "Months and segments", months(report)),
        ("decisions", "Decisions", decisions(report)),
        ("fairness", "Fairness", fairness(report)),
        ("stability", "Stability", stability(report)),
        ("columns", "Columns and bins", columns(report)),
        ("coefficients", "Coefficients", coefficients(report)),
        ("scorecard", "Scorecard", points(report)),
        ("rejects", "Reject inference", rejects(report)),
        ("data", "Data and parties", data(report)),
        ("method", "Model and solver", method(report)),
        ("disclosures", "Disclosures", disclosures(report)),
        ("security", "Security profile", security(report)),
        ("cost", "Traffic and time", cost(report)),
        (
            "definitions",
            "Definitions",
            facts(&page::definitions(report)),
        ),
    ];
    let title = if report.job.title.is_empty() {
        "Joint model report"
    } else {
        &report.job.title
    };
    let title = escape(title);
    let mut nav = String::new();
    let mut body = String::new();
    for (id, name, content) in sections.iter().filter(|s| !s.2.is_empty()) {
        nav.push_str(&format!(r##"<li><a href="#{id}">{name}</a></li>"##));
        body.push_str(&format!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{name}</h2>\n\
             {content}</section>\n"
        ));
    }
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>{title}</title><style>
{STYLE}</style></head><body>
{header}<nav aria-label="Sections"><ul>{nav}</ul></nav>
<main>
{body}</main>
<footer>{machine}</footer>
</body></html>
"#,
        header = header(report, &title),
        machine = facts(&page::machine_facts(report)),
    )
}

fn header(report: &Report, title: &str) -> String {
    let receiver = escape(&report.receiver.name);
    let mut out =
        format!("<header><p class=\"eyebrow\">Paripassu · joint model report</p><h1>{title}</h1>");
    if !report.job.purpose.is_empty() {
        out.push_str(&format!(
            "<p class=\"purpose\">{}</p>",
            escape(&report.job.purpose)
        ));
    }
    let shown = page::job_facts(report);
    let shown: Vec<_> = shown
        .into_iter()
        .filter(|fact| !matches!(fact.name.as_str(), "Title" | "Purpose"))
        .collect();
    out.push_str(&facts(&shown));
    if !receiver.is_empty() && report.own_coefficients().is_some() {
        out.push_str(&match report.is_horizontal() {
            true => format!(
                "<p class=\"copy\">Every bank has the joint model. The comparison on held-out rows is \
                 {receiver}'s own and in no other copy.</p>"
            ),
            false => format!(
                "<p class=\"copy\">Of the model, this copy holds the coefficients of {receiver} only. \
                 Every other party's are in its own copy.</p>"
            ),
        });
    }
    out.push_str("</header>\n");
    out
}

fn facts(facts: &[Fact]) -> String {
    if facts.is_empty() {
        return String::new();
    }
    let mut out = String::from("<dl>");
    for fact in facts {
        out.push_str(&format!(
            "<div><dt>{}</dt><dd>{}</dd></div>",
            escape(&fact.name),
            escape(&fact.value)
        ));
    }
    out.push_str("</dl>\n");
    out
}

fn list(heading: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items
        .iter()
        .map(|i| format!("<li>{}</li>", escape(i)))
        .collect();
    format!("<h3>{heading}</h3><ul class=\"plain\">{items}</ul>\n")
}

fn figures(figures: impl IntoIterator<Item = Option<Figure>>, source: &str) -> String {
    let drawn: String = figures
        .into_iter()
        .flatten()
        .map(|figure| {
            let note = if figure.note.is_empty() {
                String::new()
            } else {
                format!("<p>{}</p>", escape(&figure.note))
            };
            format!(
                "<figure><figcaption><strong>{}</strong></figcaption>{}{note}</figure>\n",
                escape(&figure.title),
                figure.svg
            )
        })
        .collect();
    if drawn.is_empty() {
        return drawn;
    }
    format!(
        "<div class=\"plots\">{drawn}</div>\n{}",
        source_line(source)
    )
}

fn source_line(source: &str) -> String {
    if source.is_empty() {
        return String::new();
    }
    format!("<p class=\"source\">{}</p>\n", escape(source))
}

fn key(kind: ModelKind) -> String {
    format!(
        r#"<svg class="key" viewBox="0 0 24 10" aria-hidden="true"><path class="{}" d="M0 5L24 5"/></svg>"#,
        chart::line_class(kind)
    )
}

fn result(report: &Report) -> String {
    let tone = match report.main_uplift().map(|u| u.finding()) {
        Some(Finding::Better) => "better",
        Some(Finding::Worse) => "worse",
        _ => "neutral",
    };
    let mut out = format!(
        "<p class=\"verdict {tone}\">{}</p>\n",
        escape(&report.verdict())
    );
    out.push_str(&tiles(report));
    let comparison = tables::comparison(report).without_empty_columns();
    if !comparison.rows.is_empty() {
        let kinds: Vec<_> = report.comparison.iter().map(|row| row.kind).collect();
        out.push_str(&comparison.html(|i| kinds.get(i).copied().map(key).unwrap_or_default()));
        out.push_str(&source_line(&page::provenance(report, Rows::HeldOut)));
        if kinds.contains(&ModelKind::Pooled) {
            out.push_str(
                "<p class=\"note\">The pooled model was fitted in the clear on both parties' \
                 columns, to compare with; outside a demonstration there is no such model.</p>\n",
            );
        }
    }
    out.push_str(&table(&tables::uplift(report)));
    out
}

fn tiles(report: &Report) -> String {
    let find = |kind| {
        report
            .comparison
            .iter()
            .find(|row: &&Evaluation| row.kind == kind)
    };
    let Some(joint) = find(ModelKind::Joint) else {
        return String::new();
    };
    let alone = find(ModelKind::Alone);
    let four: fn(f64) -> String = |v| fixed(v, 4);
    let share: fn(f64) -> String = |v| percent(v, 1);
    type Read = fn(&Evaluation) -> Option<f64>;
    type Show = fn(f64) -> String;
    let measures: [(Metric, Read, Show); 4] = [
        (Metric::Auc, |e| e.auc, four),
        (Metric::Ks, |e| e.ks, four),
        (Metric::Capture, |e| e.capture, share),
        (Metric::LogLoss, |e| e.log_loss, four),
    ];
    let mut out = String::new();
    for (metric, read, show) in measures {
        let Some(value) = read(joint).filter(|v| v.is_finite()) else {
            continue;
        };
        let beside = match alone.and_then(read).filter(|v| v.is_finite()) {
            Some(base) => {
                let difference = if metric == Metric::Capture {
                    format!("{} points", signed(100.0 * (value - base), 1))
                } else {
                    signed(value - base, 4)
                };
                format!("{} alone, {difference}", show(base))
            }
            None => String::new(),
        };
        let label = match metric {
            Metric::Capture => "Worst 10\u{a0}% catches",
            other => other.heading(),
        };
        out.push_str(&format!(
            "<div class=\"tile\"><p>{label}, joint</p><p class=\"big\">{}</p><p>{}</p></div>",
            escape(&show(value)),
            escape(&beside)
        ));
    }
    if out.is_empty() {
        out
    } else {
        format!("<div class=\"tiles\">{out}</div>\n")
    }
}

fn table(table: &Table) -> String {
    if table.rows.is_empty() {
        String::new()
    } else {
        table.html(|_| String::new())
    }
}

/// The models that get plots of their own: the pooled one is in the shared plots and in the tables.
fn own_plots(report: &Report) -> impl Iterator<Item = (usize, &Curves)> {
    report
        .curves
        .iter()
        .enumerate()
        .filter(|(_, c)| c.kind != ModelKind::Pooled)
}

fn discrimination(report: &Report) -> String {
    let source = page::provenance(report, Rows::HeldOut);
    let shared = [
        chart::roc(report),
        chart::gains(report),
        chart::lift(report),
        rows::uplift(report),
        validation_charts::waterfall(report),
    ];
    let mut out = figures(shared, &source);
    out.push_str(&table(&validation::intervals(report)));
    let ks = figures(own_plots(report).map(|(i, c)| chart::ks(c, i)), &source);
    let scores = figures(own_plots(report).map(|(i, c)| chart::scores(c, i)), &source);
    for (heading, part) in [("Kolmogorov-Smirnov", ks), ("Score distribution", scores)] {
        if !part.is_empty() {
            out.push_str(&format!("<h3>{heading}</h3>\n{part}"));
        }
    }
    let bands: String = own_plots(report)
        .map(|(_, c)| table(&tables::bands(c, score_decimals(c))))
        .collect();
    if !bands.is_empty() {
        out.push_str(&format!("<h3>Bands of the population</h3>\n{bands}"));
        out.push_str(&source_line(&source));
    }
    out
}

fn score_decimals(curves: &Curves) -> usize {
    let ends = curves
        .bands
        .iter()
        .flat_map(|b| [b.score_low, b.score_high]);
    let ends = ends.filter(|v| v.is_finite());
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    match high - low {
        span if span >= 50.0 => 0,
        span if span >= 5.0 => 2,
        _ => 4,
    }
}

fn calibration(report: &Report) -> String {
    let mut out = figures(
        own_plots(report).map(|(i, c)| chart::calibration(c, i)),
        &page::provenance(report, Rows::HeldOut),
    );
    out.push_str(&table(&validation::calibration(report)));
    out
}

fn months(report: &Report) -> String {
    let source = page::provenance(report, Rows::HeldOut);
    let mut out = figures(
        [
            validation_charts::auc_by_month(report),
            validation_charts::ks_by_month(report),
            validation_charts::stability_by_month(report),
            validation_charts::challenger(report),
        ],
        &source,
    );
    out.push_str(&table(&validation::challenger(report)));
    out.push_str(&table(&validation::by_group(report)));
    out
}

fn decisions(report: &Report) -> String {
    let source = page::provenance(report, Rows::HeldOut);
    let mut out = figures(
        [
            validation_charts::cutoff(report),
            validation_charts::swap(report),
        ],
        &source,
    );
    out.push_str(&table(&validation::top(report)));
    out.push_str(&table(&validation::swap(report)));
    out.push_str(&table(&validation::cutoffs(report)));
    out
}

fn fairness(report: &Report) -> String {
    let source = page::provenance(report, Rows::HeldOut);
    let mut out = figures([validation_charts::fairness(report)], &source);
    out.push_str(&table(&validation::fairness(report)));
    out
}

fn stability(report: &Report) -> String {
    figures(
        [
            validation_charts::stability(report),
            validation_charts::stability_map(report),
        ],
        &page::provenance(report, Rows::Training),
    )
}

fn coefficients(report: &Report) -> String {
    let Some(own) = report.own_coefficients() else {
        return String::new();
    };
    let source = page::provenance(report, Rows::Training);
    let mut out = figures([rows::coefficients(own)], &source);
    out.push_str(&table(&tables::coefficients(report)));
    out
}

fn columns(report: &Report) -> String {
    let source = page::provenance(report, Rows::Training);
    let mut out = figures([bins::information(report), bins::heat_map(report)], &source);
    out.push_str(&table(&bins::selection(report)));
    let drawn = figures(bins::woe(report), &source);
    if !drawn.is_empty() {
        out.push_str(&format!("<h3>Weight of evidence</h3>\n{drawn}"));
    }
    out.push_str(&table(&bins::bins(report)));
    out.push_str(&table(&bins::correlated(report)));
    out.push_str(&table(&selection::table(report)));
    out.push_str(&table(&selection::across(report)));
    out
}

fn points(report: &Report) -> String {
    let source = page::provenance(report, Rows::HeldOut);
    let mut out = figures([scorecard::reasons_chart(report)], &source);
    out.push_str(&table(&scorecard::points(report)));
    out.push_str(&table(&scorecard::rounding(report)));
    out.push_str(&table(&scorecard::reasons(report)));
    out
}

fn rejects(report: &Report) -> String {
    let told = reject::sentences(report);
    let paragraph = |text: &String| format!("<p>{}</p>\n", escape(text));
    let mut out: String = told.iter().map(paragraph).collect();
    if !out.is_empty() {
        out.push_str(&table(&reject::facts(report)));
        out.push_str(&table(&reject::compared(report)));
    }
    out
}

fn data(report: &Report) -> String {
    let mut out = facts(&page::data_facts(report));
    out.push_str(&table(&tables::parties(report)));
    out.push_str(&table(&tables::samples(report)));
    out
}

fn method(report: &Report) -> String {
    let mut out = facts(&page::solver_facts(report));
    let source = page::provenance(report, Rows::Training);
    out.push_str(&figures([trials::chart(report)], &source));
    out.push_str(&table(&trials::table(report)));
    out
}

fn disclosures(report: &Report) -> String {
    if report.disclosures.is_empty() {
        return String::new();
    }
    let status = |s| {
        report
            .disclosures
            .iter()
            .filter(|d| d.status() == s)
            .count()
    };
    let kinds = |n: usize| {
        if n == 1 {
            "1 kind".into()
        } else {
            format!("{n} kinds")
        }
    };
    let undeclared = status(DisclosureStatus::Undeclared);
    let exceeded = status(DisclosureStatus::Exceeded);
    let (tone, words) = if undeclared + exceeded > 0 {
        let words = format!(
            "Openings outside the declaration were recorded: {} not declared, {} more often than \
             declared.",
            kinds(undeclared),
            kinds(exceeded)
        );
        ("worse", words)
    } else {
        let words = format!(
            "All openings recorded at this party are among the {} that the job declared.",
            kinds(report.disclosures.len())
        );
        ("neutral", words)
    };
    let mut out = format!("<p class=\"verdict {tone}\">{words}</p>\n");
    out.push_str(&table(&tables::disclosures(report)));
    out
}

fn security(report: &Report) -> String {
    let security = &report.security;
    let mut out = String::new();
    if !security.statement.is_empty() {
        out.push_str(&format!(
            "<p class=\"lead\">{}</p>",
            escape(&security.statement)
        ));
    }
    if !security.profile.is_empty() {
        out.push_str(&format!(
            "<p>Profile: <code>{}</code>, as signed in the contract.</p>\n",
            escape(&security.profile)
        ));
    }
    out.push_str(&list("It rests on", &security.assumptions));
    out.push_str(&list("It does not cover", &security.limits));
    out
}

/// What the plan said beside what was counted.
fn planned(report: &Report) -> String {
    let content = super::planned::table(report.planned.as_ref());
    let Some(planned) = report.planned.as_ref().filter(|_| !content.rows.is_empty()) else {
        return String::new();
    };
    let mut out = table(&content);
    for note in &planned.notes {
        out.push_str(&format!("<p>{}</p>\n", escape(note)));
    }
    out
}

fn cost(report: &Report) -> String {
    let mut out = String::new();
    let traffic = tables::traffic(report);
    if !traffic.rows.is_empty() {
        let sum = |read: fn(&super::Traffic) -> u64| {
            report.traffic.iter().map(read).fold(0, u64::saturating_add)
        };
        out.push_str(&format!(
            "<p>In all, this party sent {} and received {}, in {} frames.</p>\n",
            bytes(sum(|t| t.sent_bytes)),
            bytes(sum(|t| t.received_bytes)),
            count(sum(|t| t.sent_frames.saturating_add(t.received_frames))),
        ));
        out.push_str(&table(&traffic));
    }
    out.push_str(&planned(report));
    out.push_str(&figures(
        [
            convergence::plot(report.convergence.as_ref()),
            rows::timing(&report.timing),
        ],
        &page::provenance(report, Rows::Training),
    ));
    out
}
