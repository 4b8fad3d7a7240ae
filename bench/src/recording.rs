//! What keeping a transcript costs: joint logistic regression of two parties and a helper, all in one process
//! and over real TLS, with and without transcripts in turn, each run in a process of its own.

use std::{
    mem::{Discriminant, discriminant},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use paripassu_audit::event::bodies::{Disclosure, DisclosureAnnounced, MAX_ANNOUNCED};
use paripassu_protocol::{
    abort::Abort,
    arith::{Engine, Opening, Openings, Receivers},
    correlation::{CorrelationSource, HelperSource},
    ctx::Ctx,
    vertical::logistic::{LogisticInput, LogisticSpec, train},
};
use paripassu_service::{
    transcript::{Announced, Record},
    transport::JobChannel,
};
use serde::{Deserialize, Serialize};

use crate::{
    BenchError, cpu, data,
    rig::{self, Play},
};

/// What to measure.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Training rows.
    pub rows: usize,
    /// Columns of bank and partner, at most 120 each.
    pub cols: [usize; 2],
    /// Seed of the synthetic portfolio.
    pub seed: u64,
    /// How to train.
    pub spec: LogisticSpec,
    /// Whether nodes keep transcripts, as nodes in service always do.
    pub recorded: bool,
    /// Whether bits are announced up to sixteen at a time, each without a head of its own.
    pub ahead: bool,
}

/// One run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    /// Wall seconds of the joint training, set-up included.
    wall_s: f64,
    /// Processor seconds of bank, partner, helper, relay and TLS together.
    cpu_s: f64,
    /// Seconds that messages of a party waited until others had countersigned its transcript: the longer of both.
    waited_s: f64,
    /// Bytes of the larger of the parties' bundles of the job.
    bundle_bytes: u64,
    /// Bytes of that party's log, bodies and all, after this one job.
    log_bytes: u64,
}

/// Writes every opening down and allows it, as a node does.
pub(crate) struct Written {
    record: Record,
    ahead: bool,
    announced: Vec<(Opening, Announced)>,
    /// Bits that may come: their kind, and how many are left of those announced.
    foreseen: Vec<(Discriminant<Opening>, u64, Announced)>,
}

impl Written {
    /// `ahead`: announces bits up to sixteen at a time.
    pub(crate) fn to(record: Record, ahead: bool) -> Self {
        Self {
            record,
            ahead,
            announced: Vec::new(),
            foreseen: Vec::new(),
        }
    }

    fn write(&self, opening: Opening, values: usize) -> Result<Announced, Abort> {
        let written = self.record.announce(event(opening, values));
        written.map_err(|e| Abort::Input(e.to_string()))
    }
}

fn to_both() -> Vec<String> {
    vec!["party:bank".into(), "party:partner".into()]
}

fn event(opening: Opening, values: usize) -> Disclosure {
    Disclosure {
        id: format!("{opening:?}"),
        ordinal: 1,
        shape: "bit".into(),
        values: values as u64,
        to: to_both(),
        step: "train".into(),
    }
}

impl Openings for Written {
    fn record(&mut self, opening: Opening, _: Receivers, values: usize) -> Result<(), Abort> {
        let kind = discriminant(&opening);
        let mut foreseen = self.foreseen.iter_mut();
        if let Some((_, left, announced)) = foreseen.find(|(of, ..)| *of == kind) {
            *left -= 1;
            let announced = announced.clone();
            self.foreseen.retain(|(_, left, _)| *left > 0);
            let written = self.record.event(event(opening, values));
            written.map_err(|e| Abort::Input(e.to_string()))?;
            self.record.await_witnesses(announced);
            return Ok(());
        }
        let place = self.announced.iter().position(|(of, _)| *of == opening);
        let announced = match place {
            Some(place) => self.announced.swap_remove(place).1,
            None => self.write(opening, values)?,
        };
        self.record.await_witnesses(announced);
        Ok(())
    }

    fn announce(&mut self, opening: Opening, _: Receivers, values: usize) -> Result<(), Abort> {
        let kind = discriminant(&opening);
        if self.foreseen.iter().any(|(of, ..)| *of == kind) {
            return Ok(());
        }
        let announced = self.write(opening, values)?;
        self.announced.push((opening, announced));
        Ok(())
    }

