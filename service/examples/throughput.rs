//! How fast sealed messages pass from node to node through a hub, beside the bare stream they ride on.
//!
//! ```sh
//! cargo run --release -p paripassu-service --example throughput -- 512
//! ```
//!
//! prints MB/s (10⁶ bytes of payload) and processor seconds a GB for (a) one gRPC stream over mutual TLS,
//! frames of 256 KiB, no session, no sealing, one hop; (b) two such streams, the second of which carries on
//! what the first brings: what any relay costs; (c) the same bytes as one sealed message after another from a
//! party over the hub to another party: two hops, sealed and opened, acknowledged, digested. All in one
//! process, so both ends and the hub share the machine's cores: compare (c) with (b).

use std::{
    error::Error,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use paripassu_proto::{
    ContractHead, HeadReader, Peer,
    control::v1::{
        self as pb, AttachRequest, AttachResponse, Packet, hub_control, node_control,
        node_service_client::NodeServiceClient,
        node_service_server::{NodeService, NodeServiceServer},
        packet::Body,
    },
    exchange::v1::Frame,
    limits,
};
use paripassu_protocol::channel::{Channel, Role, Tag};
use paripassu_service::{
    identity::{Identity, files},
    node::{JobInfo, Node, NodeHandler, Proposal, Reporter, RunError, StateChange},
    pki,
    shutdown::Shutdown,
    signing::{self, Decision, Submission, contract_digest},
    tls,
    transport::{Hub, HubEvent, JobChannel, Settings, Uplink, UplinkConfig, dial, server},
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

const MESSAGE: usize = 16 * 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mib: usize = std::env::args().nth(1).map_or(Ok(256), |a| a.parse())?;
    let messages = (mib * 1024 * 1024).div_ceil(MESSAGE).max(1);
    let dir = tempfile::tempdir()?;
    pki::init(&dir.path().join("ca"), "Throughput", 1)?;
    let hub = enrol(dir.path(), "coordinator/hub")?;
    let bank = enrol(dir.path(), "party/bank")?;
    let partner = enrol(dir.path(), "party/partner")?;
    println!("{} messages of {} MiB, MB/s:", messages, MESSAGE >> 20);
    let bare = bare_stream(&hub, &bank, messages).await?;
    println!("  one gRPC stream over mutual TLS, one hop       {bare}");
    let relayed = plain_relay(&hub, &bank, &partner, messages).await?;
    println!("  two of them, relayed in between, nothing else  {relayed}");
    let sealed = through_hub(hub, bank, partner, messages).await?;
    println!("  sealed, party to party through the hub         {sealed}");
    println!(
        "  of the plain relay: {:.0} % of the speed, {:.2} times the processor time",
        100.0 * sealed.mb_s / relayed.mb_s,
        sealed.cpu_s_gb / relayed.cpu_s_gb
    );
    Ok(())
}

fn enrol(dir: &Path, who: &str) -> Result<Arc<Identity>, Failure> {
    let peer: Peer = who.parse()?;
    let (ca, node) = (dir.join("ca"), dir.join(who.replace('/', "-")));
    let csr = pki::request(&node, &peer)?;
    let certificate = node.join("signed");
    pki::sign(&ca, &csr, Some(&peer), &certificate, 1)?;
    let identity = pki::install(&node, &certificate, &ca.join(files::AUTHORITY), None)?;
    Ok(Arc::new(identity))
}

/// How fast, and at what cost to all roles together.
struct Speed {
    mb_s: f64,
    cpu_s_gb: f64,
}

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:8.0}   {:.2} s/GB", self.mb_s, self.cpu_s_gb)
    }
}

/// A measurement under way.
struct Clock {
    wall: Instant,
    cpu: f64,
}

/// Processor time of this process in seconds, where the system tells.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = rest.split_whitespace().skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

impl Clock {
    fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu(),
        }
    }

    fn speed(&self, messages: usize) -> Speed {
        let bytes = (messages * MESSAGE) as f64;
        Speed {
            mb_s: bytes / 1e6 / self.wall.elapsed().as_secs_f64(),
            cpu_s_gb: (cpu() - self.cpu) / bytes * 1e9,
        }
    }
}

/// Passes on what one stream brings to whoever says hello.
struct Pass {
    into: mpsc::Sender<Result<AttachResponse, Status>>,
    out: Mutex<Option<mpsc::Receiver<Result<AttachResponse, Status>>>>,
}

#[tonic::async_trait]
impl NodeService for Pass {
    type AttachStream = Responses;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.and_then(|m| m.packet);
        if let Some(Packet {
            body: Some(Body::Hello(_)),
            ..
        }) = first
        {
            let out = self.out.lock().ok().and_then(|mut out| out.take());
            let out = out.ok_or_else(|| Status::internal("two receivers"))?;
            return Ok(Response::new(Box::pin(ReceiverStream::new(out))));
        }
        let into = self.into.clone();
        tokio::spawn(async move {
            let mut next = first;
            while let Some(packet) = next.take() {
                let packet = Some(packet);
                if into.send(Ok(AttachResponse { packet })).await.is_err() {
                    return;
                }
                next = match incoming.message().await {
                    Ok(message) => message.and_then(|m| m.packet),
                    Err(_) => return,
                };
            }
        });
        Ok(Response::new(Box::pin(tokio_stream::pending())))
    }
}

