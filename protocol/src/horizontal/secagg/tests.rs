//! Sums against plain sums, lost clients at every message, attackers on every message, and what is seen.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::*;
use crate::{
    channel::Tag,
    testing::{Attack, Intercept, World},
};

/// A secret of each pair of clients, as links give it.
fn roots(me: usize, clients: usize) -> Vec<Zeroizing<[u8; 32]>> {
    let pair = |peer: usize| {
        let (low, high) = (me.min(peer) as u8, me.max(peer) as u8);
        let mut root = [0x5a; 32];
        (root[0], root[1]) = (low, high);
        Zeroizing::new(root)
    };
    (0..clients).map(pair).collect()
}

fn params(clients: usize, threshold: Option<usize>) -> Params {
    Params::new(clients, threshold, [9; 32], Duration::from_secs(4)).unwrap()
}

/// Client `i`'s vector for sum `k`.
fn vector(i: usize, k: usize, len: usize) -> Vec<u64> {
    let word = |j: usize| ((i as i64 - 1) * 1000 + (k * len + j) as i64) as u64;
    (0..len).map(word).collect()
}

fn plain(members: Members, k: usize, len: usize) -> Vec<u64> {
    let mut sum = vec![0u64; len];
    for i in members.iter() {
        let own = vector(i, k, len);
        sum.iter_mut()
            .zip(own)
            .for_each(|(s, v)| *s = s.wrapping_add(v));
    }
    sum
}

type Outcome = Vec<Result<Vec<Sum>, Abort>>;

