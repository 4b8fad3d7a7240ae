//! On the authority's machine: sign requests, keep an index, revoke.

use std::path::{Path, PathBuf};

use paripassu_proto::Peer;
use rand::{TryRng, rngs::SysRng};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SanType, SerialNumber,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    PkiError, days, fresh_key, load_key, make_dir, read_request, read_text, replace, write_new,
};
use crate::identity::files;

const KEY: &str = "ca.key";
const INDEX: &str = "issued.json";
/// How long nodes may rely on a revocation list.
const CRL_DAYS: i64 = 365;
/// Clocks of two machines may differ by this much.
const SKEW: time::Duration = time::Duration::minutes(10);

/// One certificate issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// `kind/id`.
    pub peer: String,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// Seconds since 1970, if revoked.
    pub revoked_at: Option<i64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    revocation_lists: u64,
    issued: Vec<Issued>,
}

/// The consortium's certificate authority, opened for signing.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    index: Index,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.dir.display())
    }
}

/// Makes an authority in `dir`: `ca.key` (readable by its owner alone), `ca.crt`, an empty `crl.pem`.
///
/// # Errors
/// When one is there already or the directory cannot be written.
pub fn init(dir: &Path, name: &str, valid_days: u32) -> Result<Authority, PkiError> {
    make_dir(dir)?;
    for file in [KEY, files::AUTHORITY, INDEX] {
        let path = dir.join(file);
        if path.exists() {
            return Err(PkiError::Exists { path });
        }
    }
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - SKEW;
    params.not_after = now + days(valid_days)?;
    params.serial_number = Some(SerialNumber::from_slice(&fresh_serial()?));
    let pem = fresh_key()?;
    let key = load_key(&pem)?;
    let certificate = params.self_signed(&key)?.pem();
    write_new(&dir.join(KEY), pem.as_bytes(), 0o600)?;
    write_new(&dir.join(files::AUTHORITY), certificate.as_bytes(), 0o644)?;
    let mut authority = Authority {
        dir: dir.to_owned(),
        issuer: Issuer::new(params, key),
        index: Index::default(),
    };
    authority.write_index()?;
    authority.write_revoked()?;
    Ok(authority)
}

/// Opens the authority in `dir`.
///
/// # Errors
/// When its files are missing or malformed.
pub fn open(dir: &Path) -> Result<Authority, PkiError> {
    let key = load_key(&zeroize::Zeroizing::new(read_text(&dir.join(KEY))?))?;
    let issuer = Issuer::from_ca_cert_pem(&read_text(&dir.join(files::AUTHORITY))?, key)?;
    Ok(Authority {
        dir: dir.to_owned(),
        issuer,
        index: read_index(dir)?,
    })
}

fn read_index(dir: &Path) -> Result<Index, PkiError> {
    let path = dir.join(INDEX);
    serde_json::from_str(&read_text(&path)?).map_err(|e| PkiError::Format {
        path,
        want: "the authority's index",
        reason: e.to_string(),
    })
}

/// Signs the request at `csr` into the new file `out`. With `expected`, refuses a request for anyone
/// else: say whom you mean to admit.
///
/// # Errors
/// When the request is malformed or for another identity, the id is taken by another kind of node, or
/// `out` exists.
pub fn sign(
    dir: &Path,
    csr: &Path,
    expected: Option<&Peer>,
    out: &Path,
    valid_days: u32,
) -> Result<Issued, PkiError> {
    let now = OffsetDateTime::now_utc();
    open(dir)?.sign(csr, expected, out, (now - SKEW, now + days(valid_days)?))
}

/// All certificates issued, oldest first.
///
/// # Errors
/// When the index cannot be read.
pub fn issued(dir: &Path) -> Result<Vec<Issued>, PkiError> {
    Ok(read_index(dir)?.issued)
}

/// Revokes every certificate in force of `peer` and renews `crl.pem`, which every node must then get.
///
/// # Errors
/// When none is in force or a file cannot be written.
pub fn revoke(dir: &Path, peer: &Peer) -> Result<Vec<Issued>, PkiError> {
    open(dir)?.revoke(peer)
}

