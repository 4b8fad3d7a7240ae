//! A consortium in one process, for tests: a real coordinator and real party nodes, with real
//! certificates over real sockets on loopback.
#![allow(clippy::unwrap_used, reason = "a test rig: a failure is a failed test")]

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use paripassu_audit::{
    bundle::Bundle,
    verify::{Finding, HeldFile, Options, verify},
};
use paripassu_coordinator::{Config, Coordinator, Deadlines, Parts};
use paripassu_job::{Contract, JobId, Spec, Submitter, Timestamp};
use paripassu_party::{Running, config::PartyConfig};
use paripassu_proto::{
    Peer,
    control::v1::{self as pb, JobState, job_service_client::JobServiceClient},
};
use paripassu_service::{
    contract::heads,
    dealing::Dealing,
    identity::{Identity, files},
    pki,
    shutdown::Shutdown,
    signing::{self, Submission, contract_digest},
    tls::Suite,
    transport::{Settings, Tap, dial},
};
use tempfile::TempDir;

/// A job of bank and partner over all columns that they offer as `table`.
pub const JOB: &str = r#"
name = "two-tables"
purpose = "application_score"
legal_basis = "contract"
[[party]]
id = "bank"
role = "label"
dataset = "table"
columns = "all"
[[party]]
id = "partner"
role = "features"
dataset = "table"
columns = "all"
[helper]
id = "hub"
[outputs]
scores = { to = "bank" }
metrics_to = ["bank", "partner"]
"#;

/// The bundle verifies, with these files held against it. A build with the means of tests says so of
/// itself in every session; nothing else may be found.
///
/// # Panics
/// If anything else is found.
pub fn proves(bundle: &Bundle, files: &[HeldFile]) {
    let options = Options {
        files,
        ..Options::default()
    };
    let verdict = verify(bundle, &options);
    let test_mode = |f: &Finding| f.check == 10 && f.what == "test mode is switched on";
    let found = verdict.findings.iter().any(|f| !test_mode(f));
    assert!(!found, "{}: {verdict}", bundle.node);
}

/// A consortium with its certificate authority and a coordinator that is also the helper.
pub struct Consortium {
    dir: TempDir,
    coordinator: paripassu_coordinator::Running,
    shutdown: Shutdown,
    parties: Vec<Party>,
}

/// A party node, and how to start it again.
struct Party {
    id: String,
    config: PartyConfig,
    shutdown: Shutdown,
    running: Option<Running>,
}

impl std::fmt::Debug for Consortium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Consortium({} parties)", self.parties.len())
    }
}

fn enrol(root: &Path, who: &str) -> PathBuf {
    let dir = root.join(who.replace('/', "-"));
    let peer: Peer = who.parse().unwrap();
    let ca = root.join("ca");
    let csr = pki::request(&dir, &peer).unwrap();
    let crt = dir.join("signed");
    pki::sign(&ca, &csr, Some(&peer), &crt, 30).unwrap();
    let (authority, revoked) = (ca.join(files::AUTHORITY), ca.join(files::REVOKED));
    pki::install(&dir, &crt, &authority, Some(&revoked)).unwrap();
    dir
}

impl Consortium {
    /// A certificate authority and a coordinator on a free port.
    pub async fn new(tap: Option<Arc<dyn Tap>>) -> Self {
        Self::with_suites(tap, &Suite::ALL).await
    }

    /// The same with a coordinator that accepts only these cipher suites.
    pub async fn with_suites(tap: Option<Arc<dyn Tap>>, suites: &[Suite]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        pki::init(&dir.path().join("ca"), "Test consortium", 30).unwrap();
        let config = Config {
            listen: "127.0.0.1:0".into(),
            identity: enrol(dir.path(), "coordinator/hub"),
            state: dir.path().join("hub-state"),
            helper: true,
            tls_suites: suites.to_vec(),
            deadlines: Deadlines {
                connect_s: 60,
                grace_s: 3,
                ..Deadlines::default()
            },
        };
        enrol(dir.path(), "user/modeler");
        let shutdown = Shutdown::new();
        let mut parts = Parts::new(heads(), Arc::new(Dealing));
        parts.tap = tap;
        let coordinator = Coordinator::serve(config, parts, shutdown.clone())
            .await
            .unwrap();
        Self {
            dir,
            coordinator,
            shutdown,
            parties: Vec::new(),
        }
    }

