//! A client's part in a sum.

use bytes::{BufMut, Bytes, BytesMut};
use paripassu_crypto::{
    masking::{self, MaskSecret, open_once, seal_once},
    shamir::{SHARE_BYTES, Share},
};
use zeroize::Zeroizing;

use super::{
    ATTEMPTS, Kind, MIN_CLIENTS, Params, bounded,
    group::Group,
    mask::{self, Mask},
    masked,
    msg::{self, BOX, Fields, Keys, Members},
    no_randomness, role,
    secrets::{Fresh, Shared, box_header, commitment},
};
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    compute::offload,
    ctx::Ctx,
};

/// The sum of the vectors of some clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Words that stand for signed integers.
    pub words: Vec<u64>,
    /// Whose vectors are in it.
    pub members: Members,
    /// How often it had to be tried.
    pub attempts: u32,
}

/// One client of all sums of a job.
pub struct Client<C> {
    pub(super) ctx: Ctx<C>,
    pub(super) params: Params,
    pub(super) group: Group,
    pub(super) next: u32,
    /// Those whose vectors were longer than a bound: they are in no bounded sum any more.
    pub(super) refused: Members,
    /// Sums so far, and of how many of them each client was missing.
    sums: u32,
    missed: Vec<u32>,
}

/// What this client brings to a sum.
pub(super) struct Input<'a> {
    pub(super) values: &'a [u64],
    pub(super) kind: Kind,
    pub(super) groups: &'a [Members],
}

impl<C> std::fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Client({} of {}, sum {})",
            self.group.me, self.params.clients, self.next
        )
    }
}

/// How an attempt ended.
pub(super) enum Ended {
    Sum(Sum),
    GivenUp { present: Members, missing: Members },
    Refused(Members),
}

/// A message of the adder.
pub(super) enum Told<'a> {
    GoesOn(Fields<'a>, Members),
    Ends(Ended),
}

impl<C: Channel> Client<C> {
    /// Joins the sums of a job; all clients must be there. `roots` holds a secret shared with each client
    /// alone, by position (this client's own is not used).
    ///
    /// # Errors
    /// The channel's, naming who is missing; a client whose keys differ from what another saw.
    pub async fn join(
        ctx: &Ctx<C>,
        params: Params,
        roots: Vec<Zeroizing<[u8; 32]>>,
    ) -> Result<Self, Abort> {
        let ctx = ctx.narrow("sums");
        let group = Group::join(&ctx, &params, roots).await?;
        let missed = vec![0; params.clients];
        Ok(Self {
            ctx,
            params,
            group,
            next: 0,
            refused: Members::default(),
            sums: 0,
            missed,
        })
    }

    /// Number of clients of the job.
    pub fn clients(&self) -> usize {
        self.params.clients
    }

    /// This client's position.
    pub fn position(&self) -> usize {
        self.group.me
    }

    /// Sends all other clients a message and waits for theirs; all must be there. Not masked.
    pub(crate) async fn tell_all(
        &self,
        name: &str,
        round: u32,
        body: Bytes,
    ) -> Result<Vec<(Role, Bytes)>, Abort> {
        let ctx = self.ctx.narrow(name).narrow(round);
        let got = ctx.broadcast("all", body).await?;
        Ok(ctx.peers().zip(got).collect())
    }

    /// How many sums there were, and of how many of them each client was missing, by position.
    pub fn missed(&self) -> (u32, &[u32]) {
        (self.sums, &self.missed)
    }

    /// Values must be below this in magnitude for any sum of them to be exact.
    pub fn limit(&self) -> u64 {
        (1 << 62) / self.params.clients as u64
    }