/// All clients ask for `sums` sums of `len` values.
async fn run(world: &World, params: &Params, sums: usize, len: usize) -> (Outcome, Served) {
    let served: Arc<Mutex<Option<Result<Served, Abort>>>> = Arc::default();
    let (p, out) = (params.clone(), Arc::clone(&served));
    let adder = |ctx| async move {
        let end = serve(&ctx, &p).await;
        let result = end.clone().map(drop);
        *out.lock().unwrap() = Some(end);
        result
    };
    let client = |me: usize, ctx| {
        let params = params.clone();
        async move {
            let clients = params.clients;
            let mut client = Client::join(&ctx, params, roots(me, clients)).await?;
            let mut all = Vec::new();
            for k in 0..sums {
                all.push(client.sum(&format!("test {k}"), vector(me, k, len)).await?);
            }
            client.done().await?;
            Ok(all)
        }
    };
    let results = world.run(client, adder).await;
    // the adder ends a moment after the last client, on a busy machine some seconds
    for _ in 0..6000 {
        if served.lock().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let served = served.lock().unwrap().take();
    let served = match served {
        Some(Ok(served)) => served,
        Some(Err(error)) => {
            eprintln!("the adder ended with {error}");
            Served::default()
        }
        None => {
            eprintln!("the adder has not ended");
            Served::default()
        }
    };
    (results, served)
}

fn world(clients: usize) -> World {
    World::new(clients as u8).with_deadline(Duration::from_secs(4))
}

#[tokio::test]
async fn sums_are_exact_for_every_number_of_clients() {
    for (n, len) in [(3, 1), (4, 7), (5, 40_000), (10, 3)] {
        let (results, served) = run(&world(n), &params(n, None), 3, len).await;
        for result in results {
            for (k, sum) in result.unwrap().into_iter().enumerate() {
                assert_eq!(sum.members, Members::first(n));
                assert_eq!(
                    sum.words,
                    plain(sum.members, k, len),
                    "{n} clients, sum {k}"
                );
                assert_eq!(sum.attempts, 1);
            }
        }
        assert_eq!(
            (served.sums, served.given_up, served.words),
            (3, 0, 3 * len as u64)
        );
    }
}

#[tokio::test]
async fn sixty_clients_add_up() {
    let n = 60;
    let params = Params {
        patience: Duration::from_secs(20),
        ..params(n, None)
    };
    let (results, _) = run(&World::new(n as u8), &params, 1, 5).await;
    for result in results {
        assert_eq!(result.unwrap()[0].words, plain(Members::first(n), 0, 5));
    }
}

#[tokio::test]
async fn the_adder_holds_three_vectors_at_most() {
    let n = 8;
    let (results, served) = run(&world(n), &params(n, None), 1, 1 << 19).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(served.most_vectors, 3);
    assert_eq!(
        params(n, None).lanes(1 << 12),
        8,
        "small vectors need not wait for one another"
    );
}

/// Drops this message of one client in one sum.
fn lose(client: usize, sum: u32, name: &'static str) -> impl Attack {
    move |from, _, tag: &Tag, _: &Bytes| {
        let hit = from == role(client) && tag.as_str() == format!("sums/{sum}/{name}");
        if hit {
            Intercept::Drop
        } else {
            Intercept::Pass
        }
    }
}

#[tokio::test]
async fn a_client_lost_at_any_message_leaves_a_right_sum_and_comes_back() {
    let (n, len, lost) = (5, 33, 3);
    let runs = ["keys", "shares", "masked", "agree", "reveal"].map(|name| async move {
        let world = world(n).with_attack(lose(lost, 0, name));
        let params = Params {
            patience: Duration::from_millis(1_000),
            ..params(n, None)
        };
        let params = Params {
            limit: Duration::from_millis(3_000),
            ..params
        };
        (name, run(&world, &params, 2, len).await)
    });
    for (name, (results, served)) in futures_util::future::join_all(runs).await {
        let without = Members::first(n).without(&[lost].into_iter().collect());
        // once its vector is in, a client that leaves stays in the sum
        let first = if matches!(name, "agree" | "reveal") {
            Members::first(n)
        } else {
            without
        };
        for (i, result) in results.into_iter().enumerate() {
            let sums = result.unwrap_or_else(|e| panic!("{name}, client {i}: {e}"));
            assert_eq!(sums[0].members, first, "{name}, client {i}");
            assert_eq!(sums[0].words, plain(first, 0, len), "{name}, client {i}");
            assert_eq!(sums[1].members, Members::first(n), "{name}: it is back");
            assert_eq!(sums[1].words, plain(Members::first(n), 1, len), "{name}");
        }
        assert_eq!((served.sums, served.given_up), (2, 0), "{name}");
    }
}

#[tokio::test]
async fn with_too_few_left_a_sum_is_tried_again() {
    let (n, len) = (4, 9);
    // all four are needed; one misses the first try at each message in turn
    let runs = ["keys", "shares", "masked", "agree", "reveal"].map(|name| async move {
        let world = world(n).with_attack(lose(1, 0, name));
        let params = params(n, Some(4));
        let params = Params {
            limit: Duration::from_millis(2_500),
            ..params
        };
        (name, run(&world, &params, 1, len).await)
    });
    for (name, (results, served)) in futures_util::future::join_all(runs).await {
        for result in results {
            let sums = result.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(sums[0].words, plain(Members::first(n), 0, len));
            assert_eq!(sums[0].attempts, 2, "{name}");
        }
        assert_eq!((served.sums, served.given_up), (1, 1), "{name}");
    }
}

#[tokio::test]
async fn without_enough_clients_nothing_is_opened_and_the_missing_are_named() {
    let attack = |from: Role, _: Role, tag: &Tag, _: &Bytes| match from {
        Role::Party(2 | 3) if tag.as_str().ends_with("masked") => Intercept::Drop,
        _ => Intercept::Pass,
    };
    let world = world(5).with_attack(attack);
    let params = Params {
        limit: Duration::from_millis(300),
        ..params(5, None)
    };
    let (results, _) = run(&world, &params, 1, 4).await;
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.code(), "too_few_clients");
        let text = error.to_string();
        assert!(
            text.contains("3 of the 4") && text.contains("party-2, party-3"),
            "{text}"
        );
    }
    let shown = world.log();
    assert!(
        !shown.iter().any(|(_, _, tag, _)| tag.ends_with("reveal")),
        "no seed was revealed"
    );
}

