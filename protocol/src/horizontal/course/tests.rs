//! Fits that are ended in the middle and go on: the end is the same, and nothing random is used twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use ndarray::Array2;
use paripassu_model::mlp::{Network, Optimiser, Step, test_draws};

use super::*;
use crate::{
    channel::{Role, Tag},
    horizontal::{
        federated::{self, Robust, Rule, Schedule, Training, private},
        newton::{self, Begin, NewtonSpec},
        secagg::{Params, serve},
    },
    testing::{Intercept, World, dealt::AllowAll},
};

const BANKS: usize = 4;
const ROWS: usize = 160;

type Held = BTreeMap<u32, State>;

/// What a bank kept, and the rounds that it made.
type Noted = (Held, Vec<u32>);

/// A bank that keeps every state.
#[derive(Default)]
struct Notes {
    from: Option<State>,
    kept: Arc<Mutex<Held>>,
    rounds: Vec<u32>,
}

impl Course for Notes {
    fn progress(&mut self, round: u32, _: u32) {
        self.rounds.push(round);
    }

    fn keep(&mut self, state: State) -> Kept<'_> {
        self.kept.lock().unwrap().insert(state.round, state);
        Box::pin(async { Ok(()) })
    }

    fn keeps(&self) -> bool {
        true
    }

    fn from(&mut self) -> Option<State> {
        self.from.take()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Newton,
    OwnIntercepts,
    Network,
    OwnLayer,
    Noise,
}

fn rows(bank: usize) -> (Array2<f64>, Vec<u8>) {
    let mut draw = test_draws(bank as u64 * 77 + 5);
    let mut unit = move || (draw() >> 11) as f64 * 2f64.powi(-52) - 1.0;
    let x = Array2::from_shape_fn((ROWS, 3), |_| 1.5 * unit());
    let y = (0..ROWS).map(|i| u8::from(x[[i, 0]] - x[[i, 1]] + 1.2 * x[[i, 2]] * x[[i, 0]] > 0.3));
    let y = y.collect();
    (x, y)
}

/// Parameters at the end, of one bank; the intercept last, where there is one.
async fn fit<C: Channel>(
    client: &mut Client<C>,
    kind: Kind,
    course: &mut dyn Course,
) -> Result<Vec<f64>, Abort> {
    let mut ledger = AllowAll::default();
    let (x, y) = rows(client.position());
    let all_rows = (BANKS * ROWS) as u64;
    match kind {
        Kind::Newton | Kind::OwnIntercepts => {
            let spec = NewtonSpec {
                l2: 1.0,
                l1: 0.0,
                tolerance: 1e-9,
                max_passes: 20,
                own_intercepts: kind == Kind::OwnIntercepts,
                begin: match kind {
                    Kind::Newton => Begin::OwnModels,
                    _ => Begin::Zero,
                },
            };
            let rows = newton::Rows {
                x: x.iter().copied().collect(),
                columns: ["a", "b", "c"].map(String::from).to_vec(),
                labels: y,
                weights: None,
                offset: None,
                all_rows,
                weight_exponent: 0,
            };
            let fit = newton::fit(client, &mut ledger, &spec, rows, course).await?;
            Ok([fit.coefficients, vec![fit.intercept]].concat())
        }
        Kind::Network | Kind::OwnLayer => {
            let spec = Training {
                network: Network::new(3, &[5]),
                start: [1; 32],
                rounds: 6,
                step: Step {
                    epochs: 2,
                    // one batch: the order of its rows changes nothing
                    batch: BANKS * ROWS,
                    rate: 0.02,
                    ..Step::default()
                },
                schedule: Schedule::Cosine,
                optimiser: Optimiser::Adam,
                rule: match kind {
                    Kind::Network => Rule::Adam { rate: 0.05 },
                    _ => Rule::Mean,
                },
                by_rows: true,
                own_last_layer: kind == Kind::OwnLayer,
                patience: 3,
                groups: vec![(0..BANKS).collect()],
                groups_in_a_round: 1,
                banks_in_a_round: None,
                robust: Robust::No,
                max_norm: None,
            };
            let (watch_x, watch_y) = rows(client.position() + 50);
            let rows = federated::Rows {
                x,
                y,
                watch_x,
                watch_y,
                all_rows,
            };
            let fit = federated::fit(client, &mut ledger, &spec, rows, course).await?;
            Ok(fit.params)
        }
        Kind::Noise => {
            let spec = private::PrivateTraining {
                network: Network::new(3, &[]),
                start: [1; 32],
                rounds: 6,
                rate: 0.1,
                schedule: Schedule::Constant,
                optimiser: Optimiser::Adam,
                l2: 1.0,
                sampling: 1.0,
                clip: 1.0,
                noise: 1.0,
                honest: 2,
                rows: all_rows,
            };
            let fit = private::fit(client, &mut ledger, &spec, x, y, course).await?;
            Ok(fit.params)
        }
    }
}

