//! A coordinator and two nodes in this process, over real TLS sockets on loopback.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use paripassu_coordinator::{Config, Coordinator, Deadlines, Parts, Running};
use paripassu_proto::{
    ContractHead, HeadReader, Peer,
    control::v1::{self as pb, JobState, job_service_client::JobServiceClient},
};
use paripassu_protocol::{
    channel::{Channel, Role},
    correlation::deal,
    ctx::Ctx,
};
use paripassu_service::{
    clock::Clock,
    dealing::SEED_LABEL,
    identity::{Identity, files},
    node::{
        HelperRunner, JobInfo, Node, NodeHandle, NodeHandler, Proposal, Reporter, RunError,
        StateChange,
    },
    pki,
    shutdown::Shutdown,
    signing::{self, Decision, Submission, contract_digest},
    tls::Suite,
    transcript::{Record, Transcript},
    transport::{JobChannel, Settings, Uplink, UplinkConfig, dial},
};

use crate::BenchError;

const DEADLINE: Duration = Duration::from_secs(600);
const JOB: &str = "0123456789abcdef0123456789abcdef";
const PARTIES: [&str; 2] = ["bank", "partner"];

/// What a party does in the job.
#[tonic::async_trait]
pub(crate) trait Play: Send + Sync + 'static {
    async fn play(
        &self,
        ctx: Ctx<JobChannel>,
        seed: [u8; 32],
        record: Record,
    ) -> Result<(), String>;
}

/// Approves every job and plays a part in it.
pub(crate) struct Handler {
    node: NodeHandle,
    play: Arc<dyn Play>,
}

impl Handler {
    pub(crate) fn new(node: NodeHandle, play: Arc<dyn Play>) -> Self {
        Self { node, play }
    }
}

pub(crate) fn failed(reason: String) -> RunError {
    RunError {
        culprit: None,
        step: "bench".into(),
        code: "bench".into(),
        reason,
    }
}

fn seed(channel: &JobChannel, peer: Role) -> Result<[u8; 32], RunError> {
    channel
        .shared_with(peer)
        .map(|root| *root.derive(SEED_LABEL))
        .ok_or_else(|| failed("no key".into()))
}

impl NodeHandler for Handler {
    async fn on_proposal(&self, p: Proposal) {
        let decision = Decision {
            job: p.job,
            digest: p.digest,
            approve: true,
            reason: String::new(),
            consent: Default::default(),
        };
        // a node that has stopped shows as a job that does not start
        let _ = self.node.decide(decision).await;
    }

    async fn on_decision(&self, _: Peer, _: Decision) {}

    async fn on_state(&self, _: StateChange) {}

    async fn run(&self, job: JobInfo, channel: JobChannel, _: Reporter) -> Result<(), RunError> {
        let seed = seed(&channel, Role::Helper)?;
        let ctx = Ctx::new(Arc::new(channel), PARTIES.len() as u8, DEADLINE);
        self.play.play(ctx, seed, job.record).await.map_err(failed)
    }
}

/// Deals correlations to two parties.
pub(crate) struct Helper;

#[tonic::async_trait]
impl HelperRunner for Helper {
    async fn run(&self, _: JobInfo, channel: JobChannel) -> Result<(), RunError> {
        let seeds = [
            seed(&channel, Role::Party(0))?,
            seed(&channel, Role::Party(1))?,
        ];
        debug_assert_eq!(channel.role(), Role::Helper);
        let ctx = Ctx::new(Arc::new(channel), PARTIES.len() as u8, DEADLINE);
        deal(&ctx, &seeds)
            .await
            .map(drop)
            .map_err(|e| failed(e.to_string()))
    }
}

/// Every contract is one among these parties, with the hub as helper.
pub(crate) fn heads(parties: Vec<String>) -> HeadReader {
    HeadReader::new(move |_| {
        let id = |s: &str| s.parse().map_err(|e| format!("{e}"));
        Ok(ContractHead {
            job: JOB.parse().map_err(|e| format!("{e}"))?,
            parties: parties.iter().map(|p| id(p)).collect::<Result<_, _>>()?,
            helper: Some(id("hub")?),
            expires: i64::MAX,
            absence: None,
        })
    })
}

