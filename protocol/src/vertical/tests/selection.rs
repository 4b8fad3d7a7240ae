//! Columns selected on shares, beside the same selection of pooled columns.

use ndarray::ArrayView2;
use paripassu_model::selection::{self, Limits};

use super::{Sample, columns, sample};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Receivers},
    channel::Role,
    correlation::{CorrelationSource, HelperSource, deal},
    testing::{
        World,
        dealt::{AllowAll, seeds},
    },
    vertical::selection::{LARGEST, Selection, SelectionInput, SelectionSpec, Why, select},
};

/// The label, less its mean.
fn centred(y: &[u8]) -> Vec<f64> {
    let mean = y.iter().map(|y| f64::from(*y)).sum::<f64>() / y.len() as f64;
    y.iter().map(|y| f64::from(*y) - mean).collect()
}

async fn joint(
    s: &Sample,
    cuts: &[usize],
    spec: &SelectionSpec,
) -> (Vec<Result<Selection, Abort>>, AllowAll) {
    joint_in(&World::new(cuts.len() as u8 - 1), s, cuts, spec).await
}

async fn joint_in(
    world: &World,
    s: &Sample,
    cuts: &[usize],
    spec: &SelectionSpec,
) -> (Vec<Result<Selection, Abort>>, AllowAll) {
    let parties = cuts.len() - 1;
    let inputs: Vec<_> = cuts
        .windows(2)
        .map(|c| (columns(s, c[0], c[1]), c[1] - c[0]))
        .collect();
    let (rows, label, spec) = (s.y.len(), centred(&s.y), spec.clone());
    let ledger = AllowAll::default();
    let (book, n) = (ledger.clone(), parties as u8);
    let made = world
        .run(
            move |me, ctx| {
                let (x, cols) = inputs[me].clone();
                let label = (me == 0).then(|| label.clone());
                let (spec, book) = (spec.clone(), book.clone());
                async move {
                    let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                    let ledger = if me == 0 { book } else { AllowAll::default() };
                    let mut e = Engine::new(&ctx, source, Box::new(ledger))?;
                    let input = SelectionInput {
                        x,
                        cols,
                        rows,
                        label,
                    };
                    let made = select(&mut e, &spec, input).await?;
                    e.source_mut().done().await?;
                    Ok(made)
                }
            },
            move |ctx| async move { deal(&ctx, &seeds(n)).await.map(drop) },
        )
        .await;
    (made, ledger)
}

fn plain(s: &Sample, cuts: &[usize], limits: &Limits) -> selection::Selected {
    let owner = |j: usize| cuts[1..].iter().filter(|c| **c <= j).count();
    let owners: Vec<usize> = (0..s.d).map(owner).collect();
    let x = ArrayView2::from_shape((s.y.len(), s.d), &s.x).unwrap();
    selection::select(x, &owners, &centred(&s.y), limits)
}

/// Checks a joint selection against that of pooled columns, to a share of each inflation.
fn assert_same(made: &[Result<Selection, Abort>], want: &selection::Selected, within: f64) {
    let made: Vec<&Selection> = made.iter().map(|m| m.as_ref().unwrap()).collect();
    assert!(
        made.iter().all(|m| m.dropped == want.dropped),
        "{made:?} {want:?}"
    );
    let got: Vec<f64> = made.iter().flat_map(|m| m.inflation.clone()).collect();
    assert_eq!(got.len(), want.inflation.len());
    for (got, want) in got.iter().zip(&want.inflation) {
        let told = want.min(2.0 * LARGEST);
        assert!((got / told - 1.0).abs() < within, "{got} instead of {want}");
    }
}

