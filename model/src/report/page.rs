//! The words of the page: facts, definitions, and the lines beside the plots.

use super::number::{compact, count};
use super::{Fact, Report};

fn fact(name: &str, value: impl Into<String>) -> Fact {
    Fact {
        name: name.into(),
        value: value.into(),
    }
}

fn filled(facts: Vec<Fact>) -> Vec<Fact> {
    facts
        .into_iter()
        .filter(|fact| !fact.value.is_empty())
        .collect()
}

/// The job.
pub(super) fn job_facts(report: &Report) -> Vec<Fact> {
    let job = &report.job;
    let receiver = &report.receiver;
    filled(vec![
        fact("Job", &job.id),
        fact("Title", &job.title),
        fact("Purpose", &job.purpose),
        fact("Legal basis", &job.legal_basis),
        fact("Contract digest", &job.contract_digest),
        fact("Released", &job.released_at),
        fact(
            "This copy is for",
            party_in_words(&receiver.name, &receiver.role),
        ),
    ])
}

/// A party's name with its role.
pub(super) fn party_in_words(name: &str, role: &str) -> String {
    if role.is_empty() {
        name.into()
    } else {
        format!("{name} ({role})")
    }
}

/// Data and split.
pub(super) fn data_facts(report: &Report) -> Vec<Fact> {
    let data = &report.data;
    filled(vec![
        fact("Data set", &data.dataset),
        fact("Bad (y = 1)", &data.bad_definition),
        fact("Matched rows", &data.matched),
        fact("Split", &data.split),
        fact("Seed", &data.seed),
    ])
}

/// Model and solver.
pub(super) fn solver_facts(report: &Report) -> Vec<Fact> {
    let solver = &report.solver;
    let number = |value: Option<f64>, digits| {
        value
            .filter(|v| v.is_finite())
            .map_or_else(String::new, |v| compact(v, digits))
    };
    let whole = |value: Option<u32>| value.map_or_else(String::new, |v| v.to_string());
    let converged = match solver.converged {
        Some(true) => "yes, by the declared stopping rule",
        Some(false) => "no: stopped at the declared number of passes",
        None => "",
    };
    let range = number(solver.sigmoid_range, 4);
    let range = if range.is_empty() {
        range
    } else {
        format!("margins from −{range} to {range}")
    };
    let error = number(solver.sigmoid_max_error, 2);
    let error = if error.is_empty() {
        error
    } else {
        format!("{error} on that range")
    };
    let mut facts = vec![
        fact("Model", &solver.model),
        fact("Solver", &solver.method),
        fact("L2 penalty", number(solver.l2, 4)),
        fact("L1 penalty", number(solver.l1, 4)),
        fact("Passes over the training rows", whole(solver.passes)),
        fact("Converged", converged),
        fact("Sigmoid series, terms", whole(solver.sigmoid_terms)),
        fact("Sigmoid series, range", range),
        fact("Sigmoid series, absolute error at most", error),
        fact("Fixed point, fraction bits", whole(solver.fixed_point_bits)),
    ];
    facts.extend(solver.facts.iter().cloned());
    if let Some(agreement) = report.agreement {
        let against = "difference from pooled plaintext";
        let coef = number(agreement.coef_max_abs_diff, 2);
        facts.push(fact(&format!("Largest coefficient {against}"), coef));
        facts.push(fact(
            &format!("AUC {against}"),
            number(agreement.auc_abs_diff, 2),
        ));
        facts.push(fact(
            &format!("KS {against}"),
            number(agreement.ks_abs_diff, 2),
        ));
    }
    filled(facts)
}

/// Software and machine.
pub(super) fn machine_facts(report: &Report) -> Vec<Fact> {
    let machine = &report.machine;
    filled(vec![
        fact("Software", &machine.version),
        fact("Revision", &machine.revision),
        fact("Machine", &machine.machine),
    ])
}

/// Which rows a figure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    HeldOut,
    Training,
}

/// Data set, split, seed and machine, to stand beside every figure.
pub(super) fn provenance(report: &Report, rows: Rows) -> String {
    let data = &report.data;
    let (counted, name) = match rows {
        Rows::HeldOut => (data.test.rows, "held-out rows"),
        Rows::Training => (data.train.rows, "training rows"),
    };
    let parts = [
        ("Data set ", data.dataset.clone()),
        (
            "",
            counted.map_or_else(|| name.into(), |n| format!("{} {name}", count(n))),
        ),
        ("split: ", data.split.clone()),
        ("seed ", data.seed.clone()),
        ("machine: ", report.machine.machine.clone()),
    ];
    let filled = parts.into_iter().filter(|(_, value)| !value.is_empty());
    filled
        .map(|(name, value)| format!("{name}{value}"))
        .collect::<Vec<_>>()
        .join(" · ")
}

