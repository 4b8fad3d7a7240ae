//! Primitives: ring arithmetic, fixed point, shares, pseudo-random streams, sealed boxes.

pub mod sealed;
