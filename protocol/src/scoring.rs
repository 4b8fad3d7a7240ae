//! Joint scores: each party's part of a score, added up for the label holder alone.
//!
//! **Functionality.** Party p holds, for each row of a common list, its part `s_p = x_p w_p` of the
//! log-odds. Party 0 learns the sum of the others' parts, each rounded to a multiple of `step`.
//! With two parties that is the other's part itself, which the bank could subtract anyway.
//!
//! **Security model.** Passive. With three or more parties the parts are masked by pairwise seeds
//! that cancel in the sum, so party 0 and all but two of the others learn no more than that sum.
//! Source: masked sums as in Bonawitz et al. (CCS 2017), without drop-out recovery.
//!
//! **Cost.** One round of 8 bytes a row to party 0; one of 32 bytes between other parties.

use bytes::Bytes;
use paripassu_crypto::prg::{Label, Prg};
use rand::TryRng;

use crate::{
    abort::Abort,
    arith::{Opening, Openings, Receivers},
    channel::{Channel, Role},
    codec,
    ctx::Ctx,
};

/// Largest magnitude of a part, on the log-odds scale.
const LIMIT: f64 = 1e6;

/// Adds up the parties' parts. At party 0: the others' sum plus its own exact part; elsewhere
/// nothing.
///
/// # Leakage
/// The rounded sum of the others' parts to party 0, declared as [`Opening::Scores`].
///
/// # Errors
/// The channel's or the ledger's; a part that is not finite or beyond any sensible score.
pub async fn joint<C: Channel>(
    ctx: &Ctx<C>,
    ledger: &mut dyn Openings,
    mine: &[f64],
    step: f64,
) -> Result<Option<Vec<f64>>, Abort> {
    let ctx = ctx.narrow("scores");
    joint_as(&ctx, ledger, Opening::Scores, mine, step).await
}

/// The same by the fit of accepted applicants alone.
///
/// # Leakage
/// As of [`joint`], declared as [`Opening::KnownScores`].
///
/// # Errors
/// As of that.
pub async fn joint_known<C: Channel>(
    ctx: &Ctx<C>,
    ledger: &mut dyn Openings,
    mine: &[f64],
    step: f64,
) -> Result<Option<Vec<f64>>, Abort> {
    let ctx = ctx.narrow("known-scores");
    joint_as(&ctx, ledger, Opening::KnownScores, mine, step).await
}

async fn joint_as<C: Channel>(
    ctx: &Ctx<C>,
    ledger: &mut dyn Openings,
    opening: Opening,
    mine: &[f64],
    step: f64,
) -> Result<Option<Vec<f64>>, Abort> {
    ledger.record(opening, Receivers::One(0), mine.len())?;
    if let Some(i) = mine.iter().position(|v| v.is_nan() || v.abs() >= LIMIT) {
        return Err(Abort::OutOfRange {
            step: ctx.path().to_owned(),
            problem: format!(
                "this party's part of test row {} (in the aligned order) is no sensible log-odds: \
                 its columns hold values far outside those of the training rows",
                i + 1
            ),
        });
    }
    let Role::Party(me) = ctx.role() else {
        return Err(Abort::Input("only data parties score".into()));
    };
    if me == 0 {
        let peers: Vec<Role> = ctx.peers().collect();
        let got = ctx.swap("parts", Vec::new(), &peers).await?;
        let mut sum = vec![0u64; mine.len()];
        for (from, body) in peers.iter().zip(got) {
            let theirs = codec::take_words(&body, sum.len(), *from, ctx.path())?;
            paripassu_crypto::ring64::add_assign(&mut sum, &theirs);
        }
        let total = sum
            .iter()
            .zip(mine)
            .map(|(s, own)| (*s as i64) as f64 * step + own);
        return Ok(Some(total.collect()));
    }
    let mut words: Vec<u64> = mine
        .iter()
        .map(|v| ((v / step).round_ties_even() as i64) as u64)
        .collect();
    mask(ctx, me, &mut words).await?;
    ctx.send(Role::Party(0), "parts", codec::put_words(&words))
        .await?;
    Ok(None)
}

/// Adds masks that cancel over all parties but party 0.
async fn mask<C: Channel>(ctx: &Ctx<C>, me: u8, words: &mut [u64]) -> Result<(), Abort> {
    let others: Vec<Role> = ctx.peers().filter(|r| *r != Role::Party(0)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let mut out = Vec::new();
    let mut own = Vec::new();
    for r in &others {
        let mut seed = [0u8; 32];
        rand::rngs::SysRng
            .try_fill_bytes(&mut seed)
            .map_err(|e| Abort::Input(format!("no randomness from the system: {e}")))?;
        out.push((*r, Bytes::copy_from_slice(&seed)));
        own.push(seed);
    }
    let got = ctx.swap("seeds", out, &others).await?;
    for ((r, mine), theirs) in others.iter().zip(own).zip(got) {
        let theirs: [u8; 32] = theirs.as_ref().try_into().map_err(|_| Abort::Malformed {
            from: *r,
            step: ctx.path().to_owned(),
            problem: format!("a seed of {} bytes, expected 32", theirs.len()),
        })?;
        // both seeds of a pair are added at the higher-numbered party and subtracted at the lower
        let higher = r.index().is_some_and(|i| i < usize::from(me));
        for seed in [mine, theirs] {
            let m = Prg::new(&seed).words(Label::request(0, 0), words.len());
            match higher {
                true => paripassu_crypto::ring64::add_assign(words, &m),
                false => paripassu_crypto::ring64::sub_assign(words, &m),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, dealt::AllowAll};

    #[tokio::test]
    async fn the_bank_gets_the_sum_and_nobody_else_anything() {
        for parties in [2u8, 3, 5] {
            let world = World::new(parties);
            let parts: Vec<Vec<f64>> = (0..parties)
                .map(|p| {
                    (0..100)
                        .map(|i| f64::from(i) * 0.37 - f64::from(p) * 5.1)
                        .collect()
                })
                .collect();
            let given = parts.clone();
            let step = 1.0 / 1024.0;
            let out = world
                .run(
                    move |me, ctx| {
                        let mine = given[me].clone();
                        async move { joint(&ctx, &mut AllowAll::default(), &mine, step).await }
                    },
                    |_| async { Ok(()) },
                )
                .await;
            let got = out[0].as_ref().unwrap().as_ref().unwrap();
            for (i, g) in got.iter().enumerate() {
                let want: f64 = parts.iter().map(|p| p[i]).sum();
                assert!(
                    (g - want).abs() <= step * f64::from(parties),
                    "{parties}: {g} {want}"
                );
            }
            assert!(out[1..].iter().all(|o| o.as_ref().unwrap().is_none()));
            if parties > 2 {
                // no single part is readable in what party 1 sent
                let sent = world.log();
                let body = sent.iter().find(|(f, t, _, b)| {
                    *f == Role::Party(1) && *t == Role::Party(0) && b.len() == 800
                });
                let first = u64::from_le_bytes(body.unwrap().3[..8].try_into().unwrap());
                assert!(((first as i64) as f64 * step - parts[1][0]).abs() > 1.0);
            }
        }
    }

    #[tokio::test]
    async fn senseless_parts_are_refused() {
        let ctx = World::new(2).ctx(Role::Party(1));
        for bad in [f64::NAN, f64::INFINITY, 1e7] {
            let e = joint(&ctx, &mut AllowAll::default(), &[0.0, bad], 0.5)
                .await
                .unwrap_err();
            assert_eq!(e.code(), "out_of_range");
        }
    }
}
