//! Correlated oblivious transfer: few transfers by public keys, extended to many.
//!
//! One party, the *holder*, has a secret `Δ` of 128 bits. The other, the *chooser*, has bits `r_j`.
//! They get `q_j` (holder) and `t_j` (chooser), pseudo-random but for
//!
//! ```text
//! q_j = t_j + r_j Δ        in GF(2)^128
//! ```
//!
//! The holder learns nothing of `r`, the chooser nothing of `Δ`. 128 such bits in a row are also one
//! correlation over GF(2^128): with `A` the bits taken as one element, `C = Σ X^i t_i` and
//! `B = Σ X^i q_i`, it holds that `C = B + A Δ` ([`Chosen::element`], [`Held::element`]).
//!
//! # Adversary
//! Active, either side. *Holder*: its choices in the base transfers are its `Δ`, whatever they are; it
//! sends nothing else but a challenge. *Chooser*: it could use other bits in some of the 128
//! columns, which would show it bits of `Δ`. The check compares a universal hash of each column,
//! drawn after the columns are sent: a chooser that is inconsistent in `c` columns must have
//! guessed `c` bits of `Δ`, and otherwise ends the run; with a right guess it knows these bits and
//! no more. Both may choose their own outputs (as in all extensions of this kind).
//!
//! # Source
//! Base transfers ([`base`]): D. Masny, P. Rindal, "Endemic oblivious transfer", CCS 2019 (ePrint
//! 2019/706), section 5, over ristretto255, hashes as random oracles. Extension ([`extend`]): the columns
//! of Y. Ishai et al., CRYPTO 2003, with the check of L. Roy, "SoftSpokenOT", CRYPTO 2022 (ePrint
//! 2022/192), figure 7 with the repetition code and k = 1: hashes of the columns themselves, whose
//! proof does not have the gap of the check by M. Keller, E. Orsini, P. Scholl (CRYPTO 2015).
//! Departure: a polynomial hash over GF(2^128) as the universal hash.

pub mod base;
pub mod extend;
mod transpose;

pub use extend::{Chosen, Held};

/// What a peer sent is not what the protocol asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OtError {
    /// Wrong number of bytes or elements.
    #[error("expected {want} elements, got {got}")]
    Length {
        /// Expected.
        want: usize,
        /// Got.
        got: usize,
    },
    /// Bytes that encode no group element.
    #[error("transfer {index} holds bytes that are no group element")]
    NotAPoint {
        /// Which transfer.
        index: usize,
    },
    /// The columns are not of the same bits.
    #[error("the consistency check of the oblivious transfers failed")]
    Inconsistent,
}
