use std::sync::Arc;

use paripassu_crypto::{fixed, share::Shares, sine::Sine};

use super::{Opening, Operand, Precision, Receivers, SigmoidSpec};
use crate::{
    abort::Abort,
    correlation::{CorrelationSource, deal},
    testing::{
        World,
        dealt::{engine, seeds, share},
    },
};

type Eng = super::Engine<
    crate::testing::MemChannel,
    crate::correlation::HelperSource<crate::testing::MemChannel>,
>;

/// Runs `f` at every party of a world with a helper and returns what each opened.
async fn run<T, F, Fut>(parties: u8, f: F) -> Vec<T>
where
    T: Send + 'static,
    F: Fn(usize, Eng) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = Result<(T, Eng), Abort>> + Send,
{
    let world = World::new(parties);
    let out = world
        .run(
            move |me, ctx| {
                let f = f.clone();
                async move {
                    let mut e = engine(&ctx);
                    e.step("test");
                    let (out, mut e) = f(me, e).await?;
                    e.source_mut().done().await?;
                    Ok(out)
                }
            },
            move |ctx| async move { deal(&ctx, &seeds(parties)).await.map(drop) },
        )
        .await;
    out.into_iter().map(|r| r.unwrap()).collect()
}

async fn reveal(e: &mut Eng, s: Shares) -> Result<Vec<f64>, Abort> {
    let frac = s.frac();
    let w = e.open(s, Opening::Scores, Receivers::All).await?;
    Ok(w.into_iter().map(|w| fixed::decode(w, frac)).collect())
}

fn numbers(n: usize, seed: u64, scale: f64) -> Vec<f64> {
    let mut s = seed | 1;
    (0..n)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            ((s >> 11) as f64 / (1u64 << 53) as f64 - 0.5) * 2.0 * scale
        })
        .collect()
}

fn close(a: &[f64], b: &[f64], tol: f64) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!(
            (a - b).abs() <= tol,
            "at {i}: {a} is not within {tol} of {b}"
        );
    }
}

#[tokio::test]
async fn owner_products_equal_plain_products() {
    for parties in [2u8, 3, 5] {
        let (rows, cols) = (301, 7);
        let owner = 1;
        let x = numbers(rows * cols, 5, 30.0);
        let fx: Vec<i32> = x
            .iter()
            .map(|v| fixed::encode_i32(*v, 16).unwrap())
            .collect();
        let x: Vec<f64> = fx.iter().map(|v| f64::from(*v) / 65536.0).collect();
        let (v, r, s) = (
            numbers(cols * 2, 6, 2.0),
            numbers(rows, 7, 1.0),
            // whole units of the point that they are shared with
            numbers(rows, 8, 1.0)
                .iter()
                .map(|s| (s * 256.0).round() / 256.0)
                .collect::<Vec<_>>(),
        );
        let args = (fx.clone(), v.clone(), r.clone(), s.clone());
        let got = run(parties, move |me, mut e| {
            let (fx, v, r, s) = args.clone();
            async move {
                let n = e.parties();
                let mine = (me == owner).then_some(fx);
                let m = e.register(owner, rows, cols, 16, mine).await?;
                let (v, r, s) = (
                    share(&v, 30, me, n),
                    share(&r, 24, me, n),
                    share(&s, 8, me, n),
                );
                let out = e
                    .products(&[
                        (&m, Operand::Plain(&v, 2)),
                        (&m, Operand::Transposed(&r, 1)),
                    ])
                    .await?;
                let mut all = Vec::new();
                // three rounds with masks made ahead, the last with one made now as well
                let mut ahead = e.ahead(&[(&m, true)], 2).await?;
                ahead[0].extend(e.ahead(&[(&m, true)], 1).await?.remove(0));
                let jobs = [
                    (&m, Operand::Transposed(&r, 1)),
                    (&m, Operand::Plain(&v, 2)),
                ];
                let mut again = Vec::new();
                for jobs in [&jobs[..1], &jobs[..1], &jobs[..]] {
                    again.extend(e.products_ahead(jobs, &mut ahead).await?);
                }
                let none_left = e.products_ahead(&jobs[..1], &mut ahead).await;
                assert!(ahead[0].left() == 0 && none_left.is_err());
                let s = s.slice(0..rows - 3);
                let weighted = e.weighted(&[m], &s).await?;
                let weighted = weighted.into_iter().flat_map(|w| [w.rows, w.gram]);
                for o in out.into_iter().chain(weighted).chain(again) {
                    all.push(reveal(&mut e, o).await?);
                }
                Ok((all, e))
            }
        })
        .await;
        let part = rows - 3;
        let mut want = vec![
            vec![0.0; rows * 2],
            vec![0.0; cols],
            vec![0.0; part * cols],
            vec![0.0; cols * cols],
        ];
        for i in 0..rows {
            for j in 0..cols {
                let a = x[i * cols + j];
                want[0][2 * i] += a * v[2 * j];
                want[0][2 * i + 1] += a * v[2 * j + 1];
                want[1][j] += a * r[i];
                if i >= part {
                    continue;
                }
                // only the first rows are weighted
                want[2][i * cols + j] = a * s[i];
                for k in 0..cols {
                    want[3][j * cols + k] += a * s[i] * x[i * cols + k];
                }
            }
        }
        let again = [1, 1, 1, 0].map(|i| want[i].clone());
        want.extend(again);
        for party in got {
            assert_eq!(party.len(), want.len());
            for (g, w) in party.iter().zip(&want) {
                close(g, w, 2e-3);
            }
        }
    }
}

