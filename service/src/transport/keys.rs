//! Agreeing the sealed links of a job: each node publishes a fresh key signed with its certificate, and
//! verifies every other's against the contract.

use std::collections::BTreeMap;

use paripassu_crypto::sealed::{JobKeyStatement, JobSecret, LinkKeys, SealError};
use paripassu_proto::{JobId, NodeId, NodeKind, control::v1 as pb};
use paripassu_protocol::channel::Role;

use crate::{
    identity::{Certified, Identity, IdentityError, Trust},
    signing,
};

/// Why a job key was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The signer is not accepted.
    #[error("the job key is not accepted: {0}")]
    Identity(#[from] IdentityError),
    /// The key's owner is not a member of the job.
    #[error("{got} sent a job key but is not a member of the job")]
    Stranger {
        /// Who.
        got: NodeId,
    },
    /// The key's owner has a certificate of another kind than its role takes.
    #[error(
        "{role} is `{id}`, which shows a certificate of kind {got}; that role takes a {want} \
         certificate"
    )]
    Kind {
        /// The role.
        role: Role,
        /// Who.
        id: NodeId,
        /// The kind shown.
        got: NodeKind,
        /// The kind wanted.
        want: &'static str,
    },
    /// The key is for another job, contract or node.
    #[error("the job key of `{id}` was signed for another {what}")]
    Other {
        /// Who.
        id: NodeId,
        /// Job, contract or node.
        what: &'static str,
    },
    /// Two different keys from one node.
    #[error("`{id}` sent two different job keys")]
    Twice {
        /// Who.
        id: NodeId,
    },
    /// The key itself or its signature is bad.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// One node's part in agreeing the links of one job.
#[derive(Debug)]
pub struct KeyExchange {
    job: JobId,
    contract: [u8; 32],
    me: NodeId,
    secret: JobSecret,
    /// Peers by id, with their keys as they come.
    peers: BTreeMap<NodeId, (Role, Option<[u8; 32]>)>,
    certified: Vec<Certified>,
}

impl KeyExchange {
    /// Makes this node's key, and the message that publishes it.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn begin(
        identity: &Identity,
        job: JobId,
        contract: [u8; 32],
        peers: impl IntoIterator<Item = (Role, NodeId)>,
    ) -> Result<(Self, pb::JobKey), SealError> {
        let secret = JobSecret::fresh()?;
        let me = identity.peer().id.clone();
        let statement = JobKeyStatement {
            job: job.as_str().to_owned(),
            contract,
            node: me.as_str().to_owned(),
            public: secret.public(),
        };
        let signature = identity.with_key(|key| statement.sign(key));
        let key = pb::JobKey {
            job: job.as_str().to_owned(),
            key: Some(signing::wrap(identity, statement.to_bytes(), signature)),
        };
        let peers = peers
            .into_iter()
            .map(|(role, id)| (id, (role, None)))
            .collect();
        Ok((
            Self {
                job,
                contract,
                me,
                secret,
                peers,
                certified: Vec::new(),
            },
            key,
        ))
    }

    /// Takes in a peer's key after verifying certificate, kind, role, job, contract and signature.
    ///
    /// # Errors
    /// Says which of them is wrong. [`Self::role_of`] names the role to blame.
    pub fn accept(&mut self, trust: &Trust, key: &pb::Signed) -> Result<(), KeyError> {
        let signer = signing::signer(trust, key)?;
        let id = &signer.peer().id;
        let Some((role, known)) = self.peers.get_mut(id) else {
            return Err(KeyError::Stranger { got: id.clone() });
        };
        let kind = signer.peer().kind;
        let (fits, want) = match role {
            Role::Party(_) => (kind == NodeKind::Party, "party"),
            Role::Helper => (
                matches!(kind, NodeKind::Helper | NodeKind::Coordinator),
                "helper or coordinator",
            ),
        };
        if !fits {
            return Err(KeyError::Kind {
                role: *role,
                id: id.clone(),
                got: kind,
                want,
            });
        }
        let statement = JobKeyStatement::verify(&key.statement, &key.signature, signer.key())?;
        let other = |what| KeyError::Other {
            id: id.clone(),
            what,
        };
        if statement.job != self.job.as_str() {
            return Err(other("job"));
        }
        if statement.contract != self.contract {
            return Err(other("contract"));
        }
        if statement.node != id.as_str() {
            return Err(other("node"));
        }
        match known {
            Some(before) if *before != statement.public => Err(KeyError::Twice { id: id.clone() }),
            Some(_) => Ok(()),
            None => {
                *known = Some(statement.public);
                self.certified.push(signer);
                Ok(())
            }
        }
    }

    /// Whose keys were accepted.
    pub(crate) fn certified(&self) -> &[Certified] {
        &self.certified
    }

    /// The role of whoever claims to have signed this, unverified: only to say who is to blame.
    pub fn role_of(&self, key: &pb::Signed) -> Option<Role> {
        let claimed = JobKeyStatement::from_bytes(&key.statement).ok()?;
        let id: NodeId = claimed.node.parse().ok()?;
        self.peers.get(&id).map(|(role, _)| *role)
    }

    /// Who has not sent a key yet.
    pub fn missing(&self) -> Vec<(Role, NodeId)> {
        self.peers
            .iter()
            .filter(|(_, (_, key))| key.is_none())
            .map(|(id, (role, _))| (*role, id.clone()))
            .collect()
    }

    /// Derives the links with all peers; none while a key is missing.
    ///
    /// # Errors
    /// When a peer's key is of low order.
    pub(crate) fn finish(self) -> Result<Vec<(Role, NodeId, LinkKeys)>, KeyError> {
        let mut links = Vec::with_capacity(self.peers.len());
        for (id, (role, public)) in &self.peers {
            let Some(public) = public else { continue };
            let keys = LinkKeys::agree(
                &self.secret,
                self.me.as_str(),
                id.as_str(),
                public,
                &self.contract,
            )?;
            links.push((*role, id.clone(), keys));
        }
        Ok(links)
    }
}
