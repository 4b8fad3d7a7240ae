//! `paripassu bench`.

mod binning;

use clap::{Args, Subcommand};
use std::path::PathBuf;

use paripassu_bench::{
    align::{self, Method},
    recording::{self, Recording, Setting},
    secagg, train,
};

use crate::{
    failure::Failure,
    outcome::Outcome,
    screen::{Screen, bytes, count},
};

/// Measure on this machine, as ratios within one run.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Train jointly among processes and compare with a plaintext solver of the same passes
    #[command(alias = "training")]
    Train(Train),
    /// What keeping a transcript costs a training: runs with and without one in turn
    Transcript(Transcript),
    /// Secure aggregation among processes: seconds for one masked sum
    Secagg(Secagg),
    /// Match the customers of two parties: processor time, bytes, memory
    Align(Align),
    /// Bin the columns of two parties in a whole job: seconds and bytes
    Binning(binning::Binning),
}

/// Match the customers of two parties: processor time, bytes, memory.
///
/// Each party is a process of its own with its own CSV file and transcript; the relay is this process; all
/// speak real TLS on loopback. Every second customer is common, and what is found is checked to be exactly
/// that. Processor time is that of all three, from their start to their end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu bench align
  paripassu bench align --n 1000000 --method vole --json")]
pub(crate) struct Align {
    /// Customers of each party
    #[arg(long, default_value_t = 100_000)]
    n: u32,
    /// As `align.method` of a job: curve or vole
    #[arg(long, default_value_t = Method::Curve)]
    method: Method,
    /// Memory for intermediate values at each party, in MiB
    #[arg(long, default_value_t = 256)]
    memory_mib: u64,
    /// Seed of the synthetic ids
    #[arg(long, default_value_t = 2026)]
    seed: u64,
    /// Play one party, with the identity and the ids in this folder
    #[arg(long, hide = true, value_name = "DIR", requires = "address")]
    party: Option<PathBuf>,
    /// Address of the relay
    #[arg(long, hide = true)]
    address: Option<String>,
}

/// Secure aggregation among processes: seconds for one masked sum.
///
/// Every client is a process of its own with its own transcript; relay and adder are this process; all speak
/// real TLS on loopback. A sum is measured from fresh keys to the checked result.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu bench secagg
  paripassu bench secagg --clients 10 --params 100000 --json")]
pub(crate) struct Secagg {
    /// Clients, 3 to 200
    #[arg(long, default_value_t = 10)]
    clients: usize,
    /// Numbers in each client's vector
    #[arg(long, default_value_t = 100_000)]
    params: usize,
    /// Sums
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Play one client, with the identity in this folder
    #[arg(long, hide = true, value_name = "DIR", requires = "address")]
    client: Option<PathBuf>,
    /// Address of the relay
    #[arg(long, hide = true)]
    address: Option<String>,
}

/// What keeping a transcript costs a training: runs with and without one in turn.
///
/// The same job as `bench train`, with all roles of a run in one process, and each run in a new one. Runs come
/// in pairs, so that what else the machine does meets both; the median of the pairs' ratios is printed. Nodes in
/// service always keep a transcript.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu bench transcript
  paripassu bench transcript --pairs 3 --rows 20000 --json")]
pub(crate) struct Transcript {
    #[command(flatten)]
    training: Training,
    /// Pairs of runs
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// A head for each bit that is opened, or one for up to sixteen (`countersign` of a party's configuration)
    #[arg(long, default_value = "each", value_parser = ["each", "ahead"])]
    countersign: String,
    /// Make one run
    #[arg(long, hide = true, value_parser = ["with", "without"])]
    run: Option<String>,
}

/// Train jointly among processes and compare with a plaintext solver of the same passes.
///
/// Bank and partner are processes of their own, each with its own columns of synthetic rows and its own
/// transcript; helper and relay are this process; all speak real TLS, on loopback or over a slower link. The
/// processor time of each, set-up and transport included, stands against a double-precision solver on one
/// thread that makes as many passes and Hessians. With a slower link this process also holds back the bytes,
/// which counts as the relay's time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu bench train
  paripassu bench train --rows 1000000 --passes 10 --json
  paripassu bench train --rows 20000 --cols-a 300 --cols-b 300 --method accelerated
  paripassu bench train --method sgd --rows 1000000 --epochs 10 --batch 8192
  paripassu bench train --rows 20000 --cols-a 11 --cols-b 12 --rtt-ms 20 --mbit 20
  paripassu bench train --model mlp --hidden 64,32 --batch 256")]
