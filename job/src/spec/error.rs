//! Errors in a job specification: where, what, and what to write instead.

use std::fmt;

use crate::id::NodeId;

/// Everything wrong with one specification.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecErrors {
    source_name: String,
    errors: Vec<SpecError>,
}

impl SpecErrors {
    pub(super) fn new(source_name: &str, errors: Vec<SpecError>) -> Self {
        Self {
            source_name: source_name.to_owned(),
            errors,
        }
    }

    /// The errors, in the order of the file.
    pub fn errors(&self) -> &[SpecError] {
        &self.errors
    }
}

impl std::error::Error for SpecErrors {}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.errors.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.source_name)?;
            if let Some(line) = error.line {
                write!(f, ":{line}")?;
            }
            write!(f, ": {error}")?;
        }
        Ok(())
    }
}

/// One thing wrong with a specification.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}{problem}", prefix(.key))]
pub struct SpecError {
    /// Line in the file, from 1, where the specification came from a file.
    pub line: Option<usize>,
    /// The key, such as `solver.range` or `party[2].role`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

fn prefix(key: &str) -> String {
    if key.is_empty() {
        String::new()
    } else {
        format!("`{key}`: ")
    }
}

/// What is wrong with one key of a specification.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Not TOML.
    #[error("not valid TOML: {detail}")]
    Syntax {
        /// What the TOML reader found.
        detail: String,
    },
    /// Too long.
    #[error("{bytes} bytes, more than the {limit} bytes a job may have")]
    TooLong {
        /// Length.
        bytes: usize,
        /// Longest allowed.
        limit: usize,
    },
    /// A key that does not exist.
    #[error("there is no such key{}; available here: {}", did_you_mean(.suggestion), list(.available))]
    UnknownKey {
        /// The nearest key, if one is near.
        suggestion: Option<String>,
        /// Every key of this table.
        available: Vec<String>,
    },
    /// A value that the engine does not carry out.
    #[error("`{got}` is not available{}; available: {}", did_you_mean(.suggestion), list(.available))]
    NotAvailable {
        /// What was asked for.
        got: String,
        /// The nearest available value, if one is near.
        suggestion: Option<String>,
        /// Every available value.
        available: Vec<String>,
    },
    /// A key that must be there.
    #[error("`{key}` is missing; see the template for its meaning")]
    Missing {
        /// The missing key.
        key: String,
    },
    /// A value of the wrong type or spelling.
    #[error("{detail}")]
    Type {
        /// What was expected and found.
        detail: String,
    },
    /// A number outside its range.
    #[error("{got} is outside {low} to {high}")]
    Range {
        /// What was given.
        got: String,
        /// Least allowed.
        low: String,
        /// Largest allowed.
        high: String,
    },
    /// A code or name with other characters than allowed.
    #[error("`{got}` is no {what}: expected {want}")]
    Name {
        /// What the text is for.
        what: &'static str,
        /// What was given.
        got: String,
        /// What is allowed.
        want: &'static str,
    },
    /// Not a power of two.
    #[error("{got} is no power of two; the nearest is {nearest}")]
    PowerOfTwo {
        /// What was given.
        got: String,
        /// The nearest power of two.
        nearest: String,
    },
    /// Too few or too many parties.
    #[error(
        "{got} parties; a job over different columns of the same customers takes 2 to {}",
        crate::constants::MAX_MATCHED_PARTIES
    )]
    PartyCount {
        /// How many there are.
        got: usize,
    },
    /// Weights or offsets of rows that do not fit.
    #[error("{why}")]
    Rows {
        /// Why not.
        why: String,
    },
    /// Bins that do not fit the job.
    #[error("{why}")]
    Binning {
        /// Why not.
        why: String,
    },
    /// A method of alignment that does not fit.
    #[error("{why}")]
    Method {
        /// Why it does not.
        why: &'static str,
    },
    /// Too few or too many banks.
    #[error(
        "{got} parties; a horizontal job takes {} to {} banks: with two, each would read the other's \
            part out of the sum",
        crate::constants::MIN_BANKS,
        crate::constants::MAX_BANKS
    )]
    Banks {
        /// How many there are.
        got: usize,
    },
    /// Something that does not fit a horizontal job, or one that is none.
    #[error("{why}")]
    Horizontal {
        /// What to write instead.
        why: &'static str,
    },
    /// Something that does not fit a job of matching alone, or one that is none.
    #[error("{why}")]
    Overlap {
        /// What to write instead.
        why: &'static str,
    },
    /// A network that does not fit.
    #[error("{why}")]
    Network {
        /// What to write instead.
        why: &'static str,
    },
    /// A category without a list of levels.
    #[error(
        "list 1 to {} different levels of `{column}`, each of 1 to 128 bytes: {column} = [\"..\", \"..\"]",
        crate::constants::MAX_LEVELS
    )]
    Levels {
        /// The column.
        column: String,
    },
    /// No label party, or several.
    #[error(
        "{got} parties have role = \"label\"; exactly one party holds the label, the other has \
            role = \"features\""
    )]
    LabelParties {
        /// How many there are.
        got: usize,
    },
    /// The same party twice.
    #[error(
        "party `{id}` is listed twice; parties are different institutions with different node ids"
    )]
    DuplicateParty {
        /// The id.
        id: NodeId,
    },
    /// A data party asked to be the helper.
    #[error(
        "`{id}` is a data party of this job; the helper knows the masks and must hold no data: \
            name the coordinator or a separate helper node"
    )]
    HelperIsParty {
        /// The id.
        id: NodeId,
    },
    /// Nothing listed.
    #[error("party `{party}` brings no column; list at least one, or write columns = \"all\"")]
    NoColumns {
        /// The party.
        party: NodeId,
    },
    /// More than a party may list.
    #[error("party `{party}` lists {got} columns, more than {limit}")]
    TooManyColumns {
        /// The party.
        party: NodeId,
        /// How many.
        got: usize,
        /// Most allowed.
        limit: usize,
    },
    /// A column twice.
    #[error(
        "party `{party}` lists column `{column}` twice; a column is either numeric or \
            categorical, once"
    )]
    DuplicateColumn {
        /// The party.
        party: NodeId,
        /// The column.
        column: String,
    },
    /// A receiver that is no party.
    #[error("`{id}` is no party of this job{}; parties: {}", did_you_mean(.suggestion), list(.parties))]
    NotAParty {
        /// The id.
        id: NodeId,
        /// The nearest party, if one is near.
        suggestion: Option<String>,
        /// The parties.
        parties: Vec<String>,
    },
    /// A receiver named twice.
    #[error("`{id}` is named twice")]
    DuplicateReceiver {
        /// The id.
        id: NodeId,
    },
    /// Scores to somebody else than the label party.
    #[error("scores go to the label party only, which is `{label}`, not `{to}`")]
    ScoresNotToLabel {
        /// Asked receiver.
        to: NodeId,
        /// The label party.
        label: NodeId,
    },
    /// Metrics without scores.
    #[error(
        "metrics are computed by the label party from the test scores: add `scores = {{ to = \
            \"{label}\" }}` or leave metrics_to empty"
    )]
    MetricsWithoutScores {
        /// The label party.
        label: NodeId,
    },
    /// Metrics for others, but not for the label party.
    #[error(
        "the label party `{label}` computes the metrics and so knows them: add it to the list, \
            or leave the list empty"
    )]
    MetricsWithoutLabelParty {
        /// The label party.
        label: NodeId,
    },
    /// Deadlines in the wrong order.
    #[error("{message} s for one message is longer than the {job} s for the whole job")]
    Deadlines {
        /// `message_deadline_s`.
        message: u64,
        /// `job_deadline_s`.
        job: u64,
    },
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion
        .as_ref()
        .map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}

fn list(items: &[String]) -> String {
    items
        .iter()
        .map(|item| format!("`{item}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The candidate nearest to `word`, if one is near enough to be meant.
pub(super) fn nearest(word: &str, candidates: &[String]) -> Option<String> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    let limit = 1 + word.chars().count() / 4;
    candidates
        .iter()
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(steps, _)| *steps <= limit)
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate.clone())
}

/// Edits (insert, delete, replace, swap neighbours) that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replace = last[j] + usize::from(x != y);
            let mut best = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, want) in [
            ("", "", 0),
            ("abc", "", 3),
            ("range", "rnage", 1),
            ("kitten", "sitting", 3),
            ("l2", "l1", 1),
        ] {
            assert_eq!(distance(a, b), want, "{a} {b}");
            assert_eq!(distance(b, a), want, "{b} {a}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        let words = ["max_passes", "range", "terms"].map(str::to_owned);
        assert_eq!(nearest("max-pases", &words).as_deref(), Some("max_passes"));
        assert_eq!(nearest("Rnage", &words).as_deref(), Some("range"));
        assert_eq!(nearest("learning_rate", &words), None);
    }
}
