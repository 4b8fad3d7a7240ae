//! Joining, once a job: every client gives every other a key to check its signatures by and its part of the
//! secret that the clients keep from the adder.

use bytes::{BufMut, BytesMut};
use paripassu_crypto::masking::{StatementKey, StatementVerifier, derive, fresh};
use zeroize::Zeroizing;

use super::{Params, msg::Fields, no_randomness, role};
use crate::{abort::Abort, channel::Channel, ctx::Ctx};

/// What a client has from joining.
pub(super) struct Group {
    pub(super) me: usize,
    pub(super) statements: StatementKey,
    pub(super) verifiers: Vec<StatementVerifier>,
    /// Secrets shared with each client alone.
    roots: Vec<Zeroizing<[u8; 32]>>,
    /// Known to all clients and to nobody else.
    secret: Zeroizing<[u8; 32]>,
}

impl Group {
    /// Exchanges keys and parts with all clients, and checks that all have the same.
    ///
    /// The messages go from client to client, over links that authenticate and seal.
    pub(super) async fn join<C: Channel>(
        ctx: &Ctx<C>,
        params: &Params,
        roots: Vec<Zeroizing<[u8; 32]>>,
    ) -> Result<Self, Abort> {
        let ctx = ctx.narrow("join");
        let me = ctx.role().index().filter(|me| *me < params.clients);
        let me = me.ok_or_else(|| Abort::Input("only a client of the job joins a sum".into()))?;
        if roots.len() != params.clients || ctx.parties() != params.clients {
            return Err(Abort::Input("a secret is shared with each client".into()));
        }
        let statements = StatementKey::fresh().map_err(no_randomness)?;
        let part = fresh().map_err(no_randomness)?;
        let mut body = BytesMut::with_capacity(64);
        body.put_slice(&statements.public().to_bytes());
        body.put_slice(&*part);
        let own = body.freeze();
        let got = ctx.broadcast("keys", own.clone()).await?;
        let mut all = got.iter();
        let mut verifiers = Vec::with_capacity(params.clients);
        let mut hash = blake3::Hasher::new_derive_key("paripassu/v1 secagg group");
        hash.update(&params.context);
        hash.update(&(params.threshold as u64).to_le_bytes());
        for client in 0..params.clients {
            let body = if client == me { Some(&own) } else { all.next() };
            let body = body.ok_or_else(|| Abort::Input("a client's keys are missing".into()))?;
            let mut fields = Fields::of(body, role(client), ctx.path());
            let key = StatementVerifier::from_bytes(fields.array()?)
                .map_err(|e| fields.malformed(e.to_string()))?;
            hash.update(&key.to_bytes());
            hash.update(fields.array::<32>()?);
            fields.end()?;
            verifiers.push(key);
        }
        let secret = Zeroizing::new(*hash.finalize().as_bytes());
        let seen = derive(&secret, &params.context, &[b"paripassu/v1 secagg seen"]);
        let theirs = ctx
            .broadcast("seen", bytes::Bytes::copy_from_slice(&*seen))
            .await?;
        for (from, body) in ctx.peers().zip(theirs) {
            if body.as_ref() != seen.as_slice() {
                return Err(Abort::Disagreement {
                    from,
                    step: ctx.path().to_owned(),
                    problem: "it has other keys or another threshold than this bank: a bank told \
                              two banks different things"
                        .into(),
                });
            }
        }
        Ok(Self {
            me,
            statements,
            verifiers,
            roots,
            secret,
        })
    }

    /// The key of the box from one client to another, one of which is this one.
    pub(super) fn box_key(
        &self,
        session: &[u8; 32],
        from: usize,
        to: usize,
    ) -> Zeroizing<[u8; 32]> {
        let peer = if from == self.me { to } else { from };
        let none = [0; 32];
        let root = self.roots.get(peer).map_or(&none, |root| &**root);
        let ends = [from as u8, to as u8];
        derive(root, session, &[b"paripassu/v1 secagg box", &ends])
    }

    /// The seed of a client's blind.
    pub(super) fn blind(&self, session: &[u8; 32], client: usize) -> Zeroizing<[u8; 32]> {
        let purpose: [&[u8]; 2] = [b"paripassu/v1 secagg blind", &[client as u8]];
        derive(&self.secret, session, &purpose)
    }

    /// The key of the tag of a sum.
    pub(super) fn tag_key(&self, session: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        derive(&self.secret, session, &[b"paripassu/v1 secagg tag"])
    }
}
