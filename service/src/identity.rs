//! Who a node is: certificate, key, and whom it trusts.
//!
//! The certificate's one URI (`spiffe://paripassu/<kind>/<id>`) is the identity; its Ed25519 key signs
//! decisions and job keys as well as TLS handshakes.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use ed25519_dalek::{Signer, SigningKey, VerifyingKey, pkcs8::DecodePrivateKey};
use paripassu_audit::event::{hex, key_digest};
use paripassu_crypto::masking::derive;
use paripassu_proto::{IdError, Peer, limits};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime, pem::PemObject,
};
use tokio::sync::watch;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

mod trust;

pub(crate) use trust::Judge;
pub use trust::Trust;

/// File names in an identity directory.
pub mod files {
    /// The node's certificate.
    pub const CERTIFICATE: &str = "node.crt";
    /// The node's private key.
    pub const KEY: &str = "node.key";
    /// The request for a certificate.
    pub const REQUEST: &str = "node.csr";
    /// The consortium's certificate authority.
    pub const AUTHORITY: &str = "ca.crt";
    /// Certificates that count no longer; may be absent.
    pub const REVOKED: &str = "crl.pem";
}

/// Why an identity cannot be used or a certificate is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}{}", path.display(), hint(path))]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("{} is not {want}", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// What it should be.
        want: &'static str,
    },
    /// Others on the machine can read or replace the key.
    #[error(
        "{} has mode {mode:03o}: others can read or replace this private key; run `chmod 600` on it",
        path.display()
    )]
    Permissions {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Key and certificate do not belong together.
    #[error("{} and {} do not belong together", key.display(), certificate.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The certificate is not accepted.
    #[error("{whose} {why}")]
    Refused {
        /// Whose certificate, such as "the certificate of party/bank".
        whose: String,
        /// Why.
        why: String,
    },
    /// The certificate carries no usable identity.
    #[error("the certificate carries no single spiffe:// identity")]
    NoIdentity,
    /// The identity in the certificate is not one of ours.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Too few people of the institution have signed the change to this key.
    #[error("the node's new key is not taken: {why}")]
    KeyNotSigned {
        /// What is lacking.
        why: String,
    },
    /// The certificate's key is of another kind.
    #[error("the certificate's key is not an Ed25519 key")]
    KeyKind,
    /// A chain is empty or longer than any of ours.
    #[error(
        "a certificate chain of {got} certificates where 1 to {} are possible",
        limits::MAX_CHAIN
    )]
    Chain {
        /// How many.
        got: usize,
    },
    /// The trust anchors cannot be used.
    #[error("the certificate authority or revocation list cannot be used: {reason}")]
    Anchors {
        /// Why.
        reason: String,
    },
    /// Somebody is not who is expected.
    #[error("the certificate is {got}'s where {want} is expected")]
    Unexpected {
        /// Who is expected.
        want: String,
        /// Who it is.
        got: Peer,
    },
    /// A signature does not verify.
    #[error("the signature is not by {signer}, or what was signed was altered")]
    Signature {
        /// Whose it should be.
        signer: Peer,
    },
}

fn hint(path: &Path) -> &'static str {
    match path.file_name().and_then(|n| n.to_str()) {
        Some(files::KEY) => "; make one with `paripassu pki request`",
        Some(files::CERTIFICATE) => "; have the request signed with `paripassu pki sign`",
        Some(files::AUTHORITY) => "; copy the consortium's ca.crt here",
        _ => "",
    }
}

/// An identity proven by a certificate of the consortium. Made by [`Trust::verify`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    peer: Peer,
    key: VerifyingKey,
}

impl Certified {
    /// Who.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The key that signs for this identity.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }
}

/// What a certificate says of its owner; proves nothing by itself.
fn read_leaf(der: &[u8]) -> Result<Certified, IdentityError> {
    let (_, cert) = X509Certificate::from_der(der).map_err(|_| IdentityError::NoIdentity)?;
    let names = cert
        .subject_alternative_name()
        .ok()
        .flatten()
        .ok_or(IdentityError::NoIdentity)?;
    let mut uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(IdentityError::NoIdentity);
    };
    let peer = Peer::from_spiffe(uri)?;
    let raw: &[u8] = &cert.public_key().subject_public_key.data;
    let raw: &[u8; 32] = raw.try_into().map_err(|_| IdentityError::KeyKind)?;
    let key = VerifyingKey::from_bytes(raw).map_err(|_| IdentityError::KeyKind)?;
    Ok(Certified { peer, key })
}

/// A certificate with its key.
struct Held {
    chain: Vec<CertificateDer<'static>>,
    key: SigningKey,
    public: VerifyingKey,
    key_der: Zeroizing<Vec<u8>>,
}

