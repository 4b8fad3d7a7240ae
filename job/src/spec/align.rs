//! `[align]`: how customers are matched, and what the match tells.

use std::fmt;

use paripassu_model::schema::IdRule;
use serde::{Deserialize, Serialize};

use crate::{constants, id::JobId};

/// `[align]`: how customers are matched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Align {
    /// Protocol. `curve` (default): commuting masks on Curve25519 (Diffie-Hellman private set
    /// intersection), without a helper, two parties, passively secure. `vole`: an oblivious pseudo-random
    /// function from vector-OLE, without a helper, two parties (three to five: passively secure), designed to withstand a party
    /// that does not follow it (without outside review; the training stays passively secure), several times
    /// as fast, with more messages and a younger assumption (dual LPN).
    pub method: AlignMethod,
    /// Rules applied to each id in this order, by all parties: `trim`, `lower_case`, `digits_only`,
    /// `strip_leading_zeros`, `email`, `national_id`, `company_number`, `phone:49` (any country code, for
    /// numbers without one). They replace the rules of the party's own data set.
    /// Default `["trim"]`.
    pub id_rules: Vec<IdRule>,
    /// Where an id is made of several columns, such as surname, birth date and postcode: the rules of its second column, its
    /// third, and so on, in this order at all parties (`id_more` of their data sets). A row is common where all of
    /// them agree. Default: none, an id is one column.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub id_more_rules: Vec<Vec<IdRule>>,
    /// Further keys, by their names in each party's data set (`fallback`), such as `["phone", "person"]`: customers who do
    /// not match by the id are matched by the first of them, the rest by the next. A row without a key, or with one that
    /// another row of the table has, too, does not match by it. With several parties a customer is common where
    /// all have the same key at the same step. At most 4. Default: none, the id alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// For each key of `fallback`, the rules of each of its columns, in order: `[[["phone:49"]], [["trim", "lower_case"],
    /// ["digits_only"]]]` for one column and two.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback_rules: Vec<Vec<Vec<IdRule>>>,
    /// The job ends, with nothing trained, below this many common customers. Default 100.
    pub min_matched: u64,
    /// Sizes of sets are told in steps of so many customers: a power of two from 256 to 16,384. Default 16,384; a smaller
    /// step tells more, and lets small sets keep to a party's limit (`max_rows`, which counts whole steps).
    #[serde(skip_serializing_if = "is_usual_step")]
    pub size_step: u64,
    /// What the parties learn. `members` (default): each learns which of its customers are common. `size`, in jobs that only
    /// match two parties by `curve`: within which bucket their number is (below `min_matched`, or between two steps of
    /// 1, 2, 5, 10, 20 ...), and nobody who they are; the helper counts them.
    pub reveal: AlignReveal,
    /// An aborted job of the same parties, columns and model whose match this one goes on with, from the last part that
    /// all parties still hold, and whose training from the last epoch of a network or pass of a logistic regression, where such are kept. Default: none. `paripassu job resume` fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<JobId>,
}

impl Default for Align {
    fn default() -> Self {
        Self {
            method: AlignMethod::Curve,
            id_rules: vec![IdRule::Trim],
            id_more_rules: Vec::new(),
            fallback: Vec::new(),
            fallback_rules: Vec::new(),
            min_matched: constants::DEFAULT_MIN_MATCHED,
            size_step: constants::ALIGN_FRAME_ITEMS,
            reveal: AlignReveal::Members,
            resume: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_usual_step(step: &u64) -> bool {
    *step == constants::ALIGN_FRAME_ITEMS
}

/// A method of matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlignMethod {
    /// Diffie-Hellman private set intersection on Curve25519.
    Curve,
    /// Private set intersection from vector-OLE.
    Vole,
}

impl fmt::Display for AlignMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Curve => "curve",
            Self::Vole => "vole",
        })
    }
}

/// What alignment opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlignReveal {
    /// Which of its own customers are common, to each party.
    Members,
    /// A bucket of how many they are.
    Size,
}
