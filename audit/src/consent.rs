//! What an approval or rejection says of itself beside yes and no: who gave it, who saw it too, under which
//! reference, and until when it holds.
//!
//! The party's node signs these words with the decision. Where people sign it too, each with a key of their own,
//! their signatures are part of it: over the same contract, party, words and end, so that none of them can be moved to another
//! decision. Without, names are the party's own account of its people: nobody else can tell whether two names are
//! two persons.

use ed25519_dalek::{Signature as Ed25519, VerifyingKey};

use crate::event::parse_time;

/// What people sign.
const DST_PERSON: &[u8] = b"paripassu/v1/person";
/// Most people who sign one decision.
pub const MAX_PEOPLE: usize = 8;

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
    /// No signatures that can be read.
    #[error("the people's signatures cannot be read: {what}")]
    People {
        /// What is wrong.
        what: &'static str,
    },
    /// A person or key twice.
    #[error(
        "`{name}` signs with a name or key that has signed already: each person signs once, with a key of their own"
    )]
    SignsTwice {
        /// Who.
        name: String,
    },
    /// The names are not those of who signed.
    #[error("approver and second person are not the first two who signed")]
    Others,
    /// A signature that is not that key's over this decision.
    #[error(
        "the signature of `{name}` is not by their key over this contract, decision, ticket and end"
    )]
    Forged {
        /// Whose it should be.
        name: String,
    },
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
    /// Who signed it with keys of their own.
    pub people: Vec<Signature>,
}

/// A person's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// A code of the party's own.
    pub name: String,
    /// The role in which they signed.
    pub role: String,
    /// Their Ed25519 key.
    pub key: [u8; 32],
    /// Over [`person_statement`].
    pub signature: [u8; 64],
}

/// A decision, as people sign it.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// The job.
    pub job: &'a str,
    /// SHA-256 of the contract.
    pub digest: &'a [u8],
    /// Approval or rejection.
    pub approve: bool,
    /// The party for which it is decided.
    pub party: &'a str,
    /// Why, in the decider's words.
    pub reason: &'a str,
    /// The party's reference.
    pub ticket: &'a str,
    /// Until when it holds.
    pub expires: &'a str,
}

/// What a person signs: fields, each after its length, 8 bytes little-endian.
pub fn person_statement(decided: &Decided<'_>, name: &str, role: &str) -> Vec<u8> {
    encode(&[
        DST_PERSON,
        decided.job.as_bytes(),
        decided.digest,
        &[u8::from(decided.approve)],
        decided.party.as_bytes(),
        name.as_bytes(),
        role.as_bytes(),
        decided.reason.as_bytes(),
        decided.ticket.as_bytes(),
        decided.expires.as_bytes(),
    ])
}

