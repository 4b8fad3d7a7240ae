//! What goes over the wire besides points and tags: agreement before, comparison after.

use crate::{abort::Abort, align::Params};

/// Version of this protocol, in every hash and in the first message.
pub(super) const VERSION: u16 = 1;
/// Bytes of a doubly masked value that are sent and compared: (64 + 2 * 32) / 8, so that any two
/// sets of up to 2^32 rows have a false match with probability at most 2^-64.
pub(super) const TAG_BYTES: usize = 16;

/// The first message: what must be equal, and how many frames will come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) version: u16,
    pub(super) batch: u32,
    pub(super) min_matched: u64,
    /// Digest of the session, not the session.
    pub(super) session: [u8; 32],
    pub(super) batches: u32,
}

impl Hello {
    pub(super) const BYTES: usize = 2 + 4 + 8 + 32 + 4;

    pub(super) fn new(params: &Params, batches: u32) -> Self {
        Self {
            version: VERSION,
            batch: params.batch,
            min_matched: params.min_matched,
            session: blake3::derive_key("paripassu align v1 session", &params.session),
            batches,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::BYTES);
        out.extend(self.version.to_le_bytes());
        out.extend(self.batch.to_le_bytes());
        out.extend(self.min_matched.to_le_bytes());
        out.extend(self.session);
        out.extend(self.batches.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut r = Reader::new(bytes, Self::BYTES)?;
        let hello = Self {
            version: u16::from_le_bytes(r.take()?),
            batch: u32::from_le_bytes(r.take()?),
            min_matched: u64::from_le_bytes(r.take()?),
            session: r.take()?,
            batches: u32::from_le_bytes(r.take()?),
        };
        Ok(hello)
    }

    /// What in `theirs` differs from this end's, if anything must not.
    pub(super) fn difference(&self, theirs: &Self) -> Option<String> {
        if self.version != theirs.version {
            return Some(format!(
                "it speaks version {} of the alignment, this node version {}: run the same \
                 release on both",
                theirs.version, self.version
            ));
        }
        if self.session != theirs.session {
            return Some("it runs another session: both must start from one contract".into());
        }
        if self.batch != theirs.batch {
            return Some(format!(
                "its frames hold {} items, this node's {}: both must come from one contract",
                theirs.batch, self.batch
            ));
        }
        if self.min_matched != theirs.min_matched {
            return Some(format!(
                "its least number of customers in common is {}, this node's {}: both must come \
                 from one contract",
                theirs.min_matched, self.min_matched
            ));
        }
        None
    }
}

/// The last message: what this end sent, received and concluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) sent_points: [u8; 32],
    pub(super) sent_tags: [u8; 32],
    pub(super) received_points: [u8; 32],
    pub(super) received_tags: [u8; 32],
    pub(super) matched: u64,
    pub(super) fingerprint: [u8; 32],
}

impl Outcome {
    pub(super) const BYTES: usize = 4 * 32 + 8 + 32;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::BYTES);
        out.extend(self.sent_points);
        out.extend(self.sent_tags);
        out.extend(self.received_points);
        out.extend(self.received_tags);
        out.extend(self.matched.to_le_bytes());
        out.extend(self.fingerprint);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut r = Reader::new(bytes, Self::BYTES)?;
        Ok(Self {
            sent_points: r.take()?,
            sent_tags: r.take()?,
            received_points: r.take()?,
            received_tags: r.take()?,
            matched: u64::from_le_bytes(r.take()?),
            fingerprint: r.take()?,
        })
    }

    /// Where `theirs` tells another story than this end's.
    pub(super) fn difference(&self, theirs: &Self) -> Option<&'static str> {
        if self.sent_points != theirs.received_points || self.received_points != theirs.sent_points
        {
            return Some("masked ids were altered on the way: start the job again");
        }
        if self.sent_tags != theirs.received_tags || self.received_tags != theirs.sent_tags {
            return Some("returned tags were altered on the way: start the job again");
        }
        if self.matched != theirs.matched || self.fingerprint != theirs.fingerprint {
            return Some(
                "it found other customers in common than this node did, so one of the two did \
                 not follow the protocol: do not use the result",
            );
        }
        None
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], want: usize) -> Result<Self, String> {
        match bytes.len() == want {
            true => Ok(Self(bytes)),
            false => Err(wrong_length(want, bytes.len())),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (head, tail) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| wrong_length(N, self.0.len()))?;
        self.0 = tail;
        Ok(*head)
    }
}

fn wrong_length(want: usize, got: usize) -> String {
    format!("expected {want} bytes, got {got}")
}

/// A frame as its items.
pub(super) fn items<const N: usize>(frame: &[u8], count: usize) -> Result<&[[u8; N]], String> {
    match frame.as_chunks() {
        (items, []) if items.len() == count => Ok(items),
        _ => Err(wrong_length(N * count, frame.len())),
    }
}

/// Number of frames for `rows`, padding included.
pub(super) fn batches(rows: u64, batch: u32) -> Result<u32, Abort> {
    let n = (rows + super::MIN_PADDING).div_ceil(u64::from(batch));
    u32::try_from(n).map_err(|_| {
        Abort::Input(format!(
            "{rows} rows in frames of {batch} are too many frames"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            sent_points: [1; 32],
            sent_tags: [2; 32],
            received_points: [3; 32],
            received_tags: [4; 32],
            matched: 5,
            fingerprint: [6; 32],
        }
    }

    #[test]
    fn messages_survive_the_wire_and_have_one_length() {
        let hello = Hello::new(&Params::new([7; 32]), 9);
        assert_eq!(hello.encode().len(), Hello::BYTES);
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello.clone()));
        assert_eq!(outcome().encode().len(), Outcome::BYTES);
        assert_eq!(Outcome::decode(&outcome().encode()), Ok(outcome()));
        for cut in 0..Hello::BYTES {
            assert!(Hello::decode(&hello.encode()[..cut]).is_err());
        }
        let mut long = outcome().encode();
        long.push(0);
        assert_eq!(
            Outcome::decode(&long),
            Err("expected 168 bytes, got 169".into())
        );
    }

    #[test]
    fn every_changed_byte_of_an_outcome_is_a_difference() {
        let mine = outcome();
        let theirs = Outcome {
            sent_points: mine.received_points,
            received_points: mine.sent_points,
            sent_tags: mine.received_tags,
            received_tags: mine.sent_tags,
            ..mine.clone()
        };
        assert_eq!(mine.difference(&theirs), None);
        let bytes = theirs.encode();
        for i in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[i] ^= 1;
            let changed = Outcome::decode(&changed).unwrap();
            assert!(mine.difference(&changed).is_some(), "byte {i}");
        }
    }

    #[test]
    fn a_frame_must_have_its_exact_length() {
        assert_eq!(items::<2>(&[1, 2, 3, 4], 2), Ok(&[[1, 2], [3, 4]][..]));
        assert!(items::<2>(&[1, 2, 3], 2).is_err());
        assert!(items::<2>(&[1, 2, 3, 4, 5], 2).is_err());
        assert!(items::<2>(&[], 2).is_err());
    }

    #[test]
    fn frames_hold_all_rows_and_the_padding() {
        assert_eq!(batches(0, 16_384), Ok(1));
        assert_eq!(batches(16_320, 16_384), Ok(1));
        assert_eq!(batches(16_321, 16_384), Ok(2));
        assert!(batches(u64::from(u32::MAX), 1).is_err());
    }
}