    fn foresee(&mut self, next: &[Opening]) -> Result<(), Abort> {
        if !self.ahead {
            let first = next.first();
            return first.map_or(Ok(()), |first| self.announce(*first, Receivers::All, 1));
        }
        let is_new = |next: &&Opening| {
            let kind = discriminant(*next);
            !self.foreseen.iter().any(|(of, ..)| *of == kind)
        };
        let new: Vec<Opening> = next.iter().filter(is_new).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        let bits = new.iter().map(|next| DisclosureAnnounced {
            id: format!("{next:?}"),
            first: 1,
            last: MAX_ANNOUNCED,
            to: to_both(),
        });
        let announced = self.record.foresee(bits.collect());
        let announced = announced.map_err(|e| Abort::Input(e.to_string()))?;
        let news = new.iter().map(discriminant);
        self.foreseen
            .extend(news.map(|kind| (kind, MAX_ANNOUNCED, announced.clone())));
        Ok(())
    }
}

struct Trainer {
    spec: LogisticSpec,
    ahead: bool,
    input: Mutex<Option<LogisticInput>>,
    out: Mutex<Option<(Instant, f64)>>,
    begun: Mutex<Option<(Instant, f64)>>,
    waited: Mutex<f64>,
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tonic::async_trait]
impl Play for Trainer {
    async fn play(
        &self,
        ctx: Ctx<JobChannel>,
        seed: [u8; 32],
        record: Record,
    ) -> Result<(), String> {
        *lock(&self.begun) = Some((Instant::now(), cpu::used().0));
        let input = lock(&self.input).take().ok_or("played twice")?;
        let waits = record.clone();
        let text = |e: Abort| e.to_string();
        let source = HelperSource::new(&ctx, &seed).map_err(text)?;
        let mut engine =
            Engine::new(&ctx, source, Box::new(Written::to(record, self.ahead))).map_err(text)?;
        train(&mut engine, &self.spec, input, &mut |_, _, _| {})
            .await
            .map_err(text)?;
        engine.source_mut().done().await.map_err(text)?;
        *lock(&self.out) = Some((Instant::now(), cpu::used().0));
        *lock(&self.waited) = waits.waited().as_secs_f64();
        Ok(())
    }
}

/// Makes one run in this process.
///
/// # Errors
/// [`BenchError`].
pub async fn run(setting: &Setting) -> Result<Run, BenchError> {
    let sample = data::portfolio(setting.rows, setting.cols, setting.seed);
    let players: Vec<Arc<Trainer>> = [0, 1]
        .map(|p| {
            let input = LogisticInput {
                x: sample.x[p].clone(),
                cols: setting.cols[p],
                rows: setting.rows,
                label: (p == 0).then(|| sample.y.clone()),
                row_weights: None,
                offset: None,
                signs: Vec::new(),
            };
            Arc::new(Trainer {
                spec: setting.spec.clone(),
                ahead: setting.ahead,
                input: Mutex::new(Some(input)),
                out: Mutex::new(None),
                begun: Mutex::new(None),
                waited: Mutex::new(0.0),
            })
        })
        .into();
    let plays: [Arc<dyn Play>; 2] = [players[0].clone(), players[1].clone()];
    let kept = rig::run(plays, setting.recorded).await?;
    let unfinished = || BenchError::Run("a party did not finish".into());
    let (mut begun, mut ended) = (None, None);
    for p in &players {
        let (at, cpu) = lock(&p.out).take().ok_or_else(unfinished)?;
        let start = lock(&p.begun).take().ok_or_else(unfinished)?;
        // from the first that begins to the last that ends
        begun = Some(begun.map_or(
            start,
            |b: (Instant, f64)| if b.0 < start.0 { b } else { start },
        ));
        ended = Some(ended.map_or(
            (at, cpu),
            |e: (Instant, f64)| if e.0 > at { e } else { (at, cpu) },
        ));
    }
    let ((b, b_cpu), (e, e_cpu)) = begun.zip(ended).ok_or_else(unfinished)?;
    Ok(Run {
        wall_s: (e - b).as_secs_f64(),
        cpu_s: e_cpu - b_cpu,
        waited_s: players.iter().map(|p| *lock(&p.waited)).fold(0.0, f64::max),
        bundle_bytes: kept.bundle,
        log_bytes: kept.log,
    })
}

