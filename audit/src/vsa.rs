//! A verification summary: that this verifier judged this bundle by that policy, for someone who need not
//! see the transcript.
//!
//! The statement is an in-toto statement (`_type` v1) with the predicate of SLSA's verification summary
//! attestation v1, the envelope DSSE. Unsigned it is a note; signed it is the word of whoever holds the key.

use serde_json::{Value, json};

use crate::{
    bundle::base64,
    event::{format_time, hex},
    note::{Signer, SignerError},
    verify::{Outcome, Verdict},
};
use sha2::{Digest, Sha256};

/// `_type` of the statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of the statement.
pub const PREDICATE: &str = "https://slsa.dev/verification_summary/v1";
/// `payloadType` of the envelope.
pub const PAYLOAD: &str = "application/vnd.in-toto+json";
/// The level that a bundle reaches which passes all checks.
pub const LEVEL: &str = "PARIPASSU_AUDIT_V1";

/// What was judged, by what, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged<'a> {
    /// The bundle's file name.
    pub file: &'a str,
    /// Its SHA-256, hexadecimal.
    pub sha256: &'a str,
    /// The trust file's name.
    pub policy: &'a str,
    /// Its SHA-256, hexadecimal.
    pub policy_sha256: &'a str,
    /// Who judged, as a URI.
    pub verifier: &'a str,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// The statement.
pub fn statement(verdict: &Verdict, judged: &Judged<'_>) -> Value {
    let failed = verdict.checks.iter();
    let failed = failed.filter(|check| check.outcome == Outcome::Failed);
    let failed: Vec<_> = failed.map(|check| check.check).collect();
    let (result, levels) = if verdict.ok {
        ("PASSED", vec![LEVEL])
    } else {
        ("FAILED", vec!["FAILED"])
    };
    json!({
        "_type": STATEMENT,
        "subject": [{"name": judged.file, "digest": {"sha256": judged.sha256}}],
        "predicateType": PREDICATE,
        "predicate": {
            "verifier": {
                "id": judged.verifier,
                "version": {"paripassu": env!("CARGO_PKG_VERSION")},
            },
            "timeVerified": format_time(judged.at).unwrap_or_default(),
            "resourceUri": format!("urn:paripassu:job:{}", verdict.job),
            "policy": {
                "uri": format!("urn:paripassu:trust:{}", judged.policy),
                "digest": {"sha256": judged.policy_sha256},
            },
            "inputAttestations": [{
                "uri": format!("urn:paripassu:contract:{}", verdict.job),
                "digest": {"sha256": verdict.contract},
            }],
            "verificationResult": result,
            "verifiedLevels": levels,
            "slsaVersion": "1.0",
            "failedChecks": failed,
            "exitCode": verdict.exit_code,
        },
    })
}

/// What a DSSE signature covers.
fn pre_authentication(payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), payload.len()).into_bytes();
    out.extend(payload);
    out
}

/// The statement in a signed envelope. The key id is the SHA-256 of the raw public key.
///
/// # Errors
/// When the key does not sign.
pub fn signed(statement: &Value, signer: &dyn Signer) -> Result<Value, SignerError> {
    let payload = statement.to_string().into_bytes();
    let signature = signer.sign(&pre_authentication(&payload))?;
    Ok(json!({
        "payloadType": PAYLOAD,
        "payload": base64(&payload),
        "signatures": [{
            "keyid": hex(&Sha256::digest(signer.public_key())),
            "sig": base64(&signature),
        }],
    }))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, SigningKey};

    use super::*;
    use crate::{bundle::unbase64, note::Ed25519Signer};

    #[test]
    fn a_signed_summary_verifies_and_says_what_was_judged() {
        let verdict = Verdict {
            job: "j-1".into(),
            contract: "cc".repeat(32),
            maker: "paripassu/party/bank".into(),
            ok: true,
            exit_code: 0,
            logs: Vec::new(),
            checks: Vec::new(),
            findings: Vec::new(),
            notes: Vec::new(),
        };
        let judged = Judged {
            file: "j-1.bundle",
            sha256: "aa",
            policy: "trust.toml",
            policy_sha256: "bb",
            verifier: "https://bank.example/audit",
            at: 0,
        };
        let said = statement(&verdict, &judged);
        assert_eq!(said["predicate"]["verificationResult"], "PASSED");
        assert_eq!(said["predicate"]["timeVerified"], "1970-01-01T00:00:00Z");
        assert_eq!(said["subject"][0]["digest"]["sha256"], "aa");
        let bad = Verdict {
            ok: false,
            exit_code: 17,
            ..verdict
        };
        assert_eq!(
            statement(&bad, &judged)["predicate"]["verificationResult"],
            "FAILED"
        );
        let key = SigningKey::from_bytes(&[3; 32]);
        let envelope = signed(&said, &Ed25519Signer::new(key.clone())).unwrap();
        let payload = unbase64(envelope["payload"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), said);
        let sig = unbase64(envelope["signatures"][0]["sig"].as_str().unwrap()).unwrap();
        let sig = Signature::from_slice(&sig).unwrap();
        let covered = pre_authentication(&payload);
        assert!(covered.starts_with(b"DSSEv1 28 application/vnd.in-toto+json "));
        key.verifying_key().verify_strict(&covered, &sig).unwrap();
    }
}
