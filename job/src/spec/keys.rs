//! Keys by which customers are matched: the id, and further ones.

use std::collections::BTreeSet;

use paripassu_model::schema::IdRule;

use super::{
    Spec,
    error::Problem,
    locate::KeyPath,
    validate::{Found, is_name, name_problem},
};
use crate::constants;

impl Spec {
    /// The keys by which customers are matched, the id first, and the rules of each one's columns.
    pub fn keys(&self) -> Vec<(&str, Vec<&[IdRule]>)> {
        let align = &self.align;
        let more = align.id_more_rules.iter().map(Vec::as_slice);
        let first = std::iter::once(align.id_rules.as_slice()).chain(more);
        let mut keys = vec![("id", first.collect())];
        let further = align.fallback.iter().zip(&align.fallback_rules);
        keys.extend(further.map(|(name, rules)| {
            let rules = rules.iter().map(Vec::as_slice).collect();
            (name.as_str(), rules)
        }));
        keys
    }
}

/// What must hold of further keys.
pub(super) fn check(spec: &Spec, found: &mut Found) {
    let align = &spec.align;
    let mut unfit = |key: &str, why| found.push((KeyPath::of(key), Problem::Overlap { why }));
    if align.fallback.is_empty() && align.fallback_rules.is_empty() {
        return;
    }
    if align.fallback.len() != align.fallback_rules.len() {
        unfit(
            "align.fallback_rules",
            "align.fallback_rules has one entry for each key of align.fallback: a list of rules for each column of the key, \
             such as [[[\"phone:49\"]], [[\"trim\"], [\"digits_only\"]]]",
        );
    }
    if align.fallback.len() > constants::MAX_FALLBACK_KEYS {
        unfit("align.fallback", "at most 4 further keys can be matched by");
    }
    if align.fallback_rules.iter().any(Vec::is_empty) {
        unfit(
            "align.fallback_rules",
            "a key has at least one column: give its rules, [[]] for one column as it is",
        );
    }
    if spec.horizontal.is_some() {
        unfit(
            "align.fallback",
            "banks of a horizontal job match nobody: leave fallback out",
        );
    }
    if spec.sizes_only() {
        unfit(
            "align.fallback",
            "how many customers are common is counted by one key: of several the helper would learn which agree in one \
             person; leave fallback out, or reveal = \"members\"",
        );
    }
    let mut seen = BTreeSet::new();
    for (position, key) in align.fallback.iter().enumerate() {
        let path = KeyPath::of("align.fallback").element(position);
        if !is_name(key) || key == "id" {
            let want = "1 to 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`, starting with a letter or digit, and \
                not `id`";
            found.push((path.clone(), name_problem("key", key, want)));
        }
        if !seen.insert(key) {
            let why = "each further key is named once";
            found.push((path, Problem::Overlap { why }));
        }
    }
}
