//! Party 1 or the network misbehaves: party 0 must name party 1 and the step, and keep nothing.

use super::*;

/// Changes the bytes of one message of party 1.
fn edit(
    name: &'static str,
    change: fn(&mut Vec<u8>),
) -> impl Fn(Role, Role, &Tag, &Bytes) -> Intercept {
    move |from, _, tag, body| {
        if from == B && tag.as_str() == format!("align/{name}") {
            let mut body = body.to_vec();
            change(&mut body);
            Intercept::Replace(body.into())
        } else {
            Intercept::Pass
        }
    }
}

async fn attacked(
    attack: impl Fn(Role, Role, &Tag, &Bytes) -> Intercept + Send + Sync + 'static,
) -> Abort {
    let world = World::new(2).with_attack(attack);
    let (a, b) = (customers(0, 100, 1), customers(50, 150, 2));
    let out = run_with(&world, [&a, &b], [params(), params()]).await;
    match out.into_iter().next() {
        Some(Err(e)) => e,
        other => panic!("the honest party accepted: {other:?}"),
    }
}

const MESSAGES: [&str; 6] = [
    "hello", "masked-0", "masked-1", "tags-0", "tags-1", "outcome",
];

#[tokio::test(start_paused = true)]
async fn dropped_messages_name_the_peer() {
    for name in MESSAGES {
        let e = attacked(move |from, _, tag, _| {
            match from == B && tag.as_str() == format!("align/{name}") {
                true => Intercept::Drop,
                false => Intercept::Pass,
            }
        })
        .await;
        assert_eq!(
            (e.code(), e.culprit()),
            ("channel_timeout", Some(B)),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_messages_name_the_peer() {
    for name in MESSAGES {
        let e = attacked(move |from, _, tag, _| {
            match from == B && tag.as_str() == format!("align/{name}") {
                true => Intercept::Repeat,
                false => Intercept::Pass,
            }
        })
        .await;
        let want = ("channel_equivocation", Some(B));
        assert_eq!((e.code(), e.culprit()), want, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn truncated_and_extended_messages_name_the_peer_and_the_step() {
    for name in MESSAGES {
        for change in [
            (|b| b.truncate(b.len() - 1)) as fn(&mut Vec<u8>),
            |b| b.push(0),
            Vec::clear,
        ] {
            let e = attacked(edit(name, change)).await;
            assert_eq!((e.code(), e.culprit()), ("malformed", Some(B)), "{name}");
            assert!(e.to_string().contains(&format!("`align/{name}`")), "{e}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn flipped_bits_name_the_peer() {
    for name in MESSAGES {
        let e = attacked(edit(name, |b| b[0] ^= 1)).await;
        assert_eq!((e.code(), e.culprit()), ("disagreement", Some(B)), "{name}");
    }
    // The announced number of frames.
    for (flip, code) in [(0x40, "too_many_rows"), (0x01, "channel_timeout")] {
        let change: fn(&mut Vec<u8>) = match flip {
            0x40 => |b| b[49] ^= 0x40,
            _ => |b| b[46] ^= 0x01,
        };
        let e = attacked(edit("hello", change)).await;
        assert_eq!((e.code(), e.culprit()), (code, Some(B)));
    }
}

#[tokio::test(start_paused = true)]
async fn unusable_values_name_the_peer() {
    let set = |name, from: usize, change: fn(&mut [u8])| (name, from, change);
    for ((name, from, change), text) in [
        (
            set("masked-1", 32, |b| b[..32].fill(0)),
            "item 1 is a point of small order",
        ),
        (
            set("masked-1", 64, |b| b[31] |= 0x80),
            "item 2 is not a canonical",
        ),
        (
            set("masked-1", 0, |b| b.copy_within(..32, 64)),
            "more than once",
        ),
        (
            set("masked-0", 0, |b| b.copy_within(..32, 64)),
            "more than once",
        ),
        (set("tags-1", 16, |b| b[..16].fill(0)), "zero"),
        (
            set("tags-1", 0, |b| b.copy_within(..16, 32)),
            "one tag for two",
        ),
    ] {
        let e = attacked(move |sender, _, tag, body| {
            if sender != B || tag.as_str() != format!("align/{name}") {
                return Intercept::Pass;
            }
            let mut body = body.to_vec();
            change(&mut body[from..]);
            Intercept::Replace(body.into())
        })
        .await;
        assert_eq!(
            (e.code(), e.culprit()),
            ("malformed", Some(B)),
            "{name}: {e}"
        );
        assert!(e.to_string().contains(text), "{e}");
    }
}

/// A party without any id that sends back what it gets would seem to hold every customer.
#[tokio::test]
async fn a_party_that_reflects_is_caught_by_the_padding() {
    let world = World::new(2);
    let ids = customers(0, 100, 1);
    let cheat = async {
        let ctx = world.ctx(B).narrow("align");
        let hello = ctx.recv(A, "hello").await?;
        ctx.send(A, "hello", hello).await?;
        for i in 0..2 {
            let points = ctx.recv(A, &format!("masked-{i}")).await?;
            ctx.send(A, &format!("masked-{i}"), points).await?;
            let tags = ctx.recv(A, &format!("tags-{i}")).await?;
            ctx.send(A, &format!("tags-{i}"), tags).await?;
        }
        Ok::<_, Abort>(())
    };
    let ctx = world.ctx(A);
    let p = params();
    let honest = align::run(&ctx, Method::Curve, &p, IterIds(ids.into_iter()), |_, _| {});
    let (honest, cheat) = tokio::join!(honest, cheat);
    cheat.unwrap();
    let Err(e) = honest else { panic!("accepted") };
    assert_eq!((e.code(), e.culprit()), ("malformed", Some(B)));
    assert!(e.to_string().contains("padding"), "{e}");
}
