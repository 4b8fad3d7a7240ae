//! Receiving: check order and sizes as frames come in, open and put together as they are awaited.
//!
//! Credit: a sender may have [`Settings::window`] bytes under way or unread. What is read is granted
//! anew, an eighth of the window at a time. When this node itself is stuck (it waits, and the window is
//! full of other messages) the sender may run ahead, at most [`Settings::parked`] bytes; what it ran
//! ahead is paid back before anything is granted again.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use paripassu_crypto::sealed::{Place, TAG_LEN, frame_header};
use paripassu_proto::{exchange::v1::Frame, limits};
use paripassu_protocol::channel::{ChannelError, Role, Tag};
use tokio::sync::Notify;

use super::{
    JobCore, PeerLink, charge,
    sending::tag_key,
    tally::{self, Tally},
};
use crate::transport::Settings;

/// A message on its way in.
#[derive(Default)]
struct Partial {
    frames: VecDeque<Frame>,
    total: Option<u64>,
    arrived: u64,
    more: Arc<Notify>,
}

/// The receiving half of a link.
pub(super) struct Inbox {
    next: u64,
    messages: HashMap<String, Partial>,
    /// Tags whose first frame has arrived.
    seen: HashSet<[u8; 16]>,
    /// Charged bytes received and unread.
    unread: u64,
    /// Charged bytes granted and not yet received.
    granted: u64,
    /// Charged bytes read and not granted anew.
    owed: u64,
    /// How far the sender was allowed to run ahead.
    ahead: u64,
    /// Ciphertext bytes that have arrived.
    pub(super) bytes: u64,
    /// What has been opened.
    pub(super) tally: Tally,
}

impl Inbox {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            next: 0,
            messages: HashMap::new(),
            seen: HashSet::new(),
            unread: 0,
            granted: settings.window,
            owed: 0,
            ahead: 0,
            bytes: 0,
            tally: Tally::default(),
        }
    }

    /// Takes in one frame, or says what is wrong with it.
    pub(super) fn put(
        &mut self,
        from: Role,
        frame: Frame,
        settings: &Settings,
    ) -> Result<(), ChannelError> {
        let seq = frame.seq;
        if seq != self.next {
            return Err(ChannelError::OutOfSequence {
                from,
                want: self.next,
                got: seq,
            });
        }
        let plain = frame
            .chunk
            .len()
            .checked_sub(TAG_LEN)
            .filter(|n| *n <= limits::MAX_CHUNK && frame.tag.len() <= limits::MAX_TAG)
            .ok_or(ChannelError::Tampered { from, seq })? as u64;
        let too_large = |bytes, limit| ChannelError::TooLarge {
            from,
            tag: Tag::new(frame.tag.as_str()),
            bytes,
            limit,
        };
        if frame.total > settings.message {
            return Err(too_large(frame.total, settings.message));
        }
        let cost = charge(frame.chunk.len());
        self.granted = self
            .granted
            .checked_sub(cost)
            .ok_or_else(|| too_large(cost, self.granted))?;
        if frame.offset == 0 {
            if !self.seen.insert(tag_key(&frame.tag)) {
                return Err(ChannelError::Equivocation {
                    from,
                    tag: Tag::new(frame.tag),
                });
            }
        } else if plain == 0 || !self.messages.contains_key(&frame.tag) {
            return Err(ChannelError::Tampered { from, seq });
        }
        let message = self.messages.entry(frame.tag.clone()).or_default();
        let total = *message.total.get_or_insert(frame.total);
        let end = frame.offset.checked_add(plain);
        let fits = total == frame.total
            && frame.offset == message.arrived
            && end.is_some_and(|end| end <= total)
            && (plain > 0 || total == 0);
        if !fits {
            return Err(ChannelError::Tampered { from, seq });
        }
        self.next += 1;
        self.bytes += frame.chunk.len() as u64;
        self.unread += cost;
        message.arrived += plain;
        message.frames.push_back(frame);
        message.more.notify_one();
        Ok(())
    }

    /// Takes out all frames of a message that have arrived, and says what to grant for them.
    fn take(&mut self, tag: &str, settings: &Settings) -> (Vec<Frame>, Arc<Notify>, u64) {
        let message = match self.messages.get_mut(tag) {
            Some(message) => message,
            None => self.messages.entry(tag.to_owned()).or_default(),
        };
        let frames: Vec<Frame> = message.frames.drain(..).collect();
        let more = Arc::clone(&message.more);
        let read: u64 = frames.iter().map(|f| charge(f.chunk.len())).sum();
        self.unread = self.unread.saturating_sub(read);
        let paid = read.min(self.ahead);
        self.ahead -= paid;
        self.owed += read - paid;
        let mut grant = 0;
        if self.owed >= settings.window / 8 {
            grant = std::mem::take(&mut self.owed);
            self.granted += grant;
        }
        (frames, more, grant)
    }

    /// What more to grant so that a sender blocked by unread messages can go on.
    pub(super) fn run_ahead(&mut self, settings: &Settings) -> u64 {
        // while the sender has credit left for a whole frame it is not this window that blocks it
        let enough = 2 * charge(settings.chunk + TAG_LEN);
        if self.granted >= enough || self.ahead >= settings.parked {
            return 0;
        }
        let extra = (settings.window / 2)
            .min(settings.parked - self.ahead)
            .max(enough);
        self.ahead += extra;
        self.granted += extra;
        extra
    }
}