impl Authority {
    /// Signs a request for a validity given from and to.
    ///
    /// # Errors
    /// As [`sign`].
    pub fn sign(
        &mut self,
        csr: &Path,
        expected: Option<&Peer>,
        out: &Path,
        (from, to): (OffsetDateTime, OffsetDateTime),
    ) -> Result<Issued, PkiError> {
        let request = read_request(csr)?;
        let peer = request.peer();
        if let Some(want) = expected
            && want != peer
        {
            return Err(PkiError::Unexpected {
                want: want.clone(),
                got: peer.clone(),
            });
        }
        let taken = self
            .index
            .issued
            .iter()
            .filter(|i| i.revoked_at.is_none())
            .find_map(|i| {
                let other: Peer = i.peer.parse().ok()?;
                (other.id == peer.id && other.kind != peer.kind).then_some(other)
            });
        if let Some(taken) = taken {
            return Err(PkiError::Taken {
                got: peer.clone(),
                taken,
            });
        }
        if out.exists() {
            return Err(PkiError::Exists {
                path: out.to_owned(),
            });
        }
        // Only identity and key are taken from the request; all else is the authority's to say.
        let serial = fresh_serial()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, peer.to_string());
        params
            .subject_alt_names
            .push(SanType::URI(peer.spiffe().as_str().try_into()?));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        params.not_before = from;
        params.not_after = to;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let certificate = params.signed_by(&request.key, &self.issuer)?;
        let entry = Issued {
            serial: hex(&serial),
            peer: peer.to_string(),
            not_before: from.unix_timestamp(),
            not_after: to.unix_timestamp(),
            revoked_at: None,
        };
        // The index first: a certificate that is not in it could not be revoked.
        self.index.issued.push(entry.clone());
        self.write_index()?;
        write_new(out, certificate.pem().as_bytes(), 0o644)?;
        Ok(entry)
    }

    /// Revokes every certificate in force of `peer`.
    ///
    /// # Errors
    /// As [`revoke`].
    pub fn revoke(&mut self, peer: &Peer) -> Result<Vec<Issued>, PkiError> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let name = peer.to_string();
        let mut revoked = Vec::new();
        for entry in &mut self.index.issued {
            if entry.peer == name && entry.revoked_at.is_none() {
                entry.revoked_at = Some(now);
                revoked.push(entry.clone());
            }
        }
        if revoked.is_empty() {
            return Err(PkiError::NotIssued { peer: peer.clone() });
        }
        self.write_index()?;
        self.write_revoked()?;
        Ok(revoked)
    }

    fn write_index(&self) -> Result<(), PkiError> {
        let path = self.dir.join(INDEX);
        let json = serde_json::to_vec_pretty(&self.index).map_err(|e| PkiError::Format {
            path: path.clone(),
            want: "writable as JSON",
            reason: e.to_string(),
        })?;
        replace(&path, &json, 0o600)
    }

    fn write_revoked(&mut self) -> Result<(), PkiError> {
        let now = OffsetDateTime::now_utc();
        self.index.revocation_lists += 1;
        let revoked_certs = self
            .index
            .issued
            .iter()
            .filter_map(|entry| {
                let at = OffsetDateTime::from_unix_timestamp(entry.revoked_at?).ok()?;
                Some(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&unhex(&entry.serial)?),
                    revocation_time: at,
                    reason_code: Some(RevocationReason::Unspecified),
                    invalidity_date: None,
                })
            })
            .collect();
        let list = CertificateRevocationListParams {
            this_update: now - SKEW,
            next_update: now + time::Duration::days(CRL_DAYS),
            crl_number: SerialNumber::from(self.index.revocation_lists),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = list.signed_by(&self.issuer)?.pem()?;
        self.write_index()?;
        replace(&self.dir.join(files::REVOKED), pem.as_bytes(), 0o644)
    }
}

fn fresh_serial() -> Result<[u8; 16], PkiError> {
    let mut serial = [0u8; 16];
    SysRng
        .try_fill_bytes(&mut serial)
        .map_err(|_| PkiError::Randomness)?;
    // positive and of full length in DER
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(serial)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let pairs = digits?;
    let (pairs, []) = pairs.as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(high * 16 + low).ok())
        .collect()
}
