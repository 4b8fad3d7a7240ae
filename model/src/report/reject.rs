//! Declined applicants: what was assumed of them, and what it changed.

use serde::{Deserialize, Serialize};

use super::Report;
use super::number::{compact, percent};
use super::table::{Cell, Table, figure, words};

/// What was made of declined applicants.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectReport {
    /// The column that says who is declined.
    pub column: String,
    /// How many times higher their odds of bad were taken to be.
    pub odds: f64,
    /// What one counted.
    pub weight: f64,
    /// Accepted and declined training rows, at the label holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<(u64, u64)>,
    /// The same of test rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<(u64, u64)>,
    /// Bad rate of accepted training rows, at the label holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<f64>,
    /// Mean bad rate that declined training rows were given, at the label holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inferred: Option<f64>,
    /// Whether it is not told because they are too few.
    pub too_few: bool,
    /// Own coefficients of both fits, where the job compares.
    pub coefficients: Vec<RejectCoefficient>,
    /// Figures of both fits on accepted test rows, at the label holder where the job compares.
    pub metrics: Vec<RejectMetric>,
    /// Whether columns are weight of evidence.
    pub binned: bool,
}

/// A coefficient of both fits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectCoefficient {
    /// The column.
    pub name: String,
    /// Of accepted rows alone.
    pub known: f64,
    /// Of all.
    pub inferred: f64,
}

/// A figure of both fits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectMetric {
    /// What it is.
    pub name: String,
    /// Of accepted rows alone.
    pub known: f64,
    /// Of all.
    pub inferred: f64,
}

/// In words, for report and model card.
pub(super) fn sentences(report: &Report) -> Vec<String> {
    let Some(r) = &report.rejects else {
        return Vec::new();
    };
    let mut all = Vec::new();
    if let (Some(train), Some(test)) = (r.train, r.test) {
        all.push(format!(
            "{} training rows are of accepted applicants and {} of declined ones (1 in `{}`); of the test rows {} and {}. All \
             figures on test rows are of accepted ones.",
            train.0, train.1, r.column, test.0, test.1
        ));
    }
    all.push(format!(
        "Fuzzy augmentation: a first fit of accepted applicants gives each declined one a probability of bad, whose odds are \
         multiplied by {}; the model is fitted to all, a declined one counting {} as bad and good in these parts. \
         The probabilities stayed shared: nobody has seen one.",
        compact(r.odds, 4),
        compact(r.weight, 4)
    ));
    all.push(format!(
        "That declined applicants are {} times as likely to go bad (in odds) as accepted ones with the same columns is an \
         assumption of the job, not found in data: no outcome of a declined applicant is known, and with a factor of 1 the model \
         would be the one of accepted applicants. Figures on accepted rows cannot show whether it is right.",
        compact(r.odds, 4)
    ));
    if let Some(observed) = r.observed {
        let inferred = match (r.inferred, r.too_few) {
            (Some(rate), _) => format!("declined ones were given {} in the mean", percent(rate, 1)),
            (None, _) => {
                "what declined ones were given is not told: they are fewer than 100".to_owned()
            }
        };
        all.push(format!(
            "{} of the accepted training rows are bad; {inferred}.",
            percent(observed, 1)
        ));
    }
    if r.binned {
        all.push(
            "Weights of evidence are of accepted applicants: a declined one counts as neither good nor bad.".to_owned(),
        );
    }
    all
}

/// What was assumed and what came of it.
pub(super) fn facts(report: &Report) -> Table {
    let mut table = Table::new(
        "reject_inference",
        "Reject inference: rows, assumption and inferred bad rate",
        vec![
            words("what", ""),
            figure("accepted", "Accepted"),
            figure("declined", "Declined"),
        ],
    );
    let Some(r) = &report.rejects else {
        return table;
    };
    let counts = |what: &str, of: Option<(u64, u64)>| {
        of.map(|(a, d)| vec![Cell::text(what), Cell::Count(a), Cell::Count(d)])
    };
    table.rows.extend(counts("Training rows", r.train));
    table.rows.extend(counts("Test rows", r.test));
    table.rows.push(vec![
        Cell::text("Factor on the odds of bad (assumed)"),
        Cell::text("1"),
        Cell::Significant(r.odds, 4),
    ]);
    table.rows.push(vec![
        Cell::text("What a row counts"),
        Cell::text("1"),
        Cell::Significant(r.weight, 4),
    ]);
    if let Some(observed) = r.observed {
        table.rows.push(vec![
            Cell::text("Bad rate: observed, inferred"),
            Cell::Percent(observed, 2),
            match r.inferred {
                Some(rate) => Cell::Percent(rate, 2),
                None => Cell::text("too few"),
            },
        ]);
    }
    table
}

/// Both fits side by side, where the job compares.
pub(super) fn compared(report: &Report) -> Table {
    let mut table = Table::new(
        "reject_comparison",
        "Known good and bad alone, and after inference",
        vec![
            words("what", "Coefficient, or figure on accepted test rows"),
            figure("known", "Known good/bad"),
            figure("inferred", "After inference"),
            figure("change", "Change"),
        ],
    );
    let Some(r) = &report.rejects else {
        return table;
    };
    let figures = r.metrics.iter().map(|m| (&m.name, m.known, m.inferred));
    let coefficients = r
        .coefficients
        .iter()
        .map(|c| (&c.name, c.known, c.inferred));
    for (name, known, inferred) in figures.chain(coefficients) {
        table.rows.push(vec![
            Cell::text(name.clone()),
            Cell::Fixed(known, 4),
            Cell::Fixed(inferred, 4),
            Cell::Signed(inferred - known, 4),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_where_there_is_something_to_tell_and_nowhere_else() {
        let none = Report::default();
        assert!(sentences(&none).is_empty());
        let named = |report: &Report, name: &str| {
            let all = crate::report::tables(report);
            all.into_iter().find(|t| t.0.contains(name)).map(|t| t.1)
        };
        assert!(named(&none, "reject").is_none());
        let told = RejectReport {
            column: "declined".into(),
            odds: 2.5,
            weight: 1.0,
            train: Some((700, 300)),
            test: Some((310, 120)),
            observed: Some(0.1),
            inferred: Some(0.276),
            coefficients: vec![RejectCoefficient {
                name: "age".into(),
                known: -0.5,
                inferred: -0.625,
            }],
            ..RejectReport::default()
        };
        let mut report = Report {
            rejects: Some(told),
            ..Report::default()
        };
        let text = sentences(&report).join("\n");
        for want in [
            "700",
            "300",
            "2.5",
            "27.6",
            "assumption",
            "nobody has seen one",
        ] {
            assert!(text.contains(want), "{want}: {text}");
        }
        let csv = named(&report, "reject_comparison").unwrap();
        assert!(csv.contains("age,-0.5") && csv.contains("-0.125"), "{csv}");
        assert!(named(&report, "reject_inference").unwrap().contains("300"));
        let page = crate::report::html(&report);
        assert!(
            page.contains(">Reject inference<")
                && !crate::report::html(&none).contains("Reject inference")
        );
        let card = crate::report::model_card(&report);
        assert!(card.contains("multiplied by 2.5"), "{card}");
        // a few have no rate told
        if let Some(rejects) = &mut report.rejects {
            (rejects.inferred, rejects.too_few) = (None, true);
        }
        assert!(sentences(&report).join("\n").contains("fewer than 100"));
    }
}
