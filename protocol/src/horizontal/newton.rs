//! Logistic regression over all banks' rows by Newton steps on masked sums.
//!
//! **Functionality.** Bank b holds rows X_b (standardised by the joint design), labels, perhaps weights and offsets.
//! All banks learn the w that minimises `l2/2 |w|² + l1 |w|₁ + Σ over all banks' rows of log losses`, its
//! standard errors, and the loss, gradient and Hessian at every point on the way.
//!
//! **Each pass** is one sum of `1 + d + d (d + 1) / 2` words; from it every bank makes the same step in the clear
//! (Cholesky, or coordinate descent where there is an `l1`). A point whose objective is not lower is taken
//! back to half the step, unless other banks are in its sum than in the last one's. The point itself is part of the sum's purpose, so banks that differ in one bit of
//! it are told apart. The fit has settled when a step is below the tolerance; that step is still made.
//!
//! **Where it begins** ([`Begin`]): at 0, or where the banks' own models say. For the latter each bank fits its own rows,
//! with a ridge that grows where it has few bads for its columns, and gives the Hessian there and its product
//! with the coefficients found: two sums, whose quotient is the mean of the banks' models weighted by what each knows.
//! From there Newton converges at once where from 0 it would halve and creep. Where its steps are too short for
//! several points in a row, as on columns with long tails, each is made longer by as much as the one before it fell short
//! of the lowest point of its line, which the next point's gradient and Hessian tell (`longer`).
//!
//! **Going on** where an aborted job stopped: the state between two points is kept through [`Course`].
//!
//! **With an intercept for each bank** a bank fits its own for given w, by itself, and gives the sums of the loss
//! so minimised (gradient and Schur complement). The optimum is that of one free indicator column a bank; the
//! intercepts stay at home.
//!
//! **What is learned.** As above, summed over the banks; a sum over m banks says of one no more than the other
//! m - 1 together would add to what they know. A gradient of few rows says much about them: each bank has at
//! least the declared number of training rows.
//!
//! **Precision.** Fixed point of 2^-(61 - log2 n - log2 N - e) for n banks, N rows and weights below 2^e; by
//! Cauchy-Schwarz no sum over standardised columns is beyond N 2^e. For 3 banks and 21,000 rows that is 2^-44:
//! coefficients are those of the pooled fit to about 1e-9. Test
//! [`every_split_lands_on_the_pooled_optimum`](../../tests/horizontal.rs).
//!
//! **Source.** Newton-Raphson from per-site gradients and Hessians, as GLORE (Wu et al., JAMIA 19(5), 2012); here
//! no site's are seen. The first point is that of meta-analysis: estimates weighted by their information (Lin and
//! Zeng, Biometrika 97(2), 2010).

use paripassu_model::logistic::{LogisticError, Parts, Penalty, TrainingSet, triangle};

mod start;
mod walk;

use super::{
    SumOf,
    course::Course,
    fixed::{Point, bits},
    secagg::{Client, Members},
    sum,
};
use crate::{abort::Abort, arith::Openings, channel::Channel, compute::offload};
use walk::Walk;

/// The first point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// All coefficients 0.
    Zero,
    /// The mean of the banks' own models, weighted by their Hessians.
    OwnModels,
}

/// What is fitted, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct NewtonSpec {
    /// Weight of `0.5 |w|²`.
    pub l2: f64,
    /// Weight of `|w|₁`.
    pub l1: f64,
    /// A step below this in every coefficient ends the fit.
    pub tolerance: f64,
    /// Most points looked at.
    pub max_passes: u32,
    /// Whether each bank has an intercept of its own, which it keeps.
    pub own_intercepts: bool,
    /// Where it begins.
    pub begin: Begin,
}

/// A bank's training rows.
#[derive(Debug, Clone)]
pub struct Rows {
    /// `[rows, columns]`, row-major, standardised by the joint design.
    pub x: Vec<f64>,
    /// Columns.
    pub columns: Vec<String>,
    /// 1 = bad.
    pub labels: Vec<u8>,
    /// Of each row, where there are any.
    pub weights: Option<Vec<f64>>,
    /// Added to each row's log-odds, where there is one.
    pub offset: Option<Vec<f64>>,
    /// Training rows of all banks.
    pub all_rows: u64,
    /// All weights of all banks lie below 2 to this.
    pub weight_exponent: i32,
}

/// The fit, the same at every bank but for an intercept of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct NewtonFit {
    /// Of the standardised columns.
    pub coefficients: Vec<f64>,
    /// All banks', or this bank's own.
    pub intercept: f64,
    /// Standard errors of the coefficients and, where it is shared, of the intercept; none with `l1`.
    pub errors: Option<Vec<f64>>,
    /// Points looked at; that the banks' own models gave the first counts for one.
    pub passes: u32,
    /// After how many of them it went on from an aborted job; 0 where it did not.
    pub resumed: u32,
    /// The objective at the last of them.
    pub objective: f64,
    /// The objective at each point looked at in this job, also where a step was then halved.
    pub objectives: Vec<f64>,
    /// Banks in the sums: fewest of any pass.
    pub fewest_banks: usize,
    /// Fraction bits of the sums.
    pub frac: i32,
}

