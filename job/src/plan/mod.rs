//! What a job will cost and who will learn what, before anyone is asked.
//!
//! A pure function of the specification and a few assumptions about sizes and the network. Bytes and
//! rounds follow from the protocols; times and memory are estimates from the rates in
//! [`constants`].

mod accelerated;
mod align;
mod batches;
mod bins;
mod cost;
mod display;
mod gates;
mod held;
mod horizontal;
mod kept;
mod learn;
mod memory;
mod network;
mod overlap;
mod passes;
mod reject;
mod selection;
mod stage;
mod steps;
mod table;
mod trials;
mod vole;
mod warnings;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use self::table::{Table, count, duration};
use self::warnings::{warnings, warnings_of_time};
pub use self::{
    accelerated::{Chosen, ComparedSteps, choose},
    learn::Learns,
    stage::{Stage, StageCost},
    steps::{Extent, Extents},
};
use crate::{
    constants,
    disclosure::{Disclosure, disclosures},
    id::NodeId,
    life::State,
    spec::{self, Columns, Spec, SpecErrors},
};

/// What a plan assumes about data and network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assumptions {
    /// Size of each party's data.
    pub parties: BTreeMap<NodeId, PartySize>,
    /// Common customers; not used for horizontal jobs, whose customers are different ones.
    pub matched: u64,
    /// Bandwidth between a node and the coordinator, each way, in Mbit/s.
    pub mbit_per_s: f64,
    /// Round trip between a node and the coordinator, in milliseconds.
    pub rtt_ms: f64,
}

/// Size of one party's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartySize {
    /// Customers it puts into the alignment.
    pub rows: u64,
    /// Columns of its design matrix, without the intercept.
    pub design_columns: u64,
}

impl Assumptions {
    /// Assumptions to start from where nothing is known: 100,000 customers a party, half of them common,
    /// listed columns (a category counts six) or 20 for `"all"`, the link that the job names or 1 Gbit/s and 1 ms.
    pub fn usual(spec: &Spec) -> Self {
        let of_category = if spec.binning.is_some() { 1 } else { 6 };
        let size = |columns: &Columns| match columns {
            Columns::All => 20,
            Columns::Listed {
                numeric,
                categorical,
            } => {
                let columns = numeric.len() + of_category * categorical.len();
                u64::try_from(columns).unwrap_or(u64::MAX)
            }
        };
        let parties = spec.party.iter().map(|party| {
            (
                party.id.clone(),
                PartySize {
                    rows: 100_000,
                    design_columns: size(&party.columns),
                },
            )
        });
        let link = spec.solver.link;
        Self {
            parties: parties.collect(),
            matched: match spec.horizontal {
                Some(_) => 0,
                None => 50_000,
            },
            mbit_per_s: link.map_or(constants::COMPARED_MBIT_PER_S, |of| of.mbit_per_s as f64),
            rtt_ms: link.map_or(constants::COMPARED_RTT_MS, |of| of.round_trip_ms as f64),
        }
    }

    /// The link in words.
    pub fn link(&self) -> String {
        let rate = match self.mbit_per_s {
            rate if rate >= 1_000.0 => format!("{} Gbit/s", rate / 1_000.0),
            rate => format!("{rate} Mbit/s"),
        };
        format!("{rate} and {} ms", self.rtt_ms)
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The specification is not valid.
    #[error(transparent)]
    Spec(#[from] SpecErrors),
    /// A party without a size.
    #[error(
        "nothing is assumed about the size of party `{party}`: give its rows and design columns"
    )]
    NoSize {
        /// The party.
        party: NodeId,
    },
    /// A number that cannot be.
    #[error("{what} of {got} cannot be: expected {want}")]
    Assumption {
        /// Which assumption.
        what: &'static str,
        /// Its value.
        got: f64,
        /// What is possible.
        want: &'static str,
    },
    /// Fewer common customers than the job asks for.
    #[error(
        "{matched} common customers are assumed, fewer than the {min} the job asks for: it \
            would end with nothing trained"
    )]
    TooFewMatched {
        /// Assumed.
        matched: u64,
        /// `align.min_matched`.
        min: u64,
    },
    /// More common customers than a party has.
    #[error(
        "{matched} common customers are assumed, more than the {rows} customers of party `{party}`"
    )]
    TooManyMatched {
        /// Assumed.
        matched: u64,
        /// The party with the fewest.
        party: NodeId,
        /// How many it has.
        rows: u64,
    },
}

