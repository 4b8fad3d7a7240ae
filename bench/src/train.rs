//! Joint training among processes: relay and helper in this one, each party in one of its own, over real TLS on
//! loopback or a slower link, against a plaintext solver of the same passes on one thread.

mod batches;
mod steps;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use ndarray::Array2;
use paripassu_coordinator::{Coordinator, Parts};
use paripassu_model::{
    logistic::{LogisticModel, TrainingSet, newton_passes, sigmoid},
    metrics::Scored,
};
use paripassu_protocol::{
    arith::Engine,
    correlation::{CorrelationSource, HelperSource},
    ctx::Ctx,
    vertical::{
        logistic::{LogisticInput, LogisticSpec, Method, Stop, train},
        network::{self, Dense, Hidden, NetworkInput, NetworkSpec, Schedule, plain},
        sgd::{self, SgdSpec},
    },
};
use paripassu_service::{pki, shutdown::Shutdown, transcript::Record, transport::JobChannel};
use serde::{Deserialize, Serialize};

pub use steps::Steps;

use crate::{
    BenchError, cpu, data,
    recording::Written,
    rig::{self, Play},
    shaper::{Link, Shaped},
};

const PARTIES: [&str; 2] = ["bank", "partner"];

/// What to measure.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Training rows.
    pub rows: usize,
    /// Columns of bank and partner.
    pub cols: [usize; 2],
    /// How steps of a logistic regression are made.
    pub method: Steps,
    /// Passes, or as many as it takes to settle.
    pub passes: Option<u32>,
    /// Seed of the synthetic portfolio.
    pub seed: u64,
    /// Each party's link to the relay, if not loopback itself.
    pub link: Option<Link>,
    /// A network instead of a logistic regression: its hidden layers, and rows of a batch.
    pub network: Option<(Vec<usize>, usize)>,
    /// Rows of mini-batches, and the range of their sigmoid, if not the smallest that holds.
    pub sgd: (usize, Option<u32>),
}

impl Setting {
    fn sgd(&self) -> Option<SgdSpec> {
        let (batch, range) = self.sgd;
        (self.method == Steps::Sgd).then(|| SgdSpec {
            epochs: self.passes.unwrap_or(10) as usize,
            batch,
            seed: self.seed,
            range,
            ..SgdSpec::default()
        })
    }

    fn spec(&self) -> LogisticSpec {
        let newton = LogisticSpec::default();
        let spec = match self.method {
            Steps::Newton | Steps::Sgd => newton,
            Steps::Accelerated => LogisticSpec {
                method: Method::Accelerated,
                max_passes: 1_000,
                ..newton
            },
        };
        match self.passes {
            Some(n) => LogisticSpec {
                stop: Stop::After(n),
                max_passes: n,
                ..spec
            },
            None => spec,
        }
    }

    fn network(&self) -> Option<NetworkSpec> {
        let (hidden, batch) = self.network.clone()?;
        Some(NetworkSpec {
            hidden,
            activation: Hidden::Tanh,
            epochs: self.passes.unwrap_or(1) as usize,
            batch,
            rate: 0.03,
            schedule: Schedule::Constant,
            momentum: 0.9,
            l2: 0.5,
            dropout: 0.0,
            seed: self.seed,
            validation_tenths: 0,
            patience: 0,
            score_step_log2: None,
            row_weights: Vec::new(),
        })
    }
}

/// A layer's weights, biases and number of outputs.
type Layer = (Vec<f64>, Vec<f64>, usize);

fn layer(dense: Dense) -> Layer {
    (dense.weights, dense.biases, dense.outputs)
}

fn dense((weights, biases, outputs): Layer) -> Dense {
    Dense {
        weights,
        biases,
        outputs,
    }
}

