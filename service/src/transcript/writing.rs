//! What a node writes down of a job, but for its steps and openings.

use std::time::Instant;

use paripassu_audit::{
    consent::said,
    event::{
        EventError,
        bodies::{
            Aborted, Denied, JobApproved, JobProposed, JobRejected, PolicyEvaluated, PolicyStated,
            RunCompleted, SessionOpened,
        },
        hex, key_digest,
    },
    policy::{Stated, pieces},
};
use paripassu_job::{Contract, spec::AlignMethod};
use paripassu_proto::{ContractHead, NodeKind, Peer, control::v1 as pb};
use sha2::{Digest, Sha256};

use super::{
    Transcript, TranscriptError,
    papers::{self, Papers},
};
use crate::{identity::Certified, signing::Decision, tls::Negotiated};

impl Transcript {
    /// Writes down a proposal, once; `role` is this node's in the job.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn proposed(
        &self,
        head: &ContractHead,
        digest: &[u8; 32],
        submitter: &Peer,
        message: &pb::Proposal,
        role: &str,
    ) -> Result<(), TranscriptError> {
        let job = head.job.as_str();
        let (known, kept) = self.with(job, |facts| {
            let known = facts.terms.as_ref().map(|(contract, _)| contract.clone());
            (known, facts.papers.is_some())
        })?;
        match known {
            // whatever comes by a known id later changes nothing of what is known
            Some(contract) if contract != hex(digest) => {
                let job = job.to_owned();
                return Err(TranscriptError::OtherContract { job });
            }
            Some(_) if kept => return Ok(()),
            _ => {}
        }
        let papers = Papers::of(&self.identity, message);
        self.keep(job, &papers)?;
        self.with(job, |facts| {
            facts.role = role.to_owned();
            facts.papers = Some(papers);
        })?;
        if known.is_some() {
            return Ok(());
        }
        let (name, purpose) = match Contract::parse(&message.contract) {
            Ok(contract) => (
                contract.spec().name.clone(),
                contract.spec().purpose.clone(),
            ),
            Err(_) => Default::default(),
        };
        let text = |id: &paripassu_proto::NodeId| id.as_str().to_owned();
        let body = JobProposed {
            contract: hex(digest),
            name,
            purpose,
            submitter: submitter.to_string(),
            parties: head.parties.iter().map(text).collect(),
            helper: head.helper.as_ref().map(text).unwrap_or_default(),
        };
        self.write(job, body)
    }

    /// Writes down what this node's policy says of a proposal, once: the text of
    /// [`paripassu_audit::policy`] that bears on it, and the verdict, which is made to name its digest.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn evaluated(
        &self,
        job: &str,
        policy: &Stated,
        verdict: PolicyEvaluated,
    ) -> Result<(), TranscriptError> {
        if self.with(job, |facts| facts.of("policy.evaluated"))? > 0 {
            return Ok(());
        }
        let text = policy.to_text().map_err(EventError::from)?;
        let verdict = PolicyEvaluated {
            policy: hex(&Sha256::digest(&text)),
            ..verdict
        };
        let pieces = pieces(&text);
        let parts = pieces.len() as u64;
        for (part, piece) in (1..).zip(pieces) {
            let text = piece.to_owned();
            self.write_soon(job, PolicyStated { part, parts, text })?;
        }
        let denied = verdict.verdict == "deny";
        let rules = verdict.rules.iter().filter(|rule| rule.verdict == "deny");
        let rules: Vec<_> = rules.map(|rule| rule.id.clone()).collect();
        self.write(job, verdict)?;
        if denied {
            let denied = Denied {
                code: "policy".into(),
                subject: rules.join(", "),
                to: None,
            };
            self.write(job, denied)?;
        }
        Ok(())
    }

    /// Writes down a data party's decision on the contract proposed: its first approval and its first
    /// rejection. Anything else is passed over; false then, and nobody needs to hear of it.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn decided(
        &self,
        by: &Peer,
        decision: &Decision,
        signed: &pb::Signed,
    ) -> Result<bool, TranscriptError> {
        let job = decision.job.as_str();
        // nothing is kept of a job that was never proposed
        if !self.lock().contains_key(job) && self.log.link(job).seq == 0 {
            tracing::debug!(job, %by, "a decision on a job that is not known");
            return Ok(false);
        }
        let statement = hex(&Sha256::digest(&signed.statement));
        let contract = hex(&decision.digest);
        let party = by.id.to_string();
        let consent = &decision.consent;
        let approver = said(&consent.approver).unwrap_or_else(|| party.clone());
        let (counts, first, papers) = self.with(job, |facts| {
            let theirs = facts.terms.as_ref().is_some_and(|(proposed, parties)| {
                *proposed == contract && by.kind == NodeKind::Party && parties.contains(&party)
            });
            let before = facts.decided.get(&(party.clone(), decision.approve));
            let counts = theirs && before.is_none_or(|before| *before == statement);
            let first = before.is_none();
            let papers = facts.papers.as_mut().filter(|_| counts);
            let papers = papers.and_then(|papers| papers.add(signed).then(|| papers.clone()));
            (counts, first, papers)
        })?;
        if !counts {
            tracing::debug!(job, %by, "a decision is passed over");
            return Ok(false);
        }
        if let Some(papers) = papers {
            self.keep(job, &papers)?;
        }
        if !first {
            return Ok(true);
        }
        match decision.approve {
            true => self.write(
                job,
                JobApproved {
                    party,
                    contract,
                    statement,
                    approver,
                    second: said(&consent.second),
                    ticket: said(&consent.ticket),
                    expires: said(&consent.expires),
                },
            ),
            false => self.write(
                job,
                JobRejected {
                    party,
                    contract,
                    statement,
                    approver,
                    code: "rejected".into(),
                },
            ),
        }?;
        Ok(true)
    }

    /// Notes that the job's bundle has been written.
    pub(super) fn bundled(&self, job: &str) -> Result<(), TranscriptError> {
        let papers = self.with(job, |facts| {
            let papers = facts.papers.as_mut()?;
            papers.bundled = true;
            Some(papers.clone())
        })?;
        papers.map_or(Ok(()), |papers| self.keep(job, &papers))
    }

    fn keep(&self, job: &str, papers: &Papers) -> Result<(), TranscriptError> {
        let kept = papers.save(&self.state, job);
        kept.map_err(|source| TranscriptError::Papers {
            path: papers::path(&self.state, job),
            source,
        })
    }

    /// Writes down a sealed link to a member, and what the connection negotiated that carries it.
    pub(crate) fn session(
        &self,
        job: &str,
        contract: &[u8; 32],
        peer: &Certified,
        negotiated: Option<Negotiated>,
    ) -> Result<(), TranscriptError> {
        self.with(job, |facts| {
            facts.since.get_or_insert_with(Instant::now).elapsed()
        })?;
        let build = match cfg!(debug_assertions) {
            true => "debug",
            false => "release",
        };
        // no connection is no protection: the verifier refuses a link of this kind
        let none = || Negotiated {
            version: "none".into(),
            suite: "none".into(),
        };
        let Negotiated { version, suite } = negotiated.unwrap_or_else(none);
        self.write_soon(
            job,
            SessionOpened {
                peer: peer.peer().id.to_string(),
                peer_key: hex(&key_digest(peer.key())),
                tls: version,
                suite,
                sealed: paripassu_crypto::sealed::SUITE.into(),
                binary: self.binary.clone(),
                build: build.into(),
                test_mode: cfg!(feature = "test-util"),
                contract: hex(contract),
            },
        )
    }

    fn contract(&self, job: &str) -> Option<Contract> {
        let text = self.with(job, |facts| {
            facts.papers.as_ref().map(|p| p.contract.clone())
        });
        Contract::parse(text.ok()??.as_bytes()).ok()
    }

    /// Whether the contract of a job matches customers with randomness from oblivious transfer.
    pub(super) fn matches_by_transfer(&self, job: &str) -> bool {
        let contract = self.contract(job);
        contract.is_some_and(|c| c.spec().align.method == AlignMethod::Vole)
    }

    /// Whether the contract of a job is one of banks with the same columns.
    pub(super) fn is_of_banks(&self, job: &str) -> bool {
        let contract = self.contract(job);
        contract.is_some_and(|c| c.spec().horizontal.is_some())
    }

    /// How many openings the contract of a job declares, if it is known and can be read.
    pub(super) fn openings(&self, job: &str) -> Option<u64> {
        let contract = self.contract(job)?;
        let declared = contract.disclosures().iter();
        Some(
            declared
                .map(|d| u64::from(d.at_most))
                .fold(0, u64::saturating_add),
        )
    }

    /// Writes down that the job ended well here, if nothing else ended it.
    pub(crate) fn completed(&self, job: &str) -> Result<(), TranscriptError> {
        let node = self.log.link("").seq;
        let body = self.with(job, |facts| {
            let wall = facts.since.map_or(0.0, |t| t.elapsed().as_secs_f64());
            (!facts.ended()).then(|| RunCompleted {
                disclosures: facts.of("disclosure"),
                steps: facts.of("step.finished"),
                node,
                wall_s: format!("{wall:.3}"),
            })
        })?;
        body.map_or(Ok(()), |body| self.write(job, body))
    }

    /// Writes down that the job ended badly, once; `destroyed` says that nothing of its outputs is left here.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn aborted(
        &self,
        job: &str,
        culprit: Option<&str>,
        step: &str,
        code: &str,
        destroyed: bool,
    ) -> Result<(), TranscriptError> {
        let write = self.with(job, |facts| {
            let known = facts.of("job.proposed") > 0 || facts.of("session.opened") > 0;
            known && facts.of("aborted") == 0 && facts.of("job.rejected") == 0
        })?;
        if !write {
            return Ok(());
        }
        let bound = |text: &str| -> String { text.chars().take(256).collect() };
        self.write(
            job,
            Aborted {
                culprit: culprit.filter(|c| !c.is_empty()).map(bound),
                step: bound(step),
                code: bound(code),
                destroyed,
                node: self.log.link("").seq,
            },
        )
    }
}