/// The sigmoid series: sin(2πkz/4R) for the first K odd k.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// Half width R of the interval on which it is fitted, on the log-odds scale.
    pub range: u32,
    /// Terms K.
    pub terms: u32,
    /// Terms while steps are large.
    pub coarse_terms: u32,
}

impl Series {
    /// The series that a job may try, in this order.
    pub fn tried(spec: &Spec) -> Vec<Self> {
        let ranges = spec.solver.ranges().into_iter();
        ranges.map(|range| Self::of(spec, range)).collect()
    }

    /// The first of these.
    fn first(spec: &Spec) -> Self {
        let first = spec.solver.ranges().first().copied();
        Self::of(spec, first.unwrap_or(constants::AUTO_RANGES[0]))
    }

    fn of(spec: &Spec, range: u32) -> Self {
        if spec.solver.method == spec::SolverMethod::Sgd {
            let terms = constants::batch_terms(range);
            return Self {
                range,
                terms,
                coarse_terms: terms,
            };
        }
        let automatic = || constants::terms_for_range(range);
        let terms = spec.solver.terms.unwrap_or_else(automatic);
        Self {
            range,
            terms,
            coarse_terms: constants::coarse_terms(terms),
        }
    }
}

/// Bytes from one node to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkBytes {
    /// Sender.
    pub from: NodeId,
    /// Receiver.
    pub to: NodeId,
    /// Bytes.
    pub bytes: u64,
}

/// Cost of one kind of step, over all the times it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepCost {
    /// State of the job meanwhile.
    pub phase: State,
    /// Where a party's node counts it.
    pub stage: Stage,
    /// Name of the step.
    pub step: String,
    /// How often it happens.
    pub times: u64,
    /// Rounds of messages in all.
    pub rounds: u64,
    /// How often a party waits in it, where that differs from the rounds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub waits: BTreeMap<NodeId, u64>,
    /// Bytes in all, by link.
    pub links: Vec<LinkBytes>,
    /// Expected time in all, in seconds.
    pub seconds: f64,
}

/// Memory of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The node.
    pub node: NodeId,
    /// What it is in this job.
    pub role: String,
    /// Expected peak, in bytes.
    pub bytes: u64,
}

/// What a job costs and opens. As text, aligned tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the job.
    pub name: String,
    /// What it rests on.
    pub assumptions: Assumptions,
    /// Rows to train on.
    pub train_rows: u64,
    /// Rows held out.
    pub test_rows: u64,
    /// Design columns of all parties, with the intercept.
    pub design_columns: u64,
    /// Passes expected.
    pub passes: u64,
    /// Most passes, all ranges together.
    pub max_passes: u64,
    /// The sigmoid series that may be tried, in this order; none in a horizontal job. Costs and memory are those of a job that
    /// settles in the first; the others take a Hessian of all training rows.
    pub series: Vec<Series>,
    /// Rows of the Hessian's subsample in the first range; none of a network, of accelerated steps, or of mini-batches.
    pub hessian_rows: u64,
    /// How steps of a logistic regression on columns of several parties are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solver: Option<Chosen>,
    /// Why in this way.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub solver_why: String,
    /// Batches of a pass of a network on columns of several parties, or of mini-batches; else none.
    #[serde(default)]
    pub batches: u64,
    /// The steps, in order.
    pub steps: Vec<StepCost>,
    /// All bytes by link.
    pub links: Vec<LinkBytes>,
    /// Rounds of messages.
    pub rounds: u64,
    /// Bytes of all nodes together.
    pub bytes: u64,
    /// Bytes per training row and pass while training.
    pub bytes_per_row_pass: f64,
    /// Expected time, in seconds.
    pub seconds: f64,
    /// What it costs at least and at most, where columns may go or come; the other figures are those of the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extents: Option<Extents>,
    /// Expected memory by node.
    pub memory: Vec<Memory>,
    /// Who learns what.
    pub learns: Vec<Learns>,
    /// Everything the job opens.
    pub disclosures: Vec<Disclosure>,
    /// What to think about before submitting.
    pub warnings: Vec<String>,
}

