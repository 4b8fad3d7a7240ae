//! Columns that leave the model, and columns that enter it, one by one, by statistics on shares.
//!
//! **Functionality.** As training ([`super`]), again and again. Backward: from all columns; at each optimum the statistic of each
//! column j is `w_j² / s_j²` (Wald), s_j its standard error, ridge included. The column with the least one leaves if that is
//! below a threshold, and the rest are fitted anew. Forward: from the intercept; of the columns that are not in the model the
//! one with the greatest score statistic `g_j² / (H_jj - h_j' H_AA⁻¹ h_j)` enters if that reaches a threshold, and all are
//! fitted anew: g the slope of the loss, H the Hessian at the present optimum, A the columns in the model with the intercept,
//! h_j the column's row of H; ridge included, so that a column that enters is judged with the ridge that it gets. Both: after
//! each fit the one that leaves goes first; only where none does, one is sought that enters. Where neither is, or so many
//! steps were made, the fit is released. By p-value a threshold is the chi-square quantile of one degree of freedom; by AIC it
//! is 2, as a column changes the deviance by its statistic to second order.
//!
//! A column enters only if the model leaves at least 2^-8 of its own H_jj: what is nearer to a combination of the columns in the
//! model would enter by rounding. The ridge counts in both: where it is large beside the curvature, a copy of a column with
//! coefficient w keeps such a share, and a statistic of `l2 w² / 2`, which is small. Levels of a category are columns like others and move singly. Both cannot go in a circle:
//! where columns come back to a model that one was sought for before, steps end with it.
//!
//! **Adversary.** As of training: passive, up to all but one data party if the source joins none.
//! **Learns.** All: in each step which column leaves or enters, by its place, or that none does (`Leaving`, `Entering`); and of
//! each fit what `Converged` and `RangeExceeded` declare. Coefficients, standard errors and statistics of the steps stay shared
//! and are forgotten; those of the last fit are released as in training. The order in which columns enter tells which of a
//! party's columns say most of the label beside those already in.
//!
//! **How.** Wald statistics and score statistics have modules of their own, with range and precision. Each step's columns are
//! whitened and masked anew; columns that may enter are masked once, each scaled by itself.
//! **Cost.** A step: a whole training, and some 30 messages of words by the square of the columns for one that leaves; for one
//! that enters some 50, and 8 bytes a row of the Hessian for each column of all and owner of columns in the model.
//! **Source.** Wald (Transactions of the AMS 54, 1943); Rao (Proc. Cambridge Philosophical Society 44, 1948); backward
//! elimination, forward and stepwise selection as in Draper and Smith, Applied Regression Analysis (1966), chapter 6, where the
//! column with the greatest partial F enters. The gates are those of training.

mod entering;
mod leaving;

use paripassu_crypto::fixed;

pub(super) use self::entering::Last;
use self::entering::{Candidates, Model};
use super::{
    attempts::settle,
    logistic::{LogisticFit, LogisticInput, LogisticSpec, Progress, label_words},
    run::Run,
};
use crate::{abort::Abort, arith::Engine, channel::Channel, correlation::CorrelationSource};

/// When columns enter and leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stepwise {
    /// Steps begin with the intercept alone, and a column with at least this score statistic may enter, 0 to 32; else they
    /// begin with all columns.
    pub enter: Option<f64>,
    /// A column with a lower Wald statistic may leave, 0 to 32.
    pub leave: Option<f64>,
    /// At most so many steps.
    pub most: u32,
}

/// A step: a column's party, and its place among the columns that the party came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Position of the party.
    pub party: usize,
    /// From 0.
    pub column: usize,
    /// Whether it enters, or leaves.
    pub enters: bool,
}

/// Trains, and lets columns enter and leave. See the module for what each party learns.
///
/// # Leakage
/// As of [`train`](fn@super::logistic::train) for each step; and the openings `Leaving` and `Entering`.
///
/// # Errors
/// As of training, in any step; or where a penalty or signs hold coefficients.
pub async fn train_stepwise<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &LogisticSpec,
    stepwise: &Stepwise,
    input: LogisticInput,
    progress: &mut dyn Progress,
) -> Result<(LogisticFit, Vec<Moved>), Abort> {
    let limits = [stepwise.enter, stepwise.leave];
    let within = limits.iter().flatten().all(|t| (0.0..=32.0).contains(t));
    if spec.is_held() || !within || limits == [None; 2] {
        return Err(Abort::Input(
            "columns enter or leave by statistics from 0 to 32, of fits that no L1 penalty or sign holds"
                .into(),
        ));
    }
    let me = engine.me();
    let mut steps = spec.clone();
    // Hessians at final precision
    steps.standard_errors = true;
    steps.check(&input.signs)?;
    let candidates = match stepwise.enter {
        Some(_) => Some(Candidates::register(engine, &steps, &input).await?),
        None => None,
    };
    let mut moved: Vec<Moved> = Vec::new();
    // the columns of each party in the model, by the places that it came with
    let mut model: Option<Model> = candidates
        .as_ref()
        .map(|_| vec![Vec::new(); engine.parties()]);
    let mut sought: Vec<Model> = Vec::new();
    let (mut passes, mut hessians) = (0, 0);
    loop {
        let step = moved.len() as u32;
        engine.step(format_args!("train/shapes-{step}"));
        let own = model.as_ref().and_then(|all| all.get(me));
        let mut now = input.with_columns(own.map(Vec::as_slice))?;
        let label = label_words(me, now.rows, now.label.take())?;
        let name = format!("train/features-{step}");
        let mut run = Run::prepare(engine, &steps, now, label, &[], &name).await?;
        run.keeps_last = candidates.is_some();
        let before = passes;
        let attempt = settle(&mut run, engine, (&mut passes, &mut hessians), progress).await?;
        let model = model.get_or_insert_with(|| {
            let of = |(p, width): (usize, &usize)| (0..width - usize::from(p == 0)).collect();
            run.widths.iter().enumerate().map(of).collect()
        });
        let more = step < stepwise.most;
        if let Some(threshold) = stepwise.leave.filter(|_| more)
            && let Some((party, at)) = run.leaving(engine, &attempt, threshold, step + 1).await?
        {
            let column = model[party].remove(at);
            moved.push(Moved {
                party,
                column,
                enters: false,
            });
            continue;
        }
        if let (Some(candidates), Some(threshold)) = (&candidates, stepwise.enter)
            && more
            && !sought.contains(model)
        {
            sought.push(model.clone());
            let fit = (&run, &attempt);
            let enters = candidates.entering(engine, fit, model, threshold, step + 1);
            if let Some((party, column)) = enters.await? {
                let at = model[party].partition_point(|c| *c < column);
                model[party].insert(at, column);
                moved.push(Moved {
                    party,
                    column,
                    enters: true,
                });
                continue;
            }
        }
        run.spec.standard_errors = spec.standard_errors;
        let mut facts = run.facts(&attempt, hessians)?;
        facts.passes -= before;
        let fit = run.release(engine, &attempt, facts).await?;
        return Ok((fit, moved));
    }
}

fn wrong(e: fixed::DoesNotFit) -> Abort {
    Abort::Input(e.to_string())
}

/// The only place that is opened, or none.
fn only(opened: &[bool], path: &str, what: &str) -> Result<Option<usize>, Abort> {
    let mut places = (0..opened.len()).filter(|j| opened[*j]);
    let found = places.next();
    match places.next() {
        None => Ok(found),
        Some(_) => Err(Abort::OutOfRange {
            step: path.to_owned(),
            problem: format!("two columns {what}: a party does not follow the protocol"),
        }),
    }
}