    /// The sum of all clients' `values`, of which it is tried [`ATTEMPTS`] times to get one. All clients ask for
    /// the same sums, of the same `purpose` and length, in the same order. A client that comes too late for
    /// a sum learns it all the same.
    ///
    /// # Leakage
    /// The sum and who is in it, to all clients; who is in it, to the adder.
    ///
    /// # Errors
    /// A value beyond [`Client::limit`]; too few clients; a message that is altered or not what it should be.
    pub async fn sum(&mut self, purpose: &str, values: Vec<u64>) -> Result<Sum, Abort> {
        self.sum_by_groups(purpose, values, &[]).await
    }

    /// A sum in which only the clients of some groups add anything, each group in numbers of its own: where one or
    /// two clients of a group are left, this client signs nothing, and the sum is tried again.
    ///
    /// # Leakage
    /// As [`Client::sum`]; a group's numbers are a sum over [`MIN_CLIENTS`] of its clients or more.
    ///
    /// # Errors
    /// As [`Client::sum`].
    pub async fn sum_by_groups(
        &mut self,
        purpose: &str,
        values: Vec<u64>,
        groups: &[Members],
    ) -> Result<Sum, Abort> {
        let limit = self.limit();
        let beyond = |w: &u64| (*w as i64).unsigned_abs() >= limit;
        if let Some(at) = values.iter().position(beyond) {
            return Err(Abort::OutOfRange {
                step: purpose.to_owned(),
                problem: format!(
                    "value {at} of this bank is 2^62 / {} or more, so the sum over all banks might not fit",
                    self.params.clients
                ),
            });
        }
        if values.is_empty() {
            return Err(Abort::Input("a sum of nothing".into()));
        }
        let input = Input {
            values: &values,
            kind: Kind::Words,
            groups,
        };
        self.sum_of(purpose, &input).await
    }

