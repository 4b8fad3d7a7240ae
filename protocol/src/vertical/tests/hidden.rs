//! Training on columns whose values nobody sees, and what an owner that makes up its bins learns of labels.

use paripassu_crypto::prg::{Label, Prg};
use paripassu_model::{
    binning::{self, Counts, Smoothing, WoeSign},
    logistic::{self, FitOptions, TrainingSet},
};

use super::{
    columns,
    leakage::{attack, readings, seen_by},
    sample,
};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Receivers},
    channel::{Channel, Role},
    codec,
    correlation::{CorrelationSource, HelperSource, deal},
    testing::{World, dealt::AllowAll},
    vertical::{
        bins::{self, Assigned},
        evidence::{self, Column, Given, Totals},
        hidden::{Hidden, HiddenColumns},
        logistic::{LogisticFit, LogisticInput, LogisticSpec, Stop, train_hidden},
    },
};

/// What becomes of the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They stay shared.
    Strict,
    /// The bank sees them and tells the owner weights of evidence.
    BankSees,
}

/// A job: the bank's columns and labels, others' bins, or columns as they are.
#[derive(Clone)]
struct Case {
    bank: (Vec<f64>, usize),
    y: Vec<u8>,
    others: Vec<Other>,
    spec: LogisticSpec,
    least_iv: f64,
}

#[derive(Clone)]
enum Other {
    Open(Vec<f64>, usize),
    Hidden(Assigned),
}

fn sizes(of: &Assigned) -> Vec<u64> {
    let mut all = Vec::new();
    for (column, bins) in of.columns.iter().zip(&of.bins) {
        let mut own = vec![0u64; *bins];
        column.iter().for_each(|b| own[*b as usize] += 1);
        all.extend(own);
    }
    all
}

/// Zeros and ones by bin, row-major.
fn ones(of: &Assigned, rows: usize) -> Vec<f64> {
    let wide = of.all();
    let mut out = vec![0.0; rows * wide];
    let mut at = 0;
    for (column, bins) in of.columns.iter().zip(&of.bins) {
        for (row, bin) in column.iter().enumerate() {
            out[row * wide + at + *bin as usize] = 1.0;
        }
        at += bins;
    }
    out
}

type Played = (Option<LogisticFit>, Option<Vec<f64>>);

async fn play<C: Channel, S: CorrelationSource>(
    e: &mut Engine<C, S>,
    case: &Case,
    mode: Mode,
) -> Result<Played, Abort> {
    let (me, rows) = (e.me(), case.y.len());
    let bad = case.y.iter().filter(|y| **y == 1).count() as u64;
    let totals = Totals {
        good: rows as u64 - bad,
        bad,
    };
    let mut owners = Vec::new();
    for (owner, other) in (1..).zip(&case.others) {
        let Other::Hidden(assigned) = other else {
            continue;
        };
        e.step(format_args!("train/bins-{owner}"));
        let mine = (me == owner).then_some(assigned);
        let label = (me == 0).then_some(&case.y[..]);
        let bads = bins::count(e, owner, rows, assigned.all(), mine, label).await?;
        let n = mine.map(sizes);
        let given = Given {
            owner,
            rows,
            sizes: n.as_deref(),
            totals: (me == 0).then_some(totals),
        };
        if mode == Mode::BankSees {
            let each: Vec<usize> = (0..assigned.all()).collect();
            let opened = bins::open(e, owner, &bads, &each).await?;
            let ctx = e.at_step().clone();
            // what a weight of evidence tells beside the rows of its bin
            if me == 0 {
                ctx.send(Role::Party(owner as u8), "woe", codec::put_words(&opened))
                    .await?;
            } else if me == owner {
                ctx.recv(Role::Party(0), "woe").await?;
            }
            continue;
        }
        let list: Vec<Column> = assigned
            .bins
            .iter()
            .map(|b| Column {
                bins: *b,
                ordered: *b,
            })
            .collect();
        let woe = evidence::weights(e, &given, &bads).await?;
        let told = evidence::reveal(e, &given, &list, &bads, &woe).await?;
        owners.push(HiddenColumns {
            owner,
            columns: assigned.bins.clone(),
            values: woe,
            sizes: n,
            kept: (me == 0).then(|| told.iter().map(|t| t.iv >= case.least_iv).collect()),
        });
    }
    if mode == Mode::BankSees {
        return Ok((None, None));
    }
    let (x, cols) = match me {
        0 => case.bank.clone(),
        p => match &case.others[p - 1] {
            Other::Open(x, cols) => (x.clone(), *cols),
            Other::Hidden(assigned) => (ones(assigned, rows), assigned.all()),
        },
    };
    let hidden = Hidden {
        owners: &owners,
        test: x.clone(),
        test_rows: rows,
        score_step_log2: Some(16),
    };
    let input = LogisticInput {
        x,
        cols,
        rows,
        label: (me == 0).then(|| case.y.clone()),
        row_weights: None,
        offset: None,
        signs: Vec::new(),
    };
    let (fit, scores) = train_hidden(e, &case.spec, &hidden, input, &mut |_, _, _| {}).await?;
    Ok((Some(fit), scores))
}

