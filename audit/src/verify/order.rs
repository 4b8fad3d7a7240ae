//! Check 6: every party approved this contract before any work.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{
    contract::ContractView,
    signatures::signer,
    verdict::{Check, Place, Report, plain},
    view::{Case, Event, Log},
};
use crate::{
    bundle::{SignedStatement, unbase64},
    consent::{Consent, ConsentError, Decided, said},
    event::{Body, bodies::JobApproved, hex, parse_time},
};

const DST_SUBMIT: &[u8] = b"paripassu/v1/submit";
const DST_DECIDE: &[u8] = b"paripassu/v2/decide";
/// With people's own signatures behind it.
const DST_DECIDE_SIGNED: &[u8] = b"paripassu/v3/decide";

const UNAPPROVED: &str = "work was done that this party had not agreed to";
const OTHER_CONTRACT: &str = "the contract in the bundle is not the one that was agreed";

/// Events that are work on data.
const WORK: [&str; 10] = [
    "data.committed",
    "align.done",
    "step.started",
    "step.finished",
    "disclosure",
    "disclosure.announced",
    "metrics.reported",
    "model.committed",
    "model.released",
    "run.completed",
];

/// A statement's fields: each after its length, 8 bytes little-endian.
fn fields(mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (field, tail) = tail.split_at_checked(length)?;
        fields.push(field);
        rest = tail;
    }
    Some(fields)
}

/// A decision, decoded.
pub(super) struct Decision {
    job: Vec<u8>,
    digest: Vec<u8>,
    approve: bool,
    pub(super) reason: String,
    pub(super) consent: Consent,
}

pub(super) fn decision(bytes: &[u8]) -> Option<Decision> {
    let fields = fields(bytes)?;
    let (fields, people) = match fields.as_slice() {
        [DST_DECIDE, fields @ ..] => (fields, None),
        [DST_DECIDE_SIGNED, fields @ .., people] => (fields, Some(*people)),
        _ => return None,
    };
    let [job, digest, [yes @ (0 | 1)], reason, words @ ..] = fields else {
        return None;
    };
    let words = <[&[u8]; Consent::FIELDS]>::try_from(words).ok()?;
    let consent = match people {
        None => Consent::of_fields(words),
        Some(people) => Consent::of_signed_fields(words, people),
    };
    Some(Decision {
        job: job.to_vec(),
        digest: digest.to_vec(),
        approve: *yes == 1,
        reason: std::str::from_utf8(reason).ok()?.to_owned(),
        consent: consent.ok()?,
    })
}

impl Decision {
    /// Whether the people who signed it signed this decision of this party.
    fn signed_by_its_people(&self, party: &str) -> Result<(), ConsentError> {
        self.consent.signed_by_its_people(&Decided {
            job: std::str::from_utf8(&self.job).unwrap_or_default(),
            digest: &self.digest,
            approve: self.approve,
            party,
            reason: &self.reason,
            ticket: &self.consent.ticket,
            expires: &self.consent.expires,
        })
    }
}

/// What the signed decision of this digest says of who took it, if it is in the bundle.
pub(super) fn consent_of(case: &Case<'_>, statement: &str) -> Option<Consent> {
    let found = case.bundle.approvals.iter();
    let mut found = found.filter(|signed| statement_digest(signed) == statement);
    Some(decision(&unbase64(&found.next()?.statement)?)?.consent)
}

/// Approvals that count, by party and digest of the statement.
type Approved = BTreeMap<(String, String), Consent>;

fn statement_digest(statement: &SignedStatement) -> String {
    hex(&Sha256::digest(
        unbase64(&statement.statement).unwrap_or_default(),
    ))
}

