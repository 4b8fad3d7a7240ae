//! Everything a job opens: to whom, in what shape, how often at most.
//!
//! The list follows from the specification alone ([`disclosures`]). It is part of the contract that
//! parties sign, it is printed by `job plan`, and it is what the [`Ledger`](crate::Ledger) allows while the
//! job runs. A value that is not on the list is never opened.

mod binning;
mod horizontal;
mod logistic;
mod network;
mod overlap;
mod reject;
mod selection;
mod shape;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub use shape::Shape;

use crate::{
    constants::ALIGN_MIN_PADDING,
    id::{NodeId, excerpt, serde_as_text},
    plan::count,
    spec::{AlignMethod, OverlapOf, Spec},
};

/// The stable name of one disclosure, such as `align.members` or `release.coefficients.bank`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DisclosureId {
    /// Which parts of an aborted job's match each party holds.
    AlignHeld,
    /// How many customers each party puts into the alignment.
    AlignSizes,
    /// Which of its own customers are common, to each party.
    AlignMembers,
    /// How many customers are common, in training and test.
    AlignMatched,
    /// Within which bucket the number of common customers is.
    AlignSizeBucket,
    /// How many fine bins each other party's columns are cut into.
    BinningFine,
    /// Rows of each fine bin of a party's columns, to the label party.
    BinningRows(NodeId),
    /// Whether each fine bin of a party's columns has enough rows of both labels.
    BinningEnough(NodeId),
    /// Bad rows of each bin of a party's columns, to the label party.
    BinningBads(NodeId),
    /// Good rows of each bin of a party's columns, where declined ones are neither, to the label party.
    BinningGoods(NodeId),
    /// Weight of evidence of the bins of a party's columns, to that party.
    BinningWoe(NodeId),
    /// How many bins each of a party's columns has, where counts stay shared.
    BinningColumns(NodeId),
    /// Information value of each of a party's columns, where counts stay shared, to the label party.
    BinningInformation(NodeId),
    /// Whether the share of bads moves one way over the bins of each of a party's columns, where counts stay shared, to
    /// the label party.
    BinningMonotone(NodeId),
    /// How many design columns each party brings.
    DesignWidth,
    /// The correlations of different parties' columns.
    SelectionCorrelations,
    /// Which columns correlate too much, and which of two tells more of the label.
    SelectionPairs,
    /// Which column has the largest variance inflation, where that is too large.
    SelectionInflated,
    /// The variance inflation of a party's own columns, to that party.
    SelectionInflation(NodeId),
    /// Which column leaves the model in each step.
    SelectionLeaving,
    /// Which column enters the model in each step.
    SelectionEntering,
    /// Whether training has settled: one bit a pass, or one at the end.
    TrainConverged,
    /// Whether the loss on the watched rows fell: one bit an epoch.
    TrainImproved,
    /// Which epochs of an aborted job's training each party holds.
    TrainHeld,
    /// The error of each trial on the rows that it left out.
    TrainTrials,
    /// How many columns of all parties each trial leaves in.
    TrainColumns,
    /// Whether all scores lie within the sigmoid series, one bit a range tried.
    TrainRangeCheck,
    /// The mean bad rate that declined applicants are given, to the label party.
    RejectRate,
    /// The coefficients of a party's own columns in the fit of accepted applicants alone, to that party.
    RejectCoefficients(NodeId),
    /// Test scores by that fit, to the label party.
    RejectScores,
    /// The coefficients of a party's own columns, to that party.
    ReleaseCoefficients(NodeId),
    /// The standard errors of these, to that party.
    ReleaseStandardErrors(NodeId),
    /// Test scores, to the label party.
    ReleaseScores,
    /// Codes of the other party's reasons for each test row, to the label party.
    ReleaseReasons,
    /// Summary metrics on the test rows.
    ReleaseMetrics,
    /// Who takes part in each sum of a horizontal job.
    SumsMembers,
    /// Rows, bads, missing values and levels over all banks.
    SumsCounts,
    /// Rows up to thresholds, over all banks.
    SumsQuantiles,
    /// Powers of two of largest magnitudes.
    SumsRanges,
    /// Rows and bads of fine bins of columns over all banks.
    SumsBins,
    /// Sums and squared deviations of columns over all banks.
    SumsMoments,
    /// Hessians at the banks' own models, and their products with these.
    SumsStart,
    /// Loss, gradient and Hessian over all banks.
    SumsNewton,
    /// Updates of a network by group of banks.
    SumsUpdates,
    /// Clipped gradients of single customers over all banks, with noise.
    SumsGradients,
    /// Which groups' updates each bank finds helpful.
    SumsVotes,
    /// Which rounds of an aborted job each bank holds.
    SumsHeld,
    /// Histograms of scores over all banks' test rows.
    SumsEvaluation,
    /// What the relay sees of sealed traffic.
    RelayTraffic,
}