/// Receives one whole message.
pub(super) async fn recv(
    core: &JobCore,
    from: Role,
    tag: Tag,
    deadline: Duration,
) -> Result<Bytes, ChannelError> {
    let link = core.link(from)?;
    let mut body = Vec::new();
    loop {
        core.check_open()?;
        let (frames, more, grant) = link.inbox().take(tag.as_str(), &core.settings);
        core.grant(link, grant);
        for frame in frames {
            let total = frame.total;
            if let Err(e) = open(link, &frame, &mut body) {
                core.fail(e);
                return Err(core.why());
            }
            if body.len() as u64 == total {
                link.inbox().messages.remove(tag.as_str());
                return Ok(body.into());
            }
        }
        let late = || ChannelError::Timeout {
            from,
            tag: tag.clone(),
            after: deadline,
        };
        core.wait(more.notified(), deadline, late).await?;
    }
}

fn open(link: &PeerLink, frame: &Frame, body: &mut Vec<u8>) -> Result<(), ChannelError> {
    let tampered = ChannelError::Tampered {
        from: link.role,
        seq: frame.seq,
    };
    let Some(keys) = link.keys.get() else {
        return Err(tampered);
    };
    if body.is_empty() {
        // the limit was checked when the frame came in; the extra is for the last frame's seal
        let total = usize::try_from(frame.total).map_err(|_| tampered.clone())?;
        body.reserve_exact(total + TAG_LEN);
    }
    let place = Place {
        seq: frame.seq,
        total: frame.total,
        offset: frame.offset,
    };
    let header = frame_header(&frame.job, &frame.from, &frame.to, &frame.tag, place);
    keys.opener
        .open(frame.seq, &header, &frame.chunk, body)
        .map_err(|_| tampered)?;
    // only what its sender has sealed is counted: anybody on the way could add what is not
    let (digest, bytes) = (tally::digest(&header, &frame.chunk), frame.chunk.len());
    let mut inbox = link.inbox();
    inbox.tally.add(frame.seq, &frame.tag, digest, bytes as u64);
    Ok(())
}

/// A message of which frames have arrived that nobody has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Under whose name they came.
    pub(crate) from: Role,
    /// The tag.
    pub(crate) tag: String,
    /// Number of the first in its link.
    pub(crate) seq: u64,
    /// Whether that peer sealed it; if not, it was made or altered on the way.
    pub(crate) authentic: bool,
}

/// The first message of which frames wait unread, one that its sender did not seal before others.
pub(super) fn unread(link: &PeerLink) -> Option<Unread> {
    let waiting: Vec<Frame> = {
        let inbox = link.inbox();
        let messages = inbox.messages.values();
        messages.filter_map(|m| m.frames.front().cloned()).collect()
    };
    let unread = waiting.into_iter().map(|frame| {
        let place = Place {
            seq: frame.seq,
            total: frame.total,
            offset: frame.offset,
        };
        let header = frame_header(&frame.job, &frame.from, &frame.to, &frame.tag, place);
        let opened = link.keys.get().map(|keys| {
            let mut body = Vec::new();
            keys.opener
                .open(frame.seq, &header, &frame.chunk, &mut body)
        });
        Unread {
            from: link.role,
            tag: frame.tag,
            seq: frame.seq,
            authentic: opened.is_some_and(|opened| opened.is_ok()),
        }
    });
    unread.min_by_key(|unread| (unread.authentic, unread.seq))
}
