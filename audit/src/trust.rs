//! `trust.toml`: what the reader of a bundle trusts, decided before reading it.
//!
//! Every key may be left out but one of `authority` and `pins`; see [`SAMPLE`] for all of them with
//! their meaning. A key that does not exist is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::event::{parse_time, unhex, valid_origin};

/// A documented sample with every key.
pub const SAMPLE: &str = include_str!("trust/sample.toml");

/// How far two clocks may differ unless said otherwise, in seconds.
pub const DEFAULT_SKEW_S: u64 = 300;

/// Why a trust file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Not TOML of the right keys; the text names line and column.
    #[error("{name} is not a trust file: {reason}{hint}")]
    Toml {
        /// The file.
        name: String,
        /// What is wrong, with its line.
        reason: String,
        /// What may have been meant.
        hint: String,
    },
    /// A key has a value that it cannot have.
    #[error("{name}, line {line}: `{key}` is `{got}`, expected {want}")]
    Value {
        /// The file.
        name: String,
        /// The line; 1 where it could not be found.
        line: usize,
        /// The key.
        key: &'static str,
        /// Its value.
        got: String,
        /// What it may be.
        want: &'static str,
    },
    /// Nobody is left to be a witness.
    #[error(
        "{name}, line {line}: with `members = false` nobody counts as a witness unless `quorum` says how many of \
         `keys` must have cosigned: set `quorum` in [witnesses], or leave `members` out"
    )]
    NoQuorum {
        /// The file.
        name: String,
        /// The line.
        line: usize,
    },
    /// Neither an authority nor pins.
    #[error(
        "{name} names neither `authority` nor `[pins]`: say whose certificates or which keys are trusted"
    )]
    Nothing {
        /// The file.
        name: String,
    },
}

/// A key that counts no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: [u8; 32],
    /// From when, in seconds since 1970.
    pub from: i64,
    /// Why.
    pub reason: String,
}

/// What the reader trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The consortium's certificate authority in PEM.
    pub authority: Option<String>,
    /// Keys that a log may be signed with, by origin.
    pub pins: BTreeMap<String, BTreeSet<[u8; 32]>>,
    /// How many cosignatures a last checkpoint needs; all other members where it is not said.
    pub quorum: Option<usize>,
    /// Whether members of the job count as witnesses.
    pub members: bool,
    /// Verifier keys of outside witnesses.
    pub witnesses: Vec<String>,
    /// Programs that may take part; any where empty.
    pub binaries: BTreeSet<[u8; 32]>,
    /// Whether builds for development may take part.
    pub allow_debug_builds: bool,
    /// Whether an approval needs two people.
    pub four_eyes: bool,
    /// Whether bodies may have been pruned.
    pub allow_pruned: bool,
    /// How far clocks may differ, in seconds.
    pub clock_skew_s: u64,
    /// Keys that count no longer.
    pub revoked: Vec<Revoked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    authority: Option<String>,
    four_eyes: Option<bool>,
    clock_skew_s: Option<u64>,
    binaries: Option<Vec<String>>,
    allow_debug_builds: Option<bool>,
    allow_pruned: Option<bool>,
    witnesses: Option<Witnesses>,
    pins: Option<BTreeMap<String, Vec<String>>>,
    revoked: Option<Vec<RevokedEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Witnesses {
    quorum: Option<u64>,
    members: Option<bool>,
    keys: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokedEntry {
    key: String,
    from: String,
    reason: String,
}

impl Trust {
    /// Trust in an authority (PEM) and nothing else: everything as where a trust file says no more.
    pub fn of_authority(pem: String) -> Self {
        Self {
            authority: Some(pem),
            pins: BTreeMap::new(),
            quorum: None,
            members: true,
            witnesses: Vec::new(),
            binaries: BTreeSet::new(),
            allow_debug_builds: false,
            four_eyes: false,
            allow_pruned: false,
            clock_skew_s: DEFAULT_SKEW_S,
            revoked: Vec::new(),
        }
    }

    /// Reads a file; a path in it is relative to its folder.
    ///
    /// # Errors
    /// Names file, line and what to write instead.
    pub fn load(path: &Path) -> Result<Self, TrustError> {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|source| TrustError::Read {
                path: path.to_owned(),
                source,
            })
        };
        let text = read(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, &path.display().to_string(), |file| {
            read(&folder.join(file))
        })
    }

    /// Reads the text of the file called `name`; `read` gives the file that `authority` names.
    ///
    /// # Errors
    /// As [`Trust::load`].
    pub fn parse(
        text: &str,
        name: &str,
        read: impl Fn(&str) -> Result<String, TrustError>,
    ) -> Result<Self, TrustError> {
        let file: File = toml::from_str(text).map_err(|e| TrustError::Toml {
            name: name.to_owned(),
            hint: suggestion(e.message()).unwrap_or_default(),
            reason: e.to_string().trim_end().to_owned(),
        })?;
        let wrong = |key, got: &str, want| TrustError::Value {
            name: name.to_owned(),
            line: text
                .lines()
                .position(|line| !got.is_empty() && line.contains(got))
                .map_or(1, |line| line + 1),
            key,
            got: got.to_owned(),
            want,
        };
        const DIGEST: &str = "SHA-256 as 64 lower-case hexadecimal digits";
        let digests = |key, texts: &[String]| {
            let digest = |text: &String| unhex::<32>(text).ok_or_else(|| wrong(key, text, DIGEST));
            texts.iter().map(digest).collect::<Result<BTreeSet<_>, _>>()
        };
        let mut pins = BTreeMap::new();
        for (origin, keys) in file.pins.unwrap_or_default() {
            if !valid_origin(&origin) {
                return Err(wrong("pins", &origin, "paripassu/<kind>/<id>"));
            }
            let keys = digests("pins", &keys)?;
            pins.insert(origin, keys);
        }
        let authority = match file.authority {
            Some(inline) if inline.contains("-----BEGIN") => Some(inline),
            Some(path) => Some(read(&path)?),
            None if pins.is_empty() => {
                return Err(TrustError::Nothing {
                    name: name.to_owned(),
                });
            }
            None => None,
        };
        let witnesses = file.witnesses.unwrap_or(Witnesses {
            quorum: None,
            members: None,
            keys: None,
        });
        if witnesses.members == Some(false) && witnesses.quorum.is_none() {
            return Err(TrustError::NoQuorum {
                name: name.to_owned(),
                line: text
                    .lines()
                    .position(|line| line.trim_start().starts_with("members"))
                    .map_or(1, |line| line + 1),
            });
        }
        let quorum = witnesses.quorum.map(|quorum| {
            usize::try_from(quorum)
                .map_err(|_| wrong("witnesses.quorum", &quorum.to_string(), "a small number"))
        });
        let keys = witnesses.keys.unwrap_or_default();
        for key in &keys {
            if key.parse::<crate::note::VerifierKey>().map_or(true, |key| {
                key.kind() != crate::note::SignatureType::Cosignature
            }) {
                return Err(wrong(
                    "witnesses.keys",
                    key,
                    "a verifier key such as `name+1a2b3c4d+base64`",
                ));
            }
        }
        let revoked = file.revoked.unwrap_or_default().into_iter().map(|entry| {
            Ok(Revoked {
                key: unhex(&entry.key).ok_or_else(|| wrong("revoked.key", &entry.key, DIGEST))?,
                from: parse_time(&entry.from).ok_or_else(|| {
                    wrong(
                        "revoked.from",
                        &entry.from,
                        "a time such as 2026-11-22T01:02:03Z",
                    )
                })?,
                reason: entry.reason,
            })
        });
        Ok(Self {
            authority,
            pins,
            quorum: quorum.transpose()?,
            members: witnesses.members.unwrap_or(true),
            witnesses: keys,
            binaries: digests("binaries", &file.binaries.unwrap_or_default())?,
            allow_debug_builds: file.allow_debug_builds.unwrap_or(false),
            four_eyes: file.four_eyes.unwrap_or(false),
            allow_pruned: file.allow_pruned.unwrap_or(false),
            clock_skew_s: file.clock_skew_s.unwrap_or(DEFAULT_SKEW_S),
            revoked: revoked.collect::<Result<_, TrustError>>()?,
        })
    }
}

