//! What one role's whole view of a training run gives away: nothing that was not declared to be opened.
//!
//! Two attackers that know everything the protocol sends and receives at a party. One tells apart two data
//! sets of the other party, one guesses labels row by row. Both learn on one half and are judged on the other; on
//! a build that opens what must stay shared both succeed, so that a failure of theirs says something.

use super::*;
use crate::{
    arith::{Engine, Receivers},
    channel::Channel,
    testing::dealt::AllowAll,
    vertical::logistic::Method,
};
use paripassu_crypto::{
    prg::{Label, Prg},
    share::Shares,
};
use paripassu_model::metrics::Scored;

/// What a build that leaks opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vertical) enum Spill {
    Nothing,
    Residual,
    Gradient,
}

tokio::task_local! {
    static SPILL: Spill;
}

/// Opens `shares` to all where the present run leaks them.
pub(in crate::vertical) async fn spill<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    what: Spill,
    shares: &Shares,
) -> Result<(), Abort> {
    if SPILL.try_with(|s| *s == what).unwrap_or(false) {
        let copy = Shares::new(shares.words().to_vec(), shares.frac());
        engine.open(copy, Opening::Scores, Receivers::All).await?;
    }
    Ok(())
}

/// Runs `f` as a build that leaks does.
pub(in crate::vertical) fn leaking<F: Future>(
    leak: Spill,
    f: F,
) -> impl Future<Output = F::Output> {
    SPILL.scope(leak, f)
}

/// What a party sent and received under one tag, in the order of a list that is the same in every run.
pub(in crate::vertical) struct Seen {
    from: Role,
    pub(in crate::vertical) tag: String,
    received: bytes::Bytes,
    /// What it sent there itself, where that is as long.
    sent: Option<bytes::Bytes>,
}

/// Party `p`'s seed in run `run`.
pub(in crate::vertical) fn seed(run: u32, p: u8) -> [u8; 32] {
    let words = Prg::new(&[77; 32]).words(Label::request(run, p), 4);
    let mut out = [0; 32];
    out.chunks_exact_mut(8)
        .zip(words)
        .for_each(|(o, w)| o.copy_from_slice(&w.to_le_bytes()));
    out
}

/// So many passes of a method. Accelerated ones settle later: what the one bit at the end says is made to be yes.
fn spec_of(method: Method) -> LogisticSpec {
    let (passes, tolerance) = match method {
        Method::Newton => (6, LogisticSpec::default().tolerance),
        Method::Accelerated => (12, 64.0),
    };
    LogisticSpec {
        method,
        tolerance,
        stop: Stop::After(passes),
        ..LogisticSpec::default()
    }
}

/// Trains, and keeps party `me`'s view. `run` decides all randomness.
async fn view(
    s: &Sample,
    own: usize,
    me: u8,
    (method, run): (Method, u32),
    leak: Spill,
) -> Vec<Seen> {
    let world = World::new(2);
    let seed = move |p: u8| seed(run, p);
    let (rows, y) = (s.y.len(), s.y.clone());
    let parts = [columns(s, 0, own), columns(s, own, s.d)];
    let wide = [own, s.d - own];
    let spec = spec_of(method);
    let fits = world
        .run(
            move |p, ctx| {
                let input = LogisticInput {
                    x: parts[p].clone(),
                    cols: wide[p],
                    rows,
                    label: (p == 0).then(|| y.clone()),
                    row_weights: None,
                    offset: None,
                    signs: Vec::new(),
                };
                let spec = spec.clone();
                SPILL.scope(leak, async move {
                    let source = HelperSource::new(&ctx, &seed(p as u8))?;
                    let ledger = Box::new(AllowAll::default());
                    let mut e = Engine::new(&ctx, source, ledger)?;
                    let fit = train(&mut e, &spec, input, &mut |_, _, _| {}).await?;
                    e.source_mut().done().await?;
                    Ok(fit)
                })
            },
            move |ctx| async move { deal(&ctx, &[seed(0), seed(1)]).await.map(drop) },
        )
        .await;
    fits.into_iter().for_each(|f| drop(f.unwrap()));
    seen_by(&world, me)
}

/// All that party `me` has received, and what it sent there itself.
pub(in crate::vertical) fn seen_by(world: &World, me: u8) -> Vec<Seen> {
    let log = world.log();
    let here = Role::Party(me);
    let mut seen: Vec<Seen> = log
        .iter()
        .filter(|(_, to, _, _)| *to == here)
        .map(|(from, _, tag, received)| Seen {
            from: *from,
            tag: tag.clone(),
            received: received.clone(),
            sent: log
                .iter()
                .find(|(f, to, t, b)| {
                    *f == here && to == from && t == tag && b.len() == received.len()
                })
                .map(|(_, _, _, b)| b.clone()),
        })
        .collect();
    // two senders' messages may arrive in either order; a sender's own keep theirs
    seen.sort_by(|a, b| (a.from, &a.tag).cmp(&(b.from, &b.tag)));
    seen
}

