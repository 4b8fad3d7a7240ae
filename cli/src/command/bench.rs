//! `paripassu bench`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

use paripassu_bench::training::{Measured, Recording, Setting, measure, recording};
use paripassu_bench::{
    align::{self, Method},
    secagg,
};

use crate::{
    failure::Failure,
    outcome::Outcome,
    screen::{Screen, count},
};

/// Measure on this machine, as ratios within one run.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Train jointly on synthetic rows and compare with a plaintext solver of the same passes
    Training(Training),
    /// What keeping a transcript costs a training: runs with and without one in turn
    Transcript(Transcript),
    /// Secure aggregation among processes: seconds for one masked sum
    Secagg(Secagg),
    /// Match the customers of two parties: processor time, bytes, memory
    Align(Align),
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
/// The same job as `bench training`. Runs come in pairs, so that what else the machine does meets both; the
/// median of the pairs' ratios is printed. Nodes in service always keep a transcript.
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
}

/// Train jointly on synthetic rows and compare with a plaintext solver of the same passes.
///
/// Bank, partner, helper and relay run in this process, over real TLS on loopback. Their processor time,
/// set-up and transport included, stands against a double-precision solver on one thread that makes as
/// many passes and Hessians.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu bench training
  paripassu bench training --rows 20000 --columns 20,30 --json")]
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
            Self::Training(training) => {
                let m = measure(&training.setting()?).await.map_err(Failure::ours)?;
                let text = table(&m, screen);
                Outcome::new(&m, text)
            }
            Self::Transcript(transcript) => transcript.run(screen).await,
            Self::Secagg(secagg) => secagg.run(screen).await,
            Self::Align(align) => align.run(screen).await,
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
        let setting = self.training.setting()?;
        let r = recording(&setting, self.pairs)
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
         countersignatures, {:.1} % of their run",
        100.0 * r.extra_wall,
        100.0 * r.extra_cpu,
        r.waited_s,
        100.0 * r.waited_share
    )
}

impl Training {
    fn setting(&self) -> Result<Setting, Failure> {
        let cols: [usize; 2] = match self.columns[..] {
            [a, b] if (1..=120).contains(&a) && (1..=120).contains(&b) => [a, b],
            _ => {
                return Err(Failure::user(
                    "--columns takes two numbers from 1 to 120, such as 50,50",
                ));
            }
        };
        if !(1_000..=5_000_000).contains(&self.rows) {
            return Err(Failure::user(
                "--rows takes a number from 1,000 to 5,000,000",
            ));
        }
        Ok(Setting {
            rows: self.rows,
            cols,
            seed: self.seed,
            spec: Default::default(),
            recorded: true,
        })
    }
}

fn table(m: &Measured, screen: &Screen) -> String {
    let mut t = screen.table(&["measure", "value"]);
    let mut row = |name: &str, value: String| {
        t.row([name.to_owned(), value]);
    };
    row(
        "rows x columns",
        format!("{} x ({} + {})", m.rows, m.cols[0], m.cols[1]),
    );
    row("passes, Hessians", format!("{}, {}", m.passes, m.hessians));
    row("sigmoid range, terms", format!("{}, {}", m.range, m.terms));
    row("wall", format!("{:.2} s", m.wall_s));
    row(
        "processor, all roles with transport",
        format!("{:.2} s", m.cpu_s),
    );
    row(
        "processor, plaintext on one thread",
        format!("{:.2} s", m.plain_cpu_s),
    );
    row("ratio", format!("{:.1}", m.ratio));
    row(
        "received per row and pass, both parties",
        format!("{:.0} bytes", m.bytes_per_row_and_pass),
    );
    row(
        "received per row in all, both parties",
        format!("{:.0} bytes", m.received_bytes_per_row),
    );
    row("rounds", m.rounds.to_string());
    row(
        "largest coefficient difference",
        format!("{:.1e}", m.coef_max_abs_diff),
    );
    row(
        "peak memory of the process",
        format!("{} MiB", m.peak_bytes >> 20),
    );
    t.to_string()
}
