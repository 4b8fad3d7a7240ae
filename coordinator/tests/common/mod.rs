//! A coordinator on a free port, party nodes that do what a test tells them.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use paripassu_coordinator::{Config, Coordinator, Deadlines, Parts, Running};
use paripassu_proto::{
    ContractHead, HeadReader, NodeId, Peer,
    control::v1::{self as pb, JobState, job_service_client::JobServiceClient},
};
use paripassu_protocol::channel::{Channel, Role, Tag};
use paripassu_service::{
    clock::Clock,
    identity::{Identity, files},
    node::{
        HelperRunner, JobInfo, Node, NodeHandle, NodeHandler, Progress, Proposal, Reporter,
        RunError, StateChange,
    },
    pki,
    shutdown::Shutdown,
    signing::{self, Consent, Decision, Submission, contract_digest},
    transcript::Transcript,
    transport::{JobChannel, Settings, Uplink, UplinkConfig, dial},
};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::Instant};

pub(crate) const SOON: Duration = Duration::from_secs(4);

pub(crate) fn peer(text: &str) -> Peer {
    text.parse().unwrap()
}

pub(crate) fn tag(text: &str) -> Tag {
    Tag::new(text)
}

/// A contract of the tests: `job|party,party|helper|expires`.
pub(crate) fn heads() -> HeadReader {
    HeadReader::new(|bytes| {
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        let mut parts = text.split('|');
        let mut next = || parts.next().ok_or("too short");
        let job = next()?.parse().map_err(|_| "job")?;
        let parties: Result<Vec<NodeId>, _> = next()?.split(',').map(str::parse).collect();
        let helper = match next()? {
            "" => None,
            id => Some(id.parse().map_err(|_| "helper")?),
        };
        let expires = next()?.parse().map_err(|_| "expires")?;
        Ok(ContractHead {
            job,
            parties: parties.map_err(|_| "parties")?,
            helper,
            expires,
            absence: None,
        })
    })
}

/// Sends each party one mask and waits for each party's thanks.
pub(crate) struct Masks;

#[tonic::async_trait]
impl HelperRunner for Masks {
    async fn run(&self, job: JobInfo, channel: JobChannel) -> Result<(), RunError> {
        for (role, _) in job
            .members()
            .into_iter()
            .filter(|(r, _)| *r != Role::Helper)
        {
            channel
                .send(role, tag("mask"), Bytes::from_static(b"mask"), SOON)
                .await?;
            channel.recv(role, tag("thanks"), SOON * 4).await?;
        }
        Ok(())
    }
}

/// How a party of the tests behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// Approves and plays its part.
    Good,
    /// Rejects.
    Rejects,
    /// Does not decide.
    Silent,
    /// Approves, and fails in its part.
    Fails,
    /// Approves, and waits for something that never comes.
    Waits,
}

pub(crate) struct Party {
    manner: Manner,
    handle: NodeHandle,
    pub(crate) log: Arc<Mutex<Vec<String>>>,
}

impl Party {
    fn note(&self, text: String) {
        self.log.lock().unwrap().push(text);
    }
}

impl NodeHandler for Party {
    async fn on_proposal(&self, proposal: Proposal) {
        self.note(format!(
            "proposal {} by {}",
            proposal.job, proposal.submitter
        ));
        if self.manner == Manner::Silent {
            return;
        }
        let decision = Decision {
            job: proposal.job,
            digest: proposal.digest,
            approve: self.manner != Manner::Rejects,
            reason: "tested".into(),
            consent: Default::default(),
        };
        self.handle.decide(decision).await.unwrap();
    }

    async fn on_decision(&self, by: Peer, decision: Decision) {
        self.note(format!("decision {by} {}", decision.approve));
    }

    async fn on_state(&self, change: StateChange) {
        let culprit = change.culprit.map(|c| c.to_string()).unwrap_or_default();
        self.note(format!(
            "state {:?} [{culprit}] {}",
            change.state, change.reason
        ));
    }

