//! Parties with shares of known values, a helper, and a ledger that allows everything.

use std::sync::{Arc, Mutex, PoisonError};

use paripassu_crypto::{fixed, prg::Label, prg::Prg, share::Shares};

use super::MemChannel;
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Openings, Receivers},
    channel::Role,
    correlation::HelperSource,
    ctx::Ctx,
};

/// Seeds that parties share with the helper in a test.
pub fn seeds(parties: u8) -> Vec<[u8; 32]> {
    (0..parties).map(|p| [p + 1; 32]).collect()
}

/// Party `me`'s share of `values`, split by a fixed pseudo-random stream.
///
/// # Panics
/// If a value does not fit.
pub fn share(values: &[f64], frac: u32, me: usize, parties: usize) -> Shares {
    let masks: Vec<Vec<u64>> = (1..parties)
        .map(|p| Prg::new(&[99; 32]).words(Label::request(p as u32, 9), values.len()))
        .collect();
    let words = match me {
        0 => values
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let w = fixed::encode(*v, frac).expect("test values fit");
                masks.iter().fold(w, |w, m| w.wrapping_sub(m[i]))
            })
            .collect(),
        p => masks[p - 1].clone(),
    };
    Shares::new(words, frac)
}

/// A ledger that allows and records every opening.
#[derive(Debug, Clone, Default)]
pub struct AllowAll(Arc<Mutex<Vec<(Opening, Receivers, usize)>>>);

impl AllowAll {
    /// What was opened.
    pub fn opened(&self) -> Vec<(Opening, Receivers, usize)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Openings for AllowAll {
    fn record(&mut self, o: Opening, to: Receivers, values: usize) -> Result<(), Abort> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((o, to, values));
        Ok(())
    }
}

/// The engine of the party at this end of `ctx`, served by the helper of the same world.
///
/// # Panics
/// If this end is the helper.
pub fn engine(ctx: &Ctx<MemChannel>) -> Engine<MemChannel, HelperSource<MemChannel>> {
    let Role::Party(me) = ctx.role() else {
        panic!("the helper computes nothing on shares")
    };
    let source = HelperSource::new(ctx, &[me + 1; 32]).expect("a data party");
    Engine::new(ctx, source, Box::new(AllowAll::default())).expect("a data party")
}