/// How often steps were made whose number a run finds out: with it a plan says what that very run had to cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Passes while steps are large; of a federated fit or a network, all points or rounds.
    pub passes: u64,
    /// Passes at full precision.
    pub fine_passes: u64,
    /// Of `passes` and of `fine_passes`, those of the second fit of a job with declined applicants.
    pub second: (u64, u64),
    /// Passes of all trials of penalties, beside these.
    pub trial_passes: u64,
    /// The epoch or pass of an aborted job after which training went on: `passes` and `fine_passes` came behind it.
    pub after: u64,
    /// Columns that left the model or entered it, one by one.
    pub stepped: u64,
    /// Columns of a horizontal job in which values are missing.
    pub missing_columns: u64,
    /// Common customers held out, where that is known and not only their share.
    pub test_rows: Option<u64>,
}

/// The plan of a job under these assumptions.
///
/// # Errors
/// When the specification is not valid, or the assumptions are incomplete or impossible.
pub fn plan(spec: &Spec, assumptions: &Assumptions) -> Result<Plan, PlanError> {
    plan_of(spec, assumptions, None)
}

/// What a run that settled in the first range had to cost: the plan with the passes that it took.
///
/// # Errors
/// As [`plan`].
pub fn plan_taken(
    spec: &Spec,
    assumptions: &Assumptions,
    taken: &Taken,
) -> Result<Plan, PlanError> {
    plan_of(spec, assumptions, Some(taken))
}

fn plan_of(
    spec: &Spec,
    assumptions: &Assumptions,
    taken: Option<&Taken>,
) -> Result<Plan, PlanError> {
    let mut plan = costs_of(spec, assumptions, taken)?;
    if let Some(first) = plan.steps.first_mut() {
        first.seconds += constants::BEGIN_S;
        plan.seconds += constants::BEGIN_S;
        if let Some(extents) = &mut plan.extents {
            extents.least.seconds += constants::BEGIN_S;
            extents.most.seconds += constants::BEGIN_S;
        }
    }
    Ok(plan)
}

