//! `[solver]`: how a logistic regression is fitted.

use serde::{Deserialize, Serialize};

use super::{AutoOr, MiniBatches, Spec, batches, error::Problem, locate::KeyPath};
use crate::{constants, decimal::Decimal};

/// `[solver]`: how the model is fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Given", into = "Given")]
pub struct Solver {
    /// `newton` (default), `accelerated`, `auto`, or `sgd`: mini-batches, of which alone `range` and the keys of
    /// [`MiniBatches`] are.
    pub method: SolverMethod,
    /// Most passes over the training rows in each range tried: of Newton's steps 1 to 60, default 20, about 10 are needed; of
    /// accelerated ones 1 to 1,000, default 600, some 40 to 400 are needed. With `auto` those of accelerated steps; Newton's then take
    /// 20 of them at most.
    pub max_passes: u64,
    /// Training has settled when no coefficient on the standardised scale moves more than this in a
    /// pass, or in four accelerated ones more than a quarter. 1e-7 to 0.1, of accelerated steps from 1e-6. Default 2e-5.
    pub tolerance: Decimal,
    /// `bit` (default): one declared bit a pass from the third on, or every fourth accelerated one, says whether training has settled. `fixed`: always
    /// `max_passes` passes in a range, the last three at full precision (of accelerated ones the last quarter), and one bit after them.
    pub stop: Stop,
    /// Half width R of the sigmoid series, on the log-odds scale: 8, 16, 32 or 64, or `auto` (default):
    /// 16, then 32, then 64, the next one where training does not settle or a declared bit says that a
    /// training row's score lies outside. Of mini-batches 8, 12, 16, 24 or 32, or `auto`: 16, then 32.
    pub range: AutoOr,
    /// Terms of the sigmoid series, 4 to 96, or `auto` (default): 12, 20, 40 or 80 by range, for a
    /// series exact to 3e-6 (5e-5 at 8). While steps are large three quarters of them are taken, but
    /// not less than 6.
    pub terms: AutoOr,
    /// Rows of the Hessian's subsample, or `auto` (default): the larger of 32768 and 64 per design column,
    /// at most all training rows. Ranges after the first take all training rows.
    pub hessian_rows: AutoOr,
    /// Of `auto`: the link on which methods are compared. Without it 1 Gbit/s and 1 ms.
    pub link: Option<Link>,
    /// Of mini-batches: keys of `[solver]` beside `method` and `range`.
    pub batches: MiniBatches,
    /// Keys that were written and are not of the method.
    pub(super) misplaced: Vec<&'static str>,
}

/// A link between a node and the coordinator, as the slowest party has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Mbit/s each way, 1 to 100,000.
    pub mbit_per_s: u64,
    /// Round trip in milliseconds, 0 to 2,000.
    pub round_trip_ms: u64,
}

/// The same as it is written: how many passes are usual, and which keys there are, depends on the method.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    method: SolverMethod,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_passes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerance: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Stop>,
    range: Option<AutoOr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terms: Option<AutoOr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hessian_rows: Option<AutoOr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    momentum: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

impl Given {
    /// Keys that were written and are not of the method.
    fn misplaced(&self) -> Vec<&'static str> {
        let asked = |setting: Option<AutoOr>| setting.is_some_and(|s| s != AutoOr::Auto);
        let of_passes = [
            (self.max_passes.is_some(), "max_passes"),
            (self.tolerance.is_some(), "tolerance"),
            (self.stop.is_some(), "stop"),
            (asked(self.terms), "terms"),
            (asked(self.hessian_rows), "hessian_rows"),
        ];
        let of_batches = [
            (self.epochs.is_some(), "epochs"),
            (self.batch.is_some(), "batch"),
            (self.rate.is_some(), "rate"),
            (self.momentum.is_some(), "momentum"),
            (self.seed.is_some(), "seed"),
        ];
        let all = match self.method {
            SolverMethod::Sgd => of_passes,
            _ => of_batches,
        };
        let compared = self.method == SolverMethod::Auto;
        let link = (self.link.is_some() && !compared, "link");
        let written = all.into_iter().chain([link]).filter(|(there, _)| *there);
        written.map(|(_, key)| key).collect()
    }
}