/// Flips a bit in the middle of the first message of this name.
fn flip(name: &'static str, at: fn(usize) -> usize) -> impl Attack {
    let done = std::sync::atomic::AtomicBool::new(false);
    move |_, _, tag: &Tag, body: &Bytes| {
        let hit =
            tag.as_str() == format!("sums/0/{name}") || tag.as_str() == format!("sums/join/{name}");
        if !hit || body.is_empty() || done.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Intercept::Pass;
        }
        let mut altered = body.to_vec();
        let at = at(altered.len()).min(altered.len() - 1);
        altered[at] ^= 4;
        Intercept::Replace(altered.into())
    }
}

#[tokio::test]
async fn no_altered_message_ever_gives_a_wrong_sum() {
    let names = [
        "keys",
        "seen",
        "roster",
        "shares",
        "inbox",
        "masked",
        "survivors",
        "agree",
        "agreed",
        "reveal",
        "result",
    ];
    let places: [fn(usize) -> usize; 3] = [|_| 1, |len| len / 2, |len| len - 1];
    let runs = names.into_iter().flat_map(|name| {
        places.map(|at| async move {
            let params = Params {
                limit: Duration::from_millis(500),
                ..params(4, None)
            };
            let params = Params {
                patience: Duration::from_millis(300),
                ..params
            };
            let world = World::new(4)
                .with_deadline(Duration::from_millis(1200))
                .with_attack(flip(name, at));
            (name, run(&world, &params, 1, 50).await.0)
        })
    });
    for (name, results) in futures_util::future::join_all(runs).await {
        let mut refused = 0;
        for result in results {
            match result {
                Ok(sums) => assert_eq!(sums[0].words, plain(sums[0].members, 0, 50), "{name}"),
                Err(_) => refused += 1,
            }
        }
        // a wrong share that others make up for is the one alteration that changes nothing
        assert!(
            refused > 0 || name == "reveal",
            "{name} was altered and nobody noticed"
        );
    }
}

#[tokio::test]
async fn an_altered_vector_or_sum_is_found_by_its_tag() {
    for name in ["masked", "result"] {
        // nobody waits long for those that have found it
        let world = world(3)
            .with_deadline(Duration::from_secs(1))
            .with_attack(flip(name, |len| len / 2));
        let (results, _) = run(&world, &params(3, None), 1, 50).await;
        let found = results.into_iter().filter_map(Result::err);
        let texts: Vec<_> = found.map(|e| (e.code(), e.to_string())).collect();
        assert!(!texts.is_empty(), "{name}");
        assert!(texts[0].1.contains("does not bear the tag"), "{texts:?}");
    }
}

#[tokio::test]
async fn an_adder_that_shows_two_sets_of_survivors_gets_no_second_kind_of_share() {
    // client 0 is told that client 4 is lost, the others that it is not
    let attack = |_: Role, to: Role, tag: &Tag, body: &Bytes| {
        if to != Role::Party(0) || !tag.as_str().ends_with("survivors") {
            return Intercept::Pass;
        }
        let mut other = body.to_vec();
        other[1] &= !(1 << 4);
        Intercept::Replace(other.into())
    };
    let world = world(5)
        .with_deadline(Duration::from_secs(1))
        .with_attack(attack);
    let params = Params {
        limit: Duration::from_millis(500),
        ..params(5, None)
    };
    let (results, _) = run(&world, &params, 1, 4).await;
    let texts: Vec<String> = results
        .into_iter()
        .filter_map(Result::err)
        .map(|e| e.to_string())
        .collect();
    assert!(
        texts.iter().any(|t| t.contains("different sets")),
        "{texts:?}"
    );
    assert!(
        !world
            .log()
            .iter()
            .any(|(_, _, tag, _)| tag.ends_with("reveal"))
    );
}