/// What a party's process tells.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Told {
    coefficients: Vec<f64>,
    intercept: Option<f64>,
    /// Of a network: the first layer's weights of own columns, and the further layers.
    layers: Vec<Layer>,
    passes: u32,
    hessians: u32,
    hessian_rows: usize,
    bytes_sent: u64,
    bytes_received: u64,
    rounds: u64,
    begun: f64,
    ended: f64,
    cpu_s: f64,
    computing_s: f64,
    table_bytes: u64,
    peak_bytes: u64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Training rows.
    pub rows: usize,
    /// Columns of bank and partner.
    pub cols: [usize; 2],
    /// How steps of a logistic regression are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Steps>,
    /// Hidden layers of a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<usize>>,
    /// Passes made.
    pub passes: u32,
    /// Hessians made.
    pub hessians: u32,
    /// Wall seconds from the first party's beginning to the last one's end: training, set-up included.
    pub wall_s: f64,
    /// Processor seconds of each party's process in that time, transport and transcript included.
    pub cpu_s_party: [f64; 2],
    /// Processor seconds of helper and relay, from the job's proposal to its end.
    pub cpu_s_helper_and_relay: f64,
    /// Processor seconds of the plaintext solver: as many passes and Hessians, one thread.
    pub cpu_s_plain: f64,
    /// Of it, what each party's protocol computed: no transport, no transcript.
    pub computing_s_party: [f64; 2],
    /// The busier party's computing by the plaintext solver's.
    pub party_cpu_ratio: f64,
    /// The busier party's whole process by the plaintext solver's.
    pub party_process_ratio: f64,
    /// All roles' by the plaintext solver's.
    pub total_cpu_ratio: f64,
    /// Payload bytes that bank and partner sent.
    pub bytes_sent: [u64; 2],
    /// Payload bytes that they received from each other and from the helper.
    pub bytes_received: [u64; 2],
    /// Payload bytes received by both parties per row and pass, masked features left out.
    pub bytes_per_row_and_pass: f64,
    /// Rounds that the bank waited for.
    pub rounds: u64,
    /// On the training rows.
    pub auc_plain: f64,
    /// On the training rows.
    pub auc_joint: f64,
    /// Largest difference of a coefficient from the plaintext solver's, standardised scale.
    pub coef_max_abs_diff: f64,
    /// The same by the largest coefficient.
    pub coef_max_rel_diff: f64,
    /// Peak resident memory of each party's process.
    pub peak_bytes_party: [u64; 2],
    /// The larger of these by the party's table in double precision.
    pub peak_by_table: f64,
}

