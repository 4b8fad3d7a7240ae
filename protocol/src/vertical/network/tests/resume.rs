//! A training that is ended after an epoch goes on in another, on other shares, and is the network of one that nobody ended.

use super::*;
use crate::vertical::{
    network::{public::Public, train_on},
    tests::memory::{Memory, after, features, sent, sums, worlds},
};

type Made = (Vec<Result<NetworkFit, Abort>>, AllowAll);

/// A job of parties that keep their states; its randomness follows from `seed`.
async fn job(
    world: &World,
    spec: &NetworkSpec,
    (x, y, test): (&Array2<f64>, &[u8], &Array2<f64>),
    cuts: &[usize],
    (memories, seed): (&[Memory], u8),
) -> Made {
    let part = |x: &Array2<f64>, c: &[usize]| -> Vec<f64> {
        let part = x.slice(ndarray::s![.., c[0]..c[1]]);
        part.iter().copied().collect()
    };
    let inputs: Vec<_> = cuts
        .windows(2)
        .map(|c| (part(x, c), part(test, c), c[1] - c[0]))
        .collect();
    let (rows, test_rows, y, spec) = (x.nrows(), test.nrows(), y.to_vec(), spec.clone());
    let (book, n) = (AllowAll::default(), inputs.len() as u8);
    let (ledger, memories) = (book.clone(), memories.to_vec());
    let seed_of = move |p: u8| [seed + p; 32];
    let fits = world.run(
        move |me, ctx| {
            let (x, test, cols) = inputs[me].clone();
            let label = (me == 0).then(|| y.clone());
            let (spec, book) = (spec.clone(), book.clone());
            let mut memory = memories[me].clone();
            async move {
                let source = HelperSource::new(&ctx, &seed_of(me as u8))?;
                let ledger = if me == 0 { book } else { AllowAll::default() };
                let mut e = Engine::new(&ctx, source, Box::new(ledger))?;
                let input = NetworkInput {
                    x,
                    cols,
                    rows,
                    label,
                    row_weights: None,
                    test,
                    test_rows,
                };
                let quiet = &mut |_, _, _| {};
                let fit = train_on(&mut e, &spec, input, Some(&mut memory), quiet).await?;
                e.source_mut().done().await?;
                Ok(fit)
            }
        },
        move |ctx| async move {
            let seeds: Vec<_> = (0..n).map(seed_of).collect();
            deal(&ctx, &seeds).await.map(drop)
        },
    );
    (fits.await, ledger)
}

/// Runs a job in which `lost` ends, as said, after an epoch.
async fn ended(
    spec: &NetworkSpec,
    data: (&Array2<f64>, &[u8], &Array2<f64>),
    cuts: &[usize],
    lost: (usize, u32, bool),
) -> (Vec<Memory>, World) {
    let mut memories: Vec<Memory> = (1..cuts.len()).map(|_| Memory::new(1, None)).collect();
    memories[lost.0].lost = Some((lost.1, lost.2));
    let world = worlds(memories.len());
    let (fits, _) = job(&world, spec, data, cuts, (&memories, 1)).await;
    assert!(fits.iter().all(Result::is_err), "{fits:?}");
    (memories, world)
}

#[tokio::test]
async fn a_training_that_is_ended_goes_on_and_is_the_network_of_one_that_is_not() {
    let (x, y) = sample(420, 7, 3);
    let (test, _) = sample(50, 7, 4);
    let data = (&x, &y[..], &test);
    for (cuts, lost, on, change) in [
        // party 1 is lost before it has kept epoch 3: all go on after the second
        (vec![0, 4, 7], (1, 3, false), 2, spec()),
        // three parties, of which the first is lost with its state kept; dropout, a falling rate
        (
            vec![0, 1, 4, 7],
            (0, 4, true),
            4,
            NetworkSpec {
                hidden: vec![5],
                schedule: Schedule::Cosine,
                dropout: 0.2,
                ..spec()
            },
        ),
        (
            vec![0, 4, 7],
            (0, 1, true),
            1,
            NetworkSpec {
                activation: Hidden::Relu,
                ..spec()
            },
        ),
        // ended when all that is left is to release
        (vec![0, 4, 7], (1, 6, true), 6, spec()),
    ] {
        let (before, first) = ended(&change, data, &cuts, lost).await;
        let now = after(&before);
        let world = worlds(before.len());
        let (fits, ledger) = job(&world, &change, data, &cuts, (&now, 101)).await;
        let fits: Vec<_> = fits.into_iter().map(Result::unwrap).collect();
        let twin = plain::train(&change, (&x, &y), None, plain::Activation::Series).unwrap();
        let [weights, scores] = differences(&fits, &twin, &test);
        assert!(
            weights < 1e-2 && scores < 2e-2,
            "{change:?}: {weights} {scores}"
        );
        for fit in &fits {
            assert_eq!((fit.facts.epochs, fit.facts.resumed), (6, on as usize));
        }
        // the remaining epochs' bits and no others
        let opened: Vec<Opening> = ledger.opened().iter().map(|(o, ..)| *o).collect();
        let mut want = vec![Opening::HeldPoints];
        want.extend((on + 1..=6).map(|epoch| Opening::WithinRange { epoch }));
        assert_eq!(opened[..want.len()], want);
        // the same values on other shares, under the new job's name
        assert_eq!(sums(&before, on, 3), sums(&now, on, 3));
        for (then, now) in before.iter().zip(&now) {
            let (then, kept) = (then.state(on), now.state(on));
            assert_ne!(then.name, kept.name);
            let same = then.own.chunks(8).zip(kept.own.chunks(8)).skip(3);
            assert!(
                same.filter(|(a, b)| a == b).count() == 0,
                "a share is the same"
            );
            assert_eq!(now.points(), (on..=6).collect::<Vec<_>>());
        }
        // nothing that was sent in the one is sent in the other
        let (one, two) = (sent(&first), sent(&world));
        // columns at least, where no epoch was left
        assert!(two.len() > 20, "{}", two.len());
        assert_eq!(one.intersection(&two).count(), 0);
    }
}

