//! The report from outside: structure, escaping, missing numbers, one-sided copies.

#[path = "../examples/report_sample.rs"]
#[allow(dead_code)]
mod sample;

use paripassu_model::report::{
    self, Coefficient, Coefficients, Curves, Disclosure, DisclosureStatus, Fact, KsPoint, Metric,
    Report, RocPoint, ScoreHistogram, Uplift,
};

const ROWS: usize = 600;

/// Tags that are open at the end or closed out of order.
fn unbalanced(html: &str) -> Vec<String> {
    const ALONE: [&str; 2] = ["meta", "!doctype"];
    let mut open: Vec<String> = Vec::new();
    for part in html.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("every tag ends");
        let name = tag
            .split([' ', '/'])
            .find(|word| !word.is_empty())
            .expect("a name");
        if let Some(closed) = tag.strip_prefix('/') {
            if open.pop().as_deref() != Some(closed) {
                open.push(format!("</{closed}>"));
                return open;
            }
        } else if !tag.ends_with('/') && !ALONE.contains(&name) {
            open.push(name.to_owned());
        }
    }
    open
}

fn assert_clean(html: &str) {
    assert_eq!(unbalanced(html), Vec::<String>::new());
    for forbidden in [
        "<script", "http:", "https:", "//", "@import", "url(", "<img", "<link", "src=",
    ] {
        assert!(!html.contains(forbidden), "{forbidden} in the page");
    }
    for broken in ["NaN", "inf<", ">inf", "\"inf", "-0.0000"] {
        assert!(!html.contains(broken), "{broken} in the page");
    }
    assert!(html.contains("default-src 'none'"));
    assert_eq!(
        html.matches("<svg viewBox").count(),
        html.matches("role=\"img\"").count()
    );
    assert_eq!(
        html.matches("<table").count(),
        html.matches("<caption>").count()
    );
    let mut ids: Vec<_> = html
        .split(" id=\"")
        .skip(1)
        .filter_map(|s| s.split('"').next())
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "an id is used twice");
    let links = html
        .split("href=\"#")
        .skip(1)
        .filter_map(|s| s.split('"').next());
    for link in links {
        assert!(ids.binary_search(&link).is_ok(), "#{link} leads nowhere");
    }
}

fn table(report: &Report, name: &str) -> Option<Vec<csv::StringRecord>> {
    let tables = report::tables(report);
    let (_, text) = tables
        .iter()
        .find(|(file, _)| file == &format!("{name}.csv"))?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    Some(
        reader
            .records()
            .collect::<Result<_, _>>()
            .expect("every line has as many cells"),
    )
}

#[test]
fn the_bank_sees_everything_of_its_own() {
    let report = sample::bank_report(ROWS);
    let html = report::html(&report);
    assert_clean(&html);
    for heading in [
        "ROC",
        "Gains",
        "Lift by band",
        "Kolmogorov-Smirnov",
        "Score distribution",
        "Calibration",
        "Coefficients, largest first",
        "Declared disclosures, and what happened",
        "Security profile",
        "Convergence",
        "Wall time by phase",
        "y = 1 is bad",
        "A higher score is better.",
        "prefers-color-scheme:dark",
        "@media print",
    ] {
        assert!(html.contains(heading), "{heading} is missing");
    }
    let auc = report.comparison[1].auc.expect("an AUC");
    assert!(html.contains(&format!("joint, AUC {auc:.4}")));
    for name in [
        "facts",
        "parties",
        "samples",
        "comparison",
        "uplift",
        "coefficients",
        "roc",
        "ks",
        "bands",
        "calibration",
        "score_distribution",
        "disclosures",
        "traffic",
        "timing",
        "convergence",
        "definitions",
    ] {
        assert!(
            table(&report, name).is_some_and(|rows| !rows.is_empty()),
            "{name}.csv"
        );
    }
    let rows = table(&report, "comparison").expect("comparison");
    assert_eq!(
        rows[1][1].parse::<f64>().expect("a number").to_bits(),
        auc.to_bits()
    );
    assert_eq!(table(&report, "bands").expect("bands").len(), 30);
}

#[test]
fn every_figure_has_its_source_beside_it() {
    let html = report::html(&sample::bank_report(ROWS));
    for plots in html.split("<div class=\"plots\">").skip(1) {
        let (_, after) = plots.split_once("</div>").expect("the end of the plots");
        assert!(
            after
                .trim_start()
                .starts_with("<p class=\"source\">Data set simulated"),
            "{after}"
        );
    }
}

#[test]
fn the_partner_sees_no_result_and_no_other_coefficients() {
    let report = sample::partner_report();
    let html = report::html(&report);
    assert_clean(&html);
    assert!(html.contains("No evaluation result was released to this party."));
    assert!(html.contains("late_bills_12m"));
    assert!(!html.contains("repayment_status") && !html.contains("id=\"roc"));
    assert!(!html.contains("href=\"#discrimination\""));
    assert!(table(&report, "roc").is_none() && table(&report, "comparison").is_none());
    assert!(report::summary_rows(&report).rows.is_empty());
}

