//! Latent values, the score and the visible cells. The order of additions is part of the recipe:
//! it decides the last bit.

use super::stream::{NormalKey, StreamKey};
use super::{Party, Portfolio, Truth};
use serde::{Deserialize, Serialize};

const FACTORS: usize = 6;
/// Which factor a signal or proxy loads on, by local index modulo 5.
const MENU: [[usize; 5]; 3] = [[1, 2, 3, 5, 0], [0, 2, 0, 3, 1], [4, 3, 4, 1, 4]];
const LOADING: [f64; 3] = [0.40, 0.75, 0.55];
const WEIGHT: [f64; 3] = [0.14, 0.26, 0.16];
/// Gives about 3.4 % bad.
const INTERCEPT: f64 = -4.62;
/// Shift of affordability, by bank.
const COVARIATE_SHIFT: [f64; 3] = [0.3, 0.0, -0.4];
/// Shift of the score, by bank.
const PRIOR_SHIFT: [f64; 3] = [0.0, -0.3, 0.5];
/// Share missing, by local index modulo 8.
const MISSING: [f64; 8] = [0.0, 0.0, 0.02, 0.0, 0.10, 0.0, 0.0, 0.40];
/// First month of the drift.
const DRIFT_MONTH: u8 = 18;

/// What a variable has to do with the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Loads on a factor and is in the score.
    Signal,
    /// Loads on a factor, weight 0.
    Proxy,
    /// A copy of a signal with correlation 0.9, weight 0.
    Twin,
    /// Independent of everything.
    Noise,
}

/// One of the 300 variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    party: Party,
    local: usize,
}

impl Variable {
    pub(super) fn new(party: Party, local: usize) -> Self {
        Self { party, local }
    }

    /// Its name, as in the header.
    pub fn name(self) -> String {
        format!("{}{:03}", self.party.prefix(), self.local)
    }

    /// What it has to do with the score.
    pub fn kind(self) -> Kind {
        let factored = factored(self.party);
        match self.local {
            l if l < factored / 2 => Kind::Signal,
            l if l < factored => Kind::Proxy,
            l if l < factored + factored / 4 => Kind::Twin,
            _ => Kind::Noise,
        }
    }

    /// Its planted weight in the score, on its latent value.
    pub fn weight(self) -> f64 {
        if self.kind() != Kind::Signal {
            return 0.0;
        }
        let p = self.party.position();
        let sign = if matches!(MENU[p][self.local % 5], 1 | 3) {
            -1.0
        } else {
            1.0
        };
        sign * WEIGHT[p] * (1.0 - 0.05 * (self.local % 4) as f64)
    }

    /// Whether its values are codes without an order.
    pub fn is_unordered(self) -> bool {
        self.local % 10 == 9
    }

    /// Whether it moves by half a deviation from month 18 on.
    pub fn drifts(self) -> bool {
        self.local == 3
    }

    /// Share of its values that are missing, on average.
    pub fn missing_share(self) -> f64 {
        MISSING[self.local % 8]
    }

    /// Whether its being missing depends on the discipline factor.
    pub fn is_missing_informative(self) -> bool {
        self.local % 16 == 4
    }

    fn index(self) -> usize {
        self.party.first() + self.local
    }

    /// Everything that does not depend on the row.
    fn plan(self, seed: u64) -> Plan {
        let p = self.party.position();
        let (j, kind) = (self.index() as u64, self.kind());
        let loading = LOADING[p] - 0.05 * (self.local % 3) as f64;
        Plan {
            noise: NormalKey::new(seed, 1100 + j),
            missing: StreamKey::new(seed, 100 + j),
            missing_share: self.missing_share(),
            is_missing_informative: self.is_missing_informative(),
            is_signal: kind == Kind::Signal,
            latent: match kind {
                Kind::Signal | Kind::Proxy => Latent::Factor {
                    factor: MENU[p][self.local % 5],
                    loading,
                    rest: (1.0 - loading * loading).sqrt(),
                },
                Kind::Twin => Latent::Twin {
                    of: self.local * 7 % (factored(self.party) / 2),
                },
                Kind::Noise => Latent::Noise,
            },
            drifts: self.drifts(),
            column_type: self.local % 10,
        }
    }
}

/// Number of variables of a party that load on factors.
fn factored(party: Party) -> usize {
    match party {
        Party::Bank | Party::Bureau => 24,
        Party::Telco => 12,
    }
}

/// What makes a latent value.
#[derive(Debug, Clone, Copy)]
enum Latent {
    Factor {
        factor: usize,
        loading: f64,
        rest: f64,
    },
    Twin {
        of: usize,
    },
    Noise,
}

/// A variable's part of the recipe, worked out once.
#[derive(Debug, Clone)]
struct Plan {
    noise: NormalKey,
    missing: StreamKey,
    missing_share: f64,
    is_missing_informative: bool,
    is_signal: bool,
    latent: Latent,
    drifts: bool,
    column_type: usize,
}

/// The streams of a seed, hashed once.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    bank: StreamKey,
    month: StreamKey,
    label: StreamKey,
    pub(super) in_bureau: StreamKey,
    pub(super) in_telco: StreamKey,
    common: NormalKey,
    factors: [NormalKey; FACTORS],
    /// All variables: the bank's, the bureau's, the telecom company's.
    plans: Vec<Plan>,
    /// Weights of the signals in the score, in the order they are added: (index, weight).
    weights: Vec<(usize, f64)>,
}

