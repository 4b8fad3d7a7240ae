//! What the party's node does with proposals, decisions and starts.

use std::{path::PathBuf, sync::Arc};

use paripassu_audit::{
    event::{
        bodies::{DataErased, Denied},
        hex,
    },
    policy::{Asked, Stated},
};
use paripassu_job::Contract;
use paripassu_protocol::channel::Role;
use paripassu_service::{
    JobId, Peer,
    node::{JobInfo, JobState, NodeHandle, NodeHandler, Proposal, Reporter, RunError, StateChange},
    signing::Decision,
    transcript::{Transcript, TranscriptError},
    transport::JobChannel,
};

use crate::{
    checkpoints,
    config::PartyConfig,
    dataset::Selection,
    policy::{
        Force, Keeper,
        judge::{Bench, Judgement, judge},
        rules::Used,
    },
    privacy,
    run::{self, SetChange, Site},
};

/// A party node's handler.
#[derive(Debug)]
pub(crate) struct PartyHandler {
    pub(crate) site: Site,
    pub(crate) transcript: Arc<Transcript>,
    pub(crate) keeper: Keeper,
    /// Held while a job is judged anew and counted, so that no two take the last of a quota.
    pub(crate) starting: tokio::sync::Mutex<()>,
    pub(crate) node: NodeHandle,
    pub(crate) connected: tokio::sync::watch::Sender<bool>,
}

impl PartyHandler {
    /// Whether this node could take part at all: its data sets and columns, by the configuration.
    fn check(&self, config: &PartyConfig, proposal: &Proposal) -> Result<(), String> {
        let contract = Contract::parse(&proposal.contract).map_err(|e| e.to_string())?;
        // the contract says who proposes it; the signature says who did
        let said = contract.submitter();
        if format!("{}/{}", said.kind, said.id) != proposal.submitter.to_string() {
            return Err("the contract names another submitter than the one who signed it".into());
        }
        let me = self.node.peer().id.to_string();
        let seats = contract.spec().seats();
        let (position, seat) = seats
            .iter()
            .enumerate()
            .find(|(_, p)| p.id.to_string() == me)
            .ok_or("this party is not in the contract")?;
        let policy = &config.align;
        let others = counterparts(&contract, &me);
        if !others.is_empty() {
            policy.allows(contract.spec().align.min_matched)?;
        }
        if let (Some(most), Some(spent)) = (policy.max_runs, self.spent(config, &others)?.first()) {
            return Err(quota_is_spent(most, policy.period_days, spent));
        }
        let spec = contract.spec();
        let label = spec.horizontal.is_some() || (position == 0 && spec.overlap.is_none());
        if spec.horizontal.is_some() {
            privacy::allowed(&config.privacy, &self.site.store, &contract, &seat.dataset)?;
        }
        checkpoints::goes_on(&self.site.store, &contract)?;
        Selection::new(config, contract.spec(), seat, label)
            .map(drop)
            .map_err(|e| {
                tracing::warn!(job = %proposal.job, error = %e, "this node cannot serve the job");
                e.without_hints()
            })
    }

    /// Which of these have had all the alignments that the policy allows in its period.
    fn spent(&self, config: &PartyConfig, counterparts: &[String]) -> Result<Vec<String>, String> {
        let align = &config.align;
        let Some(most) = align.max_runs else {
            return Ok(Vec::new());
        };
        let after = self.site.clock.now() - align.period_s();
        let mut spent = Vec::new();
        for counterpart in counterparts {
            let had = self.site.store.alignments(counterpart, after);
            if had.map_err(|e| e.to_string())? >= u64::from(most) {
                spent.push(counterpart.clone());
            }
        }
        Ok(spent)
    }

    async fn decide(&self, proposal: &Proposal, approve: bool, reason: String) {
        let decision = Decision {
            job: proposal.job.clone(),
            digest: proposal.digest,
            approve,
            reason,
            consent: Default::default(),
        };
        if self.node.decide(decision).await.is_err() {
            tracing::error!("the node has stopped: decision not sent");
        }
    }

