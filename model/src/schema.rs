//! What a data file holds: which column is the id, which the label, which are numbers and which
//! categories, and how ids are brought to a common form.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

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
    /// Further columns of the id, where one alone does not tell customers apart, such as a birth date and a postcode
    /// beside a surname. An id is then all of them, each brought to its form, with `|` between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub id_more: Vec<IdPart>,
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

/// A further column of an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdPart {
    /// The column.
    pub column: String,
    /// Rules applied to its cells, in this order; none by default.
    #[serde(default)]
    pub rules: Vec<IdRule>,
}

/// Appends a further part to an id. Different parts never give the same id: what separates them is escaped in them.
pub fn join_id(id: &mut String, part: &str) {
    id.push('|');
    escape_id(id, part);
}

/// Appends the first part of an id of several.
pub fn escape_id(id: &mut String, part: &str) {
    for c in part.chars() {
        if matches!(c, '|' | '\\') {
            id.push('\\');
        }
        id.push(c);
    }
}

/// A way to bring ids of two parties to one form. A list of rules is applied in order; the empty
/// list leaves ids as they are. As text `trim`, `lower_case`, …, `phone:49`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdRule {
    /// Remove white space at both ends.
    Trim,
    /// Unicode lower case.
    LowerCase,
    /// Keep the ASCII digits only.
    DigitsOnly,
    /// Remove leading zeros (an id of zeros only becomes `0`).
    StripLeadingZeros,
    /// An e-mail address: trimmed and in lower case. Without one `@` between two texts it is empty,
    /// which is refused.
    Email,
    /// A national id: letters and digits only, in upper case.
    NationalId,
    /// A company's registration number: letters and digits only, in upper case, without leading
    /// zeros.
    CompanyNumber,
    /// A phone number as country code and digits. What begins with `+` or `00` has its country code;
    /// else a leading 0 is dropped and this code is put before it. Fewer than 7 digits or more than
    /// 15 become empty, which is refused.
    Phone {
        /// The country code of numbers that have none, 1 to 999.
        country: u16,
    },
}

impl fmt::Display for IdRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Trim => "trim",
            Self::LowerCase => "lower_case",
            Self::DigitsOnly => "digits_only",
            Self::StripLeadingZeros => "strip_leading_zeros",
            Self::Email => "email",
            Self::NationalId => "national_id",
            Self::CompanyNumber => "company_number",
            Self::Phone { country } => return f.pad(&format!("phone:{country}")),
        })
    }
}

/// What a rule may be called.
const RULES: &[&str] = &[
    "trim",
    "lower_case",
    "digits_only",
    "strip_leading_zeros",
    "email",
    "national_id",
    "company_number",
    "phone:1",
    "phone:999",
];

impl Serialize for IdRule {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IdRule {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Rule;
        impl de::Visitor<'_> for Rule {
            type Value = IdRule;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rule for ids, such as \"trim\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<IdRule, E> {
                let known = [
                    IdRule::Trim,
                    IdRule::LowerCase,
                    IdRule::DigitsOnly,
                    IdRule::StripLeadingZeros,
                    IdRule::Email,
                    IdRule::NationalId,
                    IdRule::CompanyNumber,
                ];
                if let Some(rule) = known.into_iter().find(|rule| rule.to_string() == text) {
                    return Ok(rule);
                }
                let code = text.strip_prefix("phone:").filter(|c| !c.starts_with('0'));
                let country = code.and_then(|c| c.parse().ok());
                match country.filter(|c| (1..=999).contains(c)) {
                    Some(country) => Ok(IdRule::Phone { country }),
                    None => Err(E::unknown_variant(text, RULES)),
                }
            }
        }
        d.deserialize_str(Rule)
    }
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
            IdRule::Email => {
                let address = id.trim().to_lowercase();
                let parts: Vec<&str> = address.split('@').collect();
                match parts[..] {
                    [name, host] if !name.is_empty() && !host.is_empty() => Cow::Owned(address),
                    _ => Cow::Borrowed(""),
                }
            }
            IdRule::NationalId => Cow::Owned(letters_and_digits(id)),
            IdRule::CompanyNumber => {
                let number = letters_and_digits(id);
                let rest = IdRule::StripLeadingZeros.apply(&number);
                Cow::Owned(rest.into_owned())
            }
            IdRule::Phone { country } => Cow::Owned(phone(id, country)),
        }
    }
}

fn letters_and_digits(id: &str) -> String {
    let kept = id.chars().filter(|c| c.is_alphanumeric());
    kept.flat_map(char::to_uppercase).collect()
}

/// Country code and digits, or nothing where that cannot be.
fn phone(text: &str, country: u16) -> String {
    let text = text.trim();
    // "(0)" is the zero that one leaves out with a country code
    let plain = text.replace("(0)", "");
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    let number = match (plain.starts_with('+'), digits(&plain)) {
        (true, number) => number,
        (false, number) => match number.strip_prefix("00") {
            Some(rest) => rest.to_owned(),
            None => {
                let own = digits(text);
                format!("{country}{}", own.strip_prefix('0').unwrap_or(&own))
            }
        },
    };
    match (7..=15).contains(&number.len()) {
        true => number,
        false => String::new(),
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
            .chain(self.id_more.iter().map(|part| &part.column))
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
    fn kinds_of_ids_come_to_one_form() {
        let phone = IdRule::Phone { country: 49 };
        for (rule, from, to) in [
            (phone, "+49 (0)30 901820", "4930901820"),
            (phone, "030/90 18 20", "4930901820"),
            (phone, "0049-30-901820", "4930901820"),
            (phone, "+1 212 555 0100", "12125550100"),
            (phone, "(0)30 901820", "4930901820"),
            (phone, "110", ""),
            (phone, "n/a", ""),
            (IdRule::Email, " Ann.B@Example.ORG ", "ann.b@example.org"),
            (IdRule::Email, "ann", ""),
            (IdRule::Email, "a@b@c", ""),
            (IdRule::NationalId, "ab-12 34.x", "AB1234X"),
            (IdRule::CompanyNumber, "00 123-4", "1234"),
            (IdRule::CompanyNumber, "HRB 0012", "HRB0012"),
        ] {
            assert_eq!(rule.apply(from), to, "{rule}: {from}");
        }
    }

    #[test]
    fn rules_are_written_as_they_are_read() {
        let text = r#"["trim","email","national_id","company_number","phone:351"]"#;
        let rules: Vec<IdRule> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&rules).unwrap(), text);
        for bad in [
            "phone",
            "phone:0",
            "phone:01",
            "phone:1000",
            "phone:x",
            "Trim",
        ] {
            assert!(
                serde_json::from_str::<IdRule>(&format!("\"{bad}\"")).is_err(),
                "{bad}"
            );
        }
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
            id_more: Vec::new(),
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
