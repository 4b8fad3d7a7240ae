//! Sizes and times of the transport. The defaults are measured ones; tests make them small.

use std::time::Duration;

use paripassu_proto::limits;

use crate::tls::Suite;

const MIB: usize = 1024 * 1024;

/// The usual [`Settings::key_patience`].
pub const KEY_PATIENCE: Duration = Duration::from_secs(3_600);

/// Sizes and times of the transport.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Piece of a message in one frame, in bytes; at most [`limits::MAX_CHUNK`].
    pub chunk: usize,
    /// Credit a receiver gives each sender of a job, in bytes: what may be under way unread.
    pub window: u64,
    /// How far a receiver that is itself stuck lets a sender run ahead, in bytes, so that two nodes
    /// sending much to each other before reading do not wait for each other for ever.
    pub parked: u64,
    /// Largest message accepted, in bytes.
    pub message: u64,
    /// Sent and not yet acknowledged on one link, in bytes: what a reconnection may send again.
    pub in_flight: usize,
    /// What a node queues for its stream before its senders wait, in bytes.
    pub outbox: usize,
    /// How long a node's connection may be lost before its jobs end.
    pub grace: Duration,
    /// How long a renewed key waits for a node to be idle, before the node begins no more jobs with the one before.
    pub key_patience: Duration,
    /// First pause before dialling again; doubles up to [`Self::backoff_max`], with jitter.
    pub backoff_first: Duration,
    /// Longest pause before dialling again.
    pub backoff_max: Duration,
    /// Time for TCP, TLS and the first packet.
    pub handshake: Duration,
    /// A connection without any sign of life for this long is probed, and dropped after as long again.
    pub keepalive: Duration,
    /// HTTP/2 window of one stream, in bytes.
    pub stream_window: u32,
    /// HTTP/2 window of one connection, in bytes.
    pub connection_window: u32,
    /// Largest HTTP/2 frame, in bytes.
    pub http2_frame: u32,
    /// Cipher suites of the connections, the preferred one first.
    pub suites: Vec<Suite>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            chunk: limits::MAX_CHUNK,
            window: 32 * MIB as u64,
            parked: 256 * MIB as u64,
            message: limits::MAX_MESSAGE,
            in_flight: 32 * MIB,
            outbox: 8 * MIB,
            grace: Duration::from_secs(20),
            key_patience: KEY_PATIENCE,
            backoff_first: Duration::from_millis(200),
            backoff_max: Duration::from_secs(15),
            handshake: Duration::from_secs(10),
            keepalive: Duration::from_secs(10),
            stream_window: 16 * 1024 * 1024,
            connection_window: 32 * 1024 * 1024,
            http2_frame: 64 * 1024,
            suites: Suite::ALL.to_vec(),
        }
    }
}

impl Settings {
    /// These settings within what the wire allows.
    pub(crate) fn within_limits(mut self) -> Self {
        self.chunk = self.chunk.clamp(1, limits::MAX_CHUNK);
        // a window takes at least a few frames, and running ahead by half of it stays below the limit
        let frame = (limits::MAX_CHUNK + limits::SEAL_OVERHEAD) as u64 + limits::FRAME_CHARGE;
        self.window = self.window.clamp(4 * frame, limits::MAX_CREDIT / 2);
        self.message = self.message.min(limits::MAX_MESSAGE);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stay_within_the_wires_limits() {
        let wild = Settings {
            chunk: 0,
            window: u64::MAX,
            message: u64::MAX,
            ..Settings::default()
        };
        let tamed = wild.within_limits();
        assert_eq!((tamed.chunk, tamed.message), (1, limits::MAX_MESSAGE));
        assert!(tamed.window <= limits::MAX_CREDIT / 2);
        let default = Settings::default();
        let kept = default.clone().within_limits();
        assert_eq!((kept.chunk, kept.window), (default.chunk, default.window));
    }
}
