//! Columns as weight of evidence of their bins.

use std::collections::BTreeSet;

use paripassu_model::binning::{
    self, Cut, CutOptions, Edge, InCommon, Limits, Method, Recipe, Trend,
};
use serde::{Deserialize, Serialize};

use super::{Columns, Party, Spec, error::Problem, locate::KeyPath};
use crate::{
    constants::{
        CHI_STOP, FINE_BINS, FINE_SHARE, MAX_BIN_NOISE, MAX_BINS, MAX_EDGES, MAX_SPECIAL_VALUES,
        MAX_VIF, MIN_BIN_CLASS, MIN_BIN_SHARE, MIN_IV, TREE_STOP,
    },
    decimal::Decimal,
    id::NodeId,
};

/// `[binning]`: every column becomes the weight of evidence of its bins, made on training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Binning {
    /// How bins of numbers are made. `quantile` (default): `max_bins` with about equally many rows.
    /// `equal-range`: `max_bins` of equal width. `chi`: `fine_bins` quantiles, neighbours with similar
    /// shares of bad merged (chi-square below 3.841). `tree`: `fine_bins` quantiles, cut where most
    /// information value is won. `monotone`: `fine_bins` quantiles, merged to the most information value
    /// whose shares of bad follow `trend`. Levels of categories are merged by the last three likewise, in
    /// order of their share of bad.
    pub method: BinMethod,
    /// For `monotone`: how the share of bad moves with the number: `increasing`, `decreasing`, `u`,
    /// `inverted-u` or `auto` (default).
    pub trend: BinTrend,
    /// Quantiles before merging, 2 to 100. Default 20.
    pub fine_bins: u64,
    /// Most bins of a column, those of missing and special values not counted, 2 to 50. Default 10.
    pub max_bins: u64,
    /// Least share of the training rows in a bin of numbers, 0 to 0.5; fine bins that may be merged hold a quarter of it.
    /// Default 0.05.
    pub min_share: Decimal,
    /// Least training rows of each label in every bin that is counted, 0 to 10000. A bin with fewer joins
    /// another before it is counted. Default 5.
    pub min_class: u64,
    /// Numbers that get bins of their own, at most 16. Default: none.
    pub special: Vec<Decimal>,
    /// Who sees counts of bins. `bank-sees` (default): the label party sees how many rows, and how many bad,
    /// are in each bin of the others' columns, without names or edges; the owner gets the weights of
    /// evidence of its bins. In a horizontal job all banks see sums over all of them. `strict`: nobody; counts, weights of
    /// evidence and coefficients of the others' columns stay shared and are forgotten with the job. The label party learns
    /// each column's information value and whether it is monotone, and scores; the owner nothing of labels. Bins are then
    /// cut by their owner's values alone: `method` quantile or equal-range, or edges, with `min_class` 0, `noise_rows` 0
    /// and `smoothing` all-cells.
    pub counts: BinCounts,
    /// The label party changes the counts of good and bad in each of another's bins by random whole numbers
    /// of this standard deviation before it makes weights of evidence of them, 0 to 1000. Default 2. In a
    /// horizontal job 0: sums are exact.
    pub noise_rows: u64,
    /// `good-bad` (default): ln(good% / bad%), higher is safer. `bad-good`: the opposite.
    pub woe_sign: WoeSign,
    /// A class without rows in a bin: `zero-cells` (default) adds half a row to both classes of such a bin,
    /// `all-cells` to those of every bin.
    pub smoothing: Smoothing,
    /// A column with less information value is left out, 0 to 10. Default 0.02.
    pub min_iv: Decimal,
    /// A column that misses a larger share of the training rows is left out, 0 to 1. Default 0.95.
    pub max_missing: Decimal,
    /// A column that has one value in a larger share of the training rows is left out, 0 to 1. Default 0.95.
    pub max_identical: Decimal,
    /// Of two columns of one party whose weights of evidence correlate more than this, the one with less
    /// information value is left out, 0.1 to 1. Default 1: none.
    pub max_correlation: Decimal,
    /// Columns of one party that its others predict, with a variance inflation above this, are left out one
    /// after the other, 1 to 1000000. Default 1000000: hardly any.
    pub max_vif: Decimal,
    /// Columns that are binned otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub column: Vec<BinColumn>,
}

