//! Whom a node trusts: the consortium's authority and what it has revoked.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use paripassu_proto::limits;
use rustls::{
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject},
    server::danger::ClientCertVerifier,
};

use super::{Certified, IdentityError, files, pem, read, read_leaf};
use crate::tls::{self, Refreshable};

/// The consortium's authority and what it has revoked. Clones follow the same revocations.
#[derive(Clone)]
pub struct Trust {
    verifier: Arc<Refreshable>,
    authority: Arc<str>,
    dir: Option<PathBuf>,
}

/// The authority and the revocation lists that were in force at some moment.
#[derive(Clone)]
pub(crate) struct Judge(Arc<dyn ClientCertVerifier>);

impl PartialEq for Judge {
    /// The same lists, of the same trust.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

impl Trust {
    /// Trusts what `authority` signed and none of `revoked` names.
    ///
    /// # Errors
    /// When one of them cannot be parsed.
    pub fn new(
        authority: CertificateDer<'static>,
        revoked: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Self, IdentityError> {
        let text = pem(&authority).into();
        let verifier = Arc::new(Refreshable::new(authority, revoked)?);
        Ok(Self {
            verifier,
            authority: text,
            dir: None,
        })
    }

    /// Reads `ca.crt` and, if there is one, `crl.pem`.
    ///
    /// # Errors
    /// Names the file that is missing or malformed.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(files::AUTHORITY);
        let authority =
            CertificateDer::from_pem_slice(&read(&path)?).map_err(|_| IdentityError::Format {
                path,
                want: "a PEM certificate",
            })?;
        let trust = Self::new(authority, read_revoked(dir)?)?;
        Ok(Self {
            dir: Some(dir.to_owned()),
            ..trust
        })
    }

    /// The authority's certificate in PEM.
    pub fn authority_pem(&self) -> &str {
        &self.authority
    }

    /// Reads `crl.pem` again; true when it has changed. New connections and signatures are judged by
    /// it at once, streams that stand when the hub rechecks them.
    ///
    /// # Errors
    /// When the new list cannot be read; the old one stays in force.
    pub fn refresh(&self) -> Result<bool, IdentityError> {
        match &self.dir {
            Some(dir) => self.verifier.refresh(read_revoked(dir)?),
            None => Ok(false),
        }
    }

    /// By which revocation lists certificates are judged now.
    pub(crate) fn judge(&self) -> Judge {
        Judge(self.verifier.current())
    }

    pub(crate) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier) as Arc<dyn ClientCertVerifier>
    }

    /// Verifies a chain (leaf first) now: signed by the authority, in its validity, not revoked.
    ///
    /// # Errors
    /// Says in plain words why it is not accepted.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<Certified, IdentityError> {
        self.verify_at(chain, UnixTime::now())
    }

    /// Like [`Self::verify`], at another time.
    ///
    /// # Errors
    /// As there.
    pub fn verify_at(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Certified, IdentityError> {
        let (leaf, rest) = match chain.split_first() {
            Some(parts) if chain.len() <= limits::MAX_CHAIN => parts,
            _ => return Err(IdentityError::Chain { got: chain.len() }),
        };
        let certified = read_leaf(leaf);
        self.verifier
            .verify_client_cert(leaf, rest, now)
            .map_err(|e| {
                let whose = match &certified {
                    Ok(c) => format!("the certificate of {}", c.peer),
                    Err(_) => "the certificate".to_owned(),
                };
                IdentityError::Refused {
                    whose,
                    why: tls::why_refused(&e),
                }
            })?;
        certified
    }
}

fn read_revoked(dir: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, IdentityError> {
    let path = dir.join(files::REVOKED);
    match fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(IdentityError::Read { path, source }),
        Ok(pem) => CertificateRevocationListDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|lists| !lists.is_empty())
            .ok_or(IdentityError::Format {
                path,
                want: "a PEM revocation list",
            }),
    }
}
