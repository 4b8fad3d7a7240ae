//! A consortium in a temporary directory, a hub on a free port, nodes attached to it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use paripassu_crypto::sealed::LinkKeys;
use paripassu_proto::{JobId, Peer, exchange::v1::Frame};
use paripassu_protocol::channel::{Channel, ChannelError, Role, Tag};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

use crate::{
    identity::{Identity, files},
    pki,
    shutdown::Shutdown,
    tls,
    transport::{
        Hub, HubEvent, JobChannel, JobCore, KeyExchange, NodePort, PortEvent, Settings, Tap,
        Uplink, UplinkConfig, server,
    },
};

pub(crate) const SOON: Duration = Duration::from_secs(4);
pub(crate) const CONTRACT: [u8; 32] = [11; 32];

pub(crate) fn peer(text: &str) -> Peer {
    text.parse().unwrap()
}

pub(crate) fn tag(text: &str) -> Tag {
    Tag::new(text)
}

/// An authority and the identities it issued.
pub(crate) struct Consortium {
    pub(crate) dir: TempDir,
}

impl Consortium {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        pki::init(&dir.path().join("ca"), "Test", 30).unwrap();
        Self { dir }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca")
    }

    pub(crate) fn enrol(&self, who: &str) -> Arc<Identity> {
        Arc::new(Identity::load(&self.enrol_dir(who, 1, 30)).unwrap())
    }

    /// Issues a certificate valid from `-back` to `+ahead` days.
    pub(crate) fn enrol_dir(&self, who: &str, back: i64, ahead: i64) -> PathBuf {
        let dir = self.dir.path().join(who.replace('/', "-"));
        let csr = pki::request(&dir, &peer(who)).unwrap();
        let now = time::OffsetDateTime::now_utc();
        let validity = (
            now - time::Duration::days(back),
            now + time::Duration::days(ahead),
        );
        let crt = dir.join(files::CERTIFICATE);
        pki::open(&self.ca())
            .unwrap()
            .sign(&csr, None, &crt, validity)
            .unwrap();
        self.trust_files(&dir);
        dir
    }

    pub(crate) fn trust_files(&self, dir: &Path) {
        for file in [files::AUTHORITY, files::REVOKED] {
            std::fs::copy(self.ca().join(file), dir.join(file)).unwrap();
        }
    }
}

/// A hub that serves.
pub(crate) struct Served {
    pub(crate) hub: Hub,
    pub(crate) address: SocketAddr,
    pub(crate) events: Arc<Mutex<Vec<String>>>,
    pub(crate) shutdown: Shutdown,
}

pub(crate) async fn serve(
    identity: Arc<Identity>,
    settings: &Settings,
    tap: Option<Arc<dyn Tap>>,
) -> Served {
    let shutdown = Shutdown::new();
    let (hub, mut rx) = Hub::new(
        identity.peer().clone(),
        identity.trust().clone(),
        settings.clone(),
        tap,
        shutdown.clone(),
    );
    let (listener, address) = server::listen("127.0.0.1:0").await.unwrap();
    let routes = tonic::service::Routes::new(hub.service());
    let (config, settings, stop) = (
        tls::server(&identity, &settings.suites).unwrap(),
        settings.clone(),
        shutdown.clone(),
    );
    tokio::spawn(async move {
        server::serve(listener, config, routes, &settings, stop)
            .await
            .unwrap()
    });
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    tokio::spawn(async move {
        while let Some(event) = rx.recv().await {
            let text = match event {
                HubEvent::Control { peer, .. } => format!("control {peer}"),
                HubEvent::Violation {
                    culprit, reason, ..
                } => format!("violation {culprit} {reason}"),
                other => format!("{other:?}"),
            };
            log.lock().unwrap().push(text);
        }
    });
    Served {
        hub,
        address,
        events,
        shutdown,
    }
}

impl Served {
    pub(crate) fn saw(&self, what: &str) -> bool {
        self.events.lock().unwrap().iter().any(|e| e.contains(what))
    }
}

pub(crate) fn dial(identity: &Arc<Identity>, address: SocketAddr, settings: &Settings) -> NodePort {
    let config = UplinkConfig {
        address: address.to_string(),
        coordinator: None,
        settings: settings.clone(),
    };
    Uplink::start(Arc::clone(identity), config, Shutdown::new())
}

/// The next event that is not a control message, within the time.
pub(crate) async fn next(port: &mut NodePort) -> PortEvent {
    tokio::time::timeout(SOON, port.event())
        .await
        .expect("an event")
        .expect("a stream")
}

