//! The messages of a sum as bytes: fixed layouts, checked before anything is read from them.

use bytes::{BufMut, Bytes, BytesMut};
use paripassu_crypto::{field61, masking::SEAL_BYTES, shamir::SHARE_BYTES, sum_tag::Tag};

use super::{Kind, MAX_CLIENTS, role};
use crate::{abort::Abort, channel::Role};

/// A set of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members([u64; 4]);

impl Members {
    /// The first `count` clients.
    pub fn first(count: usize) -> Self {
        (0..count.min(MAX_CLIENTS)).collect()
    }

    /// Whether a client is in the set.
    pub fn contains(&self, client: usize) -> bool {
        self.0
            .get(client / 64)
            .is_some_and(|word| (word >> (client % 64)) & 1 == 1)
    }

    fn insert(&mut self, client: usize) {
        if let Some(word) = self.0.get_mut(client / 64) {
            *word |= 1 << (client % 64);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The clients in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<> {
        let set = *self;
        (0..MAX_CLIENTS).filter(move |client| set.contains(*client))
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.iter()
            .filter(|client| !other.contains(*client))
            .collect()
    }

    /// Those that are in one of them or both.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.iter()
            .filter(|client| other.contains(*client))
            .collect()
    }

    /// Whether all are in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.without(other).count() == 0
    }

    /// Their roles.
    pub fn roles(&self) -> Vec<Role> {
        self.iter().map(role).collect()
    }

    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        let (chunks, _) = out.as_chunks_mut::<8>();
        chunks
            .iter_mut()
            .zip(self.0)
            .for_each(|(c, w)| *c = w.to_le_bytes());
        out
    }

    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let (chunks, _) = bytes.as_chunks::<8>();
        let mut words = [0; 4];
        words
            .iter_mut()
            .zip(chunks)
            .for_each(|(w, c)| *w = u64::from_le_bytes(*c));
        Self(words)
    }
}

impl FromIterator<usize> for Members {
    fn from_iter<T: IntoIterator<Item = usize>>(clients: T) -> Self {
        let mut set = Self::default();
        clients.into_iter().for_each(|client| set.insert(client));
        set
    }
}

/// Reads fields off the front of a message.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    from: Role,
    step: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn of(body: &'a Bytes, from: Role, step: &'a str) -> Self {
        Self {
            rest: body,
            from,
            step,
        }
    }

    pub(super) fn malformed(&self, problem: impl Into<String>) -> Abort {
        Abort::Malformed {
            from: self.from,
            step: self.step.to_owned(),
            problem: problem.into(),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Abort> {
        let Some((field, rest)) = self.rest.split_first_chunk() else {
            return Err(self.malformed("the message ends early"));
        };
        self.rest = rest;
        Ok(field)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Abort> {
        let Some((field, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.malformed("the message ends early"));
        };
        self.rest = rest;
        Ok(field)
    }

    pub(super) fn members(&mut self, clients: usize) -> Result<Members, Abort> {
        let set = Members::from_bytes(self.array()?);
        match set.is_within(&Members::first(clients)) && set.count() == set.iter().count() {
            true => Ok(set),
            false => Err(self.malformed("a set of clients that the job does not have")),
        }
    }

    pub(super) fn end(self) -> Result<(), Abort> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(self.malformed(format!("{more} bytes too many"))),
        }
    }
}

/// Bytes of a box with two shares.
pub(super) const BOX: usize = 2 * SHARE_BYTES + SEAL_BYTES;

/// Instead of a signature: this client does not want the sum over these survivors.
pub(super) const UNSIGNED: [u8; 64] = [0; 64];

/// A client's keys for one sum.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// Length of its vector; 0 says that it wants no more sums.
    pub(super) words: u64,
    pub(super) kind: Kind,
    /// What the sum is for, as a digest: all must mean the same.
    pub(super) purpose: [u8; 32],
    pub(super) public: [u8; 32],
    /// To its self seed.
    pub(super) commitment: [u8; 32],
    pub(super) signature: [u8; 64],
}

impl Keys {
    pub(super) const BYTES: usize = 169;

