//! Bounded sums against plain ones; long vectors, wrong answers, lost clients, an adder that asks twice.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    channel::Tag,
    horizontal::secagg::{Params, serve},
    testing::{Attack, Intercept, World},
};

const CLIENTS: usize = 5;
const LEN: usize = 60;

fn vector(client: usize, k: usize) -> Vec<i64> {
    let of = |j: usize| (j * 37 + client * 1009 + k * 11) as i64 % 4001 - 2000;
    (0..LEN).map(of).collect()
}

fn plain(members: Members, k: usize) -> Vec<u64> {
    let mut sum = vec![0i64; LEN];
    for client in members.iter() {
        let own = vector(client, k);
        sum.iter_mut().zip(own).for_each(|(s, v)| *s += v);
    }
    sum.into_iter().map(|s| s as u64).collect()
}

fn world() -> World {
    World::new(CLIENTS as u8).with_deadline(Duration::from_secs(6))
}

/// All clients ask for three bounded sums; `long` gives ten times its vector turned around in the second.
async fn run(world: World, long: Option<usize>) -> Vec<Result<Vec<(Sum, Members)>, Abort>> {
    let mut params = Params::new(CLIENTS, Some(3), [9; 32], Duration::from_secs(6)).unwrap();
    (params.patience, params.limit) = (Duration::from_secs(1), Duration::from_secs(3));
    let params = Arc::new(params);
    let served = params.clone();
    world
        .run(
            |me, ctx| {
                let params = params.clone();
                async move {
                    let root = |peer: usize| {
                        let mut root = [7; 32];
                        (root[0], root[1]) = (me.min(peer) as u8, me.max(peer) as u8);
                        Zeroizing::new(root)
                    };
                    let roots = (0..CLIENTS).map(root).collect();
                    let mut client = Client::join(&ctx, (*params).clone(), roots).await?;
                    let mut all = Vec::new();
                    for k in 0..3 {
                        let mut values = vector(me, k);
                        let purpose = format!("test {k}");
                        let sum = if long == Some(me) && k == 1 {
                            values.iter_mut().for_each(|x| *x *= -10);
                            // as honest software would not
                            assert!(client.bounded_sum(&purpose, &values).await.is_err());
                            client.bounded_sum_of(&purpose, &values).await?
                        } else {
                            client.bounded_sum(&purpose, &values).await?
                        };
                        all.push((sum, client.refused()));
                    }
                    client.done().await?;
                    Ok(all)
                }
            },
            |ctx| async move { serve(&ctx, &served).await.map(drop) },
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_short_vectors_are_exact() {
    for result in run(world(), None).await {
        for (k, (sum, refused)) in result.unwrap().into_iter().enumerate() {
            assert_eq!(sum.members, Members::first(CLIENTS));
            assert_eq!(sum.words, plain(sum.members, k));
            assert_eq!((sum.attempts, refused.count()), (1, 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_long_vector_is_named_and_left_out_from_there_on() {
    let long: Members = [3].into_iter().collect();
    let others = Members::first(CLIENTS).without(&long);
    for result in run(world(), Some(3)).await {
        let all = result.unwrap();
        assert_eq!(all[0].0.words, plain(Members::first(CLIENTS), 0));
        assert_eq!(all[0].1.count(), 0);
        for (k, (sum, refused)) in all.iter().enumerate().skip(1) {
            assert_eq!((sum.members, *refused), (others, long));
            assert_eq!(sum.words, plain(others, k));
        }
    }
}

/// Does something to a message of one client in the first sum.
fn on(client: usize, name: &'static str, what: fn(&Bytes) -> Intercept) -> impl Attack {
    move |from: Role, _: Role, tag: &Tag, body: &Bytes| {
        let hit = from == role(client) && tag.as_str() == format!("sums/0/{name}");
        if hit { what(body) } else { Intercept::Pass }
    }
}

fn turned(at: usize) -> impl Fn(&Bytes) -> Intercept {
    move |body| {
        let mut other = body.to_vec();
        other[at] ^= 1;
        Intercept::Replace(other.into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_lost_at_any_message_leaves_a_right_sum_and_comes_back() {
    for name in ["masked", "proof", "seen", "answers"] {
        let world = world().with_attack(on(1, name, |_| Intercept::Drop));
        let without = Members::first(CLIENTS).without(&[1].into_iter().collect());
        for result in run(world, None).await {
            let all = result.unwrap_or_else(|e| panic!("{name}: {e}"));
            // lost while vectors are judged, it is there again when the sum is tried again
            let (members, attempts) = match name {
                "masked" => (without, 1),
                _ => (Members::first(CLIENTS), 2),
            };
            let first = &all[0].0;
            assert_eq!(
                (first.members, first.attempts),
                (members, attempts),
                "{name}"
            );
            assert_eq!(first.words, plain(members, 0), "{name}");
            assert_eq!(all[2].0.members, Members::first(CLIENTS), "{name}");
            assert_eq!(
                all[2].1.count(),
                0,
                "{name}: nobody is refused for being late"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_false_witness_or_proof_is_left_out() {
    // behind the vector and its tag; and anywhere in a proof
    for (name, at) in [
        ("masked", LEN * 8 + 16 + 800),
        ("proof", 8),
        ("proof", 1200),
    ] {
        let world = world().with_attack(move |from: Role, to: Role, tag: &Tag, body: &Bytes| {
            let what = turned(at);
            let hit = from == role(2) && to == Role::Helper;
            match hit && tag.as_str() == format!("sums/0/{name}") {
                true => what(body),
                false => Intercept::Pass,
            }
        });
        for result in run(world, None).await {
            let all = result.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(all[2].1.iter().collect::<Vec<_>>(), [2], "{name} {at}");
            assert!(!all[0].0.members.contains(2));
            assert_eq!(all[0].0.words, plain(all[0].0.members, 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_answer_ends_the_job_and_never_refuses_an_honest_client() {
    // of a mask; of a blind
    for at in [0, usize::MAX] {
        let world = world().with_attack(move |from: Role, _: Role, tag: &Tag, body: &Bytes| {
            match from == role(4) && tag.as_str() == "sums/0/answers" {
                true => turned(at.min(body.len() - 8))(body),
                false => Intercept::Pass,
            }
        });
        let errors: Vec<String> = run(world, None)
            .await
            .into_iter()
            .map(|r| r.unwrap_err().to_string())
            .collect();
        assert!(
            errors.iter().all(|e| !e.contains("longer than")),
            "{errors:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adder_that_asks_banks_different_questions_gets_no_answer() {
    let world = world().with_attack(|from: Role, to: Role, tag: &Tag, body: &Bytes| {
        let hit = from == Role::Helper && to == role(0) && tag.as_str() == "sums/0/question";
        if hit {
            turned(40)(body)
        } else {
            Intercept::Pass
        }
    });
    let results = run(world, None).await;
    assert!(results.iter().all(Result::is_err));
    let told = |e: &Abort| e.to_string().contains("asks banks different ones");
    assert!(results.iter().any(|r| r.as_ref().is_err_and(told)));
}

#[test]
fn pairs_that_differ_name_both_and_liars_about_blinds_are_outvoted() {
    let of = Statement::new(2).unwrap();
    let survivors = Members::first(3);
    let case = Case {
        len: 2,
        survivors,
        vectors: BTreeMap::new(),
        selves: BTreeMap::new(),
        left: Vec::new(),
    };
    let said = |by: usize, _: usize| Some(vec![u64::from(by == 1); of.answer_len()]);
    assert_eq!(case.agreed(0, &said), Err(1));
    let all = |_: usize, _: usize| Some(vec![4; 2]);
    assert_eq!(case.agreed(0, &all), Ok(vec![4; 2]));
    assert_eq!(case.answers_len(&of), 7 * of.answer_len() * 8);
}