impl From<Given> for Solver {
    fn from(given: Given) -> Self {
        let (usual, batches) = (Self::default(), MiniBatches::default());
        let misplaced = given.misplaced();
        Self {
            method: given.method,
            max_passes: given.max_passes.unwrap_or(given.method.usual_most()),
            tolerance: given.tolerance.unwrap_or(usual.tolerance),
            stop: given.stop.unwrap_or(usual.stop),
            range: given.range.unwrap_or(usual.range),
            terms: given.terms.unwrap_or(usual.terms),
            hessian_rows: given.hessian_rows.unwrap_or(usual.hessian_rows),
            link: given.link,
            batches: MiniBatches {
                epochs: given.epochs.unwrap_or(batches.epochs),
                batch: given.batch.unwrap_or(batches.batch),
                rate: given.rate.unwrap_or(batches.rate),
                momentum: given.momentum.unwrap_or(batches.momentum),
                seed: given.seed.unwrap_or(batches.seed),
            },
            misplaced,
        }
    }
}

impl From<Solver> for Given {
    fn from(of: Solver) -> Self {
        let (range, batches) = (Some(of.range), of.batches);
        match of.method {
            SolverMethod::Sgd => Self {
                method: of.method,
                range,
                epochs: Some(batches.epochs),
                batch: Some(batches.batch),
                rate: Some(batches.rate),
                momentum: Some(batches.momentum),
                seed: Some(batches.seed),
                ..Self::default()
            },
            _ => Self {
                method: of.method,
                max_passes: Some(of.max_passes),
                tolerance: Some(of.tolerance),
                stop: Some(of.stop),
                range,
                terms: Some(of.terms),
                hessian_rows: Some(of.hessian_rows),
                link: of.link,
                ..Self::default()
            },
        }
    }
}

impl Default for Solver {
    fn default() -> Self {
        Self {
            method: SolverMethod::Newton,
            max_passes: constants::DEFAULT_MAX_PASSES,
            tolerance: constants::DEFAULT_TOLERANCE,
            stop: Stop::Bit,
            range: AutoOr::Auto,
            terms: AutoOr::Auto,
            hessian_rows: AutoOr::Auto,
            link: None,
            batches: MiniBatches::default(),
            misplaced: Vec::new(),
        }
    }
}

impl Solver {
    /// The half widths R of the sigmoid series that may be tried, in this order.
    pub fn ranges(&self) -> Vec<u32> {
        match (self.range, self.method) {
            (AutoOr::Auto, SolverMethod::Sgd) => constants::AUTO_BATCH_RANGES.to_vec(),
            (AutoOr::Auto, _) => constants::AUTO_RANGES.to_vec(),
            (AutoOr::Is(range), _) => vec![range],
        }
    }

    /// Half widths that may be named.
    pub(super) fn nameable(&self) -> &'static [u32] {
        match self.method {
            SolverMethod::Sgd => &constants::BATCH_RANGES,
            _ => &constants::RANGES,
        }
    }

    /// Most passes of a range where these steps are taken; of mini-batches all of them.
    pub fn most_passes(&self, steps: Steps) -> u64 {
        match (self.method, steps) {
            (SolverMethod::Auto, Steps::Newton) => {
                self.max_passes.min(constants::DEFAULT_MAX_PASSES)
            }
            (_, Steps::Sgd) => self.batches.epochs,
            _ => self.max_passes,
        }
    }

    /// Most bits of a range that say whether training has settled, where these steps are taken; in a job of `several` fits as many
    /// as each of them.
    pub fn most_bits(&self, steps: Steps, several: bool) -> u64 {
        match self.stop {
            _ if steps == Steps::Sgd => 0,
            Stop::Bit if several => steps.bits_again(self.most_passes(steps)),
            Stop::Bit => steps.bits(self.most_passes(steps)),
            Stop::Fixed => 1,
        }
    }

    /// The steps that may be taken.
    pub fn steps(&self) -> &'static [Steps] {
        match self.method {
            SolverMethod::Newton => &[Steps::Newton],
            SolverMethod::Accelerated => &[Steps::Accelerated],
            SolverMethod::Auto => &[Steps::Newton, Steps::Accelerated],
            SolverMethod::Sgd => &[Steps::Sgd],
        }
    }
}

