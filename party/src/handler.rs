//! What the party's node does with proposals, decisions and starts.

use std::{path::PathBuf, sync::Arc};

use paripassu_audit::{
    consent::said,
    event::{
        bodies::{DataErased, PolicyEvaluated, RuleVerdict},
        hex,
    },
    policy::{Asked, strictest},
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
    dataset::Selection,
    privacy,
    run::{self, Site},
};

/// A party node's handler.
#[derive(Debug)]
pub(crate) struct PartyHandler {
    pub(crate) site: Site,
    pub(crate) transcript: Arc<Transcript>,
    /// The number of this party's policy.
    pub(crate) policy_version: u64,
    pub(crate) node: NodeHandle,
    pub(crate) connected: tokio::sync::watch::Sender<bool>,
}

impl PartyHandler {
    /// Whether this node could take part at all: its data sets and columns, by the configuration.
    fn check(&self, proposal: &Proposal) -> Result<(), String> {
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
        let policy = &self.site.config.align;
        let others = counterparts(&contract, &me);
        if !others.is_empty() {
            policy.allows(contract.spec().align.min_matched)?;
        }
        if let (Some(most), Some(spent)) = (policy.max_runs, self.spent(&others)?.first()) {
            return Err(quota_is_spent(most, policy.period_days, spent));
        }
        let spec = contract.spec();
        let label = spec.horizontal.is_some() || (position == 0 && spec.overlap.is_none());
        if spec.horizontal.is_some() {
            privacy::check(&self.site, &contract, &seat.dataset)?;
        }
        Selection::new(&self.site.config, contract.spec(), seat, label)
            .map(drop)
            .map_err(|e| {
                tracing::warn!(job = %proposal.job, error = %e, "this node cannot serve the job");
                e.without_hints()
            })
    }

    /// Which of these have had all the alignments that the policy allows in its period.
    fn spent(&self, counterparts: &[String]) -> Result<Vec<String>, String> {
        let align = &self.site.config.align;
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

    /// Writes down what this node's configuration says of a proposal, once. The rules' verdicts are those of
    /// the text written down, so that whoever reads it comes to the same.
    fn evaluated(
        &self,
        proposal: &Proposal,
        served: &Result<(), String>,
    ) -> Result<&'static str, TranscriptError> {
        let config = &self.site.config;
        let me = self.node.peer().id.as_str();
        let submitter = proposal.submitter.to_string();
        let asked = Contract::parse(&proposal.contract)
            .ok()
            .and_then(|_| serde_json::from_slice(&proposal.contract).ok())
            .and_then(|contract| Asked::of(&contract, me, &submitter));
        let refusal = served.as_ref().err().map(String::as_str);
        let counterparts = asked.as_ref().map_or(&[][..], |asked| &asked.counterparts);
        // where runs cannot be counted, none is left
        let spent = self.spent(counterparts);
        let spent = spent.unwrap_or_else(|_| counterparts.to_vec());
        let stated = config.stated(me, self.policy_version, asked.as_ref(), spent);
        let rules = match &asked {
            Some(asked) => stated.judge(asked).to_vec(),
            None => vec![("contract", "deny")],
        };
        let verdict = strictest(rules.iter().map(|(_, verdict)| *verdict));
        let measured = |id: &str, verdict: &str| match id {
            "approval" => stated.approval.clone(),
            "submitter" => submitter.clone(),
            "min_matched" => match &asked {
                Some(asked) if !asked.counterparts.is_empty() => {
                    format!("{} of at least {}", asked.min_matched, stated.min_matched)
                }
                _ => "no customers are matched".to_owned(),
            },
            "max_runs" => match stated.max_runs {
                Some(most) if stated.spent.is_empty() => {
                    format!("fewer than {most} in {} days", stated.period_days)
                }
                Some(most) => format!("{most} made with {}", stated.spent.join(", ")),
                None => "no limit".to_owned(),
            },
            _ if verdict == "deny" => refusal.unwrap_or("not offered").to_owned(),
            _ => "data set and columns are offered to jobs".to_owned(),
        };
        let evaluated = PolicyEvaluated {
            policy: String::new(),
            version: stated.version,
            contract: hex(&proposal.digest),
            rules: rules
                .iter()
                .map(|(id, verdict)| RuleVerdict {
                    id: (*id).to_owned(),
                    verdict: (*verdict).to_owned(),
                    measured: measured(id, verdict).chars().take(1_024).collect(),
                })
                .collect(),
            verdict: verdict.into(),
        };
        self.transcript
            .evaluated(proposal.job.as_str(), &stated, evaluated)?;
        Ok(verdict)
    }

    /// Whether this party's own approval says what its configuration asks for.
    fn granted(&self, job: &JobInfo) -> Result<(), String> {
        let Role::Party(position) = job.proposal.role else {
            return Err("this node has no party's part in the job".into());
        };
        let own = job.approvals.get(usize::from(position));
        let own = own.ok_or("this party's approval did not come")?;
        let own = Decision::from_bytes(&own.statement).map_err(|e| e.to_string())?;
        let second = said(&own.consent.second);
        let now = self.site.clock.now();
        let policy = self.site.config.stated("", 0, None, Vec::new());
        let granted = policy.grants(second.as_deref(), own.consent.ends(), now, 0);
        granted.map_err(|lacks| {
            format!(
                "this party's approval does not do: {lacks} (`job approve --approver --second --expires`); \
                 propose the job anew"
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
        let served = self.check(proposal);
        if let Err(error) = self.evaluated(proposal, &served) {
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
        let served = self.check(&proposal);
        let verdict = match self.evaluated(&proposal, &served) {
            Ok(verdict) => verdict,
            Err(error) => {
                // a node that cannot write decides nothing
                tracing::error!(job, %error, "the transcript cannot be written");
                return;
            }
        };
        // whatever else this node finds, it approves nothing that its policy denies
        let served = match verdict {
            "deny" => served.and(Err("this party's policy denies it".to_owned())),
            _ => served,
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
        self.granted(&job)
            .map_err(|reason| refused("policy", reason))?;
        let policy = &self.site.config.align;
        let contract = Contract::parse(&job.proposal.contract)
            .map_err(|e| refused("contract", e.to_string()))?;
        let me = self.node.peer().id.to_string();
        let others = counterparts(&contract, &me);
        if !others.is_empty() {
            policy
                .allows(contract.spec().align.min_matched)
                .map_err(|reason| refused("policy", reason))?;
        }
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
                let reason = quota_is_spent(most, policy.period_days, &counterpart);
                return Err(refused("policy", reason));
            }
        }
        if matches!(started, Ok(true)) {
            privacy::spend(&self.site, job.job().as_str(), &contract)
                .map_err(|reason| refused("policy", reason))?;
        }
        match started {
            Ok(true) => run::run(self.site.clone(), job, channel, reporter).await,
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
