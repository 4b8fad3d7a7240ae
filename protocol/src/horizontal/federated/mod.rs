//! A network over all banks' rows by masked sums of the banks' updates.
//!
//! **Functionality.** Bank b holds rows X_b (standardised by the joint design) and labels. All banks learn the
//! parameters of one network, round by round, and on the way the sums below; the first parameters follow from the
//! job's contract. With a last layer of its own, a bank learns the other layers and keeps that one.
//!
//! **Each round** is one sum. A bank trains the joint model at home for some epochs and gives `n_b (w_b - w)` and n_b
//! (its rows, or 1), cut to a length if the job says so, and the loss of w on its validation rows. The mean update
//! is added to w ([`Rule::Mean`]: FedAvg, FedProx) or is a gradient for Adam ([`Rule::Adam`]: FedAdam), at every bank
//! alike. The round and w are part of the sum's purpose, so banks that differ in one bit are told apart.
//! Training ends when the joint validation loss has not fallen for some rounds; the best w is taken.
//!
//! **Some banks a round.** Banks may be in fixed groups, whose sums are opened one by one, and which may take turns; or
//! some are drawn for each round. Sums over sets that change are equations from which single updates follow as far
//! as a bank's updates resemble one another (So et al., 2021): the job says so to who approves it. What
//! the groups' sums are for: [`Robust::Votes`] and [`Robust::Median`] bear a bank that sends harmful updates.
//!
//! **What is learned.** The sums, by all banks; of a bank's update no more than the other banks of its group together
//! would add to what they know: at least two. The helper learns no sum. An update of few rows says much about
//! them. [`private`] puts noise into each sum instead, so that no single customer shows.
//!
//! **Proofs.** With [`Robust::Proved`] each bank proves on shares that its update is within the bound
//! ([`bounded_sum`](Client::bounded_sum)), for any number of banks from three: a bank that sends more is found, named and left
//! out; one within the bound moves the mean by at most `max_norm / n` a round. Banks count the same, because how
//! many rows a bank has cannot be proved, and there is no validation loss, because a wrong one would choose the model.
//!
//! **What bounds a harmful bank otherwise.** With [`Training::max_norm`] every honest bank cuts its update to that length, so a
//! group whose mean is longer holds a bank that does not: all banks see it and leave the group out. Below that
//! length a bank may send what it likes; votes and medians limit what comes of it as long as most groups, and
//! more than half of the voters, are honest. A single bank is named as one of its group and not closer.
//!
//! **Going on** where an aborted job stopped: the state between two rounds is kept through [`Course`]. A bank that was refused
//! is judged anew.
//!
//! **Precision.** Fixed point of 2^-(61 - log2 n - log2 N - 6); an update of 64 or more in one parameter is refused.
//!
//! **Source.** McMahan et al., AISTATS 2017 (FedAvg); Li et al., MLSys 2020 (FedProx); Reddi et al., ICLR 2021
//! (FedAdam); Arivazhagan et al., 2019 (own last layers); Yin et al., ICML 2018 (medians).

mod bank;
mod combine;
pub mod private;
mod state;

use std::sync::Arc;

use bytes::Bytes;
use ndarray::Array2;
use paripassu_model::mlp::{Adam, MlpError, Network, Optimiser, Step};

use super::{
    SumOf,
    course::Course,
    fixed::{Point, bits},
    secagg::{Client, Members},
    sum_by_groups,
};
use crate::{
    abort::Abort,
    arith::{Opening, Openings, Receivers},
    channel::Channel,
};
use bank::Bank;
use combine::{Group, Weighed};

/// How the mean update becomes a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// It is the step.
    Mean,
    /// Adam takes it for a gradient.
    Adam {
        /// Learning rate.
        rate: f64,
    },
}

/// What is done against harmful updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Robust {
    /// Nothing.
    No,
    /// A group counts if the model is better with it on the validation rows of more than half of the banks.
    Votes,
    /// The median of the groups' means, parameter by parameter.
    Median,
    /// Every bank proves that its update is no longer than [`Training::max_norm`] times the schedule's factor, and counts as
    /// much as any other; one that does not prove it is named and left out from there on.
    Proved,
}

