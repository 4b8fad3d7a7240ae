//! Secure aggregation among processes: the relay and adder in this one, each client in one of its own, over
//! real TLS on loopback.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use paripassu_coordinator::{Coordinator, Parts};
use paripassu_protocol::{
    channel::{Channel, Role},
    ctx::Ctx,
    horizontal::secagg::{self, Client, Params},
};
use paripassu_service::{
    Peer,
    dealing::SHARES_LABEL,
    node::{
        HelperRunner, JobInfo, NodeHandle, NodeHandler, Proposal, Reporter, RunError, StateChange,
    },
    pki,
    shutdown::Shutdown,
    signing::Decision,
    transport::JobChannel,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{BenchError, cpu, rig};

const DEADLINE: Duration = Duration::from_secs(120);

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Clients, each a process.
    pub clients: usize,
    /// Numbers in each client's vector.
    pub params: usize,
    /// Sums, after one that is not counted.
    pub rounds: usize,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Clients.
    pub clients: usize,
    /// Numbers in a vector.
    pub params: usize,
    /// Sums counted.
    pub rounds: usize,
    /// Clients that must stay to the end of a sum.
    pub threshold: usize,
    /// Wall seconds of one sum, keys and shares included: the median of the slowest clients'.
    pub round_s: f64,
    /// Each counted sum, at its slowest client.
    pub rounds_s: Vec<f64>,
    /// Processor seconds of all processes, from the start of the clients to their end, joining and the
    /// uncounted sum included.
    pub cpu_s_total: f64,
    /// Processor seconds of all clients for one counted sum.
    pub client_cpu_s_per_round: f64,
    /// Most masked vectors, and the sum, that the adder held at a time.
    pub most_vectors: usize,
    /// Share of the speed of bare AES-128 at which masks are made and added.
    pub mask_speed: f64,
}

/// What a client's process tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    rounds_s: Vec<f64>,
    round_cpu_s: f64,
    cpu_s: f64,
}

/// Names of the clients.
fn names(clients: usize) -> Vec<String> {
    (0..clients).map(|i| format!("bank-{i}")).collect()
}

fn params(clients: usize) -> Result<Params, BenchError> {
    Params::new(clients, None, [0; 32], DEADLINE).map_err(|e| BenchError::Run(e.to_string()))
}

struct Adder {
    clients: usize,
    most: Arc<Mutex<usize>>,
}

#[tonic::async_trait]
impl HelperRunner for Adder {
    async fn run(&self, _: JobInfo, channel: JobChannel) -> Result<(), RunError> {
        let parties = self.clients as u8;
        let ctx = Ctx::new(Arc::new(channel), parties, DEADLINE);
        let params = params(self.clients).map_err(|e| rig::failed(e.to_string()))?;
        let served = secagg::serve(&ctx, &params).await;
        let served = served.map_err(|e| rig::failed(e.to_string()))?;
        *self.most.lock().unwrap_or_else(PoisonError::into_inner) = served.most_vectors;
        Ok(())
    }
}

struct Bank {
    node: NodeHandle,
    setting: Setting,
    told: Arc<Mutex<Option<Told>>>,
}

impl NodeHandler for Bank {
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

    async fn run(&self, _: JobInfo, channel: JobChannel, _: Reporter) -> Result<(), RunError> {
        let told = self.sums(channel).await?;
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        Ok(())
    }
}

impl Bank {
    async fn sums(&self, channel: JobChannel) -> Result<Told, RunError> {
        let Setting {
            clients,
            params: len,
            rounds,
        } = self.setting;
        let me = channel.role().index().unwrap_or_default();
        let roots = (0..clients).map(|place| {
            let root = channel.shared_with(Role::Party(place as u8));
            root.map_or(Zeroizing::new([0; 32]), |root| root.derive(SHARES_LABEL))
        });
        let roots = roots.collect();
        let wrong = |e: &dyn std::fmt::Display| rig::failed(e.to_string());
        let ctx = Ctx::new(Arc::new(channel), clients as u8, DEADLINE);
        let params = params(clients).map_err(|e| wrong(&e))?;
        let mut client = Client::join(&ctx, params, roots)
            .await
            .map_err(|e| wrong(&e))?;
        let values: Vec<u64> = (0..len)
            .map(|j| ((j * 31 + me) % 1_000_003) as u64)
            .collect();
        let (mut rounds_s, mut before) = (Vec::new(), 0.0);
        for round in 0..=rounds {
            if round == 1 {
                before = cpu::used().0;
            }
            let start = Instant::now();
            let purpose = format!("round {round}");
            let sum = client
                .sum(&purpose, values.clone())
                .await
                .map_err(|e| wrong(&e))?;
            if round > 0 {
                rounds_s.push(start.elapsed().as_secs_f64());
            }
            let expected = |j: usize| {
                (0..clients)
                    .map(|i| ((j * 31 + i) % 1_000_003) as u64)
                    .sum::<u64>()
            };
            let right = [0, len / 2, len - 1]
                .iter()
                .all(|j| sum.words[*j] == expected(*j));
            if !right || sum.members.count() != clients {
                return Err(rig::failed("a sum is not over all clients".into()));
            }
        }
        let round_cpu_s = (cpu::used().0 - before) / rounds as f64;
        client.done().await.map_err(|e| wrong(&e))?;
        Ok(Told {
            rounds_s,
            round_cpu_s,
            cpu_s: cpu::used().0,
        })
    }
}

