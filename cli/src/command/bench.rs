//! `paripassu bench`.

use clap::{Args, Subcommand};
use paripassu_bench::training::{Measured, Setting, measure};

use crate::{failure::Failure, outcome::Outcome, screen::Screen};

/// Measure on this machine, as ratios within one run.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Train jointly on synthetic rows and compare with a plaintext solver of the same passes
    Training(Training),
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
        let Self::Training(training) = self;
        training.run(screen).await
    }
}

impl Training {
    async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
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
        let setting = Setting {
            rows: self.rows,
            cols,
            seed: self.seed,
            spec: Default::default(),
        };
        let m = measure(&setting).await.map_err(Failure::ours)?;
        let text = table(&m, screen);
        Outcome::new(&m, text)
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
