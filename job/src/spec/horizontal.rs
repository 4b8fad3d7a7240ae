//! `[horizontal]`: many banks with the same columns.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Align, AutoOr, BinMethod, Binning, Columns, PartyRole, Privacy, Profile, Solver, Spec,
    Training, error::Problem, locate::KeyPath, training,
};
use crate::{
    constants,
    decimal::Decimal,
    id::{JobId, excerpt},
};

/// `[horizontal]`: its presence makes the job one of many banks that hold the same columns of different
/// customers. Only sums over all banks are opened; `helper` is the node that adds up masked vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Horizontal {
    /// Banks that must take part in a sum to its end, or `auto` (default): more than two thirds. At least three
    /// and more than half. So many less one may collude with the helper without reading another's part.
    pub threshold: AutoOr,
    /// A bank with fewer training rows takes no part, and the job ends. 20 or more. Default 100.
    pub min_rows: u64,
    /// `shared` (default): one intercept. `per-bank`: each bank fits its own beside the joint coefficients and
    /// keeps it: for books with different bad rates.
    pub intercept: Intercept,
    /// Weight of the sum of |w|, which sets small coefficients to 0. Default 0. With it there are no standard errors.
    pub l1: Decimal,
    /// A listed numeric column with each row's weight instead of a feature. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// A listed numeric column that is added to each row's log-odds instead of a feature. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// For each categorical column the levels that may have a column of their own: the banks agree on them here,
    /// so that none learns another's. Others count as one level.
    pub levels: BTreeMap<String, Vec<String>>,
    /// How a network is trained; goes with `model.kind = "mlp"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// Noise for each customer's sake, with `method = "private-sgd"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,
    /// Where the fit of a logistic regression begins. `zero` (default): at coefficients of 0. `own-models`: at the mean of
    /// the banks' own models, weighted by their Hessians, which saves half of the points on most data; these two
    /// sums are then opened too.
    #[serde(skip_serializing_if = "Start::is_zero")]
    pub start: Start,
    /// An aborted job of the same banks, columns and model whose training this one goes on with, from the last round that
    /// all banks still hold. Default: none. `paripassu job resume` fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<JobId>,
}

/// Where a fit begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// All coefficients 0.
    #[default]
    Zero,
    /// Where the banks' own models say.
    OwnModels,
}

impl Start {
    fn is_zero(&self) -> bool {
        *self == Self::Zero
    }
}

impl Default for Horizontal {
    fn default() -> Self {
        Self {
            threshold: AutoOr::Auto,
            min_rows: constants::DEFAULT_MIN_ROWS,
            intercept: Intercept::Shared,
            l1: Decimal::literal(0.0),
            weight: None,
            offset: None,
            levels: BTreeMap::new(),
            training: None,
            privacy: None,
            start: Start::Zero,
            resume: None,
        }
    }
}

/// Whose intercept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intercept {
    /// One for all banks.
    Shared,
    /// Each bank's own.
    PerBank,
}

impl Horizontal {
    /// How many of so many banks must take part in a sum.
    pub fn threshold_of(&self, banks: usize) -> usize {
        let usual = || u32::try_from(2 * banks / 3 + 1).unwrap_or(u32::MAX);
        let wanted = self.threshold.unwrap_or_else(usual);
        usize::try_from(wanted)
            .unwrap_or(usize::MAX)
            .max(constants::MIN_BANKS)
    }
}

fn unfit(key: &str, why: &'static str) -> (KeyPath, Problem) {
    (KeyPath::of(key), Problem::Horizontal { why })
}

/// What must hold in a horizontal job.
pub(super) fn check(spec: &Spec, horizontal: &Horizontal) -> Vec<(KeyPath, Problem)> {
    let mut found = Vec::new();
    let banks = spec.party.len();
    let range = constants::MIN_BANKS..=constants::MAX_BANKS;
    let mut within = |key: &str, got: f64, low: f64, high: f64| {
        if !(low..=high).contains(&got) {
            let (got, low, high) = (got.to_string(), low.to_string(), high.to_string());
            found.push((KeyPath::of(key), Problem::Range { got, low, high }));
        }
    };
    within("horizontal.min_rows", horizontal.min_rows as f64, 20.0, 1e9);
    within("horizontal.l1", horizontal.l1.value(), 0.0, 1e6);
    if range.contains(&banks) {
        let least = (banks / 2 + 1).max(constants::MIN_BANKS);
        let threshold = horizontal.threshold_of(banks) as f64;
        within(
            "horizontal.threshold",
            threshold,
            least as f64,
            banks as f64,
        );
        if let AutoOr::Is(few) = horizontal.threshold {
            within(
                "horizontal.threshold",
                few.into(),
                least as f64,
                banks as f64,
            );
        }
    } else {
        found.push((KeyPath::of("party"), Problem::Banks { got: banks }));
    }
    if horizontal.start != Start::Zero && horizontal.training.is_some() {
        found.push(unfit(
            "horizontal.start",
            "a network begins where the contract's digest says: `start` goes with logistic regression",
        ));
    }
    parties(spec, &mut found);
    columns(spec, horizontal, &mut found);
    found.extend(training::check(spec, horizontal));
    let ids = Align {
        id_rules: spec.align.id_rules.clone(),
        ..Align::default()
    };
    let fixed = Solver {
        max_passes: spec.solver.max_passes,
        tolerance: spec.solver.tolerance,
        ..Solver::default()
    };
    let nothing_matched =
        "no customers are matched in a horizontal job: of [align] only id_rules applies";
    let in_the_clear =
        "steps are made in the clear from sums: of [solver] only max_passes and tolerance apply";
    let own_scores = "each bank scores its own rows: leave out scores and metrics_to";
    for (wrong, key, why) in [
        (ids != spec.align, "align", nothing_matched),
        (fixed != spec.solver, "solver", in_the_clear),
        (spec.outputs.scores.is_some(), "outputs.scores", own_scores),
        (
            !spec.outputs.metrics_to.is_empty(),
            "outputs.metrics_to",
            own_scores,
        ),
        (
            spec.outputs.standard_errors,
            "outputs.standard_errors",
            "every bank gets them: they follow from the opened sums",
        ),
        (
            spec.security.profile != Profile::MaskedSums,
            "security.profile",
            "a horizontal job has the profile `masked-sums`",
        ),
    ] {
        if wrong {
            found.push(unfit(key, why));
        }
    }
    found
}

