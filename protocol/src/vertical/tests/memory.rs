//! Parties that keep a training's states in memory, and are lost when they are told to be.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use crate::{
    abort::Abort,
    channel::Role,
    testing::World,
    vertical::course::{Course, Kept, State},
};

/// What a party keeps, and after which point it is lost: before it has kept that, or after.
#[derive(Clone, Default)]
pub(in crate::vertical) struct Memory {
    job: u8,
    pub(in crate::vertical) lost: Option<(u32, bool)>,
    kept: Arc<Mutex<Vec<State>>>,
    before: Option<Arc<Mutex<Vec<State>>>>,
}

impl Memory {
    pub(in crate::vertical) fn new(job: u8, before: Option<&Self>) -> Self {
        Self {
            job,
            before: before.map(|of| of.kept.clone()),
            ..Self::default()
        }
    }

    pub(in crate::vertical) fn points(&self) -> Vec<u32> {
        self.kept.lock().unwrap().iter().map(|s| s.point).collect()
    }

    pub(in crate::vertical) fn state(&self, point: u32) -> State {
        let kept = self.kept.lock().unwrap();
        kept.iter().find(|s| s.point == point).unwrap().clone()
    }
}

impl Memory {
    /// The same states, changed.
    pub(in crate::vertical) fn altered(&self, change: impl Fn(&mut State)) -> Self {
        let mut kept = self.kept.lock().unwrap().clone();
        kept.iter_mut().for_each(change);
        Self {
            kept: Arc::new(Mutex::new(kept)),
            ..Self::default()
        }
    }
}

impl Course for Memory {
    fn job(&self) -> [u8; 32] {
        [self.job; 32]
    }

    fn head(&self) -> Result<[u8; 32], Abort> {
        Ok([self.kept.lock().unwrap().len() as u8; 32])
    }

    fn keep(&mut self, state: State) -> Kept<'_> {
        let lost = self.lost.filter(|(point, _)| *point == state.point);
        if lost.is_none_or(|(_, kept)| kept) {
            self.kept.lock().unwrap().push(state);
        }
        Box::pin(async move {
            match lost {
                Some(_) => Err(Abort::Input("lost".into())),
                None => Ok(()),
            }
        })
    }

    fn held(&self) -> Option<Vec<(u32, [u8; 32])>> {
        let before = self.before.as_ref()?.lock().unwrap();
        Some(before.iter().map(|s| (s.point, s.name)).collect())
    }

    fn take(&mut self, point: u32) -> Option<State> {
        let before = self.before.as_ref()?.lock().unwrap();
        before.iter().find(|s| s.point == point).cloned()
    }
}

/// A world in which the others of one that is lost soon notice.
pub(in crate::vertical) fn worlds(parties: usize) -> World {
    let brief = std::time::Duration::from_secs(5);
    World::new(parties as u8).with_deadline(brief)
}

/// What goes on with these.
pub(in crate::vertical) fn after(before: &[Memory]) -> Vec<Memory> {
    before.iter().map(|m| Memory::new(2, Some(m))).collect()
}

/// Words of all parties' shares at a point, added up, but for the first, which are public.
pub(in crate::vertical) fn sums(memories: &[Memory], point: u32, public: usize) -> Vec<u64> {
    let words = |m: &Memory| -> Vec<u64> {
        let state = m.state(point);
        let (words, _) = state.own.as_chunks::<8>();
        words
            .iter()
            .skip(public)
            .map(|w| u64::from_le_bytes(*w))
            .collect()
    };
    let mut all = memories.iter().map(words);
    let mut sum = all.next().unwrap();
    for other in all {
        sum.iter_mut()
            .zip(other)
            .for_each(|(a, b)| *a = a.wrapping_add(b));
    }
    sum
}

/// Bodies of what was sent but for requests, shapes and heads of transcripts.
pub(in crate::vertical) fn sent(world: &World) -> HashSet<Bytes> {
    let of_data = |(from, to, tag, body): &(Role, Role, String, Bytes)| {
        let asks = *to == Role::Helper || *from == Role::Helper && body.len() < 64;
        (!asks && body.len() >= 16 && !tag.contains("shape") && !tag.contains("kept"))
            .then(|| body.clone())
    };
    world.log().iter().filter_map(of_data).collect()
}

/// Masked columns that were sent.
pub(in crate::vertical) fn features(world: &World) -> HashSet<Bytes> {
    let log = world.log();
    let of = log
        .iter()
        .filter(|m| m.2.contains("features") && m.3.len() > 1000);
    of.map(|m| m.3.clone()).collect()
}