impl Default for Binning {
    fn default() -> Self {
        Self {
            method: BinMethod::Quantile,
            trend: BinTrend::Auto,
            fine_bins: 20,
            max_bins: 10,
            min_share: Decimal::literal(0.05),
            min_class: 5,
            special: Vec::new(),
            counts: BinCounts::BankSees,
            noise_rows: 2,
            woe_sign: WoeSign::GoodBad,
            smoothing: Smoothing::ZeroCells,
            min_iv: Decimal::literal(0.02),
            max_missing: Decimal::literal(0.95),
            max_identical: Decimal::literal(0.95),
            max_correlation: Decimal::literal(1.0),
            max_vif: Decimal::literal(MAX_VIF),
            column: Vec::new(),
        }
    }
}

/// `[[binning.column]]`: one column that is binned otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinColumn {
    /// Whose column.
    pub party: NodeId,
    /// The column.
    pub column: String,
    /// Its method. Default: that of `[binning]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<BinMethod>,
    /// Its trend. Default: that of `[binning]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend: Option<BinTrend>,
    /// Most bins. Default: that of `[binning]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bins: Option<u64>,
    /// Its special values. Default: those of `[binning]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special: Option<Vec<Decimal>>,
    /// Edges of its bins, ascending: a bin begins at each. They replace the method; all parties see them in
    /// the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edges: Option<Vec<Decimal>>,
}

/// How bins are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinMethod {
    /// Equally many rows.
    Quantile,
    /// Equal width.
    EqualRange,
    /// ChiMerge.
    Chi,
    /// A tree of one column.
    Tree,
    /// The most information value that follows a trend.
    Monotone,
}

impl BinMethod {
    /// Whether bins are merged by the labels in them.
    pub const fn merges(self) -> bool {
        matches!(self, Self::Chi | Self::Tree | Self::Monotone)
    }
}

/// How the share of bad moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinTrend {
    /// Never down.
    Increasing,
    /// Never up.
    Decreasing,
    /// Down, then up.
    U,
    /// Up, then down.
    InvertedU,
    /// What the data say.
    Auto,
}

impl From<BinTrend> for Trend {
    fn from(trend: BinTrend) -> Self {
        match trend {
            BinTrend::Increasing => Self::Increasing,
            BinTrend::Decreasing => Self::Decreasing,
            BinTrend::U => Self::U,
            BinTrend::InvertedU => Self::InvertedU,
            BinTrend::Auto => Self::Auto,
        }
    }
}

/// Who sees counts of bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinCounts {
    /// The label party, of anonymous bins.
    BankSees,
    /// Nobody: they stay shared.
    Strict,
}

/// Which way weight of evidence points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WoeSign {
    /// ln(good% / bad%).
    GoodBad,
    /// ln(bad% / good%).
    BadGood,
}

/// How a class without rows is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Smoothing {
    /// In bins that lack one.
    ZeroCells,
    /// In every bin.
    AllCells,
}

impl Binning {
    /// How a party's column is binned, on so many training rows.
    pub fn recipe(&self, party: &str, column: &str, rows: usize, rare_level_rows: u64) -> Recipe {
        let own = self.of(party, column);
        let method = own.and_then(|c| c.method).unwrap_or(self.method);
        let trend = own.and_then(|c| c.trend).unwrap_or(self.trend);
        let most = own.and_then(|c| c.max_bins).unwrap_or(self.max_bins);
        let special = own.and_then(|c| c.special.as_ref());
        let edges = own.and_then(|c| c.edges.as_ref());
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let numbers = |list: &[Decimal]| -> Vec<Edge> {
            // a decimal is finite
            list.iter()
                .filter_map(|d| Edge::new(d.value()).ok())
                .collect()
        };
        let cut = match (edges, method) {
            (Some(edges), _) => Cut::Edges(numbers(edges)),
            (None, BinMethod::EqualRange) => Cut::EqualRange(size(most)),
            (None, BinMethod::Quantile) => Cut::Quantile(size(most)),
            (None, _) => Cut::Quantile(size(self.fine_bins)),
        };
        let (merging, most) = match (edges, method) {
            (Some(edges), _) => (Method::Keep, size(most).max(edges.len() + 1)),
            (None, BinMethod::Quantile | BinMethod::EqualRange) => (Method::Keep, size(most)),
            (None, BinMethod::Chi) => (Method::Chi { stop: CHI_STOP }, size(most)),
            (None, BinMethod::Tree) => (Method::Tree { stop: TREE_STOP }, size(most)),
            (None, BinMethod::Monotone) => (Method::Monotone(trend.into()), size(most)),
        };
        // bins that nobody merges later hold their share from the start
        let part = if self.strict() { 1.0 } else { FINE_SHARE };
        let least = (part * self.min_share.value() * rows as f64).ceil();
        Recipe {
            cut: CutOptions {
                cut,
                special: numbers(special.unwrap_or(&self.special)),
                rare_level_rows: size(rare_level_rows),
                min_rows: least as usize,
            },
            method: merging,
            limits: Limits {
                max_bins: most,
                min_share: self.min_share.value(),
                min_class: self.min_class,
            },
            sign: match self.woe_sign {
                WoeSign::GoodBad => binning::WoeSign::GoodBad,
                WoeSign::BadGood => binning::WoeSign::BadGood,
            },
            smoothing: match self.smoothing {
                Smoothing::ZeroCells => binning::Smoothing::ZeroCells,
                Smoothing::AllCells => binning::Smoothing::AllCells,
            },
        }
    }