/// Plays one client until its job has ended, in a process of its own.
///
/// # Errors
/// When it cannot begin, or its job fails.
pub async fn client(folder: &Path, address: &str, setting: Setting) -> Result<Told, BenchError> {
    let told: Arc<Mutex<Option<Told>>> = Arc::default();
    let kept = Arc::clone(&told);
    let make = |node| Bank {
        node,
        setting,
        told: kept,
    };
    let heads = rig::heads(names(setting.clients));
    rig::play_until_stdin_ends(folder, address, heads, make).await?;
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).take();
    told.ok_or_else(|| BenchError::Run("this client's job did not end well".into()))
}

/// Measures with clients that `program` starts as `bench secagg --client`.
///
/// # Errors
/// When a process cannot be started or the job fails.
pub async fn measure(setting: &Setting, program: &Path) -> Result<Measured, BenchError> {
    let io = |what| move |source| BenchError::Io { what, source };
    let dir = tempfile::tempdir().map_err(io("a temporary folder"))?;
    let root = dir.path();
    pki::init(&root.join("ca"), "Measurement", 2)?;
    let most: Arc<Mutex<usize>> = Arc::default();
    let adder = Adder {
        clients: setting.clients,
        most: Arc::clone(&most),
    };
    let config = rig::hub_config(root)?;
    let shutdown = Shutdown::new();
    let parts = Parts::new(rig::heads(names(setting.clients)), Arc::new(adder));
    let before = cpu::used().0;
    let hub = Coordinator::serve(config, parts, shutdown.clone()).await?;
    let address = hub.address().to_string();
    let mut processes = Vec::new();
    for name in names(setting.clients) {
        let folder: PathBuf = rig::enrol(root, &format!("party/{name}"))?;
        let child = tokio::process::Command::new(program)
            .args(["bench", "secagg", "--json", "--client"])
            .arg(&folder)
            .args(["--address", &address])
            .args(["--clients", &setting.clients.to_string()])
            .args(["--params", &setting.params.to_string()])
            .args(["--rounds", &setting.rounds.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(io("a process for each client"))?;
        processes.push(child);
    }
    let result = rig::drive(root, &hub).await;
    let told: Vec<Told> = rig::told(processes, result.is_ok()).await?;
    let own = cpu::used().0 - before;
    shutdown.ask();
    hub.stop().await?;
    result?;
    let slowest = |round: usize| {
        told.iter()
            .filter_map(|t| t.rounds_s.get(round))
            .fold(0.0f64, |m, s| m.max(*s))
    };
    let rounds_s: Vec<f64> = (0..setting.rounds).map(slowest).collect();
    let mut sorted = rounds_s.clone();
    sorted.sort_by(f64::total_cmp);
    let most_vectors = *most.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Measured {
        clients: setting.clients,
        params: setting.params,
        rounds: setting.rounds,
        threshold: secagg::usual_threshold(setting.clients),
        round_s: sorted[sorted.len() / 2],
        rounds_s,
        cpu_s_total: own + told.iter().map(|t| t.cpu_s).sum::<f64>(),
        client_cpu_s_per_round: told.iter().map(|t| t.round_cpu_s).sum(),
        most_vectors,
        mask_speed: mask_speed(),
    })
}

/// Processor time of bare AES-128 on blocks in cache, over that of making masks and adding them to a vector.
fn mask_speed() -> f64 {
    use paripassu_crypto::prg::{Label, Prg};
    let prg = Prg::new(&[7; 32]);
    let mut vector = vec![0u64; 1 << 17];
    let mut block = vec![0u64; 1 << 10];
    let mut ratios: Vec<f64> = (0..15)
        .map(|_| {
            let start = cpu::used().0;
            for _ in 0..200 {
                prg.add(Label::request(0, 0), 0, &mut vector);
            }
            let masked = cpu::used().0 - start;
            let start = cpu::used().0;
            for _ in 0..200 * (vector.len() / block.len()) {
                prg.fill(Label::request(0, 0), 0, &mut block);
            }
            (cpu::used().0 - start) / masked
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}
