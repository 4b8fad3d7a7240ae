//! One party or the network misbehaves: the other must name it and the step, and keep nothing.

use super::*;

/// 100 customers of each party, half in common; party 0 sends, party 1 encodes.
async fn attacked(
    attack: impl Fn(Role, Role, &Tag, &Bytes) -> Intercept + Send + Sync + 'static,
) -> Vec<Result<Alignment, Abort>> {
    let world = World::new(2).with_attack(attack);
    let (a, b) = (customers(0, 100, 1), customers(50, 150, 2));
    run_with(&world, [&a, &b], [params(), params()]).await
}

/// Changes the bytes of one message of a party.
fn edit(
    of: Role,
    name: &'static str,
    change: impl Fn(&mut Vec<u8>) + Send + Sync + 'static,
) -> impl Fn(Role, Role, &Tag, &Bytes) -> Intercept + Send + Sync + 'static {
    move |from, _, tag, body| {
        if from == of && tag.as_str() == format!("align/{name}") {
            let mut body = body.to_vec();
            change(&mut body);
            Intercept::Replace(body.into())
        } else {
            Intercept::Pass
        }
    }
}

/// The error of the honest party.
fn victim(out: Vec<Result<Alignment, Abort>>, cheat: Role) -> Abort {
    let honest = if cheat == A { 1 } else { 0 };
    match out.into_iter().nth(honest) {
        Some(Err(e)) => e,
        other => panic!("the honest party accepted: {other:?}"),
    }
}

const OF_SENDER: [&str; 11] = [
    "hello",
    "coin",
    "size",
    "base-request",
    "column-challenge",
    "seed-trees",
    "seed-proof",
    "trees-0",
    "proof-0",
    "outputs-0",
    "outcome",
];
const OF_ENCODER: [&str; 11] = [
    "hello",
    "coin",
    "size",
    "base-reply",
    "columns",
    "column-answer",
    "seed-challenge",
    "challenge",
    "masked-0",
    "found-0",
    "outcome",
];

fn all() -> impl Iterator<Item = (Role, &'static str)> {
    let sender = OF_SENDER.into_iter().map(|n| (A, n));
    sender.chain(OF_ENCODER.into_iter().map(|n| (B, n)))
}

