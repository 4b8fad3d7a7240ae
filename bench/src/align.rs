//! Matching customers among processes: the relay in this one, each party in one of its own, over real TLS on
//! loopback, from a CSV file to the rows in common.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use paripassu_coordinator::{Coordinator, Parts};
use paripassu_model::{
    schema::{DatasetSpec, IdRule},
    synth::Portfolio,
};
use paripassu_party::dataset::FileIds;
pub use paripassu_protocol::align::Method;
use paripassu_protocol::{
    align::{self, Params},
    ctx::Ctx,
};
use paripassu_service::{
    Peer,
    node::{
        HelperRunner, JobInfo, NodeHandle, NodeHandler, Proposal, Reporter, RunError, StateChange,
    },
    pki,
    shutdown::Shutdown,
    signing::Decision,
    transport::JobChannel,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{BenchError, cpu, rig};

const DEADLINE: Duration = Duration::from_secs(600);
const PARTIES: [&str; 2] = ["bank", "partner"];
/// Rows of an id file made at a time by one thread.
const SLICE: u64 = 1 << 16;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Customers of each party; every second one is common.
    pub customers: u32,
    /// How they are matched.
    pub method: Method,
    /// Memory for intermediate values at each party, in bytes.
    pub memory_bytes: u64,
    /// Seed of the synthetic portfolio whose ids are taken.
    pub seed: u64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// How customers were matched.
    pub method: String,
    /// Customers of each party.
    pub n: u32,
    /// Customers found to be common, checked to be exactly those that are.
    pub matched: u64,
    /// Wall seconds from the first party's opening of its file to the last one's result.
    pub wall_s: f64,
    /// Processor seconds of both parties and the relay: start, certificates, reading, TLS, sealing, join,
    /// transcripts, end.
    pub cpu_s_total: f64,
    /// Of these, each party's.
    pub cpu_s_party: Vec<f64>,
    /// Of these, the relay's.
    pub cpu_s_relay: f64,
    /// Payload bytes that both parties sent, for each customer of one party.
    pub bytes_per_item: f64,
    /// Messages that the bank waited for.
    pub rounds: u64,
    /// Peak resident memory of the party that took more.
    pub peak_mib_party: u64,
}

/// What a party's process tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    matched: u64,
    bytes_sent: u64,
    rounds: u64,
    begun: f64,
    ended: f64,
    cpu_s: f64,
    peak_bytes: u64,
}

/// One party's part, in a process of its own.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its identity; its state and the rows that it finds go here, too.
    pub folder: PathBuf,
    /// The relay.
    pub address: String,
}

impl Part {
    fn ids(&self) -> PathBuf {
        self.folder.join("ids.csv")
    }

    fn rows(&self) -> PathBuf {
        self.folder.join("rows")
    }
}

struct Matcher {
    node: NodeHandle,
    part: Part,
    setting: Setting,
    told: Arc<Mutex<Option<Told>>>,
}

struct Nothing;

#[tonic::async_trait]
impl HelperRunner for Nothing {
    async fn run(&self, _: JobInfo, _: JobChannel) -> Result<(), RunError> {
        Ok(())
    }
}

impl NodeHandler for Matcher {
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
        let told = self.align(channel).await?;
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        Ok(())
    }
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