struct Trainer {
    setting: Setting,
    input: Mutex<Option<LogisticInput>>,
    told: Arc<Mutex<Option<Told>>>,
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

#[tonic::async_trait]
impl Play for Trainer {
    async fn play(
        &self,
        ctx: Ctx<JobChannel>,
        seed: [u8; 32],
        record: Record,
    ) -> Result<(), String> {
        let (begun, cpu_before) = (now(), cpu::used().0);
        let computed_before = cpu::computing();
        let input = lock(&self.input).take().ok_or("played twice")?;
        let table_bytes = 8 * (input.x.len() + input.rows) as u64;
        let text = |e: paripassu_protocol::abort::Abort| e.to_string();
        let source = HelperSource::new(&ctx, &seed).map_err(text)?;
        let mut engine =
            Engine::new(&ctx, source, Box::new(Written::to(record, false))).map_err(text)?;
        let told = match (self.setting.network(), self.setting.sgd()) {
            (Some(spec), _) => {
                let input = NetworkInput {
                    x: input.x,
                    cols: input.cols,
                    rows: input.rows,
                    label: input.label,
                    row_weights: None,
                    test: Vec::new(),
                    test_rows: 0,
                };
                let fit = network::train(&mut engine, &spec, input, &mut |_, _, _| {})
                    .await
                    .map_err(text)?;
                let passes = fit.facts.epochs as u32;
                let layers = [fit.first].into_iter().chain(fit.further).map(layer);
                Told {
                    layers: layers.collect(),
                    passes,
                    ..Told::default()
                }
            }
            (None, Some(spec)) => {
                let fit = sgd::train(&mut engine, &spec, input, &mut |_, _, _| {})
                    .await
                    .map_err(text)?;
                Told {
                    coefficients: fit.coefficients,
                    intercept: fit.intercept,
                    passes: fit.facts.epochs as u32,
                    ..Told::default()
                }
            }
            (None, None) => {
                let fit = train(&mut engine, &self.setting.spec(), input, &mut |_, _, _| {})
                    .await
                    .map_err(text)?;
                Told {
                    coefficients: fit.coefficients,
                    intercept: fit.intercept,
                    passes: fit.facts.passes,
                    hessians: fit.facts.hessians,
                    hessian_rows: fit.facts.hessian_rows,
                    ..Told::default()
                }
            }
        };
        engine.source_mut().done().await.map_err(text)?;
        let cost = ctx.meter().total();
        *lock(&self.told) = Some(Told {
            bytes_sent: cost.bytes_sent,
            bytes_received: cost.bytes_received,
            rounds: cost.rounds,
            begun,
            ended: now(),
            cpu_s: cpu::used().0 - cpu_before,
            computing_s: cpu::computing() - computed_before,
            table_bytes,
            ..told
        });
        Ok(())
    }
}

/// Plays one party until its job has ended, in a process of its own with the identity in `folder`.
///
/// # Errors
/// When it cannot begin, or its job fails.
pub async fn party(folder: PathBuf, address: &str, setting: Setting) -> Result<Told, BenchError> {
    let me = PARTIES
        .iter()
        .position(|p| folder.ends_with(format!("party-{p}")));
    let me = me.ok_or_else(|| BenchError::Name(folder.display().to_string()))?;
    cpu::name_pool();
    let (x, y) = data::of_party(setting.rows, setting.cols[me], setting.seed, me);
    let input = LogisticInput {
        x,
        cols: setting.cols[me],
        rows: setting.rows,
        label: y,
        row_weights: None,
        offset: None,
        signs: Vec::new(),
    };
    let told: Arc<Mutex<Option<Told>>> = Arc::default();
    let play = Trainer {
        setting,
        input: Mutex::new(Some(input)),
        told: Arc::clone(&told),
    };
    let heads = rig::heads(PARTIES.map(String::from).to_vec());
    let make = |node| rig::Handler::new(node, Arc::new(play));
    rig::play_until_stdin_ends(&folder, address, heads, make).await?;
    let told = lock(&told).take();
    let mut told =
        told.ok_or_else(|| BenchError::Run("this party's job did not end well".into()))?;
    told.peak_bytes = cpu::used().1;
    Ok(told)
}

/// Measures with parties that `program` starts as `bench train --party`.
///
/// # Errors
/// [`BenchError`].
pub async fn measure(setting: &Setting, program: &Path) -> Result<Measured, BenchError> {
    let io = |what| move |source| BenchError::Io { what, source };
    let dir = tempfile::tempdir().map_err(io("a temporary folder"))?;
    let root = dir.path();
    pki::init(&root.join("ca"), "Measurement", 2)?;
    let config = rig::hub_config(root)?;
    let shutdown = Shutdown::new();
    let heads = rig::heads(PARTIES.map(String::from).to_vec());
    let parts = Parts::new(heads, Arc::new(rig::Helper));
    let hub = Coordinator::serve(config, parts, shutdown.clone()).await?;
    let shaped = match setting.link {
        Some(link) => {
            let shaped = Shaped::before(hub.address(), link).await;
            Some(shaped.map_err(io("a port for a slower link"))?)
        }
        None => None,
    };
    let address = shaped.as_ref().map_or(hub.address(), |s| s.address);
    let before = cpu::used().0;
    let mut processes = Vec::new();
    for name in PARTIES {
        let mut command = tokio::process::Command::new(program);
        command
            .args(["bench", "train", "--json", "--party"])
            .arg(rig::enrol(root, &format!("party/{name}"))?)
            .args(["--address", &address.to_string()])
            .args(["--rows", &setting.rows.to_string()])
            .args(["--cols-a", &setting.cols[0].to_string()])
            .args(["--cols-b", &setting.cols[1].to_string()])
            .args(["--seed", &setting.seed.to_string()])
            .args(["--method", &setting.method.to_string()]);
        if let Some(passes) = setting.passes {
            command.args(["--passes", &passes.to_string()]);
        }
        if let Some((hidden, batch)) = &setting.network {
            let hidden: Vec<String> = hidden.iter().map(ToString::to_string).collect();
            command.args(["--model", "mlp", "--hidden", &hidden.join(",")]);
            command.args(["--batch", &batch.to_string()]);
        }
        if setting.method == Steps::Sgd {
            let (batch, range) = setting.sgd;
            command.args(["--batch", &batch.to_string()]);
            if let Some(range) = range {
                command.args(["--range", &range.to_string()]);
            }
        }
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(io("a process for each party"))?;
        processes.push(child);
    }
    let result = rig::drive(root, &hub).await;
    let relay = cpu::used().0 - before;
    let told: Vec<Told> = rig::told(processes, result.is_ok()).await?;
    shutdown.ask();
    hub.stop().await?;
    result?;
    let told: [Told; 2] = told
        .try_into()
        .map_err(|_| BenchError::Run("a party did not finish".into()))?;
    compared(setting, &told, relay)
}

/// A model in the clear beside the joint one.
struct Beside {
    cpu_s_plain: f64,
    /// Scores on the training rows: joint, plain.
    scores: [Vec<f64>; 2],
    /// Largest difference of a coefficient or weight, and the largest of these.
    apart: (f64, f64),
}

fn apart(joint: &[f64], plain: &[f64]) -> (f64, f64) {
    let differ = joint.iter().zip(plain).map(|(a, b)| (a - b).abs());
    let largest = plain.iter().map(|w| w.abs()).fold(0.0, f64::max);
    (differ.fold(0.0, f64::max), largest)
}

/// Newton passes in the clear that land on the optimum, beside which accelerated ones stand.
const TO_THE_END: usize = 10;

/// The plaintext solver of as many passes and Hessians; of accelerated passes as many gradients, and the optimum.
fn logistic(
    setting: &Setting,
    [bank, partner]: &[Told; 2],
    x: &[f64],
    y: &[u8],
) -> Result<Beside, BenchError> {
    let d = setting.cols.iter().sum();
    let set = TrainingSet::from_slice(x, d, y)?;
    let before = cpu::used().0;
    let made = match setting.method {
        Steps::Newton | Steps::Sgd => bank.passes as usize,
        Steps::Accelerated => TO_THE_END,
    };
    let run = newton_passes(&set, setting.spec().l2, made, bank.hessian_rows)?;
    let each = (cpu::used().0 - before) / made.max(1) as f64;
    let cpu_s_plain = run.share_of_hessians(bank.hessians as usize) * each * f64::from(bank.passes);
    let joint = LogisticModel {
        intercept: bank.intercept.unwrap_or(f64::NAN),
        coefficients: [&bank.coefficients[..], &partner.coefficients[..]].concat(),
    };
    let apart = apart(&joint.coefficients, &run.model.coefficients);
    let scores = [&joint, &run.model].map(|model| {
        let score = |row: &[f64]| {
            let parts = row.iter().zip(&model.coefficients).map(|(x, w)| x * w);
            parts.sum::<f64>() + model.intercept
        };
        x.chunks_exact(d).map(score).collect()
    });
    Ok(Beside {
        cpu_s_plain,
        scores,
        apart,
    })
}

/// The same network in the clear, with tanh itself: as many steps on one thread.
fn in_the_clear(
    setting: &Setting,
    spec: &NetworkSpec,
    [bank, partner]: &[Told; 2],
    x: &[f64],
    y: &[u8],
) -> Result<Beside, BenchError> {
    let text = |e: &dyn std::fmt::Display| BenchError::Run(e.to_string());
    let d = setting.cols.iter().sum();
    let x = Array2::from_shape_vec((y.len(), d), x.to_vec()).map_err(|e| text(&e))?;
    let before = cpu::used().0;
    let plain =
        plain::train(spec, (&x, y), None, plain::Activation::Exact).map_err(|e| text(&e))?;
    let cpu_s_plain = cpu::used().0 - before;
    let mut layers: Vec<Dense> = bank.layers.iter().cloned().map(dense).collect();
    if let (Some(first), Some((more, ..))) = (layers.first_mut(), partner.layers.first()) {
        first.weights.extend(more);
    }
    let joint = plain::Plain {
        activation: plain::Activation::Series,
        layers,
        ..plain.clone()
    };
    let flat = |p: &plain::Plain| -> Vec<f64> {
        let parts = p
            .layers
            .iter()
            .map(|l| [&l.weights[..], &l.biases].concat());
        parts.flatten().collect()
    };
    let scores = [
        joint.log_odds(&x).map_err(|e| text(&e))?,
        plain.log_odds(&x).map_err(|e| text(&e))?,
    ];
    Ok(Beside {
        cpu_s_plain,
        apart: apart(&flat(&joint), &flat(&plain)),
        scores,
    })
}

/// Against the plaintext solver.
fn compared(setting: &Setting, told: &[Told; 2], relay: f64) -> Result<Measured, BenchError> {
    let sample = data::portfolio(setting.rows, setting.cols, setting.seed);
    let x = sample.side_by_side();
    let d: usize = setting.cols.iter().sum();
    let beside = match (setting.network(), setting.sgd()) {
        (Some(spec), _) => in_the_clear(setting, &spec, told, &x, &sample.y)?,
        (None, Some(spec)) => batches::in_the_clear(setting, &spec, told, &x, &sample.y)?,
        (None, None) => logistic(setting, told, &x, &sample.y)?,
    };
    let [bank, partner] = told;
    let auc = |scores: &[f64]| -> Result<f64, BenchError> {
        let pd: Vec<f64> = scores.iter().map(|z| sigmoid(*z)).collect();
        let scored = Scored::new(&sample.y, &pd);
        Ok(scored
            .map_err(|e| BenchError::Run(e.to_string()))?
            .metrics()
            .auc)
    };
    let rows = setting.rows as f64;
    let received = (bank.bytes_received + partner.bytes_received) as f64;
    let word = match setting.method {
        Steps::Sgd => 5.0,
        _ => 8.0,
    };
    let setup = word * (d + 1) as f64 * rows;
    let cpu_s_party = [bank.cpu_s, partner.cpu_s];
    let computing_s_party = [bank.computing_s, partner.computing_s];
    let busier = |of: [f64; 2]| of[0].max(of[1]);
    let by_table = |t: &Told| t.peak_bytes as f64 / t.table_bytes as f64;
    let cpu_s_plain = beside.cpu_s_plain;
    let (coef_max_abs_diff, largest) = beside.apart;
    Ok(Measured {
        rows: setting.rows,
        method: setting.network.is_none().then_some(setting.method),
        cols: setting.cols,
        hidden: setting.network.clone().map(|(hidden, _)| hidden),
        passes: bank.passes,
        hessians: bank.hessians,
        wall_s: bank.ended.max(partner.ended) - bank.begun.min(partner.begun),
        cpu_s_party,
        cpu_s_helper_and_relay: relay,
        cpu_s_plain,
        computing_s_party,
        party_cpu_ratio: busier(computing_s_party) / cpu_s_plain,
        party_process_ratio: busier(cpu_s_party) / cpu_s_plain,
        total_cpu_ratio: (bank.cpu_s + partner.cpu_s + relay) / cpu_s_plain,
        bytes_sent: [bank.bytes_sent, partner.bytes_sent],
        bytes_received: [bank.bytes_received, partner.bytes_received],
        bytes_per_row_and_pass: (received - setup) / rows / f64::from(bank.passes),
        rounds: bank.rounds,
        auc_joint: auc(&beside.scores[0])?,
        auc_plain: auc(&beside.scores[1])?,
        coef_max_abs_diff,
        coef_max_rel_diff: coef_max_abs_diff / largest,
        peak_bytes_party: [bank.peak_bytes, partner.peak_bytes],
        peak_by_table: by_table(bank).max(by_table(partner)),
    })
}

/// A link of this round trip and rate; none where both are left out.
///
/// # Errors
/// If they make no sense.
pub fn link(rtt_ms: Option<f64>, mbit: Option<f64>) -> Result<Option<Link>, String> {
    let sound = |v: f64, most: f64| v.is_finite() && v >= 0.0 && v <= most;
    if rtt_ms.is_none() && mbit.is_none() {
        return Ok(None);
    }
    let rtt = rtt_ms.unwrap_or(0.0);
    if !sound(rtt, 10_000.0) || mbit.is_some_and(|m| !sound(m, 1e6) || m < 0.1) {
        return Err("--rtt-ms takes 0 to 10000, --mbit 0.1 to 1000000".into());
    }
    Ok(Some(Link {
        round_trip: Duration::from_secs_f64(rtt / 1e3),
        mbit_per_s: mbit,
    }))
}
