//! Certificates that are refused, and what each side is told.

use std::{path::Path, sync::Arc};

use paripassu_proto::control::v1::{
    AttachRequest, Hello, Packet, node_service_client::NodeServiceClient, packet::Body,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::rig::*;
use crate::{
    identity::{Identity, files},
    pki, tls,
    transport::{PortEvent, UplinkConfig, dial},
};

/// What a node is told when it dials as `identity`.
async fn told(identity: &Arc<Identity>, served: &Served) -> String {
    let mut port = super::rig::dial(identity, served.address, &quick());
    match next(&mut port).await {
        PortEvent::Disconnected { reason } => reason,
        other => panic!("{other:?}"),
    }
}

fn unverified(dir: &Path) -> Arc<Identity> {
    Arc::new(Identity::load_unverified(dir).unwrap())
}

#[tokio::test]
async fn another_authority_is_refused_and_both_sides_say_so() {
    let (ours, theirs) = (Consortium::new(), Consortium::new());
    let served = serve(ours.enrol("coordinator/hub"), &quick(), None).await;
    // its own authority does not vouch for the hub: it refuses
    let reason = told(&theirs.enrol("party/bank"), &served).await;
    assert!(
        reason.contains("other side's certificate") && reason.contains("ca.crt"),
        "{reason}"
    );
    // it trusts the hub, but the hub does not trust it
    let dir = theirs.enrol_dir("party/partner", 1, 30);
    ours.trust_files(&dir);
    let reason = told(&unverified(&dir), &served).await;
    assert!(reason.contains("another certificate authority"), "{reason}");
    assert!(served.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn expired_certificates_are_refused_and_both_sides_say_so() {
    let consortium = Consortium::new();
    let served = serve(consortium.enrol("coordinator/hub"), &quick(), None).await;
    let dir = consortium.enrol_dir("party/bank", 10, -1);
    let own = Identity::load(&dir).unwrap_err().to_string();
    assert!(
        own.contains("party/bank") && own.contains("expired"),
        "{own}"
    );
    let reason = told(&unverified(&dir), &served).await;
    assert!(reason.contains("our certificate has expired"), "{reason}");

    let expired = unverified(&consortium.enrol_dir("coordinator/old", 10, -1));
    let old = serve(expired, &quick(), None).await;
    let reason = told(&consortium.enrol("party/partner"), &old).await;
    assert!(
        reason.contains("other side's certificate has expired"),
        "{reason}"
    );
}

#[tokio::test]
async fn revoked_certificates_are_refused_in_both_directions() {
    let consortium = Consortium::new();
    let bank = consortium.enrol("party/bank");
    let bad_hub = consortium.enrol("coordinator/bad");
    pki::revoke(&consortium.ca(), &peer("party/bank")).unwrap();
    pki::revoke(&consortium.ca(), &peer("coordinator/bad")).unwrap();
    let served = serve(consortium.enrol("coordinator/hub"), &quick(), None).await;
    let reason = told(&bank, &served).await;
    assert!(
        reason.contains("our certificate has been revoked"),
        "{reason}"
    );
    let bad = serve(bad_hub, &quick(), None).await;
    let reason = told(&consortium.enrol("party/partner"), &bad).await;
    assert!(
        reason.contains("other side's certificate has been revoked"),
        "{reason}"
    );
}

#[tokio::test]
async fn no_certificate_no_connection() {
    let consortium = Consortium::new();
    let identity = consortium.enrol("coordinator/hub");
    let served = serve(Arc::clone(&identity), &quick(), None).await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(consortium.ca().join(files::AUTHORITY)).unwrap();
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    roots
        .add(CertificateDer::from_pem_slice(&pem).unwrap())
        .unwrap();
    // a client that verifies as strictly as ours, but shows nothing
    let mut config = (*tls::client(&identity, None, &tls::Suite::ALL).unwrap()).clone();
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    let tcp = TcpStream::connect(served.address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("x").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .unwrap();
    use tokio::io::AsyncReadExt;
    let refused = stream.read(&mut [0; 16]).await.unwrap_err();
    let plain = tls::explain(&refused).unwrap();
    assert!(plain.contains("showed no certificate"), "{plain}");
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }
    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn only_a_coordinator_and_only_the_one_named_is_dialled() {
    let consortium = Consortium::new();
    let bank = consortium.enrol("party/bank");
    let impostor = serve(consortium.enrol("party/impostor"), &quick(), None).await;
    let reason = told(&bank, &impostor).await;
    assert!(
        reason.contains("party/impostor's where a coordinator"),
        "{reason}"
    );
    let other = serve(consortium.enrol("coordinator/other"), &quick(), None).await;
    let named = Some("hub".parse().unwrap());
    let refused = dial(&bank, &other.address.to_string(), named, &quick())
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("coordinator/other's where coordinator/hub"),
        "{refused}"
    );
}

#[tokio::test]
async fn users_do_not_attach_and_other_versions_are_told() {
    let consortium = Consortium::new();
    let served = serve(consortium.enrol("coordinator/hub"), &quick(), None).await;
    let reason = told(&consortium.enrol("user/mona"), &served).await;
    assert!(reason.contains("user/mona may not do this"), "{reason}");

    let bank = consortium.enrol("party/bank");
    let channel = dial(&bank, &served.address.to_string(), None, &quick())
        .await
        .unwrap();
    let hello = Hello {
        version: 99,
        session: Default::default(),
        received: 0,
    };
    let packet = Packet {
        seq: 0,
        ack: 0,
        body: Some(Body::Hello(hello)),
    };
    let requests = tokio_stream::iter([AttachRequest {
        packet: Some(packet),
    }]);
    let refused = NodeServiceClient::new(channel)
        .attach(requests)
        .await
        .unwrap_err();
    assert!(refused.message().contains("same release"), "{refused}");
}

/// A greeting of TLS 1.2: elliptic curves, AES-GCM and Ed25519, and no word of a later version.
fn hello_of_tls_12() -> Vec<u8> {
    let extensions = [
        &[0x00, 0x0a, 0, 4, 0, 2, 0x00, 0x1d][..],
        &[0x00, 0x0d, 0, 4, 0, 2, 0x08, 0x07],
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2c, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

/// Every way to speak with less than the consortium agreed on: an older TLS, none, a suite that is not in use, one that
/// this coordinator leaves out, and older versions of the node protocol. None attaches.
#[tokio::test]
async fn no_attempt_to_agree_on_less_attaches() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let consortium = Consortium::new();
    let strict = crate::transport::Settings {
        suites: vec![tls::Suite::Aes256],
        ..quick()
    };
    let served = serve(consortium.enrol("coordinator/hub"), &strict, None).await;
    let bank = consortium.enrol("party/bank");

    for (what, bytes, alert) in [
        ("TLS 1.2", hello_of_tls_12(), Some(70)),
        ("no TLS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), None),
    ] {
        let mut tcp = TcpStream::connect(served.address).await.unwrap();
        tcp.write_all(&bytes).await.unwrap();
        let mut said = Vec::new();
        let read = tokio::time::timeout(SOON, tcp.read_to_end(&mut said)).await;
        assert!(read.is_ok(), "{what}: the connection stays open");
        // an alert and nothing else
        assert!(
            said.is_empty() || (said[0] == 21 && said.len() == 7),
            "{what}: {said:?}"
        );
        if let Some(alert) = alert {
            assert_eq!(said.last(), Some(&alert), "{what}: {said:?}");
        }
    }

    let name = || rustls::pki_types::ServerName::try_from("x").unwrap();
    let mut chacha = rustls::crypto::ring::default_provider();
    chacha.cipher_suites = vec![rustls::crypto::ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256];
    let (chain, key) = bank.for_tls();
    let other_suite = rustls::ClientConfig::builder_with_provider(Arc::new(chacha))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_client_auth_cert(chain, key)
        .unwrap();
    let shorter_key = tls::client(&bank, None, &[tls::Suite::Aes128]).unwrap();
    for (what, config) in [
        ("another suite", Arc::new(other_suite)),
        ("a suite that this coordinator leaves out", shorter_key),
    ] {
        let tcp = TcpStream::connect(served.address).await.unwrap();
        let refused = TlsConnector::from(config).connect(name(), tcp).await;
        let refused = format!("{:?}", refused.map(drop).unwrap_err());
        assert!(refused.contains("HandshakeFailure"), "{what}: {refused}");
    }

    for version in [0, paripassu_proto::PROTOCOL_VERSION - 1] {
        let channel = dial(&bank, &served.address.to_string(), None, &strict).await;
        let hello = Hello {
            version,
            session: Default::default(),
            received: 0,
        };
        let packet = Packet {
            seq: 0,
            ack: 0,
            body: Some(Body::Hello(hello)),
        };
        let requests = tokio_stream::iter([AttachRequest {
            packet: Some(packet),
        }]);
        let answer = NodeServiceClient::new(channel.unwrap())
            .attach(requests)
            .await;
        let refused = answer.map(drop).unwrap_err();
        assert!(
            refused.message().contains("same release"),
            "{version}: {refused}"
        );
    }
    assert!(served.events.lock().unwrap().is_empty());
    // and who agrees on what is in use does
    let mut port = super::rig::dial(&bank, served.address, &strict);
    connected(&mut port).await;
}

#[tokio::test]
async fn a_silent_caller_holds_up_nobody() {
    let consortium = Consortium::new();
    let served = serve(consortium.enrol("coordinator/hub"), &quick(), None).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    let mut port = super::rig::dial(&consortium.enrol("party/bank"), served.address, &quick());
    connected(&mut port).await;
}

#[tokio::test]
async fn an_address_nobody_answers_and_one_that_is_none() {
    let consortium = Consortium::new();
    let bank = consortium.enrol("party/bank");
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = dial(&bank, &free.to_string(), None, &quick())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains(&free.to_string()) && refused.contains("refused"),
        "{refused}"
    );
    for bad in ["hub", ":1", "hub:", "hub:70000"] {
        let refused = dial(&bank, bad, None, &quick())
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("host:port"), "{refused}");
    }
    let config = UplinkConfig {
        address: "hub".into(),
        coordinator: None,
        settings: quick(),
    };
    let mut port = crate::transport::Uplink::start(bank, config, crate::shutdown::Shutdown::new());
    assert!(
        matches!(next(&mut port).await, PortEvent::Disconnected { reason } if reason.contains("host:port"))
    );
}