/// Who sent how much under which tag.
pub(in crate::vertical) fn shape(view: &[Seen]) -> Vec<(Role, String, usize)> {
    view.iter()
        .map(|s| (s.from, s.tag.clone(), s.received.len()))
        .collect()
}

/// Words of eight, five or four bytes, as numbers in [-1, 1).
fn numbers(bytes: &[u8], width: usize) -> Vec<f64> {
    let of = |c: &[u8]| match width {
        8 => c
            .try_into()
            .map(i64::from_le_bytes)
            .map_or(0.0, |w| w as f64 / 2f64.powi(63)),
        5 => {
            let mut word = [0; 8];
            word[3..].copy_from_slice(c);
            i64::from_le_bytes(word) as f64 / 2f64.powi(63)
        }
        _ => c
            .try_into()
            .map(i32::from_le_bytes)
            .map_or(0.0, |w| f64::from(w) / 2f64.powi(31)),
    };
    bytes.chunks_exact(width).map(of).collect()
}

/// What was received, and with it what was sent: a sum of two shares is what they stand for, whose sign and size are
/// looked at apart because it lies in few bits.
pub(in crate::vertical) fn readings(seen: &Seen, width: usize) -> Vec<Vec<f64>> {
    let mut out = vec![numbers(&seen.received, width)];
    if let Some(sent) = &seen.sent {
        let both: Vec<u8> = match width {
            8 => sums::<8>(&seen.received, sent, |a, b| {
                u64::from_le_bytes(a)
                    .wrapping_add(u64::from_le_bytes(b))
                    .to_le_bytes()
            }),
            5 => sums::<5>(&seen.received, sent, |a, b| {
                let word = |c: [u8; 5]| c.iter().rev().fold(0u64, |w, b| w << 8 | u64::from(*b));
                let sum = word(a).wrapping_add(word(b)).to_le_bytes();
                [sum[0], sum[1], sum[2], sum[3], sum[4]]
            }),
            _ => sums::<4>(&seen.received, sent, |a, b| {
                u32::from_le_bytes(a)
                    .wrapping_add(u32::from_le_bytes(b))
                    .to_le_bytes()
            }),
        };
        let values = numbers(&both, width);
        out.push(values.iter().map(|v| v.signum()).collect());
        let size = |v: &f64| v.abs().max(f64::MIN_POSITIVE).ln();
        out.push(values.iter().map(size).collect());
    }
    out
}

fn sums<const N: usize>(a: &[u8], b: &[u8], add: impl Fn([u8; N], [u8; N]) -> [u8; N]) -> Vec<u8> {
    let (a, _) = a.as_chunks::<N>();
    let (b, _) = b.as_chunks::<N>();
    a.iter().zip(b).flat_map(|(a, b)| add(*a, *b)).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0.0, 0.0), |(n, s), v| (n + 1.0, s + v));
    if n > 0.0 { sum / n } else { 0.0 }
}

/// How far two classes lie apart in a feature, in its deviations, and its mean and deviation.
fn apart(feature: &[f64], class: &[bool]) -> (f64, f64, f64) {
    let all = mean(feature.iter().copied());
    let sd = mean(feature.iter().map(|v| (v - all).powi(2))).sqrt();
    let of = |c: bool| {
        let rows = feature.iter().zip(class).filter(move |(_, k)| **k == c);
        mean(rows.map(|(v, _)| *v))
    };
    match sd > 0.0 {
        true => ((of(true) - of(false)) / sd, all, sd),
        false => (0.0, all, 1.0),
    }
}

/// Scores of the cases from `half` on by the eight features that part those before it best.
pub(in crate::vertical) fn attack(features: &[Vec<f64>], class: &[bool], half: usize) -> Vec<f64> {
    let mut best: Vec<(f64, f64, f64, &Vec<f64>)> = features
        .iter()
        .map(|f| {
            let (gap, mean, sd) = apart(&f[..half], &class[..half]);
            (gap, mean, sd, f)
        })
        .collect();
    best.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
    let score = |i: usize| {
        best.iter()
            .take(8)
            .map(|(g, m, sd, f)| g * (f[i] - m) / sd)
            .sum()
    };
    (half..class.len()).map(score).collect()
}

/// Means of the words of each message, of their sizes, signs and lowest bits.
pub(in crate::vertical) fn of_a_run(view: &[Seen]) -> Vec<f64> {
    view.iter()
        .flat_map(|seen| {
            let mut out = Vec::new();
            for width in [8, 5, 4] {
                for values in readings(seen, width) {
                    out.push(mean(values.iter().copied()));
                    out.push(mean(values.iter().map(|v| v.abs())));
                    out.push(mean(values.iter().step_by(2).copied()));
                }
            }
            out.push(mean(
                seen.received.iter().step_by(8).map(|b| f64::from(b & 1)),
            ));
            out
        })
        .collect()
}