pub(crate) struct Train {
    /// Training rows
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
    /// The bank's columns, at most 1,000; from the 121st on mixes of those before, and noise
    #[arg(long, default_value_t = 50)]
    cols_a: usize,
    /// The partner's columns, likewise
    #[arg(long, default_value_t = 50)]
    cols_b: usize,
    /// As `solver.method` of a job, newton or accelerated; or sgd, mini-batches
    #[arg(long, default_value_t = train::Steps::Newton)]
    method: train::Steps,
    /// Passes over the rows; without it, as many as it takes to settle (of a network one, by mini-batches ten)
    #[arg(long, visible_alias = "epochs")]
    passes: Option<u32>,
    /// What is trained
    #[arg(long, value_name = "KIND", default_value = "logistic", value_parser = ["logistic", "mlp"])]
    model: String,
    /// Widths of a network's hidden layers
    #[arg(
        long,
        value_name = "WIDTHS",
        default_value = "64,32",
        value_delimiter = ','
    )]
    hidden: Vec<usize>,
    /// Rows of a batch: of a network 1,024 without it, by mini-batches 4,096
    #[arg(long)]
    batch: Option<usize>,
    /// The sigmoid's range by mini-batches, 8, 12, 16, 24 or 32; without it 16, or 32 where that does not hold
    #[arg(long)]
    range: Option<u32>,
    /// Round trip between each party and the relay, in milliseconds
    #[arg(long)]
    rtt_ms: Option<f64>,
    /// Rate of each party's link in each direction, in megabits a second
    #[arg(long)]
    mbit: Option<f64>,
    /// Seed of the synthetic rows
    #[arg(long, default_value_t = 2026)]
    seed: u64,
    /// Play one party, with the identity in this folder
    #[arg(long, hide = true, value_name = "DIR", requires = "address")]
    party: Option<PathBuf>,
    /// Address of the relay
    #[arg(long, hide = true)]
    address: Option<String>,
}

/// The training that transcripts are measured on, with all roles in this process.
#[derive(Debug, Args)]
pub(crate) struct Training {
    /// Training rows
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
    /// Columns of bank and partner, at most 120 each
    #[arg(long, value_delimiter = ',', default_values_t = [50, 50], value_name = "BANK,PARTNER")]
    columns: Vec<usize>,
    /// Seed of the synthetic rows
    #[arg(long, default_value_t = 2026)]
    seed: u64,
}

impl Bench {
    pub(crate) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        match self {
            Self::Train(train) => train.run(screen).await,
            Self::Transcript(transcript) => transcript.run(screen).await,
            Self::Secagg(secagg) => secagg.run(screen).await,
            Self::Align(align) => align.run(screen).await,
            Self::Binning(binning) => binning.run(screen).await,
        }
    }
}

impl Align {
    async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        if !(2..=100_000_000).contains(&self.n) || !(1..=1 << 20).contains(&self.memory_mib) {
            return Err(Failure::user(
                "--n takes a number from 2 to 100,000,000, --memory-mib one from 1 to 1,048,576",
            ));
        }
        let setting = align::Setting {
            customers: self.n,
            method: self.method,
            memory_bytes: self.memory_mib << 20,
            seed: self.seed,
        };
        if let (Some(folder), Some(address)) = (self.party, self.address) {
            let told = align::party(align::Part { folder, address }, setting)
                .await
                .map_err(Failure::ours)?;
            return Outcome::new(&told, String::new());
        }
        let program = std::env::current_exe()
            .map_err(|e| Failure::ours(format!("cannot find this program's file: {e}")))?;
        let m = align::measure(&setting, &program)
            .await
            .map_err(Failure::ours)?;
        let mut t = screen.table(&["measure", "value"]);
        for (name, value) in [
            ("method", m.method.clone()),
            ("customers of each party", count(u64::from(m.n))),
            ("in common, checked", count(m.matched)),
            ("wall", format!("{:.2} s", m.wall_s)),
            ("processor, all nodes", format!("{:.2} s", m.cpu_s_total)),
            ("of it the relay's", format!("{:.2} s", m.cpu_s_relay)),
            (
                "sent per customer, both parties",
                format!("{:.1} bytes", m.bytes_per_item),
            ),
            ("messages waited for", count(m.rounds)),
            (
                "peak memory of a party",
                format!("{} MiB", m.peak_mib_party),
            ),
        ] {
            t.row([name.to_owned(), value]);
        }
        Outcome::new(&m, t.to_string())
    }
}