const COEFFICIENTS: &str = "release.coefficients.";
const STANDARD_ERRORS: &str = "release.standard-errors.";
const BIN_ROWS: &str = "binning.rows.";
const BINS_ENOUGH: &str = "binning.enough.";
const BIN_BADS: &str = "binning.bads.";
const BIN_GOODS: &str = "binning.goods.";
const REJECT_COEFFICIENTS: &str = "reject.coefficients.";
const BIN_WOE: &str = "binning.woe.";
const BIN_COLUMNS: &str = "binning.columns.";
const BIN_INFORMATION: &str = "binning.iv.";
const INFLATION: &str = "selection.vif.";
const BIN_MONOTONE: &str = "binning.monotone.";

impl fmt::Display for DisclosureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AlignHeld => "align.held",
            Self::AlignSizes => "align.sizes",
            Self::AlignMembers => "align.members",
            Self::AlignMatched => "align.matched",
            Self::AlignSizeBucket => "align.size-bucket",
            Self::BinningFine => "binning.fine-bins",
            Self::BinningRows(party) => return f.pad(&format!("{BIN_ROWS}{party}")),
            Self::BinningEnough(party) => return f.pad(&format!("{BINS_ENOUGH}{party}")),
            Self::BinningBads(party) => return f.pad(&format!("{BIN_BADS}{party}")),
            Self::BinningGoods(party) => return f.pad(&format!("{BIN_GOODS}{party}")),
            Self::BinningWoe(party) => return f.pad(&format!("{BIN_WOE}{party}")),
            Self::BinningColumns(party) => return f.pad(&format!("{BIN_COLUMNS}{party}")),
            Self::BinningInformation(party) => return f.pad(&format!("{BIN_INFORMATION}{party}")),
            Self::BinningMonotone(party) => return f.pad(&format!("{BIN_MONOTONE}{party}")),
            Self::DesignWidth => "design.width",
            Self::SelectionCorrelations => "selection.correlations",
            Self::SelectionPairs => "selection.pairs",
            Self::SelectionInflated => "selection.inflated",
            Self::SelectionLeaving => "selection.leaving",
            Self::SelectionEntering => "selection.entering",
            Self::SelectionInflation(party) => return f.pad(&format!("{INFLATION}{party}")),
            Self::TrainConverged => "train.converged",
            Self::TrainImproved => "train.improved",
            Self::TrainHeld => "train.held",
            Self::TrainTrials => "train.trials",
            Self::TrainColumns => "train.columns",
            Self::TrainRangeCheck => "train.range-check",
            Self::RejectRate => "reject.rate",
            Self::RejectCoefficients(party) => {
                return f.pad(&format!("{REJECT_COEFFICIENTS}{party}"));
            }
            Self::RejectScores => "reject.scores",
            Self::ReleaseCoefficients(party) => return f.pad(&format!("{COEFFICIENTS}{party}")),
            Self::ReleaseStandardErrors(party) => {
                return f.pad(&format!("{STANDARD_ERRORS}{party}"));
            }
            Self::ReleaseScores => "release.scores",
            Self::ReleaseReasons => "release.reasons",
            Self::ReleaseMetrics => "release.metrics",
            Self::SumsMembers => "sums.members",
            Self::SumsCounts => "sums.counts",
            Self::SumsQuantiles => "sums.quantiles",
            Self::SumsRanges => "sums.ranges",
            Self::SumsBins => "sums.bins",
            Self::SumsMoments => "sums.moments",
            Self::SumsStart => "sums.start",
            Self::SumsNewton => "sums.newton",
            Self::SumsUpdates => "sums.updates",
            Self::SumsGradients => "sums.gradients",
            Self::SumsVotes => "sums.votes",
            Self::SumsHeld => "sums.held",
            Self::SumsEvaluation => "sums.evaluation",
            Self::RelayTraffic => "relay.traffic",
        })
    }
}