#[tokio::test]
async fn truncation_is_off_by_one_unit_at_most() {
    for parties in [2u8, 3, 5] {
        let x = numbers(2000, 3, 2f64.powi(13));
        let args = x.clone();
        let got = run(parties, move |me, mut e| {
            let x = args.clone();
            async move {
                let n = e.parties();
                let jobs = vec![(share(&x, 48, me, n), 20), (share(&x[..5], 40, me, n), 39)];
                let mut out = e.truncate(jobs).await?;
                let b = out.pop().unwrap();
                let a = out.pop().unwrap();
                Ok(((reveal(&mut e, a).await?, reveal(&mut e, b).await?), e))
            }
        })
        .await;
        let unit = 2f64.powi(-20);
        for (a, b) in got {
            let mut bias = 0.0;
            for (a, x) in a.iter().zip(&x) {
                assert!(
                    (0.0..=1.0).contains(&((a - x) / unit + 1.0)) || (a - x).abs() <= unit,
                    "{a} {x}"
                );
                bias += (a - x) / unit;
            }
            assert!((bias / 2000.0).abs() < 1.0);
            close(&b, &x[..5], 2f64.powi(-38));
        }
    }
}

#[tokio::test]
async fn matrices_multiply() {
    let (r, m, c) = (5, 9, 4);
    let (x, y) = (numbers(r * m, 1, 4.0), numbers(m * c, 2, 4.0));
    let args = (x.clone(), y.clone());
    let got = run(3, move |me, mut e| {
        let (x, y) = args.clone();
        async move {
            let (x, y) = (share(&x, 20, me, 3), share(&y, 22, me, 3));
            let z = e.matmul(&x, &y, r, m, c).await?;
            Ok((reveal(&mut e, z).await?, e))
        }
    })
    .await;
    let mut want = vec![0.0; r * c];
    for i in 0..r {
        for j in 0..m {
            for k in 0..c {
                want[i * c + k] += x[i * m + j] * y[j * c + k];
            }
        }
    }
    got.iter().for_each(|g| close(g, &want, 1e-4));
}