#[tokio::test]
async fn two_curious_banks_and_the_adder_see_noise_of_a_third() {
    let (n, len, victim) = (5, 60_000, 2);
    let world = world(n);
    let (results, _) = run(&world, &params(n, None), 1, len).await;
    let sum = &results[0].as_ref().unwrap()[0];
    let log = world.log();
    let of = |name: &str| {
        let hits = log
            .iter()
            .filter(|(from, _, tag, _)| *from == role(victim) && *tag == format!("sums/0/{name}"));
        hits.map(|(_, _, _, body)| body.clone()).collect::<Vec<_>>()
    };
    // what the victim sends of its vector: less its true values, what is left is uniform in every byte
    let masked = &of("masked")[0];
    let (words, _) = masked[..len * 8].as_chunks::<8>();
    let noise: Vec<u64> = words
        .iter()
        .zip(vector(victim, 0, len))
        .map(|(w, v)| u64::from_le_bytes(*w).wrapping_sub(v))
        .collect();
    // mean 255, standard deviation 22.6: six of them
    assert!(
        chi_squares(&noise)
            .iter()
            .all(|chi| (120.0..391.0).contains(chi))
    );
    // the sum as the adder sees it is not the sum
    let result = log
        .iter()
        .find(|(_, to, tag, _)| *to == role(0) && tag.ends_with("result"))
        .unwrap();
    let (seen, _) = result.3[33..].as_chunks::<8>();
    let same = seen
        .iter()
        .zip(&sum.words)
        .filter(|(s, w)| u64::from_le_bytes(**s) == **w);
    assert_eq!(same.count(), 0);
    // one share for each client and no more leaves any bank, and none of a mask key: all survived
    for (from, _, tag, body) in &log {
        if tag.ends_with("reveal") {
            assert_eq!(body.len(), n * 32, "{from}");
        }
    }
    // threshold 4: the two banks' own shares of the victim's mask key are two, and none was revealed
    assert_eq!(usual_threshold(n), 4);
}

/// Sum of squared deviations from uniform counts of each byte; 255 degrees of freedom.
fn chi_squares(words: &[u64]) -> Vec<f64> {
    let expected = words.len() as f64 / 256.0;
    let of_byte = |shift: u32| {
        let mut counts = [0f64; 256];
        for w in words {
            counts[usize::from((w >> shift) as u8)] += 1.0;
        }
        counts
            .iter()
            .map(|c| (c - expected).powi(2) / expected)
            .sum()
    };
    (0..64).step_by(8).map(of_byte).collect()
}