/// What keeping a transcript costs, from runs with and without one in turn.
#[derive(Debug, Clone, Serialize)]
pub struct Recording {
    /// Training rows.
    pub rows: usize,
    /// Columns of bank and partner.
    pub cols: [usize; 2],
    /// Pairs of runs.
    pub pairs: usize,
    /// Wall seconds of each run with transcripts.
    pub with_s: Vec<f64>,
    /// Wall seconds of each run without.
    pub without_s: Vec<f64>,
    /// Processor seconds of all roles of each run with transcripts.
    pub cpu_with_s: Vec<f64>,
    /// Processor seconds of all roles of each run without.
    pub cpu_without_s: Vec<f64>,
    /// Median of the pairs' `with / without`, less one.
    pub extra_wall: f64,
    /// The same for processor time of all roles.
    pub extra_cpu: f64,
    /// Median of the seconds that messages waited for countersignatures.
    pub waited_s: f64,
    /// Median of these seconds by wall seconds of their run.
    pub waited_share: f64,
    /// Bytes of a party's bundle of the job, the largest.
    pub bundle_bytes: u64,
    /// Bytes of that party's log after one job, the largest.
    pub log_bytes: u64,
}

/// Has `program`, which is this one, make a run in a process of its own: what a run leaves in memory is no
/// part of the next.
async fn apart(setting: &Setting, program: &Path) -> Result<Run, BenchError> {
    let io = |source| BenchError::Io {
        what: "a process for a run",
        source,
    };
    let mut command = tokio::process::Command::new(program);
    command
        .args(["bench", "transcript", "--json", "--run"])
        .arg(if setting.recorded { "with" } else { "without" })
        .args(["--rows", &setting.rows.to_string()])
        .args(["--columns", &setting.cols.map(|c| c.to_string()).join(",")])
        .args(["--seed", &setting.seed.to_string()])
        .args([
            "--countersign",
            if setting.ahead { "ahead" } else { "each" },
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let out = command.spawn().map_err(io)?.wait_with_output().await;
    let out = out.map_err(io)?;
    if !out.status.success() {
        return Err(BenchError::Run(format!("a run failed: {}", out.status)));
    }
    serde_json::from_slice(&out.stdout)
        .map_err(|e| BenchError::Run(format!("a run told nothing: {e}")))
}

/// Measures [`Recording`]: `pairs` pairs of runs of `program`, which is this one, the order within a pair
/// changing from pair to pair. Runs train as the program does by default.
///
/// # Errors
/// [`BenchError`].
pub async fn recording(
    setting: &Setting,
    pairs: usize,
    program: &Path,
) -> Result<Recording, BenchError> {
    let (mut waited, mut shares) = (Vec::new(), Vec::new());
    let (mut bundle_bytes, mut log_bytes) = (0, 0);
    let (mut wall, mut cpu) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for pair in 0..pairs {
        for turn in 0..2 {
            let with = (pair + turn) % 2;
            let run = Setting {
                recorded: with == 1,
                ..setting.clone()
            };
            let m = apart(&run, program).await?;
            wall[with].push(m.wall_s);
            if with == 1 {
                waited.push(m.waited_s);
                bundle_bytes = m.bundle_bytes.max(bundle_bytes);
                log_bytes = m.log_bytes.max(log_bytes);
                shares.push(m.waited_s / m.wall_s);
            }
            cpu[with].push(m.cpu_s);
        }
    }
    let median = |mut of: Vec<f64>| {
        of.sort_by(f64::total_cmp);
        of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let extra =
        |of: &[Vec<f64>; 2]| median(of[1].iter().zip(&of[0]).map(|(a, b)| a / b - 1.0).collect());
    let (extra_wall, extra_cpu) = (extra(&wall), extra(&cpu));
    let [without_s, with_s] = wall;
    let [cpu_without_s, cpu_with_s] = cpu;
    Ok(Recording {
        rows: setting.rows,
        cols: setting.cols,
        pairs,
        with_s,
        without_s,
        cpu_with_s,
        cpu_without_s,
        extra_wall,
        extra_cpu,
        waited_s: median(waited),
        waited_share: median(shares),
        bundle_bytes,
        log_bytes,
    })
}
