//! The adder's part: collect, pass on, add up, take the masks away.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Kind, Params,
    bounded::{self, Case},
    end, mask,
    msg::{self, BOX, Fields, Keys, Members},
    role,
};
use crate::{
    abort::Abort,
    channel::{Channel, ChannelError},
    compute::offload,
    ctx::Ctx,
};
use bytes::{BufMut, Bytes};
use futures_util::{StreamExt, future, stream::FuturesUnordered};
use paripassu_crypto::{shamir::SHARE_BYTES, sum_tag::Tag};

/// What was added up in a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Sums that came to a result.
    pub sums: u32,
    /// Sums given up because too few clients were left.
    pub given_up: u32,
    /// Words of all results.
    pub words: u64,
    /// Most vectors held at a time, the sum included.
    pub most_vectors: usize,
}

/// Adds up until the clients say that they are done.
///
/// # Leakage
/// To the adder: who takes part in each sum and how long its vectors are.
///
/// # Errors
/// The channel's other than that a client is late; a client whose message is not what it should be.
pub async fn serve<C: Channel>(ctx: &Ctx<C>, params: &Params) -> Result<Served, Abort> {
    let ctx = ctx.narrow("sums");
    let mut server = Server {
        ctx,
        params,
        late: Vec::new(),
        last: Members::first(params.clients),
        refused: Members::default(),
        served: Served::default(),
    };
    for index in 0u32.. {
        if !server.sum(index).await? {
            break;
        }
    }
    Ok(server.served)
}

/// How many pauses in which nobody begins a sum the adder sits out.
const SILENT: u32 = 4;

/// Whether all who came say that no more sums follow. One that is done has had the result that all were told, so
/// the others are done as well, however late they say so.
pub(super) fn all_done(came: &BTreeMap<usize, Bytes>, step: &str) -> Result<bool, Abort> {
    for (client, body) in came {
        let mut fields = Fields::of(body, role(*client), step);
        if Keys::take(&mut fields)?.words != 0 {
            return Ok(false);
        }
    }
    Ok(!came.is_empty())
}

pub(super) struct Server<'a, C> {
    pub(super) ctx: Ctx<C>,
    pub(super) params: &'a Params,
    /// What did not come in time: it is read before a later sum, so that it takes no more of the links' credit and both
    /// ends count the same.
    pub(super) late: Vec<(u32, usize, &'static str)>,
    /// Whose vectors were in the last sum.
    pub(super) last: Members,
    /// Whose vectors were longer than a bound.
    refused: Members,
    served: Served,
}

/// A sum that cannot be finished.
pub(super) struct TooFew {
    next: &'static str,
    awaiting: Members,
    present: Members,
    missing: Members,
}

pub(super) enum Stop {
    TooFew(TooFew),
    Refused(Members),
    Abort(Abort),
    Done,
}

impl From<Abort> for Stop {
    fn from(abort: Abort) -> Self {
        Self::Abort(abort)
    }
}

