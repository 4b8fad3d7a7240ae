//! Many multiplications of u-coordinates by one secret scalar, and the map from strings to them.
//!
//! Two ways of computing one function: eight points at a time where the processor has AVX-512 IFMA
//! ([`Backend::Ifma`]), one at a time with curve25519-dalek elsewhere ([`Backend::Portable`]). Both
//! give the same bytes for every input, so which one runs is a matter of the machine and no
//! message shows it.
//!
//! Secret data (the scalar, and what is not yet masked) meet no branch and no address.

mod hash;
#[cfg(target_arch = "x86_64")]
mod ifma;
pub(crate) mod portable;
#[cfg(test)]
mod tests;

pub(crate) use hash::FieldHash;

/// Bytes of one encoded u-coordinate.
pub(crate) const BYTES: usize = 32;

/// Who does the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// curve25519-dalek, a point at a time.
    Portable,
    /// Eight points at a time by AVX-512 IFMA.
    Ifma,
}

impl Backend {
    /// The fastest of this machine.
    pub fn detect() -> Self {
        match Self::Ifma.is_available() {
            true => Self::Ifma,
            false => Self::Portable,
        }
    }

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Ifma => ifma::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Ifma => false,
        }
    }

    /// `out[i] = X25519(scalar, points[i])` of RFC 7748. The scalar is clamped here; bit 255 of a
    /// point is ignored and a value from p on taken modulo p, as there. Slices are of one length;
    /// what is beyond the shorter is left alone.
    pub fn multiply(self, scalar: &[u8; 32], points: &[[u8; BYTES]], out: &mut [[u8; BYTES]]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Ifma if ifma::is_available() => ifma::multiply(scalar, points, out),
            _ => portable::multiply(scalar, points, out),
        }
    }

    /// As [`multiply`](Self::multiply) for the points that `messages` hash to, by
    /// `encode_to_curve` of RFC 9380 with the domain tag of `hash`.
    pub(crate) fn encode_and_multiply<M: AsRef<[u8]>>(
        self,
        scalar: &[u8; 32],
        hash: &FieldHash,
        messages: &[M],
        out: &mut [[u8; BYTES]],
    ) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Ifma if ifma::is_available() => {
                let fields: Vec<_> = messages.iter().map(|m| hash.to_field(m.as_ref())).collect();
                ifma::encode_and_multiply(scalar, &zeroize::Zeroizing::new(fields), out);
            }
            _ => portable::encode_and_multiply(scalar, hash, messages, out),
        }
    }
}

/// A scalar as RFC 7748 clamps it.
fn clamp(scalar: &[u8; 32]) -> zeroize::Zeroizing<[u8; 32]> {
    zeroize::Zeroizing::new(curve25519_dalek::scalar::clamp_integer(*scalar))
}