    /// What of its quotas this party has used up. What cannot be counted is used up.
    fn used(&self, force: &Force, asked: &Asked, contract: Option<&Contract>) -> Used {
        let Some(taken) = &force.taken else {
            return Used::default();
        };
        let (store, now) = (&self.site.store, self.site.clock.now());
        let after = now - taken.file.quota.period_s();
        let all = |counted: Result<u64, crate::store::Failed>| {
            counted.unwrap_or_else(|error| {
                tracing::error!(%error, "jobs cannot be counted");
                u64::MAX
            })
        };
        let others = asked.values("parties").unwrap_or_default();
        let privacy = contract.filter(|contract| contract.spec().horizontal.is_some());
        let privacy = privacy.and_then(|contract| {
            privacy::allowed(&force.config.privacy, store, contract, &asked.dataset).err()
        });
        Used {
            today: all(store.begun(None, None, now - 86_400)),
            with: others
                .iter()
                .map(|party| (party.clone(), all(store.begun(Some(party), None, after))))
                .collect(),
            dataset: all(store.begun(None, Some(&asked.dataset), after)),
            scores_today: all(store.scores(None, None, now - 86_400)),
            scores_with: others
                .iter()
                .map(|party| (party.clone(), all(store.scores(Some(party), None, after))))
                .collect(),
            scores_dataset: all(store.scores(None, Some(&asked.dataset), after)),
            privacy,
        }
    }

    /// What this party says of a proposal now.
    fn judge(&self, force: &Force, proposal: &Proposal, served: &Result<(), String>) -> Judgement {
        let me = self.node.peer().id.as_str();
        let submitter = proposal.submitter.to_string();
        let contract = Contract::parse(&proposal.contract).ok();
        let asked = contract
            .as_ref()
            .and_then(|_| serde_json::from_slice(&proposal.contract).ok())
            .and_then(|contract| Asked::of(&contract, me, &submitter));
        let counterparts = asked.as_ref().map_or(&[][..], |asked| &asked.counterparts);
        // where runs cannot be counted, none is left
        let spent = self.spent(&force.config, counterparts);
        let spent = spent.unwrap_or_else(|_| counterparts.to_vec());
        let used = asked
            .as_ref()
            .map(|asked| self.used(force, asked, contract.as_ref()));
        let bench = Bench {
            party: me,
            version: force.version,
            file: force.taken.as_ref().map(|taken| &taken.file),
            spent,
            used: used.unwrap_or_default(),
            unserved: served.as_ref().err().cloned(),
            now: self.site.clock.now(),
        };
        judge(&force.config, bench, asked.as_ref(), &submitter)
    }

    /// Writes down what this party's policy says of a proposal, once. The rules' verdicts are those of
    /// the text written down, so that whoever reads it comes to the same.
    fn evaluated(&self, proposal: &Proposal, judgement: &Judgement) -> Result<(), TranscriptError> {
        let job = proposal.job.as_str();
        let judged = self.site.store.judged(job, judgement.stated.version);
        self.keep("verdict", judged.map(drop));
        let evaluated = judgement.evaluated(hex(&proposal.digest));
        self.transcript.evaluated(job, &judgement.stated, evaluated)
    }

    /// Whether this party's own approval says what its policy asks for.
    fn granted(&self, job: &JobInfo, policy: &Stated) -> Result<(), String> {
        let Role::Party(position) = job.proposal.role else {
            return Err("this node has no party's part in the job".into());
        };
        let own = job.approvals.get(usize::from(position));
        let own = own.ok_or("this party's approval did not come")?;
        let own = Decision::from_bytes(&own.statement).map_err(|e| e.to_string())?;
        let me = self.node.peer().id.as_str();
        own.signed_by_its_people(me).map_err(|e| e.to_string())?;
        let granted = policy.grants(&own.consent, self.site.clock.now(), 0);
        granted.map_err(|lacks| {
            format!(
                "policy of `{me}` (version {}), rule `approval`: this party's approval does not do: {lacks} \
                 (`job sign`, `job approve --signed --approver --second --expires`); propose the job anew",
                policy.version
            )
        })
    }

    fn keep(&self, what: &str, result: Result<(), crate::store::Failed>) {
        if let Err(error) = result {
            tracing::error!(%error, what, "could not be stored");
        }
    }
}

impl NodeHandler for PartyHandler {
    fn on_proposed(&self, proposal: &Proposal) {
        let force = self.keeper.now();
        let served = self.check(&force.config, proposal);
        let judgement = self.judge(&force, proposal, &served);
        if let Err(error) = self.evaluated(proposal, &judgement) {
            tracing::error!(job = %proposal.job, %error, "the transcript cannot be written");
        }
    }

