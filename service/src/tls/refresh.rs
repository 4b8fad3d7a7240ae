//! A verifier of certificates whose revocation list can be renewed while connections are served.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{
    Suite,
    lists::{self, List},
    provider,
};
use crate::identity::IdentityError;

type Lists = Vec<CertificateRevocationListDer<'static>>;

/// The library's verifier, exchanged whenever the revocation list changes.
pub(crate) struct Refreshable {
    roots: Arc<RootCertStore>,
    hints: Vec<DistinguishedName>,
    current: RwLock<Current>,
}

/// The lists in force.
struct Current {
    revoked: Lists,
    verifier: Arc<dyn ClientCertVerifier>,
    /// Whose signatures are verified once while this is held.
    _remembered: Vec<Arc<List>>,
}

impl fmt::Debug for Refreshable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refreshable")
    }
}

fn build(roots: &Arc<RootCertStore>, revoked: Lists) -> Result<Current, IdentityError> {
    let mut algorithms = CryptoProvider::clone(&provider(&Suite::ALL));
    let plain = algorithms.signature_verification_algorithms;
    algorithms.signature_verification_algorithms = lists::once(plain);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::new(algorithms))
            .with_crls(revoked.clone())
            .build()
            .map_err(|e| IdentityError::Anchors {
                reason: e.to_string(),
            })?;
    Ok(Current {
        _remembered: lists::remember(&revoked),
        revoked,
        verifier,
    })
}

impl Refreshable {
    pub(crate) fn new(
        authority: CertificateDer<'static>,
        revoked: Lists,
    ) -> Result<Self, IdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(|e| IdentityError::Anchors {
            reason: e.to_string(),
        })?;
        let roots = Arc::new(roots);
        let current = build(&roots, revoked)?;
        let hints = current.verifier.root_hint_subjects().to_vec();
        Ok(Self {
            roots,
            hints,
            current: RwLock::new(current),
        })
    }

    /// Judges by this list from now on; false when it is the one in force.
    pub(crate) fn refresh(&self, revoked: Lists) -> Result<bool, IdentityError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.revoked == revoked {
            return Ok(false);
        }
        if revoked.is_empty() {
            // a list that has vanished must not give back what it took
            let reason = "crl.pem was there and is gone; put it back".to_owned();
            return Err(IdentityError::Anchors { reason });
        }
        *current = build(&self.roots, revoked)?;
        Ok(true)
    }

    /// Judges by the lists in force; another one once these change.
    pub(crate) fn current(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(
            &self
                .current
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .verifier,
        )
    }
}

impl ClientCertVerifier for Refreshable {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.current().verify_client_cert(leaf, rest, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().supported_verify_schemes()
    }
}