#[test]
fn coefficients_of_another_party_appear_nowhere() {
    let mut report = sample::bank_report(ROWS);
    report.coefficients = sample::partner_report().coefficients;
    let json = report::json(&report).expect("json");
    let csv: String = report::tables(&report)
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    for text in [report::html(&report), json, csv] {
        assert!(!text.contains("late_bills_12m"));
    }
}

#[test]
fn names_cannot_become_markup() {
    const EVIL: &str = "<script>alert(1)</script>\"' onload=x &amp; \u{202e}";
    let mut report = sample::bank_report(ROWS);
    let evil = || EVIL.to_owned();
    report.job.title = evil();
    report.job.purpose = evil();
    report.job.id = evil();
    report.receiver.name = evil();
    report.receiver.role = evil();
    report.parties[0].name = evil();
    report.data.dataset = evil();
    report.data.split = evil();
    report.solver.facts = vec![Fact {
        name: evil(),
        value: evil(),
    }];
    report.solver.method = evil();
    report.comparison[0].name = evil();
    report.uplift[0].challenger = evil();
    report.uplift[1].method = evil();
    report.curves[0].name = evil();
    report.curves[1].scores.as_mut().expect("scores").label = evil();
    report.coefficients.as_mut().expect("coefficients").rows[0].name = evil();
    report.disclosures[0].what = evil();
    report.traffic[0].peer = evil();
    report.timing[0].name = evil();
    let course = report.convergence.as_mut().expect("a course");
    (course.step, course.note) = (evil(), evil());
    report.security.statement = evil();
    report.security.profile = evil();
    report.security.limits = vec![evil()];
    report.notes = vec![evil()];
    report.machine.machine = evil();
    let html = report::html(&report);
    assert_clean(&html);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39; onload=x &amp;amp;"));
    assert!(!html.contains('\u{202e}'));
    let (_, svg) = html.split_once("id=\"roc-t\"").expect("the ROC plot");
    assert!(!svg.contains("\" onload"));
}

#[test]
fn missing_and_infinite_numbers_become_dashes() {
    let mut report = sample::bank_report(ROWS);
    report.comparison[0].auc = Some(f64::NAN);
    report.comparison[0].ks = Some(f64::NEG_INFINITY);
    report.comparison[1].capture = None;
    report.uplift[0].delta = f64::NAN;
    report.uplift[1].low = Some(f64::INFINITY);
    report.solver.l2 = Some(f64::NAN);
    report.timing[0].seconds = f64::NAN;
    let course = report.convergence.as_mut().expect("a course");
    course.rows[0].seconds = Some(f64::NAN);
    let own = report.coefficients.as_mut().expect("coefficients");
    own.rows[0] = Coefficient {
        name: "constant".into(),
        mean: f64::NAN,
        sd: 0.0,
        coef: f64::INFINITY,
        se: Some(f64::NAN),
        z: None,
        p: Some(f64::NAN),
    };
    let curves = &mut report.curves[0];
    curves.roc[3] = RocPoint {
        fpr: f64::NAN,
        tpr: 0.5,
    };
    curves.ks[3].bad = f64::INFINITY;
    curves.bands[0].score_low = f64::NEG_INFINITY;
    curves.bands[1].rows = 0;
    curves.calibration[0].low = f64::NAN;
    curves.calibration[1].predicted = f64::NAN;
    curves.scores.as_mut().expect("scores").edges[0] = f64::NEG_INFINITY;
    let html = report::html(&report);
    assert_clean(&html);
    assert!(html.contains("<td class=\"num\">–</td>"));
    for (name, text) in report::tables(&report) {
        assert!(!text.contains("NaN") && !text.contains("inf,"), "{name}");
    }
    let again = report::from_json(&report::json(&report).expect("json")).expect("report");
    assert!(again.curves[0].roc[3].fpr.is_nan());
    assert_eq!(again.curves[1], report.curves[1]);
    let summary = report::summary_rows(&report);
    assert_eq!(summary.rows[0][1], "–");
}

