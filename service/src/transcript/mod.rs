//! A node's transcript: what it did, signed, in a log that the other members of a job countersign.
//!
//! One [`Transcript`] per node holds the log and the memory of its witness. A job gets a [`Record`]: it
//! writes events, and before an opening it shuts the gate of the job's channel until the head that holds
//! the event is countersigned, of a single bit by every other data party, of anything else by every other member. Heads, countersignatures and, at the end, the
//! events themselves travel over the coordinator (`Exchange`); with them the node writes the job's
//! bundle ([`export`] reads it).

mod assemble;
mod exchange;
mod export;
mod facts;
mod intake;
mod node;
mod papers;
mod prune;
mod record;
mod session;
#[cfg(test)]
mod tests;
mod writing;

pub use assemble::AssembleError;
pub use export::{Assembled, ExportError, assemble, bundle_path, bundles, export};
pub use node::{Transcript, TranscriptError};
pub use prune::{PruneError, Pruned, Which, prune};
pub use record::{Announced, Record};

pub use exchange::{Carrier, Exchange, Seat};

use paripassu_proto::{NodeId, NodeKind, Peer};
use paripassu_protocol::channel::Role;

/// Folder of the log within a node's state folder.
pub const LOG_FOLDER: &str = "transcript";
/// Folder of what a node remembers of the others' logs.
pub const WITNESS_FOLDER: &str = "witness";

/// The name of a node's log.
pub fn origin(peer: &Peer) -> String {
    format!("paripassu/{}/{}", peer.kind, peer.id)
}

/// A role as it stands in an event.
pub fn role_text(role: Role) -> String {
    role.to_string()
}

/// Whether a certificate of this kind fits the role.
fn fits(kind: NodeKind, role: Option<Role>) -> bool {
    match role {
        Some(Role::Party(_)) => kind == NodeKind::Party,
        Some(Role::Helper) => matches!(kind, NodeKind::Helper | NodeKind::Coordinator),
        None => kind == NodeKind::Coordinator,
    }
}

/// A member that did not behave, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blame {
    /// Who, if a node can be named.
    pub culprit: Option<NodeId>,
    /// A stable code.
    pub code: &'static str,
    /// One sentence.
    pub reason: String,
}