pub(crate) async fn connected(port: &mut NodePort) {
    loop {
        if let PortEvent::Connected { .. } = next(port).await {
            return;
        }
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let by = tokio::time::Instant::now() + SOON;
    while !holds() {
        assert!(tokio::time::Instant::now() < by, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Settings with short times.
pub(crate) fn quick() -> Settings {
    Settings {
        backoff_first: Duration::from_millis(20),
        backoff_max: Duration::from_millis(100),
        grace: Duration::from_millis(600),
        handshake: Duration::from_secs(3),
        ..Settings::default()
    }
}

/// A node of a job.
pub(crate) struct Member {
    pub(crate) identity: Arc<Identity>,
    pub(crate) port: NodePort,
    pub(crate) role: Role,
}

pub(crate) fn job() -> JobId {
    "job-1".parse().unwrap()
}

/// Opens the job among the members, with real keys or (tests of tests) with links that do not seal.
pub(crate) fn open(hub: &Hub, members: &[Member], sealed: bool) -> Vec<JobChannel> {
    hub.open_job(&job(), members.iter().map(|m| m.identity.peer().clone()));
    let peers = |me: &Member| -> Vec<_> {
        members
            .iter()
            .filter(|m| m.role != me.role)
            .map(|m| (m.role, m.identity.peer().id.clone()))
            .collect()
    };
    let cores: Vec<_> = members
        .iter()
        .map(|m| {
            let core = Arc::new(JobCore::new(
                job(),
                m.identity.peer().id.clone(),
                m.role,
                peers(m),
                m.port.outlet.clone(),
                Arc::clone(&m.port.settings),
            ));
            m.port.router.insert(&job(), Arc::clone(&core));
            core
        })
        .collect();
    let mut exchanges = Vec::new();
    let mut keys = Vec::new();
    for m in members {
        let (exchange, key) = KeyExchange::begin(&m.identity, job(), CONTRACT, peers(m)).unwrap();
        exchanges.push(exchange);
        keys.push(key.key.unwrap());
    }
    let mut channels = Vec::new();
    for (i, (mut exchange, core)) in exchanges.into_iter().zip(cores).enumerate() {
        for (j, key) in keys.iter().enumerate() {
            if i != j {
                exchange.accept(members[i].identity.trust(), key).unwrap();
            }
        }
        assert!(exchange.missing().is_empty());
        let mut links = exchange.finish().unwrap();
        if !sealed {
            for (_, _, keys) in &mut links {
                *keys = LinkKeys::readable_by_anyone_for_tests();
            }
        }
        channels.push(core.open(links));
    }
    channels
}

/// Two attached parties and an open job.
pub(crate) struct Pair {
    pub(crate) served: Served,
    pub(crate) members: Vec<Member>,
    pub(crate) bank: JobChannel,
    pub(crate) partner: JobChannel,
    pub(crate) _consortium: Consortium,
}

pub(crate) const BANK: Role = Role::Party(0);
pub(crate) const PARTNER: Role = Role::Party(1);

pub(crate) async fn pair(settings: Settings, tap: Option<Arc<dyn Tap>>, sealed: bool) -> Pair {
    let consortium = Consortium::new();
    let served = serve(consortium.enrol("coordinator/hub"), &settings, tap).await;
    let mut members = Vec::new();
    for (who, role) in [("party/bank", BANK), ("party/partner", PARTNER)] {
        let identity = consortium.enrol(who);
        let mut port = dial(&identity, served.address, &settings);
        connected(&mut port).await;
        members.push(Member {
            identity,
            port,
            role,
        });
    }
    let mut channels = open(&served.hub, &members, sealed).into_iter();
    let (bank, partner) = (channels.next().unwrap(), channels.next().unwrap());
    Pair {
        served,
        members,
        bank,
        partner,
        _consortium: consortium,
    }
}

pub(crate) fn pattern(len: usize, salt: u8) -> Bytes {
    (0..len)
        .map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[2] ^ salt)
        .collect()
}

pub(crate) async fn exchange(
    a: &JobChannel,
    b: &JobChannel,
    name: &str,
) -> Result<Bytes, ChannelError> {
    a.send(b.role(), tag(name), Bytes::from_static(b"body"), SOON)
        .await?;
    b.recv(a.role(), tag(name), SOON).await
}

/// A tap given by a closure.
pub(crate) struct FnTap<F>(pub(crate) F);

impl<F: Fn(Frame) -> Vec<Frame> + Send + Sync> Tap for FnTap<F> {
    fn relay(&self, frame: Frame) -> Vec<Frame> {
        (self.0)(frame)
    }
}

/// A TCP proxy whose connections can be cut.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cut: mpsc::Sender<()>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, mut cuts) = mpsc::channel(4);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (mut near, _) = accepted.unwrap();
                        count.fetch_add(1, Ordering::SeqCst);
                        open.spawn(async move {
                            if let Ok(mut far) = TcpStream::connect(target).await {
                                let _ = copy_bidirectional(&mut near, &mut far).await;
                            }
                        });
                    }
                    cut = cuts.recv() => match cut {
                        Some(()) => open.abort_all(),
                        None => return,
                    },
                }
            }
        });
        Self {
            address,
            cut,
            connections,
        }
    }

    pub(crate) async fn cut(&self) {
        self.cut.send(()).await.unwrap();
    }
}