#[test]
fn empty_curves_leave_their_plot_out() {
    let coefficients = Some(Coefficients::default());
    let curves = vec![
        Curves::default(),
        Curves {
            roc: vec![RocPoint { fpr: 0.0, tpr: 0.0 }],
            ..Curves::default()
        },
        Curves {
            ks: vec![
                KsPoint {
                    population: f64::NAN,
                    bad: 0.0,
                    good: 0.0
                };
                4
            ],
            ..Curves::default()
        },
        Curves {
            scores: Some(ScoreHistogram::default()),
            ..Curves::default()
        },
        Curves {
            scores: Some(ScoreHistogram {
                label: "score".into(),
                edges: vec![1.0, 1.0, 1.0],
                good: vec![0, 0],
                bad: vec![5, 0],
            }),
            ..Curves::default()
        },
    ];
    let report = Report {
        coefficients,
        curves,
        ..Report::default()
    };
    let html = report::html(&report);
    assert_clean(&html);
    assert!(!html.contains("id=\"roc-t\"") && !html.contains("id=\"ks"));
    assert!(html.contains("id=\"dist4-t\""));
    assert_clean(&report::html(&Report::default()));
}

#[test]
fn an_uplift_whose_interval_holds_zero_is_not_called_one() {
    let mut report = sample::bank_report(ROWS);
    report.uplift = vec![Uplift {
        metric: Metric::Auc,
        baseline: "bank alone".into(),
        challenger: "joint".into(),
        delta: 0.002,
        low: Some(-0.003),
        high: Some(0.007),
        method: "DeLong, paired".into(),
    }];
    let html = report::html(&report);
    assert!(html.contains("<p class=\"verdict neutral\">No uplift is shown on the held-out rows"));
    assert!(html.contains("no uplift shown; interval holds 0"));
    assert!(!html.contains("verdict better"));
    assert!(
        report::summary_rows(&report)
            .verdict
            .starts_with("No uplift is shown")
    );
}

#[test]
fn openings_outside_the_declaration_stand_out() {
    let mut report = sample::bank_report(ROWS);
    let html = report::html(&report);
    assert!(html.contains("All openings recorded at this party are among the 6 kinds"));
    report.disclosures[1].happened = 99;
    report.disclosures.push(Disclosure {
        what: "residuals".into(),
        happened: 1,
        ..Disclosure::default()
    });
    assert_eq!(report.disclosures[1].status(), DisclosureStatus::Exceeded);
    assert_eq!(report.disclosures[6].status(), DisclosureStatus::Undeclared);
    let html = report::html(&report);
    assert!(html.contains("1 kind not declared, 1 kind more often than declared."));
    assert!(html.contains("<td>not declared</td>") && html.contains("<td>more than declared</td>"));
}

#[test]
fn words_promise_no_more_than_the_profile() {
    let html = report::html(&sample::bank_report(ROWS)).to_lowercase();
    for claim in [
        "no leakage",
        "compliant",
        "fully secure",
        "unbreakable",
        "guarantee",
    ] {
        assert!(!html.contains(claim), "{claim}");
    }
    for (at, _) in html.match_indices("secure") {
        assert!(
            html[..at].ends_with("passively "),
            "{}",
            &html[at - 20..at + 20]
        );
        assert!(html[at..].starts_with("secure against"));
    }
    assert!(html.contains("no row-level value is opened except the declared disclosures"));
}

#[test]
fn the_console_summary_has_a_row_for_each_model_and_the_difference() {
    let report = sample::bank_report(ROWS);
    let summary = report::summary_rows(&report);
    assert_eq!(summary.rows.len(), 4);
    assert!(
        summary
            .rows
            .iter()
            .all(|row| row.len() == summary.header.len())
    );
    assert_eq!(summary.rows[3][0], "joint − bank alone");
    assert!(summary.rows[3][1].starts_with('+'));
    assert!(summary.verdict.contains("95 % interval"));
}

#[test]
fn a_report_of_many_rows_stays_small_as_a_page() {
    let html = report::html(&sample::bank_report(20_000));
    assert!(html.len() < 300_000, "{} bytes", html.len());
}

#[test]
fn a_course_with_values_is_a_line_and_one_without_is_bars() {
    let mut report = sample::bank_report(ROWS);
    let part = |html: &str| -> String {
        let (_, rest) = html.split_once("id=\"convergence-t\"").expect("the plot");
        rest.split_once("</svg>").expect("its end").0.to_owned()
    };
    let bars = part(&report::html(&report));
    assert!(bars.contains("fill other") && bars.contains("fill joint"));
    assert!(!bars.contains("line joint"));
    let course = report.convergence.as_mut().expect("a course");
    course.quantity = "log loss".into();
    for (step, value) in course.rows.iter_mut().zip([0.7, 0.52, f64::NAN, 0.5]) {
        step.value = Some(value);
    }
    let html = report::html(&report);
    assert_clean(&html);
    let line = part(&html);
    assert!(line.contains("line joint"));
    assert_eq!(line.matches("fill joint").count(), 3);
    assert_eq!(table(&report, "convergence").expect("steps").len(), 4);
    // trials of many ridges
    let course = report.convergence.as_mut().expect("a course");
    course.rows = vec![report::ConvergenceStep::default(); 100];
    assert!(!report::html(&report).contains("convergence-t"));
    assert_eq!(table(&report, "convergence").expect("steps").len(), 100);
}