/// A solver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SolverMethod {
    /// Full-batch Newton steps on shares, Hessian from a subsample (default).
    #[default]
    Newton,
    /// Full-batch gradient steps with momentum, which need no Hessian: for hundreds of columns. Not with standard errors, L1 penalties,
    /// signs, columns that enter or leave by statistics, or `counts = "strict"`.
    Accelerated,
    /// Whichever of the two is expected to take less time, by training rows and the design columns of each party
    /// ([`choose`](crate::plan::choose)); Newton's wherever accelerated steps cannot be taken. Never mini-batches, which do not end at
    /// the optimum.
    Auto,
    /// Mini-batches, with momentum: a public number of passes, each of many steps of two rounds. For many rows, where a model near the
    /// optimum is enough. Not with what [`Spec::beyond_batches`] names.
    Sgd,
}

/// The steps that a fit takes, once it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Steps {
    /// By a Hessian and its inverse.
    Newton,
    /// By the gradient and momentum.
    Accelerated,
    /// By gradients of batches, and momentum.
    Sgd,
}

impl Steps {
    /// Bits that so many passes of an attempt open, from the label party's own fit on.
    pub(crate) fn bits(self, passes: u64) -> u64 {
        self.bits_after(passes, constants::UNASKED_PASSES)
    }

    /// The same of passes behind those that an aborted job has made.
    pub(crate) fn bits_behind(self, made: u64, passes: u64) -> u64 {
        let asked = match self {
            Self::Newton => made.saturating_sub(constants::UNASKED_PASSES),
            Self::Accelerated => made / constants::ACCELERATED_PASSES_PER_BIT,
            Self::Sgd => 0,
        };
        self.bits(made + passes).saturating_sub(asked)
    }

    /// The same of an attempt that begins where another fit has ended: nothing is asked after its first pass.
    pub(crate) fn bits_again(self, passes: u64) -> u64 {
        self.bits_after(passes, 1)
    }

    fn bits_after(self, passes: u64, unasked: u64) -> u64 {
        match self {
            Self::Newton => passes.saturating_sub(unasked).max(1),
            Self::Accelerated => passes.div_ceil(constants::ACCELERATED_PASSES_PER_BIT),
            Self::Sgd => 0,
        }
    }
}

impl SolverMethod {
    fn usual_most(self) -> u64 {
        match self {
            Self::Newton | Self::Sgd => constants::DEFAULT_MAX_PASSES,
            Self::Accelerated | Self::Auto => constants::DEFAULT_MAX_ACCELERATED_PASSES,
        }
    }

    /// How many passes may be allowed.
    fn passes(self) -> std::ops::RangeInclusive<u64> {
        match self {
            Self::Newton | Self::Sgd => constants::MAX_PASSES,
            Self::Accelerated | Self::Auto => constants::MAX_ACCELERATED_PASSES,
        }
    }
}

/// When training stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// By one declared bit a pass, or every fourth accelerated one.
    Bit,
    /// After a fixed number of passes; one declared bit then says whether training has settled.
    Fixed,
}