/// Why a text of the disclosure list was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisclosureError {
    /// No such disclosure.
    #[error("`{got}` is no disclosure of this version")]
    Id {
        /// What was given.
        got: String,
    },
    /// No such receiver.
    #[error("`{got}` is no receiver: expected `party:ID`, `helper:ID` or `relay`")]
    Audience {
        /// What was given.
        got: String,
    },
}

impl FromStr for DisclosureId {
    type Err = DisclosureError;

    fn from_str(text: &str) -> Result<Self, DisclosureError> {
        let unknown = || DisclosureError::Id { got: excerpt(text) };
        Ok(match text {
            "align.held" => Self::AlignHeld,
            "align.sizes" => Self::AlignSizes,
            "align.members" => Self::AlignMembers,
            "align.matched" => Self::AlignMatched,
            "align.size-bucket" => Self::AlignSizeBucket,
            "binning.fine-bins" => Self::BinningFine,
            "design.width" => Self::DesignWidth,
            "selection.correlations" => Self::SelectionCorrelations,
            "selection.pairs" => Self::SelectionPairs,
            "selection.inflated" => Self::SelectionInflated,
            "selection.leaving" => Self::SelectionLeaving,
            "selection.entering" => Self::SelectionEntering,
            "train.converged" => Self::TrainConverged,
            "train.improved" => Self::TrainImproved,
            "train.held" => Self::TrainHeld,
            "train.trials" => Self::TrainTrials,
            "train.columns" => Self::TrainColumns,
            "train.range-check" => Self::TrainRangeCheck,
            "reject.rate" => Self::RejectRate,
            "reject.scores" => Self::RejectScores,
            "release.scores" => Self::ReleaseScores,
            "release.reasons" => Self::ReleaseReasons,
            "release.metrics" => Self::ReleaseMetrics,
            "sums.members" => Self::SumsMembers,
            "sums.counts" => Self::SumsCounts,
            "sums.quantiles" => Self::SumsQuantiles,
            "sums.ranges" => Self::SumsRanges,
            "sums.bins" => Self::SumsBins,
            "sums.moments" => Self::SumsMoments,
            "sums.start" => Self::SumsStart,
            "sums.newton" => Self::SumsNewton,
            "sums.updates" => Self::SumsUpdates,
            "sums.gradients" => Self::SumsGradients,
            "sums.votes" => Self::SumsVotes,
            "sums.held" => Self::SumsHeld,
            "sums.evaluation" => Self::SumsEvaluation,
            "relay.traffic" => Self::RelayTraffic,
            other => {
                type Of = fn(NodeId) -> DisclosureId;
                let of_parties: [(&str, Of); 12] = [
                    (BIN_GOODS, Self::BinningGoods),
                    (REJECT_COEFFICIENTS, Self::RejectCoefficients),
                    (INFLATION, Self::SelectionInflation),
                    (COEFFICIENTS, Self::ReleaseCoefficients),
                    (STANDARD_ERRORS, Self::ReleaseStandardErrors),
                    (BIN_ROWS, Self::BinningRows),
                    (BINS_ENOUGH, Self::BinningEnough),
                    (BIN_BADS, Self::BinningBads),
                    (BIN_WOE, Self::BinningWoe),
                    (BIN_COLUMNS, Self::BinningColumns),
                    (BIN_INFORMATION, Self::BinningInformation),
                    (BIN_MONOTONE, Self::BinningMonotone),
                ];
                let named = of_parties.into_iter().find_map(|(prefix, id)| {
                    let party = other.strip_prefix(prefix)?.parse().ok()?;
                    Some(id(party))
                });
                named.ok_or_else(unknown)?
            }
        })
    }
}