/// How the banks' rate changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// It does not.
    Constant,
    /// It falls evenly to 0.
    Linear,
    /// It falls to 0 as half a cosine.
    Cosine,
}

impl Schedule {
    /// The factor of a round, from 1, of so many.
    pub fn factor(self, round: u32, rounds: u32) -> f64 {
        let done = f64::from(round.saturating_sub(1)) / f64::from(rounds.max(1));
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - done,
            Self::Cosine => (1.0 + (std::f64::consts::PI * done).cos()) / 2.0,
        }
    }
}

/// What is trained, and how.
#[derive(Debug, Clone)]
pub struct Training {
    /// The network.
    pub network: Network,
    /// Seeds the first parameters; public.
    pub start: [u8; 32],
    /// Most rounds.
    pub rounds: u32,
    /// A bank's work in a round; its batch is that over all banks, of which each takes its share by rows.
    pub step: Step,
    /// How its rate changes.
    pub schedule: Schedule,
    /// How it steps.
    pub optimiser: Optimiser,
    /// What becomes of the mean update.
    pub rule: Rule,
    /// Whether a bank counts by its rows.
    pub by_rows: bool,
    /// Whether each bank keeps its last layer.
    pub own_last_layer: bool,
    /// Rounds without a lower validation loss that end the training; 0: never.
    pub patience: u32,
    /// Positions of the banks of each group.
    pub groups: Vec<Vec<usize>>,
    /// How many of them take part in a round.
    pub groups_in_a_round: usize,
    /// Instead of groups, how many banks take part in a round: drawn for each from `start`, publicly.
    pub banks_in_a_round: Option<usize>,
    /// What is done against harmful updates.
    pub robust: Robust,
    /// Length to which a bank cuts its update.
    pub max_norm: Option<f64>,
}

/// A bank's rows.
#[derive(Debug, Clone)]
pub struct Rows {
    /// To train on, standardised by the joint design.
    pub x: Array2<f64>,
    /// 1 = bad.
    pub y: Vec<u8>,
    /// To watch the loss on.
    pub watch_x: Array2<f64>,
    /// Their labels.
    pub watch_y: Vec<u8>,
    /// Rows of all banks, of both kinds.
    pub all_rows: u64,
}

/// The trained network, the same at every bank but for a last layer of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Parameters, this bank's own last layer included.
    pub params: Vec<f64>,
    /// Rounds made.
    pub rounds: u32,
    /// Joint validation loss a row, before each round and after the last.
    pub losses: Vec<f64>,
    /// The round after which the parameters are taken; 0: the first ones.
    pub best: u32,
    /// Banks in the sums: fewest of any round.
    pub fewest_banks: usize,
    /// Fraction bits of the sums.
    pub frac: i32,
    /// For each group, rounds in which it was left out as harmful.
    pub left_out: Vec<u32>,
    /// Banks whose updates were longer than the bound, and that are in no sum from then on.
    pub refused: Vec<usize>,
    /// After how many rounds it went on from an aborted job; 0 where it did not.
    pub resumed: u32,
}

pub(super) fn own(e: impl std::fmt::Display) -> Abort {
    Abort::Input(e.to_string())
}

pub(super) fn trained(e: MlpError) -> Abort {
    match e {
        MlpError::Diverged { .. } => Abort::NotConverged {
            passes: 0,
            problem: format!("at this bank {e}"),
        },
        other => own(other),
    }
}

/// First parameters, from a public seed.
pub fn first_parameters(network: &Network, seed: &[u8; 32]) -> Vec<f64> {
    let mut hash = blake3::Hasher::new_derive_key("paripassu/v1 first parameters");
    hash.update(seed);
    let mut stream = hash.finalize_xof();
    network.initial(&mut || {
        let mut word = [0; 8];
        stream.fill(&mut word);
        u64::from_le_bytes(word)
    })
}

