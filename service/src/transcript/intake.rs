//! How much of what others send may wait to be read: each sender has its share, so that none can fill a
//! node's memory, and who floods is named.

use std::collections::HashMap;

use paripassu_proto::limits;

/// Most messages of one sender about one job that may wait.
const MESSAGES: u32 = 2_048;
/// Most bytes of them: a whole log in pieces, and as much again for what goes around it.
const BYTES: usize = 2 * limits::MAX_AUDIT_CHUNK * limits::MAX_AUDIT_PARTS as usize;
/// Most bytes of all senders together.
const TOTAL: usize = 8 * BYTES;
/// Most senders and jobs of which something may wait.
const SENDERS: usize = 4_096;

/// Who sends more than may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flood {
    /// One sender, about one job.
    Sender,
    /// All together: whoever carries the messages.
    Carrier,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: u32,
    bytes: usize,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Intake {
    by: HashMap<(String, String), Waiting>,
    bytes: usize,
}

impl Intake {
    /// Takes in a message, or says who floods.
    pub(super) fn admit(&mut self, job: &str, from: &str, bytes: usize) -> Result<(), Flood> {
        let key = (job.to_owned(), from.to_owned());
        if self.bytes + bytes > TOTAL || (self.by.len() >= SENDERS && !self.by.contains_key(&key)) {
            return Err(Flood::Carrier);
        }
        let waiting = self.by.entry(key).or_default();
        if waiting.messages >= MESSAGES || waiting.bytes + bytes > BYTES {
            return Err(Flood::Sender);
        }
        waiting.messages += 1;
        waiting.bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// A message is read.
    pub(super) fn read(&mut self, job: &str, from: &str, bytes: usize) {
        let key = (job.to_owned(), from.to_owned());
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(waiting) = self.by.get_mut(&key) {
            waiting.messages = waiting.messages.saturating_sub(1);
            waiting.bytes = waiting.bytes.saturating_sub(bytes);
            if waiting.messages == 0 {
                self.by.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sender_has_its_share_and_all_have_an_end() {
        let mut intake = Intake::default();
        for _ in 0..MESSAGES {
            intake.admit("j", "bank", 10).unwrap();
        }
        assert_eq!(intake.admit("j", "bank", 10), Err(Flood::Sender));
        // others, and other jobs, are not held up by it
        intake.admit("j", "partner", 10).unwrap();
        intake.admit("k", "bank", 10).unwrap();
        intake.read("j", "bank", 10);
        intake.admit("j", "bank", 10).unwrap();
        assert_eq!(intake.admit("k", "partner", BYTES + 1), Err(Flood::Sender));

        let mut intake = Intake::default();
        for sender in 0..8 {
            intake.admit("j", &sender.to_string(), BYTES).unwrap();
        }
        assert_eq!(intake.admit("j", "bank", 1), Err(Flood::Carrier));
        intake.read("j", "0", BYTES);
        intake.admit("j", "bank", 1).unwrap();

        let mut intake = Intake::default();
        for sender in 0..SENDERS {
            intake.admit("j", &sender.to_string(), 1).unwrap();
        }
        assert_eq!(intake.admit("j", "another", 1), Err(Flood::Carrier));
        for sender in 0..SENDERS {
            intake.read("j", &sender.to_string(), 1);
        }
        assert!(intake.by.is_empty() && intake.bytes == 0);
    }
}