/// The coordinator of a measurement in `root`, on a free port of this machine; it is the helper as well.
pub(crate) fn hub_config(root: &Path) -> Result<Config, BenchError> {
    Ok(Config {
        listen: "127.0.0.1:0".into(),
        identity: enrol(root, "coordinator/hub")?,
        state: root.join("state"),
        helper: true,
        tls_suites: Suite::ALL.to_vec(),
        deadlines: Deadlines {
            connect_s: 120,
            grace_s: 20,
            ..Deadlines::default()
        },
    })
}

/// Ends the parties' processes by closing their input; what each told, if the job went well.
pub(crate) async fn told<T: serde::de::DeserializeOwned>(
    processes: Vec<tokio::process::Child>,
    well: bool,
) -> Result<Vec<T>, BenchError> {
    let mut all = Vec::new();
    for mut child in processes {
        drop(child.stdin.take());
        let out = child.wait_with_output().await;
        let out = out.map_err(|source| BenchError::Io {
            what: "a party's process",
            source,
        })?;
        if well {
            let read = serde_json::from_slice(&out.stdout);
            all.push(read.map_err(|e| BenchError::Run(format!("a party told nothing: {e}")))?);
        }
    }
    Ok(all)
}

pub(crate) fn enrol(root: &Path, who: &str) -> Result<PathBuf, BenchError> {
    let dir = root.join(who.replace('/', "-"));
    let peer: Peer = who.parse().map_err(|e| BenchError::Name(format!("{e}")))?;
    let ca = root.join("ca");
    let csr = pki::request(&dir, &peer)?;
    let crt = dir.join("signed");
    pki::sign(&ca, &csr, Some(&peer), &crt, 30)?;
    let (authority, revoked) = (ca.join(files::AUTHORITY), ca.join(files::REVOKED));
    pki::install(&dir, &crt, &authority, Some(&revoked))?;
    Ok(dir)
}

fn two() -> Vec<String> {
    PARTIES.map(String::from).to_vec()
}

/// What a party keeps of a job on disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its bundle.
    pub(crate) bundle: u64,
    /// Its log, which holds this one job; files of a log grow in steps of 64 KiB.
    pub(crate) log: u64,
}

impl Kept {
    /// Of the node with this state folder.
    fn of(state: &Path) -> Self {
        let files = |folder: PathBuf| -> u64 {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let lengths = entries.filter_map(|file| file.metadata().ok());
            lengths.filter(|m| m.is_file()).map(|m| m.len()).sum()
        };
        Self {
            bundle: files(paripassu_service::transcript::bundles(state)),
            log: files(state.join(paripassu_service::transcript::LOG_FOLDER)),
        }
    }
}

