//! Fuzzy augmentation against the same in the clear.

use super::{
    leakage::{self, Spill},
    *,
};
use crate::vertical::{
    logistic::{Method, RowWeights},
    reject::{Augmented, Rejects, train_with_rejects},
};
use paripassu_model::logistic::{Fuzzy, FuzzyAsk, FuzzyRows, fit_constrained, fuzzy};

/// Who is declined: riskier by the first and the last column, and some at random; about three in ten.
fn declined(s: &Sample) -> Vec<bool> {
    let rows = s.x.chunks_exact(s.d).enumerate();
    rows.map(|(i, row)| row[0] + row[s.d - 1] + ((i * 37) % 19) as f64 / 10.0 > 2.2)
        .collect()
}

struct Case {
    spec: LogisticSpec,
    rejects: Rejects,
    cuts: Vec<usize>,
    weights: Vec<Option<Vec<f64>>>,
    offset: Option<Vec<f64>>,
}

impl Case {
    fn new(odds: f64, cuts: &[usize]) -> Self {
        Self {
            spec: LogisticSpec::default(),
            rejects: Rejects {
                odds,
                weight: 1.0,
                compare: true,
            },
            weights: vec![None; cuts.len() - 1],
            cuts: cuts.to_vec(),
            offset: None,
        }
    }

    fn plain(&self, s: &Sample, declined: &[bool]) -> Fuzzy {
        let n = s.y.len();
        let mut weights = vec![1.0; n];
        for given in self.weights.iter().flatten() {
            weights.iter_mut().zip(given).for_each(|(w, v)| *w *= v);
        }
        let offset = self.offset.clone().unwrap_or_else(|| vec![0.0; n]);
        let rows = FuzzyRows {
            x: &s.x,
            columns: s.d,
            y: &s.y,
            declined,
            weights: &weights,
            offset: &offset,
        };
        let ask = FuzzyAsk {
            odds: self.rejects.odds,
            weight: self.rejects.weight,
        };
        let fit = |set: &TrainingSet<'_>| match self.spec.is_held() {
            true => fit_constrained(set, self.spec.l2, self.spec.l1, &vec![Sign::Free; s.d]),
            false => Ok(logistic::fit(set, &FitOptions::default())?.model),
        };
        fuzzy(&rows, ask, fit).unwrap()
    }

    async fn joint(
        &self,
        world: &World,
        s: &Sample,
        declined: &[bool],
    ) -> (Vec<Result<Augmented, Abort>>, AllowAll) {
        let n = (self.cuts.len() - 1) as u8;
        let parts = self.cuts.windows(2);
        let inputs: Vec<(Vec<f64>, usize)> = parts
            .map(|c| (columns(s, c[0], c[1]), c[1] - c[0]))
            .collect();
        let (rows, y) = (s.y.len(), s.y.clone());
        let (spec, rejects) = (self.spec.clone(), self.rejects);
        let (weights, offset, declined) =
            (self.weights.clone(), self.offset.clone(), declined.to_vec());
        let ledger = AllowAll::default();
        let book = ledger.clone();
        let made = world
            .run(
                move |me, ctx| {
                    let (x, cols) = inputs[me].clone();
                    let input = LogisticInput {
                        x,
                        cols,
                        rows,
                        label: (me == 0).then(|| y.clone()),
                        row_weights: weights[me].clone(),
                        offset: offset.clone().filter(|_| me == 0),
                        signs: Vec::new(),
                    };
                    let declined = (me == 0).then(|| declined.clone());
                    let (spec, book) = (spec.clone(), book.clone());
                    async move {
                        let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                        let ledger = if me == 0 { book } else { AllowAll::default() };
                        let mut e = crate::arith::Engine::new(&ctx, source, Box::new(ledger))?;
                        let quiet = &mut |_, _, _| {};
                        let made =
                            train_with_rejects(&mut e, &spec, &rejects, declined, input, quiet);
                        let made = made.await?;
                        e.source_mut().done().await?;
                        Ok(made)
                    }
                },
                move |ctx| async move { deal(&ctx, &seeds(n)).await.map(drop) },
            )
            .await;
        (made, ledger)
    }
}

fn flat<'a>(fits: impl Iterator<Item = &'a LogisticFit> + Clone) -> Vec<f64> {
    let intercept = fits.clone().find_map(|f| f.intercept);
    let columns = fits.flat_map(|f| f.coefficients.clone());
    intercept.into_iter().chain(columns).collect()
}

fn assert_near(got: &[f64], want: &logistic::LogisticModel, within: f64) {
    let want = std::iter::once(&want.intercept).chain(&want.coefficients);
    assert_eq!(got.len(), want.clone().count());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() < within, "{g} instead of {w}");
    }
}

