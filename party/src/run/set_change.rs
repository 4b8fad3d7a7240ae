//! Two jobs over common customers that differ by few tell of these few: by the party's policy the second ends
//! before training, or before a list of them is kept.
//!
//! In a job of matching alone both ends know by then which of their own customers are common: what the rule keeps back
//! is the list, at every party, and what a second list beside the first would tell. How often anybody may match at all
//! is for quotas to say.

use paripassu_audit::event::bodies::Denied;
use paripassu_protocol::abort::Abort;
use rand::{TryRng, rngs::SysRng};
use sha2::{Digest, Sha256};

use super::{Run, own};

/// A party's limit on how little sets of common customers may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetChange {
    /// Fewest customers by which two sets differ, if they differ at all.
    pub(crate) least: u64,
    /// Seconds for which sets are compared and kept.
    pub(crate) period_s: i64,
}

/// What stands for an id in this party's own database: the beginning of a hash under a key that never leaves it.
fn prints<'a>(key: &[u8; 32], ids: impl Iterator<Item = &'a str>) -> Vec<u64> {
    let mut prints: Vec<u64> = ids
        .map(|id| {
            let hash = Sha256::new().chain_update(key).chain_update(id).finalize();
            let (first, _) = hash.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
            u64::from_le_bytes(*first)
        })
        .collect();
    prints.sort_unstable();
    prints
}

/// How many stand in one of two sorted lists only.
fn differ(a: &[u64], b: &[u64]) -> u64 {
    let (mut a, mut b, mut only) = (a.iter().peekable(), b.iter().peekable(), 0);
    loop {
        match (a.peek(), b.peek()) {
            (None, None) => return only,
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next();
            }
            (Some(x), Some(y)) if x < y => {
                a.next();
                only += 1;
            }
            (Some(_), None) => {
                a.next();
                only += 1;
            }
            _ => {
                b.next();
                only += 1;
            }
        }
    }
}

impl Run {
    /// Whether this party trains over these common customers after those of its earlier jobs; then keeps what
    /// stands for them.
    pub(super) fn set_may_follow<'a>(
        &self,
        ids: impl Iterator<Item = &'a str>,
    ) -> Result<(), Abort> {
        let Some(limit) = self.site.set_change else {
            return Ok(());
        };
        let store = &self.site.store;
        let mut fresh = [0; 32];
        SysRng
            .try_fill_bytes(&mut fresh)
            .map_err(|_| own("the operating system gave no randomness"))?;
        let key = store.print_key(&fresh).map_err(own)?;
        let now = prints(&key, ids);
        let mut parties: Vec<String> = {
            let parties = self.contract.parties().into_iter();
            parties.map(ToString::to_string).collect()
        };
        parties.sort();
        let parties = parties.join("+");
        let at = self.site.clock.now();
        let job = self.job.job().to_string();
        let before = store.matched_before(&parties, at - limit.period_s);
        for (earlier, prints) in before.map_err(own)? {
            let changed = differ(&prints, &now);
            if earlier != job && changed > 0 && changed < limit.least {
                self.book.event(Denied {
                    code: "policy".into(),
                    subject: "min_set_change".into(),
                    to: None,
                })?;
                return Err(own(format!(
                    "policy of `{}`, rule `min_set_change`: the common customers differ from those of an earlier \
                     job with the same parties by some, but fewer than {}: two results over them would tell of the few. \
                     Take the same customers, or wait until more have changed",
                    self.site.identity.peer().id,
                    limit.least
                )));
            }
        }
        let kept = store.keep_matched(&job, &parties, at, &now, at - limit.period_s);
        kept.map_err(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_compared_by_what_stands_for_their_ids() {
        let of = |key: u8, ids: &[&str]| prints(&[key; 32], ids.iter().copied());
        let (a, b) = (of(1, &["x", "y", "z"]), of(1, &["z", "x", "w", "v"]));
        assert_eq!((differ(&a, &b), differ(&b, &a)), (3, 3));
        assert_eq!(
            (differ(&a, &a), differ(&a, &[]), differ(&[], &[])),
            (0, 3, 0)
        );
        // another party's, or another database's, stand for nothing here
        assert_eq!(differ(&a, &of(2, &["x", "y", "z"])), 6);
    }
}