#[test]
fn what_two_banks_and_the_adder_can_strip_leaves_uniform_words_and_the_honest_sum() {
    use paripassu_crypto::{masking::MaskSecret, sum_tag::Tag};

    use super::mask::{self, Mask};

    let (n, len, session) = (5, 60_000, [8; 32]);
    let honest = [2, 3, 4];
    let keys: Vec<MaskSecret> = (0..n).map(|_| MaskSecret::fresh().unwrap()).collect();
    let pair = |a: usize, b: usize| {
        let seed = keys[a].seed_with(&keys[b].public(), &session).unwrap();
        Mask::between(&seed, a, b)
    };
    let (self_seed, blind) = (|c: usize| [c as u8 + 1; 32], |c: usize| [c as u8 + 101; 32]);
    let strip = |words: &mut Vec<u64>, masks: Vec<Mask>| {
        mask::apply(&masks, words, Tag([0; 2]), Kind::Words);
    };
    let mut stripped: Vec<Vec<u64>> = Vec::new();
    for me in honest {
        let mut words = vector(me, 0, len);
        let mut masks = vec![Mask::added(&self_seed(me)), Mask::added(&blind(me))];
        masks.extend((0..n).filter(|p| *p != me).map(|p| pair(me, p)));
        strip(&mut words, masks);
        // banks 0 and 1 know the blinds and their own pairwise masks; once all have survived, the adder
        // knows every self mask
        let known = vec![
            Mask::subtracted(&self_seed(me)),
            Mask::subtracted(&blind(me)),
        ];
        strip(&mut words, known);
        strip(&mut words, [0, 1].map(|p| pair(me, p).reversed()).into());
        stripped.push(words);
    }
    for (me, words) in honest.iter().zip(&stripped) {
        let noise: Vec<u64> = words
            .iter()
            .zip(vector(*me, 0, len))
            .map(|(w, v)| w.wrapping_sub(v))
            .collect();
        for seen in [words, &noise] {
            // mean 255, standard deviation 22.6: six of them
            assert!(
                chi_squares(seen)
                    .iter()
                    .all(|chi| (120.0..391.0).contains(chi)),
                "{me}"
            );
        }
    }
    let sum: Vec<u64> = (0..len)
        .map(|j| {
            stripped
                .iter()
                .fold(0u64, |s, words| s.wrapping_add(words[j]))
        })
        .collect();
    assert_eq!(
        sum,
        plain(honest.into_iter().collect(), 0, len),
        "what the sum itself says"
    );
    // the test can fail: with an honest bank's own masks the vector lies open
    strip(
        &mut stripped[0],
        [3, 4].map(|p| pair(2, p).reversed()).into(),
    );
    assert_eq!(stripped[0], vector(2, 0, len));
    assert!(chi_squares(&stripped[0]).iter().any(|chi| *chi > 1e4));
}

#[tokio::test]
async fn banks_at_different_steps_are_told_apart() {
    let params = params(3, None);
    let p = params.clone();
    let adder = |ctx| async move { serve(&ctx, &p).await.map(drop) };
    let results = world(3)
        .run(
            |me, ctx| {
                let params = params.clone();
                async move {
                    let ctx = ctx.with_deadline(Duration::from_millis(500));
                    let mut client = Client::join(&ctx, params, roots(me, 3)).await?;
                    let len = if me == 1 { 4 } else { 5 };
                    client.sum("gradient", vec![1; len]).await
                }
            },
            adder,
        )
        .await;
    assert!(results.iter().all(Result::is_err));
}

#[tokio::test]
async fn values_that_might_not_fit_are_refused_before_anything_is_sent() {
    let world = world(3);
    let params = params(3, None);
    let p = params.clone();
    let results = world
        .run(
            |me, ctx| {
                let params = params.clone();
                async move {
                    let mut client = Client::join(&ctx, params, roots(me, 3)).await?;
                    let most = client.limit();
                    client.sum("x", vec![1, most.wrapping_neg()]).await
                }
            },
            |ctx| async move { serve(&ctx, &p).await.map(drop) },
        )
        .await;
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.code(), "out_of_range");
        assert!(error.to_string().contains("value 1"), "{error}");
    }
    assert!(
        !world
            .log()
            .iter()
            .any(|(_, _, tag, _)| tag.ends_with("/keys") && !tag.contains("join"))
    );
}

#[test]
fn thresholds_are_bounded() {
    assert_eq!(
        [3, 4, 5, 6, 10, 200].map(usual_threshold),
        [3, 3, 4, 5, 7, 134]
    );
    assert_eq!([3, 4, 5, 6, 10].map(least_threshold), [3, 3, 3, 4, 6]);
    let new = |n, t| Params::new(n, t, [0; 32], Duration::from_secs(1));
    for (n, t) in [
        (2, None),
        (201, None),
        (5, Some(2)),
        (5, Some(6)),
        (10, Some(5)),
    ] {
        assert!(new(n, t).is_err(), "{n} {t:?}");
    }
    assert!(new(10, Some(6)).is_ok());
    let few: Members = [0, 63, 64, 199].into_iter().collect();
    assert_eq!(few.count(), 4);
    assert_eq!(
        few.without(&Members::first(64)).iter().collect::<Vec<_>>(),
        [64, 199]
    );
}