/// When a log says that a decision was made.
pub(super) fn decided_at(case: &Case<'_>, statement: &SignedStatement) -> Option<i64> {
    let digest = statement_digest(statement);
    let events = case.logs.iter().flat_map(|log| &log.events);
    let times = events.filter_map(|event| match event.body()? {
        Body::JobApproved(body) if body.statement == digest => event.at(),
        Body::JobRejected(body) if body.statement == digest => event.at(),
        _ => None,
    });
    times.min()
}

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    match &case.contract {
        Err(why) => report.find(
            Check::Approval,
            Place::default(),
            format!("the contract cannot be read: {why}"),
            OTHER_CONTRACT,
        ),
        Ok(contract) => {
            submission(case, contract, report);
            let statements = approvals(case, contract, report);
            for log in &case.logs {
                log_order(case, contract, log, &statements, report);
            }
            one_approval(case, report);
        }
    }
}

fn submission(case: &Case<'_>, contract: &ContractView, report: &mut Report) {
    report.examined(Check::Approval, 1);
    let mut find = |what: &str| {
        report.find(
            Check::Approval,
            Place::default(),
            what.to_owned(),
            OTHER_CONTRACT,
        );
    };
    if contract.job != case.bundle.job {
        find("the contract is that of another job");
    }
    let Ok((bytes, certificate)) = signer(&case.bundle.submission) else {
        // a matter of check 1
        return;
    };
    let stated = fields(&bytes).is_some_and(|fields| match fields.as_slice() {
        [DST_SUBMIT, job, digest] => {
            *job == case.bundle.job.as_bytes() && *digest == case.contract_digest
        }
        _ => false,
    });
    if !stated {
        find("the submission is not of this contract");
    }
    if certificate.uri != format!("spiffe://paripassu/{}", contract.submitter) {
        find("the submission is not signed by the submitter that the contract names");
    }
}

/// The statements of the parties: digest and party of each approval that counts.
fn approvals(case: &Case<'_>, contract: &ContractView, report: &mut Report) -> Approved {
    let mut approved = Approved::new();
    let worked = case.logs.iter().any(|log| log.events.iter().any(is_work));
    for statement in &case.bundle.approvals {
        report.examined(Check::Approval, 1);
        let Ok((bytes, certificate)) = signer(statement) else {
            continue;
        };
        let mut find = |what: String, means| {
            report.find(Check::Approval, Place::default(), what, means);
        };
        let party = certificate.uri.strip_prefix("spiffe://paripassu/party/");
        let Some(party) = party.filter(|party| case.is_party(party)) else {
            let who = plain(&certificate.uri);
            find(
                format!("a decision is by {who}, which is no data party"),
                UNAPPROVED,
            );
            continue;
        };
        match decision(&bytes) {
            None => find(format!("the decision of {party} is malformed"), UNAPPROVED),
            Some(d) if d.job != case.bundle.job.as_bytes() || d.digest != case.contract_digest => {
                find(
                    format!("the decision of {party} is on another contract"),
                    OTHER_CONTRACT,
                );
            }
            Some(d) if let Err(error) = d.signed_by_its_people(party) => {
                let what = format!("the decision of {party}: {}", plain(&error.to_string()));
                find(what, UNAPPROVED);
            }
            Some(Decision {
                approve: true,
                consent,
                ..
            }) => {
                approved.insert((party.to_owned(), statement_digest(statement)), consent);
            }
            Some(_) if worked => find(
                format!("work was done, and {party} rejected the contract"),
                UNAPPROVED,
            ),
            Some(_) => {
                report.note(format!("{party} rejected the contract"));
            }
        }
    }
    for party in &contract.parties {
        if worked && !approved.keys().any(|(who, _)| who == party) {
            report.find(
                Check::Approval,
                Place::default(),
                format!("the approval of {party} is missing"),
                UNAPPROVED,
            );
        }
    }
    approved
}

/// All logs tell of the same approval of a party.
fn one_approval(case: &Case<'_>, report: &mut Report) {
    let mut first: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for log in &case.logs {
        for event in &log.events {
            let Some(Body::JobApproved(approval)) = event.body() else {
                continue;
            };
            let (node, statement) = first
                .entry(&approval.party)
                .or_insert((log.node, &approval.statement));
            if *statement != approval.statement {
                let party = plain(&approval.party);
                let what = format!("it is another approval of {party} than the one {node} had");
                report.find(Check::Approval, log.at(event), what, UNAPPROVED);
            }
        }
    }
}

