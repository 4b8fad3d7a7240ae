//! Sums of vectors each of which is proved to be no longer than a bound.
//!
//! **Functionality.** As a sum; and a client whose vector of whole numbers has `Σ x² > BOUND`
//! ([`norm_proof`](paripassu_crypto::norm_proof)) is found, named to all and left out, of this sum, which is made again
//! without it, and of all later bounded ones. Of a vector within the bound nobody learns more than from a sum.
//!
//! **How.** A masked vector is a secret sharing already: `x_i` is what the adder holds, the self mask, the blind and the
//! pairwise masks taken away; each of these is known to a client other than i. So the other clients and the adder can be
//! the verifiers of a proof on shares, and what is proved is what is in the sum. All in the field of 2^61 - 1 elements:
//!
//! ```text
//! masked     client → adder   behind the vector: the witness, under a self mask and a mask for each peer
//! ..         survivors are agreed on, and masks revealed, as always
//! challenge  adder → U3       ρ
//! proof      client → adder   the proof for ρ, under a mask for each peer
//! question   adder → U3       r
//! seen       client → adder   signature of (U3, ρ, r)
//! signed     adder → U3       the signatures of all of U3
//! answers    client → adder   for each peer j the answers of the masks for j's proof and for its own that j holds; the
//!                             answers of all blinds
//! result     adder → all      the sum, or who is refused
//! ```
//!
//! What client i would gain by a wrong answer about its own proof it cannot give: of that proof only the others'
//! answers count. Both ends of a pair know its masks and give the same answers; where they do not, one of the two
//! lies, and the job ends and names both. So an honest client is never refused by the word of one other.
//!
//! **Adversary and what each learns.** Secrecy as in [the sums](super): masks hide vectors, witness and proof; the answers
//! are zero knowledge for one question ([`Statement`]), and that no second one is asked is what the signatures are for:
//! a client answers what all of U3 have signed. Against long vectors: clients that act alone, with an adder that
//! follows the protocol. *Not prevented*: two clients that lie together (each knows masks of the other's), an adder in
//! league with the client; any vector within the bound.
//!
//! **Source.** The proof system is that of Boneh et al., CRYPTO 2019; verifying on the shares that an aggregation uses
//! anyway is Prio (Corrigan-Gibbs and Boneh, NSDI 2017, section 4). There the shares of all but one server are seeds
//! as here; here the clients are the other servers, of each other's vectors and never of their own, as in
//! EIFFeL (Roy Chowdhury et al., CCS 2022), which takes Shamir shares instead, and so bears more liars and costs n vectors a client.
//!
//! **Cost.** For m numbers: 17 m elements of 8 bytes up instead of m; two waits more and a half; the adder holds all n of
//! them until it has judged. About 2 m 17 N products in the field to prove, N = min(√(17 m) / 2, 256).
//!
//! **Precision.** Numbers are whole and of 16 bits with their sign; the sum is exact.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use paripassu_crypto::{
    field61, masking,
    norm_proof::{Held, Statement},
    prg::{Label, Prg},
};
use zeroize::Zeroizing;

use super::{
    Kind,
    client::{Client, Ended, Input, Sum, Told, malformed},
    msg::{self, Members},
    no_randomness, role,
    secrets::PairSeed,
};
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    compute::offload,
    ctx::Ctx,
};

/// The masks of one prover's vector, witness and proof that one seed gives.
pub(super) struct Masks {
    numbers: Vec<u64>,
    witness: Vec<u64>,
    proof: Vec<u64>,
}

impl Masks {
    /// Of a self seed: it masks no proof, because it is revealed before.
    fn of_self(of: &Statement, len: usize, prover: usize, seed: &[u8; 32]) -> Self {
        let stream = Prg::new(seed);
        Self {
            numbers: field61::elements(&stream, Label::request(0, 0), len),
            witness: field61::elements(&stream, witness_label(prover), of.witness_len()),
            proof: vec![0; of.proof_len()],
        }
    }

    /// What `holder` holds of the vector of `prover`.
    fn between(
        of: &Statement,
        len: usize,
        (prover, holder): (usize, usize),
        seed: &[u8; 32],
    ) -> Self {
        let stream = Prg::new(seed);
        let mut numbers = field61::elements(&stream, Label::request(0, 0), len);
        if prover < holder {
            numbers.iter_mut().for_each(|e| *e = field61::sub(0, *e));
        }
        Self {
            numbers,
            witness: field61::elements(&stream, witness_label(prover), of.witness_len()),
            proof: field61::elements(&stream, proof_label(prover), of.proof_len()),
        }
    }

    /// Of a blind: on the vector alone.
    fn blind(of: &Statement, len: usize, seed: &[u8; 32]) -> Self {
        Self {
            numbers: field61::elements(&Prg::new(seed), Label::request(0, 0), len),
            witness: vec![0; of.witness_len()],
            proof: vec![0; of.proof_len()],
        }
    }

