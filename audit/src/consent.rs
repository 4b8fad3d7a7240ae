//! What an approval or rejection says of itself beside yes and no: who gave it, who saw it too, under which
//! reference, and until when it holds.
//!
//! The party's node signs these words with the decision. They are the party's own account of its people:
//! nobody else can tell whether two names are two persons.

use crate::event::parse_time;

/// Longest name or reference, in bytes.
pub const MAX_WORD: usize = 128;

/// Why these words are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsentError {
    /// No text that may stand in a statement.
    #[error(
        "`{member}` is longer than {MAX_WORD} bytes, begins or ends with a space, or is no plain text"
    )]
    Word {
        /// Which.
        member: &'static str,
    },
    /// A second person without a first.
    #[error("a second person is named, but not the first")]
    Alone,
    /// One person twice.
    #[error("the second person is the first: two are needed for four eyes")]
    Twice,
    /// No time.
    #[error("`expires` is `{got}`, expected a time such as 2026-11-22T01:02:03Z")]
    Expires {
        /// The text.
        got: String,
    },
}

/// Names, reference and end of a decision. Empty where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// Who decided: a name, role or code of the party's own.
    pub approver: String,
    /// Who else saw and agreed.
    pub second: String,
    /// The party's reference.
    pub ticket: String,
    /// Until when it holds, as `YYYY-MM-DDThh:mm:ssZ`.
    pub expires: String,
}

impl Consent {
    /// How many fields of a statement it takes.
    pub const FIELDS: usize = 4;

    /// The fields of a statement.
    pub fn fields(&self) -> [&[u8]; Self::FIELDS] {
        [&self.approver, &self.second, &self.ticket, &self.expires].map(|text| text.as_bytes())
    }

    /// Reads the fields of a statement.
    ///
    /// # Errors
    /// Says which is wrong.
    pub fn of_fields(fields: [&[u8]; Self::FIELDS]) -> Result<Self, ConsentError> {
        let names = ["approver", "second", "ticket", "expires"];
        let mut texts = names.iter().zip(fields).map(|(member, field)| {
            let text = std::str::from_utf8(field).map_err(|_| ConsentError::Word { member });
            text.map(str::to_owned)
        });
        let mut next = || texts.next().unwrap_or(Ok(String::new()));
        let read = Self {
            approver: next()?,
            second: next()?,
            ticket: next()?,
            expires: next()?,
        };
        read.check()?;
        Ok(read)
    }

    /// Whether these words may stand in a statement.
    ///
    /// # Errors
    /// Says which may not.
    pub fn check(&self) -> Result<(), ConsentError> {
        for (member, word) in [
            ("approver", &self.approver),
            ("second", &self.second),
            ("ticket", &self.ticket),
        ] {
            let plain = !word.chars().any(char::is_control)
                && !word.starts_with(' ')
                && !word.ends_with(' ');
            if word.len() > MAX_WORD || !plain {
                return Err(ConsentError::Word { member });
            }
        }
        if !self.second.is_empty() {
            if self.approver.is_empty() {
                return Err(ConsentError::Alone);
            }
            if self.second.eq_ignore_ascii_case(&self.approver) {
                return Err(ConsentError::Twice);
            }
        }
        if !self.expires.is_empty() && parse_time(&self.expires).is_none() {
            let got = self.expires.chars().take(40).collect();
            return Err(ConsentError::Expires { got });
        }
        Ok(())
    }

    /// The end in seconds since 1970, if it has one.
    pub fn ends(&self) -> Option<i64> {
        parse_time(&self.expires)
    }
}

/// A word as it stands in an event: null where nothing is said.
pub fn said(word: &str) -> Option<String> {
    (!word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent(approver: &str, second: &str, expires: &str) -> Consent {
        Consent {
            approver: approver.into(),
            second: second.into(),
            ticket: "CHG-1".into(),
            expires: expires.into(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let full = consent("data-owner", "compliance", "2026-03-01T00:00:00Z");
        assert_eq!(Consent::of_fields(full.fields()).unwrap(), full);
        assert_eq!(full.ends(), Some(1_772_323_200));
        let nothing = Consent::default();
        assert_eq!(Consent::of_fields(nothing.fields()).unwrap(), nothing);
        assert_eq!((nothing.ends(), said("")), (None, None));
        for (bad, why) in [
            (consent("", "compliance", ""), ConsentError::Alone),
            (consent("Owner", "owner", ""), ConsentError::Twice),
            (
                consent("a\nb", "", ""),
                ConsentError::Word { member: "approver" },
            ),
            (
                consent("a", "a ", ""),
                ConsentError::Word { member: "second" },
            ),
            (
                consent(&"a".repeat(129), "", ""),
                ConsentError::Word { member: "approver" },
            ),
            (
                consent("a", "b", "2026-03-01"),
                ConsentError::Expires {
                    got: "2026-03-01".into(),
                },
            ),
        ] {
            assert_eq!(Consent::of_fields(bad.fields()), Err(why));
        }
        assert!(Consent::of_fields([b"\xff", b"", b"", b""]).is_err());
    }
}
