//! How many are common, and that nobody sees who.

use super::*;
use crate::align::ecdh::size::{self, Size, SizeBucket, buckets};

async fn sizes(
    world: &World,
    sets: [Vec<String>; 2],
    min_matched: u64,
) -> (Vec<Result<Size, Abort>>, Option<u64>) {
    let params = Params {
        min_matched,
        ..params()
    };
    let counted = Arc::new(Mutex::new(None));
    let out = world
        .run(
            |i, ctx| {
                let (ids, params) = (IterIds(sets[i].clone().into_iter()), params.clone());
                async move { size::run(&ctx, &params, ids, |_, _| {}).await }
            },
            {
                let (params, counted) = (params.clone(), counted.clone());
                |ctx| async move {
                    *counted.lock().unwrap() = Some(size::count(&ctx, &params).await?);
                    Ok(())
                }
            },
        )
        .await;
    let counted = *counted.lock().unwrap();
    (out, counted)
}

#[test]
fn buckets_rise_and_none_is_narrower_than_the_least_size() {
    assert_eq!(buckets(100)[..6], [100, 200, 500, 1_000, 2_000, 5_000]);
    assert_eq!(buckets(1)[..5], [1, 2, 5, 10, 20]);
    assert_eq!(buckets(0), buckets(1));
    for least in [1, 7, 100, 130, 999, 40_000, 3_000_000_000, 1 << 62] {
        let edges = buckets(least);
        assert!(edges[0] == least && edges.len() < 250, "{edges:?}");
        assert!(
            edges.array_windows().all(|[a, b]| a + least <= *b),
            "{edges:?}"
        );
    }
}

#[tokio::test]
async fn tells_the_bucket_of_exactly_how_many_are_common() {
    let skewed: Vec<String> = (0..400)
        .map(|i| "x".repeat(i % 7 + 1) + &i.to_string())
        .collect();
    for (a, b, common, from, below) in [
        (customers(0, 0, 1), customers(0, 0, 2), 0, 0, 10),
        (customers(0, 0, 1), customers(0, 50, 2), 0, 0, 10),
        (customers(0, 300, 1), customers(300, 900, 2), 0, 0, 10),
        (customers(0, 300, 1), customers(291, 900, 2), 9, 0, 10),
        (customers(0, 300, 1), customers(290, 900, 2), 10, 10, 20),
        (customers(0, 700, 1), customers(600, 900, 2), 100, 100, 200),
        (customers(0, 700, 1), customers(0, 700, 2), 700, 500, 1_000),
        (skewed.clone(), skewed, 400, 200, 500),
    ] {
        let world = World::new(2);
        let (out, counted) = sizes(&world, [a, b], 10).await;
        assert_eq!(counted, Some(common));
        let below = Some(below);
        for size in out {
            assert_eq!(size.unwrap().bucket, SizeBucket { from, below });
        }
    }
    let twice = vec!["a".to_owned(), "b".into(), "a".into()];
    let world = World::new(2).with_deadline(std::time::Duration::from_millis(200));
    let (out, _) = sizes(&world, [twice, customers(0, 9, 1)], 10).await;
    let said = out[0].as_ref().unwrap_err().to_string();
    assert!(said.contains("same id"), "{said}");
}

/// What each node is sent says nothing of which ids are common: all that a party gets is masked by the other, all that
/// the helper gets is sorted.
#[tokio::test]
async fn nobody_is_sent_what_would_tell_who_is_common() {
    let world = World::new(2);
    let (a, b) = (customers(0, 300, 1), customers(200, 500, 2));
    let (out, counted) = sizes(&world, [a, b], 10).await;
    assert!(out.iter().all(Result::is_ok) && counted == Some(100));
    let mut seen: [HashSet<Vec<u8>>; 3] = Default::default();
    for (from, to, tag, body) in world.log() {
        let (width, at) = match (tag.as_str(), to) {
            (tag, Role::Party(p)) if tag.starts_with("align/masked-") => (32, usize::from(p)),
            (tag, Role::Helper) if tag.starts_with("align/sorted-") => (16, 2),
            _ => {
                // everything else has one length, whatever is common
                let short = ["hello", "outcome", "tags-", "sorted", "taken-", "bucket"];
                assert!(short.iter().any(|s| tag.contains(s)), "{tag} from {from}");
                assert!(
                    !tag.contains("tags-") || body.is_empty(),
                    "no value comes back"
                );
                assert!(!tag.contains("bucket") || body.len() == 1);
                continue;
            }
        };
        let values: Vec<&[u8]> = body.chunks(width).collect();
        assert!(
            width == 32 || values.is_sorted_by(|a, b| a < b),
            "in ascending order"
        );
        seen[at].extend(values.into_iter().map(|v| v[..16].to_vec()));
    }
    // the parties see nothing twice, neither of their own nor of each other's, and the helper nothing that they saw
    let [one, two, helper] = &seen;
    assert!(one.is_disjoint(two) && helper.is_disjoint(one) && helper.is_disjoint(two));
    // 300 and padding each, 100 of them equal
    assert_eq!((one.len(), two.len(), helper.len()), (384, 384, 668));
}

#[tokio::test(start_paused = true)]
async fn altered_or_unsorted_values_end_the_run_in_their_senders_name() {
    for (what, who) in [
        ("align/sorted-0", B),
        ("align/masked-0", B),
        ("align/tags-0", B),
    ] {
        let attack = move |from: Role, _: Role, tag: &Tag, body: &Bytes| {
            if from != who || tag.as_str() != what {
                return Intercept::Pass;
            }
            let mut body = body.to_vec();
            match body.len() {
                0 => body.push(1),
                n => body.swap(0, n - 16),
            }
            Intercept::Replace(body.into())
        };
        let world = World::new(2).with_attack(attack);
        let (out, counted) = sizes(&world, [customers(0, 90, 1), customers(0, 90, 2)], 10).await;
        assert!(out.iter().any(Result::is_err), "{what}");
        if what == "align/sorted-0" {
            assert_eq!(counted, None);
        } else {
            assert_eq!(out[0].as_ref().unwrap_err().culprit(), Some(who), "{what}");
        }
    }
}
