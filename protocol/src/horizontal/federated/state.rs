//! What the training of a network holds between two rounds, and how it is kept.

use paripassu_model::mlp::{Adam, Local, Optimiser};
use zeroize::Zeroizing;

use super::{Bank, Fit, Weighed, own};
use crate::{
    abort::Abort,
    horizontal::course::{Reader, State, Writer},
};

/// What goes on.
pub(super) struct Progress {
    pub(super) fit: Fit,
    pub(super) joint: Vec<f64>,
    pub(super) server: Option<Adam>,
    pub(super) best: (f64, Vec<f64>),
    pub(super) weighed: Weighed,
    pub(super) head: Vec<f64>,
    pub(super) local: Option<Local>,
}

/// After `round` rounds.
pub(super) fn write(
    round: u32,
    fit: &Fit,
    (joint, server): (&[f64], &Option<Adam>),
    best: &(f64, Vec<f64>),
    weighed: &Weighed,
    bank: &Bank<'_>,
) -> State {
    let mut all = Writer::default();
    all.numbers(joint)
        .count(u64::from(fit.rounds))
        .count(u64::from(fit.best))
        .count(fit.fewest_banks as u64)
        .numbers(&fit.losses)
        .counts(fit.left_out.iter().map(|n| u64::from(*n)));
    moments(&mut all, server.as_ref());
    // the layer that stays at the bank stands behind the joint ones
    let (shared, head) = best.1.split_at(bank.shared.min(best.1.len()));
    all.number(best.0).numbers(shared);
    all.count(weighed.len() as u64);
    for ((group, there), weight) in weighed {
        all.count(*group as u64)
            .counts(there.iter().map(|bank| *bank as u64))
            .count(*weight);
    }
    let mut own = Writer::default();
    own.numbers(&bank.head).numbers(head);
    own.count(u64::from(bank.local.is_some()));
    if let Some(local) = &bank.local {
        let (adam, order) = local.kept();
        moments(&mut own, adam);
        own.counts(order.iter().map(|row| *row as u64));
    }
    State {
        round,
        joint: all.bytes(),
        own: Zeroizing::new(own.bytes()),
    }
}

/// Reads what [`write()`] wrote at this bank.
///
/// # Errors
/// A state of another kind of training, or of another network.
pub(super) fn read(
    state: &State,
    (fresh, bank): (&Fit, &Bank<'_>),
    adam: bool,
) -> Result<Progress, Abort> {
    let shared = bank.shared;
    let mut all = Reader::of(&state.joint);
    let joint = all.numbers(shared)?;
    let mut fit = Fit {
        resumed: state.round,
        rounds: all.small()?,
        best: all.small()?,
        fewest_banks: all.small()?,
        losses: all.any_numbers()?,
        ..fresh.clone()
    };
    fit.left_out = all
        .counts()?
        .into_iter()
        .map(|n| u32::try_from(n).map_err(own))
        .collect::<Result<_, _>>()?;
    let server = read_moments(&mut all, shared)?;
    if fit.left_out.len() != fresh.left_out.len() || server.is_some() != adam {
        return Err(Reader::wrong());
    }
    let (least, best) = (all.number()?, all.any_numbers()?);
    let mut weighed = Weighed::default();
    for _ in 0..all.small::<u16>()? {
        let group = all.small()?;
        let there = all.counts()?;
        let there = there
            .into_iter()
            .map(|bank| usize::try_from(bank).map_err(own));
        weighed.insert((group, there.collect::<Result<_, _>>()?), all.count()?);
    }
    all.end()?;
    let mut kept = Reader::of(&state.own);
    let head = kept.numbers(bank.head.len())?;
    let best_head = kept.any_numbers()?;
    let local = match kept.count()? {
        0 => None,
        _ => {
            let adam = read_moments(&mut kept, shared + head.len())?;
            if adam.is_some() != (bank.training.optimiser == Optimiser::Adam) {
                return Err(Reader::wrong());
            }
            let order = kept.counts()?;
            let order = order
                .into_iter()
                .map(|row| usize::try_from(row).map_err(own));
            let order = order.collect::<Result<_, _>>()?;
            Some(Local::resumed(adam, order, bank.rows.y.len()).map_err(own)?)
        }
    };
    kept.end()?;
    let best: Vec<f64> = best.into_iter().chain(best_head).collect();
    if !best.is_empty() && best.len() != shared + head.len() {
        return Err(Reader::wrong());
    }
    Ok(Progress {
        fit,
        joint,
        server,
        best: (least, best),
        weighed,
        head,
        local,
    })
}

fn moments(to: &mut Writer, adam: Option<&Adam>) {
    to.count(u64::from(adam.is_some()));
    if let Some(adam) = adam {
        let (steps, first, second) = adam.moments();
        to.count(u64::from(steps.unsigned_abs()))
            .numbers(first)
            .numbers(second);
    }
}

fn read_moments(from: &mut Reader<'_>, parameters: usize) -> Result<Option<Adam>, Abort> {
    if from.count()? == 0 {
        return Ok(None);
    }
    let steps = from.small()?;
    let (first, second) = (from.numbers(parameters)?, from.numbers(parameters)?);
    Adam::resumed(steps, first, second).map(Some).map_err(own)
}

/// The state of a training with noise.
pub(super) fn write_private(
    round: u32,
    params: &[f64],
    adam: Option<&Adam>,
    fewest: usize,
) -> State {
    let mut all = Writer::default();
    all.numbers(params).count(fewest as u64);
    moments(&mut all, adam);
    State {
        round,
        joint: all.bytes(),
        own: Zeroizing::default(),
    }
}

/// Reads what [`write_private`] wrote: parameters, moments, fewest banks.
///
/// # Errors
/// A state of another kind of training, or of another network.
pub(super) fn read_private(
    state: &State,
    parameters: usize,
    with_adam: bool,
) -> Result<(Vec<f64>, Option<Adam>, usize), Abort> {
    let mut all = Reader::of(&state.joint);
    let params = all.numbers(parameters)?;
    let fewest = all.small()?;
    let adam = read_moments(&mut all, parameters)?;
    all.end()?;
    match adam.is_some() == with_adam {
        true => Ok((params, adam, fewest)),
        false => Err(Reader::wrong()),
    }
}