    fn held(&self) -> Held<'_> {
        Held {
            numbers: &self.numbers,
            witness: &self.witness,
            proof: &self.proof,
        }
    }

    fn take_away(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.numbers, &other.numbers),
            (&mut self.witness, &other.witness),
            (&mut self.proof, &other.proof),
        ] {
            subtract(mine, theirs);
        }
    }
}

fn subtract(from: &mut [u64], what: &[u64]) {
    from.iter_mut()
        .zip(what)
        .for_each(|(a, b)| *a = field61::sub(*a, *b));
}

fn plus(to: &mut [u64], what: &[u64]) {
    to.iter_mut()
        .zip(what)
        .for_each(|(a, b)| *a = field61::add(*a, *b));
}

fn witness_label(prover: usize) -> Label {
    Label::request(1 + prover as u32, 0)
}

fn proof_label(prover: usize) -> Label {
    Label::request(1 + prover as u32, 1)
}

/// Words of a vector as they are masked.
pub(super) fn elements(values: &[u64], kind: Kind) -> Vec<u64> {
    match kind {
        Kind::Words => values.to_vec(),
        Kind::Bounded => values
            .iter()
            .map(|word| field61::of_signed(*word as i64))
            .collect(),
    }
}

/// Words of a sum as integers.
pub(super) fn integers(words: &[u64], kind: Kind) -> Vec<u64> {
    match kind {
        Kind::Words => words.to_vec(),
        Kind::Bounded => words
            .iter()
            .map(|e| field61::to_signed(*e) as u64)
            .collect(),
    }
}

fn statement(len: usize) -> Result<Statement, Abort> {
    Statement::new(len)
        .ok_or_else(|| Abort::Input(format!("a vector of {len} numbers cannot be proved short")))
}

/// What a client proves of its own vector.
pub(super) struct Prover {
    of: Statement,
    numbers: Zeroizing<Vec<i64>>,
    witness: Zeroizing<Vec<u64>>,
}

/// The prover of a bounded vector.
pub(super) fn prover(input: &Input<'_>) -> Result<Option<Prover>, Abort> {
    if input.kind == Kind::Words {
        return Ok(None);
    }
    let of = statement(input.values.len())?;
    let numbers = Zeroizing::new(input.values.iter().map(|w| *w as i64).collect::<Vec<_>>());
    let witness = of.witness(&numbers);
    Ok(Some(Prover {
        of,
        numbers,
        witness,
    }))
}

impl Prover {
    pub(super) fn masked_witness(
        &self,
        me: usize,
        of_self: &[u8; 32],
        seeds: &[PairSeed],
    ) -> Vec<u64> {
        let mut out = self.witness.to_vec();
        let all = std::iter::once(of_self).chain(seeds.iter().map(|pair| &*pair.seed));
        for seed in all {
            plus(
                &mut out,
                &field61::elements(&Prg::new(seed), witness_label(me), self.of.witness_len()),
            );
        }
        out
    }

    fn masked_proof(&self, me: usize, rho: u64, seeds: &[PairSeed]) -> Result<Vec<u64>, Abort> {
        let blinds = Prg::new(&*masking::fresh().map_err(no_randomness)?);
        let proof = self.of.prove(&self.numbers, &self.witness, rho, &blinds);
        let mut out = proof
            .ok_or_else(|| Abort::Input("a proof of another length".into()))?
            .to_vec();
        for pair in seeds {
            plus(
                &mut out,
                &field61::elements(&Prg::new(&pair.seed), proof_label(me), self.of.proof_len()),
            );
        }
        Ok(out)
    }
}

impl<C: Channel> Client<C> {
    /// The sum of all clients' `values`, each vector proved to be within the bound of [`Statement`]; those whose
    /// is not are left out from here on, and are in [`Client::refused`].
    ///
    /// # Leakage
    /// As [`Client::sum`], and who is refused.
    ///
    /// # Errors
    /// As [`Client::sum`]; values beyond the bound at this client; two clients of which one lies about masks.
    pub async fn bounded_sum(&mut self, purpose: &str, values: &[i64]) -> Result<Sum, Abort> {
        if !statement(values.len())?.is_true(values) {
            return Err(Abort::OutOfRange {
                step: purpose.to_owned(),
                problem: "this bank's own vector is longer than the bound".into(),
            });
        }
        self.bounded_sum_of(purpose, values).await
    }

    /// The same without looking at the own vector first.
    pub(in crate::horizontal) async fn bounded_sum_of(
        &mut self,
        purpose: &str,
        values: &[i64],
    ) -> Result<Sum, Abort> {
        let values: Vec<u64> = values.iter().map(|x| *x as u64).collect();
        let input = Input {
            values: &values,
            kind: Kind::Bounded,
            groups: &[],
        };
        self.sum_of(purpose, &input).await
    }

