//! Sealed messages between the nodes of a job, over one stream per node to the coordinator.
//!
//! ```text
//! protocol ─ JobChannel ─ Router ─ NodePort ═ Uplink ══ mTLS, HTTP/2 ══ Hub ═ … the other nodes
//!            seal, chunk,           session: number, acknowledge,      relay by job membership,
//!            credit, reassemble     send again after a lost connection bounded by credit
//! ```
//!
//! - **Nothing is lost or repeated** within a session: both ends number packets and keep them until
//!   acknowledged ([`link`](self)); a reconnecting node goes on where it was.
//! - **Nothing is unbounded**: a sender needs credit from the receiver for each frame, and the hub
//!   enforces it, so what can be under way between two nodes of a job is one window.
//! - **Nobody waits for the dead**: when a job ends, all its sends and receives return at once.

mod dial;
mod hub;
mod job;
mod keys;
mod link;
mod port;
mod pump;
mod router;
pub mod server;
mod settings;
mod uplink;

pub use dial::{DialError, dial, refusal};
pub use hub::{Hub, HubEvent, Tap};
pub(crate) use job::{Given, JobCore, Pass, StepWatcher, Unread, Witnesses};
pub use job::{JobChannel, LinkReport, Passed, PeerFlows, StepReport};
pub use keys::{KeyError, KeyExchange};
pub(crate) use port::Outlet;
pub use port::{NodePort, PortEvent};
pub use settings::{KEY_PATIENCE, Settings};
pub use uplink::{Uplink, UplinkConfig};

#[cfg(test)]
mod tests;
