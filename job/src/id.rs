//! Names of nodes and jobs.

use std::{fmt, str::FromStr};

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Not a node id.
    #[error(
        "`{got}` is no node id: expected 1 to 32 characters of a-z, 0-9 and `-`, not starting with `-`"
    )]
    Node {
        /// What was given, cut to a printable length.
        got: String,
    },
    /// Not a job id.
    #[error("`{got}` is no job id: expected 32 hexadecimal digits in lower case")]
    Job {
        /// What was given, cut to a printable length.
        got: String,
    },
}

/// At most 40 characters of a refused value, control characters escaped.
pub(crate) fn excerpt(text: &str) -> String {
    let mut out: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        out.push('…');
    }
    out
}

macro_rules! serde_as_text {
    ($ty:ty, $what:literal) => {
        impl serde::Serialize for $ty {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $ty {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $ty;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$ty, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                d.deserialize_str(Text)
            }
        }
    };
}
pub(crate) use serde_as_text;

/// The id of a node: `[a-z0-9][a-z0-9-]{0,31}`, as its certificate carries it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(String);

impl NodeId {
    /// Longest id, in characters.
    pub const MAX_LEN: usize = 32;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fits = (1..=Self::MAX_LEN).contains(&text.len())
            && !text.starts_with('-')
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Node { got: excerpt(text) })
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for NodeId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

serde_as_text!(NodeId, "a node id");

/// The id of a job: 16 random bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId([u8; 16]);

impl JobId {
    /// A fresh id. Give it the operating system's randomness.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The id of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl FromStr for JobId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        unhex(text)
            .map(Self)
            .ok_or_else(|| IdError::Job { got: excerpt(text) })
    }
}

serde_as_text!(JobId, "a job id of 32 hexadecimal digits");

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}

/// The bytes of exactly `2 * N` lower-case hexadecimal digits.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    fn digit(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }
    if text.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        if let [high, low] = *pair {
            *byte = digit(high)? << 4 | digit(low)?;
        }
    }
    Some(out)
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Registers parties, carries jobs and relays sealed frames.
    Coordinator,
    /// Holds data.
    Party,
    /// Deals correlated randomness and holds no data.
    Helper,
    /// A person at the command line.
    User,
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Coordinator => "coordinator",
            Self::Party => "party",
            Self::Helper => "helper",
            Self::User => "user",
        })
    }
}

/// Who submitted a job, as the certificate of the submitting connection says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submitter {
    /// Kind of certificate: a `user` or a `party`.
    pub kind: NodeKind,
    /// Its id.
    pub id: NodeId,
}

impl Submitter {
    /// A person at the command line.
    pub fn user(id: NodeId) -> Self {
        Self {
            kind: NodeKind::User,
            id,
        }
    }

    /// A party node.
    pub fn party(id: NodeId) -> Self {
        Self {
            kind: NodeKind::Party,
            id,
        }
    }
}

impl fmt::Display for Submitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids() {
        for good in ["bank", "a", "0", "bank-a", "b-", &"x".repeat(32)] {
            assert_eq!(good.parse::<NodeId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "Bank",
            "bank_a",
            "bänk",
            "a b",
            &"x".repeat(33),
            "a\n",
        ] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn job_ids_round_trip_and_are_strict() {
        let id = JobId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xab, 0xcd, 0xef, 14, 255]);
        assert_eq!(id.to_string(), "000102030405060708090aabcdef0eff");
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        for bad in [
            "",
            "00",
            "000102030405060708090AABCDEF0EFF",
            "0001020304050607 8090aabcdef0eff",
        ] {
            assert!(bad.parse::<JobId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn refused_names_are_cut_and_escaped() {
        let error = format!("{}\u{7}", "A".repeat(100))
            .parse::<NodeId>()
            .unwrap_err();
        assert!(error.to_string().len() < 200);
        assert!(
            "\u{1b}[31m"
                .parse::<NodeId>()
                .unwrap_err()
                .to_string()
                .contains("\\u{1b}")
        );
    }
}
