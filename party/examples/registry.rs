//! How long a consortium of 10,000 partners takes to load and judge: each partner's certificate is verified against
//! the authority and its revocation list, its policy is read with the signatures of its two people, and a contract
//! is judged by it.
//!
//! `cargo run --profile profiling -p paripassu-party --example registry [PARTNERS]`

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use ed25519_dalek::{Signer, SigningKey};
use paripassu_audit::{event::hex, policy::Asked};
use paripassu_job::{
    Spec,
    spec::{TemplateKind, template},
};
use paripassu_party::{
    config::PartyConfig,
    policy::{
        cases::contract,
        file::SAMPLE,
        judge::{Bench, judge},
        signed::{PersonSignature, Signatures, Taken, statement, take},
    },
};
use paripassu_service::{clock::Clock, identity::Trust};
use rayon::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ED25519, RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;

/// A partner as the registry keeps it on disk.
struct Partner {
    id: String,
    /// The contract that it is asked about, as it comes over the wire.
    contract: String,
    certificate: CertificateDer<'static>,
    policy: String,
    signatures: String,
}

fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1;
    let mut ticks = fields.split_whitespace().skip(11);
    let mut next = || ticks.next().unwrap().parse::<u64>().unwrap();
    Duration::from_millis(10 * (next() + next()))
}

