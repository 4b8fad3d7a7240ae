//! What passed over the links of a job, counted and digested by step.
//!
//! A frame's digest is BLAKE3 over its header and ciphertext, each after its length; both ends make the
//! same one. Frames are joined into running digests when a step is reported, in the order of their numbers.

use std::time::Instant;

use paripassu_audit::event::Tally as Flow;
use paripassu_proto::NodeId;
use paripassu_protocol::channel::Role;

/// What passed over one sealed link in the whole job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkReport {
    /// The peer's role.
    pub role: Role,
    /// The peer.
    pub peer: NodeId,
    /// Frames and ciphertext bytes sent.
    pub sent: Passed,
    /// Frames and ciphertext bytes received.
    pub received: Passed,
}

/// Count, bytes and running digest of the sealed frames in one direction of a link.
///
/// The digest runs over the digests of the frames in order; what one end reports as sent must be what
/// the other reports as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Frames.
    pub frames: u64,
    /// Ciphertext bytes.
    pub bytes: u64,
    /// Running digest.
    pub digest: [u8; 32],
}

/// What passed in one step.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// The step.
    pub step: String,
    /// From its first to its last frame.
    pub seconds: f64,
    /// Each peer.
    pub peers: Vec<PeerFlows>,
}

/// What passed between this node and one peer in one step.
#[derive(Debug, Clone)]
pub struct PeerFlows {
    /// The peer.
    pub peer: NodeId,
    /// From here to there.
    pub sent: Flow,
    /// From there to here.
    pub received: Flow,
}

/// The step of a message: its path without its own name, at most two elements of it.
///
/// `align/masked-1` is of step `align`, `train/pass-3/margin/2` of step `train/pass-3`.
pub(super) fn step_of(tag: &str) -> &str {
    let mut slashes = tag.match_indices('/').map(|(at, _)| at);
    let (first, second) = (slashes.next(), slashes.next());
    second
        .or(first)
        .map_or(tag, |end| tag.get(..end).unwrap_or(tag))
}

/// A frame of this number in its link, its digest and its length.
#[derive(Debug, Clone, Copy)]
struct Counted {
    seq: u64,
    digest: [u8; 32],
    bytes: u64,
}

/// One step in one direction of a link.
#[derive(Debug, Clone)]
pub(super) struct StepTally {
    step: Box<str>,
    /// In the order of their numbers, whatever the order in which they were counted.
    frames: Vec<Counted>,
    first: Instant,
    last: Instant,
}

impl StepTally {
    fn flow(&self) -> Flow {
        flow(&self.frames)
    }
}

fn flow(frames: &[Counted]) -> Flow {
    let mut flow = Flow::new();
    for frame in frames {
        flow.push(frame.digest, frame.bytes);
    }
    flow
}

/// The digest of a frame.
pub(super) fn digest(header: &[u8], chunk: &[u8]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    for part in [header, chunk] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    *hash.finalize().as_bytes()
}

/// One direction of a link.
#[derive(Default)]
pub(super) struct Tally {
    steps: Vec<StepTally>,
    bytes: u64,
}