    async fn on_proposal(&self, proposal: Proposal) {
        let job = proposal.job.as_str();
        let submitter = proposal.submitter.to_string();
        let at = self.site.clock.now();
        self.keep(
            "proposal",
            self.site
                .store
                .proposed(job, &proposal.digest, &proposal.contract, &submitter, at),
        );
        let force = self.keeper.now();
        let served = self.check(&force.config, &proposal);
        let judgement = self.judge(&force, &proposal, &served);
        if let Err(error) = self.evaluated(&proposal, &judgement) {
            // a node that cannot write decides nothing
            tracing::error!(job, %error, "the transcript cannot be written");
            return;
        }
        let verdict = judgement.verdict;
        // whatever else this node finds, it approves nothing that its policy denies
        let served = match judgement.refusal() {
            Some(refusal) => match served {
                // what the node found says more than the rule's name
                Err(found) if !refusal.contains(&found) => Err(format!("{refusal}: {found}")),
                _ => Err(refusal),
            },
            None => served,
        };
        match served {
            Err(reason) => {
                tracing::warn!(
                    job,
                    reason,
                    "rejecting a proposal that this node cannot serve"
                );
                self.decide(&proposal, false, reason).await;
            }
            Ok(()) if verdict == "allow" => {
                tracing::warn!(job, submitter, "approving automatically, as configured");
                self.decide(&proposal, true, "approved automatically".into())
                    .await;
            }
            Ok(()) => tracing::info!(
                job,
                submitter,
                "proposed: waiting for an officer's decision"
            ),
        }
    }

    async fn on_decision(&self, by: Peer, decision: Decision) {
        let at = self.site.clock.now();
        tracing::info!(job = %decision.job, %by, approve = decision.approve, "decided");
        self.keep(
            "decision",
            self.site.store.decided(
                decision.job.as_str(),
                by.id.as_str(),
                decision.approve,
                &decision.reason,
                at,
            ),
        );
    }

    async fn on_state(&self, change: StateChange) {
        let culprit = change
            .culprit
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::info!(job = %change.job, state = ?change.state, culprit, reason = change.reason, "job");
        self.keep(
            "state",
            self.site.store.state(
                change.job.as_str(),
                state_name(change.state),
                &culprit,
                &change.reason,
                self.site.clock.now(),
            ),
        );
    }

