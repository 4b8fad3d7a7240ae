//! A bundle, read: envelopes, bodies, certificates, contract.

use std::{cell::OnceCell, collections::BTreeSet};

use sha2::{Digest, Sha256};

use super::{
    Options, absence,
    certificate::Certificate,
    contract::ContractView,
    verdict::{Check, Place},
};
use crate::{
    bundle::{Bundle, EventPart, LogPart},
    event::{Body, Envelope, EventError, Visibility, visibility},
    note::SignedCheckpoint,
};

/// An event as far as it can be read.
pub(crate) struct Event<'a> {
    pub(crate) part: &'a EventPart,
    pub(crate) envelope: Result<Envelope, EventError>,
    /// `None` where it is withheld, or where the envelope cannot be read.
    pub(crate) body: Option<Result<Body, EventError>>,
}

impl Event<'_> {
    pub(crate) fn head(&self) -> Option<&Envelope> {
        self.envelope.as_ref().ok()
    }

    pub(crate) fn body(&self) -> Option<&Body> {
        self.body.as_ref()?.as_ref().ok()
    }

    /// The name of the event, empty where it cannot be read.
    pub(crate) fn name(&self) -> &str {
        self.head().map_or("", |envelope| &envelope.event)
    }

    pub(crate) fn at(&self) -> Option<i64> {
        self.head().map(Envelope::unix)
    }
}

/// One log.
pub(crate) struct Log<'a> {
    pub(crate) part: &'a LogPart,
    /// The node's id.
    pub(crate) node: &'a str,
    pub(crate) certificates: Vec<Result<Certificate, &'static str>>,
    pub(crate) events: Vec<Event<'a>>,
    /// What the node wrote of itself.
    pub(crate) node_events: Vec<Event<'a>>,
    /// The bundle's maker wrote it: private bodies are there too.
    pub(crate) own: bool,
    pub(crate) head: Result<SignedCheckpoint, crate::note::NoteError>,
}

impl<'a> Log<'a> {
    fn new(part: &'a LogPart, own: bool) -> Self {
        let read = |part: &'a EventPart| {
            let envelope = Envelope::parse(part.envelope.as_bytes());
            let body = match (&envelope, &part.body) {
                (Ok(envelope), Some(text)) => Some(if envelope.names(text.as_bytes()) {
                    Body::parse(&envelope.event, text)
                } else {
                    Err(EventError::Signature)
                }),
                _ => None,
            };
            Event {
                part,
                envelope,
                body,
            }
        };
        Self {
            part,
            node: part.origin.rsplit('/').next().unwrap_or_default(),
            certificates: part
                .certificates
                .iter()
                .map(|pem| Certificate::from_pem(pem))
                .collect(),
            events: part.events.iter().map(read).collect(),
            node_events: part.node_events.iter().map(read).collect(),
            own,
            head: SignedCheckpoint::parse(&part.checkpoint),
        }
    }

    /// The certificate that holds this key.
    pub(crate) fn certificate(&self, key: &[u8; 32]) -> Option<&Certificate> {
        let mut sound = self.certificates.iter().filter_map(|c| c.as_ref().ok());
        sound.find(|certificate| certificate.key_digest == *key)
    }

    /// The job's events and the node's own.
    pub(crate) fn all_events(&self) -> impl Iterator<Item = &Event<'a>> {
        self.events.iter().chain(&self.node_events)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.events.iter().any(|event| event.name() == name)
    }

    /// Where the log as a whole is at fault.
    pub(crate) fn place(&self) -> Place {
        Place {
            origin: Some(self.part.origin.clone()),
            ..Place::default()
        }
    }

    /// Where an event is at fault.
    pub(crate) fn at(&self, event: &Event<'_>) -> Place {
        Place {
            origin: Some(self.part.origin.clone()),
            index: Some(event.part.index),
            seq: event.head().map(|envelope| envelope.seq),
            event: event.head().map(|envelope| envelope.event.clone()),
        }
    }
}

