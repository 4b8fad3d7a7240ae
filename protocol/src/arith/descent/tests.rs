use std::sync::Arc;

use paripassu_crypto::{share::Shares, sine::Sine};
use zeroize::Zeroizing;

use super::*;
use crate::{
    correlation::{StepMasks, deal, descent::CUTS},
    testing::{
        World,
        dealt::{engine, seeds, share},
    },
};

const ROWS: usize = 3000;
const BATCHES: usize = 2;
const COLS: [usize; 5] = [3, 2, 0, 4, 1];
const FRAC: u32 = 8;

fn entry(p: usize, i: usize, j: usize) -> i32 {
    let mix = (i * 7919 + j * 104_729 + p * 31 + 17).wrapping_mul(0x9E37_79B9) >> 7;
    (mix % 1401) as i32 - 700
}

fn matrix(p: usize) -> Vec<i32> {
    let cols = COLS[p];
    let at = |k: usize| entry(p, k / cols.max(1), k % cols.max(1));
    (0..ROWS * cols).map(at).collect()
}

/// One party's shares of residuals and gradients of all batches, and of the cuts of the second.
type Out = (Vec<Vec<u64>>, Vec<Vec<u64>>, Option<Updates>);

/// Two epochs of two batches on fixed weights; what all parties hold after the second epoch.
async fn run(parties: u8, weights: Vec<f64>, range: u32) -> Vec<Out> {
    let world = World::new(parties);
    let out = world.run(
        move |me, ctx| {
            let weights = weights.clone();
            async move {
                let mut e = engine(&ctx);
                e.step("test");
                let mut all = Vec::new();
                for (p, cols) in COLS.iter().take(e.parties()).enumerate() {
                    let mine = || match p {
                        0 => Entries::Long(Zeroizing::new(matrix(p))),
                        _ => {
                            let short = matrix(p).iter().map(|x| *x as i16).collect();
                            Entries::Short(Zeroizing::new(short))
                        }
                    };
                    let own = (p == me).then(mine);
                    all.push(e.register_narrow(p, ROWS, *cols, own).await?);
                }
                let mut of = Passes::new(all, BATCHES);
                let series = Arc::new(Sine::within(range, 6));
                let frac = 64 - FRAC - series.period_log2();
                let weights: Vec<f64> = weights.iter().map(|w| w * series.stretch()).collect();
                let weights = share(&weights, frac, me, e.parties());
                e.prepare_epochs(&mut of, 2).await?;
                let mut out = (Vec::new(), Vec::new(), None);
                for epoch in 0..2 {
                    e.step(format_args!("test-{epoch}"));
                    e.begin_epoch(&mut of, &weights, epoch).await?;
                    let at = |batch| Batch {
                        epoch,
                        batch,
                        series: Arc::clone(&series),
                        frac: [8, 7],
                    };
                    let steps = e.steps(&of, &at(0)).await?;
                    out = (Vec::new(), Vec::new(), None);
                    let mut last: Option<Vec<u64>> = None;
                    for b in 0..BATCHES {
                        let masks: StepMasks = e.source_mut().step(&steps, b).await?;
                        assert_eq!(masks.cuts.is_some(), b > 0);
                        let cut = match (&last, &masks.cuts) {
                            (Some(g), Some(cuts)) => {
                                let gradient = g.iter().map(|g| g << CUTS[0]).collect();
                                let kept = g.iter().map(|_| if me == 0 { 1000 * 77 } else { 0 });
                                let both = [
                                    Shares::new(gradient, FRAC + 15 + CUTS[0]),
                                    Shares::new(kept.collect(), FRAC + 15 + CUTS[1]),
                                ];
                                Some((both, cuts))
                            }
                            _ => None,
                        };
                        let (theta, updates) = e.phases(&of, &at(b), &weights, cut).await?;
                        if updates.is_some() {
                            out.2 = updates;
                        }
                        let label = (me == 0).then(|| vec![1; theta.len()]);
                        let r = at(b)
                            .residuals(theta, masks, label.map(Zeroizing::new))
                            .await;
                        out.0.push(r.to_vec());
                        let g = e.gradients(&mut of, &at(b), r, &weights).await?;
                        out.1.push(g.to_vec());
                        last = Some(g.to_vec());
                    }
                }
                e.source_mut().done().await?;
                Ok(out)
            }
        },
        move |ctx| async move { deal(&ctx, &seeds(parties)).await.map(drop) },
    );
    out.await.into_iter().map(Result::unwrap).collect()
}

fn signed(word: u64) -> i64 {
    (word << 24) as i64 >> 24
}