/// Words for the order of rows, from the operating system.
///
/// # Errors
/// When it gives no randomness.
pub fn fresh_draws() -> Result<impl FnMut() -> u64 + Send, Abort> {
    let seed = paripassu_crypto::masking::fresh().map_err(own)?;
    let prg = paripassu_crypto::prg::Prg::new(&seed);
    let (mut position, mut words) = (0, Vec::new());
    Ok(move || {
        if let Some(word) = words.pop() {
            return word;
        }
        words = vec![0; 1024];
        prg.fill(
            paripassu_crypto::prg::Label::request(0, 0),
            position,
            &mut words,
        );
        position += 1024;
        words.pop().unwrap_or_default()
    })
}

/// Names the round and the model: banks with another model ask for another sum.
pub(super) fn purpose(what: &str, round: u32, params: &[f64]) -> String {
    let mut hash = blake3::Hasher::new();
    for w in params {
        hash.update(&w.to_bits().to_le_bytes());
    }
    format!("{what} {round} at {}", hash.finalize().to_hex())
}

/// Beside the root of the second moment of the joint step.
const DAMP: f64 = 1e-6;

/// Largest magnitude of one parameter's update, as a power of two.
const UPDATE: i32 = 6;

/// Trains. `course` is told of each round, and of the most there may be.
///
/// # Leakage
/// Weighted sums of updates by group and the joint validation loss at each round, to all banks: declared as
/// [`SumOf::Updates`]; with [`Robust::Votes`] each bank's votes, to all banks: [`SumOf::Votes`].
///
/// # Errors
/// A loss that is no number; an update that does not fit; no group that keeps to the job; those of sums.
pub async fn fit<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    training: &Training,
    rows: Rows,
    course: &mut dyn Course,
) -> Result<Fit, Abort> {
    rounds(client, ledger, training, (rows, None), course).await
}

/// [`fit`] at a bank that multiplies its update by `harm` after it is cut, and checks nothing: for tests.
///
/// # Errors
/// As [`fit`].
#[cfg(any(test, feature = "test-util"))]
pub async fn fit_harmfully<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    training: &Training,
    rows: Rows,
    harm: f64,
) -> Result<Fit, Abort> {
    rounds(client, ledger, training, (rows, Some(harm)), &mut |_, _| {}).await
}