    async fn run(
        &self,
        job: JobInfo,
        channel: JobChannel,
        reporter: Reporter,
    ) -> Result<(), RunError> {
        self.note(format!("run as {}", channel.role()));
        let others: Vec<Role> = channel.peers().map(|(r, _)| r).collect();
        let partner = others.iter().copied().find(|r| *r != Role::Helper).unwrap();
        match self.manner {
            Manner::Fails => {
                return Err(RunError {
                    culprit: Some(channel.role()),
                    step: "align/hash".into(),
                    code: "data_unreadable".into(),
                    reason: "the data cannot be read".into(),
                });
            }
            Manner::Waits => {
                reporter.phase(JobState::Aligning, "align/wait");
                let waited = channel.recv(partner, tag("never"), SOON * 10).await;
                self.note(format!("freed {}", waited.as_ref().unwrap_err()));
                waited?;
            }
            _ => {}
        }
        if others.contains(&Role::Helper) {
            channel.recv(Role::Helper, tag("mask"), SOON).await?;
            channel
                .send(Role::Helper, tag("thanks"), Bytes::new(), SOON)
                .await?;
        }
        for phase in [JobState::Aligning, JobState::Preparing, JobState::Training] {
            reporter.phase(phase, "step");
            let name = format!("{phase:?}");
            channel
                .send(partner, tag(&name), Bytes::from(vec![1; 1000]), SOON)
                .await?;
            channel.recv(partner, tag(&name), SOON).await?;
        }
        let progress = Progress {
            step: "newton".into(),
            iteration: 3,
            ..Progress::default()
        };
        reporter.progress(&progress);
        self.note(format!("done {}", job.job()));
        Ok(())
    }
}

/// A consortium with a coordinator.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) clock: Clock,
    pub(crate) helper: bool,
    pub(crate) listen: String,
    pub(crate) deadlines: Deadlines,
}

pub(crate) struct RunningParty {
    pub(crate) handle: NodeHandle,
    pub(crate) log: Arc<Mutex<Vec<String>>>,
    pub(crate) shutdown: Shutdown,
    pub(crate) task: JoinHandle<()>,
}