impl Secagg {
    async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let inside = (3..=200).contains(&self.clients)
            && (1..=10_000_000).contains(&self.params)
            && (1..=1_000).contains(&self.rounds);
        if !inside {
            return Err(Failure::user(
                "--clients takes 3 to 200, --params 1 to 10,000,000, --rounds 1 to 1,000",
            ));
        }
        let setting = secagg::Setting {
            clients: self.clients,
            params: self.params,
            rounds: self.rounds,
        };
        if let (Some(folder), Some(address)) = (&self.client, &self.address) {
            let told = secagg::client(folder, address, setting)
                .await
                .map_err(Failure::ours)?;
            return Outcome::new(&told, String::new());
        }
        let program = std::env::current_exe()
            .map_err(|e| Failure::ours(format!("cannot find this program's file: {e}")))?;
        let m = secagg::measure(&setting, &program)
            .await
            .map_err(Failure::ours)?;
        let text = secagg_table(&m, screen);
        Outcome::new(&m, text)
    }
}

fn secagg_table(m: &secagg::Measured, screen: &Screen) -> String {
    let mut t = screen.table(&["measure", "value"]);
    for (name, value) in [
        ("clients x numbers", format!("{} x {}", m.clients, m.params)),
        ("threshold", m.threshold.to_string()),
        ("wall, one sum (median)", format!("{:.3} s", m.round_s)),
        (
            "processor, all clients, one sum",
            format!("{:.3} s", m.client_cpu_s_per_round),
        ),
        ("processor, everything", format!("{:.2} s", m.cpu_s_total)),
        ("vectors at the adder, at most", m.most_vectors.to_string()),
        (
            "masks at",
            format!("{:.0} % of AES speed", 100.0 * m.mask_speed),
        ),
    ] {
        t.row([name.to_owned(), value]);
    }
    t.to_string()
}

impl Transcript {
    async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        if !(1..=100).contains(&self.pairs) {
            return Err(Failure::user("--pairs takes a number from 1 to 100"));
        }
        let mut setting = self.training.setting()?;
        setting.ahead = self.countersign == "ahead";
        if let Some(run) = self.run {
            setting.recorded = run == "with";
            let told = recording::run(&setting).await.map_err(Failure::ours)?;
            return Outcome::new(&told, String::new());
        }
        let program = std::env::current_exe().map_err(Failure::ours)?;
        let r = recording::recording(&setting, self.pairs, &program)
            .await
            .map_err(Failure::ours)?;
        let text = recording_table(&r, screen);
        Outcome::new(&r, text)
    }
}

fn recording_table(r: &Recording, screen: &Screen) -> String {
    let mut t = screen.table(&["pair", "with", "without", "ratio"]);
    for (i, (with, without)) in r.with_s.iter().zip(&r.without_s).enumerate() {
        t.row([
            (i + 1).to_string(),
            format!("{with:.2} s"),
            format!("{without:.2} s"),
            format!("{:.3}", with / without),
        ]);
    }
    format!(
        "{t}\nmedian: {:+.1} % wall time, {:+.1} % processor time; messages waited {:.3} s for \
         countersignatures, {:.1} % of their run\nsize of a job: bundle {}, log of a party {}",
        100.0 * r.extra_wall,
        100.0 * r.extra_cpu,
        r.waited_s,
        100.0 * r.waited_share,
        bytes(r.bundle_bytes),
        bytes(r.log_bytes)
    )
}

/// Columns and rows that the synthetic portfolio has.
fn size(rows: usize, cols: [usize; 2], most: usize) -> Result<(), Failure> {
    if cols.iter().any(|c| !(1..=most).contains(c)) {
        return Err(Failure::user(format!("each party has 1 to {most} columns")));
    }
    if !(1_000..=5_000_000).contains(&rows) {
        return Err(Failure::user(
            "--rows takes a number from 1,000 to 5,000,000",
        ));
    }
    Ok(())
}

impl Training {
    fn setting(&self) -> Result<Setting, Failure> {
        let [a, b] = self.columns[..] else {
            return Err(Failure::user("--columns takes two numbers, such as 50,50"));
        };
        size(self.rows, [a, b], 120)?;
        Ok(Setting {
            rows: self.rows,
            cols: [a, b],
            seed: self.seed,
            spec: Default::default(),
            recorded: true,
            ahead: false,
        })
    }
}

