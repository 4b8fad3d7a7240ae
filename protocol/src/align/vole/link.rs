//! The one peer: messages sent and received, remembered by digest; what is wrong with them, in its name.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::setup::Plan;
use crate::{
    abort::Abort,
    align::Params,
    channel::{Channel, ChannelError, Role},
    ctx::Ctx,
};

/// The connection to the other party.
pub(super) struct Link<'a, C> {
    ctx: &'a Ctx<C>,
    peer: Role,
    sent: Mutex<BTreeMap<String, [u8; 32]>>,
    received: Mutex<BTreeMap<String, [u8; 32]>>,
}

impl<'a, C: Channel> Link<'a, C> {
    /// To the other data party of two.
    pub(super) fn new(ctx: &'a Ctx<C>) -> Result<Self, Abort> {
        let peers: Vec<Role> = ctx.peers().collect();
        match (ctx.role(), peers.as_slice()) {
            (Role::Party(0 | 1), [peer]) => Ok(Self::to(ctx, *peer)),
            (role, _) => Err(Abort::Input(format!(
                "alignment by vole is between two data parties; this is {role} in a job of {}",
                ctx.parties()
            ))),
        }
    }

    /// To one of several data parties.
    pub(super) fn to(ctx: &'a Ctx<C>, peer: Role) -> Self {
        Self {
            ctx,
            peer,
            sent: Mutex::default(),
            received: Mutex::default(),
        }
    }

    /// Position of this end among the two: 0 for the one that comes first among all parties.
    pub(super) fn index(&self) -> u8 {
        u8::from(number(self.ctx.role()) > number(self.peer))
    }

    /// Its position among all parties.
    pub(super) fn own_index(&self) -> u8 {
        number(self.ctx.role())
    }

    /// The other end.
    pub(super) fn peer(&self) -> Role {
        self.peer
    }

    /// Its position among all parties.
    pub(super) fn peer_index(&self) -> u8 {
        number(self.peer)
    }

    /// The number of frames that the peer announces, if this node allows as many.
    pub(super) fn frames_told(&self, told: &[u8], params: &Params) -> Result<u32, Abort> {
        let Ok(peer) = <[u8; 4]>::try_from(told).map(u32::from_le_bytes) else {
            let problem = format!("expected 4 bytes, got {}", told.len());
            return Err(self.blame("size", problem));
        };
        if peer == 0 {
            return Err(self.blame("size", "it announces no frame, expected 1 at least"));
        }
        params.allows(self.peer, &format!("{}/size", self.step()), peer)?;
        Ok(peer)
    }

    /// Whether this node allows what a peer that does not follow the protocol could try.
    pub(super) fn allows(&self, plan: &Plan, params: &Params) -> Result<(), Abort> {
        let most = plan.peer_most();
        if most <= u64::from(params.max_rows) {
            return Ok(());
        }
        let what =
            format!("could try {most} ids in tables of this size (`vole`; `curve` has none)");
        Err(params.too_many(self.peer, &format!("{}/size", self.step()), &what))
    }

    pub(super) fn step(&self) -> &str {
        self.ctx.path()
    }

    pub(super) async fn send(&self, name: &str, body: Bytes) -> Result<(), Abort> {
        note(&self.sent, name, &body);
        self.ctx.send(self.peer, name, body).await
    }

    pub(super) async fn recv(&self, name: &str) -> Result<Bytes, Abort> {
        let body = self.ctx.recv(self.peer, name).await?;
        note(&self.received, name, &body);
        Ok(body)
    }

    pub(super) async fn swap(&self, name: &str, body: Vec<u8>) -> Result<Bytes, Abort> {
        let body = Bytes::from(body);
        note(&self.sent, name, &body);
        let out = vec![(self.peer, body)];
        let got = self.ctx.swap(name, out, &[self.peer]).await?;
        let got = got.into_iter().next().unwrap_or_default();
        note(&self.received, name, &got);
        Ok(got)
    }

    /// Digests of all messages sent and of all received, by name.
    pub(super) fn digests(&self) -> [[u8; 32]; 2] {
        [&self.sent, &self.received].map(|seen| {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let mut all = blake3::Hasher::new_derive_key("paripassu align vole v1 messages");
            for (name, digest) in seen.iter() {
                all.update(&(name.len() as u64).to_le_bytes());
                all.update(name.as_bytes());
                all.update(digest);
            }
            *all.finalize().as_bytes()
        })
    }

    /// A digest of one bucket's messages, the same at both ends.
    pub(super) fn bucket(&self, bucket: usize) -> [u8; 32] {
        let [sent, received] = [&self.sent, &self.received]
            .map(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner));
        let mut all =
            blake3::Hasher::new_derive_key("paripassu align vole v1 messages of a bucket");
        for what in ["proof", "masked", "outputs", "found"] {
            let name = format!("{what}-{bucket}");
            let digest = sent.get(&name).or_else(|| received.get(&name));
            all.update(digest.unwrap_or(&[0; 32]));
        }
        *all.finalize().as_bytes()
    }

    /// The peer's message `name` is not what the protocol asks for.
    pub(super) fn blame(&self, name: &str, problem: impl fmt::Display) -> Abort {
        Abort::Malformed {
            from: self.peer,
            step: format!("{}/{name}", self.step()),
            problem: problem.to_string(),
        }
    }

    /// The peer disagrees on what must be equal.
    pub(super) fn differ(&self, name: &str, problem: impl fmt::Display) -> Abort {
        Abort::Disagreement {
            from: self.peer,
            step: format!("{}/{name}", self.step()),
            problem: problem.to_string(),
        }
    }

    /// Exactly `n` elements.
    pub(super) fn blocks(&self, name: &str, body: &Bytes, n: usize) -> Result<Vec<u128>, Abort> {
        if n.checked_mul(16) != Some(body.len()) {
            let problem = format!("expected {} bytes, got {}", n * 16, body.len());
            return Err(self.blame(name, problem));
        }
        let mut out = vec![0_u128; n];
        bytemuck::cast_slice_mut::<u128, u8>(&mut out).copy_from_slice(body);
        if cfg!(target_endian = "big") {
            out.iter_mut().for_each(|x| *x = u128::from_le(*x));
        }
        Ok(out)
    }
}

fn number(role: Role) -> u8 {
    match role {
        Role::Party(i) => i,
        Role::Helper => u8::MAX,
    }
}

fn note(seen: &Mutex<BTreeMap<String, [u8; 32]>>, name: &str, body: &Bytes) {
    let digest = *blake3::hash(body).as_bytes();
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name.to_owned(), digest);
}

/// Elements as bytes, little endian, without a copy where numbers are little endian.
pub(super) fn put_blocks(mut blocks: Vec<u128>) -> Bytes {
    struct Owned(Zeroizing<Vec<u128>>);
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
    if cfg!(target_endian = "big") {
        blocks.iter_mut().for_each(|x| *x = x.to_le());
    }
    Bytes::from_owner(Owned(Zeroizing::new(blocks)))
}

/// Runs `f` where it may compute and read files, off the reactor.
pub(in crate::align) async fn offload<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Abort> {
    match tokio::task::spawn_blocking(f).await {
        Ok(t) => Ok(t),
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => Err(Abort::Channel(ChannelError::Ended {
            reason: "this node is shutting down".into(),
        })),
    }
}