/// Definitions that hold throughout, then the caller's notes.
pub(super) fn definitions(report: &Report) -> Vec<Fact> {
    let mut all = vec![
        fact("Label", "y = 1 is bad, y = 0 is good."),
        fact(
            "Score",
            "A higher score is better. \u{201c}Worst\u{201d} means the lowest scores.",
        ),
        fact(
            "AUC",
            "Probability that a good row scores higher than a bad one, ties counted half; exact, \
             whatever the order of rows. s.e. is its standard error.",
        ),
        fact("Gini", "2 × AUC − 1."),
        fact(
            "KS",
            "Largest distance between the cumulative shares of bads and of goods, tied scores \
             grouped.",
        ),
        fact(
            "Log loss",
            "Mean negative logarithm of the probability given to what happened.",
        ),
        fact(
            "Brier score",
            "Mean squared difference between predicted probability and y.",
        ),
        fact(
            "Capture, worst 10 %",
            "Share of all bads among the tenth of rows with the lowest scores (rounded down to whole \
             rows); tied scores at the cut count in proportion, so that no order of rows matters.",
        ),
        fact(
            "Lift",
            "Bad rate of a band over the bad rate of all held-out rows. Bands are tenths of the \
             population, worst first, tied scores kept together.",
        ),
        fact(
            "Calibration",
            "Rows grouped by predicted probability of bad (PD); observed bad rate with a 95 % \
             interval.",
        ),
        fact(
            "Uplift",
            "Difference of a measure between two models on the same held-out rows. One whose 95 % \
             interval holds 0 is not called an uplift.",
        ),
        fact(
            "Coefficient, standardised",
            "Change of the log-odds of bad per standard deviation (s.d.) of the column; divided by \
             the s.d. it is the change per original unit. Mean and s.d. are of the training rows.",
        ),
    ];
    if report.validation.is_some() {
        all.extend(validation_definitions());
    }
    if report.scorecard.is_some() {
        all.push(fact(
            "Points",
            "Score = offset + factor × ln(good / bad), factor = pdo / ln 2; a higher score is better. Rounded \
             by characteristic to the nearest whole number, halves up; the score is the sum over all parties. \
             After rounding, in the table of its effect: own points rounded by characteristic, the others' \
             released parts as a whole.",
        ));
        all.push(fact(
            "Reasons",
            "Characteristics with most points below their baseline, at most four. The baseline is the most \
             points that a bin gives; of a number that was not binned, its points at the training mean.",
        ));
    }
    if report.validation.is_some() || report.drift.is_some() {
        all.push(fact(
            "PSI, stability index",
            "Sum over bins of (actual − expected share) × ln(actual / expected share). Bins are the \
             reference sample's deciles, missing values a bin of their own; where one side is empty, 0.5 \
             is added to both counts. Below 0.10 stable, to 0.25 watch, above act.",
        ));
    }
    all.extend(report.notes.iter().map(|note| fact("Note", note)));
    all
}

fn validation_definitions() -> Vec<Fact> {
    vec![
        fact(
            "ECE",
            "Expected calibration error: over ten population bins, the mean distance of observed from \
             predicted, weighed by rows.",
        ),
        fact(
            "Hosmer-Lemeshow",
            "Σ (observed − expected)² / (expected (1 − expected / rows)) over ten population groups, tied \
             PDs together; as many degrees of freedom as groups, because the rows were not trained on.",
        ),
        fact(
            "Calibration intercept, slope",
            "Logistic regression of y on the log-odds of the PD; 0 and 1 are right. In the large: the \
             intercept with the slope held at 1.",
        ),
        fact(
            "Intervals by resampling",
            "Rows drawn with replacement, the same for both models; 2.5 % and 97.5 % quantile. Resamples \
             without goods or bads are left out. Seed 186.",
        ),
        fact(
            "AUC s.e., DeLong",
            "DeLong, DeLong and Clarke-Pearson (1988), paired where two models are compared.",
        ),
        fact(
            "Precision at N",
            "Share of bads among the N rows ranked worst, ties at the cut in proportion.",
        ),
        fact(
            "Lift, challenger",
            "Challenger's capture in the worst 10 % over the incumbent's, minus 1, on rows that have an \
             incumbent score.",
        ),
        fact(
            "Cut-off, swap set",
            "Approved are the rows with the lowest PDs up to the share named; tied PDs are decided alike. \
             Expected loss is Σ PD × loss given default × exposure over the approved.",
        ),
        fact(
            "Impact ratio, gap, SMD",
            "Approval rate over the reference group's; approval rate among goods minus the reference \
             group's; difference of mean log-odds in pooled standard deviations. Small groups are left \
             out, and never one alone.",
        ),
    ]
}