#[tokio::test]
async fn symmetric_matrices_are_inverted() {
    let d = 12;
    // eigenvalues from 2^-10 to 1 along the columns of a reflection
    let v = numbers(d, 5, 1.0);
    let norm: f64 = v.iter().map(|v| v * v).sum();
    let reflection = |i: usize, k: usize| f64::from(i == k) - 2.0 * v[i] * v[k] / norm;
    let eigenvalue = |k: usize| 2f64.powf(-10.0 * k as f64 / (d - 1) as f64);
    let spectral = |of: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let entry = |i: usize, j: usize| {
            (0..d)
                .map(|k| reflection(i, k) * of(eigenvalue(k)) * reflection(k, j))
                .sum()
        };
        (0..d * d).map(|at| entry(at / d, at % d)).collect()
    };
    let (h, want) = (spectral(&|x| x), spectral(&|x| 1.0 / x));
    for parties in [2, 3] {
        let args = h.clone();
        let got = run(parties, move |me, mut e| {
            let h = args.clone();
            async move {
                let n = usize::from(parties);
                let mut start = vec![0.0; d * d];
                start.iter_mut().step_by(d + 1).for_each(|x| *x = 0.5);
                let (h, start) = (share(&h, 24, me, n), share(&start, 24, me, n));
                let scales = paripassu_model::newton_schulz::scales(11);
                let y = e.symmetric_inverse(&h, &start, d, &scales).await?;
                let wrong = e.symmetric_inverse(&h, &start, d, &scales[..3]).await;
                assert!(
                    matches!(wrong, Err(Abort::Input(_))),
                    "the last scale is not 1"
                );
                let opened = reveal(&mut e, y.inverse).await?;
                Ok(((opened, reveal(&mut e, y.error).await?), e))
            }
        })
        .await;
        for (inverse, error) in &got {
            // a unit of h moves an inverse of 2^10 by 2^20 units
            close(inverse, &want, 0.2);
            assert!(error.iter().all(|e| e.abs() < 2e-3), "{error:?}");
        }
    }
}

#[tokio::test]
async fn sigmoid_and_slope_equal_the_series() {
    let series = Arc::new(Sine::logistic(4, 16));
    // more rows than one block of the layout, and than one message
    let n = 40_000;
    let z = numbers(n, 9, 15.9);
    let want: Vec<f64> = z.iter().map(|z| series.value(*z)).collect();
    let slope: Vec<f64> = z[..33_000].iter().map(|z| 1.5 * series.slope(*z)).collect();
    // bits wanted of values and slopes, and what rounding leaves of them
    for (precision, parties, bits, error) in [
        (Precision::Wide, 2, [45, 35], 2e-6),
        (Precision::Narrow, 2, [30, 27], 3e-4),
        (Precision::Narrow, 3, [25, 12], 3e-4),
    ] {
        let (args, s) = (z.clone(), Arc::clone(&series));
        let got = run(parties, move |me, mut e| {
            let (z, series) = (args.clone(), Arc::clone(&s));
            async move {
                let spec = SigmoidSpec {
                    series,
                    precision,
                    value_frac: bits[0],
                    slope_rows: 33_000,
                    slope_gain: 1.5,
                    slope_frac: bits[1],
                };
                let z = share(&z, 58, me, usize::from(parties));
                let (v, d) = e.sigmoid(&z, &spec).await?;
                Ok(((reveal(&mut e, v).await?, reveal(&mut e, d).await?), e))
            }
        })
        .await;
        for (v, d) in got {
            close(&v, &want, error);
            // multipliers of 12 bits
            close(&d, &slope, 3e-3);
            // roundings do not add up
            let bias = v.iter().zip(&want).map(|(v, w)| v - w).sum::<f64>() / n as f64;
            assert!(bias.abs() < 4.0 * error / (n as f64).sqrt(), "{bias}");
        }
    }
}

#[tokio::test]
async fn comparisons_open_the_right_bit() {
    let o = Opening::Converged { pass: 1 };
    for parties in [2u8, 4] {
        let got = run(parties, move |me, mut e| async move {
            let n = e.parties();
            let mut bits = Vec::new();
            let mut v: Vec<f64> = numbers(37, 4, 3.0)
                .iter()
                .map(|x| -x.abs() - 1e-3)
                .collect();
            bits.push(e.all_negative(&share(&v, 20, me, n), o).await?);
            for (i, x) in [(36, 0.0), (0, 1e-6), (20, 100.0)] {
                let keep = std::mem::replace(&mut v[i], x);
                bits.push(e.all_negative(&share(&v, 20, me, n), o).await?);
                v[i] = keep;
            }
            bits.push(e.all_negative(&share(&[-5.0], 20, me, n), o).await?);
            bits.push(e.all_negative(&share(&[], 20, me, n), o).await?);
            // 2^48 units of a value with 46 fraction bits are 4.0
            let within = numbers(1001, 5, 90.0);
            bits.push(e.all_within(&share(&within, 46, me, n), 28, o).await?);
            let mut outside = within.clone();
            outside[1000] = -120.0;
            bits.push(e.all_within(&share(&outside, 46, me, n), 28, o).await?);
            outside[1000] = 5000.0;
            bits.push(e.all_within(&share(&outside, 46, me, n), 28, o).await?);
            Ok((bits, e))
        })
        .await;
        for bits in got {
            assert_eq!(
                bits,
                [true, false, false, false, true, true, true, false, false]
            );
        }
    }
}