impl Matcher {
    async fn align(&self, channel: JobChannel) -> Result<Told, RunError> {
        let wrong = |e: &dyn std::fmt::Display| rig::failed(e.to_string());
        let begun = now();
        let columns = DatasetSpec {
            id_more: Vec::new(),
            id: "id".into(),
            label: None,
            numeric: Vec::new(),
            categorical: Vec::new(),
            missing: Vec::new(),
            id_rules: vec![IdRule::Trim],
        };
        let ids = FileIds::open(&self.part.ids(), &columns).map_err(|e| wrong(&e))?;
        let params = Params {
            memory_bytes: self.setting.memory_bytes,
            ..Params::new([7; 32])
        };
        let ctx = Ctx::new(Arc::new(channel), PARTIES.len() as u8, DEADLINE);
        let aligned = align::run(&ctx, self.setting.method, &params, ids, |_, _| {});
        let aligned = aligned.await.map_err(|e| wrong(&e))?;
        let ended = now();
        let cost = ctx.meter().total();
        let bytes: Vec<u8> = aligned.rows.iter().flat_map(|r| r.to_le_bytes()).collect();
        std::fs::write(self.part.rows(), bytes).map_err(|e| wrong(&e))?;
        Ok(Told {
            matched: aligned.rows.len() as u64,
            bytes_sent: cost.bytes_sent,
            rounds: cost.rounds,
            begun,
            ended,
            cpu_s: 0.0,
            peak_bytes: 0,
        })
    }
}

/// Plays one party until its job has ended, in a process of its own.
///
/// # Errors
/// When it cannot begin, or its job fails.
pub async fn party(part: Part, setting: Setting) -> Result<Told, BenchError> {
    let told: Arc<Mutex<Option<Told>>> = Arc::default();
    let kept = Arc::clone(&told);
    let own = part.clone();
    let make = move |node| Matcher {
        node,
        part: own,
        setting,
        told: kept,
    };
    let heads = rig::heads(PARTIES.map(String::from).to_vec());
    rig::play_until_stdin_ends(&part.folder, &part.address, heads, make).await?;
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut told =
        told.ok_or_else(|| BenchError::Run("this party's job did not end well".into()))?;
    (told.cpu_s, told.peak_bytes) = cpu::used();
    Ok(told)
}