fn own(e: impl std::fmt::Display) -> Abort {
    Abort::Input(e.to_string())
}

impl Rows {
    fn set(&self) -> Result<TrainingSet<'_>, LogisticError> {
        let mut set = TrainingSet::from_slice(&self.x, self.columns.len(), &self.labels)?;
        if let Some(weights) = &self.weights {
            set = set.with_weights(weights)?;
        }
        if let Some(offset) = &self.offset {
            set = set.with_offset(offset)?;
        }
        Ok(set)
    }

    fn name(&self, place: usize) -> &str {
        self.columns.get(place).map_or("intercept", String::as_str)
    }
}

/// A point, and the sums there.
struct At {
    /// Whose rows are in the sums.
    members: Members,
    params: Vec<f64>,
    objective: f64,
    parts: Parts,
}

/// Fits. `course` is told of each pass, and of the most there may be.
///
/// # Leakage
/// Loss, gradient and Hessian over all banks at each point, to all banks: declared as [`SumOf::Newton`]. With
/// [`Begin::OwnModels`] the sums that the first point follows from: [`SumOf::Start`].
///
/// # Errors
/// No convergence; columns that depend on one another without a penalty; a bank with one class and an
/// intercept of its own; a sum that does not fit, naming its column; those of sums.
pub async fn fit<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    spec: &NewtonSpec,
    rows: Rows,
    course: &mut dyn Course,
) -> Result<NewtonFit, Abort> {
    let columns = rows.columns.len();
    let width = columns + usize::from(!spec.own_intercepts);
    let penalty = Penalty {
        l2: spec.l2,
        l1: spec.l1,
        columns,
    };
    let magnitude = bits(rows.all_rows) + rows.weight_exponent.max(0);
    let point = Point::for_sums_up_to(magnitude, client.clients());
    let rows = std::sync::Arc::new(rows);
    let kept = course.from();
    let resumed = kept.as_ref().map_or(0, |state| state.round);
    let mut walk = match &kept {
        Some(state) => Walk::read(state, width)?,
        None => Walk::from_zero(width, client.clients()),
    };
    let mut objectives = Vec::new();
    for pass in resumed + 1..=spec.max_passes {
        course.progress(pass, spec.max_passes);
        if pass == 1 && spec.begin == Begin::OwnModels {
            start::own_models(client, ledger, (spec, &penalty), &rows, point, &mut walk).await?;
            continue;
        }
        if pass > resumed + 1 && course.keeps() {
            course.keep(walk.state(pass - 1)).await?;
        }
        let (here, data) = (walk.params.clone(), rows.clone());
        let (own_intercepts, home) = (spec.own_intercepts, walk.home);
        let parts = offload(move || {
            let set = data.set()?;
            match own_intercepts {
                true => Parts::profiled(&set, &here, home),
                false => Parts::at(&set, &here).map(|parts| (parts, 0.0)),
            }
        })
        .await;
        let (parts, intercept) = parts.map_err(|e| refused(&e))?;
        walk.home = intercept;
        let values = encode(&parts, point, client.clients(), &rows)?;
        let purpose = purpose(pass, &walk.params);
        let got = sum(client, ledger, SumOf::Newton, &purpose, values).await?;
        walk.fewest = walk.fewest.min(got.members.count());
        let parts = decode(&got.words, point, width);
        let objective = parts.loss + penalty.value(&walk.params);
        objectives.push(objective);
        let at = At {
            members: got.members,
            params: walk.params.clone(),
            objective,
            parts,
        };

        // not lower than the point before, beyond what rounding does: go back half the way. Sums over other banks are of
        // another objective: there is nothing to compare
        if let Some((last, step, length)) = &mut walk.before
            && last.members == at.members
        {
            let slack = 1e-12 * (1.0 + last.objective.abs());
            if at.objective > last.objective + slack {
                *length /= 2.0;
                walk.params = moved(&last.params, step, *length);
                continue;
            }
        }
        let step = penalty.step(&at.parts, &at.params).map_err(|e| match e {
            LogisticError::Singular { column } => Abort::NotConverged {
                passes: pass,
                problem: format!(
                    "design column `{}` depends on those before it: leave it out, or take a \
                     larger model.l2",
                    rows.name(column)
                ),
            },
            other => own(other),
        })?;
        let largest = step.iter().fold(0.0f64, |m, s| m.max(s.abs()));
        if largest <= spec.tolerance {
            let mut params = moved(&at.params, &step, 1.0);
            let errors = (spec.l1 == 0.0).then(|| penalty.standard_errors(&at.parts));
            let errors = errors.transpose().map_err(own)?;
            let intercept = match spec.own_intercepts {
                true => finish_intercept(&rows, &params, walk.home).await?,
                false => params.pop().unwrap_or_default(),
            };
            return Ok(NewtonFit {
                coefficients: params,
                intercept,
                errors,
                passes: pass,
                resumed,
                objective: at.objective,
                objectives,
                fewest_banks: walk.fewest,
                frac: point.frac,
            });
        }
        let length = match (&walk.before, spec.begin) {
            (Some((_, before, length)), Begin::OwnModels) if largest > SHORT && spec.l1 == 0.0 => {
                longer(&penalty, &at, before, *length).map_err(own)?
            }
            _ => 1.0,
        };
        walk.params = moved(&at.params, &step, length);
        walk.before = Some((at, step, length));
    }
    Err(Abort::NotConverged {
        passes: spec.max_passes,
        problem: "no step was as small as solver.tolerance: raise solver.max_passes or model.l2; \
                  good and bad may be separated by one column"
            .into(),
    })
}