/// Plays a case; `run` decides all randomness.
async fn played(world: &World, case: &Case, mode: Mode, run: u32) -> (Vec<Played>, AllowAll) {
    let parties = case.others.len() as u8 + 1;
    let seed = move |p: u8| {
        let words = Prg::new(&[78; 32]).words(Label::request(run, p), 4);
        let mut out = [0; 32];
        out.chunks_exact_mut(8)
            .zip(words)
            .for_each(|(o, w)| o.copy_from_slice(&w.to_le_bytes()));
        out
    };
    let (case, ledger) = (case.clone(), AllowAll::default());
    let book = ledger.clone();
    let got = world.run(
        move |me, ctx| {
            let case = case.clone();
            let book = if me == 0 {
                book.clone()
            } else {
                AllowAll::default()
            };
            async move {
                let source = HelperSource::new(&ctx, &seed(me as u8))?;
                let mut e = Engine::new(&ctx, source, Box::new(book))?;
                let got = play(&mut e, &case, mode).await?;
                e.source_mut().done().await?;
                Ok(got)
            }
        },
        move |ctx| async move {
            let seeds: Vec<[u8; 32]> = (0..parties).map(seed).collect();
            deal(&ctx, &seeds).await.map(drop)
        },
    );
    let got = got.await.into_iter().map(|g| g.unwrap()).collect();
    (got, ledger)
}

/// Fifths of each column.
fn fifths(x: &[f64], d: usize) -> Assigned {
    let rows = x.len() / d;
    let of = |j: usize| -> Vec<u32> {
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by(|a, b| x[a * d + j].total_cmp(&x[b * d + j]));
        let mut out = vec![0; rows];
        for (place, row) in order.into_iter().enumerate() {
            out[row] = (place * 5 / rows) as u32;
        }
        out
    };
    Assigned {
        columns: (0..d).map(of).collect(),
        bins: vec![5; d],
    }
}

/// Weights of evidence of each row less their mean, row-major; and by column its information value.
fn in_the_clear(of: &Assigned, y: &[u8]) -> (Vec<f64>, Vec<f64>) {
    let (rows, d) = (y.len(), of.bins.len());
    let (mut x, mut ivs) = (vec![0.0; rows * d], Vec::new());
    for (j, (column, bins)) in of.columns.iter().zip(&of.bins).enumerate() {
        let mut counts = vec![Counts::default(); *bins];
        for (bin, y) in column.iter().zip(y) {
            let c = &mut counts[*bin as usize];
            *(if *y == 1 { &mut c.bad } else { &mut c.good }) += 1;
        }
        let woe =
            binning::weight_of_evidence(&counts, WoeSign::GoodBad, Smoothing::AllCells).unwrap();
        let of_row = |b: &u32| woe.bins[*b as usize].woe;
        let mean = column.iter().map(of_row).sum::<f64>() / rows as f64;
        for (row, b) in column.iter().enumerate() {
            x[row * d + j] = of_row(b) - mean;
        }
        ivs.push(woe.iv);
    }
    (x, ivs)
}