#[tokio::test]
async fn inflations_are_those_of_the_pooled_columns() {
    for (rows, cuts) in [
        (700, vec![0, 5, 11]),
        (3000, vec![0, 3, 4, 11]),
        (900, vec![0, 2, 4, 6, 8, 11]),
        (800, vec![0, 0, 11]),
        (800, vec![0, 11, 11]),
    ] {
        let s = sample(rows, 11, 7);
        let (made, ledger) = joint(&s, &cuts, &SelectionSpec::default()).await;
        let want = plain(&s, &cuts, &Limits::default());
        assert!(want.inflation.iter().all(|v| *v > 1.0));
        assert_same(&made, &want, 2e-5);
        // a bit that the inverse is one, and to each party its own
        let mut opened = vec![(Opening::Inflated { round: 1 }, Receivers::All, 1)];
        opened.extend(cuts.windows(2).enumerate().map(|(p, c)| {
            let party = p as u8;
            let opening = Opening::Inflation { party };
            (opening, Receivers::One(party), c[1] - c[0])
        }));
        assert_eq!(ledger.opened(), opened);
    }
}

/// Column `to` becomes nearly column `from`.
fn alike(s: &mut Sample, to: usize, from: usize, own: f64) {
    for row in s.x.chunks_exact_mut(s.d) {
        row[to] = row[from] + own * row[to];
    }
}

#[tokio::test]
async fn columns_go_as_they_go_from_pooled_columns() {
    let mut s = sample(1500, 12, 5);
    alike(&mut s, 7, 1, 0.3);
    alike(&mut s, 11, 7, 0.2);
    alike(&mut s, 4, 2, 0.4);
    // a combination of columns of two parties
    for row in s.x.chunks_exact_mut(12) {
        row[9] = row[0] - row[8] + 0.2 * row[9];
    }
    for cuts in [vec![0, 6, 12], vec![0, 3, 8, 12]] {
        let limits = Limits {
            correlation: Some(0.8),
            vif: Some(5.0),
        };
        let want = plain(&s, &cuts, &limits);
        let pairs = want.dropped.iter().filter(|d| d.why != Why::Inflated);
        let (pairs, all) = (pairs.count(), want.dropped.len());
        assert!(pairs >= 3 && all > pairs, "{:?}", want.dropped);
        let spec = SelectionSpec {
            max_correlation: limits.correlation,
            max_vif: limits.vif,
            table: true,
        };
        let (made, ledger) = joint(&s, &cuts, &spec).await;
        assert_same(&made, &want, 1e-4);
        let x = ArrayView2::from_shape((1500, 12), &s.x).unwrap();
        let r = selection::correlations(x);
        let first = made[0].as_ref().unwrap();
        for m in &made {
            let m = m.as_ref().unwrap();
            assert_eq!(m.correlations, first.correlations);
            for (i, j, got) in &m.correlations {
                assert!((got - r[[*i, *j]]).abs() < 1e-6 && m.owner(*i).0 != m.owner(*j).0);
            }
        }
        let mixed = (0..12).flat_map(|i| (i + 1..12).map(move |j| (i, j)));
        let mixed = mixed.filter(|(i, j)| first.owner(*i).0 != first.owner(*j).0);
        assert_eq!(first.correlations.len(), mixed.count());
        // a table, two bits a pair, and a round for each column that the inflation takes and one more
        let opened = ledger.opened();
        assert_eq!(opened[0].0, Opening::Correlations);
        assert_eq!(opened[1], (Opening::Correlated, Receivers::All, 12 * 11));
        let rounds = (all - pairs) + 1;
        assert_eq!(first.rounds as usize, rounds);
        for (at, round) in (1..=rounds).enumerate() {
            let bits = 12 - pairs - at + 1;
            let opening = Opening::Inflated {
                round: round as u32,
            };
            assert_eq!(opened[2 + at], (opening, Receivers::All, bits));
        }
        assert_eq!(opened.len(), 2 + rounds + made.len());
    }
}