async fn rounds<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    training: &Training,
    (rows, harm): (Rows, Option<f64>),
    course: &mut dyn Course,
) -> Result<Fit, Abort> {
    let kept = course.from();
    let all = first_parameters(&training.network, &training.start);
    let own_layer = match training.own_last_layer {
        true => training.network.last_layer(),
        false => 0,
    };
    let shared = all.len() - own_layer;
    let mut joint = all[..shared].to_vec();
    let mut bank = Bank {
        training,
        me: client.position(),
        shared,
        local: None,
        head: all[shared..].to_vec(),
        rows: Arc::new(rows),
        harm,
    };
    let clients = client.clients();
    let point = Point::for_sums_up_to(bits(bank.rows.all_rows) + UPDATE, clients);
    let mut server = match training.rule {
        Rule::Mean => None,
        Rule::Adam { .. } => Some(Adam::new(shared)),
    };
    let mut weighed = Weighed::default();
    let mut fit = Fit {
        params: Vec::new(),
        rounds: 0,
        losses: Vec::new(),
        best: 0,
        fewest_banks: clients,
        frac: point.frac,
        left_out: vec![0; training.groups.len()],
        refused: Vec::new(),
        resumed: 0,
    };
    let mut best = (f64::INFINITY, Vec::new());
    if let Some(state) = &kept {
        let progress = state::read(state, (&fit, &bank), server.is_some())?;
        fit = progress.fit;
        (joint, server, best) = (progress.joint, progress.server, progress.best);
        (weighed, bank.head, bank.local) = (progress.weighed, progress.head, progress.local);
    }
    let watching = training.patience > 0;
    for round in fit.resumed + 1..=training.rounds + 1 {
        let last = round > training.rounds;
        if last && !watching {
            break;
        }
        if round > fit.resumed + 1 && course.keeps() {
            let done = state::write(round - 1, &fit, (&joint, &server), &best, &weighed, &bank);
            course.keep(done).await?;
        }
        if !last {
            course.progress(round, training.rounds);
        }
        let drawn = training
            .banks_in_a_round
            .map(|many| vec![drawn(training, round, clients, many)]);
        let all_groups = drawn.as_ref().unwrap_or(&training.groups);
        let turn = match (last, &drawn) {
            (true, _) => Vec::new(),
            (_, Some(_)) => vec![0],
            (_, None) => turn(training, round),
        };
        if training.robust == Robust::Proved {
            let step = bank
                .proved_round(client, ledger, &joint, round, &mut fit)
                .await?;
            step_along(&mut joint, &step, training, &mut server, round);
            fit.rounds = round;
            continue;
        }
        let loss = bank.watched(&joint).await?;
        let head = bank.head.clone();
        let mut values = Vec::with_capacity(turn.len() * (shared + 1) + 2);
        let size = training.banks_in_a_round.unwrap_or(clients);
        for group in &turn {
            if !all_groups[*group].contains(&bank.me) {
                values.extend(std::iter::repeat_n(0, shared + 1));
                continue;
            }
            let update = bank.update(&joint, round).await?;
            let weight = bank.weight();
            for u in update {
                let what = || "an update of the network: take a lower rate; it";
                values.push(point.encode(u * weight as f64, clients, || what().to_owned())?);
            }
            values.push(weight);
        }
        values.push(point.encode(loss, clients, || "the validation loss".into())?);
        values.push(bank.rows.watch_y.len() as u64);
        let members: Vec<Members> = turn
            .iter()
            .map(|group| all_groups[*group].iter().copied().collect())
            .collect();
        let named = purpose("updates", round, &joint);
        let got = sum_by_groups(client, ledger, SumOf::Updates, &named, values, &members).await?;
        fit.fewest_banks = fit.fewest_banks.min(got.members.count()).min(size);

        // the loss is that of the model before this round
        let (parts, tail) = got.words.split_at(got.words.len().saturating_sub(2));
        let [loss, watched] = tail else {
            return Err(own("a sum without its tail"));
        };
        let loss = point.decode(*loss) / (*watched).max(1) as f64;
        if *watched > 0 {
            fit.losses.push(loss);
            if loss < best.0 {
                best = (loss, joint.iter().chain(&head).copied().collect());
                fit.best = round - 1;
            } else if watching && round - 1 - fit.best >= training.patience {
                break;
            }
        }
        if last {
            break;
        }
        let groups = combine::groups(
            parts,
            &turn,
            &members,
            got.members,
            point,
            training.max_norm,
            &mut weighed,
        )?;
        for group in groups.iter().filter(|group| group.too_long) {
            fit.left_out[group.number] += 1;
            tracing::warn!(
                group = group.number,
                round,
                "its mean update is longer than the job allows"
            );
        }
        let sound: Vec<Group> = groups.into_iter().filter(|group| !group.too_long).collect();
        let chosen = match training.robust {
            Robust::Votes => {
                let taken = votes(client, ledger, &bank, &joint, &sound, round).await?;
                for group in sound.iter().filter(|group| !taken.contains(&group.number)) {
                    fit.left_out[group.number] += 1;
                    tracing::warn!(
                        group = group.number,
                        round,
                        "most banks find the model worse with its update"
                    );
                }
                sound
                    .into_iter()
                    .filter(|group| taken.contains(&group.number))
                    .collect()
            }
            _ => sound,
        };
        if let Some(step) = combine::combined(&chosen, training.robust) {
            step_along(&mut joint, &step, training, &mut server, round);
        }
        fit.rounds = round;
    }
    harmful(training, &fit)?;
    fit.params = match best.1.is_empty() || !watching {
        true => {
            fit.best = fit.rounds;
            bank.whole(&joint)
        }
        false => best.1,
    };
    Ok(fit)
}

