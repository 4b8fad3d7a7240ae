//! Certificates of a consortium: an authority, requests made on each party's own machine, signing,
//! revocation. Everything works on paths; nothing is ever overwritten but the authority's own
//! index and revocation list.

mod authority;
mod request;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use paripassu_proto::{IdError, Peer};

pub use authority::{Authority, Issued, init, issued, open, revoke, sign};
pub use request::{Request, install, read_request, request};

/// Days a certificate is valid unless said otherwise.
pub const DEFAULT_DAYS: u32 = 397;

/// Days an authority is valid unless said otherwise.
pub const DEFAULT_AUTHORITY_DAYS: u32 = 3650;

/// Why a certificate was not made, signed or revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// Something is there already.
    #[error("{} exists already and is not overwritten; move it away first", path.display())]
    Exists {
        /// What.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// Read, write or make.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("{} is not {want}: {reason}", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// What it should be.
        want: &'static str,
        /// Why it is not.
        reason: String,
    },
    /// The request names no usable identity.
    #[error("the request carries no single spiffe://paripassu/<kind>/<id> identity")]
    NoIdentity,
    /// The identity in the request is malformed.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The request is for somebody else.
    #[error("the request is for {got}, not for {want}: nothing was signed")]
    Unexpected {
        /// Who was meant.
        want: Peer,
        /// Who is asked for.
        got: Peer,
    },
    /// The id belongs to a node of another kind.
    #[error("the id of {got} is taken by {taken}: ids are unique among all kinds")]
    Taken {
        /// Who asks.
        got: Peer,
        /// Who has it.
        taken: Peer,
    },
    /// The request's key is not of the kind used here.
    #[error("the request's key is not an Ed25519 key")]
    KeyKind,
    /// Nothing to revoke.
    #[error("no certificate in force was issued to {peer}")]
    NotIssued {
        /// Whose was asked for.
        peer: Peer,
    },
    /// A validity that makes no sense.
    #[error("a validity of {days} days; want 1 to 36500")]
    Days {
        /// What was given.
        days: u32,
    },
    /// The certificate does not fit the key in the same directory.
    #[error("the certificate {} does not belong to the key in {}", certificate.display(), dir.display())]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The directory with the key.
        dir: PathBuf,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Randomness,
    /// The certificate library failed.
    #[error("the certificate library failed: {0}")]
    Library(#[from] rcgen::Error),
}

fn days(days: u32) -> Result<time::Duration, PkiError> {
    if (1..=36_500).contains(&days) {
        Ok(time::Duration::days(i64::from(days)))
    } else {
        Err(PkiError::Days { days })
    }
}

fn make_dir(dir: &Path) -> Result<(), PkiError> {
    fs::create_dir_all(dir).map_err(|source| PkiError::Io {
        what: "make",
        path: dir.to_owned(),
        source,
    })
}

fn read_text(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::Io {
        what: "read",
        path: path.to_owned(),
        source,
    })
}

/// Writes a file that must not exist yet.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), PkiError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => PkiError::Exists {
            path: path.to_owned(),
        },
        _ => PkiError::Io {
            what: "write",
            path: path.to_owned(),
            source,
        },
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(failed)
}

/// Replaces a file of the authority's own in one step.
fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), PkiError> {
    let next = path.with_extension("next");
    let failed = |source| PkiError::Io {
        what: "write",
        path: path.to_owned(),
        source,
    };
    match fs::remove_file(&next) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    write_new(&next, content, mode)?;
    fs::rename(&next, path).map_err(failed)
}

/// A fresh Ed25519 key as PKCS #8 PEM.
pub(crate) fn fresh_key() -> Result<zeroize::Zeroizing<String>, PkiError> {
    use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding};
    use rand::{TryRng, rngs::SysRng};
    let mut secret = zeroize::Zeroizing::new([0u8; 32]);
    SysRng
        .try_fill_bytes(secret.as_mut())
        .map_err(|_| PkiError::Randomness)?;
    let pair = KeypairBytes {
        secret_key: *secret,
        public_key: None,
    };
    pair.to_pkcs8_pem(LineEnding::LF)
        .map_err(|_| PkiError::KeyKind)
}

fn load_key(pem: &str) -> Result<rcgen::KeyPair, PkiError> {
    Ok(rcgen::KeyPair::from_pkcs8_pem_and_sign_algo(
        pem,
        &rcgen::PKCS_ED25519,
    )?)
}

#[cfg(test)]
mod tests;