    /// Where the coordinator listens.
    pub fn address(&self) -> String {
        self.coordinator.address().to_string()
    }

    /// A folder of the consortium.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts a party that offers one data set named `table` and approves what it is asked.
    pub fn party(&mut self, id: &str, csv: &Path, columns: &str) {
        self.party_with(id, csv, columns, "");
    }

    /// The same with further lines of configuration.
    pub fn party_with(&mut self, id: &str, csv: &Path, columns: &str, lines: &str) {
        let identity = enrol(self.dir.path(), &format!("party/{id}"));
        let mut text = String::new();
        writeln!(text, "coordinator = {:?}", self.address()).unwrap();
        writeln!(text, "coordinator_id = \"hub\"").unwrap();
        writeln!(text, "identity = {:?}", identity.display().to_string()).unwrap();
        writeln!(text, "state = \"{id}-state\"\nresults = \"{id}-results\"").unwrap();
        writeln!(text, "danger_approve_automatically = true\n{lines}").unwrap();
        writeln!(
            text,
            "[[dataset]]\nname = \"table\"\npath = {:?}",
            csv.display().to_string()
        )
        .unwrap();
        text.push_str(columns);
        let config =
            PartyConfig::from_toml(&text, &self.dir.path().join(format!("{id}.toml"))).unwrap();
        let shutdown = self.shutdown.child();
        let running = paripassu_party::serve(config.clone(), shutdown.clone()).unwrap();
        self.parties.push(Party {
            id: id.to_owned(),
            config,
            shutdown,
            running: Some(running),
        });
    }

    fn find(&mut self, id: &str) -> &mut Party {
        self.parties.iter_mut().find(|p| p.id == id).unwrap()
    }

    /// Stops a party's node.
    pub async fn halt(&mut self, id: &str) {
        let party = self.find(id);
        party.shutdown.ask();
        party.running.take().unwrap().task.await.unwrap();
    }

    /// Starts a party's node again that was halted.
    pub fn resume(&mut self, id: &str) {
        let shutdown = self.shutdown.child();
        let party = self.find(id);
        party.shutdown = shutdown.clone();
        party.running = Some(paripassu_party::serve(party.config.clone(), shutdown).unwrap());
    }

    /// Submits a job as the modeler and waits until it has ended: its status, and its folder of
    /// results at each party.
    pub async fn run(&self, spec: &str) -> (pb::JobStatus, JobId) {
        let spec = Spec::from_toml(spec, "job.toml").unwrap();
        let id = JobId::random(&mut rand::rng());
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let user = Submitter::user("modeler".parse().unwrap());
        let now = Timestamp::from_unix(now).unwrap();
        let contract = Contract::new(spec, id, now, user).unwrap();
        let identity = Arc::new(Identity::load(&self.dir.path().join("user-modeler")).unwrap());
        let channel = dial(&identity, &self.address(), None, &Settings::default())
            .await
            .unwrap();
        let mut calls = JobServiceClient::new(channel);
        let bytes = Bytes::copy_from_slice(contract.canonical().as_bytes());
        let statement = Submission {
            job: contract.job().to_string().parse().unwrap(),
            digest: contract_digest(&bytes),
        };
        let submission = signing::sign(&identity, statement.to_bytes());
        let request = pb::SubmitJobRequest {
            contract: bytes,
            submission: Some(submission),
        };
        calls.submit_job(request).await.unwrap();
        let watch = pb::WatchJobRequest {
            job: id.to_string(),
        };
        let mut stream = calls.watch_job(watch).await.unwrap().into_inner();
        let mut last = pb::JobStatus::default();
        let wait = async {
            while let Some(m) = stream.message().await.unwrap() {
                last = m.status.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(120), wait)
            .await
            .expect("the job takes too long");
        (last, id)
    }

    /// A party's folder of results.
    pub fn results(&self, party: &str, job: JobId) -> PathBuf {
        self.dir
            .path()
            .join(format!("{party}-results"))
            .join(job.to_string())
    }

    /// Stops everything.
    pub async fn stop(self) {
        self.shutdown.ask();
        for running in self.parties.into_iter().filter_map(|p| p.running) {
            running.task.await.unwrap();
        }
        self.coordinator.stop().await.unwrap();
    }
}

/// The state of a status.
pub fn state(status: &pb::JobStatus) -> JobState {
    status
        .summary
        .as_ref()
        .map(|s| s.state())
        .unwrap_or_default()
}
