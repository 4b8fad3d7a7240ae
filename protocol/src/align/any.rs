//! The customers of party 0 that at least one other party has: party 0 is matched with each other party by
//! itself.
//!
//! # What each learns
//! Party 0: which of its customers each single other party has, so also who is common to several. Every other
//! party: which of its own customers party 0 has, and whether party 0 has as many as asked for with all
//! others together. Parties other than 0 learn nothing of one another. All else as the method's, by pair.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::future;

use super::{Course, Keyed, Keys, Method, Params, keys};
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    ctx::Ctx,
};

/// Matches party 0's ids with those of each other party, below the step `align`, by each of `keys` in turn. At party 0
/// one result for each other party, in their order; at every other one its own.
///
/// # Errors
/// As [`super::run`]; [`Abort::TooFewMatched`] at all parties when party 0 has fewer customers in common with
/// all others together than asked for.
///
/// # Leakage
/// As at the head of this module.
pub async fn run_any<C, K, P>(
    ctx: &Ctx<C>,
    method: Method,
    params: &Params,
    own: &mut K,
    progress: P,
) -> Result<Vec<Keyed>, Abort>
where
    C: Channel,
    K: Keys,
    P: Fn(u64, u64) + Send + Sync,
{
    let ctx = ctx.narrow("align");
    let centre = Role::Party(0);
    let peers: Vec<Role> = match ctx.role() {
        Role::Party(0) => ctx.peers().collect(),
        Role::Party(_) => vec![centre],
        Role::Helper => {
            return Err(Abort::Input(
                "the helper takes no part in an alignment".into(),
            ));
        }
    };
    let (pairs, mut found) = (peers.len() as u64, Vec::new());
    for (k, peer) in (0..).zip(&peers) {
        let spoke = if ctx.role() == centre {
            *peer
        } else {
            ctx.role()
        };
        let step = ctx.narrow(format!("with-{}", spoke.index().unwrap_or_default()));
        let told = |done: u64, of: u64| progress(k * of + done, pairs * of);
        found.push(
            keys::each(
                &step,
                Some(*peer),
                method,
                params,
                own,
                &Course::default(),
                &told,
            )
            .await?,
        );
    }
    let step = ctx.narrow("any");
    let enough = match ctx.role() == centre {
        true => {
            let all: HashSet<u32> = found
                .iter()
                .flat_map(|pair| pair.alignment.rows.iter().copied())
                .collect();
            let enough = all.len() as u64 >= params.min_matched;
            let word = Bytes::from(vec![u8::from(enough)]);
            let sent = peers.iter().map(|p| step.send(*p, "enough", word.clone()));
            future::try_join_all(sent).await?;
            enough
        }
        false => match step.recv(centre, "enough").await?[..] {
            [0] => false,
            [1] => true,
            _ => {
                return Err(Abort::Malformed {
                    from: centre,
                    step: format!("{}/enough", step.path()),
                    problem: "expected a 0 or a 1".into(),
                });
            }
        },
    };
    match enough {
        true => Ok(found),
        false => Err(Abort::TooFewMatched {
            step: ctx.path().to_owned(),
            matched: found
                .iter()
                .map(|pair| pair.alignment.rows.len() as u64)
                .max()
                .unwrap_or_default(),
            min: params.min_matched,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{align::keys::tests::Table, testing::World};

    async fn run_in(
        sets: [std::ops::Range<u32>; 3],
        method: Method,
        min_matched: u64,
    ) -> Vec<Result<Vec<Keyed>, Abort>> {
        World::new(3)
            .run(
                |i, ctx| {
                    let set: Vec<String> = sets[i].clone().map(|c| format!("c{c}")).collect();
                    let params = Params {
                        batch: 128,
                        min_matched,
                        ..Params::new([3; 32])
                    };
                    async move {
                        let mut ids = Table::of(vec![set]);
                        run_any(&ctx, method, &params, &mut ids, |_, _| {}).await
                    }
                },
                |_| async { Ok(()) },
            )
            .await
    }

    #[tokio::test]
    async fn party_0_learns_each_pair_and_the_others_their_own() {
        for method in Method::ALL {
            let out = run_in([0..100, 90..140, 95..99], method, 10).await;
            let rows: Vec<Vec<Vec<u32>>> = out
                .into_iter()
                .map(|o| {
                    o.unwrap()
                        .into_iter()
                        .map(|pair| pair.alignment.rows)
                        .collect()
                })
                .collect();
            let [centre, one, two] = &rows[..] else {
                panic!("{rows:?}")
            };
            let shifted =
                |rows: &[u32], by: u32| -> Vec<u32> { rows.iter().map(|r| r + by).collect() };
            assert_eq!(centre[0], shifted(&one[0], 90));
            assert_eq!(centre[1], shifted(&two[0], 95));
            assert_eq!((centre[0].len(), centre[1].len()), (10, 4));
            assert_eq!((one.len(), two.len()), (1, 1));
        }
    }

    #[tokio::test]
    async fn too_few_with_all_together_end_the_run_everywhere() {
        for min in [10, 11] {
            let out = run_in([0..100, 95..140, 0..5], Method::Vole, min).await;
            for o in out {
                match min {
                    10 => assert!(o.is_ok()),
                    _ => assert_eq!(o.unwrap_err().code(), "too_few_matched"),
                }
            }
        }
    }
}