/// Runs one job in which party p does `plays[p]`; returns when all have finished, with what the larger of both
/// transcripts takes. Nodes keep no transcripts where `recorded` is false.
pub(crate) async fn run(plays: [Arc<dyn Play>; 2], recorded: bool) -> Result<Kept, BenchError> {
    let dir = tempfile::tempdir().map_err(|source| BenchError::Io {
        what: "a temporary folder",
        source,
    })?;
    let root = dir.path();
    pki::init(&root.join("ca"), "Measurement", 2)?;
    let config = hub_config(root)?;
    let shutdown = Shutdown::new();
    let mut parts = Parts::new(heads(two()), Arc::new(Helper));
    parts.transcript = recorded;
    let hub = Coordinator::serve(config, parts, shutdown.clone()).await?;
    let mut tasks = Vec::new();
    for (id, play) in PARTIES.iter().zip(plays) {
        let identity = Arc::new(Identity::load(&enrol(root, &format!("party/{id}"))?)?);
        let uplink = UplinkConfig {
            address: hub.address().to_string(),
            coordinator: None,
            settings: Settings::default(),
        };
        let port = Uplink::start(Arc::clone(&identity), uplink, shutdown.child());
        let make = |node| Handler { node, play };
        let transcript = match recorded {
            true => {
                let state = root.join(format!("{id}-state"));
                let io = |source| BenchError::Io {
                    what: "a party's state folder",
                    source,
                };
                std::fs::create_dir_all(&state).map_err(io)?;
                Some(Transcript::open(
                    &state,
                    Arc::clone(&identity),
                    Clock::system(),
                )?)
            }
            false => None,
        };
        tasks.push(
            Node::start(
                identity,
                port,
                heads(two()),
                transcript,
                make,
                shutdown.child(),
            )
            .1,
        );
    }
    let result = drive(root, &hub).await;
    shutdown.ask();
    for t in tasks {
        let _ = t.await;
    }
    hub.stop().await?;
    result?;
    let kept = PARTIES.map(|id| Kept::of(&root.join(format!("{id}-state"))));
    let [bank, partner] = kept;
    Ok(match bank.bundle >= partner.bundle {
        true => bank,
        false => partner,
    })
}

/// Runs a node with the identity in `folder` until the process that started this one closes its input.
pub(crate) async fn play_until_stdin_ends<H: NodeHandler>(
    folder: &Path,
    address: &str,
    heads: HeadReader,
    make: impl FnOnce(NodeHandle) -> H,
) -> Result<(), BenchError> {
    let identity = Arc::new(Identity::load(folder)?);
    let shutdown = Shutdown::new();
    let uplink = UplinkConfig {
        address: address.to_owned(),
        coordinator: None,
        settings: Settings::default(),
    };
    let port = Uplink::start(Arc::clone(&identity), uplink, shutdown.child());
    let state = folder.join("state");
    let io = |source| BenchError::Io {
        what: "a node's state folder",
        source,
    };
    std::fs::create_dir_all(&state).map_err(io)?;
    let transcript = Transcript::open(&state, Arc::clone(&identity), Clock::system())?;
    let (_, task) = Node::start(
        identity,
        port,
        heads,
        Some(transcript),
        make,
        shutdown.child(),
    );
    let mut line = String::new();
    let read = tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut line));
    read.await
        .map_err(|e| BenchError::Run(e.to_string()))?
        .map_err(io)?;
    shutdown.ask();
    // ended or not, what was told counts
    let _ = task.await;
    Ok(())
}

/// Submits the job and waits for its end.
pub(crate) async fn drive(root: &Path, hub: &Running) -> Result<(), BenchError> {
    let call = |e: tonic::Status| BenchError::Run(e.message().to_owned());
    let identity = Arc::new(Identity::load(&enrol(root, "user/modeler")?)?);
    let channel = dial(
        &identity,
        &hub.address().to_string(),
        None,
        &Settings::default(),
    )
    .await
    .map_err(|e| BenchError::Run(e.to_string()))?;
    let mut calls = JobServiceClient::new(channel);
    let contract = Bytes::from_static(b"a measurement");
    let job = JOB.parse().map_err(|e| BenchError::Name(format!("{e}")))?;
    let statement = Submission {
        job,
        digest: contract_digest(&contract),
    };
    let submission = Some(signing::sign(&identity, statement.to_bytes()));
    calls
        .submit_job(pb::SubmitJobRequest {
            contract,
            submission,
        })
        .await
        .map_err(call)?;
    let watch = pb::WatchJobRequest { job: JOB.into() };
    let mut stream = calls.watch_job(watch).await.map_err(call)?.into_inner();
    let mut last = pb::JobStatus::default();
    while let Some(m) = stream.message().await.map_err(call)? {
        last = m.status.unwrap_or_default();
    }
    let summary = last.summary.unwrap_or_default();
    match summary.state() {
        JobState::Released => Ok(()),
        state => Err(BenchError::Run(format!("{state:?}: {:?}", summary.abort))),
    }
}