    /// Tries to get a sum.
    pub(super) async fn sum_of(&mut self, purpose: &str, input: &Input<'_>) -> Result<Sum, Abort> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.attempt(purpose, input).await? {
                Ended::Refused(members) => {
                    if members.is_within(&self.refused) {
                        let step = format!("{purpose} (sum {})", self.next);
                        return Err(malformed(&step, "a bank was refused that had been before"));
                    }
                    self.refused = self.refused.or(&members);
                    // this was no sum that too few had come to
                    attempts -= 1;
                    for client in members.iter() {
                        let bank = role(client);
                        tracing::warn!(%bank, purpose, "its vector is longer than the job allows: left out from here on");
                    }
                }
                Ended::Sum(sum) => {
                    self.sums += 1;
                    for (client, missed) in self.missed.iter_mut().enumerate() {
                        *missed += u32::from(!sum.members.contains(client));
                    }
                    return Ok(Sum { attempts, ..sum });
                }
                Ended::GivenUp { present, missing } => {
                    let step = format!("{purpose} (sum {})", self.next);
                    tracing::warn!(step, present = present.count(), "a sum was given up");
                    if attempts == ATTEMPTS {
                        return Err(Abort::TooFewClients {
                            step,
                            present: present.count(),
                            needed: self.params.threshold,
                            missing: missing.roles(),
                        });
                    }
                }
            }
        }
    }

    pub(super) fn keys(
        &self,
        session: &[u8; 32],
        (words, kind): (u64, Kind),
        purpose: [u8; 32],
        public: [u8; 32],
        commitment: [u8; 32],
    ) -> Keys {
        let mut keys = Keys {
            words,
            kind,
            purpose,
            public,
            commitment,
            signature: [0; 64],
        };
        keys.signature = self
            .group
            .statements
            .sign(&keys.statement(session, self.group.me));
        keys
    }

    /// Waits for a message of the adder; sums of other clients may be under way before it.
    pub(super) async fn hear(&self, ctx: &Ctx<C>, name: &str) -> Result<Bytes, Abort> {
        ctx.recv(Role::Helper, name).await
    }

    pub(super) fn told<'a>(&self, body: &'a Bytes, step: &'a str) -> Result<Told<'a>, Abort> {
        let mut fields = Fields::of(body, Role::Helper, step);
        match fields.array()? {
            [1] => {
                let members = fields.members(self.params.clients)?;
                Ok(Told::GoesOn(fields, members))
            }
            [0] => {
                let present = fields.members(self.params.clients)?;
                let missing = fields.members(self.params.clients)?;
                fields.end()?;
                Ok(Told::Ends(Ended::GivenUp { present, missing }))
            }
            [2] => {
                let members = fields.members(self.params.clients)?;
                fields.end()?;
                Ok(Told::Ends(Ended::Refused(members)))
            }
            _ => Err(fields.malformed("neither a step nor an end")),
        }
    }

    async fn attempt(&mut self, purpose: &str, input: &Input<'_>) -> Result<Ended, Abort> {
        let index = self.next;
        self.next += 1;
        let ctx = self.ctx.narrow(index);
        let session = self.params.session(index);
        let step = format!("{}/{purpose}", ctx.path());
        let mut agreed_on = None;
        if let Some(ended) = self
            .take_part(&ctx, &session, purpose, input, &step, &mut agreed_on)
            .await?
        {
            return Ok(ended);
        }
        let body = self.hear(&ctx, "result").await?;
        let (mut fields, members) = match self.told(&body, &step)? {
            Told::GoesOn(fields, members) => (fields, members),
            Told::Ends(ended) => return Ok(ended),
        };
        if agreed_on.is_some_and(|agreed| agreed != members) {
            return Err(fields.malformed("the sum is over other banks than those agreed on"));
        }
        if members.count() < self.params.threshold {
            return Err(fields.malformed("a sum over fewer banks than the job asks for"));
        }
        let (len, kind) = (input.values.len(), input.kind);
        let vector = Bytes::copy_from_slice(fields.bytes(len * 8 + 16)?);
        fields.end()?;
        let blinds: Vec<_> = members
            .iter()
            .map(|c| self.group.blind(&session, c))
            .collect();
        let key = self.group.tag_key(&session);
        let opened = offload(move || {
            let mut words = vec![0; len];
            let tag = msg::add_vector(&vector, &mut words, kind)?;
            let masks: Vec<_> = blinds.iter().map(|seed| Mask::subtracted(seed)).collect();
            let tag = mask::apply(&masks, &mut words, tag, kind);
            (masked::tagged(&key, &words, kind) == tag).then(|| bounded::integers(&words, kind))
        });
        match opened.await {
            Some(words) => Ok(Ended::Sum(Sum {
                words,
                members,
                attempts: 1,
            })),
            None => Err(Abort::Disagreement {
                from: Role::Helper,
                step,
                problem: "the sum does not bear the tag of its parts: it was altered by the node \
                          that adds up or on the way, or a bank gave shares or a vector that are \
                          not its own. Nothing was taken from it"
                    .into(),
            }),
        }
    }

    /// All messages of a sum before its result. Returns early where this client is not, or no longer, in it.
    async fn take_part(
        &self,
        ctx: &Ctx<C>,
        session: &[u8; 32],
        purpose: &str,
        input: &Input<'_>,
        step: &str,
        agreed_on: &mut Option<Members>,
    ) -> Result<Option<Ended>, Abort> {
        macro_rules! told {
            ($body:expr) => {
                match self.told($body, step)? {
                    Told::GoesOn(fields, members) => (fields, members),
                    Told::Ends(ended) => return Ok(Some(ended)),
                }
            };
        }
        let (me, n, t) = (self.group.me, self.params.clients, self.params.threshold);
        let (words, groups) = (input.values.len(), input.groups);
        let size = (words as u64, input.kind);
        let own = self.advertise(ctx, session, purpose, size).await?;

        // round 1: check every key, then give every client a share of the own secrets
        let body = self.hear(ctx, "roster").await?;
        let (fields, roster) = told!(&body);
        if !roster.contains(me) {
            return Ok(None);
        }
        let keys = self.read_roster(fields, roster, session, purpose, size)?;
        if keys.get(me).and_then(Option::as_ref).map(|k| k.public) != Some(own.public()) {
            return Err(malformed(
                step,
                "the roster holds another key of this bank than it sent",
            ));
        }
        let own = own.share(t, n, me)?;
        self.send_shares(ctx, session, roster, &own).await?;

        // round 2: mask
        let body = self.hear(ctx, "inbox").await?;
        let (mut fields, sharers) = told!(&body);
        if !sharers.contains(me) {
            return Ok(None);
        }
        if !sharers.is_within(&roster) || sharers.count() < t {
            return Err(fields.malformed("shares of fewer banks than the job asks for"));
        }
        let mut held = Vec::with_capacity(n);
        for peer in 0..n {
            held.push(match sharers.contains(peer) {
                true if peer == me => Some(own.kept.shares.clone()),
                true => Some(self.open_box(session, peer, fields.bytes(BOX)?, step)?),
                false => None,
            });
        }
        fields.end()?;
        let seeds = self.seeds(session, &keys, sharers, &own.kept, step)?;
        let prover = bounded::prover(input)?;
        let masked = self
            .masked(session, &seeds, &own.kept, input, prover.as_ref())
            .await;
        self.hear(ctx, "go").await?;
        ctx.send(Role::Helper, "masked", masked).await?;

        // round 3: agree on who is in the sum. The others may take long to send.
        let patient = ctx.with_deadline(ctx.deadline() * n as u32);
        let body = self.hear(&patient, "survivors").await?;
        let (fields, survivors) = told!(&body);
        fields.end()?;
        if !survivors.contains(me) {
            return Ok(None);
        }
        if !survivors.is_within(&sharers) || survivors.count() < t {
            return Err(malformed(
                step,
                "a sum over fewer banks than the job asks for",
            ));
        }
        let statement = msg::survivors_statement(session, survivors);
        let few = |group: &Members| (1..MIN_CLIENTS).contains(&group.and(&survivors).count());
        let signature = match groups.iter().any(few) {
            true => msg::UNSIGNED,
            false => self.group.statements.sign(&statement),
        };
        ctx.send(Role::Helper, "agree", Bytes::copy_from_slice(&signature))
            .await?;

        // round 4: reveal, once, one kind of share for each
        let body = self.hear(ctx, "agreed").await?;
        let (mut fields, signers) = told!(&body);
        if !signers.is_within(&survivors) || signers.count() < t {
            return Err(fields.malformed("fewer signatures of the survivors than the job asks for"));
        }
        for signer in signers.iter() {
            let signature = fields.array()?;
            let key = self.group.verifiers.get(signer);
            if key.is_none_or(|key| key.verify(&statement, signature).is_err()) {
                return Err(fields.malformed(format!(
                    "the signature of {} is not of these survivors: the node that adds up shows \
                     banks different sets",
                    role(signer)
                )));
            }
        }
        fields.end()?;
        *agreed_on = Some(survivors);
        let mut out = BytesMut::with_capacity(sharers.count() * SHARE_BYTES);
        for (client, shares) in held.into_iter().enumerate() {
            let Some((of_seed, of_key)) = shares else {
                continue;
            };
            let share = if survivors.contains(client) {
                of_seed
            } else {
                of_key
            };
            out.put_slice(&*share.to_bytes());
        }
        ctx.send(Role::Helper, "reveal", out.freeze()).await?;
        match prover {
            Some(prover) => {
                self.prove(ctx, session, survivors, &seeds, prover, step)
                    .await
            }
            None => Ok(None),
        }
    }

    /// Round 0: fresh keys, signed.
    async fn advertise(
        &self,
        ctx: &Ctx<C>,
        session: &[u8; 32],
        purpose: &str,
        size: (u64, Kind),
    ) -> Result<Fresh, Abort> {
        let fresh = Fresh {
            secret: MaskSecret::fresh().map_err(no_randomness)?,
            self_seed: masking::fresh().map_err(no_randomness)?,
        };
        let keys = self.keys(
            session,
            size,
            *blake3::hash(purpose.as_bytes()).as_bytes(),
            fresh.public(),
            commitment(session, self.group.me, &fresh.self_seed),
        );
        ctx.send(Role::Helper, "keys", encoded(&keys)).await?;
        Ok(fresh)
    }

    fn read_roster(
        &self,
        mut fields: Fields<'_>,
        roster: Members,
        session: &[u8; 32],
        purpose: &str,
        size: (u64, Kind),
    ) -> Result<Vec<Option<Keys>>, Abort> {
        let purpose = *blake3::hash(purpose.as_bytes()).as_bytes();
        let mut all = vec![None; self.params.clients];
        if roster.count() < self.params.threshold {
            return Err(fields.malformed("a roster of fewer banks than the job asks for"));
        }
        for client in roster.iter() {
            let keys = Keys::take(&mut fields)?;
            let (Some(slot), Some(key)) = (all.get_mut(client), self.group.verifiers.get(client))
            else {
                return Err(fields.malformed("a bank that the job does not have"));
            };
            if key
                .verify(&keys.statement(session, client), &keys.signature)
                .is_err()
            {
                return Err(fields.malformed(format!(
                    "the keys of {} do not bear its signature",
                    role(client)
                )));
            }
            if ((keys.words, keys.kind), keys.purpose) != (size, purpose) {
                return Err(Abort::Disagreement {
                    from: role(client),
                    step: self.ctx.path().to_owned(),
                    problem: "it is at another step of the job, or brings another number of \
                              values, than this bank: do both run the same version?"
                        .into(),
                });
            }
            *slot = Some(keys);
        }
        fields.end()?;
        Ok(all)
    }

    async fn send_shares(
        &self,
        ctx: &Ctx<C>,
        session: &[u8; 32],
        roster: Members,
        own: &Shared,
    ) -> Result<(), Abort> {
        let me = self.group.me;
        let mut out = BytesMut::with_capacity(roster.count() * BOX);
        for (peer, (of_seed, of_key)) in own.of_seed.iter().zip(&own.of_key).enumerate() {
            if peer == me || !roster.contains(peer) {
                continue;
            }
            let mut both = Zeroizing::new([0; 2 * SHARE_BYTES]);
            let (first, second) = both.split_at_mut(SHARE_BYTES);
            first.copy_from_slice(&*of_seed.to_bytes());
            second.copy_from_slice(&*of_key.to_bytes());
            let key = self.group.box_key(session, me, peer);
            out.put_slice(&seal_once(&key, &box_header(session, me, peer), &*both));
        }
        ctx.send(Role::Helper, "shares", out.freeze()).await
    }

    fn open_box(
        &self,
        session: &[u8; 32],
        from: usize,
        sealed: &[u8],
        step: &str,
    ) -> Result<(Share, Share), Abort> {
        let me = self.group.me;
        let key = self.group.box_key(session, from, me);
        let opened = open_once(&key, &box_header(session, from, me), sealed);
        let both = opened.map_err(|e| {
            let who = role(from);
            malformed(step, format!("the shares of {who}: {e}"))
        })?;
        let (chunks, _) = both.as_chunks::<SHARE_BYTES>();
        match chunks {
            [of_seed, of_key] => Ok((Share::from_bytes(of_seed), Share::from_bytes(of_key))),
            _ => Err(malformed(step, "a box that holds no two shares")),
        }
    }
}

pub(super) fn encoded(keys: &Keys) -> Bytes {
    let mut out = BytesMut::with_capacity(Keys::BYTES);
    keys.put(&mut out);
    out.freeze()
}

pub(super) fn malformed(step: &str, problem: impl Into<String>) -> Abort {
    Abort::Malformed {
        from: Role::Helper,
        step: step.to_owned(),
        problem: problem.into(),
    }
}
