//! Shared by the nodes: certificates and keys, TLS, the transport of sealed frames, stores.
//!
//! A node dials one stream out to the coordinator ([`transport::Uplink`]); the coordinator answers it
//! with a [`transport::Hub`], which relays what it cannot read. A protocol sees neither: it gets a
//! [`transport::JobChannel`]. [`node::Node`] turns the stream into proposals, decisions and runs.

pub mod clock;
pub mod contract;
pub mod dealing;
pub mod identity;
pub mod node;
pub mod person;
pub mod pki;
pub mod shutdown;
pub mod signing;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod transcript;
pub mod transport;

pub use paripassu_proto::{ContractHead, HeadReader, JobId, NodeId, NodeKind, Peer};