/// The sum of the parties' shares, as numbers.
fn sum(of: impl Iterator<Item = Vec<u64>>) -> Vec<i64> {
    let all: Vec<Vec<u64>> = of.collect();
    let add = |i: usize| all.iter().fold(0u64, |s, v| s.wrapping_add(v[i]));
    (0..all[0].len()).map(|i| signed(add(i))).collect()
}

#[tokio::test]
async fn residuals_are_right_on_average_and_gradients_exactly_theirs() {
    for (parties, range) in [(2u8, 8), (3, 12), (4, 16), (5, 8)] {
        let wide: usize = COLS[..usize::from(parties)].iter().sum();
        let weights: Vec<f64> = (0..wide).map(|j| (j as f64 - 3.0) / 5.0).collect();
        let out = run(parties, weights.clone(), range).await;
        let series = Sine::within(range, 6);
        let mut errors = Vec::new();
        for b in 0..BATCHES {
            let r = sum(out.iter().map(|o| o.0[b].clone()));
            let g = sum(out.iter().map(|o| o.1[b].clone()));
            let rows = ROWS / BATCHES * b..ROWS / BATCHES * (b + 1);
            let (mut want, mut first) = (vec![0i64; wide], 0);
            let mut z = vec![0.0; r.len()];
            for (p, cols) in COLS.iter().take(parties.into()).enumerate() {
                for (k, i) in rows.clone().enumerate() {
                    for j in 0..*cols {
                        let x = entry(p, i, j);
                        want[first + j] += i64::from(x) * r[k];
                        z[k] += f64::from(x) / 256.0 * weights[first + j];
                    }
                }
                first += cols;
            }
            assert_eq!(g, want, "{parties} parties, batch {b}");
            for (r, z) in r.iter().zip(&z) {
                errors.push(*r as f64 / 32768.0 + 1.0 - series.value(*z));
            }
        }
        let n = errors.len() as f64;
        let mean = errors.iter().sum::<f64>() / n;
        let square = errors.iter().map(|e| e * e).sum::<f64>() / n;
        assert!(square.sqrt() < 0.01, "deviation {}", square.sqrt());
        assert!(
            mean.abs() < 4.0 * (square / n).sqrt(),
            "mean {mean}, deviation {}",
            square.sqrt()
        );
        // what the second batch's opening cut: the first's gradient, and 300.8 units
        let both = out.iter().map(|o| o.2.as_ref().unwrap());
        let g = sum(out.iter().map(|o| o.1[0].clone()));
        let lifted: Vec<u64> = (0..wide)
            .map(|j| {
                let words = both.clone().map(|u| u.gradient.words()[j]);
                words.fold(0, u64::wrapping_add)
            })
            .collect();
        for (lifted, g) in lifted.iter().zip(&g) {
            assert!((0..=1).contains(&(*lifted as i64 - g)), "{lifted} {g}");
        }
        let kept = both.fold(0u64, |s, u| s.wrapping_add(u.kept.words()[0]));
        assert!((300..=301).contains(&kept), "{kept}");
    }
}

#[tokio::test]
async fn a_message_of_another_length_names_its_sender() {
    let world = World::new(2).with_attack(|from, _, tag, body| {
        match from == Role::Party(1) && tag.as_str().ends_with("1-phases") {
            true => crate::testing::Intercept::Replace(body.slice(4..)),
            false => crate::testing::Intercept::Pass,
        }
    });
    let world = world.with_deadline(std::time::Duration::from_secs(2));
    let out = world.run(
        move |me, ctx| async move {
            let mut e = engine(&ctx);
            e.step("test");
            let mut all = Vec::new();
            for p in 0..2 {
                let own = (p == me).then(|| Entries::Short(Zeroizing::new(vec![1; 20])));
                all.push(e.register_narrow(p, 10, 2, own).await?);
            }
            let mut of = Passes::new(all, 1);
            e.step("test-0");
            e.prepare_epochs(&mut of, 1).await?;
            let weights = Shares::zeros(4, 51);
            e.begin_epoch(&mut of, &weights, 0).await?;
            let at = Batch {
                epoch: 0,
                batch: 0,
                series: Arc::new(Sine::logistic(3, 3)),
                frac: [8, 8],
            };
            let steps = e.steps(&of, &at).await?;
            e.source_mut().step(&steps, 0).await?;
            e.phases(&of, &at, &weights, None).await.map(drop)
        },
        move |ctx| async move { deal(&ctx, &seeds(2)).await.map(drop) },
    );
    let mut out = out.await;
    let said = out.swap_remove(0).unwrap_err().to_string();
    assert!(
        said.contains("party-1") && said.contains("40 bytes"),
        "{said}"
    );
}
