//! TLS 1.3 with certificates on both sides, and its failures in plain words.
//!
//! No resumption: every connection proves its certificate anew, so a revocation takes hold at the next
//! one. AES-256-GCM first, AES-128-GCM second, nothing else; a configuration may leave one of them out.

use std::{error::Error as StdError, io, sync::Arc};

use paripassu_proto::{NodeId, NodeKind, Peer};
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, OtherError,
    ProtocolVersion, ServerConfig, SignatureScheme, SupportedCipherSuite,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        CryptoProvider,
        ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use serde::{Deserialize, Serialize};

use crate::identity::{Identity, IdentityError, Trust};

mod lists;
mod refresh;

pub(crate) use refresh::Refreshable;

/// Why a TLS configuration cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The TLS library refuses certificate or key.
    #[error("TLS cannot be set up for {peer}: {source}")]
    Setup {
        /// Whose identity.
        peer: Peer,
        /// The library's words.
        source: rustls::Error,
    },
}

/// A cipher suite that connections may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Suite {
    /// AES-256-GCM.
    #[serde(rename = "TLS_AES_256_GCM_SHA384")]
    Aes256,
    /// AES-128-GCM.
    #[serde(rename = "TLS_AES_128_GCM_SHA256")]
    Aes128,
}

impl Suite {
    /// All, the preferred one first.
    pub const ALL: [Self; 2] = [Self::Aes256, Self::Aes128];

    fn supported(self) -> SupportedCipherSuite {
        match self {
            Self::Aes256 => TLS13_AES_256_GCM_SHA384,
            Self::Aes128 => TLS13_AES_128_GCM_SHA256,
        }
    }
}

/// What a connection negotiated, by the TLS library's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The version, such as `1.3`.
    pub version: String,
    /// The cipher suite by its registered name, such as `TLS_AES_256_GCM_SHA384`.
    pub suite: String,
}

impl Negotiated {
    /// What this connection negotiated; none before its handshake is done.
    pub(crate) fn of(connection: &CommonState) -> Option<Self> {
        let version = connection.protocol_version()?;
        let suite = connection.negotiated_cipher_suite()?.suite();
        Some(Self {
            version: match version {
                ProtocolVersion::TLSv1_3 => "1.3".to_owned(),
                other => format!("{other:?}"),
            },
            // the library marks suites of version 1.3 where the register does not
            suite: format!("{suite:?}").replacen("TLS13_", "TLS_", 1),
        })
    }
}

/// Algorithms in use.
pub(crate) fn provider(suites: &[Suite]) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = suites.iter().map(|suite| suite.supported()).collect();
    Arc::new(provider)
}

/// For who is dialled: every caller must show a certificate of the consortium.
///
/// # Errors
/// When the library refuses certificate or key.
pub fn server(identity: &Arc<Identity>, suites: &[Suite]) -> Result<Arc<ServerConfig>, TlsError> {
    let failed = |source| TlsError::Setup {
        peer: identity.peer().clone(),
        source,
    };
    let (chain, key) = identity.for_tls();
    CertifiedKey::from_der(chain, key, &provider(suites)).map_err(failed)?;
    let mut config = ServerConfig::builder_with_provider(provider(suites))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .with_client_cert_verifier(identity.trust().verifier())
        .with_cert_resolver(Arc::new(Shown {
            identity: Arc::clone(identity),
            provider: provider(suites),
        }));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Shows the certificate that is in use at the moment of a handshake: a renewed one needs no restart.
#[derive(Debug)]
struct Shown {
    identity: Arc<Identity>,
    provider: Arc<CryptoProvider>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (chain, key) = self.identity.for_tls();
        let shown = CertifiedKey::from_der(chain, key, &self.provider);
        shown.ok().map(Arc::new)
    }
}

/// For who dials: the other side must be a coordinator of the consortium, and this one if named.
///
/// # Errors
/// When the library refuses certificate or key.
pub fn client(
    identity: &Identity,
    coordinator: Option<NodeId>,
    suites: &[Suite],
) -> Result<Arc<ClientConfig>, TlsError> {
    let failed = |source| TlsError::Setup {
        peer: identity.peer().clone(),
        source,
    };
    let verifier = CoordinatorVerifier {
        trust: identity.trust().clone(),
        coordinator,
    };
    let (chain, key) = identity.for_tls();
    let mut config = ClientConfig::builder_with_provider(provider(suites))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain, key)
        .map_err(failed)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Accepts a coordinator by its certified identity; host names play no part, since a node's address