impl Keys {
    pub(super) fn new(seed: u64) -> Self {
        let variables = || Party::ALL.into_iter().flat_map(Party::variables);
        let weighted = variables().map(|v| (v.index(), v.weight()));
        Self {
            bank: StreamKey::new(seed, 1),
            month: StreamKey::new(seed, 2),
            label: StreamKey::new(seed, 3),
            in_bureau: StreamKey::new(seed, 4),
            in_telco: StreamKey::new(seed, 5),
            common: NormalKey::new(seed, 1000),
            factors: std::array::from_fn(|k| NormalKey::new(seed, 1001 + k as u64)),
            plans: variables().map(|v| v.plan(seed)).collect(),
            weights: weighted.filter(|(_, w)| *w != 0.0).collect(),
        }
    }
}

/// What all cells of a row share.
struct Common {
    bank: u8,
    month: u8,
    factors: [f64; FACTORS],
}

impl Portfolio {
    fn common(&self, row: u64) -> Common {
        let u = self.keys.bank.uniform(row);
        let bank = u8::from(u >= 0.55) + u8::from(u >= 0.85);
        let month = (self.keys.month.uniform(row) * 24.0).floor() as u8;
        let shared = self.keys.common.normal(row);
        let own = (1.0f64 - 0.16).sqrt();
        let mut factors = self
            .keys
            .factors
            .map(|key| 0.4 * shared + own * key.normal(row));
        factors[1] += COVARIATE_SHIFT[usize::from(bank)];
        Common {
            bank,
            month,
            factors,
        }
    }

    /// Bank, month, true PD and outcome of a row.
    pub fn truth(&self, row: u64) -> Truth {
        let common = self.common(row);
        // The score holds signals only, and those need no other variable.
        let latent = |index: usize| self.keys.plans[index].latent(row, &common, &[]);
        let mut linear = 0.0;
        for &(index, weight) in &self.keys.weights {
            linear += weight * latent(index);
        }
        let bank = |local| latent(Party::Bank.first() + local);
        let bureau = |local| latent(Party::Bureau.first() + local);
        let mut score = INTERCEPT + PRIOR_SHIFT[usize::from(common.bank)] + linear;
        let step = if bank(0) > 1.0 { 0.6 } else { 0.0 };
        score = score + step + 0.25 * (bureau(0) * bureau(0) - 1.0);
        score = score + 0.25 * bank(1) * bureau(1) + 0.20 * bank(2) * latent(Party::Telco.first());
        if common.bank == 2 {
            score += -2.0 * Variable::new(Party::Bank, 4).weight() * bank(4);
        }
        let pd = 1.0 / (1.0 + (-score).exp());
        let bad = u8::from(self.keys.label.uniform(row) < pd);
        Truth {
            bank: common.bank,
            month: common.month,
            pd,
            bad,
        }
    }

    /// The cells of a party for a row, NaN where missing. `cells` has [`Party::width`] entries;
    /// surplus ones are left alone, and a shorter slice gets the first cells.
    pub fn fill(&self, party: Party, row: u64, cells: &mut [f64]) {
        let common = self.common(row);
        let mut signals = [0.0; 12];
        let plans = &self.keys.plans[party.first()..];
        for (local, (cell, plan)) in cells.iter_mut().zip(plans).take(party.width()).enumerate() {
            let x = plan.latent(row, &common, &signals);
            if plan.is_signal {
                signals[local] = x;
            }
            let drifts = plan.drifts && common.month >= DRIFT_MONTH;
            let x = if drifts { x + 0.5 } else { x };
            *cell = if plan.is_missing(row, &common) {
                f64::NAN
            } else {
                visible(plan.column_type, x)
            };
        }
    }
}

impl Plan {
    /// The latent value; `signals` are those of the party, for its twins.
    #[inline]
    fn latent(&self, row: u64, common: &Common, signals: &[f64]) -> f64 {
        let noise = self.noise.normal(row);
        match self.latent {
            Latent::Factor {
                factor,
                loading,
                rest,
            } => loading * common.factors[factor] + rest * noise,
            Latent::Twin { of } => 0.9 * signals[of] + (1.0f64 - 0.81).sqrt() * noise,
            Latent::Noise => noise,
        }
    }

    #[inline]
    fn is_missing(&self, row: u64, common: &Common) -> bool {
        let share = self.missing_share;
        if share == 0.0 {
            return false;
        }
        let threshold = if !self.is_missing_informative {
            share
        } else if common.factors[0] > 1.0 {
            share * 1.8
        } else {
            share * 0.8
        };
        self.missing.uniform(row) < threshold
    }
}

/// The visible value of a latent one, by the type of the column.
fn visible(column_type: usize, x: f64) -> f64 {
    let below = |edges: &[f64]| edges.iter().filter(|e| **e <= x).count() as f64;
    let value = match column_type {
        0..=3 => (x * 1000.0).round_ties_even() / 1000.0,
        4 => (8.0 + 0.8 * x).exp().round_ties_even(),
        5 => (0.7 * x + 0.3).exp().floor(),
        6 => ((x - 0.3).max(0.0) * 500.0).round_ties_even(),
        7 => (1000.0 / (1.0 + (-1.2 * x).exp())).round_ties_even() / 1000.0,
        8 => below(&[-1.5, -0.5, 0.5, 1.5]),
        _ => below(&[-1.2, -0.7, -0.3, 0.0, 0.3, 0.7, 1.2]) * 5.0 % 8.0,
    };
    // No minus zero.
    value + 0.0
}
