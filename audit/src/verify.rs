//! The fourteen checks of a bundle, each with its own exit code. Pure: bytes in, findings out.
//!
//! The checks are those of `docs/spec/transcript.md`, in its order and with its names. The exit code of
//! a [`Verdict`] is that of the first check that found something; all checks are always run. Every
//! finding names the event and says what is wrong and what that means.

mod absence;
mod announced;
mod beforehand;
mod budget;
pub(crate) mod certificate;
mod chain;
mod clock;
pub(crate) mod contract;
mod disclosures;
mod heads;
mod order;
mod outcome;
mod policy;
mod privacy;
mod signatures;
mod symmetry;
mod verdict;
pub(crate) mod view;

pub use verdict::{Check, CheckLine, Finding, LogLine, Outcome, Place, Verdict};

use crate::{
    bundle::Bundle,
    event::hex,
    trust::{DEFAULT_SKEW_S, Trust},
};
use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A result file that the reader holds, by digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFile {
    /// Its name, without folders.
    pub name: String,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its length.
    pub bytes: u64,
    /// Its main numbers by name, of a file with metrics: decimals with six places.
    pub figures: BTreeMap<String, String>,
}

impl HeldFile {
    /// A file of this name and content.
    pub fn new(name: &str, content: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            sha256: Sha256::digest(content).into(),
            bytes: content.len() as u64,
            figures: match name {
                METRICS => figures(content),
                _ => BTreeMap::new(),
            },
        }
    }
}

/// The file whose numbers `metrics.reported` repeats.
const METRICS: &str = "metrics.json";

/// Each number `a.b` of an object of objects `{"b": {"a": 0.5}}`, with six places, under the name that an event
/// gives it.
fn figures(content: &[u8]) -> BTreeMap<String, String> {
    let Ok(Value::Object(groups)) = serde_json::from_slice(content) else {
        return BTreeMap::new();
    };
    let mut found = BTreeMap::new();
    for (group, members) in groups {
        let Value::Object(members) = members else {
            continue;
        };
        for (name, number) in members {
            if let Some(number) = number.as_f64() {
                let group = group.replace('_', "-");
                found.insert(format!("{name}.{group}"), format!("{number:.6}"));
            }
        }
    }
    found
}

/// What a bundle is verified against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// What the reader trusts; without it, the authority in the bundle.
    pub trust: Option<&'a Trust>,
    /// The time, in seconds since 1970, if events of the future are to be refused.
    pub now: Option<i64>,
    /// Result files to be compared.
    pub files: &'a [HeldFile],
}

impl Options<'_> {
    fn skew(&self) -> i64 {
        let skew = self
            .trust
            .map_or(DEFAULT_SKEW_S, |trust| trust.clock_skew_s);
        i64::try_from(skew).unwrap_or(i64::MAX)
    }

    fn allow_pruned(&self) -> bool {
        self.trust.is_some_and(|trust| trust.allow_pruned)
    }
}

/// Runs all checks.
pub fn verify(bundle: &Bundle, options: &Options<'_>) -> Verdict {
    let mut report = verdict::Report::default();
    let case = view::Case::new(bundle, *options);
    signatures::check(&case, &mut report);
    chain::check(&case, &mut report);
    let logs = heads::check(&case, &mut report);
    symmetry::check(&case, &mut report);
    order::check(&case, &mut report);
    policy::check(&case, &mut report);
    disclosures::check(&case, &mut report);
    outcome::check(&case, &mut report);
    privacy::check(&case, &mut report);
    clock::check(&case, &mut report);
    limits_of(&case, &mut report);
    report.verdict(&bundle.job, &hex(&case.contract_digest), &bundle.node, logs)
}

/// Says plainly what the verdict does not prove.
fn limits_of(case: &view::Case<'_>, report: &mut verdict::Report) {
    if case.options.trust.is_none() {
        report.note(format!(
            "{}: certificates were checked against the authority found in the bundle itself, so this \
             shows that the bundle agrees with itself, not that these are the institutions they say \
             they are; revoked keys, allowed programs and outside witnesses were not checked",
            verdict::NO_TRUST
        ));
    }
    if !case.ran_to_the_end() {
        report.note("no log says that the job ran to its end");
    }
    report.note(
        "policies: verdicts were recomputed from what of each policy was written down; that a party's \
         policy says no more than this, nobody else can see. Privacy budgets: none was summed, for the \
         transcript of this version holds none",
    );
}