pub(super) fn is_work(event: &Event<'_>) -> bool {
    WORK.contains(&event.name())
}

/// In one log: approvals of all parties come before work, and still hold when it is done.
fn log_order(
    case: &Case<'_>,
    contract: &ContractView,
    log: &Log<'_>,
    statements: &Approved,
    report: &mut Report,
) {
    let mut seen: Vec<&JobApproved> = Vec::new();
    let mut told = false;
    for event in &log.events {
        let digest = match event.body() {
            Some(Body::JobProposed(body)) => Some(&body.contract),
            Some(Body::JobApproved(body)) => Some(&body.contract),
            Some(Body::JobRejected(body)) => Some(&body.contract),
            Some(Body::SessionOpened(body)) => Some(&body.contract),
            _ => None,
        };
        if let Some(digest) = digest {
            report.examined(Check::Approval, 1);
            if *digest != hex(&case.contract_digest) {
                let what = format!("it is about the contract {}", plain(digest));
                report.find(Check::Approval, log.at(event), what, OTHER_CONTRACT);
            }
        }
        if let Some(Body::JobApproved(approval)) = event.body() {
            if let Err((what, means)) = approval_holds(case, approval, statements) {
                report.find(Check::Approval, log.at(event), what, means);
            }
            seen.push(approval);
        }
        if !is_work(event) {
            continue;
        }
        report.examined(Check::Approval, 1);
        // whose approval it is, a pruned one does not say any more
        let unread = |event: &Event<'_>| event.name() == "job.approved" && event.body().is_none();
        told |= case.options.allow_pruned() && log.events.iter().any(unread);
        let mut find =
            |what: String, means| report.find(Check::Approval, log.at(event), what, means);
        for party in &contract.parties {
            if !told && !seen.iter().any(|approval| approval.party == *party) {
                find(
                    format!("the log has no approval of {party} before it"),
                    UNAPPROVED,
                );
            }
        }
        // one finding for each party is enough
        told = true;
        let Some(at) = event.at() else { continue };
        if contract.expires.is_some_and(|expires| at >= expires) {
            find(
                "the contract had expired".into(),
                "work was done after the agreed last day",
            );
        }
        for approval in &seen {
            let ends = approval.expires.as_deref().and_then(parse_time);
            if ends.is_some_and(|ends| at >= ends) {
                find(
                    format!("the approval of {} had expired", plain(&approval.party)),
                    UNAPPROVED,
                );
            }
        }
    }
}

fn approval_holds(
    case: &Case<'_>,
    approval: &JobApproved,
    statements: &Approved,
) -> Result<(), (String, &'static str)> {
    let party = plain(&approval.party);
    let key = (approval.party.clone(), approval.statement.clone());
    let Some(consent) = statements.get(&key) else {
        return Err((
            format!("the signed approval of {party} that it names is not in the bundle"),
            UNAPPROVED,
        ));
    };
    // who names nobody approves in the party's own name
    let approver = said(&consent.approver).unwrap_or_else(|| approval.party.clone());
    let signed = (
        &approver,
        said(&consent.second),
        said(&consent.ticket),
        said(&consent.expires),
    );
    let written = (
        &approval.approver,
        approval.second.clone(),
        approval.ticket.clone(),
        approval.expires.clone(),
    );
    if signed != written {
        return Err((
            format!("{party} signed another approver, second person, ticket or end than it says"),
            "the log tells of an approval that nobody signed",
        ));
    }
    let four_eyes = case.options.trust.is_some_and(|trust| trust.four_eyes);
    if four_eyes && approval.second.is_none() {
        return Err((
            format!("the approval of {party} has no second approver"),
            "the trust file demands four eyes",
        ));
    }
    Ok(())
}