/// A node's own certificate and key, with the trust it puts in others.
///
/// Both may be renewed while the node runs: connections show the new certificate from the next one on
/// ([`Self::refresh`]); what the node signs is signed with the key before until it is idle, so that no job
/// changes keys in its middle.
pub struct Identity {
    peer: Peer,
    dir: PathBuf,
    signs: RwLock<Arc<Held>>,
    shows: RwLock<Arc<Held>>,
    renewed: watch::Sender<u64>,
    /// Since when a renewed key waits to sign.
    waits: Mutex<Option<Instant>>,
    guard: OnceLock<Box<KeyGuard>>,
    trust: Trust,
}

/// Asked before a node takes another key: the digest of the one before
/// ([`key_digest`], in hexadecimal digits), and the new one. An error says what is
/// lacking.
pub type KeyGuard = dyn Fn(&str, &VerifyingKey) -> Result<(), String> + Send + Sync;

/// What a certificate's file says of its owner: who, and their key. It proves nothing.
///
/// # Errors
/// When it cannot be read, or is no node's or person's certificate.
pub fn said_by(certificate: &Path) -> Result<(Peer, VerifyingKey), IdentityError> {
    let chain = read_chain(certificate)?;
    let leaf = chain.first().ok_or(IdentityError::Chain { got: 0 })?;
    let leaf = read_leaf(leaf)?;
    Ok((leaf.peer, leaf.key))
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.peer)
    }
}

impl Held {
    fn load(dir: &Path) -> Result<(Peer, Self), IdentityError> {
        let key_path = dir.join(files::KEY);
        let (pem, key) = private_key(&key_path)?;
        let key_der =
            PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| IdentityError::Format {
                path: key_path.clone(),
                want: "a PKCS #8 PEM key",
            })?;
        let key_der = Zeroizing::new(key_der.secret_pkcs8_der().to_vec());

        let path = dir.join(files::CERTIFICATE);
        let chain = read_chain(&path)?;
        let leaf = chain
            .first()
            .map(|c| read_leaf(c))
            .ok_or(IdentityError::Chain { got: 0 })??;
        if leaf.key != key.verifying_key() {
            return Err(IdentityError::Mismatch {
                key: key_path,
                certificate: path,
            });
        }
        let held = Self {
            chain,
            public: leaf.key,
            key,
            key_der,
        };
        Ok((leaf.peer, held))
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| IdentityError::Format {
            path: path.to_owned(),
            want: "a PEM certificate",
        })
}

fn now<T>(held: &RwLock<Arc<T>>) -> Arc<T> {
    Arc::clone(&held.read().unwrap_or_else(PoisonError::into_inner))
}

fn put<T>(held: &RwLock<Arc<T>>, next: Arc<T>) {
    *held.write().unwrap_or_else(PoisonError::into_inner) = next;
}

