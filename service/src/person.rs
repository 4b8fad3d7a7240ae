//! A person's own key: signs approvals, rejections and policies, apart from any node.

use std::{fmt, path::Path};

use ed25519_dalek::{Signer, SigningKey, pkcs8::DecodePrivateKey};
use paripassu_audit::{
    consent::{Decided, Signature, person_statement},
    event::hex,
};

use crate::{
    identity::{IdentityError, private_key},
    pki::{self, PkiError},
};

/// A person's private key, wiped from memory when dropped.
pub struct PersonKey(SigningKey);

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PersonKey({})", self.public())
    }
}

impl PersonKey {
    /// Makes a key in a new file that only its owner can read (PKCS #8 PEM).
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, PkiError> {
        let pem = pki::fresh_key()?;
        let key = SigningKey::from_pkcs8_pem(&pem).map_err(|_| PkiError::KeyKind)?;
        pki::write_new(path, pem.as_bytes(), 0o600)?;
        Ok(Self(key))
    }

    /// Reads a key.
    ///
    /// # Errors
    /// When the file cannot be read, is no key, or can be read by others.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        Ok(Self(private_key(path)?.1))
    }

    /// The public key, 64 hexadecimal digits.
    pub fn public(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }

    /// Signs bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Signs a decision as `name` in a role.
    pub fn decide(&self, decided: &Decided<'_>, name: &str, role: &str) -> Signature {
        Signature {
            name: name.to_owned(),
            role: role.to_owned(),
            key: self.0.verifying_key().to_bytes(),
            signature: self.sign(&person_statement(decided, name, role)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_owners_alone_and_is_never_overwritten() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("owner.key");
        let made = PersonKey::create(&path).unwrap();
        assert_eq!(PersonKey::load(&path).unwrap().public(), made.public());
        assert!(matches!(
            PersonKey::create(&path),
            Err(PkiError::Exists { .. })
        ));
        let shown = format!("{made:?}");
        assert!(shown.contains(&made.public()) && shown.len() < 80);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(PersonKey::load(&path).is_err());
    }
}