#[tokio::test]
async fn a_column_that_two_parties_hold_is_told_as_beyond_the_range_and_one_of_both_goes() {
    let mut s = sample(1200, 9, 3);
    alike(&mut s, 6, 1, 0.0);
    alike(&mut s, 8, 1, 0.0);
    // and one party's own, twice
    alike(&mut s, 2, 0, 0.0);
    let cuts = [0, 4, 9];
    let (made, _) = joint(&s, &cuts, &SelectionSpec::default()).await;
    let first = made[0].as_ref().unwrap();
    let second = made[1].as_ref().unwrap();
    for (of, at) in [(first, 0), (first, 1), (first, 2), (second, 2), (second, 4)] {
        assert!(of.inflation[at] > LARGEST, "{:?}", of.inflation);
    }
    // columns that have nothing to do with them are right all the same
    let want = plain(&s, &cuts, &Limits::default());
    for (got, want) in [
        (first.inflation[3], want.inflation[3]),
        (second.inflation[1], want.inflation[5]),
    ] {
        assert!((got / want - 1.0).abs() < 1e-3, "{got} instead of {want}");
    }
    let spec = SelectionSpec {
        max_vif: Some(10.0),
        ..SelectionSpec::default()
    };
    let (made, _) = joint(&s, &cuts, &spec).await;
    let left = made[0].as_ref().unwrap();
    assert_eq!(left.dropped.len(), 3, "{left:?}");
    let places = selection::kept(9, &left.dropped);
    let of = |columns: &[usize]| columns.iter().filter(|c| places.contains(c)).count();
    assert_eq!((of(&[0, 2]), of(&[1, 6, 8])), (1, 1));
}

#[tokio::test]
async fn unusable_columns_and_limits_are_refused() {
    let mut s = sample(200, 4, 9);
    for (spec, want) in [
        (
            SelectionSpec {
                max_vif: Some(2_000.0),
                ..SelectionSpec::default()
            },
            "between 1 and 1000",
        ),
        (
            SelectionSpec {
                max_correlation: Some(1.5),
                ..SelectionSpec::default()
            },
            "between 0 and 1",
        ),
    ] {
        let (made, _) = joint(&s, &[0, 2, 4], &spec).await;
        for m in made {
            let told = m.unwrap_err().to_string();
            assert!(told.contains(want), "{told}");
        }
    }
    s.x[1] = f64::NAN;
    let world = World::new(2).with_deadline(std::time::Duration::from_millis(300));
    let (made, _) = joint_in(&world, &s, &[0, 2, 4], &SelectionSpec::default()).await;
    let told = made[0].as_ref().unwrap_err();
    assert!(
        told.code() == "input" && told.to_string().contains("design column 2"),
        "{told}"
    );
}

#[tokio::test]
async fn a_constant_column_correlates_with_none() {
    let mut s = sample(300, 4, 9);
    s.x.chunks_exact_mut(4).for_each(|row| row[3] = 2.5);
    let spec = SelectionSpec {
        max_correlation: Some(0.5),
        ..SelectionSpec::default()
    };
    let (made, _) = joint(&s, &[0, 2, 4], &spec).await;
    let partner = made[1].as_ref().unwrap();
    assert!(partner.kept(1).contains(&1) && (partner.inflation.last().unwrap() - 1.0).abs() < 1e-4);
}

#[tokio::test]
async fn what_parties_send_is_uniform() {
    let mut s = sample(1000, 8, 6);
    alike(&mut s, 6, 1, 0.2);
    let spec = SelectionSpec {
        max_correlation: Some(0.8),
        max_vif: Some(3.0),
        table: false,
    };
    let world = World::new(2);
    let (made, _) = joint_in(&world, &s, &[0, 4, 8], &spec).await;
    assert!(!made[0].as_ref().unwrap().dropped.is_empty());
    let mut counts = [0u64; 256];
    for (from, to, tag, body) in world.log() {
        let helper = from == Role::Helper || to == Role::Helper;
        if helper || tag.contains("shape") || tag.contains("open-bit") {
            continue;
        }
        body.iter().for_each(|b| counts[usize::from(*b)] += 1);
    }
    let total: u64 = counts.iter().sum();
    let mean = total as f64 / 256.0;
    let chi2: f64 = counts
        .iter()
        .map(|c| (*c as f64 - mean).powi(2) / mean)
        .sum();
    assert!(total > 100_000);
    // 255 degrees of freedom: mean 255, s.d. 22.6; the bound is exceeded once in 10^9
    assert!(
        chi2 < 255.0 + 6.5 * 22.6,
        "chi-squared {chi2} over {total} bytes"
    );
}