type Sent = Arc<Mutex<BTreeSet<Vec<u8>>>>;

/// All banks; from sum `lost_at` on nothing of the adder's arrives. What each held before is agreed on.
async fn run(
    kind: Kind,
    context: u8,
    lost_at: Option<u32>,
    held: Vec<Held>,
    sent: &Sent,
) -> Vec<(Result<Vec<f64>, Abort>, Held, Vec<u32>)> {
    let mut params = Params::new(BANKS, None, [context; 32], Duration::from_secs(60)).unwrap();
    params.patience = Duration::from_millis(400);
    let wait = Duration::from_secs(if lost_at.is_some() { 3 } else { 60 });
    let log = sent.clone();
    let world = World::new(BANKS as u8).with_deadline(wait).with_attack(
        move |from: Role, _: Role, tag: &Tag, body: &Bytes| {
            let mut path = tag.as_str().split('/').skip(1);
            let sum: Option<u32> = path.next().and_then(|sum| sum.parse().ok());
            if matches!(path.next(), Some("keys" | "shares" | "masked")) {
                log.lock().unwrap().insert(body.to_vec());
            }
            let lost =
                from == Role::Helper && lost_at.is_some_and(|at| sum.is_some_and(|s| s >= at));
            match lost {
                true => Intercept::Drop,
                false => Intercept::Pass,
            }
        },
    );
    let served = params.clone();
    let held = Arc::new(held);
    let notes: Arc<Mutex<Vec<Noted>>> = Arc::new(Mutex::new(vec![Default::default(); BANKS]));
    let results = world
        .run(
            |me, ctx| {
                let (params, held, notes) = (params.clone(), held.clone(), notes.clone());
                async move {
                    let root = |p: usize| {
                        let mut root = [context; 32];
                        (root[0], root[1]) = (me.min(p) as u8, me.max(p) as u8);
                        Zeroizing::new(root)
                    };
                    let roots = (0..BANKS).map(root).collect();
                    let mut client = Client::join(&ctx, params, roots).await?;
                    let mut mine = Notes::default();
                    let before = held.get(me).cloned().unwrap_or_default();
                    if !held.is_empty() {
                        let digests: Vec<_> =
                            before.values().map(|s| (s.round, s.digest())).collect();
                        let mut ledger = AllowAll::default();
                        let agreed = agree(&client, &mut ledger, &digests).await?;
                        mine.from = agreed.and_then(|round| before.get(&round).cloned());
                    }
                    let ended = fit(&mut client, kind, &mut mine).await;
                    let kept = mine.kept.lock().unwrap().clone();
                    notes.lock().unwrap()[me] = (kept, mine.rounds);
                    let ended = ended?;
                    client.done().await?;
                    Ok(ended)
                }
            },
            |ctx| async move { serve(&ctx, &served).await.map(drop) },
        )
        .await;
    let notes = notes.lock().unwrap().clone();
    let all = results.into_iter().zip(notes);
    all.map(|(ended, (kept, rounds))| (ended, kept, rounds))
        .collect()
}