fn parties(spec: &Spec, found: &mut Vec<(KeyPath, Problem)>) {
    for (position, party) in spec.party.iter().enumerate() {
        if party.role != PartyRole::Bank {
            let path = KeyPath::of("party").element(position).key("role");
            let why =
                "in a horizontal job every party has role = \"bank\": label and the same columns";
            found.push((path, Problem::Horizontal { why }));
        }
    }
}

/// What bins made by masked sums cannot do.
fn bins(binning: &Binning, horizontal: &Horizontal, found: &mut Vec<(KeyPath, Problem)>) {
    let usual = Binning::default();
    let refused = [
        (
            horizontal.privacy.is_some(),
            "binning",
            "bins are made of exact counts, which a job with noise does not open",
        ),
        (
            horizontal.weight.is_some(),
            "binning",
            "rows are counted in bins as one each: leave out [binning], or horizontal.weight",
        ),
        (
            !binning.column.is_empty(),
            "binning.column",
            "all columns of a horizontal job are binned alike",
        ),
        (
            binning.method == BinMethod::EqualRange,
            "binning.method",
            "bins of equal width need the least and largest value of a bank, which no sum opens: take quantiles",
        ),
        (
            binning.strict(),
            "binning.counts",
            "all banks of a horizontal job see sums over all of them: leave out counts",
        ),
        (
            binning.noise_rows != 0,
            "binning.noise_rows",
            "counts of bins are opened as exact sums over all banks: write noise_rows = 0",
        ),
        (
            binning.max_identical.value() < 0.5,
            "binning.max_identical",
            "what one value has is counted at the median, which is that value from a half on: 0.5 to 1",
        ),
        (
            binning.max_correlation != usual.max_correlation || binning.max_vif != usual.max_vif,
            "binning.max_correlation",
            "columns of a horizontal job are not compared before the fit: leave out max_correlation and max_vif",
        ),
    ];
    for (wrong, key, why) in refused {
        if wrong {
            found.push(unfit(key, why));
        }
    }
}

fn columns(spec: &Spec, horizontal: &Horizontal, found: &mut Vec<(KeyPath, Problem)>) {
    let Some(Columns::Listed {
        numeric,
        categorical,
    }) = spec.party.first().map(|p| &p.columns)
    else {
        found.push(unfit(
            "party",
            "the banks of a horizontal job list their columns, so that all have the same: \
             { numeric = [..], categorical = [..] }",
        ));
        return;
    };
    for (position, party) in spec.party.iter().enumerate().skip(1) {
        if party.columns != spec.party[0].columns {
            let path = KeyPath::of("party").element(position).key("columns");
            let why =
                "all banks list the same columns in the same order; the first bank's are others";
            found.push((path, Problem::Horizontal { why }));
        }
    }
    if let Some(binning) = &spec.binning {
        bins(binning, horizontal, found);
    }
    if super::rows::any(&spec.model) {
        found.push(unfit(
            "model",
            "a horizontal job has its weights and offset in [horizontal], and no class weights",
        ));
    }
    if super::held::any(&spec.model) {
        found.push(unfit(
            "model",
            "a horizontal job has its l1 in [horizontal], and no signs of coefficients",
        ));
    }
    for (key, column) in [
        ("weight", &horizontal.weight),
        ("offset", &horizontal.offset),
    ] {
        if column
            .as_ref()
            .is_some_and(|column| !numeric.contains(column))
        {
            found.push(unfit(
                &format!("horizontal.{key}"),
                "this is none of the listed numeric columns",
            ));
        }
    }
    if horizontal.weight.is_some() && horizontal.weight == horizontal.offset {
        found.push(unfit(
            "horizontal.offset",
            "a column is the weight or the offset, not both",
        ));
    }
    if numeric.len() + categorical.len()
        <= usize::from(horizontal.weight.is_some()) + usize::from(horizontal.offset.is_some())
    {
        found.push(unfit("party", "no column is left as a feature"));
    }
    let path = KeyPath::of("horizontal.levels");
    for column in categorical {
        let listed = horizontal.levels.get(column);
        let distinct: BTreeSet<_> = listed.into_iter().flatten().collect();
        let sound = listed.is_some_and(|levels| {
            (1..=constants::MAX_LEVELS).contains(&levels.len())
                && distinct.len() == levels.len()
                && levels
                    .iter()
                    .all(|l| !l.is_empty() && l.len() <= constants::MAX_COLUMN_NAME)
        });
        if !sound {
            found.push((
                path.clone(),
                Problem::Levels {
                    column: excerpt(column),
                },
            ));
        }
    }
    if let Some(stranger) = horizontal.levels.keys().find(|c| !categorical.contains(c)) {
        found.push((
            path.key(stranger),
            Problem::Horizontal {
                why: "this is none of the listed categorical columns",
            },
        ));
    }
}
