//! The little the coordinator and the transport must know of a contract.

use std::{fmt, sync::Arc, time::Duration};

use crate::{JobId, NodeId, limits};

/// Who takes part in a job, and until when it may be approved.
///
/// Every node reads it out of the contract's own bytes, so it cannot differ from what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractHead {
    /// The job's id.
    pub job: JobId,
    /// Data parties by position; the first holds the label.
    pub parties: Vec<NodeId>,
    /// The helper; none in a profile without one.
    pub helper: Option<NodeId>,
    /// Seconds since 1970 after which it can no longer be approved.
    pub expires: i64,
    /// In a job of banks: how many of them may be missing while it runs.
    pub absence: Option<Absence>,
}

/// Parties that a running job can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// How many parties must be there.
    pub threshold: usize,
    /// How long the others wait for a party before they go on without it.
    pub patience: Duration,
}

impl ContractHead {
    /// How many parties may be missing.
    pub fn spare(&self) -> usize {
        let absence = self.absence.as_ref();
        absence.map_or(0, |absence| {
            self.parties.len().saturating_sub(absence.threshold)
        })
    }
}

/// Why a contract's head is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The contract cannot be read.
    #[error("the contract cannot be read: {reason}")]
    Unreadable {
        /// What the reader said.
        reason: String,
    },
    /// Too few or too many parties.
    #[error("the contract names {got} data parties; want 2 to {max}", max = limits::MAX_PARTIES)]
    Parties {
        /// How many.
        got: usize,
    },
    /// A party is named twice.
    #[error("the contract names party `{party}` twice")]
    Repeated {
        /// Which.
        party: NodeId,
    },
    /// The helper holds data.
    #[error(
        "the helper `{helper}` is one of the data parties: it would know its own masks; name an \
         independent node"
    )]
    HelperIsParty {
        /// Which.
        helper: NodeId,
    },
}

impl ContractHead {
    /// Checks that parties are distinct and that the helper is none of them.
    ///
    /// # Errors
    /// Says which rule is broken by whom.
    pub fn check(&self) -> Result<(), HeadError> {
        let got = self.parties.len();
        if !(2..=limits::MAX_PARTIES).contains(&got) {
            return Err(HeadError::Parties { got });
        }
        for (i, party) in self.parties.iter().enumerate() {
            if self.parties.iter().take(i).any(|p| p == party) {
                return Err(HeadError::Repeated {
                    party: party.clone(),
                });
            }
        }
        match &self.helper {
            Some(h) if self.parties.contains(h) => {
                Err(HeadError::HelperIsParty { helper: h.clone() })
            }
            _ => Ok(()),
        }
    }
}

type ReadHead = dyn Fn(&[u8]) -> Result<ContractHead, String> + Send + Sync;

/// Reads the head out of a contract's bytes.
#[derive(Clone)]
pub struct HeadReader(Arc<ReadHead>);

impl HeadReader {
    /// A reader from a function that parses a contract.
    pub fn new<F>(read: F) -> Self
    where
        F: Fn(&[u8]) -> Result<ContractHead, String> + Send + Sync + 'static,
    {
        Self(Arc::new(read))
    }

    /// The head of this contract, checked.
    ///
    /// # Errors
    /// When the contract cannot be read or its head breaks a rule.
    pub fn read(&self, contract: &[u8]) -> Result<ContractHead, HeadError> {
        if contract.len() > limits::MAX_CONTRACT {
            return Err(HeadError::Unreadable {
                reason: format!(
                    "{} bytes, more than the limit of {}",
                    contract.len(),
                    limits::MAX_CONTRACT
                ),
            });
        }
        let head = (self.0)(contract).map_err(|reason| HeadError::Unreadable { reason })?;
        head.check()?;
        Ok(head)
    }
}

impl fmt::Debug for HeadReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadReader")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(parties: &[&str], helper: Option<&str>) -> ContractHead {
        ContractHead {
            job: "j".parse().unwrap(),
            parties: parties.iter().map(|p| p.parse().unwrap()).collect(),
            helper: helper.map(|h| h.parse().unwrap()),
            expires: 0,
            absence: None,
        }
    }

    #[test]
    fn rules_of_the_head() {
        assert!(head(&["a", "b"], Some("c")).check().is_ok());
        assert!(head(&["a", "b"], None).check().is_ok());
        assert!(matches!(
            head(&["a"], None).check(),
            Err(HeadError::Parties { got: 1 })
        ));
        assert!(matches!(
            head(&["a", "a"], None).check(),
            Err(HeadError::Repeated { .. })
        ));
        assert!(matches!(
            head(&["a", "b"], Some("b")).check(),
            Err(HeadError::HelperIsParty { .. })
        ));
    }
}
