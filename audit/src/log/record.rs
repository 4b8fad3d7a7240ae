//! Records: how entries and heads stand in the files of a log.
//!
//! A file begins with 8 bytes that name the format and the index of its first entry (u64, big endian);
//! records follow, and zeros up to the file's end. A record is a kind byte, the length of its payload (u32, big endian),
//! the payload, and SHA-256 over a label, its index, kind, length and payload. An entry is two records with its index:
//! its body (or a mark where the body was) and then the event, whose payload is the
//! length of the job's name (one byte), the name, and the envelope. A head's payload is the size of the log that it
//! signs (u64, big endian) and the signed note; its index is 0.

use sha2::{Digest, Sha256};

use super::{MAX_BODY_BYTES, MAX_ENVELOPE_BYTES, MAX_JOB_BYTES};
use crate::note::MAX_NOTE_BYTES;

const MAGIC: [u8; 8] = *b"PPTRANS3";
pub(super) const HEADER_BYTES: usize = 16;
const PREFIX_BYTES: usize = 5;
const CHECK_BYTES: usize = 32;

const EVENT: u8 = 1;
const BODY: u8 = 2;
const PRUNED: u8 = 3;
/// The kind byte of a head.
pub(super) const HEAD: u8 = 4;

/// The largest payload of a kind.
fn largest(kind: u8) -> Option<usize> {
    match kind {
        EVENT => Some(1 + MAX_JOB_BYTES + MAX_ENVELOPE_BYTES),
        BODY => Some(MAX_BODY_BYTES),
        PRUNED => Some(0),
        HEAD => Some(8 + MAX_NOTE_BYTES),
        _ => None,
    }
}

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Event { job: &'a str, envelope: &'a [u8] },
    Body(&'a [u8]),
    Pruned,
    Head { size: u64, note: &'a str },
}

/// Why bytes are not the record expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    CutOff,
    Header,
    Length,
    Checksum,
    Payload,
    Order,
}

impl Fault {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::CutOff => "the file ends within the record",
            Self::Header => "the file header is wrong",
            Self::Length => "its length is impossible",
            Self::Checksum => "its checksum does not fit",
            Self::Payload => "its payload is malformed",
            Self::Order => "it does not belong where it stands",
        }
    }
}

pub(super) fn header(first: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(first.to_be_bytes());
    bytes
}

pub(super) fn check_header(first: u64, file: &[u8]) -> Result<(), Fault> {
    let expected = header(first);
    match file.get(..HEADER_BYTES) {
        None => Err(Fault::CutOff),
        Some(got) if got == expected => Ok(()),
        Some(_) => Err(Fault::Header),
    }
}

/// The bytes of a record; sizes are checked by the caller.
pub(crate) fn encode(index: u64, content: Content<'_>) -> Vec<u8> {
    let (kind, payload) = match content {
        Content::Event { job, envelope } => {
            let mut payload = Vec::with_capacity(1 + job.len() + envelope.len());
            payload.push(u8::try_from(job.len()).unwrap_or(u8::MAX));
            payload.extend(job.as_bytes());
            payload.extend(envelope);
            (EVENT, payload)
        }
        Content::Body(body) => (BODY, body.to_vec()),
        Content::Pruned => (PRUNED, Vec::new()),
        Content::Head { size, note } => (HEAD, [&size.to_be_bytes(), note.as_bytes()].concat()),
    };
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + payload.len() + CHECK_BYTES);
    bytes.push(kind);
    bytes.extend(length.to_be_bytes());
    bytes.extend(payload);
    let check = checksum(index, &bytes);
    bytes.extend(check);
    bytes
}

/// Reads the record at the start of `bytes`; returns also its length.
pub(crate) fn decode(index: u64, bytes: &[u8]) -> Result<(Content<'_>, usize), Fault> {
    let (&tag, rest) = bytes.split_first().ok_or(Fault::CutOff)?;
    let (length, _) = rest.split_first_chunk().ok_or(Fault::CutOff)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Fault::Length)?;
    if largest(tag).is_none_or(|most| length > most) {
        return Err(Fault::Length);
    }
    let end = PREFIX_BYTES + length;
    let (record, rest) = bytes.split_at_checked(end).ok_or(Fault::CutOff)?;
    let check = rest.get(..CHECK_BYTES).ok_or(Fault::CutOff)?;
    if check != checksum(index, record) {
        return Err(Fault::Checksum);
    }
    let payload = record.get(PREFIX_BYTES..).ok_or(Fault::Payload)?;
    let content = match tag {
        EVENT => {
            let (&name, rest) = payload.split_first().ok_or(Fault::Payload)?;
            let (job, envelope) = rest
                .split_at_checked(usize::from(name))
                .ok_or(Fault::Payload)?;
            let job = std::str::from_utf8(job).map_err(|_| Fault::Payload)?;
            Content::Event { job, envelope }
        }
        BODY => Content::Body(payload),
        PRUNED if payload.is_empty() => Content::Pruned,
        HEAD => {
            let (size, note) = payload.split_first_chunk().ok_or(Fault::Payload)?;
            let note = std::str::from_utf8(note).map_err(|_| Fault::Payload)?;
            let size = u64::from_be_bytes(*size);
            Content::Head { size, note }
        }
        _ => return Err(Fault::Payload),
    };
    Ok((content, end + CHECK_BYTES))
}

fn checksum(index: u64, record: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"paripassu/v1 transcript record\0")
        .chain_update(index.to_be_bytes())
        .chain_update(record)
        .finalize()
        .into()
}
