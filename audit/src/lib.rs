//! The transcript of a node: what happened, signed, in an append-only log that others countersign.
//!
//! Every step of a job becomes an [`event`]: a small signed envelope and a body that it names by digest.
//! A node keeps all its envelopes in one [`log`], a Merkle tree ([`merkle`], RFC 9162) on disk, and signs
//! its head as a checkpoint ([`note`], the C2SP text formats). The other members of a job are its
//! [`witness`]es: they cosign a checkpoint only after a proof that it extends the last one they saw. A
//! [`bundle`] carries one job's events, proofs and countersignatures in one file, and [`verify`] checks it
//! against what the reader trusts ([`trust`]) without a network, a node or a secret.
//!
//! Nothing here touches the network or the clock; only [`log`], [`witness`] and reading a bundle touch files.

pub mod bundle;
pub mod canonical;
pub mod consent;
pub mod diff;
pub mod event;
pub mod log;
pub mod merkle;
pub mod note;
pub mod page;
pub mod policy;
pub mod prove;
pub mod show;
pub mod trust;
pub mod verify;
pub mod vsa;
pub mod witness;
