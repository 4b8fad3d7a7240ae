//! What of a data set's quality a modeler at another institution is told: columns that the party's policy lists
//! for the purpose, in coarse classes, and no value.

use paripassu_party::{
    config::PartyConfig,
    policy::{file::PolicyFile, in_force},
};
use paripassu_service::{clock::Clock, identity::Identity};
use serde::Serialize;

use super::{ColumnFacts, Kind, quality::Quality};
use crate::{command::policy::read_policy, failure::Failure};

/// A summary that may be sent.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shared {
    pub(crate) format: &'static str,
    pub(crate) dataset: String,
    pub(crate) purpose: String,
    pub(crate) rows: &'static str,
    pub(crate) columns: Vec<SharedColumn>,
}

/// A column in it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SharedColumn {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) missing: &'static str,
    pub(crate) distinct: &'static str,
    pub(crate) far_out: bool,
}

fn class<T: PartialOrd>(value: T, ends: &[(T, &'static str)], above: &'static str) -> &'static str {
    let mut fits = ends.iter().filter(|(end, _)| value < *end);
    fits.next().map_or(above, |(_, name)| name)
}

/// The party's policy, as its node would take it: signed by as many people as it and the one in force ask for, and not
/// over.
///
/// # Errors
/// Where there is none, or where it is not signed as it must be: then nothing may be told.
pub(crate) fn signed_policy(config: &PartyConfig) -> Result<PolicyFile, Failure> {
    let path = config.policy.as_deref().ok_or_else(|| {
        Failure::user("the configuration names no policy: what may be sent is nobody's decision")
            .hint("`paripassu policy new` makes one; people sign it")
    })?;
    // whoever prepares data need not have the node's key beside them
    let party = match Identity::load(&config.identity) {
        Ok(me) => me.peer().id.to_string(),
        Err(_) => read_policy(path)?.policy.owner,
    };
    let now = Clock::system().now();
    let file = in_force(config, &party, now).map_err(|error| {
        Failure::user(format!("{}: {error}", path.display()))
            .hint("nothing is told before the data owner and compliance have signed the policy: `paripassu policy sign`")
    })?;
    let file = file.ok_or_else(|| Failure::user("the configuration names no policy"))?;
    if file.is_over(now) {
        return Err(Failure::user(format!(
            "policy of `{party}`, rule `policy_expires`: it is over"
        ))
        .hint("the institution has to sign a new version of its policy"));
    }
    Ok(file)
}

/// The summary of a data set for a purpose, by the party's policy.
///
/// # Errors
/// When the policy allows the purpose nothing of the data set.
pub(crate) fn shared(
    config: &PartyConfig,
    policy: &PolicyFile,
    (dataset, purpose): (&str, &str),
    facts: &[ColumnFacts],
    quality: &Quality,
    rows: u64,
) -> Result<Shared, Failure> {
    let offered = config
        .dataset(dataset)
        .ok_or_else(|| Failure::user(format!("the configuration has no data set `{dataset}`")))?;
    let owner = &policy.policy.owner;
    let allowed = policy.purposes.get(purpose).ok_or_else(|| {
        Failure::user(format!(
            "policy of `{owner}`, rule `purpose`: `{purpose}` is not named"
        ))
        .hint("ask the data owner to allow it")
    })?;
    let columns = allowed.columns.get(dataset).ok_or_else(|| {
        Failure::user(format!(
            "policy of `{owner}`, rule `columns`: nothing of `{dataset}` is listed for `{purpose}`"
        ))
        .hint("ask the data owner to allow it")
    })?;
    let grades = policy.datasets.get(dataset).map(|grades| &grades.grades);
    let listed = |name: &String| {
        let grade = grades.and_then(|grades| grades.get(name));
        let graded = allowed
            .max_grade
            .is_none_or(|most| grade.is_some_and(|grade| *grade <= most));
        let has =
            offered.columns.numeric.contains(name) || offered.columns.categorical.contains(name);
        columns.contains(name) && has && graded
    };
    let both = facts.iter().zip(&quality.columns);
    let columns = both
        .filter(|(facts, _)| listed(&facts.name))
        .map(|(facts, quality)| SharedColumn {
            name: facts.name.clone(),
            kind: match facts.kind {
                Kind::Numeric => "number",
                _ if quality.days.is_some() => "day",
                _ => "category",
            },
            missing: class(
                quality.missing_share,
                &[
                    (0.01, "below 1%"),
                    (0.05, "1% to 5%"),
                    (0.2, "5% to 20%"),
                    (0.5, "20% to 50%"),
                ],
                "50% and more",
            ),
            distinct: class(
                facts.distinct,
                &[(2, "one"), (11, "2 to 10"), (51, "11 to 50")],
                "more than 50",
            ),
            // a few rows are nobody else's business
            far_out: quality.outliers >= 50,
        });
    Ok(Shared {
        format: "paripassu.quality.v1",
        dataset: dataset.to_owned(),
        purpose: purpose.to_owned(),
        rows: class(
            rows,
            &[
                (1_000, "below 1,000"),
                (10_000, "1,000 to 10,000"),
                (100_000, "10,000 to 100,000"),
                (1_000_000, "100,000 to 1,000,000"),
            ],
            "1,000,000 and more",
        ),
        columns: columns.collect(),
    })
}
