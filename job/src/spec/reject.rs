//! `[reject_inference]`: applicants who were declined, and so have no outcome, count as bad and as good in part.

use serde::{Deserialize, Serialize};

use super::{Columns, Spec, error::Problem, locate::KeyPath};
use crate::decimal::Decimal;

/// Why there is no default for the factor.
const WHY_ODDS: &str = "say how many times higher the odds of bad of a declined applicant are than those of an accepted one with the \
    same columns: a factor is an assumption that no data can give, and without one (a factor of 1) fuzzy augmentation leaves the \
    coefficients exactly as they are, because the first fit already is the optimum for its own predictions";

/// `[reject_inference]`: fuzzy augmentation. The model is fitted on accepted rows; by that fit each declined row has a probability of
/// bad, whose odds are multiplied by `odds`; the model is then fitted on all rows, a declined one as bad with this probability as
/// its weight and as good with the rest. Probabilities stay shared. The label of declined rows is empty, that of all others is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectInference {
    /// A listed numeric column of the label party: 1 = the applicant was declined, 0 = accepted. It is no feature.
    pub rejected: String,
    /// How many times higher the odds of bad of a declined applicant are than those of an accepted one with the same columns,
    /// 0.1 to 20. Must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odds: Option<Decimal>,
    /// What a declined row counts beside an accepted one's 1, above 0 and at most 4. Default 1.
    #[serde(default = "one")]
    pub weight: Decimal,
    /// Whether each party also learns the coefficients of its own columns in the first fit, and the label party that fit's test
    /// scores, for the report to compare. Default: false.
    #[serde(default, skip_serializing_if = "no")]
    pub compare: bool,
}

fn one() -> Decimal {
    Decimal::literal(1.0)
}

fn no(flag: &bool) -> bool {
    !flag
}

impl RejectInference {
    /// The factor; 1 in a specification that was not checked.
    pub fn factor(&self) -> f64 {
        self.odds.map_or(1.0, |odds| odds.value())
    }
}