/// may change while its identity does not.
#[derive(Debug)]
struct CoordinatorVerifier {
    trust: Trust,
    coordinator: Option<NodeId>,
}

impl ServerCertVerifier for CoordinatorVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // the library's own verdict first: it carries the alert that tells the other side why
        self.trust.verifier().verify_client_cert(leaf, rest, now)?;
        let mut chain = vec![leaf.clone()];
        chain.extend(rest.iter().cloned());
        let other = |e: IdentityError| {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(e))))
        };
        let certified = self.trust.verify_at(&chain, now).map_err(other)?;
        let got = certified.peer();
        let named = self.coordinator.as_ref().is_none_or(|want| *want == got.id);
        if got.kind != NodeKind::Coordinator || !named {
            let want = match &self.coordinator {
                Some(id) => format!("coordinator/{id}"),
                None => "a coordinator".to_owned(),
            };
            return Err(other(IdentityError::Unexpected {
                want,
                got: got.clone(),
            }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.trust
            .verifier()
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.trust
            .verifier()
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.verifier().supported_verify_schemes()
    }
}

/// What is wrong with a certificate, as the predicate of a sentence.
pub(crate) fn why_refused(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(why) = error else {
        return format!("is not accepted: {error}");
    };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired; request and sign a new one".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet; compare the clocks of both machines".into()
        }
        CertificateError::Revoked => "has been revoked by the consortium's authority".into(),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is signed by another certificate authority than this consortium's (compare ca.crt)"
                .into()
        }
        CertificateError::Other(OtherError(inner)) => format!("is not accepted: {inner}"),
        other => format!("is not accepted: {other}"),
    }
}

/// Why a TLS connection failed, in plain words, if TLS is what failed.
///
/// `error` may be wrapped by the layers above; the chain of sources is searched.
pub fn explain(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut texts = Vec::new();
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(e) = next {
        if let Some(tls) = e.downcast_ref::<rustls::Error>() {
            return Some(explain_tls(tls));
        }
        let inner = e.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tls) = inner.and_then(|i| i.downcast_ref::<rustls::Error>()) {
            return Some(explain_tls(tls));
        }
        texts.push(e.to_string());
        next = e.source();
    }
    // HTTP/2 keeps only the text of what broke its connection
    texts
        .iter()
        .find_map(|text| explain_alert(text))
        .map(str::to_owned)
}

fn explain_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(_) => {
            format!("the other side's certificate {}", why_refused(error))
        }
        rustls::Error::NoCertificatesPresented => {
            "the other side showed no certificate; every node and user needs one of the \
             consortium's"
                .into()
        }
        rustls::Error::AlertReceived(alert) => explain_alert(&format!("{alert:?}")).map_or_else(
            || format!("the other side ended the TLS handshake: {alert:?}"),
            str::to_owned,
        ),
        rustls::Error::InvalidMessage(_) | rustls::Error::PeerIncompatible(_) => {
            format!("the other side does not speak TLS 1.3: {error}")
        }
        other => format!("TLS failed: {other}"),
    }
}

/// What an alert of the other side means for us.
fn explain_alert(text: &str) -> Option<&'static str> {
    const MEANINGS: [(&str, &str); 8] = [
        (
            "CertificateExpired",
            "the other side says: our certificate has expired (or its clock differs); request and \
             sign a new one",
        ),
        (
            "CertificateRevoked",
            "the other side says: our certificate has been revoked by the consortium's authority",
        ),
        (
            "UnknownCA",
            "the other side says: our certificate is signed by another certificate authority than \
             its own (compare ca.crt)",
        ),
        (
            "CertificateRequired",
            "the other side says: we showed no certificate",
        ),
        (
            "BadCertificate",
            "the other side says: our certificate cannot be read",
        ),
        (
            "AccessDenied",
            "the other side says: our certificate entitles us to nothing here",
        ),
        (
            "CertificateUnknown",
            "the other side says: our certificate is not the one it expects",
        ),
        (
            "DecryptError",
            "the other side says: our certificate is signed by another certificate authority than \
             its own (compare ca.crt)",
        ),
    ];
    MEANINGS
        .iter()
        .find(|(name, _)| text.contains(name))
        .map(|(_, meaning)| *meaning)
}