serde_as_text!(DisclosureId, "the name of a disclosure");

/// Who learns a disclosed value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// A data party.
    Party(NodeId),
    /// The helper.
    Helper(NodeId),
    /// The coordinator, as the relay of sealed frames.
    Relay,
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Party(id) => f.pad(&format!("party:{id}")),
            Self::Helper(id) => f.pad(&format!("helper:{id}")),
            Self::Relay => f.pad("relay"),
        }
    }
}

impl FromStr for Audience {
    type Err = DisclosureError;

    fn from_str(text: &str) -> Result<Self, DisclosureError> {
        let unknown = || DisclosureError::Audience { got: excerpt(text) };
        match text.split_once(':') {
            Some(("party", id)) => id.parse().map(Self::Party).map_err(|_| unknown()),
            Some(("helper", id)) => id.parse().map(Self::Helper).map_err(|_| unknown()),
            None if text == "relay" => Ok(Self::Relay),
            _ => Err(unknown()),
        }
    }
}

serde_as_text!(Audience, "`party:ID`, `helper:ID` or `relay`");

/// One declared opening.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    /// Stable name.
    pub id: DisclosureId,
    /// What is opened, in a plain sentence.
    pub what: String,
    /// The shape of one opening.
    pub shape: Shape,
    /// Who learns it.
    pub to: Vec<Audience>,
    /// How often at most in the whole job.
    pub at_most: u32,
}

/// What a match of all parties' customers tells each of them.
fn members(parties: usize) -> &'static str {
    match parties {
        2 => "Which of its own customers the other party also has",
        _ => {
            "Which of its own customers all other parties also have; not which, nor how \
                many, only some of the others have"
        }
    }
}

/// What a match by several keys tells beyond.
fn by_keys(spec: &Spec) -> String {
    let keys: Vec<_> = spec.keys().into_iter().map(|(name, _)| name).collect();
    if let [_] = keys[..] {
        return String::new();
    }
    format!(
        "; and by which of {} keys ({}), those who do not match by one being matched by the next. Who does not \
            follow the protocol may try other values of each key, as many as it announced customers",
        keys.len(),
        keys.join(", ")
    )
}

/// How often customers are matched: once by each key.
fn matches(spec: &Spec) -> u32 {
    u32::try_from(spec.keys().len()).unwrap_or(u32::MAX)
}

/// What the relay can tell of numbers by key from the length of messages.
fn told_by_length(spec: &Spec) -> &'static str {
    let star = spec.party.len() > 2
        && spec.align.method == AlignMethod::Vole
        && spec
            .overlap
            .as_ref()
            .is_none_or(|overlap| overlap.of == OverlapOf::All);
    match star && !spec.align.fallback.is_empty() {
        true => " From the length of messages the relay sees how many match by each key.",
        false => "",
    }
}

/// What alignment tells of how many customers a party has.
fn sizes(spec: &Spec) -> String {
    let same = match spec.align.fallback.is_empty() {
        true => "",
        false => " The same number is announced for each key, whatever is left.",
    };
    sizes_once(spec) + same
}

fn sizes_once(spec: &Spec) -> String {
    match spec.align.method {
        AlignMethod::Curve => format!(
            "How many customers each party puts into the alignment, up to a whole frame: its \
                number of frames of {} items, at least {ALIGN_MIN_PADDING} of \
                them random padding.",
            count(spec.align.size_step)
        ),
        AlignMethod::Vole => format!(
            "How many customers each party announces for the alignment, in steps of {0}, at \
                least {ALIGN_MIN_PADDING} more than it has. A party that does not follow the \
                protocol may try more ids than it announced: at least 5,724 for each bucket of \
                131,072 customers of the larger set.",
            count(spec.align.size_step)
        ),
    }
}