/// Everything the checks look at.
pub(crate) struct Case<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) options: Options<'a>,
    pub(crate) logs: Vec<Log<'a>>,
    pub(crate) contract: Result<ContractView, &'static str>,
    pub(crate) contract_digest: [u8; 32],
    authority: OnceCell<Option<Result<Certificate, &'static str>>>,
    left_out: OnceCell<BTreeSet<String>>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(bundle: &'a Bundle, options: Options<'a>) -> Self {
        let logs = bundle.logs.iter();
        Self {
            bundle,
            options,
            logs: logs
                .map(|part| Log::new(part, part.origin == bundle.node))
                .collect(),
            contract: ContractView::parse(&bundle.contract),
            contract_digest: Sha256::digest(bundle.contract.as_bytes()).into(),
            authority: OnceCell::new(),
            left_out: OnceCell::new(),
        }
    }

    /// The authority that certificates are judged by; `None` where pins alone count.
    pub(crate) fn authority(&self) -> Option<&Result<Certificate, &'static str>> {
        let authority = self.authority.get_or_init(|| match self.options.trust {
            Some(trust) => trust.authority.as_deref().map(Certificate::from_pem),
            None => Some(Certificate::from_pem(&self.bundle.authority)),
        });
        authority.as_ref()
    }

    /// Some log says that the job ran to its end.
    pub(crate) fn ran_to_the_end(&self) -> bool {
        self.logs.iter().any(|log| log.has("run.completed"))
    }

    /// The log of the node of this id.
    pub(crate) fn log_of(&self, node: &str) -> Option<&Log<'a>> {
        self.logs.iter().find(|log| log.node == node)
    }

    /// Whether this is the log of a member, of the kind that its place in the contract asks for.
    pub(crate) fn is_members(&self, log: &Log<'_>) -> bool {
        let Ok(contract) = &self.contract else {
            return false;
        };
        let party = log.part.origin.starts_with("paripassu/party/");
        contract.members().any(|member| member == log.node) && self.is_party(log.node) == party
    }

    /// Whether a job of banks was closed without this data party.
    pub(crate) fn is_left_out(&self, node: &str) -> bool {
        let left_out = self.left_out.get_or_init(|| absence::left_out(self));
        left_out.contains(node)
    }

    /// Every data party's log says that the job ran to its end, but for those that it was closed without.
    pub(crate) fn all_parties_completed(&self) -> bool {
        let completed = |party: &String| {
            self.is_left_out(party)
                || self
                    .log_of(party)
                    .is_some_and(|log| log.has("run.completed"))
        };
        let contract = self.contract.as_ref();
        contract.is_ok_and(|contract| contract.parties.iter().all(completed))
    }

    /// Whether the node of this id is a data party.
    pub(crate) fn is_party(&self, node: &str) -> bool {
        let contract = self.contract.as_ref();
        contract.is_ok_and(|contract| contract.parties.iter().any(|party| party == node))
    }

    /// Whether the body of an event ought to be in this bundle but is not.
    pub(crate) fn lacks_body(&self, log: &Log<'_>, event: &Event<'_>) -> bool {
        event.part.body.is_none()
            && match visibility(event.name()) {
                Some(Visibility::Shared) => true,
                Some(Visibility::Private) => log.own,
                None => false,
            }
    }
}

/// The check that a body is for.
pub(crate) fn check_of(event: &str) -> Option<Check> {
    Some(match event {
        "step.finished" => Check::Symmetry,
        "job.proposed" | "job.approved" | "job.rejected" => Check::Approval,
        "policy.stated" | "policy.evaluated" => Check::Policy,
        "disclosure" | "disclosure.announced" => Check::Disclosure,
        "data.committed" | "align.done" | "run.completed" => Check::Threshold,
        "session.opened" | "step.started" | "log.started" => Check::Binary,
        "key.rotated" => Check::Signature,
        "metrics.reported" => Check::Metrics,
        "model.committed" => Check::Model,
        "log.witnessed" | "log.unwitnessed" => Check::Witness,
        _ => return None,
    })
}
