//! Protocols over a Channel: alignment, owner-matrix product, logistic regression on shares.

pub mod align;
pub mod channel;