fn refused(e: &LogisticError) -> Abort {
    match e {
        LogisticError::OneClass { .. } => Abort::Input(
            "this bank's training rows are all good or all bad, so it has no intercept of its \
             own: take intercept = \"shared\""
                .into(),
        ),
        other => own(other),
    }
}

async fn finish_intercept(
    rows: &std::sync::Arc<Rows>,
    params: &[f64],
    start: f64,
) -> Result<f64, Abort> {
    let (data, here) = (rows.clone(), params.to_vec());
    let found = offload(move || {
        let set = data.set()?;
        Parts::profiled(&set, &here, start).map(|(_, intercept)| intercept)
    });
    found.await.map_err(|e| refused(&e))
}

/// Steps below this in every coefficient are left as they are: near the optimum Newton's own length is the best.
const SHORT: f64 = 1e-2;

/// Most that a step is made longer.
const LONGEST: f64 = 1.5;

/// How long the next step is, from how far the step that led here, times its length, fell short on its line.
fn longer(penalty: &Penalty, at: &At, before: &[f64], length: f64) -> Result<f64, LogisticError> {
    let (slope, curve) = penalty.along(&at.parts, &at.params, before)?;
    let short = -slope / (curve * length);
    Ok(if short.is_finite() {
        (1.0 + short).clamp(1.0, LONGEST)
    } else {
        1.0
    })
}

fn moved(from: &[f64], step: &[f64], length: f64) -> Vec<f64> {
    from.iter().zip(step).map(|(w, s)| w + length * s).collect()
}

/// Names the pass and the point: banks at another point ask for another sum.
fn purpose(pass: u32, params: &[f64]) -> String {
    let mut hash = blake3::Hasher::new();
    for w in params {
        hash.update(&w.to_bits().to_le_bytes());
    }
    format!("newton {pass} at {}", hash.finalize().to_hex())
}

/// The loss may exceed what bounds the others: it has this many bits fewer.
const LOSS_BITS: i32 = 12;

fn encode(parts: &Parts, point: Point, clients: usize, rows: &Rows) -> Result<Vec<u64>, Abort> {
    let loss = Point {
        frac: point.frac - LOSS_BITS,
    };
    let mut out = vec![loss.encode(parts.loss, clients, || "the log loss".into())?];
    out.extend(encode_slopes(parts, point, clients, rows)?);
    Ok(out)
}

fn encode_slopes(
    parts: &Parts,
    point: Point,
    clients: usize,
    rows: &Rows,
) -> Result<Vec<u64>, Abort> {
    let mut out = Vec::with_capacity(1 + parts.gradient.len() + parts.hessian.len());
    for (j, g) in parts.gradient.iter().enumerate() {
        let what = || format!("the gradient of column `{}`", rows.name(j));
        out.push(point.encode(*g, clients, what)?);
    }
    for i in 0..parts.gradient.len() {
        for j in 0..=i {
            let what = || {
                format!(
                    "the Hessian of columns `{}` and `{}`",
                    rows.name(i),
                    rows.name(j)
                )
            };
            out.push(point.encode(parts.hessian[triangle(i, j)], clients, what)?);
        }
    }
    Ok(out)
}

fn decode(words: &[u64], point: Point, width: usize) -> Parts {
    let loss = Point {
        frac: point.frac - LOSS_BITS,
    };
    let (first, rest) = words.split_first().unwrap_or((&0, &[]));
    let (gradient, hessian) = rest.split_at(width.min(rest.len()));
    let all = |words: &[u64]| words.iter().map(|w| point.decode(*w)).collect();
    Parts {
        loss: loss.decode(*first),
        gradient: all(gradient),
        hessian: all(hessian),
    }
}