    /// What columns of one party may have in common.
    pub fn in_common(&self) -> InCommon {
        InCommon {
            correlation: self.max_correlation.value(),
            vif: match self.max_vif.value() {
                most if most >= MAX_VIF => f64::INFINITY,
                most => most,
            },
        }
    }

    /// Whether the columns of parties without labels, and all that is made of them, stay shared.
    pub const fn strict(&self) -> bool {
        matches!(self.counts, BinCounts::Strict)
    }

    /// What is said of one column alone.
    pub fn of(&self, party: &str, column: &str) -> Option<&BinColumn> {
        let is = |c: &&BinColumn| c.party.as_str() == party && c.column == column;
        self.column.iter().find(is)
    }
}

/// What must hold of bins.
pub(super) fn check(spec: &Spec, binning: &Binning, found: &mut Vec<(KeyPath, Problem)>) {
    let path = KeyPath::of("binning");
    let mut within = |path: KeyPath, got: f64, low: f64, high: f64| {
        if !(low..=high).contains(&got) {
            let (got, low, high) = (got.to_string(), low.to_string(), high.to_string());
            found.push((path, Problem::Range { got, low, high }));
        }
    };
    let whole = |r: &std::ops::RangeInclusive<u64>| (*r.start() as f64, *r.end() as f64);
    let (low, high) = whole(&FINE_BINS);
    within(path.key("fine_bins"), binning.fine_bins as f64, low, high);
    let (low, high) = whole(&MAX_BINS);
    within(path.key("max_bins"), binning.max_bins as f64, low, high);
    for (position, column) in binning.column.iter().enumerate() {
        let path = path.key("column").element(position).key("max_bins");
        let most = column.max_bins.unwrap_or(*MAX_BINS.start());
        within(path, most as f64, low, high);
    }
    let share = binning.min_share.value();
    let (low, high) = (*MIN_BIN_SHARE.start(), *MIN_BIN_SHARE.end());
    within(path.key("min_share"), share, low, high);
    let iv = binning.min_iv.value();
    within(path.key("min_iv"), iv, *MIN_IV.start(), *MIN_IV.end());
    for (key, share) in [
        ("max_missing", binning.max_missing),
        ("max_identical", binning.max_identical),
    ] {
        within(path.key(key), share.value(), 0.0, 1.0);
    }
    let most = binning.max_correlation.value();
    within(path.key("max_correlation"), most, 0.1, 1.0);
    within(path.key("max_vif"), binning.max_vif.value(), 1.0, MAX_VIF);
    let (low, high) = whole(&MIN_BIN_CLASS);
    within(path.key("min_class"), binning.min_class as f64, low, high);
    let noise = binning.noise_rows as f64;
    within(path.key("noise_rows"), noise, 0.0, MAX_BIN_NOISE as f64);

    let mut unfit = |path: KeyPath, why: String| found.push((path, Problem::Binning { why }));
    if binning.strict() {
        strict(spec, binning, &mut unfit);
    }
    if spec.model.weight.is_some() || spec.model.class_weight.is_some() {
        let why =
            "rows are counted in bins as one each: leave out [binning], or the weights of rows";
        unfit(path.clone(), why.to_owned());
    }
    many(
        &path.key("special"),
        &binning.special,
        MAX_SPECIAL_VALUES,
        &mut unfit,
    );
    let mut seen = BTreeSet::new();
    for (position, column) in binning.column.iter().enumerate() {
        let path = path.key("column").element(position);
        if !seen.insert((&column.party, &column.column)) {
            let why = format!(
                "`{}` of `{}` stands here twice",
                column.column, column.party
            );
            unfit(path.key("column"), why);
        }
        match spec.party.iter().find(|p| p.id == column.party) {
            None => unfit(
                path.key("party"),
                format!("`{}` is no party of this job", column.party),
            ),
            Some(party) if !listed(party, &column.column) => unfit(
                path.key("column"),
                format!(
                    "`{}` is none of the columns that `{}` lists",
                    column.column, party.id
                ),
            ),
            Some(_) => {}
        }
        if let Some(special) = &column.special {
            many(
                &path.key("special"),
                special,
                MAX_SPECIAL_VALUES,
                &mut unfit,
            );
        }
        let Some(edges) = &column.edges else { continue };
        many(&path.key("edges"), edges, MAX_EDGES, &mut unfit);
        if let Some(w) = edges.windows(2).find(|w| w[0] >= w[1]) {
            let why = format!("edges ascend: {} is followed by {}", w[0], w[1]);
            unfit(path.key("edges"), why);
        }
        if column.method.is_some() {
            unfit(
                path.key("method"),
                "edges replace the method: name one of them".to_owned(),
            );
        }
    }
}