#[tokio::test]
async fn both_fits_are_those_in_the_clear() {
    let mut s = sample(2400, 8, 41);
    let declined = declined(&s);
    let count = declined.iter().filter(|d| **d).count();
    assert!((400..900).contains(&count), "{count}");
    // what stands where a declined row has no label cannot matter
    for (y, _) in s.y.iter_mut().zip(&declined).filter(|(_, d)| **d) {
        *y = 1;
    }
    let n = s.y.len();
    let mut weighted = Case::new(3.0, &[0, 3, 5, 8]);
    weighted.rejects.weight = 1.5;
    weighted.weights[0] = Some((0..n).map(|i| f64::from(u8::from(i % 9 > 0))).collect());
    weighted.weights[2] = Some((0..n).map(|i| ((i * 7) % 11 + 1) as f64 / 8.0).collect());
    let of = |party, max| RowWeights { party, max };
    weighted.spec.row_weights = vec![of(0, 1.5), of(2, 2.0)];
    weighted.offset = Some((0..n).map(|i| ((i * 5) % 13) as f64 / 13.0).collect());
    let mut sparse = Case::new(2.0, &[0, 4, 8]);
    sparse.spec.l1 = 20.0;
    let mut fixed = Case::new(4.0, &[0, 0, 8]);
    fixed.spec.stop = Stop::After(9);
    fixed.spec.hessian_rows = Some(800);
    let mut accelerated = Case::new(2.0, &[0, 4, 8]);
    accelerated.spec.method = Method::Accelerated;
    accelerated.spec.max_passes = 400;
    for case in [
        Case::new(2.0, &[0, 4, 8]),
        weighted,
        sparse,
        fixed,
        accelerated,
    ] {
        let want = case.plain(&s, &declined);
        let parties = case.cuts.len() - 1;
        let world = World::new(parties as u8);
        let (made, ledger) = case.joint(&world, &s, &declined).await;
        let made: Vec<_> = made.into_iter().map(|m| m.unwrap()).collect();
        assert_near(&flat(made.iter().map(|m| &m.fit)), &want.inferred, 1e-4);
        let known = made.iter().map(|m| m.known.as_ref().unwrap());
        assert_near(&flat(known), &want.known, 1e-4);
        let (got, want) = (made[0].rate.unwrap(), want.rate.unwrap());
        assert!((got - want).abs() < 1e-4, "{got} instead of {want}");
        assert!(
            made[1..]
                .iter()
                .all(|m| m.rate.is_none() && m.declined.is_none())
        );
        let opened = ledger.opened();
        let all = |of: fn(&Opening) -> bool| opened.iter().filter(|(o, ..)| of(o)).count();
        assert_eq!(all(|o| *o == Opening::InferredBads), 1);
        let known = all(|o| matches!(o, Opening::KnownCoefficients { .. }));
        let last = all(|o| matches!(o, Opening::Coefficients { .. }));
        assert_eq!((known, last), (parties, parties));
        let bits = all(|o| matches!(o, Opening::Converged { .. } | Opening::RangeExceeded));
        assert_eq!(opened.len(), bits + 2 * parties + 1);
    }
}

#[tokio::test]
async fn a_factor_of_one_leaves_the_first_fit_and_few_declined_rows_tell_no_rate() {
    let s = sample(900, 5, 43);
    let mut few = declined(&s);
    let mut seen = 0;
    for d in few.iter_mut().filter(|d| **d) {
        seen += 1;
        *d = seen < 60;
    }
    let case = Case::new(1.0, &[0, 2, 5]);
    let (made, ledger) = case.joint(&World::new(2), &s, &few).await;
    let made: Vec<_> = made.into_iter().map(|m| m.unwrap()).collect();
    let known = flat(made.iter().map(|m| m.known.as_ref().unwrap()));
    for (a, b) in flat(made.iter().map(|m| &m.fit)).iter().zip(&known) {
        assert!((a - b).abs() < 2e-5, "{a} {b}");
    }
    assert_eq!((made[0].rate, made[0].declined), (None, Some(59)));
    // opened all the same, so that nobody sees how many there are: a 0
    let sums = ledger.opened();
    assert!(sums.iter().any(|(o, ..)| *o == Opening::InferredBads));
}

#[tokio::test]
async fn a_wider_range_is_taken_where_the_factor_needs_it() {
    let case = Case::new(20.0, &[0, 2, 4]);
    let mut s = sample(1500, 4, 47);
    let declined = declined(&s);
    // a score that the first series holds, up to 22.8, and with the factor's 3 no longer
    let known = case.plain(&s, &declined).known;
    let length: f64 = known.coefficients.iter().map(|w| w * w).sum();
    let by = (21.0 - known.intercept) / length;
    let rows = s.x.chunks_exact_mut(4).zip(&declined);
    for (row, _) in rows.filter(|(_, d)| **d).step_by(40) {
        row.iter_mut()
            .zip(&known.coefficients)
            .for_each(|(x, w)| *x = w * by);
    }
    let want = case.plain(&s, &declined);
    let (made, ledger) = case.joint(&World::new(2), &s, &declined).await;
    let made: Vec<_> = made.into_iter().map(|m| m.unwrap()).collect();
    assert_near(&flat(made.iter().map(|m| &m.fit)), &want.inferred, 5e-4);
    let ranges = ledger.opened();
    let ranges = ranges
        .iter()
        .filter(|(o, ..)| *o == Opening::RangeExceeded)
        .count();
    assert!(ranges > 3, "{ranges} ranges were looked at: no wider one");
}