#[tokio::test]
async fn scores_and_the_banks_coefficients_are_those_of_columns_in_the_clear() {
    let s = sample(3000, 9, 17);
    let rows = s.y.len();
    let hidden = |from, to| Other::Hidden(fifths(&columns(&s, from, to), to - from));
    for (others, least_iv) in [
        (vec![hidden(3, 9)], 0.0),
        (vec![Other::Open(columns(&s, 3, 5), 2), hidden(5, 9)], 0.0),
        (vec![hidden(3, 6), hidden(6, 9)], 0.05),
    ] {
        let case = Case {
            bank: (columns(&s, 0, 3), 3),
            y: s.y.clone(),
            others,
            spec: LogisticSpec::default(),
            least_iv,
        };
        let world = World::new(case.others.len() as u8 + 1);
        let (got, ledger) = played(&world, &case, Mode::Strict, 1).await;
        // the same columns side by side; what tells too little is left out
        let mut parts = vec![case.bank.clone()];
        let (mut left_out, mut open) = (0, vec![0]);
        for (p, other) in (1u8..).zip(&case.others) {
            match other {
                Other::Open(x, d) => {
                    parts.push((x.clone(), *d));
                    open.push(p);
                }
                Other::Hidden(assigned) => {
                    let (x, ivs) = in_the_clear(assigned, &s.y);
                    let kept: Vec<usize> = (0..ivs.len()).filter(|j| ivs[*j] >= least_iv).collect();
                    left_out += ivs.len() - kept.len();
                    let of = |row: &[f64]| kept.iter().map(|j| row[*j]).collect::<Vec<f64>>();
                    parts.push((x.chunks_exact(ivs.len()).flat_map(of).collect(), kept.len()));
                }
            }
        }
        assert_eq!(left_out > 0, least_iv > 0.0, "{left_out} left out");
        let d: usize = parts.iter().map(|(_, d)| d).sum();
        let row = |i: usize| {
            let of = |(x, d): &(Vec<f64>, usize)| x[i * d..(i + 1) * d].to_vec();
            parts.iter().flat_map(of).collect::<Vec<f64>>()
        };
        let x: Vec<f64> = (0..rows).flat_map(row).collect();
        let set = TrainingSet::from_slice(&x, d, &s.y).unwrap();
        let want = logistic::fit(&set, &FitOptions::default()).unwrap().model;
        let (fit, scores) = (got[0].0.as_ref().unwrap(), got[0].1.as_ref().unwrap());
        for (g, w) in fit.coefficients.iter().zip(&want.coefficients) {
            assert!((g - w).abs() < 1e-3, "{g} instead of {w}, {:?}", fit.facts);
        }
        assert!((fit.intercept.unwrap() - want.intercept).abs() < 1e-3);
        for (i, got) in scores.iter().enumerate() {
            let z: f64 = x[i * d..(i + 1) * d]
                .iter()
                .zip(&want.coefficients)
                .map(|(x, w)| x * w)
                .sum();
            assert!(
                (got - z - want.intercept).abs() < 3e-3,
                "row {i}: {got} instead of {z}"
            );
        }
        // coefficients of open columns alone, and scores to the bank
        let opened = ledger.opened();
        let released: Vec<u8> = opened
            .iter()
            .filter_map(|(o, to, _)| match (o, to) {
                (Opening::Coefficients { party }, Receivers::One(p)) if party == p => Some(*p),
                _ => None,
            })
            .collect();
        assert_eq!(released, open);
        let mut beyond = opened.iter().filter(|(o, ..)| {
            !matches!(
                o,
                Opening::Coefficients { .. } | Opening::Converged { .. } | Opening::RangeExceeded
            )
        });
        for (p, other) in (1u8..).zip(&case.others) {
            if let Other::Hidden(of) = other {
                let n = of.bins.len();
                let to = Receivers::One(0);
                assert_eq!(
                    beyond.next(),
                    Some(&(Opening::Information { party: p }, to, n))
                );
                assert_eq!(
                    beyond.next(),
                    Some(&(Opening::Monotone { party: p }, to, n))
                );
            }
        }
        assert_eq!(
            beyond.next(),
            Some(&(Opening::Scores, Receivers::One(0), rows))
        );
        assert_eq!(beyond.next(), None);
        for ((fit, scores), p) in got[1..].iter().zip(1u8..) {
            assert!(scores.is_none());
            assert_eq!(
                fit.as_ref().unwrap().coefficients.is_empty(),
                !open.contains(&p)
            );
        }
    }
}

