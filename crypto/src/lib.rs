//! Primitives: ring arithmetic, fixed point, shares, pseudo-random streams, sealed boxes.

mod curve25519;
pub mod dense;
pub mod dp;
pub mod field61;
pub mod fixed;
pub mod fixed_aes;
pub mod gf128;
pub mod group;
pub mod masking;
pub mod norm_proof;
pub mod okvs;
pub mod ot;
pub mod prg;
pub mod ring64;
pub mod sealed;
pub mod shamir;
pub mod share;
pub mod simd;
pub mod sine;
pub mod sum_tag;
pub mod vole;