/// Everything that a job of this specification opens, in the order in which it happens.
pub fn disclosures(spec: &Spec) -> Vec<Disclosure> {
    if let Some(horizontal) = &spec.horizontal {
        return horizontal::disclosures(spec, horizontal);
    }
    if let Some(overlap) = &spec.overlap {
        return overlap::disclosures(spec, overlap);
    }
    let parties: Vec<_> = spec
        .seats()
        .iter()
        .map(|party| Audience::Party(party.id.clone()))
        .collect();
    let helper = Audience::Helper(spec.helper.id.clone());
    let each = u32::try_from(parties.len()).unwrap_or(u32::MAX);
    let with = |more: &[&Audience]| {
        parties
            .iter()
            .chain(more.iter().copied())
            .cloned()
            .collect::<Vec<_>>()
    };
    let opening = |id, what: &str, shape, to, at_most| Disclosure {
        id,
        what: what.to_owned(),
        shape,
        to,
        at_most,
    };

    let mut list = vec![opening(
        DisclosureId::RelayTraffic,
        "Which node sends how many sealed bytes to which other and when, and each node's \
                phase, pass and rate of progress, so also how many passes the training took; \
                never what the bytes say.",
        Shape::Traffic,
        vec![Audience::Relay],
        1,
    )];
    list.extend(overlap::held(spec, &parties));
    list.extend([
        opening(
            DisclosureId::AlignSizes,
            &sizes(spec),
            Shape::Count,
            with(&[&Audience::Relay]),
            each,
        ),
        opening(
            DisclosureId::AlignMembers,
            &format!(
                "{}{}, also where the job then ends because they are too few; nothing about {} party's \
                    remaining customers.",
                members(parties.len()),
                by_keys(spec),
                if parties.len() == 2 {
                    "the other"
                } else {
                    "another"
                },
            ),
            Shape::Membership,
            parties.clone(),
            matches(spec),
        ),
        opening(
            DisclosureId::AlignMatched,
            &format!(
                "How many customers are common, in training and in test, also where the job ends \
                    because they are too few.{}",
                told_by_length(spec)
            ),
            Shape::Count,
            vec![helper.clone(), Audience::Relay],
            2,
        ),
    ]);
    let mut columns = "after categories became one column per level";
    if let Some(binning) = &spec.binning {
        list.extend(binning::disclosures(spec, binning));
        columns = match binning.strict() {
            true => {
                "one for each that is not the same or missing nearly everywhere; of the label party's, those whose bins \
                    were kept"
            }
            false => "one for each whose bins were kept",
        };
    }
    list.push(opening(
        DisclosureId::DesignWidth,
        &format!("How many design columns each party brings, {columns}."),
        Shape::Count,
        with(&[&helper, &Audience::Relay]),
        each,
    ));
    if let Some(asked) = &spec.selection {
        list.extend(selection::disclosures(spec, asked, &parties, &helper));
    }
    list.extend(overlap::held_points(spec, &parties));
    match &spec.network {
        Some(network) => list.extend(network::disclosures(spec, network, &helper)),
        None => list.extend(logistic::disclosures(spec, &parties, &helper)),
    }
    if !spec.outputs.metrics_to.is_empty() {
        list.push(opening(
            DisclosureId::ReleaseMetrics,
            "Summary numbers on the test rows, of the joint model and of the label party's own \
                model: counts of good and bad, AUC, KS, Gini, log loss, capture of bads, the \
                uplift with its interval.",
            Shape::Summary,
            spec.outputs
                .metrics_to
                .iter()
                .cloned()
                .map(Audience::Party)
                .collect(),
            1,
        ));
    }
    list
}