#[tokio::test]
async fn what_is_seen_twice_with_the_same_correlations_is_found() {
    // the control of the comparison above: a job that took the aborted one's seeds up again would mask the columns alike
    let (x, y) = sample(200, 4, 3);
    let data = (&x, &y[..], &x);
    let cuts = [0, 2, 4];
    let (before, first) = ended(&spec(), data, &cuts, (1, 1, true)).await;
    let world = worlds(2);
    let (fits, _) = job(&world, &spec(), data, &cuts, (&after(&before), 1)).await;
    assert!(fits.iter().all(Result::is_ok));
    assert!(features(&first).intersection(&features(&world)).count() > 0);
}

#[tokio::test]
async fn early_stopping_goes_on_where_it_was() {
    let (x, y) = sample(300, 4, 9);
    let (test, _) = sample(20, 4, 10);
    let data = (&x, &y[..], &test);
    let spec = NetworkSpec {
        hidden: vec![24],
        epochs: 30,
        rate: 0.5,
        validation_tenths: 3,
        patience: 3,
        l2: 0.0,
        ..spec()
    };
    let twin = plain::train(&spec, (&x, &y), None, plain::Activation::Series).unwrap();
    let (best, last) = (twin.best as u32, twin.epochs as u32);
    // before the best epoch, between it and the end, and after the decision to stop
    for at in [best - 1, best + 1, last] {
        let (before, _) = ended(&spec, data, &[0, 2, 4], (1, at, true)).await;
        let (fits, ledger) = job(&worlds(2), &spec, data, &[0, 2, 4], (&after(&before), 101)).await;
        let fits: Vec<_> = fits.into_iter().map(Result::unwrap).collect();
        let facts = &fits[0].facts;
        assert_eq!((facts.epochs, facts.best), (twin.epochs, twin.best), "{at}");
        assert_eq!(facts.resumed, at as usize);
        let bits = ledger.opened().into_iter();
        let bits = bits.filter(|(o, ..)| matches!(o, Opening::Improved { .. }));
        assert_eq!(bits.count() as u32, last - at);
        let [weights, scores] = differences(&fits, &twin, &test);
        assert!(weights < 2e-2 && scores < 5e-2, "{at}: {weights} {scores}");
    }
}

#[tokio::test]
async fn where_nothing_is_held_alike_training_begins_anew() {
    let (x, y) = sample(200, 4, 3);
    let data = (&x, &y[..], &x);
    let cuts = [0, 2, 4];
    let (before, _) = ended(&spec(), data, &cuts, (1, 2, true)).await;
    // of another point, or of none; and a party that holds what nobody can read
    let other = before[1].altered(|state| state.name[0] ^= 1);
    for second in [other, Memory::default()] {
        let now = after(&[before[0].clone(), second]);
        let (fits, _) = job(&worlds(2), &spec(), data, &cuts, (&now, 101)).await;
        let fits: Vec<_> = fits.into_iter().map(Result::unwrap).collect();
        assert_eq!(fits[0].facts.resumed, 0);
        let twin = plain::train(&spec(), (&x, &y), None, plain::Activation::Series).unwrap();
        let [weights, scores] = differences(&fits, &twin, &x);
        assert!(weights < 1e-2 && scores < 2e-2, "{weights} {scores}");
        assert_eq!(now[0].points(), [1, 2, 3, 4, 5, 6]);
    }
    let short = before[0].altered(|state| {
        let len = state.own.len() - 8;
        state.own.truncate(len);
    });
    let now = after(&[short, before[1].clone()]);
    let (fits, _) = job(&worlds(2), &spec(), data, &cuts, (&now, 101)).await;
    let said = fits[0].as_ref().unwrap_err().to_string();
    assert!(said.contains("leave out align.resume"), "{said}");
    assert!(fits[1].is_err());
}

#[test]
fn an_epochs_order_and_dropout_follow_from_the_seed_and_its_number_alone() {
    let (whole, later) = (Public::new(11), Public::new(11));
    let all: Vec<_> = (1..=6).map(|epoch| whole.batches(epoch, 40)).collect();
    for epoch in 4..=6 {
        assert_eq!(later.batches(epoch, 40), all[epoch - 1]);
    }
    assert_ne!(all[3], all[4]);
    assert_eq!(later.rows(500), whole.rows(500));
    assert_eq!(later.kept(170, 1, 64, 0.3), whole.kept(170, 1, 64, 0.3));
}