async fn plain_relay(
    hub: &Arc<Identity>,
    bank: &Arc<Identity>,
    partner: &Arc<Identity>,
    messages: usize,
) -> Result<Speed, Failure> {
    let (settings, stop) = (Settings::default(), Shutdown::new());
    let (listener, address) = server::listen("127.0.0.1:0").await?;
    let (into, out) = mpsc::channel(8);
    let pass = NodeServiceServer::new(Pass {
        into,
        out: Mutex::new(Some(out)),
    })
    .max_decoding_message_size(limits::MAX_PACKET);
    let routes = tonic::service::Routes::new(pass);
    let (tls, own, until) = (
        tls::server(hub, &settings.suites)?,
        settings.clone(),
        stop.clone(),
    );
    tokio::spawn(async move { server::serve(listener, tls, routes, &own, until).await });
    let mut clients = Vec::new();
    for node in [bank, partner] {
        let channel = dial(node, &address.to_string(), None, &settings).await?;
        clients.push(
            NodeServiceClient::new(channel)
                .max_encoding_message_size(limits::MAX_PACKET)
                .max_decoding_message_size(limits::MAX_PACKET),
        );
    }
    let (Some(mut receiver), Some(mut sender)) = (clients.pop(), clients.pop()) else {
        return Err("two clients".into());
    };
    let hello = AttachRequest {
        packet: Some(Packet {
            body: Some(Body::Hello(pb::Hello::default())),
            ..Packet::default()
        }),
    };
    let hello = tokio_stream::iter([hello]).chain(tokio_stream::pending());
    let mut arriving = receiver.attach(hello).await?.into_inner();
    let begin = Clock::start();
    let _sending = sender
        .attach(frames(messages).chain(tokio_stream::pending()))
        .await?;
    let mut bytes = 0;
    while bytes < messages * MESSAGE {
        let packet = arriving.message().await?.and_then(|m| m.packet);
        match packet.and_then(|p| p.body) {
            Some(Body::Frame(frame)) => bytes += frame.chunk.len(),
            _ => return Err("something else than a frame".into()),
        }
    }
    let speed = begin.speed(messages);
    stop.ask();
    Ok(speed)
}

/// The bytes of so many messages in frames.
fn frames(messages: usize) -> impl tokio_stream::Stream<Item = AttachRequest> + Send + 'static {
    let chunk = Bytes::from(vec![7u8; limits::MAX_CHUNK]);
    let frames = messages * MESSAGE / limits::MAX_CHUNK;
    tokio_stream::iter((0..frames as u64).map(move |seq| {
        let frame = Frame {
            seq,
            chunk: chunk.clone(),
            ..Frame::default()
        };
        AttachRequest {
            packet: Some(Packet {
                seq,
                ack: 0,
                body: Some(Body::Frame(frame)),
            }),
        }
    }))
}

/// Takes frames in and says once how many bytes they had.
struct Sink;

type Responses =
    Pin<Box<dyn tokio_stream::Stream<Item = Result<AttachResponse, Status>> + Send + 'static>>;

#[tonic::async_trait]
impl NodeService for Sink {
    type AttachStream = Responses;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let mut incoming = request.into_inner();
        let counted = futures_util::stream::once(async move {
            let mut bytes = 0;
            while let Some(message) = incoming.message().await? {
                if let Some(Packet {
                    body: Some(Body::Frame(frame)),
                    ..
                }) = message.packet
                {
                    bytes += frame.chunk.len() as u64;
                }
            }
            Ok(AttachResponse {
                packet: Some(Packet {
                    seq: bytes,
                    ack: 0,
                    body: None,
                }),
            })
        });
        Ok(Response::new(Box::pin(counted)))
    }
}

async fn bare_stream(
    hub: &Arc<Identity>,
    bank: &Arc<Identity>,
    messages: usize,
) -> Result<Speed, Failure> {
    let (settings, stop) = (Settings::default(), Shutdown::new());
    let (listener, address) = server::listen("127.0.0.1:0").await?;
    let sink = NodeServiceServer::new(Sink).max_decoding_message_size(limits::MAX_PACKET);
    let routes = tonic::service::Routes::new(sink);
    let (tls, own, until) = (
        tls::server(hub, &settings.suites)?,
        settings.clone(),
        stop.clone(),
    );
    let serving =
        tokio::spawn(async move { server::serve(listener, tls, routes, &own, until).await });
    let channel = dial(bank, &address.to_string(), None, &settings).await?;
    let mut client = NodeServiceClient::new(channel)
        .max_encoding_message_size(limits::MAX_PACKET)
        .max_decoding_message_size(limits::MAX_PACKET);
    let begin = Clock::start();
    let mut answer = client.attach(frames(messages)).await?.into_inner();
    let counted = answer
        .message()
        .await?
        .and_then(|m| m.packet)
        .map_or(0, |p| p.seq);
    let speed = begin.speed(messages);
    assert_eq!(counted, (messages * MESSAGE) as u64);
    drop(client);
    stop.ask();
    serving.await??;
    Ok(speed)
}

