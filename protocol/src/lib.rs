//! Protocols over a Channel: alignment, owner-matrix product, logistic regression on shares.

pub mod abort;
pub mod align;
pub mod channel;
pub mod ctx;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