#[tokio::test(start_paused = true)]
async fn dropped_and_repeated_messages_name_the_peer() {
    for (of, name) in all() {
        for (fate, code) in [
            (Intercept::Drop, "channel_timeout"),
            (Intercept::Repeat, "channel_equivocation"),
        ] {
            let out = attacked(move |from, _, tag, _| {
                match from == of && tag.as_str() == format!("align/{name}") {
                    true => fate.clone(),
                    false => Intercept::Pass,
                }
            })
            .await;
            let e = victim(out, of);
            assert_eq!((e.code(), e.culprit()), (code, Some(of)), "{name}: {e}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_another_length_name_the_peer() {
    for (of, name) in all() {
        for longer in [false, true] {
            let out = attacked(edit(of, name, move |b| {
                match longer {
                    true => b.push(0),
                    false => b.truncate(b.len() - 1),
                };
            }))
            .await;
            let e = victim(out, of);
            assert_eq!(
                (e.code(), e.culprit()),
                ("malformed", Some(of)),
                "{name}: {e}"
            );
            assert!(e.to_string().contains(&format!("align/{name}")), "{e}");
        }
    }
}

/// One bit anywhere: nobody ends with a result, and whoever notices first names the other.
#[tokio::test(start_paused = true)]
async fn altered_messages_end_the_run_at_both() {
    for (of, name) in all() {
        for at in [0, 7] {
            let out = attacked(edit(of, name, move |b| {
                let at = b.len() * at / 8;
                b[at] ^= 1;
            }))
            .await;
            for (i, result) in out.into_iter().enumerate() {
                let peer = Role::Party(1 - i as u8);
                match result {
                    Err(e) => assert_eq!(e.culprit(), Some(peer), "{name}: {e}"),
                    // the last message: who sent it is done
                    Ok(_) => assert_eq!((name, peer), ("outcome", if of == A { B } else { A })),
                }
            }
        }
    }
}

/// Messages of an earlier run, one at a time.
#[tokio::test(start_paused = true)]
async fn replayed_messages_end_the_run() {
    let world = World::new(2);
    let (a, b) = (customers(0, 100, 1), customers(50, 150, 2));
    run_with(&world, [&a, &b], [params(), params()]).await;
    for (of, _, tag, old) in world.log() {
        if tag == "align/size" {
            continue; // it says the same in both runs
        }
        let name = tag.clone();
        let out = attacked(
            move |from, _, tag, _| match from == of && tag.as_str() == name {
                true => Intercept::Replace(old.clone()),
                false => Intercept::Pass,
            },
        )
        .await;
        let e = victim(out, of);
        assert_eq!(e.culprit(), Some(of), "{tag}: {e}");
    }
}

/// A sender whose trees are not what its proof says.
#[tokio::test(start_paused = true)]
async fn a_senders_inconsistent_trees_are_caught_by_the_proof() {
    for (name, proof) in [("seed-trees", "seed-proof"), ("trees-0", "proof-0")] {
        // the last element is the last tree's tip, which always matters
        let out = attacked(edit(A, name, |b| {
            let last = b.len() - 1;
            b[last] ^= 0x40;
        }))
        .await;
        let e = victim(out, A);
        assert_eq!((e.code(), e.culprit()), ("malformed", Some(A)), "{e}");
        let text = e.to_string();
        assert!(
            text.contains(proof) && text.contains("consistency"),
            "{text}"
        );
    }
}

/// An encoder that uses other bits in half of the columns, to see bits of the secret.
#[tokio::test(start_paused = true)]
async fn an_encoders_inconsistent_columns_are_caught() {
    let out = attacked(edit(B, "columns", |b| {
        let column = b.len() / 128;
        for i in 0..64 {
            b[i * column] ^= 1;
        }
    }))
    .await;
    let e = victim(out, B);
    assert_eq!((e.code(), e.culprit()), ("malformed", Some(B)), "{e}");
    assert!(e.to_string().contains("consistency check"), "{e}");
}

/// An encoder that alters its table finds less; one that then claims more is caught.
#[tokio::test(start_paused = true)]
async fn an_encoder_cannot_claim_what_it_did_not_bring() {
    for (bits, text) in [
        // all outputs, padding among them
        (0xff_u8, "padding"),
        // one output less than the proof is for
        (0, "did not bring"),
    ] {
        let out = attacked(edit(B, "found-0", move |b| {
            let end = b.len() - 32;
            match bits {
                0 => {
                    // takes one member off, and keeps the proof
                    let byte = b[..end].iter().position(|x| *x != 0).unwrap();
                    b[byte] &= b[byte] - 1;
                }
                _ => b[..end].fill(bits),
            }
        }))
        .await;
        let e = victim(out, B);
        assert_eq!((e.code(), e.culprit()), ("malformed", Some(B)), "{e}");
        assert!(e.to_string().contains(text), "{e}");
    }
}

/// A sender that makes its half of the oracle's key fit what it saw.
#[tokio::test(start_paused = true)]
async fn a_sender_cannot_change_its_half_of_the_coin_nor_the_order() {
    for (change, text) in [
        (
            (|b: &mut Vec<u8>| {
                let n = b.len();
                b[n - 5] ^= 1;
            }) as fn(&mut Vec<u8>),
            "committed",
        ),
        (
            |b: &mut Vec<u8>| {
                let (one, two) = b.split_at_mut(16);
                one.swap_with_slice(&mut two[..16]);
            },
            "ascending",
        ),
        (|b: &mut Vec<u8>| b.copy_within(..16, 16), "ascending"),
    ] {
        let out = attacked(edit(A, "outputs-0", change)).await;
        let e = victim(out, A);
        assert_eq!((e.code(), e.culprit()), ("malformed", Some(A)), "{e}");
        assert!(e.to_string().contains(text), "{e}");
    }
}

/// Announced sizes beyond what a node allows are refused before anything is made.
#[tokio::test(start_paused = true)]
async fn oversized_sets_are_refused() {
    for (announced, honest, code) in [
        (u32::MAX, 1, "too_many_rows"),
        (0, 1, "malformed"),
        (20, 1, "too_many_rows"),
    ] {
        let out = {
            let world = World::new(2).with_attack(edit(A, "size", move |b| {
                b.copy_from_slice(&u32::to_le_bytes(announced));
            }));
            let small = Params {
                max_rows: 1_000,
                ..params()
            };
            let ids = customers(0, 100, 1);
            run_with(&world, [&ids, &ids], [small.clone(), small]).await
        };
        let e = out[honest].as_ref().unwrap_err();
        assert_eq!((e.code(), e.culprit()), (code, Some(A)), "{announced}: {e}");
        assert!(e.to_string().contains("announces"), "{e}");
    }
    // a small set's table has columns for many more ids than it announces
    let few = Params {
        max_rows: 5_000,
        ..params()
    };
    let world = World::new(2);
    let (large, small) = (customers(0, 300, 1), customers(0, 40, 2));
    let out = run_with(&world, [&large, &small], [few, params()]).await;
    let e = out[0].as_ref().unwrap_err();
    assert_eq!((e.code(), e.culprit()), ("too_many_rows", Some(B)), "{e}");
    assert!(e.to_string().contains("could try"), "{e}");
}