impl Train {
    async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let cols = [self.cols_a, self.cols_b];
        size(self.rows, cols, 1_000)?;
        let network = (self.model == "mlp").then_some((self.hidden, self.batch.unwrap_or(1024)));
        let least = match (&network, self.method) {
            (Some(_), _) => 1,
            (None, train::Steps::Sgd) => 2,
            (None, _) => 4,
        };
        let most = match self.method {
            train::Steps::Newton => 60,
            train::Steps::Accelerated | train::Steps::Sgd => 1_000,
        };
        if self
            .range
            .is_some_and(|r| ![8, 12, 16, 24, 32].contains(&r))
        {
            return Err(Failure::user("--range takes 8, 12, 16, 24 or 32"));
        }
        if self.passes.is_some_and(|n| !(least..=most).contains(&n)) {
            return Err(Failure::user(format!(
                "--passes takes a number from {least} to {most}"
            )));
        }
        if network.is_some() && self.method != train::Steps::Newton {
            return Err(Failure::user(
                "--method is of a logistic regression, not of a network",
            ));
        }
        let setting = train::Setting {
            network,
            sgd: (self.batch.unwrap_or(4096), self.range),
            rows: self.rows,
            cols,
            method: self.method,
            passes: self.passes,
            seed: self.seed,
            link: train::link(self.rtt_ms, self.mbit).map_err(Failure::user)?,
        };
        if let (Some(folder), Some(address)) = (self.party, self.address) {
            let told = train::party(folder, &address, setting).await;
            return Outcome::new(&told.map_err(Failure::ours)?, String::new());
        }
        let program = std::env::current_exe().map_err(Failure::ours)?;
        let m = train::measure(&setting, &program).await;
        let m = m.map_err(Failure::ours)?;
        let text = train_table(&m, screen);
        Outcome::new(&m, text)
    }
}

fn train_table(m: &train::Measured, screen: &Screen) -> String {
    let mut t = screen.table(&["measure", "bank", "partner", "helper and relay", "in all"]);
    let both = |values: [u64; 2], unit: f64| values.map(|v| format!("{:.1}", v as f64 / unit));
    let [bank, partner] = m.cpu_s_party;
    let all = bank + partner + m.cpu_s_helper_and_relay;
    t.row([
        "processor, s".to_owned(),
        format!("{bank:.2}"),
        format!("{partner:.2}"),
        format!("{:.2}", m.cpu_s_helper_and_relay),
        format!("{all:.2}"),
    ]);
    for (name, [bank, partner]) in [
        ("sent, MB", both(m.bytes_sent, 1e6)),
        ("received, MB", both(m.bytes_received, 1e6)),
        ("peak memory, MiB", both(m.peak_bytes_party, 1048576.0)),
    ] {
        t.row([name.to_owned(), bank, partner, String::new(), String::new()]);
    }
    let solver = match (&m.hidden, m.method) {
        (Some(hidden), _) => format!("network {hidden:?}"),
        (None, Some(train::Steps::Sgd)) => "mini-batches".to_owned(),
        (None, Some(train::Steps::Accelerated)) => "accelerated".to_owned(),
        (None, _) => format!("{} Hessians", m.hessians),
    };
    format!(
        "{} rows x ({} + {}) columns, {} passes, {solver}, {} rounds, {:.2} s\n{t}\n\
         plaintext solver of as many passes, one thread: {:.2} s\n\
         a party takes {:.1} times as long, {:.2} times of it for computing, all roles together {:.1} times; \
         {:.0} bytes a row and pass\n\
         AUC {:.6} joint, {:.6} plain; coefficients differ by {:.1e} at most, {:.1e} of the largest\n\
         peak memory of a party: {:.1} times its table",
        count(m.rows as u64),
        m.cols[0],
        m.cols[1],
        m.passes,
        m.rounds,
        m.wall_s,
        m.cpu_s_plain,
        m.party_process_ratio,
        m.party_cpu_ratio,
        m.total_cpu_ratio,
        m.bytes_per_row_and_pass,
        m.auc_joint,
        m.auc_plain,
        m.coef_max_abs_diff,
        m.coef_max_rel_diff,
        m.peak_by_table,
    )
}