impl Tally {
    /// Counts frame `seq` of the link. A sender counts what it sealed, a receiver what it opened, each when
    /// it does: messages are opened in another order than they came, and what does not open is not counted.
    pub(super) fn add(&mut self, seq: u64, tag: &str, digest: [u8; 32], bytes: u64) {
        let now = Instant::now();
        self.bytes += bytes;
        let step = step_of(tag);
        // the step at work is mostly the last one
        let known = self.steps.iter().rposition(|s| &*s.step == step);
        let tally = match known.and_then(|at| self.steps.get_mut(at)) {
            Some(tally) => tally,
            None => self.steps.push_mut(StepTally {
                step: step.into(),
                frames: Vec::new(),
                first: now,
                last: now,
            }),
        };
        let at = tally.frames.iter().rposition(|frame| frame.seq < seq);
        let frame = Counted { seq, digest, bytes };
        tally.frames.insert(at.map_or(0, |at| at + 1), frame);
        tally.last = now;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn total(&self) -> Passed {
        let frames = self.steps.iter().flat_map(|step| &step.frames);
        let mut frames: Vec<Counted> = frames.copied().collect();
        frames.sort_unstable_by_key(|frame| frame.seq);
        Passed {
            frames: frames.len() as u64,
            bytes: self.bytes,
            digest: flow(&frames).digest(),
        }
    }

    /// The steps that `which` names.
    pub(super) fn steps(&self, which: impl Fn(&str) -> bool) -> Vec<StepTally> {
        let named = self.steps.iter().filter(|step| which(&step.step));
        named.cloned().collect()
    }
}

/// Joins the two directions of all links, step by step.
pub(super) fn steps(
    links: impl Iterator<Item = (NodeId, Vec<StepTally>, Vec<StepTally>)>,
) -> Vec<StepReport> {
    let mut found: Vec<(Instant, Instant, StepReport)> = Vec::new();
    for (peer, sent, received) in links {
        let ways = sent.into_iter().map(|s| (s, true));
        for (tally, outward) in ways.chain(received.into_iter().map(|s| (s, false))) {
            let at = found.iter().position(|(_, _, r)| r.step == *tally.step);
            let (first, last, report) = match at.and_then(|at| found.get_mut(at)) {
                Some(known) => known,
                None => found.push_mut((
                    tally.first,
                    tally.last,
                    StepReport {
                        step: tally.step.to_string(),
                        seconds: 0.0,
                        peers: Vec::new(),
                    },
                )),
            };
            *first = (*first).min(tally.first);
            *last = (*last).max(tally.last);
            report.seconds = last.duration_since(*first).as_secs_f64();
            let at = report.peers.iter().position(|p| p.peer == peer);
            let flows = match at.and_then(|at| report.peers.get_mut(at)) {
                Some(flows) => flows,
                None => report.peers.push_mut(PeerFlows {
                    peer: peer.clone(),
                    sent: Flow::new(),
                    received: Flow::new(),
                }),
            };
            match outward {
                true => flows.sent = tally.flow(),
                false => flows.received = tally.flow(),
            }
        }
    }
    found.sort_by_key(|(first, _, _)| *first);
    found.into_iter().map(|(_, _, report)| report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_paths_of_at_most_two_elements() {
        for (tag, step) in [
            ("align/masked-1", "align"),
            ("train/pass-3/open", "train/pass-3"),
            ("train/pass-3/margin/2", "train/pass-3"),
            ("evaluate/metrics", "evaluate"),
            ("lone", "lone"),
        ] {
            assert_eq!(step_of(tag), step, "{tag}");
        }
    }

    #[test]
    fn both_ends_count_alike_and_by_step() {
        let (mut sender, mut receiver) = (Tally::default(), Tally::default());
        let frames = [("a/x", "1"), ("b/s/y", "22"), ("a/z", "333"), ("a/w", "")];
        let add = |end: &mut Tally, seq: usize| {
            let (tag, body) = frames[seq];
            let digest = digest(tag.as_bytes(), body.as_bytes());
            end.add(seq as u64, tag, digest, body.len() as u64);
        };
        (0..4).for_each(|seq| add(&mut sender, seq));
        // the receiver reads in another order
        for seq in [3, 0, 2, 1] {
            add(&mut receiver, seq);
        }
        assert_eq!(sender.total(), receiver.total());
        assert_eq!(sender.total().bytes, 6);
        let bank: NodeId = "bank".parse().unwrap();
        let own = steps([(bank.clone(), sender.steps, Vec::new())].into_iter());
        let theirs = steps([(bank, Vec::new(), receiver.steps)].into_iter());
        let names: Vec<_> = own.iter().map(|s| s.step.as_str()).collect();
        assert_eq!(names, ["a", "b/s"]);
        for (own, theirs) in own.iter().zip(&theirs) {
            assert_eq!(own.peers[0].sent.flow(), theirs.peers[0].received.flow());
            assert_eq!(own.peers[0].received.flow().frames, 0);
        }
        assert_eq!(own[0].peers[0].sent.flow().bytes, 4);
    }
}