/// "did you mean" for an unknown key, from the parser's own list of keys.
fn suggestion(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown field") {
        return None;
    }
    let got = quoted.next()?;
    let nearest = quoted.min_by_key(|key| distance(got, key))?;
    (distance(got, nearest) <= 3).then(|| format!("\ndid you mean `{nearest}`?"))
}

fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.chars().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Trust, TrustError> {
        Trust::parse(text, "trust.toml", |path| {
            assert_eq!(path, "ca.crt");
            Ok("PEM".to_owned())
        })
    }

    #[test]
    fn the_sample_has_every_key() {
        // as it is, it asks for nothing that a consortium may not have
        let bare = parse(SAMPLE).unwrap();
        assert!(!bare.four_eyes && bare.binaries.is_empty() && bare.pins.is_empty());
        assert_eq!((bare.quorum, bare.revoked.len()), (None, 0));
        // a setting stands behind a #, prose behind a # and a space
        let full = SAMPLE.replace("\n#", "\n").replace("\n ", "\n# ");
        let trust = parse(&full).unwrap();
        assert_eq!(trust.authority.as_deref(), Some("PEM"));
        assert_eq!(trust.quorum, Some(2));
        assert!(trust.four_eyes);
        assert_eq!(trust.revoked.len(), 1);
        assert_eq!(trust.pins.len(), 1);
        let short = parse("authority = \"ca.crt\"").unwrap();
        assert_eq!(short.quorum, None);
        assert!(short.members);
        assert_eq!(short.clock_skew_s, DEFAULT_SKEW_S);
    }

    #[test]
    fn errors_name_the_line_and_what_was_meant() {
        for (text, line, hint) in [
            (
                "authority = \"ca.crt\"\nfour_eye = true",
                "line 2",
                "did you mean `four_eyes`?",
            ),
            (
                "authority = \"ca.crt\"\n[witnesses]\nquorom = 1",
                "line 3",
                "did you mean `quorum`?",
            ),
            (
                "authority = \"ca.crt\"\nbinaries = [\"abc\"]",
                "line 2",
                "64 lower-case",
            ),
            (
                "authority = \"ca.crt\"\nclock_skew_s = -1",
                "line 2",
                "expected u64",
            ),
            (
                "authority = \"ca.crt\"\n[pins]\nbank = []",
                "line 3",
                "paripassu/<kind>/<id>",
            ),
            (
                "authority = \"ca.crt\"\n[witnesses]\nkeys = [\"x+y\"]",
                "line 3",
                "verifier key",
            ),
            (
                "authority = \"ca.crt\"\n[witnesses]\nmembers = false",
                "line 3",
                "`quorum`",
            ),
            ("four_eyes = true", "authority", "pins"),
        ] {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.contains(line) && said.contains(hint), "{said}");
        }
    }
}
