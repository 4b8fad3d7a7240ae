//! `[overlap]`: matching alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    AlignMethod, Columns, Design, Model, Outputs, PartyRole, Security, Solver, Spec, Split,
    error::Problem, locate::KeyPath,
};
use crate::constants;

/// `[overlap]`: its presence makes the job end once customers are matched: each of two to five parties keeps
/// the list of its own customers that are common. No column but the id is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overlap {
    /// `all` (default): customers that every party has. `any`: those of the first party that at least one other
    /// has; with each of the others it is matched by itself.
    pub of: OverlapOf,
}

impl Default for Overlap {
    fn default() -> Self {
        Self { of: OverlapOf::All }
    }
}

/// Whose customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverlapOf {
    /// Every party has them.
    All,
    /// The first party has them, and any other.
    Any,
}

impl fmt::Display for OverlapOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::All => "all",
            Self::Any => "any",
        })
    }
}

/// Why more than two parties need the other method.
pub(super) const PAIRWISE: &str = "by `curve`, every party would see which of its customers each single other \
    one has: three parties or more are matched by method = \"vole\"";

/// Whether the customers of several parties would be matched pair by pair.
pub(super) fn pairwise(spec: &Spec) -> bool {
    spec.party.len() > 2 && spec.align.method == AlignMethod::Curve
}

/// What must hold in a job of matching alone.
pub(super) fn check(spec: &Spec, overlap: &Overlap) -> Vec<(KeyPath, Problem)> {
    let mut found = Vec::new();
    let mut unfit = |path: KeyPath, why| found.push((path, Problem::Overlap { why }));
    let parties = spec.party.len();
    if !(2..=constants::MAX_MATCHED_PARTIES).contains(&parties) {
        unfit(
            KeyPath::of("party"),
            "a job with an [overlap] section has two to five parties",
        );
    }
    if overlap.of == OverlapOf::All && pairwise(spec) {
        unfit(KeyPath::of("align.method"), PAIRWISE);
    }
    if spec.sizes_only() {
        if parties != 2 || overlap.of == OverlapOf::Any {
            unfit(
                KeyPath::of("align.reveal"),
                "how many customers are common is counted for two parties, of = \"all\": of more, whoever counts would \
                 learn how many each two have in common",
            );
        }
        if spec.align.method != AlignMethod::Curve {
            let why = "only method = \"curve\" can count common customers without showing who they are: by vole a party \
                       knows the values of its own, so that with the helper it could tell";
            unfit(KeyPath::of("align.method"), why);
        }
        if spec.align.resume.is_some() {
            let why =
                "nothing is kept of a match that shows nobody who is common: leave resume out";
            unfit(KeyPath::of("align.resume"), why);
        }
    }
    if overlap.of == OverlapOf::Any && spec.align.resume.is_some() {
        let why =
            "of a match with each of several parties by itself nothing is kept: leave resume out";
        unfit(KeyPath::of("align.resume"), why);
    }
    for (position, party) in spec.party.iter().enumerate() {
        let path = KeyPath::of("party").element(position);
        if party.role != PartyRole::Member {
            let why = "in a job with an [overlap] section every party has role = \"member\"";
            unfit(path.key("role"), why);
        }
        if party.columns != Columns::none() {
            let why = "no column but the id is read in a job with an [overlap] section: leave columns out";
            unfit(path.key("columns"), why);
        }
    }
    let nothing = "nothing is trained in a job with an [overlap] section: leave this out";
    for (set, key) in [
        (spec.horizontal.is_some(), "horizontal"),
        (spec.split != Split::default(), "split"),
        (spec.design != Design::default(), "design"),
        (spec.binning.is_some(), "binning"),
        (spec.model != Model::default(), "model"),
        (spec.solver != Solver::default(), "solver"),
        (spec.outputs != Outputs::default(), "outputs"),
        (spec.security != Security::default(), "security"),
    ] {
        if set {
            unfit(KeyPath::of(key), nothing);
        }
    }
    found
}