fn costs_of(
    spec: &Spec,
    assumptions: &Assumptions,
    taken: Option<&Taken>,
) -> Result<Plan, PlanError> {
    spec.check()?;
    let sizes = check(spec, assumptions)?;
    if let Some(horizontal) = &spec.horizontal {
        let job = (spec, horizontal);
        return Ok(horizontal::plan(job, assumptions, &sizes, taken));
    }
    if spec.overlap.is_some() {
        return Ok(overlap::plan(spec, assumptions, &sizes));
    }
    let held_out = assumptions.matched * spec.split.test_tenths / 10;
    let test_rows = taken.and_then(|taken| taken.test_rows);
    let test_rows = test_rows.unwrap_or(held_out).min(assumptions.matched);
    let train_rows = assumptions.matched - test_rows;
    let columns: u64 = sizes.iter().map(|size| size.design_columns).sum::<u64>() + 1;
    if train_rows > constants::MAX_TRAIN_ROWS {
        return Err(PlanError::Assumption {
            what: "a number of training rows",
            got: train_rows as f64,
            want: "at most 2^25",
        });
    }
    if let Some(got) = batches::too_many(spec, train_rows, columns) {
        return Err(PlanError::Assumption {
            what: "a number of columns in all batches",
            got: got as f64,
            want: "at most 2^26: raise solver.batch",
        });
    }
    let series = match spec.network {
        Some(_) => Vec::new(),
        None => Series::tried(spec),
    };
    let widths: Vec<u64> = sizes.iter().map(|size| size.design_columns).collect();
    let solver = match spec.network {
        Some(_) => None,
        None => Some(choose(spec, train_rows, &widths)),
    };
    let kind = solver.map_or(spec::Steps::Newton, |chosen| chosen.steps);
    let rows = (train_rows, test_rows, &sizes[..]);
    let facts = cost::Facts::of(spec, assumptions, rows, kind, taken);
    let hessian_rows = match kind {
        spec::Steps::Newton => facts.hessian_rows,
        spec::Steps::Accelerated | spec::Steps::Sgd => 0,
    };
    let (steps, mut memory) = match &spec.network {
        Some(network) => (
            network::steps(&facts, network, taken.map(|taken| taken.passes)),
            network::memory(&facts, network),
        ),
        None => (cost::steps(&facts), memory::memory(&facts)),
    };
    memory::add_frames(&mut memory, &steps);
    let extents = match spec.network {
        Some(_) => None,
        None => steps::extents(&facts, &steps),
    };
    let mut links = BTreeMap::new();
    for link in steps.iter().flat_map(|step| &step.links) {
        *links
            .entry((link.from.clone(), link.to.clone()))
            .or_insert(0) += link.bytes;
    }
    let in_training = steps
        .iter()
        .filter(|step| step.phase == State::Training)
        .flat_map(|step| &step.links);
    let training_bytes: u64 = in_training.map(|link| link.bytes).sum();
    let ranges = series.len() as u64;
    let (passes, max_passes, batches) = match &spec.network {
        Some(network) => {
            let rows = train_rows - network.watched(train_rows);
            let batches = spec::Network::parts(rows, network.batch).count() as u64;
            (network.epochs, network.epochs, batches)
        }
        None => {
            let fits = 1 + u64::from(spec.reject_inference.is_some());
            let second = facts.second.all();
            (
                facts.passes.all() + second,
                spec.solver.most_passes(kind) * ranges * fits,
                match kind {
                    spec::Steps::Sgd => spec.solver.batches.of_rows(train_rows),
                    _ => 0,
                },
            )
        }
    };
    let mut plan = Plan {
        name: spec.name.clone(),
        assumptions: assumptions.clone(),
        train_rows,
        test_rows,
        design_columns: columns,
        passes,
        max_passes,
        series,
        hessian_rows: if batches == 0 { hessian_rows } else { 0 },
        solver,
        solver_why: solver.map_or_else(String::new, |chosen| chosen.why(spec)),
        batches,
        rounds: steps.iter().map(|step| step.rounds).sum(),
        bytes: links.values().sum(),
        bytes_per_row_pass: training_bytes as f64 / (train_rows.max(1) * passes.max(1)) as f64,
        seconds: steps.iter().map(|step| step.seconds).sum(),
        extents,
        steps,
        links: links
            .into_iter()
            .map(|((from, to), bytes)| LinkBytes { from, to, bytes })
            .collect(),
        memory,
        learns: learn::learns(spec),
        disclosures: disclosures(spec),
        warnings: Vec::new(),
    };
    plan.warnings = warnings(spec, &plan);
    Ok(plan)
}

fn check(spec: &Spec, assumptions: &Assumptions) -> Result<Vec<PartySize>, PlanError> {
    let got = assumptions.mbit_per_s;
    if !(got.is_finite() && got > 0.0) {
        return Err(PlanError::Assumption {
            what: "a bandwidth (Mbit/s)",
            got,
            want: "a number above 0",
        });
    }
    let got = assumptions.rtt_ms;
    if !(got.is_finite() && got >= 0.0) {
        return Err(PlanError::Assumption {
            what: "a round trip (ms)",
            got,
            want: "0 or more",
        });
    }
    let (matched, min) = (assumptions.matched, spec.align.min_matched);
    if matched < min && spec.horizontal.is_none() {
        return Err(PlanError::TooFewMatched { matched, min });
    }
    // Far beyond any table, and far below where a byte count would overflow.
    let possible = |number: u64, limit: u64, what, want| {
        if number <= limit {
            Ok(())
        } else {
            Err(PlanError::Assumption {
                what,
                got: number as f64,
                want,
            })
        }
    };
    spec.seats()
        .into_iter()
        .map(|party| {
            let id = &party.id;
            let size = assumptions
                .parties
                .get(id)
                .ok_or_else(|| PlanError::NoSize { party: id.clone() })?;
            possible(
                size.rows,
                u64::from(u32::MAX),
                "a number of rows",
                "fewer than 2^32",
            )?;
            possible(
                size.design_columns,
                constants::MAX_DESIGN_COLUMNS - 1,
                "a number of design columns",
                "at most 4095",
            )?;
            if size.rows < matched && spec.horizontal.is_none() {
                return Err(PlanError::TooManyMatched {
                    matched,
                    party: id.clone(),
                    rows: size.rows,
                });
            }
            Ok(*size)
        })
        .collect()
}
