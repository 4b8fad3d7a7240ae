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
