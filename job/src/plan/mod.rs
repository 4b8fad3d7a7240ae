//! What a job will cost and who will learn what, before anyone is asked.
//!
//! A pure function of the specification and a few assumptions about sizes and the network. Bytes and
//! rounds follow from the protocols; times and memory are estimates from the rates in
//! [`constants`].

mod cost;
mod display;
mod learn;
mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::learn::Learns;
pub(crate) use self::table::{Table, duration};
use crate::{
    constants,
    disclosure::{Disclosure, disclosures},
    id::NodeId,
    life::State,
    spec::{Columns, Spec, SpecErrors, Stop},
};

/// What a plan assumes about data and network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assumptions {
    /// Size of each party's data.
    pub parties: BTreeMap<NodeId, PartySize>,
    /// Common customers.
    pub matched: u64,
    /// Largest standardised value over all columns, in standard deviations.
    pub largest_value: f64,
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
    /// listed columns (a category counts six) or 20 for `"all"`, 1 Gbit/s and 1 ms.
    pub fn usual(spec: &Spec) -> Self {
        let size = |columns: &Columns| match columns {
            Columns::All => 20,
            Columns::Listed {
                numeric,
                categorical,
            } => u64::try_from(numeric.len() + 6 * categorical.len()).unwrap_or(u64::MAX),
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
        Self {
            parties: parties.collect(),
            matched: 50_000,
            largest_value: 16.0,
            mbit_per_s: 1_000.0,
            rtt_ms: 1.0,
        }
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
}

impl Series {
    /// The series of a job, once the power-of-two bound of the largest standardised value is known.
    pub fn choose(spec: &Spec, bucket: u32) -> Self {
        let range = spec
            .solver
            .range
            .unwrap_or_else(|| constants::range_for_bucket(bucket));
        Self {
            range,
            terms: spec
                .solver
                .terms
                .unwrap_or_else(|| constants::terms_for_range(range)),
        }
    }
}

/// The power of two that a largest standardised value is declared as: the least one not below it, at least 1.
pub fn range_bucket(largest_value: f64) -> u32 {
    (0..31)
        .map(|exponent| 1_u32 << exponent)
        .find(|bucket| f64::from(*bucket) >= largest_value)
        .unwrap_or(1 << 31)
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
    /// Name of the step.
    pub step: String,
    /// How often it happens.
    pub times: u64,
    /// Rounds of messages in all.
    pub rounds: u64,
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
    /// Most passes.
    pub max_passes: u64,
    /// The sigmoid series.
    pub series: Series,
    /// Rows of the Hessian's subsample.
    pub hessian_rows: u64,
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
    /// Expected memory by node.
    pub memory: Vec<Memory>,
    /// Who learns what.
    pub learns: Vec<Learns>,
    /// Everything the job opens.
    pub disclosures: Vec<Disclosure>,
    /// What to think about before submitting.
    pub warnings: Vec<String>,
}

/// The plan of a job under these assumptions.
///
/// # Errors
/// When the specification is not valid, or the assumptions are incomplete or impossible.
pub fn plan(spec: &Spec, assumptions: &Assumptions) -> Result<Plan, PlanError> {
    spec.check()?;
    let sizes = check(spec, assumptions)?;
    let test_rows = assumptions.matched * spec.split.test_tenths / 10;
    let train_rows = assumptions.matched - test_rows;
    let columns: u64 = sizes.iter().map(|size| size.design_columns).sum::<u64>() + 1;
    let series = Series::choose(spec, range_bucket(assumptions.largest_value));
    let automatic =
        || u32::try_from(constants::hessian_rows(train_rows, columns)).unwrap_or(u32::MAX);
    let hessian_rows =
        u64::from(spec.solver.hessian_rows.unwrap_or_else(automatic)).min(train_rows);
    let passes = match spec.solver.stop {
        Stop::Bit => constants::USUAL_PASSES.min(spec.solver.max_passes),
        Stop::Fixed => spec.solver.max_passes,
    };

    let facts = cost::Facts {
        spec,
        assumptions,
        sizes: &sizes,
        train_rows,
        test_rows,
        columns,
        passes,
        series,
        hessian_rows,
    };
    let steps = cost::steps(&facts);
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
    let mut plan = Plan {
        name: spec.name.clone(),
        assumptions: assumptions.clone(),
        train_rows,
        test_rows,
        design_columns: columns,
        passes,
        max_passes: spec.solver.max_passes,
        series,
        hessian_rows,
        rounds: steps.iter().map(|step| step.rounds).sum(),
        bytes: links.values().sum(),
        bytes_per_row_pass: training_bytes as f64 / (train_rows.max(1) * passes.max(1)) as f64,
        seconds: steps.iter().map(|step| step.seconds).sum(),
        steps,
        links: links
            .into_iter()
            .map(|((from, to), bytes)| LinkBytes { from, to, bytes })
            .collect(),
        memory: cost::memory(&facts),
        learns: learn::learns(spec),
        disclosures: disclosures(spec),
        warnings: Vec::new(),
    };
    plan.warnings = warnings(spec, &plan);
    Ok(plan)
}

fn check(spec: &Spec, assumptions: &Assumptions) -> Result<Vec<PartySize>, PlanError> {
    for (what, got) in [
        ("a bandwidth (Mbit/s)", assumptions.mbit_per_s),
        ("a largest value", assumptions.largest_value),
    ] {
        if !(got.is_finite() && got > 0.0) {
            return Err(PlanError::Assumption {
                what,
                got,
                want: "a number above 0",
            });
        }
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
    if matched < min {
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
            possible(size.rows, 1 << 33, "a number of rows", "at most 2^33")?;
            possible(
                size.design_columns,
                1 << 14,
                "a number of design columns",
                "at most 2^14",
            )?;
            if size.rows < matched {
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

fn warnings(spec: &Spec, plan: &Plan) -> Vec<String> {
    let mut list = Vec::new();
    if plan.seconds > spec.limits.job_deadline_s as f64 {
        list.push(format!(
            "the expected {} is beyond limits.job_deadline_s = {}: raise it, or the job will \
                be aborted",
            duration(plan.seconds),
            spec.limits.job_deadline_s
        ));
    }
    let wanted = constants::terms_for_range(plan.series.range);
    if plan.series.terms < wanted {
        list.push(format!(
            "solver.terms = {} is less than the {wanted} that a range of {} needs for \
                coefficients within 1e-3",
            plan.series.terms, plan.series.range
        ));
    }
    let automatic = constants::range_for_bucket(range_bucket(plan.assumptions.largest_value));
    if plan.series.range < automatic {
        list.push(format!(
            "solver.range = {} is less than the {automatic} that a largest value of {} asks \
                for: the job is likely to end with its range check",
            plan.series.range, plan.assumptions.largest_value
        ));
    }
    if plan.train_rows < 10 * plan.design_columns {
        list.push(format!(
            "{} training rows for {} design columns: expect an overfitted model, and scores \
                that say much about single customers",
            plan.train_rows, plan.design_columns
        ));
    }
    if spec.solver.stop == Stop::Fixed && spec.solver.max_passes < constants::USUAL_PASSES {
        list.push(format!(
            "{} passes are fewer than the {} that Newton usually needs",
            spec.solver.max_passes,
            constants::USUAL_PASSES
        ));
    }
    list
}