impl<C: Channel> Server<'_, C> {
    /// One sum; false when there are no more.
    async fn sum(&mut self, index: u32) -> Result<bool, Abort> {
        let ctx = self.ctx.narrow(index);
        match self.steps(&ctx, index).await {
            Ok(()) => {
                self.served.sums += 1;
                Ok(true)
            }
            Err(Stop::Done) => Ok(false),
            Err(Stop::Abort(abort)) => Err(abort),
            Err(Stop::Refused(members)) => {
                self.served.given_up += 1;
                self.refused = self.refused.or(&members);
                let banks = members.roles();
                tracing::warn!(
                    sum = index,
                    ?banks,
                    "vectors longer than the job allows: refused"
                );
                let body = msg::refused(members);
                self.tell(&ctx, self.all(), "result", |_| body.clone())
                    .await;
                Ok(true)
            }
            Err(Stop::TooFew(few)) => {
                self.served.given_up += 1;
                tracing::warn!(
                    sum = index,
                    present = few.present.count(),
                    needed = self.params.threshold,
                    "a sum was given up: too few banks are left"
                );
                let body = msg::given_up(few.present, few.missing);
                let others = self.all().without(&few.awaiting);
                self.tell(&ctx, few.awaiting, few.next, |_| body.clone())
                    .await;
                self.tell(&ctx, others, "result", |_| body.clone()).await;
                Ok(true)
            }
        }
    }

    pub(super) fn all(&self) -> Members {
        Members::first(self.params.clients)
    }

    async fn steps(&mut self, ctx: &Ctx<C>, index: u32) -> Result<(), Stop> {
        let (all, session) = (self.all(), self.params.session(index));
        self.read_late(end::SHORT).await;

        // banks may have other things to do before a sum: nobody is late where nobody has begun. Who has begun
        // waits for the roster no longer than for any message, so the others have half of that
        let pause = Some(self.params.first.max(ctx.deadline()));
        let mut came = BTreeMap::new();
        for _ in 0..SILENT {
            came = self
                .collect(ctx, all, "keys", Keys::BYTES, self.params.limit, pause)
                .await?;
            if !came.is_empty() {
                break;
            }
        }
        if came.is_empty() {
            // nobody for so long: the error names one of them
            came.insert(0, ctx.recv(role(0), "keys").await?);
        }
        if all_done(&came, ctx.path())? {
            return self.close(ctx, came).await;
        }
        let came_now: Members = came.keys().copied().collect();
        self.too_late(index, "keys", all.without(&came_now));
        self.enough(&came, "roster", all, all)?;
        let Asked {
            mut keys,
            words,
            kind,
        } = self.read_keys(&came, ctx.path())?;
        if kind == Kind::Bounded {
            came.retain(|client, _| !self.refused.contains(*client));
            keys.retain(|client, _| !self.refused.contains(*client));
        }
        let roster = self.enough(&came, "roster", all, all)?;
        let mut body = msg::going_on(roster, roster.count() * Keys::BYTES);
        keys.values().for_each(|k| k.put(&mut body));
        let body = body.freeze();
        self.tell(ctx, all, "roster", |_| body.clone()).await;

        let boxes = (roster.count() - 1) * BOX;
        let shares = self
            .collect(ctx, roster, "shares", boxes, self.params.limit, None)
            .await?;
        self.missed(index, "shares", roster, &shares);
        let sharers = self.enough(&shares, "inbox", roster, roster)?;
        self.tell(ctx, roster, "inbox", |to| {
            inbox(&shares, roster, sharers, to)
        })
        .await;

        let (sum, tag, vectors) = self.vectors(ctx, index, sharers, (words, kind)).await?;
        let survivors = self.enough(&vectors, "survivors", sharers, sharers)?;
        self.last = survivors;
        for bank in all.without(&survivors).without(&self.refused).roles() {
            tracing::warn!(sum = index, %bank, "is not in the sum: it did not answer in time");
        }
        let body = msg::going_on(survivors, 0).freeze();
        self.tell(ctx, sharers, "survivors", |_| body.clone()).await;

        let mut agreed = self
            .collect(ctx, survivors, "agree", 64, self.params.limit, None)
            .await?;
        self.missed(index, "agree", survivors, &agreed);
        agreed.retain(|_, signature| signature.as_ref() != msg::UNSIGNED);
        let signers = self.enough(&agreed, "agreed", survivors, survivors)?;
        let mut body = msg::going_on(signers, signers.count() * 64);
        agreed
            .values()
            .for_each(|signature| body.put_slice(signature));
        let body = body.freeze();
        self.tell(ctx, survivors, "agreed", |_| body.clone()).await;

        let len = sharers.count() * SHARE_BYTES;
        let revealed = self
            .collect(ctx, signers, "reveal", len, self.params.limit, None)
            .await?;
        self.missed(index, "reveal", survivors, &revealed);
        self.enough(&revealed, "result", all, signers)?;
        let known = self.known(&session, &keys, sharers, survivors, &revealed, ctx.path())?;
        let masks = known.masks();
        if kind == Kind::Bounded {
            let case = Case {
                len: words,
                survivors,
                vectors,
                selves: known.selves,
                left: known.left,
            };
            self.judge(ctx, index, case).await?;
        }
        let sum = offload(move || {
            let mut sum = sum;
            let tag = mask::apply(&masks, &mut sum, tag, kind);
            let vector = msg::put_vector(sum, tag);
            let mut body = msg::going_on(survivors, vector.len());
            body.put_slice(&vector);
            body.freeze()
        })
        .await;
        self.served.words += words as u64;
        self.tell(ctx, all, "result", |_| sum.clone()).await;
        Ok(())
    }

    /// Asks for proofs that vectors are short, and stops where one is not.
    async fn judge(&mut self, ctx: &Ctx<C>, index: u32, case: Case) -> Result<(), Stop> {
        let (of, survivors) = (case.statement()?, case.survivors);
        let told = |more: &[u64]| {
            let mut body = msg::going_on(survivors, more.len() * 8);
            msg::put_elements(more, &mut body);
            body.freeze()
        };
        let (rho, r) = (bounded::challenge()?, bounded::question(&of)?);
        let body = told(&[rho]);
        self.tell(ctx, survivors, "challenge", |_| body.clone())
            .await;
        let len = of.proof_len() * 8;
        let proofs = self
            .every(ctx, index, survivors, ("proof", len), "question")
            .await?;
        let body = told(&[r]);
        self.tell(ctx, survivors, "question", |_| body.clone())
            .await;
        let seen = self
            .every(ctx, index, survivors, ("seen", 64), "signed")
            .await?;
        let mut body = msg::going_on(survivors, seen.len() * 64);
        seen.values()
            .for_each(|signature| body.put_slice(signature));
        let body = body.freeze();
        self.tell(ctx, survivors, "signed", |_| body.clone()).await;
        let len = case.answers_len(&of);
        let answers = self
            .every(ctx, index, survivors, ("answers", len), "result")
            .await?;
        let step = ctx.path().to_owned();
        let refused = offload(move || case.judge(&of, (rho, r), &proofs, &answers, &step)).await?;
        match refused.count() {
            0 => Ok(()),
            _ => Err(Stop::Refused(refused)),
        }
    }

    /// Messages of all of `from`: without one of them the sum is given up.
    async fn every(
        &mut self,
        ctx: &Ctx<C>,
        index: u32,
        from: Members,
        (name, len): (&'static str, usize),
        next: &'static str,
    ) -> Result<BTreeMap<usize, Bytes>, Stop> {
        let came = self
            .collect(ctx, from, name, len, self.params.limit, None)
            .await?;
        self.missed(index, name, from, &came);
        let present: Members = came.keys().copied().collect();
        match present == from {
            true => Ok(came),
            false => Err(Stop::TooFew(TooFew {
                next,
                awaiting: if next == "result" { self.all() } else { from },
                present,
                missing: from.without(&present),
            })),
        }
    }

    /// Messages of those clients of `from` that send theirs in time: all of them, or those that came while it
    /// was still worth waiting. `pause`: how long the first may take where that is no delay; the others then
    /// have `limit`.
    pub(super) async fn collect(
        &self,
        ctx: &Ctx<C>,
        from: Members,
        name: &'static str,
        len: usize,
        limit: Duration,
        pause: Option<Duration>,
    ) -> Result<BTreeMap<usize, Bytes>, Abort> {
        let ctx = ctx.with_deadline(limit + pause.unwrap_or_default());
        let mut waits: FuturesUnordered<_> = from
            .iter()
            .map(|client| {
                let ctx = ctx.clone();
                async move { (client, ctx.recv(role(client), name).await) }
            })
            .collect();
        let mut came = BTreeMap::new();
        let over = tokio::time::sleep(pause.unwrap_or(limit));
        tokio::pin!(over);
        loop {
            let next = tokio::select! {
                biased;
                next = waits.next() => next,
                () = &mut over => None,
            };
            let Some((client, body)) = next else { break };
            match body {
                Ok(body) if body.len() == len => {
                    came.insert(client, body);
                    if came.len() == 1 && pause.is_some() {
                        over.as_mut().reset(tokio::time::Instant::now() + limit);
                    }
                    if came.len() == self.params.threshold {
                        let by = tokio::time::Instant::now() + self.params.patience;
                        if by < over.deadline() {
                            over.as_mut().reset(by);
                        }
                    }
                }
                Ok(body) => {
                    return Err(Abort::Malformed {
                        from: role(client),
                        step: format!("{}/{name}", ctx.path()),
                        problem: format!("expected {len} bytes, got {}", body.len()),
                    });
                }
                Err(Abort::Channel(ChannelError::Timeout { .. })) => {}
                Err(abort) => return Err(abort),
            }
        }
        Ok(came)
    }

    /// Who came, if they are enough.
    fn enough(
        &self,
        came: &BTreeMap<usize, Bytes>,
        next: &'static str,
        awaiting: Members,
        expected: Members,
    ) -> Result<Members, Stop> {
        let present: Members = came.keys().copied().collect();
        if present.count() >= self.params.threshold {
            return Ok(present);
        }
        let missing = expected.without(&present);
        Err(Stop::TooFew(TooFew {
            next,
            awaiting,
            present,
            missing,
        }))
    }

    /// Sends each client of `to` its message. One that does not take it is lost for this sum and no more.
    pub(super) async fn tell(
        &self,
        ctx: &Ctx<C>,
        to: Members,
        name: &'static str,
        body: impl Fn(usize) -> Bytes,
    ) {
        let ctx = ctx.with_deadline(self.params.patience);
        let sends = to.iter().map(|client| {
            let (ctx, body) = (ctx.clone(), body(client));
            async move {
                if let Err(error) = ctx.send(role(client), name, body).await {
                    tracing::debug!(client, name, %error, "not delivered");
                }
            }
        });
        future::join_all(sends).await;
    }

    /// The clients' keys, and the length that all mean; or that they are done.
    fn read_keys(&self, came: &BTreeMap<usize, Bytes>, step: &str) -> Result<Asked, Stop> {
        let mut all = BTreeMap::new();
        for (client, body) in came {
            let mut fields = Fields::of(body, role(*client), step);
            all.insert(*client, Keys::take(&mut fields)?);
            fields.end()?;
        }
        let mut meant: BTreeMap<(u64, u8, [u8; 32]), Vec<usize>> = BTreeMap::new();
        for (client, keys) in &all {
            meant
                .entry((keys.words, keys.kind.code(), keys.purpose))
                .or_default()
                .push(*client);
        }
        if let Some(few) = meant.values().min_by_key(|who| who.len())
            && meant.len() > 1
        {
            return Err(Stop::Abort(Abort::Disagreement {
                from: role(few.first().copied().unwrap_or_default()),
                step: step.to_owned(),
                problem: "it is at another step of the job, or brings another number of values, \
                          than the other banks: do all run the same version on the same columns?"
                    .into(),
            }));
        }
        let words = all.values().next().map_or(0, |keys| keys.words);
        let kind = all.values().next().map_or(Kind::Words, |keys| keys.kind);
        // as many as one message can hold
        match usize::try_from(words)
            .ok()
            .filter(|words| *words <= 1 << 27)
        {
            Some(0) => Err(Stop::Done),
            Some(words) => Ok(Asked {
                keys: all,
                words,
                kind,
            }),
            None => Err(Stop::Abort(Abort::Input(format!(
                "a sum of {words} values is too long"
            )))),
        }
    }

    /// Adds up the masked vectors as they come, a few clients sending at a time.
    async fn vectors(
        &mut self,
        ctx: &Ctx<C>,
        index: u32,
        sharers: Members,
        (words, kind): (usize, Kind),
    ) -> Result<(Vec<u64>, Tag, BTreeMap<usize, Bytes>), Stop> {
        let len = bounded::masked_len(words, kind)?;
        let lanes = self.params.lanes(words).min(sharers.count());
        // a client that computes, or whose line is slow, is not lost; one that stands still is
        let stalled = ctx.with_deadline(self.params.limit);
        let receive = |client: usize| {
            let ctx = stalled.clone();
            async move {
                ctx.send(role(client), "go", Bytes::new()).await?;
                let body = ctx.recv(role(client), "masked").await;
                Ok::<_, Abort>((client, body))
            }
        };
        let mut queue = sharers.iter();
        let mut waits: FuturesUnordered<_> = queue.by_ref().take(lanes).map(receive).collect();
        let (mut sum, mut tag) = (vec![0u64; words], Tag([0; 2]));
        let mut came = BTreeMap::new();
        // to judge vectors, all of them are needed
        let held = match kind {
            Kind::Words => 1 + lanes,
            Kind::Bounded => 1 + sharers.count(),
        };
        self.served.most_vectors = self.served.most_vectors.max(held);
        while let Some(next) = waits.next().await {
            let (client, body) = match next {
                Ok(next) => next,
                Err(Abort::Channel(ChannelError::Gone { peer, .. })) => {
                    tracing::debug!(%peer, "does not take its turn");
                    waits.extend(queue.next().map(receive));
                    continue;
                }
                Err(abort) => return Err(abort.into()),
            };
            match body {
                Ok(body) => {
                    let (right, whole) = (body.len() == len, body.clone());
                    let added;
                    (sum, added) = offload(move || {
                        let mut sum = sum;
                        let vector = right.then(|| body.get(..words * 8 + 16)).flatten();
                        let tag = vector.and_then(|v| msg::add_vector(v, &mut sum, kind));
                        (sum, tag)
                    })
                    .await;
                    let Some(own) = added else {
                        return Err(Stop::Abort(Abort::Malformed {
                            from: role(client),
                            step: ctx.path().to_owned(),
                            problem: format!("not a masked vector of {words} words and a tag"),
                        }));
                    };
                    tag = tag.plus(own);
                    let kept = match kind {
                        Kind::Words => Bytes::new(),
                        Kind::Bounded => whole,
                    };
                    came.insert(client, kept);
                }
                Err(Abort::Channel(ChannelError::Timeout { .. })) => {
                    self.late.push((index, client, "masked"))
                }
                Err(abort) => return Err(abort.into()),
            }
            waits.extend(queue.next().map(receive));
        }
        drop(waits);
        Ok((sum, tag, came))
    }
}

/// What the clients want added up.
struct Asked {
    keys: BTreeMap<usize, Keys>,
    words: usize,
    kind: Kind,
}

/// What one client gets of all boxes.
fn inbox(shares: &BTreeMap<usize, Bytes>, roster: Members, sharers: Members, to: usize) -> Bytes {
    let mut body = msg::going_on(sharers, sharers.count() * BOX);
    if sharers.contains(to) {
        for (from, boxes) in shares {
            if *from == to {
                continue;
            }
            // the sender left its own place out
            let place = roster
                .iter()
                .filter(|peer| peer != from)
                .position(|peer| peer == to);
            let at = place.unwrap_or_default() * BOX;
            body.put_slice(boxes.get(at..at + BOX).unwrap_or_default());
        }
    }
    body.freeze()
}