/// A fit that nobody ends beside one that is ended and goes on.
async fn goes_on(kind: Kind) {
    let sent = Sent::default();
    let whole = run(kind, 1, None, Vec::new(), &sent);
    let ended = run(kind, 2, Some(3), Vec::new(), &sent);
    let (whole, ended) = tokio::join!(whole, ended);
    assert!(ended.iter().all(|(r, ..)| r.is_err()), "{kind:?}");
    // one bank's disk lacks its last state, another's is of other bits: all go on from the one before
    let mut held: Vec<Held> = ended.into_iter().map(|(_, kept, _)| kept).collect();
    let last = *held[0].keys().last().unwrap();
    assert!(
        held.iter()
            .all(|h| h.contains_key(&last) && h.contains_key(&(last - 1)))
    );
    held[1].remove(&last);
    held[2].get_mut(&last).unwrap().joint[8] ^= 1;
    let on = run(kind, 3, None, held, &sent).await;
    for ((want, ..), (got, _, rounds)) in whole.iter().zip(&on) {
        let (want, got) = (want.as_ref().unwrap(), got.as_ref().unwrap());
        assert_eq!(
            rounds[0], last,
            "{kind:?}: begins at the round after the agreed one"
        );
        match kind {
            Kind::Newton | Kind::OwnIntercepts => assert_eq!(got, want, "{kind:?}"),
            // the order of rows is drawn afresh: other rounding
            Kind::Network | Kind::OwnLayer => {
                assert!(
                    got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9),
                    "{kind:?}"
                );
            }
            // noise is fresh: the same model it is not
            Kind::Noise => assert_ne!(got, want),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fit_that_is_ended_goes_on_and_lands_where_it_would_have() {
    let kinds = [
        Kind::Newton,
        Kind::OwnIntercepts,
        Kind::Network,
        Kind::OwnLayer,
        Kind::Noise,
    ];
    futures_util::future::join_all(kinds.map(goes_on)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_share_or_masked_vector_of_an_ended_fit_is_sent_again() {
    let (first, second) = (Sent::default(), Sent::default());
    let ended = run(Kind::Newton, 1, Some(3), Vec::new(), &first).await;
    let held = ended.into_iter().map(|(_, kept, _)| kept).collect();
    let on = run(Kind::Newton, 2, None, held, &second).await;
    assert!(on.iter().all(|(r, ..)| r.is_ok()));
    let (first, second) = (first.lock().unwrap(), second.lock().unwrap());
    assert!(first.len() >= 3 * BANKS && second.len() >= 3 * BANKS);
    let pieces = |all: &BTreeSet<Vec<u8>>| -> BTreeSet<Vec<u8>> {
        all.iter()
            .flat_map(|m| m.windows(16).map(<[u8]>::to_vec))
            .collect()
    };
    let (first, second) = (pieces(&first), pieces(&second));
    // what a point's purpose and length say is the same for the same point: no other 16 bytes are
    let same: Vec<_> = first
        .intersection(&second)
        .filter(|p| p.iter().any(|b| *b != 0))
        .collect();
    assert!(same.len() <= 60, "{} pieces are the same", same.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_held_by_all_training_begins_anew_and_another_kind_of_state_is_refused() {
    let sent = Sent::default();
    let whole = run(Kind::Newton, 1, None, Vec::new(), &sent).await;
    let mut held: Vec<Held> = whole.iter().map(|(_, kept, _)| kept.clone()).collect();
    let other = held.clone();
    held[3].clear();
    let anew = run(Kind::Newton, 2, None, held, &sent).await;
    for ((a, ..), (b, _, rounds)) in whole.iter().zip(&anew) {
        assert_eq!(a.as_ref().unwrap(), b.as_ref().unwrap());
        assert_eq!(rounds[0], 1);
    }
    for (ended, ..) in run(Kind::Network, 3, None, other, &sent).await {
        let error = ended.unwrap_err().to_string();
        assert!(error.contains("of another kind"), "{error}");
    }
}

#[test]
fn a_state_reads_as_it_was_written_and_no_part_of_it_does() {
    let mut writer = Writer::default();
    writer
        .count(3)
        .numbers(&[0.1, f64::INFINITY, -0.0])
        .counts([7, 8].into_iter())
        .number(2.5);
    let bytes = writer.bytes();
    let read = |bytes: &[u8]| -> Result<_, Abort> {
        let mut reader = Reader::of(bytes);
        let of = (
            reader.small::<u32>()?,
            reader.numbers(3)?,
            reader.counts()?,
            reader.number()?,
        );
        reader.end().map(|()| of)
    };
    let (n, numbers, counts, x) = read(&bytes).unwrap();
    assert_eq!((n, counts, x), (3, vec![7, 8], 2.5));
    assert_eq!(numbers[2].to_bits(), (-0.0f64).to_bits());
    for cut in 0..bytes.len() {
        assert!(read(&bytes[..cut]).is_err());
    }
    let mut long = bytes.clone();
    long.push(0);
    assert!(read(&long).is_err());
    // a length beyond what is there takes no memory
    let mut wrong = bytes;
    wrong[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(read(&wrong).is_err());
}

#[test]
fn lists_of_rounds_are_whole_and_short() {
    let entry = |n: u8| [&[n, 0, 0, 0][..], &[n; 32]].concat();
    let body = Bytes::from([entry(1), entry(2)].concat());
    assert_eq!(held::read(&body).unwrap(), [(1, [1; 32]), (2, [2; 32])]);
    assert!(held::read(&body.slice(..71)).is_none());
    let many = Bytes::from(entry(1).repeat(MOST_HELD + 1));
    assert!(held::read(&many).is_none());
}