impl RunningParty {
    pub(crate) fn saw(&self, what: &str) -> bool {
        self.log
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(what))
    }

    pub(crate) async fn sees(&self, what: &str) {
        let by = Instant::now() + SOON;
        while !self.saw(what) {
            assert!(
                Instant::now() < by,
                "no `{what}` in {:?}",
                self.log.lock().unwrap()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops without a word, as a crash would.
    pub(crate) async fn kill(self) {
        self.shutdown.ask();
        self.task.await.unwrap();
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        pki::init(&dir.path().join("ca"), "Test", 30).unwrap();
        let world = Self {
            dir,
            clock: Clock::system(),
            helper: true,
            listen: "127.0.0.1:0".into(),
            deadlines: Deadlines {
                connect_s: 60,
                grace_s: 1,
                ..Deadlines::default()
            },
        };
        world.enrol("coordinator/hub");
        world.enrol("user/mona");
        world
    }

    pub(crate) fn enrol(&self, who: &str) -> PathBuf {
        let dir = self.path(who);
        if dir.exists() {
            return dir;
        }
        let ca = self.dir.path().join("ca");
        let csr = pki::request(&dir, &peer(who)).unwrap();
        let crt = dir.join("signed");
        pki::sign(&ca, &csr, Some(&peer(who)), &crt, 30).unwrap();
        pki::install(
            &dir,
            &crt,
            &ca.join(files::AUTHORITY),
            Some(&ca.join(files::REVOKED)),
        )
        .unwrap();
        dir
    }

    fn path(&self, who: &str) -> PathBuf {
        self.dir.path().join(who.replace('/', "-"))
    }

    /// Revokes a certificate and gives the coordinator the new list.
    pub(crate) fn revoke(&self, who: &str) {
        let ca = self.dir.path().join("ca");
        pki::revoke(&ca, &peer(who)).unwrap();
        std::fs::copy(
            ca.join(files::REVOKED),
            self.path("coordinator/hub").join(files::REVOKED),
        )
        .unwrap();
    }

    pub(crate) fn identity(&self, who: &str) -> Arc<Identity> {
        Arc::new(Identity::load(&self.enrol(who)).unwrap())
    }

    /// A transcript for one start of a node.
    pub(crate) fn transcript(&self, who: &str) -> Arc<Transcript> {
        static STARTS: AtomicUsize = AtomicUsize::new(0);
        let start = STARTS.fetch_add(1, Ordering::SeqCst);
        let state = self.path(who).join(format!("state-{start}"));
        std::fs::create_dir_all(&state).unwrap();
        Transcript::open(&state, self.identity(who), self.clock.clone()).unwrap()
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            listen: self.listen.clone(),
            identity: self.path("coordinator/hub"),
            state: self.dir.path().join("state"),
            helper: self.helper,
            tls_suites: paripassu_service::tls::Suite::ALL.to_vec(),
            deadlines: self.deadlines.clone(),
        }
    }

    pub(crate) async fn serve(&self) -> Running {
        let mut parts = Parts::new(heads(), Arc::new(Masks));
        parts.clock = self.clock.clone();
        Coordinator::serve(self.config(), parts, Shutdown::new())
            .await
            .unwrap()
    }

    pub(crate) fn settings() -> Settings {
        Settings {
            grace: Duration::from_secs(1),
            backoff_first: Duration::from_millis(20),
            backoff_max: Duration::from_millis(100),
            ..Settings::default()
        }
    }

    pub(crate) fn party(&self, who: &str, manner: Manner, running: &Running) -> RunningParty {
        let (identity, shutdown) = (self.identity(who), Shutdown::new());
        let config = UplinkConfig {
            address: running.address().to_string(),
            coordinator: Some("hub".parse().unwrap()),
            settings: Self::settings(),
        };
        let port = Uplink::start(Arc::clone(&identity), config, shutdown.clone());
        let log = Arc::new(Mutex::new(Vec::new()));
        let own = Arc::clone(&log);
        let make = move |handle| Party {
            manner,
            handle,
            log: own,
        };
        let transcript = Some(self.transcript(who));
        let (handle, task) =
            Node::start(identity, port, heads(), transcript, make, shutdown.clone());
        RunningParty {
            handle,
            log,
            shutdown,
            task,
        }
    }

    pub(crate) async fn client(&self, who: &str, running: &Running) -> Client {
        let identity = self.identity(who);
        let address = running.address().to_string();
        let channel = dial(&identity, &address, None, &Self::settings())
            .await
            .unwrap();
        Client {
            identity,
            calls: JobServiceClient::new(channel),
        }
    }
}

pub(crate) struct Client {
    pub(crate) identity: Arc<Identity>,
    pub(crate) calls: JobServiceClient<tonic::transport::Channel>,
}

impl Client {
    pub(crate) async fn submit(&mut self, contract: &str) -> Result<pb::JobSummary, tonic::Status> {
        let statement = Submission {
            job: contract.split('|').next().unwrap().parse().unwrap(),
            digest: contract_digest(contract.as_bytes()),
        };
        let mut signed = signing::sign(&self.identity, statement.to_bytes());
        signed.chain.clear();
        let request = pb::SubmitJobRequest {
            contract: Bytes::copy_from_slice(contract.as_bytes()),
            submission: Some(signed),
        };
        Ok(self
            .calls
            .submit_job(request)
            .await?
            .into_inner()
            .job
            .unwrap())
    }

    pub(crate) async fn decide(
        &mut self,
        job: &str,
        contract: &str,
        approve: bool,
    ) -> Result<pb::JobSummary, tonic::Status> {
        self.decide_until(job, contract, approve, "").await
    }

    /// The same with an end.
    pub(crate) async fn decide_until(
        &mut self,
        job: &str,
        contract: &str,
        approve: bool,
        expires: &str,
    ) -> Result<pb::JobSummary, tonic::Status> {
        let decision = Decision {
            job: job.parse().unwrap(),
            digest: contract_digest(contract.as_bytes()),
            approve,
            reason: String::new(),
            consent: Consent {
                expires: expires.into(),
                ..Consent::default()
            },
        };
        let signed = signing::sign(&self.identity, decision.to_bytes());
        let request = pb::DecideJobRequest {
            decision: Some(signed),
        };
        Ok(self
            .calls
            .decide_job(request)
            .await?
            .into_inner()
            .job
            .unwrap())
    }

    pub(crate) async fn show(&mut self, job: &str) -> pb::ShowJobResponse {
        let request = pb::ShowJobRequest { job: job.into() };
        self.calls.show_job(request).await.unwrap().into_inner()
    }

    /// Watches to the end; the states seen, without repetitions, and the last status.
    pub(crate) async fn watch(&mut self, job: &str) -> (Vec<JobState>, pb::JobStatus) {
        let request = pb::WatchJobRequest { job: job.into() };
        let mut stream = self.calls.watch_job(request).await.unwrap().into_inner();
        let (mut states, mut last) = (Vec::new(), pb::JobStatus::default());
        let seen = tokio::time::timeout(SOON, async {
            while let Some(response) = stream.message().await.unwrap() {
                last = response.status.unwrap();
                let state = last.summary.as_ref().unwrap().state();
                if states.last() != Some(&state) {
                    states.push(state);
                }
            }
        });
        seen.await
            .unwrap_or_else(|_| panic!("watching took too long"));
        (states, last)
    }
}

pub(crate) fn contract(job: &str, helper: &str) -> String {
    format!(
        "{job}|bank,partner|{helper}|{}",
        Clock::system().now() + 3600
    )
}