/// Measures with parties that `program` starts as `bench align --party`.
///
/// # Errors
/// [`BenchError`], also where the customers found are not those in common.
pub async fn measure(setting: &Setting, program: &Path) -> Result<Measured, BenchError> {
    let io = |what| move |source| BenchError::Io { what, source };
    let dir = tempfile::tempdir().map_err(io("a temporary folder"))?;
    let root = dir.path();
    pki::init(&root.join("ca"), "Measurement", 2)?;
    let mut folders = Vec::new();
    for (name, first) in PARTIES.iter().zip([0, u64::from(setting.customers) / 2]) {
        let folder = rig::enrol(root, &format!("party/{name}"))?;
        write_ids(&folder.join("ids.csv"), setting, first).map_err(io("a file of ids"))?;
        folders.push(folder);
    }
    let config = rig::hub_config(root)?;
    let shutdown = Shutdown::new();
    let heads = rig::heads(PARTIES.map(String::from).to_vec());
    let parts = Parts::new(heads, Arc::new(Nothing));
    let before = cpu::used().0;
    let hub = Coordinator::serve(config, parts, shutdown.clone()).await?;
    let mut processes = Vec::new();
    for folder in &folders {
        let child = tokio::process::Command::new(program)
            .args(["bench", "align", "--json", "--party"])
            .arg(folder)
            .args(["--address", &hub.address().to_string()])
            .args(["--n", &setting.customers.to_string()])
            .args(["--method", &setting.method.to_string()])
            .args(["--memory-mib", &(setting.memory_bytes >> 20).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(io("a process for each party"))?;
        processes.push(child);
    }
    let result = rig::drive(root, &hub).await;
    let told: Vec<Told> = rig::told(processes, result.is_ok()).await?;
    shutdown.ask();
    hub.stop().await?;
    let relay = cpu::used().0 - before;
    result?;
    let [bank, partner] = &told[..] else {
        return Err(BenchError::Run("a party did not finish".into()));
    };
    let mut rows = Vec::new();
    for folder in folders {
        let part = Part {
            folder,
            address: String::new(),
        };
        rows.push(std::fs::read(part.rows()).map_err(io("what a party found"))?);
    }
    check(setting, &rows[0], &rows[1])?;
    Ok(Measured {
        method: setting.method.to_string(),
        n: setting.customers,
        matched: bank.matched,
        wall_s: bank.ended.max(partner.ended) - bank.begun.min(partner.begun),
        cpu_s_total: relay + bank.cpu_s + partner.cpu_s,
        cpu_s_party: vec![bank.cpu_s, partner.cpu_s],
        cpu_s_relay: relay,
        bytes_per_item: (bank.bytes_sent + partner.bytes_sent) as f64
            / f64::from(setting.customers.max(1)),
        rounds: bank.rounds,
        peak_mib_party: bank.peak_bytes.max(partner.peak_bytes) >> 20,
    })
}

/// The ids of rows `first..first + customers` of the portfolio, in an order of the file's own.
fn write_ids(file: &Path, setting: &Setting, first: u64) -> io::Result<()> {
    let portfolio = Portfolio::new(setting.seed);
    let n = u64::from(setting.customers);
    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(b"id\n")?;
    let starts: Vec<u64> = (0..n.div_ceil(SLICE)).map(|k| k * SLICE).collect();
    for group in starts.chunks(16) {
        let texts: Vec<String> = group
            .par_iter()
            .map(|&start| {
                (start..(start + SLICE).min(n))
                    .map(|row| portfolio.customer_id(first + order(row, n, first)) + "\n")
                    .collect()
            })
            .collect();
        for text in texts {
            out.write_all(text.as_bytes())?;
        }
    }
    out.flush()
}

/// Which of `n` customers the `row`th is, in an order that differs between the files.
fn order(row: u64, n: u64, first: u64) -> u64 {
    match first {
        0 => row,
        _ => n - 1 - row,
    }
}

/// Both lists name the same customers in the same order, and these are all that are common.
fn check(setting: &Setting, bank: &[u8], partner: &[u8]) -> Result<(), BenchError> {
    let wrong = |what: &str| Err(BenchError::Run(format!("the alignment is wrong: {what}")));
    let n = u64::from(setting.customers);
    let half = n / 2;
    if bank.len() as u64 != 4 * (n - half) || bank.len() != partner.len() {
        return wrong("not as many customers in common as there are");
    }
    let mut seen = vec![false; setting.customers as usize];
    let rows = |bytes: &[u8]| -> Vec<u64> {
        let words = bytes.as_chunks::<4>().0.iter();
        words.map(|w| u64::from(u32::from_le_bytes(*w))).collect()
    };
    for (a, b) in rows(bank).into_iter().zip(rows(partner)) {
        let customer = order(a, n, 0);
        let theirs = n.checked_sub(b + 1).map(|_| half + order(b, n, half));
        let first_time = usize::try_from(customer)
            .ok()
            .and_then(|at| seen.get_mut(at))
            .is_some_and(|seen| !std::mem::replace(seen, true));
        if Some(customer) != theirs || !first_time {
            return wrong("a pair of rows is not one customer");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_true_alignment_passes() {
        let setting = Setting {
            customers: 6,
            method: Method::Curve,
            memory_bytes: 1 << 20,
            seed: 1,
        };
        let bytes =
            |rows: &[u32]| -> Vec<u8> { rows.iter().flat_map(|r| r.to_le_bytes()).collect() };
        // the bank's rows 3, 4, 5 are the partner's 5, 4, 3
        let (a, b) = (bytes(&[4, 3, 5]), bytes(&[4, 5, 3]));
        assert!(check(&setting, &a, &b).is_ok());
        assert!(check(&setting, &a, &bytes(&[5, 4, 3])).is_err());
        assert!(check(&setting, &bytes(&[4, 3]), &bytes(&[4, 5])).is_err());
        assert!(check(&setting, &bytes(&[4, 4, 5]), &bytes(&[4, 4, 3])).is_err());
        assert!(check(&setting, &a, &bytes(&[4, 5, 9])).is_err());
    }
}