/// Moves the joint parameters.
fn step_along(
    joint: &mut [f64],
    step: &[f64],
    training: &Training,
    server: &mut Option<Adam>,
    round: u32,
) {
    match (server, training.rule) {
        (Some(adam), Rule::Adam { rate }) => {
            let against: Vec<f64> = step.iter().map(|u| -u).collect();
            let rate = rate * training.schedule.factor(round, training.rounds);
            adam.step(joint, &against, rate, DAMP);
        }
        _ => joint.iter_mut().zip(step).for_each(|(w, u)| *w += u),
    }
}

/// Nothing was learned where every round of every group was left out.
fn harmful(training: &Training, fit: &Fit) -> Result<(), Abort> {
    let turns = fit.rounds as usize * training.groups_in_a_round.min(training.groups.len());
    let out: u32 = fit.left_out.iter().sum();
    match fit.rounds > 0 && out as usize >= turns {
        true => Err(Abort::NotConverged {
            passes: fit.rounds,
            problem: "in every round every group's update was left out as harmful: a bank in each \
                      group sends updates that are too long or make the model worse. Nothing was \
                      released: form other groups, or run without one bank at a time"
                .into(),
        }),
        false => Ok(()),
    }
}

/// The groups of a round, which take turns.
fn turn(training: &Training, round: u32) -> Vec<usize> {
    let all = training.groups.len();
    let many = training.groups_in_a_round.clamp(1, all.max(1));
    let first = (round as usize - 1) * many;
    let mut turn: Vec<usize> = (first..first + many).map(|i| i % all.max(1)).collect();
    turn.sort_unstable();
    turn.dedup();
    turn
}

/// The banks of a round, drawn without replacement.
fn drawn(training: &Training, round: u32, banks: usize, many: usize) -> Vec<usize> {
    let mut hash = blake3::Hasher::new_derive_key("paripassu/v1 banks of a round");
    hash.update(&training.start);
    hash.update(&round.to_le_bytes());
    let mut stream = hash.finalize_xof();
    let mut left: Vec<usize> = (0..banks).collect();
    let mut out: Vec<usize> = (0..many.min(banks))
        .map(|_| {
            let mut word = [0; 8];
            stream.fill(&mut word);
            // below 200 of 2^64: uniform to within 2^-56
            left.swap_remove((u64::from_le_bytes(word) % left.len() as u64) as usize)
        })
        .collect();
    out.sort_unstable();
    out
}

/// Which groups more than half of the banks find helpful on their validation rows.
async fn votes<C: Channel>(
    client: &Client<C>,
    ledger: &mut dyn Openings,
    bank: &Bank<'_>,
    joint: &[f64],
    groups: &[Group],
    round: u32,
) -> Result<Vec<usize>, Abort> {
    let now = bank.watched(joint).await?;
    // a step may cost a little on few rows: only clear harm counts
    let most = now + 0.01 * bank.rows.watch_y.len() as f64;
    let mut ballot = Vec::with_capacity(groups.len());
    for group in groups {
        let moved: Vec<f64> = joint.iter().zip(&group.mean).map(|(w, u)| w + u).collect();
        let after = bank.watched(&moved).await?;
        ballot.push(u8::from(bank.rows.watch_y.is_empty() || after <= most));
    }
    ledger.record(Opening::Sum(SumOf::Votes), Receivers::All, ballot.len())?;
    let got = client
        .tell_all("votes", round, Bytes::from(ballot.clone()))
        .await?;
    let mut yes: Vec<usize> = ballot.iter().map(|b| usize::from(*b)).collect();
    for (from, body) in got {
        if body.len() != groups.len() || body.iter().any(|b| *b > 1) {
            return Err(Abort::Malformed {
                from,
                step: format!("votes/{round}"),
                problem: format!("expected {} votes of 0 or 1", groups.len()),
            });
        }
        yes.iter_mut()
            .zip(&body)
            .for_each(|(y, b)| *y += usize::from(*b));
    }
    let banks = client.clients();
    let taken = groups.iter().zip(yes).filter(|(_, yes)| 2 * yes > banks);
    Ok(taken.map(|(group, _)| group.number).collect())
}

#[cfg(test)]
mod tests;
