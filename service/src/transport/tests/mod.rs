//! Real sockets, real certificates, port 0.

mod canary;
mod flow;
mod hostile;
mod reconnect;
mod refusals;
pub(super) mod rig;