    /// Those whose vectors were longer than a bound.
    pub fn refused(&self) -> Members {
        self.refused
    }

    /// This client's part in judging all vectors.
    pub(super) async fn prove(
        &self,
        ctx: &Ctx<C>,
        session: &[u8; 32],
        survivors: Members,
        seeds: &[PairSeed],
        prover: Prover,
        step: &str,
    ) -> Result<Option<Ended>, Abort> {
        macro_rules! told {
            ($body:expr) => {
                match self.told($body, step)? {
                    Told::GoesOn(fields, members) if members == survivors => fields,
                    Told::GoesOn(fields, _) => {
                        return Err(fields.malformed("other banks than those agreed on"));
                    }
                    Told::Ends(ended) => return Ok(Some(ended)),
                }
            };
        }
        let body = self.hear(ctx, "challenge").await?;
        let mut fields = told!(&body);
        let rho = u64::from_le_bytes(*fields.array()?);
        fields.end()?;
        if rho >= field61::P {
            return Err(malformed(step, "a challenge that is none"));
        }
        let (me, of, len) = (self.group.me, prover.of, prover.numbers.len());
        let seeds: Vec<_> = seeds.to_vec();
        let (masked, seeds) = offload(move || {
            let masked = prover.masked_proof(me, rho, &seeds);
            (masked, seeds)
        })
        .await;
        let mut out = BytesMut::with_capacity(of.proof_len() * 8);
        msg::put_elements(&masked?, &mut out);
        ctx.send(Role::Helper, "proof", out.freeze()).await?;

        // one question, the same to all: a second would take the blinds off
        let body = self.hear(ctx, "question").await?;
        let mut fields = told!(&body);
        let r = u64::from_le_bytes(*fields.array()?);
        fields.end()?;
        if !of.may_ask(r) {
            return Err(malformed(step, "a question that must not be asked"));
        }
        let asked = msg::question_statement(session, survivors, (rho, r));
        let signature = self.group.statements.sign(&asked);
        ctx.send(Role::Helper, "seen", Bytes::copy_from_slice(&signature))
            .await?;
        let body = self.hear(ctx, "signed").await?;
        let mut fields = told!(&body);
        for signer in survivors.iter() {
            let signature = fields.array()?;
            let key = self.group.verifiers.get(signer);
            if key.is_none_or(|key| key.verify(&asked, signature).is_err()) {
                return Err(fields.malformed(format!(
                    "{} has not signed the question that this bank was asked: the node that adds \
                     up asks banks different ones",
                    role(signer)
                )));
            }
        }
        fields.end()?;

        let blinds: Vec<_> = survivors
            .iter()
            .map(|client| self.group.blind(session, client))
            .collect();
        let answers = offload(move || {
            let answer = |masks: &Masks| of.answer(masks.held(), rho, r, false);
            let mut out = BytesMut::new();
            for PairSeed { peer, seed } in seeds.iter().filter(|p| survivors.contains(p.peer)) {
                for ends in [(me, *peer), (*peer, me)] {
                    let masks = Masks::between(&of, len, ends, seed);
                    msg::put_elements(&answer(&masks)?, &mut out);
                }
            }
            for seed in &blinds {
                msg::put_elements(&answer(&Masks::blind(&of, len, seed))?, &mut out);
            }
            Some(out.freeze())
        })
        .await
        .ok_or_else(|| malformed(step, "a question that has no answer"))?;
        ctx.send(Role::Helper, "answers", answers).await?;
        Ok(None)
    }
}

/// What the adder knows of a bounded sum when all masks are revealed.
pub(super) struct Case {
    pub(super) len: usize,
    pub(super) survivors: Members,
    /// Masked vector, tag and masked witness, by client.
    pub(super) vectors: BTreeMap<usize, Bytes>,
    /// The streams of the survivors' self masks.
    pub(super) selves: BTreeMap<usize, Zeroizing<[u8; 32]>>,
    /// Seeds of survivors with those who left: survivor, who left, seed.
    pub(super) left: Vec<(usize, usize, Zeroizing<[u8; 32]>)>,
}

impl Case {
    pub(super) fn statement(&self) -> Result<Statement, Abort> {
        statement(self.len)
    }

    /// Bytes of the answers of one client.
    pub(super) fn answers_len(&self, of: &Statement) -> usize {
        (3 * self.survivors.count() - 2) * of.answer_len() * 8
    }