/// What must hold of it.
pub(super) fn check(spec: &Spec, found: &mut Vec<(KeyPath, Problem)>) {
    let Some(asked) = &spec.reject_inference else {
        return;
    };
    let at = |key: &str| match key {
        "" => KeyPath::of("reject_inference"),
        key => KeyPath::of("reject_inference").key(key),
    };
    let mut unfit = |key: &str, why: &str| {
        let why = why.to_owned();
        found.push((at(key), Problem::Rows { why }));
    };
    for (there, why) in [
        (
            spec.horizontal.is_some(),
            "reject inference is for jobs of parties with different columns: banks of a horizontal job each infer on their own",
        ),
        (
            spec.overlap.is_some(),
            "a job that only matches customers fits nothing that could be inferred from",
        ),
        (
            spec.network.is_some(),
            "reject inference is of logistic regression, whose optimum is one: a network's second training would end elsewhere \
             for other reasons too",
        ),
        (
            spec.tuning.is_some(),
            "folds would have to be drawn of accepted rows alone, and each trial fit twice: choose the ridge in a job without \
             [reject_inference], and give it as model.l2",
        ),
        (
            spec.stepwise().is_some(),
            "columns leave by statistics of known outcomes: let them leave in a job without [reject_inference], and list those \
             that stay",
        ),
        (
            spec.outputs.standard_errors,
            "standard errors would count inferred outcomes as observed ones and be too small: take them from a job without \
             [reject_inference]",
        ),
        (
            spec.model.class_weight.is_some(),
            "what a class weighs would be shared for declined rows, who belong to both: leave model.class_weight out, or give \
             weights in a column (model.weight)",
        ),
        (
            spec.binning.as_ref().is_some_and(|b| b.strict()),
            "with counts = \"strict\" weights of evidence are made from how many rows each bin has, which its owner knows; how many \
             of them are accepted nobody does. Take counts = \"bank-sees\", or plain columns",
        ),
    ] {
        if there {
            unfit("", why);
        }
    }
    if let Some(label) = spec.label_party() {
        let listed = match &label.columns {
            Columns::Listed { numeric, .. } => numeric.contains(&asked.rejected),
            Columns::All => false,
        };
        if !listed {
            let why = format!(
                "`{}` is none of the numeric columns that `{}` lists: list the column that says who was declined (1) or accepted \
                 (0); it is then no feature",
                asked.rejected, label.id
            );
            unfit("rejected", &why);
        }
        let weight = spec.model.weight.as_ref();
        let elsewhere = weight.is_some_and(|w| w.party == label.id && w.column == asked.rejected)
            || spec.model.offset.as_ref() == Some(&asked.rejected)
            || spec.evaluation.as_ref().is_some_and(|e| {
                let mut named = e.numeric().into_iter().chain(e.categorical());
                named.any(|(_, column)| column == asked.rejected)
            });
        if elsewhere {
            unfit(
                "rejected",
                "the column says who was declined, and nothing else beside it",
            );
        }
        if spec.outputs.metrics_to.iter().any(|id| *id != label.id) {
            let why = format!(
                "metrics are of accepted test rows: their counts would tell other parties how many were declined; name `{}` alone",
                label.id
            );
            found.push((KeyPath::of("outputs.metrics_to"), Problem::Rows { why }));
        }
    }
    let mut range = |key: &str, got: f64, low: &str, high: f64, least: f64| {
        if !(got >= least && got <= high) {
            let (got, low, high) = (got.to_string(), low.to_owned(), high.to_string());
            found.push((at(key), Problem::Range { got, low, high }));
        }
    };
    if let Some(odds) = asked.odds {
        range("odds", odds.value(), "0.1", 20.0, 0.1);
    }
    range(
        "weight",
        asked.weight.value(),
        "0 (not counted)",
        4.0,
        f64::MIN_POSITIVE,
    );
    let mut unfit = |key: &str, why: &str| {
        let why = why.to_owned();
        found.push((at(key), Problem::Rows { why }));
    };
    if asked.odds.is_none() {
        unfit("odds", WHY_ODDS);
    }
    if asked.compare && spec.outputs.scores.is_none() {
        unfit(
            "compare",
            "without test scores there is nothing to compare: set outputs.scores and outputs.metrics_to",
        );
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::spec::{
        BinCounts, Binning, ClassWeight, Scores, Stepwise, TemplateKind, Tuning, template,
    };

    /// Of the template, with a column that says who was declined.
    pub(crate) fn spec() -> Spec {
        let mut spec =
            Spec::from_toml(template(TemplateKind::VerticalLogistic), "job.toml").unwrap();
        let label = spec.label_party().unwrap().id.clone();
        let at = spec.party.iter().position(|p| p.id == label).unwrap();
        spec.party[at].columns = Columns::Listed {
            numeric: vec!["declined".to_owned(), "age".to_owned()],
            categorical: Vec::new(),
        };
        spec.outputs.metrics_to = vec![label];
        spec.reject_inference = Some(RejectInference {
            rejected: "declined".to_owned(),
            odds: Some(Decimal::literal(2.0)),
            weight: Decimal::literal(1.0),
            compare: false,
        });
        spec
    }

    fn said(spec: &Spec) -> String {
        spec.check().unwrap_err().to_string()
    }

    #[test]
    fn who_is_declined_is_no_feature_and_gives_the_label_party_weights() {
        let mut spec = spec();
        spec.check().unwrap();
        let label = spec.label_party().unwrap().id.to_string();
        assert!(spec.beside_features(&label).contains(&"declined"));
        assert_eq!(spec.row_weights(), [(0, 1.0)]);
        if let Some(asked) = &mut spec.reject_inference {
            asked.weight = Decimal::literal(2.5);
        }
        assert_eq!(spec.row_weights(), [(0, 2.5)]);
    }

    #[test]
    fn what_does_not_go_with_it_is_refused_and_says_why() {
        type Change = fn(&mut Spec);
        let changes: [(Change, &str); 9] = [
            (
                |s| s.tuning = Some(Tuning::default()),
                "choose the ridge in a job without",
            ),
            (
                |s| {
                    s.selection = Some(crate::spec::Selection {
                        stepwise: Some(Stepwise::default()),
                        ..crate::spec::Selection::default()
                    });
                },
                "statistics of known outcomes",
            ),
            (|s| s.outputs.standard_errors = true, "be too small"),
            (
                |s| {
                    let one = Decimal::literal(1.0);
                    s.model.class_weight = Some(ClassWeight {
                        good: one,
                        bad: one,
                    });
                },
                "leave model.class_weight out",
            ),
            (
                |s| {
                    s.binning = Some(Binning {
                        counts: BinCounts::Strict,
                        ..Binning::default()
                    });
                },
                "accepted nobody does",
            ),
            (
                |s| s.model.offset = Some("declined".to_owned()),
                "nothing else beside it",
            ),
            (
                |s| {
                    let all = s.party.iter().map(|p| p.id.clone()).collect();
                    s.outputs.metrics_to = all;
                },
                "how many were declined",
            ),
            (
                |s| {
                    s.outputs.metrics_to = Vec::new();
                    s.outputs.scores = None::<Scores>;
                    if let Some(asked) = &mut s.reject_inference {
                        asked.compare = true;
                    }
                },
                "nothing to compare",
            ),
            (
                |s| {
                    if let Some(asked) = &mut s.reject_inference {
                        asked.odds = None;
                    }
                },
                "leaves the coefficients exactly as they are",
            ),
        ];
        for (change, want) in changes {
            let mut spec = spec();
            change(&mut spec);
            assert!(said(&spec).contains(want), "{want}: {}", said(&spec));
        }
    }

    #[test]
    fn jobs_of_another_kind_refuse_it() {
        for kind in [
            TemplateKind::HorizontalLogistic,
            TemplateKind::VerticalMlp,
            TemplateKind::Overlap,
        ] {
            let mut other = Spec::from_toml(template(kind), "job.toml").unwrap();
            other.reject_inference = spec().reject_inference;
            let text = said(&other);
            assert!(text.contains("reject_inference"), "{text}");
        }
    }
}