fn encode(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(fields.iter().map(|f| f.len() + 8).sum());
    for field in fields {
        out.extend_from_slice(&(field.len() as u64).to_le_bytes());
        out.extend_from_slice(field);
    }
    out
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
            people: Vec::new(),
        };
        read.check()?;
        Ok(read)
    }

    /// The same with the field of people's signatures behind them.
    ///
    /// # Errors
    /// Says which is wrong.
    pub fn of_signed_fields(
        fields: [&[u8]; Self::FIELDS],
        people: &[u8],
    ) -> Result<Self, ConsentError> {
        let mut read = Self::of_fields(fields)?;
        read.people = read_people(people)?;
        if read.people.is_empty() {
            return Err(ConsentError::People {
                what: "there are none",
            });
        }
        read.check()?;
        Ok(read)
    }

    /// The field of people's signatures; empty where there are none.
    pub fn people_field(&self) -> Vec<u8> {
        let fields = self.people.iter().flat_map(|person| {
            [
                person.name.as_bytes(),
                person.role.as_bytes(),
                &person.key,
                &person.signature,
            ]
        });
        encode(&fields.collect::<Vec<_>>())
    }

    /// Whether each person's signature is by their key over this decision.
    ///
    /// # Errors
    /// Names the first whose is not.
    pub fn signed_by_its_people(&self, decided: &Decided<'_>) -> Result<(), ConsentError> {
        for person in &self.people {
            let statement = person_statement(decided, &person.name, &person.role);
            let signature = Ed25519::from_bytes(&person.signature);
            let holds = VerifyingKey::from_bytes(&person.key)
                .and_then(|key| key.verify_strict(&statement, &signature));
            holds.map_err(|_| ConsentError::Forged {
                name: person.name.clone(),
            })?;
        }
        Ok(())
    }

    /// Whether these words may stand in a statement.
    ///
    /// # Errors
    /// Says which may not.
    pub fn check(&self) -> Result<(), ConsentError> {
        let people = self.people.iter();
        let people = people.flat_map(|p| {
            [
                ("the name of who signs", &p.name),
                ("the role of who signs", &p.role),
            ]
        });
        let words = [
            ("approver", &self.approver),
            ("second", &self.second),
            ("ticket", &self.ticket),
        ];
        for (member, word) in words.into_iter().chain(people) {
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
        for (i, person) in self.people.iter().enumerate() {
            let mut before = self.people.iter().take(i);
            let again = before.any(|other| {
                other.key == person.key || other.name.eq_ignore_ascii_case(&person.name)
            });
            if again || person.name.is_empty() || person.role.is_empty() {
                let name = person.name.clone();
                return Err(ConsentError::SignsTwice { name });
            }
        }
        let mut names = self.people.iter().map(|person| person.name.as_str());
        let mut next = || names.next().unwrap_or_default();
        if !self.people.is_empty() && (next(), next()) != (&self.approver, &self.second) {
            return Err(ConsentError::Others);
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

/// Reads people's signatures: of each, name, role, key and signature, each after its length.
fn read_people(mut rest: &[u8]) -> Result<Vec<Signature>, ConsentError> {
    let wrong = |what| ConsentError::People { what };
    let mut people = Vec::new();
    while !rest.is_empty() {
        if people.len() == MAX_PEOPLE {
            return Err(wrong("there are too many"));
        }
        let mut fields = [&[][..]; 4];
        for field in &mut fields {
            let (length, tail) = rest
                .split_first_chunk::<8>()
                .ok_or(wrong("they end early"))?;
            let length = usize::try_from(u64::from_le_bytes(*length));
            let split = length.ok().and_then(|length| tail.split_at_checked(length));
            (*field, rest) = split.ok_or(wrong("they end early"))?;
        }
        let [name, role, key, signature] = fields;
        let text = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).map(str::to_owned);
            text.map_err(|_| wrong("a name is no text"))
        };
        people.push(Signature {
            name: text(name)?,
            role: text(role)?,
            key: key
                .try_into()
                .map_err(|_| wrong("a key has another length"))?,
            signature: signature
                .try_into()
                .map_err(|_| wrong("a signature has another length"))?,
        });
    }
    Ok(people)
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
            people: Vec::new(),
        }
    }

    #[test]
    fn people_sign_one_decision_of_one_party() {
        use ed25519_dalek::{Signer, SigningKey};
        let decided = Decided {
            job: "j",
            digest: &[7; 32],
            approve: true,
            party: "bank",
            reason: "",
            ticket: "CHG-1",
            expires: "",
        };
        let sign = |name: &str, role: &str, key: u8| {
            let secret = SigningKey::from_bytes(&[key; 32]);
            let statement = person_statement(&decided, name, role);
            Signature {
                name: name.into(),
                role: role.into(),
                key: secret.verifying_key().to_bytes(),
                signature: secret.sign(&statement).to_bytes(),
            }
        };
        let mut both = consent("p1", "p2", "");
        both.people = vec![sign("p1", "data_owner", 1), sign("p2", "compliance", 2)];
        let read = Consent::of_signed_fields(both.fields(), &both.people_field()).unwrap();
        assert_eq!(read, both);
        read.signed_by_its_people(&decided).unwrap();
        for other in [
            Decided {
                party: "other",
                ..decided
            },
            Decided {
                approve: false,
                ..decided
            },
            Decided {
                job: "k",
                ..decided
            },
            Decided {
                digest: &[8; 32],
                ..decided
            },
            Decided {
                expires: "2027-01-01T00:00:00Z",
                ..decided
            },
            Decided {
                ticket: "CHG-2",
                ..decided
            },
            Decided {
                reason: "because",
                ..decided
            },
        ] {
            let refused = read.signed_by_its_people(&other).unwrap_err();
            assert_eq!(refused, ConsentError::Forged { name: "p1".into() });
        }
        let mut other_role = both.clone();
        other_role.people[1].role = "data_owner".into();
        assert!(other_role.signed_by_its_people(&decided).is_err());
        let refused = |people: Vec<Signature>| {
            let field = Consent {
                people,
                ..both.clone()
            }
            .people_field();
            Consent::of_signed_fields(both.fields(), &field).unwrap_err()
        };
        let twice = ConsentError::SignsTwice { name: "p2".into() };
        assert_eq!(
            refused(vec![
                sign("p1", "data_owner", 1),
                sign("p2", "compliance", 1)
            ]),
            twice
        );
        let twice = ConsentError::SignsTwice { name: "P1".into() };
        assert_eq!(
            refused(vec![
                sign("p1", "data_owner", 1),
                sign("P1", "compliance", 2)
            ]),
            twice
        );
        assert_eq!(
            refused(vec![sign("p1", "data_owner", 1)]),
            ConsentError::Others
        );
        assert!(matches!(refused(Vec::new()), ConsentError::People { .. }));
        let field = both.people_field();
        for end in 1..field.len() {
            assert!(
                Consent::of_signed_fields(both.fields(), &field[..end]).is_err(),
                "{end}"
            );
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