impl Spec {
    /// Why accelerated steps cannot be taken, where they cannot: the keys, and the reasons.
    pub fn needs_a_hessian(&self) -> Vec<(&'static str, &'static str)> {
        let path = self.tuning.as_ref().is_some_and(|t| t.is_path());
        let asked = [
            (
                self.outputs.standard_errors,
                "outputs.standard_errors",
                "standard errors are roots of the inverse Hessian's diagonal",
            ),
            (
                self.model.l1.value() != 0.0,
                "model.l1",
                "an L1 penalty is met within each Newton step, by the Hessian's inverse",
            ),
            (
                path,
                "tuning.l1",
                "an L1 penalty is met within each Newton step, by the Hessian's inverse",
            ),
            (
                self.model.woe_signs,
                "model.woe_signs",
                "signs are kept within each Newton step, by the Hessian's inverse",
            ),
            (
                !self.model.sign.is_empty(),
                "model.sign",
                "signs are kept within each Newton step, by the Hessian's inverse",
            ),
            (
                self.stepwise().is_some(),
                "selection.stepwise",
                "columns leave and enter by statistics of the Hessian and its inverse",
            ),
            (
                self.binning.as_ref().is_some_and(|b| b.strict()),
                "binning.counts",
                "weights of evidence that stay shared cannot be whitened by their owner, without which accelerated steps take too many \
                 passes",
            ),
        ];
        let found = asked.into_iter().filter(|(there, ..)| *there);
        found.map(|(_, key, why)| (key, why)).collect()
    }
}

/// What must hold of a solver.
pub(super) fn check(spec: &Spec, found: &mut Vec<(KeyPath, Problem)>) {
    let solver = &spec.solver;
    let mut within = |key: &str, got: String, low: String, high: String| {
        found.push((KeyPath::of(key), Problem::Range { got, low, high }));
    };
    let passes = solver.method.passes();
    if !passes.contains(&solver.max_passes) {
        let (low, high) = (passes.start().to_string(), passes.end().to_string());
        within(
            "solver.max_passes",
            solver.max_passes.to_string(),
            low,
            high,
        );
    }
    if let Some(link) = solver.link {
        for (key, got, range) in [
            (
                "solver.link.mbit_per_s",
                link.mbit_per_s,
                constants::LINK_MBIT_PER_S,
            ),
            (
                "solver.link.round_trip_ms",
                link.round_trip_ms,
                constants::LINK_ROUND_TRIP_MS,
            ),
        ] {
            if !range.contains(&got) {
                let (low, high) = (range.start().to_string(), range.end().to_string());
                within(key, got.to_string(), low, high);
            }
        }
    }
    let tolerances = match solver.method {
        SolverMethod::Newton | SolverMethod::Sgd => constants::TOLERANCE,
        SolverMethod::Accelerated | SolverMethod::Auto => constants::ACCELERATED_TOLERANCE,
    };
    if !tolerances.contains(&solver.tolerance.value()) {
        let (low, high) = (tolerances.start().to_string(), tolerances.end().to_string());
        within("solver.tolerance", solver.tolerance.to_string(), low, high);
    }
    let mut unfit = |key: &str, why: String| found.push((KeyPath::of(key), Problem::Rows { why }));
    if solver.method == SolverMethod::Auto && solver.stop == Stop::Fixed {
        unfit(
            "solver.stop",
            "how many passes are right depends on the method, which \"auto\" leaves open: name solver.method, or stop by bits"
                .to_owned(),
        );
    }
    batches::check(spec, &solver.misplaced, &mut unfit);
    if solver.method == SolverMethod::Accelerated {
        for (key, why) in spec.needs_a_hessian() {
            let why = format!(
                "{why}, and solver.method = \"accelerated\" makes no Hessian: leave this out, or take \"newton\""
            );
            unfit(key, why);
        }
        if solver.hessian_rows != AutoOr::Auto {
            let why = "solver.method = \"accelerated\" makes no Hessian: leave this out, or take \"newton\"";
            unfit("solver.hessian_rows", why.to_owned());
        }
    }
}