fn main() {
    let partners: u32 = std::env::args()
        .nth(1)
        .map_or(10_000, |n| n.parse().unwrap());
    let now = Clock::system().now();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let serial = |number: u32| SerialNumber::from_slice(&(number + 1).to_be_bytes());
    // every hundredth is revoked
    let since = time::OffsetDateTime::now_utc() - time::Duration::hours(1);
    let revoked = (0..partners).step_by(100).map(|number| RevokedCertParams {
        serial_number: serial(number),
        revocation_time: since,
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: since,
        next_update: since + time::Duration::days(30),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&issuer).unwrap().der().clone();
    let trust = Trust::new(authority, vec![list]).unwrap();

    // a contract for each partner, which is its feature party
    let base = template(TemplateKind::Application).replace("id = \"coordinator\"", "id = \"hub\"");
    let until = (time::OffsetDateTime::now_utc() + time::Duration::days(20)).date();
    let base = format!("expires = \"{until}\"\n{base}");
    let made: Vec<Partner> = (0..partners)
        .map(|number| {
            let id = format!("partner-{number}");
            let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
            let uri = format!("spiffe://paripassu/party/{id}");
            params
                .subject_alt_names
                .push(SanType::URI(uri.as_str().try_into().unwrap()));
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![
                rcgen::ExtendedKeyUsagePurpose::ServerAuth,
                rcgen::ExtendedKeyUsagePurpose::ClientAuth,
            ];
            params.use_authority_key_identifier_extension = true;
            params.serial_number = Some(serial(number));
            let own = KeyPair::generate_for(&PKCS_ED25519).unwrap();
            let certificate = params.signed_by(&own, &issuer).unwrap().der().clone();
            let mut seed = [0; 32];
            seed[..4].copy_from_slice(&number.to_be_bytes());
            let people = [1, 2].map(|person| {
                seed[4] = person;
                SigningKey::from_bytes(&seed)
            });
            let public = people
                .clone()
                .map(|key| hex(key.verifying_key().as_bytes()));
            let policy = SAMPLE
                .replace("owner = \"bank\"  ", &format!("owner = \"{id}\""))
                .replace(
                    "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
                    &public[0],
                )
                .replace(
                    "22fc297792f0b6ffc0bfcfdb7edb0c0aa14e025a365ec0e342e86e3829cb74b6",
                    &public[1],
                )
                .replace("[\"partner\"]  ", "[\"bank\"]")
                .replace("max_results_days = 365 ", "# ")
                .replace(
                    "{ applications = [\"income\", \"age\", \"channel\"] }",
                    "{ customers = [\"tx_count_90d\", \"tenure_months\", \"segment\"] }",
                )
                .replace(
                    "[datasets.applications.grades]\nincome = 3\nage = 3\nchannel = 2",
                    "[datasets.customers.grades]\ntx_count_90d = 3\ntenure_months = 3\nsegment = 2",
                );
            let names = ["owner-1", "compliance-1"];
            let signature = names
                .iter()
                .zip(&people)
                .zip(&public)
                .map(|((name, key), public)| {
                    let signature = key.sign(&statement(&id, &policy)).to_bytes();
                    PersonSignature {
                        name: (*name).to_owned(),
                        key: public.clone(),
                        signature: hex(&signature),
                    }
                });
            let signatures = Signatures {
                signature: signature.collect(),
            };
            let job = base.replace("\"partner\"", &format!("\"{id}\""));
            let spec = Spec::from_toml(&job, "job.toml").unwrap();
            let contract = contract(spec, "user/modeler", now).unwrap();
            Partner {
                contract: contract.canonical().to_owned(),
                signatures: toml::to_string(&signatures).unwrap(),
                certificate,
                policy,
                id,
            }
        })
        .collect();

    let config = "coordinator = \"c:1\"\nidentity = \"i\"\nstate = \"s\"\nresults = \"r\"\n\
         [[dataset]]\nname = \"customers\"\npath = \"c.csv\"\nid = \"id\"\n\
         numeric = [\"tx_count_90d\", \"tenure_months\"]\ncategorical = [\"segment\"]\n";
    let config = PartyConfig::from_toml(config, "party.toml".as_ref()).unwrap();
    let mut watch = Watch::start();
    // revoked or not: who it is
    let accepted: Vec<bool> = made
        .par_iter()
        .map(|partner| {
            let verified = trust.verify(std::slice::from_ref(&partner.certificate));
            if let Ok(certified) = &verified {
                assert_eq!(certified.peer().id.as_str(), partner.id);
            }
            verified.is_ok()
        })
        .collect();
    let certificates = watch.lap();
    let known = || {
        made.par_iter()
            .zip(&accepted)
            .filter(|(_, accepted)| **accepted)
    };
    let policies: Vec<(&Partner, Taken)> = known()
        .map(|(partner, _)| {
            let taken = take(&partner.policy, &partner.signatures, &partner.id, None, now);
            (partner, taken.unwrap())
        })
        .collect();
    let taken = watch.lap();
    let verdicts: Vec<(usize, Option<String>)> = policies
        .par_iter()
        .map(|(partner, taken)| {
            let value = serde_json::from_str(&partner.contract).unwrap();
            let asked = Asked::of(&value, &partner.id, "user/modeler").unwrap();
            let bench = Bench {
                party: &partner.id,
                version: 1,
                file: Some(&taken.file),
                now,
                ..Bench::default()
            };
            let governed = config.governed(&taken.file);
            let judgement = judge(&governed, bench, Some(&asked), "user/modeler");
            (judgement.rules.len(), judgement.refusal())
        })
        .collect();
    let judged = watch.lap();
    let refused = accepted.iter().filter(|accepted| !**accepted).count();
    assert_eq!(refused as u32, partners.div_ceil(100));
    let refusal = verdicts.iter().find_map(|(_, refusal)| refusal.clone());
    assert_eq!(refusal, None);
    let rules: usize = verdicts.iter().map(|(rules, _)| rules).sum();
    let accepted = verdicts.len();
    println!(
        "{partners} partners: {accepted} certificates accepted, {refused} revoked; {accepted} policies taken with two \
         signatures each, as many contracts judged by {rules} rules in all"
    );
    for (what, (cpu, wall)) in [
        ("certificates", certificates),
        ("policies", taken),
        ("contracts", judged),
        ("all", watch.whole()),
    ] {
        let (cpu, wall) = (cpu.as_secs_f64(), wall.as_secs_f64());
        println!("{what}: processor time {cpu:.2} s, wall clock {wall:.2} s");
    }
}

/// Times parts of the run.
struct Watch {
    begun: (Duration, Instant),
    last: (Duration, Instant),
}

impl Watch {
    fn start() -> Self {
        let now = (processor_time(), Instant::now());
        Self {
            begun: now,
            last: now,
        }
    }

    /// Processor and wall-clock time since the last lap.
    fn lap(&mut self) -> (Duration, Duration) {
        let now = (processor_time(), Instant::now());
        let lap = (now.0 - self.last.0, now.1 - self.last.1);
        self.last = now;
        lap
    }

    fn whole(&self) -> (Duration, Duration) {
        (self.last.0 - self.begun.0, self.last.1 - self.begun.1)
    }
}