    /// The adder's own shares of a client's vector, witness and proof.
    fn leader(&self, of: &Statement, client: usize, proof: &[u8]) -> Option<Masks> {
        let body = self.vectors.get(&client)?;
        let (numbers, rest) = body.split_at_checked(self.len * 8)?;
        let mut own = Masks {
            numbers: msg::elements(numbers)?,
            witness: msg::elements(rest.get(16..)?)?,
            proof: msg::elements(proof)?,
        };
        own.take_away(&Masks::of_self(
            of,
            self.len,
            client,
            self.selves.get(&client)?,
        ));
        for (survivor, left, seed) in &self.left {
            if *survivor == client {
                own.take_away(&Masks::between(of, self.len, (client, *left), seed));
            }
        }
        Some(own)
    }

    /// Who does not prove its vector short.
    ///
    /// # Errors
    /// Answers that contradict each other, naming whose.
    pub(super) fn judge(
        &self,
        of: &Statement,
        (rho, r): (u64, u64),
        proofs: &BTreeMap<usize, Bytes>,
        answers: &BTreeMap<usize, Bytes>,
        step: &str,
    ) -> Result<Members, Abort> {
        let width = of.answer_len() * 8;
        let place = |client: usize| self.survivors.iter().position(|c| c == client);
        let said = |by: usize, at: usize| -> Option<Vec<u64>> {
            msg::elements(answers.get(&by)?.get(at * width..(at + 1) * width)?)
        };
        // what `by` says of the share that is `holder`'s of the vector of `prover`
        let of_pair = |by: usize, (prover, holder): (usize, usize)| {
            let peer = if by == prover { holder } else { prover };
            let before = usize::from(peer > by);
            said(by, 2 * (place(peer)? - before) + usize::from(by == holder))
        };
        let peers = self.survivors.count() - 1;
        let of_blind = |by: usize, client: usize| said(by, 2 * peers + place(client)?);
        let lies = |from: usize, problem: String| Abort::Disagreement {
            from: role(from),
            step: step.to_owned(),
            problem,
        };
        let none = || Abort::Input("answers of another length".into());

        let mut refused = Vec::new();
        for client in self.survivors.iter() {
            let proof = proofs.get(&client).ok_or_else(none)?;
            let own = self.leader(of, client, proof);
            let total = own.and_then(|own| of.answer(own.held(), rho, r, true));
            // shares that are none: as good as a false proof
            let Some(mut total) = total else {
                refused.push(client);
                continue;
            };
            let blind = self.agreed(client, &of_blind).map_err(|liar| {
                lies(
                    liar,
                    "it says something else of a blind than most banks: it does not follow the \
                     protocol"
                        .into(),
                )
            })?;
            subtract(&mut total, &blind);
            for holder in self.survivors.iter().filter(|holder| *holder != client) {
                let pair = (client, holder);
                let (one, other) = (of_pair(holder, pair), of_pair(client, pair));
                let (one, other) = (one.ok_or_else(none)?, other.ok_or_else(none)?);
                if one != other {
                    return Err(lies(
                        client,
                        format!(
                            "it and {} say different things of the mask that they share: one of \
                             the two does not follow the protocol",
                            role(holder)
                        ),
                    ));
                }
                subtract(&mut total, &one);
            }
            if !of.holds(&total) {
                refused.push(client);
            }
        }
        Ok(refused.into_iter().collect())
    }

    /// What most clients say of a client's blind; or who says something else.
    fn agreed(
        &self,
        client: usize,
        said: &dyn Fn(usize, usize) -> Option<Vec<u64>>,
    ) -> Result<Vec<u64>, usize> {
        let all: Vec<(usize, Option<Vec<u64>>)> = self
            .survivors
            .iter()
            .map(|by| (by, said(by, client)))
            .collect();
        let votes = |v: &Option<Vec<u64>>| all.iter().filter(|(_, other)| other == v).count();
        let most = all.iter().max_by_key(|(_, v)| votes(v));
        match (most, all.iter().min_by_key(|(_, v)| votes(v))) {
            (Some((_, Some(v))), _) if votes(&most.and_then(|(_, v)| v.clone())) == all.len() => {
                Ok(v.clone())
            }
            (_, Some((liar, _))) => Err(*liar),
            _ => Err(client),
        }
    }
}

/// A random element that may be asked for.
pub(super) fn question(of: &Statement) -> Result<u64, Abort> {
    loop {
        let r = challenge()?;
        if of.may_ask(r) {
            return Ok(r);
        }
    }
}

/// A random element.
pub(super) fn challenge() -> Result<u64, Abort> {
    let stream = Prg::new(&*masking::fresh().map_err(no_randomness)?);
    let one = field61::elements(&stream, Label::request(0, 0), 1);
    Ok(one.first().copied().unwrap_or_default())
}

/// Bytes of a masked vector of `words`, for this kind of sum.
pub(super) fn masked_len(words: usize, kind: Kind) -> Result<usize, Abort> {
    Ok(match kind {
        Kind::Words => words * 8 + 16,
        Kind::Bounded => words * 8 + 16 + statement(words)?.witness_len() * 8,
    })
}

#[cfg(test)]
mod tests;