    fn unfinished(&self) -> Vec<JobId> {
        let found = self.site.store.unfinished().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot read which jobs have not ended");
            Vec::new()
        });
        found.iter().filter_map(|id| id.parse().ok()).collect()
    }

    fn has_ended(&self, job: &JobId) -> bool {
        self.site
            .store
            .has_ended(job.as_str())
            .unwrap_or_else(|error| {
                tracing::error!(%job, %error, "cannot read whether a job has ended");
                false
            })
    }

    fn discard(&self, job: &JobId) -> bool {
        let withdrawn = run::outputs::withdraw(&self.site.config.results, job.as_str());
        if withdrawn.removed > 0 {
            let erased = DataErased {
                what: "results".into(),
                count: withdrawn.removed,
                subject: None,
            };
            if let Err(error) = self.transcript.write_soon(job.as_str(), erased) {
                tracing::error!(%job, %error, "what was destroyed is not in the transcript");
            }
        }
        withdrawn.clean
    }

    fn results(&self, job: &JobId) -> Option<PathBuf> {
        let folder = self.site.config.results.join(job.as_str());
        folder.is_dir().then_some(folder)
    }

    async fn on_link(&self, connected: bool, reason: String) {
        if !connected {
            tracing::warn!(reason, "connection to the coordinator lost");
        }
        self.connected.send_replace(connected);
    }

    async fn run(
        &self,
        job: JobInfo,
        channel: JobChannel,
        reporter: Reporter,
    ) -> Result<(), RunError> {
        // a start that is replayed, or comes after the contract's last day, runs nothing
        let refused = |code: &str, reason: String| RunError {
            culprit: None,
            step: "start".into(),
            code: code.into(),
            reason,
        };
        if self.site.clock.now() >= job.proposal.head.expires {
            return Err(refused("expired", "the contract has expired".into()));
        }
        let contract = Contract::parse(&job.proposal.contract)
            .map_err(|e| refused("contract", e.to_string()))?;
        let me = self.node.peer().id.to_string();
        let others = counterparts(&contract, &me);
        // judged anew: quotas, last days and the policy itself may have changed since the proposal
        let starting = self.starting.lock().await;
        let force = self.keeper.now();
        let known = self.site.store.judged(job.job().as_str(), force.version);
        let known = known.map_err(|e| refused("store", e.to_string()))?;
        if known != force.version {
            let reason = format!(
                "the policy of `{me}` has changed since the proposal, from version {known} to {}: propose the job anew",
                force.version
            );
            return Err(refused("policy", reason));
        }
        let quota = force.taken.as_ref().map(|taken| &taken.file.quota);
        let site = Site {
            config: Arc::clone(&force.config),
            set_change: quota.and_then(|quota| {
                let least = quota.min_set_change?;
                let period_s = quota.period_s();
                Some(SetChange { least, period_s })
            }),
            ..self.site.clone()
        };
        let judgement = self.judge(&force, &job.proposal, &Ok(()));
        let granted = match judgement.refusal() {
            Some(refusal) => Err(refusal),
            None => self.granted(&job, &judgement.stated),
        };
        if let Err(reason) = granted {
            let rules = judgement.rules.iter().filter(|rule| rule.verdict == "deny");
            let rules: Vec<&str> = rules.map(|rule| rule.id.as_str()).collect();
            let subject = if rules.is_empty() {
                "approval".to_owned()
            } else {
                rules.join(", ")
            };
            let denied = Denied {
                code: "policy".into(),
                subject,
                to: None,
            };
            let written = job.record.event(denied);
            written.map_err(|e| refused("transcript_failed", e.to_string()))?;
            return Err(refused("policy", reason));
        }
        let policy = &force.config.align;
        // a job that was approved while this node was away begins as it hears of it
        let heard = self.site.store.proposed(
            job.job().as_str(),
            &job.proposal.digest,
            &job.proposal.contract,
            &job.proposal.submitter.to_string(),
            self.site.clock.now(),
        );
        heard.map_err(|e| refused("store", e.to_string()))?;
        let started = self
            .site
            .store
            .begin(job.job().as_str(), &job.proposal.digest);
        if matches!(started, Ok(true)) {
            // counted before anything is sent, also where the job then fails
            let now = self.site.clock.now();
            let limit = policy.max_runs.map(|most| (most, now - policy.period_s()));
            let spent = self
                .site
                .store
                .begin_alignment(job.job().as_str(), &others, now, limit)
                .map_err(|e| refused("store", e.to_string()))?;
            if let (Some(counterpart), Some(most)) = (spent, policy.max_runs) {
                let spent = quota_is_spent(most, policy.period_days, &counterpart);
                let reason = format!("policy of `{me}`, rule `max_runs`: {spent}");
                return Err(refused("policy", reason));
            }
        }
        if matches!(started, Ok(true)) {
            privacy::spend(&site, job.job().as_str(), &contract).map_err(|reason| {
                refused(
                    "policy",
                    format!("policy of `{me}`, rule `privacy`: {reason}"),
                )
            })?;
            let parties = contract.parties().into_iter().map(ToString::to_string);
            let parties: Vec<_> = parties.filter(|party| *party != me).collect();
            let seats = contract.spec().seats();
            let seat = seats.iter().find(|seat| seat.id.to_string() == me);
            let dataset = seat.map_or("", |seat| seat.dataset.as_str());
            let now = self.site.clock.now();
            let counted = self
                .site
                .store
                .count_begun(job.job().as_str(), &parties, dataset, now);
            counted.map_err(|e| refused("store", e.to_string()))?;
            let scores = contract.spec().outputs.scores.as_ref();
            if let Some(scores) = scores.filter(|scores| scores.to.to_string() != me) {
                // as many as it may open, until it is known how many it does
                let compared = contract.spec().reject_inference.as_ref();
                let each = 1 + u64::from(compared.is_some_and(|asked| asked.compare));
                let most = scores.max_rows.map(|rows| rows.saturating_mul(each));
                let (to, most) = (scores.to.to_string(), most.unwrap_or(NOT_SAID));
                let store = &self.site.store;
                let counted = store.count_scores(job.job().as_str(), &to, dataset, now, most);
                counted.map_err(|e| refused("store", e.to_string()))?;
            }
        }
        drop(starting);
        match started {
            Ok(true) => run::run(site, job, channel, reporter).await,
            Ok(false) => Err(refused(
                "started_before",
                "this node has run this job before, or knows another contract by its id: propose \
                 it anew"
                    .into(),
            )),
            Err(e) => Err(refused("store", e.to_string())),
        }
    }
}

/// Whom a job aligns this party's customers with; nobody, where banks keep their rows to themselves.
fn counterparts(contract: &Contract, me: &str) -> Vec<String> {
    if contract.spec().horizontal.is_some() {
        return Vec::new();
    }
    let parties = contract.parties().into_iter().map(ToString::to_string);
    parties.filter(|id| id != me).collect()
}

/// Scores of a job that does not say how many it opens at most.
const NOT_SAID: u64 = 999_999_999;

fn quota_is_spent(most: u32, days: u32, counterpart: &str) -> String {
    format!(
        "this party allows {most} alignments with {counterpart} in {days} days, and they have been \
         made: wait, or ask it for a higher limit"
    )
}

fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Unspecified => "unknown",
        JobState::Proposed => "proposed",
        JobState::Approved => "approved",
        JobState::Aligning => "aligning",
        JobState::Preparing => "preparing",
        JobState::Training => "training",
        JobState::Evaluating => "evaluating",
        JobState::Released => "released",
        JobState::Rejected => "rejected",
        JobState::Aborted => "aborted",
        JobState::Expired => "expired",
    }
}