/// Rows whose labels an owner is after.
const TARGETS: usize = 100;

fn target(k: usize) -> usize {
    k * 11 + 3
}

/// A column for each target: in a bin of its own, or, in the second of two jobs, moved from one half of the rows to the other.
fn made_up(rows: usize, moved: Option<bool>) -> Assigned {
    let half = |row: usize, k: usize| (row * 2_654_435_761 + k * 40_503) >> 7 & 1;
    let bin = |k: usize, row: usize| match moved {
        None => u32::from(row == target(k)),
        Some(moved) if row == target(k) => u32::from(moved),
        Some(_) => half(row, k) as u32,
    };
    let column = |k: usize| (0..rows).map(|row| bin(k, row)).collect();
    Assigned {
        columns: (0..TARGETS).map(column).collect(),
        bins: vec![2; TARGETS],
    }
}

/// How many of the targets' labels an owner tells right, from all that it sees in these jobs; it knows the labels of
/// one half and guesses those of the other, and the other way round.
async fn told_right(mode: Mode, jobs: &[Option<bool>]) -> usize {
    let rows = 1200;
    let s = sample(rows, 2, 41);
    let coins = Prg::new(&[5; 32]).words(Label::request(0, 0), rows);
    let y: Vec<u8> = coins.iter().map(|w| (w & 1) as u8).collect();
    let mut features: Vec<Vec<f64>> = Vec::new();
    let mut before: Vec<Vec<f64>> = Vec::new();
    for (run, moved) in (0u32..).zip(jobs) {
        let case = Case {
            bank: (s.x.clone(), 2),
            y: y.clone(),
            others: vec![Other::Hidden(made_up(rows, *moved))],
            spec: LogisticSpec {
                stop: Stop::After(8),
                tolerance: 1e-3,
                ..LogisticSpec::default()
            },
            least_iv: 0.0,
        };
        let world = World::new(2);
        played(&world, &case, mode, 9_000 + run).await;
        let mut now = Vec::new();
        for seen in &seen_by(&world, 1) {
            for width in [8, 4] {
                for values in readings(seen, width) {
                    let each = values.len() / TARGETS;
                    if each > 0 && values.len() % TARGETS == 0 && each <= 64 {
                        for j in 0..each {
                            now.push(values.iter().skip(j).step_by(each).copied().collect());
                            now.push(values[j * TARGETS..(j + 1) * TARGETS].to_vec());
                        }
                    }
                }
            }
        }
        // what has changed from job to job, message by message
        let change = |(a, b): (&Vec<f64>, &Vec<f64>)| -> Vec<f64> {
            a.iter().zip(b).map(|(a, b)| b - a).collect()
        };
        if before.len() == now.len() {
            features.extend(before.iter().zip(&now).map(change));
        }
        features.extend(now.iter().cloned());
        before = now;
    }
    assert!(!features.is_empty());
    let class: Vec<bool> = (0..TARGETS).map(|k| y[target(k)] == 1).collect();
    let half = TARGETS / 2;
    let turned = |v: &[f64]| [&v[half..], &v[..half]].concat();
    let swapped: Vec<Vec<f64>> = features.iter().map(|f| turned(f)).collect();
    let other = [&class[half..], &class[..half]].concat();
    let right = |features: &[Vec<f64>], class: &[bool]| {
        let scores = attack(features, class, half);
        let told = scores.iter().zip(&class[half..]);
        told.filter(|(score, c)| (**score > 0.0) == **c).count()
    };
    right(&features, &class) + right(&swapped, &other)
}

#[tokio::test]
async fn an_owner_that_makes_up_bins_learns_no_label_where_counts_stay_shared() {
    // guesses at random are right in 50 of 100, with a deviation of 5
    let chance = 50..=65;
    for jobs in [&[None][..], &[Some(false), Some(true)]] {
        let told = told_right(Mode::Strict, jobs).await;
        assert!(
            told <= *chance.end(),
            "{told} of {TARGETS} labels told in {} jobs",
            jobs.len()
        );
        let told = told_right(Mode::BankSees, jobs).await;
        assert!(
            told >= 95,
            "opened counts tell {told} of {TARGETS} labels in {} jobs",
            jobs.len()
        );
    }
}
