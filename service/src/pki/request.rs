//! On a party's own machine: make a key, ask for a certificate, install what comes back.

use std::path::{Path, PathBuf};

use paripassu_proto::Peer;
use rcgen::{CertificateParams, CertificateSigningRequestParams, DnType, PublicKeyData, SanType};

use super::{PkiError, fresh_key, load_key, make_dir, read_text, write_new};
use crate::identity::{Identity, IdentityError, files};

/// A request for a certificate, read and its self-signature verified.
#[derive(Debug)]
pub struct Request {
    pub(super) peer: Peer,
    pub(super) key: rcgen::PublicKey,
}

impl Request {
    /// Who asks.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The public key, raw.
    pub fn key(&self) -> &[u8] {
        self.key.der_bytes()
    }
}

/// Makes `node.key` (readable by its owner alone) and `node.csr` in `dir`; returns the request's path.
/// The key never leaves this machine.
///
/// # Errors
/// When a key is there already or the directory cannot be written.
pub fn request(dir: &Path, peer: &Peer) -> Result<PathBuf, PkiError> {
    make_dir(dir)?;
    let path = dir.join(files::REQUEST);
    if path.exists() {
        return Err(PkiError::Exists { path });
    }
    let pem = fresh_key()?;
    let key = load_key(&pem)?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, peer.to_string());
    params
        .subject_alt_names
        .push(SanType::URI(peer.spiffe().as_str().try_into()?));
    let csr = params.serialize_request(&key)?.pem()?;
    write_new(&dir.join(files::KEY), pem.as_bytes(), 0o600)?;
    write_new(&path, csr.as_bytes(), 0o644)?;
    Ok(path)
}

/// Reads a request and verifies that its sender holds the key it names.
///
/// # Errors
/// When it is malformed, not signed by its own key, of another kind of key, or names no identity.
pub fn read_request(path: &Path) -> Result<Request, PkiError> {
    let read = CertificateSigningRequestParams::from_pem(&read_text(path)?).map_err(|e| {
        PkiError::Format {
            path: path.to_owned(),
            want: "a certificate request",
            reason: e.to_string(),
        }
    })?;
    if read.public_key.algorithm() != &rcgen::PKCS_ED25519 {
        return Err(PkiError::KeyKind);
    }
    let mut uris = read
        .params
        .subject_alt_names
        .iter()
        .filter_map(|name| match name {
            SanType::URI(uri) => Some(uri.as_str()),
            _ => None,
        });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(PkiError::NoIdentity);
    };
    Ok(Request {
        peer: Peer::from_spiffe(uri)?,
        key: read.public_key,
    })
}

/// Puts the signed certificate and the authority's files beside the key, and checks that they fit.
///
/// # Errors
/// When a file is there already, cannot be written, or the result is not a valid identity.
pub fn install(
    dir: &Path,
    certificate: &Path,
    authority: &Path,
    revoked: Option<&Path>,
) -> Result<Identity, PkiError> {
    let put = |from: &Path, name: &str| {
        let to = dir.join(name);
        if from == to {
            Ok(())
        } else {
            write_new(&to, read_text(from)?.as_bytes(), 0o644)
        }
    };
    put(certificate, files::CERTIFICATE)?;
    put(authority, files::AUTHORITY)?;
    if let Some(revoked) = revoked {
        put(revoked, files::REVOKED)?;
    }
    Identity::load(dir).map_err(|e| match e {
        IdentityError::Mismatch { .. } => PkiError::Mismatch {
            certificate: certificate.to_owned(),
            dir: dir.to_owned(),
        },
        other => PkiError::Format {
            path: dir.to_owned(),
            want: "a usable identity",
            reason: other.to_string(),
        },
    })
}
