//! What may be how large on the wire. Checked before anything is allocated.

/// Largest piece of a message in one frame, before sealing.
pub const MAX_CHUNK: usize = 256 * 1024;

/// What sealing adds to a chunk.
pub const SEAL_OVERHEAD: usize = 16;

/// What a frame is charged against the receiver's credit beside its chunk.
pub const FRAME_CHARGE: u64 = 256;

/// Most credit a receiver may have outstanding with one sender of one job.
pub const MAX_CREDIT: u64 = 64 * 1024 * 1024;

/// Longest tag, in bytes.
pub const MAX_TAG: usize = 160;

/// Largest message of a protocol, the default of the receiver's limit.
pub const MAX_MESSAGE: u64 = 1024 * 1024 * 1024;

/// Largest gRPC message on the nodes' stream.
pub const MAX_PACKET: usize = 1024 * 1024;

/// Largest contract.
pub const MAX_CONTRACT: usize = 256 * 1024;

/// Largest gRPC message of the command line's calls.
pub const MAX_CALL: usize = 4 * 1024 * 1024;

/// Longest free text (reasons, steps) accepted from a peer, in bytes.
pub const MAX_TEXT: usize = 1024;

/// Largest message of a node to another about their transcripts, and the largest piece in one.
pub const MAX_AUDIT: usize = 512 * 1024;
/// Largest piece of a log in one message.
pub const MAX_AUDIT_CHUNK: usize = 256 * 1024;
/// Most pieces of a log.
pub const MAX_AUDIT_PARTS: u32 = 128;
/// Most that one node may tell the others of one job about its transcript.
pub const MAX_AUDIT_TOTAL: u64 = 256 * 1024 * 1024;

/// Most certificates in a chain, and the longest certificate.
pub const MAX_CHAIN: usize = 4;
/// Longest DER certificate.
pub const MAX_CERTIFICATE: usize = 8 * 1024;

/// Most jobs a node may ask the end of at once.
pub const MAX_UNFINISHED: usize = 1024;

/// Most data parties in one job.
pub const MAX_PARTIES: usize = 64;

/// `text` cut to [`MAX_TEXT`] bytes at a character boundary, control characters replaced.
pub fn bounded_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_TEXT));
    for c in text.chars() {
        if out.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_text_cuts_at_characters_and_keeps_one_line() {
        assert_eq!(bounded_text("a\nb\u{1b}[0m"), "a b [0m");
        let long = "ä".repeat(MAX_TEXT);
        let cut = bounded_text(&long);
        assert!(cut.len() <= MAX_TEXT && cut.chars().all(|c| c == 'ä'));
    }
}