/// A party that hands its channel to the measurement and waits for its end.
struct Hands(Mutex<Option<oneshot::Sender<JobChannel>>>);

impl NodeHandler for Hands {
    async fn on_proposal(&self, _: Proposal) {}
    async fn on_decision(&self, _: Peer, _: Decision) {}
    async fn on_state(&self, _: StateChange) {}
    async fn run(&self, _: JobInfo, channel: JobChannel, _: Reporter) -> Result<(), RunError> {
        let hand = self.0.lock().ok().and_then(|mut slot| slot.take());
        if let Some(hand) = hand {
            let taken = hand.send(channel);
            assert!(taken.is_ok(), "the measurement waits for the channel");
        }
        std::future::pending().await
    }
}

async fn through_hub(
    identity: Arc<Identity>,
    bank: Arc<Identity>,
    partner: Arc<Identity>,
    messages: usize,
) -> Result<Speed, Failure> {
    let (settings, stop) = (Settings::default(), Shutdown::new());
    let (hub, mut events) = Hub::new(
        identity.peer().clone(),
        identity.trust().clone(),
        settings.clone(),
        None,
        stop.clone(),
    );
    let (listener, address) = server::listen("127.0.0.1:0").await?;
    let routes = tonic::service::Routes::new(hub.service());
    let (tls, own, until) = (
        tls::server(&identity, &settings.suites)?,
        settings.clone(),
        stop.clone(),
    );
    tokio::spawn(async move { server::serve(listener, tls, routes, &own, until).await });

    let head = ContractHead {
        job: "throughput".parse()?,
        parties: vec![bank.peer().id.clone(), partner.peer().id.clone()],
        helper: None,
        expires: i64::MAX,
        absence: None,
    };
    let job = head.job.clone();
    let heads = HeadReader::new(move |_| Ok(head.clone()));
    let mut hands = Vec::new();
    for node in [&bank, &partner] {
        let (give, take) = oneshot::channel();
        let config = UplinkConfig {
            address: address.to_string(),
            coordinator: None,
            settings: settings.clone(),
        };
        let port = Uplink::start(Arc::clone(node), config, stop.clone());
        let handler = Hands(Mutex::new(Some(give)));
        Node::start(
            Arc::clone(node),
            port,
            heads.clone(),
            None,
            |_| handler,
            stop.clone(),
        );
        hands.push(take);
    }

    // a coordinator's part, as small as it can be: start when both are there, pass keys on
    let digest = contract_digest(b"");
    let submission = Submission {
        job: job.clone(),
        digest,
    };
    let approval = Decision {
        job: job.clone(),
        digest,
        approve: true,
        reason: String::new(),
        consent: Default::default(),
    };
    let start = pb::Start {
        proposal: Some(pb::Proposal {
            job: job.to_string(),
            contract: Bytes::new(),
            submission: Some(signing::sign(&bank, submission.to_bytes())),
            submitted_at: 0,
        }),
        decisions: [&bank, &partner]
            .map(|n| signing::sign(n, approval.to_bytes()))
            .to_vec(),
    };
    let members = [bank.peer().clone(), partner.peer().clone()];
    let (relay, peers) = (hub.clone(), members.clone());
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                HubEvent::Attached { .. } if peers.iter().all(|p| relay.is_connected(p)) => {
                    relay.open_job(&job, peers.clone());
                    for peer in &peers {
                        relay.tell(peer, hub_control::Body::Start(start.clone()));
                    }
                }
                HubEvent::Control { peer, message } => {
                    if let Some(node_control::Body::JobKey(key)) = message.body {
                        for other in peers.iter().filter(|p| **p != peer) {
                            relay.tell(other, hub_control::Body::JobKey(key.clone()));
                        }
                    }
                }
                _ => {}
            }
        }
    });
    let (Some(to), Some(from)) = (hands.pop(), hands.pop()) else {
        return Err("two parties".into());
    };
    let (from, to) = (from.await?, to.await?);
    let body = Bytes::from(vec![7u8; MESSAGE]);
    let begin = Clock::start();
    let sending = tokio::spawn(async move {
        for i in 0..messages {
            let tag = Tag::new(format!("m{i}"));
            from.send(Role::Party(1), tag, body.clone(), DEADLINE)
                .await?;
        }
        Ok::<_, Failure>(())
    });
    for i in 0..messages {
        let got = to
            .recv(Role::Party(0), Tag::new(format!("m{i}")), DEADLINE)
            .await?;
        assert_eq!(got.len(), MESSAGE);
    }
    sending.await??;
    let speed = begin.speed(messages);
    stop.ask();
    Ok(speed)
}