/// How often the bank tells which of two data sets its partner has, and in how many cases.
async fn told_apart(method: Method, runs: u32, leak: Spill) -> (f64, usize) {
    // the other data set is the partner's columns with other signs: what is opened to the bank is the same
    let first = sample(96, 4, 11);
    let mut other = sample(96, 4, 11);
    for row in other.x.chunks_exact_mut(4) {
        row[2] = -row[2];
        row[3] = -row[3];
    }
    let (mut features, mut class) = (Vec::new(), Vec::new());
    let mut first_shape = None;
    for run in 0..runs {
        let second = run.count_ones() % 2 == 1;
        let seen = view(
            if second { &other } else { &first },
            2,
            0,
            (method, run),
            leak,
        )
        .await;
        let now = shape(&seen);
        assert_eq!(
            *first_shape.get_or_insert_with(|| now.clone()),
            now,
            "run {run}"
        );
        features.push(of_a_run(&seen));
        class.push(second);
    }
    told(&features, &class)
}

/// How often the runs' class is told, learnt on one half of them, in how many cases of the other.
pub(in crate::vertical) fn told(features: &[Vec<f64>], class: &[bool]) -> (f64, usize) {
    let columns: Vec<Vec<f64>> = (0..features[0].len())
        .map(|j| features.iter().map(|f| f[j]).collect())
        .collect();
    let half = class.len() / 2;
    let right = attack(&columns, class, half)
        .iter()
        .zip(&class[half..])
        .filter(|(score, c)| (**score > 0.0) == **c)
        .count();
    let cases = class.len() - half;
    (right as f64 / cases as f64, cases)
}

#[tokio::test]
async fn a_banks_whole_view_does_not_tell_two_data_sets_of_its_partner_apart() {
    not_told_apart(Method::Newton).await;
}

#[tokio::test]
async fn nor_does_its_view_of_accelerated_steps() {
    not_told_apart(Method::Accelerated).await;
}

async fn not_told_apart(method: Method) {
    let (share, cases) = told_apart(method, 200, Spill::Nothing).await;
    let sigma = 0.5 / (cases as f64).sqrt();
    assert!((share - 0.5).abs() < 3.0 * sigma, "{share} of {cases}");
    let (share, _) = told_apart(method, 48, Spill::Gradient).await;
    assert!(share > 0.95, "an opened gradient is not seen: {share}");
}

/// Area under the curve of the guessed labels of half the rows, and its deviation for guesses at random.
async fn labels_guessed(method: Method, leak: Spill) -> (f64, f64) {
    let rows = 1200;
    // labels depend on the bank's columns, of which the partner's say nothing
    let mut s = sample(rows, 5, 29);
    let noise = sample(rows, 5, 31);
    for (row, other) in s.x.chunks_exact_mut(5).zip(noise.x.chunks_exact(5)) {
        row[2..].copy_from_slice(&other[2..]);
    }
    for (y, row) in s.y.iter_mut().zip(s.x.chunks_exact(5)) {
        *y = u8::from(row[0] + row[1] > 1.0);
    }
    // some at random, so that the classes can be parted by no line
    s.y.iter_mut().step_by(7).for_each(|y| *y ^= 1);
    let seen = view(&s, 2, 1, (method, 5000), leak).await;
    let mut features: Vec<Vec<f64>> = (2..5)
        .map(|j| s.x.iter().skip(j).step_by(5).copied().collect())
        .collect();
    for seen in &seen {
        for width in [8, 4] {
            for values in readings(seen, width) {
                let each = values.len() / rows;
                if each > 0 && values.len() % rows == 0 {
                    // by row and by column
                    for j in 0..each {
                        features.push(values.iter().skip(j).step_by(each).copied().collect());
                        features.push(values[j * rows..(j + 1) * rows].to_vec());
                    }
                }
            }
        }
    }
    assert!(features.len() > 100, "{} features", features.len());
    let class: Vec<bool> = s.y.iter().map(|y| *y == 1).collect();
    let half = rows / 2;
    auc(&attack(&features, &class, half), &class[half..])
}

/// The area under the curve of these guesses, and its deviation for guesses at random.
pub(in crate::vertical) fn auc(guesses: &[f64], class: &[bool]) -> (f64, f64) {
    let scores: Vec<f64> = guesses
        .iter()
        .map(|score| 1.0 / (1.0 + (-score).exp()))
        .collect();
    let truth: Vec<u8> = class.iter().map(|bad| u8::from(*bad)).collect();
    let auc = Scored::new(&truth, &scores).unwrap().auc().auc;
    let bads = truth.iter().filter(|y| **y == 1).count() as f64;
    let goods = truth.len() as f64 - bads;
    (auc, ((bads + goods + 1.0) / (12.0 * bads * goods)).sqrt())
}

#[tokio::test]
async fn a_feature_party_cannot_guess_labels_from_all_that_it_sees() {
    for method in [Method::Newton, Method::Accelerated] {
        let (auc, sigma) = labels_guessed(method, Spill::Nothing).await;
        assert!(
            (auc - 0.5).abs() < 3.0 * sigma,
            "{method:?}: {auc} ± {sigma}"
        );
        let (auc, _) = labels_guessed(method, Spill::Residual).await;
        assert!(
            auc > 0.95,
            "{method:?}: an opened residual is not seen: {auc}"
        );
    }
}