#[tokio::test]
async fn entrywise_products_equal_plain_products() {
    for parties in [2u8, 3, 5] {
        let (a, b) = (numbers(1000, 31, 40.0), numbers(1000, 32, 3.0));
        let args = (a.clone(), b.clone());
        let got = run(parties, move |me, mut e| {
            let (a, b) = args.clone();
            async move {
                let n = e.parties();
                let (a, b) = (share(&a, 24, me, n), share(&b, 26, me, n));
                let out = e.entrywise(&a, &b).await?;
                let short = e.entrywise(&a, &b.slice(0..999)).await;
                assert!(short.is_err());
                Ok((reveal(&mut e, out).await?, e))
            }
        })
        .await;
        let want: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a * b).collect();
        close(&got[0], &want, 1e-5);
    }
}

#[tokio::test]
async fn positive_parts_are_exact() {
    for parties in [2u8, 3, 5] {
        // values that fixed point holds exactly
        let mut x: Vec<f64> = [0.0, 2f64.powi(-28), -(2f64.powi(-28)), 1e6, -1e6].to_vec();
        x.extend(numbers(300, 41, 200.0).iter().map(|v| v.round() / 4.0));
        let given = x.clone();
        let got = run(parties, move |me, mut e| {
            let x = share(&given, 28, me, e.parties());
            async move {
                let out = e.positive_part(&x).await?;
                Ok((reveal(&mut e, out).await?, e))
            }
        })
        .await;
        let want: Vec<f64> = x.iter().map(|v| v.max(0.0)).collect();
        close(&got[0], &want, 0.0);
    }
}

#[tokio::test]
async fn rectified_values_and_slopes_are_exact() {
    for parties in [2u8, 3, 5] {
        let mut x: Vec<f64> = [0.0, 2f64.powi(-20), -(2f64.powi(-20)), 2047.0, -2047.0].to_vec();
        x.extend(numbers(300, 42, 200.0).iter().map(|v| v.round() / 4.0));
        for asked in [false, true] {
            let given = x.clone();
            let got = run(parties, move |me, mut e| {
                let x = share(&given, 20, me, e.parties());
                async move {
                    if asked {
                        let all = crate::arith::positive::rectified_requests(e.parties(), x.len());
                        e.source_mut().prefetch(&all).await?;
                    }
                    let (value, slope) = e.rectified(&x, asked).await?;
                    let mut both = reveal(&mut e, value).await?;
                    both.extend(reveal(&mut e, slope).await?);
                    Ok((both, e))
                }
            })
            .await;
            let mut want: Vec<f64> = x.iter().map(|v| v.max(0.0)).collect();
            want.extend(x.iter().map(|v| f64::from(u8::from(*v >= 0.0))));
            close(&got[0], &want, 0.0);
        }
    }
}

#[tokio::test]
async fn one_bit_says_whether_groups_lie_within_limits_of_their_own() {
    let o = Opening::WithinRange { epoch: 1 };
    for parties in [2u8, 3, 5] {
        let got = run(parties, move |me, mut e| async move {
            let n = e.parties();
            // 2^48 units are 4, and 1/4
            let mut bits = Vec::new();
            for (far, near) in [
                (90.0, 9.0),
                (90.0, -9.0),
                (130.0, 9.0),
                (-130.0, 9.0),
                (90.0, 12.5),
            ] {
                let mut wide = vec![1.0; 501];
                wide[400] = far;
                let groups = [
                    (share(&wide, 46, me, n), 28),
                    (share(&[near; 3], 50, me, n), 44),
                ];
                bits.push(e.all_within_each(&groups, o).await?);
            }
            bits.push(e.all_within_each(&[], o).await?);
            Ok((bits, e))
        })
        .await;
        for bits in got {
            assert_eq!(bits, [true, true, false, false, false, true]);
        }
    }
}
