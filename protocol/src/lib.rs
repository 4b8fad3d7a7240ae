//! Protocols over a Channel: alignment, owner-matrix product, logistic regression on shares.

pub mod abort;
pub mod align;
pub mod arith;
pub mod channel;
mod codec;
pub mod compute;
pub mod correlation;
pub mod ctx;
mod held;
pub mod horizontal;
pub mod reasons;
pub mod scoring;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
pub mod vertical;