impl Identity {
    /// Reads `node.crt`, `node.key`, `ca.crt` and, if there is one, `crl.pem`.
    ///
    /// # Errors
    /// When a file is missing, malformed, readable by others (the key), when key and certificate do
    /// not belong together, or when the certificate is expired, revoked or of another authority.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        Self::load_at(dir, UnixTime::now())
    }

    /// Like [`Self::load`], judging validity at another time.
    ///
    /// # Errors
    /// As there.
    pub fn load_at(dir: &Path, now: UnixTime) -> Result<Self, IdentityError> {
        let identity = Self::load_unverified(dir)?;
        identity.trust.verify_at(&identity.chain(), now)?;
        Ok(identity)
    }

    /// Reads the files without asking whether the certificate would be accepted; for `doctor` and
    /// for showing what others will say of it.
    ///
    /// # Errors
    /// When a file is missing or malformed or key and certificate do not belong together.
    pub fn load_unverified(dir: &Path) -> Result<Self, IdentityError> {
        let (peer, held) = Held::load(dir)?;
        let held = Arc::new(held);
        Ok(Self {
            peer,
            dir: dir.to_owned(),
            signs: RwLock::new(Arc::clone(&held)),
            shows: RwLock::new(held),
            renewed: watch::Sender::new(0),
            waits: Mutex::default(),
            guard: OnceLock::new(),
            trust: Trust::load(dir)?,
        })
    }

    /// Looks whether certificate and key have been renewed in their folder; true when connections show another
    /// certificate from now on.
    ///
    /// # Errors
    /// When the new ones cannot be read, do not belong together, are not accepted, or are another node's: those before
    /// stay in use. While one file is replaced and the other is not, that is so for a moment.
    pub fn refresh(&self) -> Result<bool, IdentityError> {
        let shown = now(&self.shows);
        if read_chain(&self.dir.join(files::CERTIFICATE))? == shown.chain {
            return Ok(false);
        }
        let (peer, held) = Held::load(&self.dir)?;
        self.trust.verify(&held.chain)?;
        if peer != self.peer {
            return Err(IdentityError::Unexpected {
                want: self.peer.to_string(),
                got: peer,
            });
        }
        let signs = now(&self.signs).public;
        if held.public != signs {
            self.may_become(&hex(&key_digest(&signs)), &held.public)?;
        }
        let held = Arc::new(held);
        // a longer life of the same key changes nothing in what is signed
        if held.public == now(&self.signs).public {
            put(&self.signs, Arc::clone(&held));
        }
        put(&self.shows, held);
        self.waits().get_or_insert_with(Instant::now);
        self.renewed.send_modify(|times| *times += 1);
        Ok(true)
    }

    /// Asks `guard` before another key is taken from now on; the first guard stays.
    pub fn guard_key(
        &self,
        guard: impl Fn(&str, &VerifyingKey) -> Result<(), String> + Send + Sync + 'static,
    ) {
        let _ = self.guard.set(Box::new(guard));
    }

    /// Whether the key with this digest may be followed by another.
    pub(crate) fn may_become(&self, old: &str, new: &VerifyingKey) -> Result<(), IdentityError> {
        match self.guard.get() {
            Some(guard) => guard(old, new).map_err(|why| IdentityError::KeyNotSigned { why }),
            None => Ok(()),
        }
    }

    /// Whether a renewed key waits to sign.
    pub fn has_another_key(&self) -> bool {
        now(&self.shows).public != now(&self.signs).public
    }

    /// Signs with the renewed key from now on.
    pub(crate) fn take_over(&self) {
        put(&self.signs, now(&self.shows));
        *self.waits() = None;
    }

    /// Whether a renewed key has waited so long for the node to be idle that it begins no job with the one before any more:
    /// the key then signs at the latest when the jobs under way have ended, each of which has a deadline.
    pub fn key_is_due(&self, patience: Duration) -> bool {
        let waited = self
            .waits()
            .is_some_and(|since| since.elapsed() >= patience);
        waited && self.has_another_key()
    }

    fn waits(&self) -> MutexGuard<'_, Option<Instant>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells when connections show another certificate.
    pub(crate) fn renewals(&self) -> watch::Receiver<u64> {
        self.renewed.subscribe()
    }

    /// Who this is.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// A key for what this node keeps on its own disk, which whoever has the disk without the node's key cannot make.
    pub fn storage_key(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let secret = Zeroizing::new(now(&self.signs).key.to_bytes());
        derive(&secret, b"paripassu/v1 storage", &[purpose.as_bytes()])
    }

    /// The certificate chain of the key that signs, leaf first.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        now(&self.signs).chain.clone()
    }

    /// The certificate of the key that signs, in PEM.
    pub fn certificate_pem(&self) -> String {
        let held = now(&self.signs);
        held.chain
            .first()
            .map_or_else(String::new, |leaf| pem(leaf))
    }

    /// The key that signs.
    pub fn public_key(&self) -> VerifyingKey {
        now(&self.signs).public
    }

    /// The renewed certificate and its key, or those that sign.
    pub(crate) fn shown(&self) -> (String, VerifyingKey) {
        let held = now(&self.shows);
        let pem = held
            .chain
            .first()
            .map_or_else(String::new, |leaf| pem(leaf));
        (pem, held.public)
    }

    /// Whom this node trusts.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Signs with the certificate's key.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        now(&self.signs).key.sign(message).to_bytes()
    }

    /// Gives the key that signs to something that takes no other.
    pub(crate) fn with_key<T>(&self, f: impl FnOnce(&SigningKey) -> T) -> T {
        f(&now(&self.signs).key)
    }

    /// What a connection shows: the chain, leaf first, and its key.
    pub(crate) fn for_tls(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let held = now(&self.shows);
        let key = PrivatePkcs8KeyDer::from(held.key_der.to_vec()).into();
        (held.chain.clone(), key)
    }
}

/// A certificate in PEM (RFC 7468).
fn pem(der: &[u8]) -> String {
    let text = paripassu_audit::bundle::base64(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Reads a private key that only its owner may read: its PEM and itself.
pub(crate) fn private_key(path: &Path) -> Result<(Zeroizing<Vec<u8>>, SigningKey), IdentityError> {
    check_mode(path)?;
    let pem = Zeroizing::new(read(path)?);
    let text = std::str::from_utf8(&pem).unwrap_or_default();
    let key = SigningKey::from_pkcs8_pem(text).map_err(|_| IdentityError::Format {
        path: path.to_owned(),
        want: "an Ed25519 private key in PKCS #8 PEM",
    })?;
    Ok((pem, key))
}

fn check_mode(path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let meta = fs::metadata(path).map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}
