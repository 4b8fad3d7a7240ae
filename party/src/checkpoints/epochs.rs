//! What this party holds of a network's training after its last epochs: its shares, sealed like all checkpoints.

use std::{fs, io};

use paripassu_protocol::vertical::network::course::State;
use zeroize::Zeroizing;

use super::Checkpoints;

/// How many of a job's last epochs are kept. An opening ends each, in which all parties take part: none is further on than one.
const KEPT: usize = 3;

/// One epoch's state.
#[derive(Debug, Clone)]
pub(crate) struct Epoch {
    /// Digest of this party's common rows, in the order in which they are trained on.
    pub(crate) data: [u8; 32],
    /// Digest of what was made of them: design columns, labels, weights.
    pub(crate) design: [u8; 32],
    pub(crate) state: State,
}

fn name(epoch: u32) -> String {
    format!("{epoch:010}.epoch")
}

fn header(job: &str, epoch: u32) -> Vec<u8> {
    format!("paripassu/v1 shares of {job} after epoch {epoch}").into_bytes()
}

impl Checkpoints {
    /// Keeps the state after an epoch, all or nothing, and lets go of epochs past.
    ///
    /// # Errors
    /// Those of the disk; no randomness.
    pub(crate) fn keep_epoch(&self, job: &str, epoch: &Epoch) -> io::Result<()> {
        let number = epoch.state.epoch;
        let mut text = Zeroizing::new(Vec::with_capacity(96 + epoch.state.own.len()));
        for part in [&epoch.data[..], &epoch.design, &epoch.state.name] {
            text.extend_from_slice(part);
        }
        text.extend_from_slice(&epoch.state.own);
        self.put(job, &name(number), &header(job, number), &text)?;
        let numbers = self.epochs_of(job)?;
        let past = numbers.len().saturating_sub(KEPT);
        for old in &numbers[..past] {
            fs::remove_file(self.folder.join(job).join(name(*old)))?;
        }
        Ok(())
    }

    /// Epochs that are kept of a job, the latest last. What cannot be read is not there.
    pub(crate) fn epochs(&self, job: &str) -> Vec<Epoch> {
        let numbers = self.epochs_of(job).unwrap_or_default();
        let read = |number: &u32| self.epoch(job, *number);
        numbers.iter().filter_map(read).collect()
    }

    fn epoch(&self, job: &str, number: u32) -> Option<Epoch> {
        let text = self.get(job, &name(number), &header(job, number))?;
        let (data, rest) = text.split_first_chunk::<32>()?;
        let (design, rest) = rest.split_first_chunk::<32>()?;
        let (named, own) = rest.split_first_chunk::<32>()?;
        Some(Epoch {
            data: *data,
            design: *design,
            state: State {
                epoch: number,
                name: *named,
                own: Zeroizing::new(own.to_vec()),
            },
        })
    }

    fn epochs_of(&self, job: &str) -> io::Result<Vec<u32>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.folder.join(job))? {
            let file = entry?.file_name();
            let number = file.to_str().and_then(|name| name.strip_suffix(".epoch"));
            all.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        all.sort_unstable();
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoints::tests::checkpoints;

    fn at(epoch: u32) -> Epoch {
        Epoch {
            data: [1; 32],
            design: [2; 32],
            state: State {
                epoch,
                name: [epoch as u8; 32],
                own: Zeroizing::new(b"this party's shares".repeat(9)),
            },
        }
    }

    #[test]
    fn the_last_epochs_shares_are_kept_sealed_and_are_gone_when_erased() {
        let dir = tempfile::tempdir().unwrap();
        let kept = checkpoints(dir.path(), 1);
        assert!(kept.epochs("job").is_empty());
        for epoch in 7..=11 {
            kept.keep_epoch("job", &at(epoch)).unwrap();
        }
        let held = kept.epochs("job");
        let numbers: Vec<u32> = held.iter().map(|e| e.state.epoch).collect();
        assert_eq!(numbers, [9, 10, 11]);
        assert_eq!(held[2].state, at(11).state);
        assert_eq!((held[2].data, held[2].design), ([1; 32], [2; 32]));
        for entry in fs::read_dir(dir.path().join("job")).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(10).any(|w| w == b"this party"));
        }
        // another node's key, another job's or epoch's file, an altered one: not there
        assert!(checkpoints(dir.path(), 2).epochs("job").is_empty());
        let of = |job: &str, epoch| dir.path().join(job).join(name(epoch));
        fs::create_dir(dir.path().join("other")).unwrap();
        fs::copy(of("job", 11), of("other", 11)).unwrap();
        fs::copy(of("job", 11), of("job", 10)).unwrap();
        let mut bytes = fs::read(of("job", 9)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(of("job", 9), bytes).unwrap();
        assert!(kept.epochs("other").is_empty());
        assert_eq!(kept.epochs("job").len(), 1);
        // rounds of a horizontal training and parts of a match are something else
        assert!(kept.held("job").is_empty());
        assert_eq!((kept.erase("job"), kept.epochs("job").len()), (3, 0));
    }
}
