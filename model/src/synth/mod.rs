//! A synthetic joint-credit portfolio with planted truth, for tests at any scale.
//!
//! Every cell is a pure function of (seed, row, stream): parties make their own columns without
//! seeing the others', rows can be made in any order or in slices, and nothing has to be stored.
//! A bank has 120 variables and the label, a credit bureau 120, a telecom company 60.
//!
//! Six latent factors (discipline, affordability, leverage, stability, digital, sector) load on
//! one common factor. Per party the first variables are **signals** (in the score), then
//! **proxies** (same factors, weight 0), **twins** (0.9 copies of a signal, weight 0) and
//! **noise**. The score adds a step, a U shape, two interactions between parties and, at bank 2,
//! a flipped sign. About 3.4 % are bad. Three variables drift from month 18 on; some are missing,
//! some not at random. The bureau holds 85 % and the telecom company 60 % of the bank's customers.
//!
//! Normals are sums of twelve 16-bit uniforms: exact in IEEE doubles, no `log`, no `cos`.
//!
//! ```
//! use paripassu_model::synth::{Party, Portfolio};
//!
//! let portfolio = Portfolio::new(2026);
//! assert_eq!(portfolio.customer_id(0), "1442695040888963");
//! let mut csv = Vec::new();
//! portfolio.write_csv(Party::Bureau, 0..100, &mut csv)?;
//! assert!(csv.starts_with(b"id,bu000,bu001,"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod cells;
mod csv;
mod declined;
mod parquet;
mod stream;

pub use cells::{Kind, Variable};
pub use parquet::{Columns, ParquetFile};

use serde::{Deserialize, Serialize};
use stream::StreamKey;

/// Who holds a part of the portfolio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// Holds every customer, the label, the month and 120 variables `bk000..`.
    Bank,
    /// Holds 85 % of the customers and 120 variables `bu000..`.
    Bureau,
    /// Holds 60 % of the customers and 60 variables `te000..`.
    Telco,
}

impl Party {
    /// All three.
    pub const ALL: [Party; 3] = [Party::Bank, Party::Bureau, Party::Telco];

    /// Number of variables.
    pub fn width(self) -> usize {
        match self {
            Party::Bank | Party::Bureau => 120,
            Party::Telco => 60,
        }
    }

    /// Name of its CSV file.
    pub fn file_name(self) -> &'static str {
        match self {
            Party::Bank => "bank.csv",
            Party::Bureau => "bureau.csv",
            Party::Telco => "telco.csv",
        }
    }

    /// Its variables, in order.
    pub fn variables(self) -> impl Iterator<Item = Variable> {
        (0..self.width()).map(move |local| Variable::new(self, local))
    }

    fn prefix(self) -> &'static str {
        match self {
            Party::Bank => "bk",
            Party::Bureau => "bu",
            Party::Telco => "te",
        }
    }

    fn position(self) -> usize {
        match self {
            Party::Bank => 0,
            Party::Bureau => 1,
            Party::Telco => 2,
        }
    }

    /// Index of its first variable among all 300.
    fn first(self) -> usize {
        [0, 120, 240][self.position()]
    }
}

/// What is true of a row, whoever holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// The bank (0, 1 or 2) of a horizontal federation.
    pub bank: u8,
    /// Month of observation, 0 to 23.
    pub month: u8,
    /// The true PD.
    pub pd: f64,
    /// The outcome drawn from it: 1 = bad.
    pub bad: u8,
}

/// The portfolio of a seed: an endless table, made on demand.
#[derive(Debug, Clone)]
pub struct Portfolio {
    seed: u64,
    keys: cells::Keys,
    /// Score of the bank's rule from which an applicant is declined.
    declined_from: Option<f64>,
}

impl Portfolio {
    /// The portfolio of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            keys: cells::Keys::new(seed),
            declined_from: None,
        }
    }

    /// The 64 bits of a row and stream.
    pub fn bits(&self, row: u64, stream: u64) -> u64 {
        StreamKey::new(self.seed, stream).bits(row)
    }

    /// A uniform in [0, 1) of a row and stream (53 bits). Streams 6 and 7 are free for tests that
    /// need dirty ids.
    pub fn uniform(&self, row: u64, stream: u64) -> f64 {
        StreamKey::new(self.seed, stream).uniform(row)
    }

    /// A near normal of a row and stream, exact.
    pub fn normal(&self, row: u64, stream: u64) -> f64 {
        stream::NormalKey::new(self.seed, stream).normal(row)
    }

    /// The customer id of a row: 16 decimal digits, one to one in the row.
    pub fn customer_id(&self, row: u64) -> String {
        let id = u128::from(row) * 6_364_136_223_846_793 + 1_442_695_040_888_963;
        format!("{:016}", id % 10_000_000_000_000_000)
    }

    /// Whether a party holds the customer of a row.
    pub fn holds(&self, party: Party, row: u64) -> bool {
        match party {
            Party::Bank => true,
            Party::Bureau => self.keys.in_bureau.uniform(row) < 0.85,
            Party::Telco => self.keys.in_telco.uniform(row) < 0.60,
        }
    }
}

#[cfg(test)]
mod tests;
