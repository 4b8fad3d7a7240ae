//! What a data file holds: which column is the id, which the label, which are numbers and which
//! categories, and how ids are brought to a common form.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashSet;

/// The columns of a data file, as its owner declares them. Columns of the file that are not named
/// here are not read.
///
/// ```
/// use paripassu_model::schema::DatasetSpec;
///
/// let spec: DatasetSpec = serde_json::from_str(
///     r#"{"id": "id", "label": "y", "numeric": ["age"], "id_rules": ["trim", "digits_only"]}"#,
/// )?;
/// assert!(spec.check().is_ok());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// Column with the unique customer id.
    pub id: String,
    /// Column with the label (1 = bad), at the party that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Columns read as numbers.
    #[serde(default)]
    pub numeric: Vec<String>,
    /// Columns read as unordered categories.
    #[serde(default)]
    pub categorical: Vec<String>,
    /// Cell texts that mean "missing", besides the empty cell (which always does).
    #[serde(default)]
    pub missing: Vec<String>,
    /// Rules applied to each id, in this order; none by default.
    #[serde(default)]
    pub id_rules: Vec<IdRule>,
}

/// A way to bring ids of two parties to one form. A list of rules is applied in order; the empty
/// list leaves ids as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdRule {
    /// Remove white space at both ends.
    Trim,
    /// Unicode lower case.
    LowerCase,
    /// Keep the ASCII digits only.
    DigitsOnly,
    /// Remove leading zeros (an id of zeros only becomes `0`).
    StripLeadingZeros,
}

impl IdRule {
    /// The id under this rule.
    pub fn apply(self, id: &str) -> Cow<'_, str> {
        match self {
            IdRule::Trim => Cow::Borrowed(id.trim()),
            IdRule::LowerCase => {
                if id.chars().all(|c| c.to_lowercase().eq([c])) {
                    Cow::Borrowed(id)
                } else {
                    Cow::Owned(id.to_lowercase())
                }
            }
            IdRule::DigitsOnly => {
                if id.bytes().all(|b| b.is_ascii_digit()) {
                    Cow::Borrowed(id)
                } else {
                    Cow::Owned(id.chars().filter(char::is_ascii_digit).collect())
                }
            }
            IdRule::StripLeadingZeros => match id.trim_start_matches('0') {
                "" if !id.is_empty() => Cow::Borrowed("0"),
                rest => Cow::Borrowed(rest),
            },
        }
    }
}

/// How many ids a rule changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRuleCount {
    /// The rule.
    pub rule: IdRule,
    /// Ids that were different after it.
    pub changed: u64,
}

/// Applies `rules` in order to `id` and adds to `counts` (one per rule, same order).
pub fn normalise_id(id: &str, rules: &[IdRule], counts: &mut [IdRuleCount]) -> String {
    let mut current = Cow::Borrowed(id);
    for (k, rule) in rules.iter().enumerate() {
        let next = rule.apply(&current);
        if next != current {
            if let Some(count) = counts.get_mut(k) {
                count.changed += 1;
            }
            current = Cow::Owned(next.into_owned());
        }
    }
    current.into_owned()
}

/// Why a [`DatasetSpec`] contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A column has two roles, or is listed twice.
    #[error(
        "column `{column}` is named twice: a column is the id, the label, a number or a category, \
         and only one of them"
    )]
    NamedTwice {
        /// The column.
        column: String,
    },
    /// A column name is empty.
    #[error("a column name is empty: remove it or write the name that stands in the header")]
    EmptyName,
}

impl DatasetSpec {
    /// Checks that no column has two roles.
    ///
    /// # Errors
    /// [`SpecError::NamedTwice`], [`SpecError::EmptyName`].
    pub fn check(&self) -> Result<(), SpecError> {
        let mut seen = HashSet::new();
        for column in self.columns() {
            if column.is_empty() {
                return Err(SpecError::EmptyName);
            }
            if !seen.insert(column) {
                return Err(SpecError::NamedTwice {
                    column: column.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// All named columns: id, label, numbers, categories.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.id)
            .chain(&self.label)
            .chain(&self.numeric)
            .chain(&self.categorical)
            .map(String::as_str)
    }
}

/// The candidate most like `name`, if one is near enough to be a slip of the pen.
pub fn nearest_name<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.trim().to_lowercase();
    candidates
        .map(|c| (edit_distance(&wanted, &c.trim().to_lowercase()), c))
        .filter(|(d, _)| *d <= (wanted.chars().count() / 3).max(1))
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Damerau's distance, by characters: to insert, delete or replace one, or to swap two neighbours.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let replace = above[j] + usize::from(a[i] != b[j]);
            row[j + 1] = replace.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_do_what_they_say_and_are_counted() {
        use IdRule::*;
        let rules = [Trim, LowerCase, DigitsOnly, StripLeadingZeros];
        let mut counts = rules.map(|rule| IdRuleCount { rule, changed: 0 });
        assert_eq!(normalise_id(" AB-0012\t", &rules, &mut counts), "12");
        assert_eq!(normalise_id("7", &rules, &mut counts), "7");
        assert_eq!(normalise_id("000", &rules, &mut counts), "0");
        assert_eq!(counts.map(|c| c.changed), [1, 1, 1, 2]);
        assert_eq!(normalise_id("  x ", &[], &mut []), "  x ");
        assert_eq!(LowerCase.apply("ÀÉ"), "àé");
        assert_eq!(StripLeadingZeros.apply(""), "");
    }

    #[test]
    fn suggests_near_names_only() {
        let names = ["duration_in_month", "credit_amount", "Age"];
        assert_eq!(
            nearest_name("duraton_in_month", names.into_iter()),
            Some("duration_in_month")
        );
        assert_eq!(nearest_name("age", names.into_iter()), Some("Age"));
        assert_eq!(nearest_name("balance", names.into_iter()), None);
        // one slip: a swap of neighbours, and no more than that in a short name
        assert_eq!(nearest_name("aeg", names.into_iter()), Some("Age"));
        assert_eq!(nearest_name("ega", names.into_iter()), None);
    }

    #[test]
    fn counts_swaps_of_neighbours_as_one_edit() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("limit", "limti", 1),
            ("limit", "ilmti", 2),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("abc", "cab", 2),
            ("zähler", "zhäler", 1),
        ] {
            assert_eq!(edit_distance(a, b), edits, "{a} {b}");
            assert_eq!(edit_distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn a_column_has_one_role() {
        let spec = DatasetSpec {
            id: "id".into(),
            label: Some("y".into()),
            numeric: vec!["a".into(), "y".into()],
            categorical: vec![],
            missing: vec![],
            id_rules: vec![],
        };
        assert_eq!(
            spec.check(),
            Err(SpecError::NamedTwice { column: "y".into() })
        );
        let unknown = serde_json::from_str::<DatasetSpec>(r#"{"id": "id", "colour": 1}"#);
        assert!(unknown.is_err());
    }
}
