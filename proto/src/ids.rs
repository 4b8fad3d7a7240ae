//! Names of nodes and jobs, parsed once.

use std::{fmt, str::FromStr, sync::Arc};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Not a node id.
    #[error(
        "`{got}` is not a node id: 1 to 32 of a-z, 0-9 and `-`, starting with a letter or digit"
    )]
    Node {
        /// What was given, shortened.
        got: String,
    },
    /// Not a job id.
    #[error("`{got}` is not a job id: 1 to 64 of a-z, 0-9, `-`, starting with a letter or digit")]
    Job {
        /// What was given, shortened.
        got: String,
    },
    /// Not a kind of node.
    #[error("`{got}` is not a kind of node: want coordinator, party, helper, user or regulator")]
    Kind {
        /// What was given, shortened.
        got: String,
    },
    /// Not a SPIFFE id of this system.
    #[error("`{got}` is not of the form spiffe://paripassu/<kind>/<id>")]
    Spiffe {
        /// What was given, shortened.
        got: String,
    },
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

fn is_name(text: &str, max: usize) -> bool {
    let mut bytes = text.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    first
        && text.len() <= max
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $error:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_name(text, $max) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError::$error { got: shortened(text) })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// A node's name in the consortium, as its certificate states it.
    NodeId, 32, Node
}
name! {
    /// A job's name.
    JobId, 64, Job
}

/// What a certificate entitles its owner to be.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Carries jobs, relays frames; may be the helper.
    Coordinator,
    /// Holds data.
    Party,
    /// Deals correlated randomness, holds no data.
    Helper,
    /// A person at the command line.
    User,
    /// A supervisor at the command line, who reads everything and changes nothing.
    Regulator,
}

impl NodeKind {
    /// The name used in certificates and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeKind::Coordinator => "coordinator",
            NodeKind::Party => "party",
            NodeKind::Helper => "helper",
            NodeKind::User => "user",
            NodeKind::Regulator => "regulator",
        }
    }
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for NodeKind {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "coordinator" => Ok(NodeKind::Coordinator),
            "party" => Ok(NodeKind::Party),
            "helper" => Ok(NodeKind::Helper),
            "user" => Ok(NodeKind::User),
            "regulator" => Ok(NodeKind::Regulator),
            other => Err(IdError::Kind {
                got: shortened(other),
            }),
        }
    }
}

/// A certified identity: kind and id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// What the certificate entitles to.
    pub kind: NodeKind,
    /// Whose it is.
    pub id: NodeId,
}

const SPIFFE_PREFIX: &str = "spiffe://paripassu/";

impl Peer {
    /// This kind and id.
    pub fn new(kind: NodeKind, id: NodeId) -> Self {
        Self { kind, id }
    }

    /// The URI in the certificate.
    pub fn spiffe(&self) -> String {
        format!("{SPIFFE_PREFIX}{}/{}", self.kind, self.id)
    }

    /// Reads the URI of a certificate.
    ///
    /// # Errors
    /// When it is not `spiffe://paripassu/<kind>/<id>`.
    pub fn from_spiffe(uri: &str) -> Result<Self, IdError> {
        let bad = || IdError::Spiffe {
            got: shortened(uri),
        };
        let rest = uri.strip_prefix(SPIFFE_PREFIX).ok_or_else(bad)?;
        let (kind, id) = rest.split_once('/').ok_or_else(bad)?;
        Ok(Self {
            kind: kind.parse()?,
            id: id.parse()?,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

impl FromStr for Peer {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::Spiffe {
            got: shortened(text),
        };
        let (kind, id) = text.split_once('/').ok_or_else(bad)?;
        Ok(Self {
            kind: kind.parse()?,
            id: id.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_lower_case() {
        for good in ["a", "bank-a", "0x", &"a".repeat(32)] {
            assert_eq!(good.parse::<NodeId>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "a b", "a/b", "ä", &"a".repeat(33)] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
        assert!("a".repeat(64).parse::<JobId>().is_ok());
        assert!("a".repeat(65).parse::<JobId>().is_err());
    }

    #[test]
    fn spiffe_ids_round_trip_and_strangers_are_refused() {
        let peer = Peer::new(NodeKind::Helper, "bureau".parse().unwrap());
        assert_eq!(peer.spiffe(), "spiffe://paripassu/helper/bureau");
        assert_eq!(Peer::from_spiffe(&peer.spiffe()).unwrap(), peer);
        for bad in [
            "spiffe://other/party/a",
            "spiffe://paripassu/party",
            "spiffe://paripassu/root/a",
            "spiffe://paripassu/party/a/b",
            "https://paripassu/party/a",
        ] {
            assert!(Peer::from_spiffe(bad).is_err(), "{bad}");
        }
    }
}