#[tokio::test]
async fn what_cannot_be_inferred_is_refused() {
    let s = sample(400, 4, 5);
    let some = declined(&s);
    let mut steep = Case::new(25.0, &[0, 2, 4]);
    let mut heavy = Case::new(2.0, &[0, 2, 4]);
    heavy.rejects.weight = 5.0;
    let mut errors = Case::new(2.0, &[0, 2, 4]);
    errors.spec.standard_errors = true;
    let brief = std::time::Duration::from_millis(300);
    for case in [&mut steep, &mut heavy, &mut errors] {
        let (made, _) = case
            .joint(&World::new(2).with_deadline(brief), &s, &some)
            .await;
        for made in made {
            assert_eq!(made.unwrap_err().code(), "input");
        }
    }
    let case = Case::new(2.0, &[0, 2, 4]);
    for (declined, want) in [
        (vec![false; 400], "no training row is declined"),
        (s.y.iter().map(|y| *y == 1).collect(), "same label"),
        // 15 accepted rows for three columns of the bank
        (
            (0..400).map(|i| i >= 15).collect(),
            "fewer than 10 rows a column",
        ),
    ] {
        let (made, _) = case
            .joint(&World::new(2).with_deadline(brief), &s, &declined)
            .await;
        let said = made[0].as_ref().unwrap_err().to_string();
        assert!(said.contains(want), "{said}");
    }
}

/// Party 1's view of a run: who is declined changes neither lengths nor order, nor anything that can be told apart.
#[tokio::test]
async fn a_partners_view_does_not_tell_who_is_declined() {
    let (share, cases) = told_apart(96, Spill::Nothing).await;
    let sigma = 0.5 / (cases as f64).sqrt();
    assert!((share - 0.5).abs() < 3.0 * sigma, "{share} of {cases}");
    // a build that opens what must stay shared is found out
    let (share, _) = told_apart(24, Spill::Residual).await;
    assert!(share > 0.95, "an opened residual is not seen: {share}");
}

/// How often the partner tells whether few or many rows are declined, and in how many cases.
async fn told_apart(runs: u32, leak: Spill) -> (f64, usize) {
    let s = sample(160, 4, 53);
    // a tenth, or half of the rows
    let few: Vec<bool> = (0..160).map(|i| i % 10 == 0).collect();
    let many: Vec<bool> = (0..160).map(|i| i % 2 == 0).collect();
    let mut case = Case::new(2.0, &[0, 2, 4]);
    case.rejects.compare = false;
    case.spec.stop = Stop::After(5);
    // coefficients are the same in effect: the ridge holds them at 0, so that what is opened tells nothing
    (case.spec.l2, case.spec.tolerance) = (1e6, 0.1);
    let (mut features, mut class, mut first) = (Vec::new(), Vec::new(), None);
    for run in 0..runs {
        let second = u32::count_ones(run) % 2 == 1;
        let declined = if second { &many } else { &few };
        let view = case.view(&s, declined, run, leak).await;
        let now = leakage::shape(&view);
        assert_eq!(*first.get_or_insert_with(|| now.clone()), now, "run {run}");
        features.push(leakage::of_a_run(&view));
        class.push(second);
    }
    leakage::told(&features, &class)
}

impl Case {
    /// What party 1 sees of a run, whose randomness `run` decides, of a build that leaks so.
    async fn view(
        &self,
        s: &Sample,
        declined: &[bool],
        run: u32,
        leak: Spill,
    ) -> Vec<leakage::Seen> {
        let world = World::new(2);
        let seed = move |p: u8| leakage::seed(run, p);
        let parts = [columns(s, 0, 2), columns(s, 2, 4)];
        let (rows, y, declined) = (s.y.len(), s.y.clone(), declined.to_vec());
        let (spec, rejects) = (self.spec.clone(), self.rejects);
        let made = world
            .run(
                move |me, ctx| {
                    let input = LogisticInput {
                        x: parts[me].clone(),
                        cols: 2,
                        rows,
                        label: (me == 0).then(|| y.clone()),
                        row_weights: None,
                        offset: None,
                        signs: Vec::new(),
                    };
                    let declined = (me == 0).then(|| declined.clone());
                    let spec = spec.clone();
                    leakage::leaking(leak, async move {
                        let source = HelperSource::new(&ctx, &seed(me as u8))?;
                        let ledger = Box::new(AllowAll::default());
                        let mut e = crate::arith::Engine::new(&ctx, source, ledger)?;
                        let quiet = &mut |_, _, _| {};
                        let made =
                            train_with_rejects(&mut e, &spec, &rejects, declined, input, quiet);
                        made.await?;
                        e.source_mut().done().await
                    })
                },
                move |ctx| async move { deal(&ctx, &[seed(0), seed(1)]).await.map(drop) },
            )
            .await;
        made.into_iter().for_each(|m| m.unwrap());
        leakage::seen_by(&world, 1)
    }
}
