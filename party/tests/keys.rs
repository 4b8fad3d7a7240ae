//! A change of a node's own key, where the policy asks for two people: nobody makes it alone, in a running node or at its start.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use ed25519_dalek::VerifyingKey;
use paripassu_audit::event::{hex, key_digest};
use paripassu_party::{
    config::PartyConfig,
    policy::{
        keys::{guard, statement},
        signed::{PersonSignature, Signatures, statement as policy_statement},
    },
};
use paripassu_service::{
    clock::Clock,
    identity::{Identity, files, said_by},
    person::PersonKey,
    pki,
    transcript::Transcript,
};

struct House {
    dir: tempfile::TempDir,
    people: Vec<(String, PersonKey)>,
    config: PartyConfig,
}

fn digest(key: &VerifyingKey) -> String {
    hex(&key_digest(key))
}

impl House {
    fn new(key_signers: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        pki::init(&path("ca"), "Test consortium", 365).unwrap();
        let names = ["owner-1", "compliance-1"];
        let people: Vec<_> = names
            .map(|name| (name.to_owned(), PersonKey::create(&path(name)).unwrap()))
            .into();
        let mut policy = format!(
            "[policy]\nowner = \"bank\"\nversion = 1\nsigners_required = 2\n{key_signers}\n"
        );
        for ((name, key), role) in people.iter().zip(["data_owner", "compliance"]) {
            policy.push_str(&format!(
                "[[person]]\nname = \"{name}\"\nroles = [\"{role}\"]\nkey = \"{}\"\n",
                key.public()
            ));
        }
        fs::write(path("policy.toml"), &policy).unwrap();
        let text = "policy = \"policy.toml\"\ncoordinator = \"c:1\"\nidentity = \"bank\"\n\
                    state = \"state\"\nresults = \"results\"\n";
        let config = PartyConfig::from_toml(text, &path("party.toml")).unwrap();
        fs::create_dir(&config.state).unwrap();
        let house = Self {
            dir,
            people,
            config,
        };
        let beside = house.path("policy.toml.sig");
        house.sign(&beside, &policy_statement("bank", &policy), &[0, 1]);
        house.certify("bank");
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a key and a certificate of the bank's in a folder.
    fn certify(&self, folder: &str) -> Identity {
        let (ca, node) = (self.path("ca"), self.path(folder));
        let peer = "party/bank".parse().unwrap();
        let csr = pki::request(&node, &peer).unwrap();
        let crt = self.path(&format!("{folder}.crt"));
        pki::sign(&ca, &csr, Some(&peer), &crt, 30).unwrap();
        pki::install(&node, &crt, &ca.join(files::AUTHORITY), None).unwrap()
    }

    fn sign(&self, beside: &Path, statement: &[u8], who: &[usize]) {
        let signature = who.iter().map(|at| {
            let (name, key) = &self.people[*at];
            PersonSignature {
                name: name.clone(),
                key: key.public(),
                signature: hex(&key.sign(statement)),
            }
        });
        let signatures = Signatures {
            signature: signature.collect(),
        };
        fs::write(beside, toml::to_string(&signatures).unwrap()).unwrap();
    }

    fn sign_key(&self, statement: &[u8], who: &[usize]) {
        self.sign(&self.path("bank/node.crt.sig"), statement, who);
    }

    /// Puts another certificate and key in the place of the node's; the digest of its key.
    fn put(&self, folder: &str) -> VerifyingKey {
        for file in [files::KEY, files::CERTIFICATE] {
            fs::copy(self.path(folder).join(file), self.path("bank").join(file)).unwrap();
        }
        said_by(&self.path("bank").join(files::CERTIFICATE))
            .unwrap()
            .1
    }

    /// The node's identity, as its start takes it.
    fn start(&self) -> Arc<Identity> {
        let identity = Identity::load(&self.config.identity).unwrap();
        let guard = guard(self.config.clone(), "bank".into(), Clock::system());
        identity.guard_key(guard);
        Arc::new(identity)
    }
}

#[test]
fn a_running_node_takes_a_key_that_two_different_people_have_signed() {
    let house = House::new("key_signers = 2");
    let identity = house.start();
    let old = digest(&identity.public_key());
    house.certify("next");
    let new = house.put("next");
    let why = || identity.refresh().unwrap_err().to_string();
    assert!(why().contains("0 of 2"), "{}", why());
    assert!(why().contains("rule `key_signers`"), "{}", why());
    let change = statement("bank", &old, &new);
    house.sign_key(&change, &[0]);
    assert!(
        why().contains("1 of 2") && why().contains("compliance-1"),
        "{}",
        why()
    );
    // one person twice
    house.sign_key(&change, &[0, 0]);
    assert!(why().contains("1 of 2"), "{}", why());
    // signed for another key, from another key, by another party
    house.certify("other");
    let other = said_by(&house.path("other/node.crt")).unwrap().1;
    for stray in [
        statement("bank", &old, &other),
        statement("bank", &digest(&other), &new),
        statement("partner", &old, &new),
        policy_statement("bank", &old),
    ] {
        house.sign_key(&stray, &[0, 1]);
        assert!(why().contains("0 of 2"), "{}", why());
    }
    assert!(!identity.has_another_key());
    house.sign_key(&change, &[0, 1]);
    assert!(identity.refresh().unwrap() && identity.has_another_key());
}

#[test]
fn a_node_does_not_start_with_a_key_that_one_person_put_there() {
    let house = House::new("key_signers = 2");
    let identity = house.start();
    let old = digest(&identity.public_key());
    let open =
        |identity: Arc<Identity>| Transcript::open(&house.config.state, identity, Clock::system());
    let first = identity.public_key();
    fs::create_dir(house.path("first")).unwrap();
    for file in [files::KEY, files::CERTIFICATE] {
        fs::copy(
            house.path("bank").join(file),
            house.path("first").join(file),
        )
        .unwrap();
    }
    // the first start changes nothing
    open(identity).unwrap().close();
    house.certify("next");
    let new = house.put("next");
    let refused = open(house.start()).unwrap_err().to_string();
    assert!(refused.contains("0 of 2"), "{refused}");
    house.sign_key(&statement("bank", &old, &new), &[1]);
    let refused = open(house.start()).unwrap_err().to_string();
    assert!(
        refused.contains("1 of 2") && refused.contains("owner-1"),
        "{refused}"
    );
    house.sign_key(&statement("bank", &old, &new), &[1, 0]);
    open(house.start()).unwrap().close();
    // nor is the one before put back by one person
    house.put("first");
    house.sign_key(&statement("bank", &digest(&new), &first), &[0]);
    let refused = open(house.start()).unwrap_err().to_string();
    assert!(refused.contains("1 of 2"), "{refused}");
}

#[test]
fn without_that_rule_nobody_has_to_sign() {
    let house = House::new("");
    let identity = house.start();
    house.certify("next");
    house.put("next");
    assert!(identity.refresh().unwrap() && identity.has_another_key());
}