/// What must hold where counts stay shared.
fn strict(spec: &Spec, binning: &Binning, unfit: &mut impl FnMut(KeyPath, String)) {
    let usual = Binning::default();
    let card = spec.scorecard.as_ref();
    for (wrong, key, why) in [
        (
            binning.method.merges(),
            "binning.method",
            "counts = \"strict\" opens nothing to merge bins by: take quantile or equal-range, and another method for the \
             label party's own columns in [[binning.column]]",
        ),
        (
            binning.min_class > 0,
            "binning.min_class",
            "counts = \"strict\" opens no bit about a bin: write min_class = 0",
        ),
        (
            binning.noise_rows > 0,
            "binning.noise_rows",
            "counts = \"strict\" opens nothing that needs noise: write noise_rows = 0",
        ),
        (
            binning.smoothing != Smoothing::AllCells,
            "binning.smoothing",
            "counts = \"strict\" does not tell which bins lack a label: write smoothing = \"all-cells\"",
        ),
        (
            binning.max_correlation != usual.max_correlation || binning.max_vif != usual.max_vif,
            "binning.max_correlation",
            "counts = \"strict\" leaves columns that nobody could compare: leave out max_correlation and max_vif",
        ),
        (
            spec.network.is_some(),
            "binning.counts",
            "counts = \"strict\" is for a logistic regression: leave out [network]",
        ),
        (
            spec.tuning.is_some(),
            "binning.counts",
            "counts = \"strict\" does not try several l2: leave out [tuning]",
        ),
        (
            spec.is_held(),
            "binning.counts",
            "counts = \"strict\" knows no penalty or sign that holds coefficients: leave out model.l1 and signs",
        ),
        (
            card.is_some_and(|card| card.reasons),
            "scorecard.reasons",
            "points of columns whose weights nobody sees give no reasons: write reasons = false, or \
             counts = \"bank-sees\"",
        ),
    ] {
        if wrong {
            unfit(KeyPath::of(key), why.to_owned());
        }
    }
    let label = spec.label_party().map(|party| &party.id);
    for (position, column) in binning.column.iter().enumerate() {
        if label != Some(&column.party) && column.method.is_some_and(BinMethod::merges) {
            let path = KeyPath::of("binning.column")
                .element(position)
                .key("method");
            unfit(
                path,
                "counts = \"strict\" opens nothing to merge bins by: take quantile or equal-range"
                    .to_owned(),
            );
        }
    }
}

fn many(path: &KeyPath, values: &[Decimal], most: usize, unfit: &mut impl FnMut(KeyPath, String)) {
    if values.len() > most {
        unfit(
            path.clone(),
            format!("{} numbers, at most {most}", values.len()),
        );
    }
}

fn listed(party: &Party, column: &str) -> bool {
    match &party.columns {
        Columns::All => true,
        listed => listed.names().any(|name| name == column),
    }
}