    /// What is signed.
    pub(super) fn statement(&self, session: &[u8; 32], client: usize) -> Vec<u8> {
        let mut out = b"paripassu/v1 secagg keys".to_vec();
        out.extend_from_slice(session);
        out.extend_from_slice(&(client as u64).to_le_bytes());
        out.extend_from_slice(&self.words.to_le_bytes());
        out.push(self.kind.code());
        for field in [&self.purpose, &self.public, &self.commitment] {
            out.extend_from_slice(field);
        }
        out
    }

    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_u64_le(self.words);
        out.put_u8(self.kind.code());
        for field in [&self.purpose, &self.public, &self.commitment] {
            out.put_slice(field);
        }
        out.put_slice(&self.signature);
    }

    pub(super) fn take(fields: &mut Fields<'_>) -> Result<Self, Abort> {
        Ok(Self {
            words: u64::from_le_bytes(*fields.array()?),
            kind: match fields.array()? {
                [0] => Kind::Words,
                [1] => Kind::Bounded,
                _ => return Err(fields.malformed("a kind of sum that there is not")),
            },
            purpose: *fields.array()?,
            public: *fields.array()?,
            commitment: *fields.array()?,
            signature: *fields.array()?,
        })
    }
}

/// What is signed of the question that the adder asks about proofs.
pub(super) fn question_statement(
    session: &[u8; 32],
    survivors: Members,
    (rho, r): (u64, u64),
) -> Vec<u8> {
    let mut out = b"paripassu/v1 secagg question".to_vec();
    out.extend_from_slice(session);
    out.extend_from_slice(&survivors.to_bytes());
    out.extend_from_slice(&rho.to_le_bytes());
    out.extend_from_slice(&r.to_le_bytes());
    out
}

/// What is signed of the survivors.
pub(super) fn survivors_statement(session: &[u8; 32], survivors: Members) -> Vec<u8> {
    let mut out = b"paripassu/v1 secagg survivors".to_vec();
    out.extend_from_slice(session);
    out.extend_from_slice(&survivors.to_bytes());
    out
}

/// A message of the adder, behind one byte that says whether the sum goes on.
pub(super) fn going_on(members: Members, more: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(33 + more);
    out.put_u8(1);
    out.put_slice(&members.to_bytes());
    out
}

/// The adder gives this sum up: who was there, and who was missing.
pub(super) fn given_up(present: Members, missing: Members) -> Bytes {
    let mut out = BytesMut::with_capacity(65);
    out.put_u8(0);
    out.put_slice(&present.to_bytes());
    out.put_slice(&missing.to_bytes());
    out.freeze()
}

/// The adder refuses the vectors of these: the sum is to be made without them.
pub(super) fn refused(members: Members) -> Bytes {
    let mut out = BytesMut::with_capacity(33);
    out.put_u8(2);
    out.put_slice(&members.to_bytes());
    out.freeze()
}

/// Elements of the field as bytes.
pub(super) fn put_elements(elements: &[u64], out: &mut BytesMut) {
    elements.iter().for_each(|e| out.put_u64_le(*e));
}

/// Elements of the field; none where the bytes are not that.
pub(super) fn elements(bytes: &[u8]) -> Option<Vec<u64>> {
    let (words, rest) = bytes.as_chunks::<8>();
    let elements: Vec<u64> = words.iter().map(|w| u64::from_le_bytes(*w)).collect();
    (rest.is_empty() && elements.iter().all(|e| *e < field61::P)).then_some(elements)
}

/// A masked vector and its masked tag. Words of the vector come first.
pub(super) fn put_vector(words: Vec<u64>, tag: Tag) -> Bytes {
    let mut out = BytesMut::with_capacity(words.len() * 8 + 16);
    if cfg!(target_endian = "little") {
        out.put_slice(bytemuck::cast_slice(&words));
    } else {
        words.iter().for_each(|w| out.put_u64_le(*w));
    }
    out.put_slice(&tag.to_bytes());
    out.freeze()
}

/// Adds the words of a masked vector to `sum`; gives back its tag.
pub(super) fn add_vector(body: &[u8], sum: &mut [u64], kind: Kind) -> Option<Tag> {
    let (tag, words) = body
        .split_last_chunk::<16>()
        .map(|(words, tag)| (tag, words))?;
    let (words, rest) = words.as_chunks::<8>();
    if words.len() != sum.len() || !rest.is_empty() {
        return None;
    }
    let tag = Tag::from_bytes(*tag)?;
    for (s, w) in sum.iter_mut().zip(words) {
        let word = u64::from_le_bytes(*w);
        *s = match kind {
            Kind::Words => s.wrapping_add(word),
            Kind::Bounded if word < field61::P => field61::add(*s, word),
            Kind::Bounded => return None,
        };
    }
    Some(tag)
}
