//! How one role's messages reach another: the only thing a protocol knows of the network.
//!
//! A [`Channel`] belongs to one role in one job. It delivers whole messages, addressed by peer and
//! [`Tag`], reliably and in order per peer, and it never waits without a deadline. What carries it
//! (queues in memory, sealed frames over gRPC) is chosen by generics, never by a feature.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;

/// A role in one job. The mapping from roles to certified party ids is the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A data party by its position in the contract; position 0 holds the label.
    Party(u8),
    /// The node that deals correlated randomness and holds no data.
    Helper,
}

impl Role {
    /// Position among the data parties, if this is one.
    pub fn index(self) -> Option<usize> {
        match self {
            Role::Party(i) => Some(usize::from(i)),
            Role::Helper => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Party(i) => write!(f, "party-{i}"),
            Role::Helper => f.write_str("helper"),
        }
    }
}

/// The name of one message within a job: a step path such as `train/pass-3/margin`.
///
/// A tag is used at most once per ordered pair of roles.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Longest tag accepted from the wire, in bytes.
    pub const MAX_LEN: usize = 160;

    /// A tag with this path.
    pub fn new(path: impl Into<Arc<str>>) -> Self {
        Self(path.into())
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a message could not be sent or received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// Nothing arrived within the deadline.
    #[error("waited {after:?} for `{tag}` from {from}, which did not send it")]
    Timeout {
        /// Who did not send.
        from: Role,
        /// What was awaited.
        tag: Tag,
        /// How long.
        after: Duration,
    },
    /// The peer left the job or its connection is gone for good.
    #[error("{peer} is gone: {reason}")]
    Gone {
        /// Who is gone.
        peer: Role,
        /// Why, as far as known.
        reason: String,
    },
    /// A frame failed authentication: it was altered on the way or sealed with another key.
    #[error(
        "frame {seq} from {from} does not authenticate: altered on the way or sealed with a wrong key"
    )]
    Tampered {
        /// Claimed sender.
        from: Role,
        /// Sequence number of the frame.
        seq: u64,
    },
    /// A frame is missing, repeated or out of order.
    #[error(
        "frame {got} from {from} where frame {want} was due: a frame was dropped, repeated or reordered"
    )]
    OutOfSequence {
        /// Claimed sender.
        from: Role,
        /// Sequence number due.
        want: u64,
        /// Sequence number seen.
        got: u64,
    },
    /// The same tag came twice.
    #[error("{from} sent `{tag}` twice")]
    Equivocation {
        /// The sender.
        from: Role,
        /// The tag.
        tag: Tag,
    },
    /// A message is longer than any message of this job may be.
    #[error(
        "{from} announced a message of {bytes} bytes for `{tag}`, more than the limit of {limit}"
    )]
    TooLarge {
        /// The sender.
        from: Role,
        /// The tag.
        tag: Tag,
        /// Announced length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The job was ended by somebody else.
    #[error("the job was ended: {reason}")]
    Ended {
        /// Who ended it and why.
        reason: String,
    },
}

impl ChannelError {
    /// The role at fault or waited for, if one can be named.
    pub fn culprit(&self) -> Option<Role> {
        match self {
            Self::Timeout { from, .. }
            | Self::Tampered { from, .. }
            | Self::OutOfSequence { from, .. }
            | Self::Equivocation { from, .. }
            | Self::TooLarge { from, .. } => Some(*from),
            Self::Gone { peer, .. } => Some(*peer),
            Self::Ended { .. } => None,
        }
    }

    /// Stable, value-free code for logs, metrics and the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "channel_timeout",
            Self::Gone { .. } => "channel_gone",
            Self::Tampered { .. } => "channel_tampered",
            Self::OutOfSequence { .. } => "channel_out_of_sequence",
            Self::Equivocation { .. } => "channel_equivocation",
            Self::TooLarge { .. } => "channel_too_large",
            Self::Ended { .. } => "channel_ended",
        }
    }
}

/// One role's connection to all other roles of a job.
pub trait Channel: Send + Sync {
    /// The role this end plays.
    fn role(&self) -> Role;

    /// Sends one whole message. Waits when the peer is slow (back-pressure), at most `deadline`.
    fn send(
        &self,
        to: Role,
        tag: Tag,
        body: Bytes,
        deadline: Duration,
    ) -> impl Future<Output = Result<(), ChannelError>> + Send;

    /// Receives the whole message with this tag, waiting at most `deadline` for it to be complete
    /// (the clock restarts whenever a part of it arrives).
    fn recv(
        &self,
        from: Role,
        tag: Tag,
        deadline: Duration,
    ) -> impl Future<Output = Result<Bytes, ChannelError>> + Send;
}
