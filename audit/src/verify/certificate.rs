//! Certificates, as far as signatures of a transcript need them: one authority, leaves directly below.

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::bundle::unbase64;

const ED25519_OID: &str = "1.3.101.112";

/// What matters of a certificate. Nothing is proven by reading one.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// The one URI that names its owner; empty for an authority.
    pub(crate) uri: String,
    pub(crate) key: VerifyingKey,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub(crate) key_digest: [u8; 32],
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) is_authority: bool,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    signed: Vec<u8>,
    signature: Option<Signature>,
}

/// The DER of a PEM text that holds exactly one certificate.
pub(crate) fn der_of_pem(pem: &str) -> Option<Vec<u8>> {
    let body = pem
        .trim()
        .strip_prefix("-----BEGIN CERTIFICATE-----")?
        .strip_suffix("-----END CERTIFICATE-----")?;
    let joined: String = body.split_ascii_whitespace().collect();
    unbase64(&joined)
}

impl Certificate {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, &'static str> {
        Self::from_der(&der_of_pem(pem).ok_or("it is not one PEM certificate")?)
    }

    pub(crate) fn from_der(der: &[u8]) -> Result<Self, &'static str> {
        let (rest, read) =
            X509Certificate::from_der(der).map_err(|_| "it is no X.509 certificate")?;
        if !rest.is_empty() {
            return Err("bytes follow the certificate");
        }
        let spki = read.public_key();
        if spki.algorithm.algorithm.to_id_string() != ED25519_OID {
            return Err("its key is no Ed25519 key");
        }
        let raw: &[u8] = &spki.subject_public_key.data;
        let key = raw
            .try_into()
            .ok()
            .and_then(|raw: &[u8; 32]| VerifyingKey::from_bytes(raw).ok())
            .ok_or("its key is no Ed25519 key")?;
        let names = read
            .subject_alternative_name()
            .map_err(|_| "its names cannot be read")?;
        let mut uris = names.iter().flat_map(|names| {
            names
                .value
                .general_names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::URI(uri) => Some((*uri).to_owned()),
                    _ => None,
                })
        });
        let uri = uris.next().unwrap_or_default();
        if uris.next().is_some() {
            return Err("it carries more than one URI");
        }
        let is_authority = read
            .basic_constraints()
            .map_err(|_| "its constraints cannot be read")?
            .is_some_and(|c| c.value.ca);
        let ed25519 = read.signature_algorithm.algorithm.to_id_string() == ED25519_OID;
        let signature = Signature::from_slice(&read.signature_value.data)
            .ok()
            .filter(|_| ed25519);
        Ok(Self {
            uri,
            key,
            key_digest: Sha256::digest(spki.raw).into(),
            not_before: read.validity().not_before.timestamp(),
            not_after: read.validity().not_after.timestamp(),
            is_authority,
            issuer: read.issuer().as_raw().to_vec(),
            subject: read.subject().as_raw().to_vec(),
            signed: read.tbs_certificate.as_ref().to_vec(),
            signature,
        })
    }

    /// Whether `authority` signed it.
    pub(crate) fn issued_by(&self, authority: &Self) -> Result<(), &'static str> {
        if !authority.is_authority {
            return Err("the authority's certificate is none of an authority");
        }
        if self.is_authority {
            return Err("it is the certificate of an authority, not of a node");
        }
        if self.issuer != authority.subject {
            return Err("it names another authority as its issuer");
        }
        let signature = self
            .signature
            .ok_or("it is not signed with Ed25519; pin its key instead")?;
        authority
            .key
            .verify_strict(&self.signed, &signature)
            .map_err(|_| "it is not signed by the authority")
    }

    /// Whether `at`, in seconds since 1970, is within its validity.
    pub(crate) fn valid_at(&self, at: i64) -> bool {
        (self.not_before..=self.not_after).contains(&at)
    }
}
