//! Each revocation list's signature is verified once, not anew for every certificate that is held against it.
//!
//! The library asks for the list's signature whenever it judges a certificate. The algorithms below pass everything on,
//! and remember of the lists in force which key has signed them: same bytes, key, signature and algorithm, or it is
//! verified again.

use std::sync::{Arc, LazyLock, PoisonError, RwLock, Weak};

use rustls::{
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{
        AlgorithmIdentifier, CertificateRevocationListDer, FipsStatus, InvalidSignature,
        SignatureVerificationAlgorithm,
    },
};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// Signatures of one list that are remembered: its authority has one key.
const REMEMBERED: usize = 4;

/// A list that is in force somewhere in this process.
pub(super) struct List {
    message: Vec<u8>,
    proven: RwLock<Vec<Proven>>,
}

#[derive(PartialEq, Eq)]
struct Proven {
    algorithm: AlgorithmIdentifier,
    key: Vec<u8>,
    signature: Vec<u8>,
}

static LISTS: RwLock<Vec<Weak<List>>> = RwLock::new(Vec::new());

/// Remembers these lists for as long as what it returns is held.
pub(super) fn remember(lists: &[CertificateRevocationListDer<'_>]) -> Vec<Arc<List>> {
    let messages = lists.iter().filter_map(|list| {
        let (_, list) = CertificateRevocationList::from_der(list).ok()?;
        Some(list.tbs_cert_list.as_ref().to_vec())
    });
    messages.map(remember_message).collect()
}

fn remember_message(message: Vec<u8>) -> Arc<List> {
    let list = Arc::new(List {
        message,
        proven: RwLock::default(),
    });
    let mut known = LISTS.write().unwrap_or_else(PoisonError::into_inner);
    known.retain(|list| list.strong_count() > 0);
    known.push(Arc::downgrade(&list));
    list
}

fn known(message: &[u8]) -> Option<Arc<List>> {
    let lists = LISTS.read().unwrap_or_else(PoisonError::into_inner);
    let mut lists = lists.iter().filter_map(Weak::upgrade);
    lists.find(|list| list.message == message)
}

/// The same algorithms for certificates, with that memory.
pub(super) fn once(algorithms: WebPkiSupportedAlgorithms) -> WebPkiSupportedAlgorithms {
    static ALL: LazyLock<Vec<&'static dyn SignatureVerificationAlgorithm>> = LazyLock::new(|| {
        let all = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let once = |inner| -> &'static dyn SignatureVerificationAlgorithm {
            // once in a process
            Box::leak(Box::new(Once(inner)))
        };
        all.all.iter().map(|inner| once(*inner)).collect()
    });
    WebPkiSupportedAlgorithms {
        all: &ALL,
        ..algorithms
    }
}

#[derive(Debug)]
struct Once(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for Once {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let Some(list) = known(message) else {
            return self.0.verify_signature(public_key, message, signature);
        };
        let algorithm = self.0.signature_alg_id();
        {
            let proven = list.proven.read().unwrap_or_else(PoisonError::into_inner);
            if proven.iter().any(|proven| {
                proven.algorithm == algorithm
                    && proven.key == public_key
                    && proven.signature == signature
            }) {
                return Ok(());
            }
        }
        self.0.verify_signature(public_key, message, signature)?;
        let mut proven = list.proven.write().unwrap_or_else(PoisonError::into_inner);
        if proven.len() < REMEMBERED {
            proven.push(Proven {
                algorithm,
                key: public_key.to_vec(),
                signature: signature.to_vec(),
            });
        }
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }

    fn fips_status(&self) -> FipsStatus {
        self.0.fips_status()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustls::pki_types::alg_id;

    use super::*;

    /// Holds what ends in the key's first byte.
    #[derive(Debug)]
    struct Counting(AtomicUsize);

    impl SignatureVerificationAlgorithm for Counting {
        fn verify_signature(
            &self,
            public_key: &[u8],
            _: &[u8],
            signature: &[u8],
        ) -> Result<(), InvalidSignature> {
            self.0.fetch_add(1, Ordering::Relaxed);
            match signature.last() == public_key.first() {
                true => Ok(()),
                false => Err(InvalidSignature),
            }
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ED25519
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ED25519
        }
    }

    #[test]
    fn a_lists_signature_is_verified_once_and_everything_else_always() {
        static INNER: Counting = Counting(AtomicUsize::new(0));
        let once = Once(&INNER);
        let asked = || INNER.0.swap(0, Ordering::Relaxed);
        let list = remember_message(b"the list of this test".to_vec());
        for _ in 0..3 {
            assert!(
                once.verify_signature(b"k", b"the list of this test", b"sk")
                    .is_ok()
            );
        }
        assert_eq!(asked(), 1);
        // another signature, another key, a byte more: verified, and refused
        for (key, message, signature) in [
            (&b"k"[..], &b"the list of this test"[..], &b"sx"[..]),
            (b"x", b"the list of this test", b"sk"),
            (b"k", b"the list of this test.", b"sx"),
        ] {
            assert!(once.verify_signature(key, message, signature).is_err());
            assert!(once.verify_signature(key, message, signature).is_err());
            assert_eq!(asked(), 2);
        }
        // what is no list, or is none in force any more
        assert!(once.verify_signature(b"k", b"a certificate", b"sk").is_ok());
        assert!(once.verify_signature(b"k", b"a certificate", b"sk").is_ok());
        drop(list);
        assert!(
            once.verify_signature(b"k", b"the list of this test", b"sk")
                .is_ok()
        );
        assert_eq!(asked(), 3);
    }

    #[test]
    fn the_authoritys_list_is_remembered_by_what_it_signs() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca");
        crate::pki::init(&ca, "Test consortium", 365).unwrap();
        let trust = crate::identity::Trust::load(&ca).unwrap();
        let node = dir.path().join("bank");
        let peer = "party/bank".parse().unwrap();
        let csr = crate::pki::request(&node, &peer).unwrap();
        let crt = dir.path().join("bank.crt");
        crate::pki::sign(&ca, &csr, Some(&peer), &crt, 30).unwrap();
        let crl = ca.join(crate::identity::files::REVOKED);
        let identity = crate::pki::install(
            &node,
            &crt,
            &ca.join(crate::identity::files::AUTHORITY),
            Some(&crl),
        );
        let identity = identity.unwrap();
        trust.verify(&identity.chain()).unwrap();
        let der = {
            use rustls::pki_types::pem::PemObject;
            CertificateRevocationListDer::from_pem_slice(&std::fs::read(crl).unwrap()).unwrap()
        };
        let (_, parsed) = CertificateRevocationList::from_der(&der).unwrap();
        let list = known(parsed.tbs_cert_list.as_ref()).unwrap();
        assert!(!list.proven.read().unwrap().is_empty());
    }
}
