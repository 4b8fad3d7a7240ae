//! `paripassu job status` and `paripassu job show`.

use std::path::PathBuf;

use clap::Args;
use paripassu_audit::consent::said;
use paripassu_job::Contract;
use paripassu_proto::control::v1 as pb;
use paripassu_service::signing::Decision;
use serde::Serialize;

use super::{super::meter, terms};
use crate::{
    client::{Client, Connect, contract_of, present},
    failure::Failure,
    outcome::Outcome,
    screen::Screen,
    view::{StatusView, moment, painted, state},
};

/// Say in one line where a job stands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu job status JOB
  paripassu job status latest --json")]
pub(crate) struct Status {
    /// Id of the job, the beginning of it, or `latest`
    #[arg(value_name = "JOB")]
    job: String,
    #[command(flatten)]
    connect: Connect,
}

/// Show a job: members, decisions, what it opens, what happened.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu job show JOB --identity bank
  paripassu job show latest --json

  paripassu job show JOB --identity partner --config party.toml    with what the scores would tell

Contract, members, columns and what it opens are read from the contract itself; its digest is what
`job approve --contract DIGEST` signs.")]
pub(crate) struct Show {
    /// Id of the job, the beginning of it, or `latest`
    #[arg(value_name = "JOB")]
    job: String,
    /// This party's party.toml: measures on its own rows what scores would tell their receiver
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    connect: Connect,
}

impl Status {
    pub(super) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let mut client = Client::connect(&self.connect).await?;
        let job = client.resolve(&self.job).await?;
        let shown = client.show(&job).await?;
        let status = present(shown.status.as_ref().and_then(StatusView::read), "status")?;
        let text = line(&status, screen);
        Outcome::new(&status, text)
    }
}

fn line(status: &StatusView, screen: &Screen) -> String {
    let job = &status.job;
    let mut text = format!("{} {}", job.job, painted(job.state, screen.out()));
    if let Some(abort) = &job.abort {
        text.push_str(&format!(" · {}", abort.sentence()));
    } else if job.state.is_running() {
        if let Some(node) = status.leading() {
            text.push_str(&format!(" · {}", node.line()));
        }
    } else if !job.waiting_for.is_empty() {
        text.push_str(&format!(" · waiting for {}", job.waiting_for.join(" and ")));
    }
    if !job.without.is_empty() {
        text.push_str(&format!(" · without {}", job.without.join(" and ")));
    }
    text
}

#[derive(Debug, Serialize)]
struct DecisionView {
    by: String,
    approve: bool,
    reason: String,
    approver: Option<String>,
    second: Option<String>,
    ticket: Option<String>,
    expires: Option<String>,
    /// Names and roles of the people who signed it with keys of their own.
    people: Vec<String>,
    verified: bool,
}

impl DecisionView {
    /// Who decided and until when, in one cell.
    fn who(&self) -> String {
        let parts = [
            self.approver.clone().filter(|_| self.people.is_empty()),
            self.second
                .as_ref()
                .filter(|_| self.people.is_empty())
                .map(|second| format!("and {second}")),
            (!self.people.is_empty()).then(|| format!("with own keys: {}", self.people.join(", "))),
            self.ticket.as_ref().map(|ticket| format!("({ticket})")),
            self.expires.as_ref().map(|ends| format!("until {ends}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join(" ")
    }
}

#[derive(Debug, Serialize)]
struct EventView {
    number: u64,
    at: Option<String>,
    state: paripassu_job::State,
    actor: String,
    detail: String,
}

#[derive(Debug, Serialize)]
struct ShownView<'a> {
    #[serde(flatten)]
    status: &'a StatusView,
    name: &'a str,
    purpose: &'a str,
    legal_basis: &'a str,
    disclosures: &'a [paripassu_job::Disclosure],
    #[serde(skip_serializing_if = "Option::is_none")]
    scores_tell: Option<meter::Told>,
    decisions: &'a [DecisionView],
    events: &'a [EventView],
}

impl Show {
    pub(super) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let mut client = Client::connect(&self.connect).await?;
        let job = client.resolve(&self.job).await?;
        let shown = client.show(&job).await?;
        let mut status = present(shown.status.as_ref().and_then(StatusView::read), "status")?;
        let contract = contract_of(&shown, &job)?;
        status.job.by_contract(&contract);
        let decisions: Vec<_> = shown
            .decisions
            .iter()
            .filter_map(|signed| decision(&client, &contract, signed))
            .collect();
        let events: Vec<_> = shown.events.iter().map(event).collect();
        let spec = contract.spec();
        let view = ShownView {
            status: &status,
            name: &spec.name,
            purpose: &spec.purpose,
            legal_basis: &spec.legal_basis,
            disclosures: contract.disclosures(),
            scores_tell: scores_tell(&client, &contract, self.config).await?,
            decisions: &decisions,
            events: &events,
        };
        Outcome::new(&view, page(&view, &contract, screen))
    }
}

/// What the contract's scores would tell, measured on a thread of its own.
pub(super) async fn scores_tell(
    client: &Client,
    contract: &Contract,
    config: Option<PathBuf>,
) -> Result<Option<meter::Told>, Failure> {
    let Some(config) = config else {
        return Ok(None);
    };
    let (me, contract) = (client.identity().peer().id.to_string(), contract.clone());
    let measured = move || meter::of_contract(&contract, &me, &config);
    tokio::task::spawn_blocking(measured)
        .await
        .map_err(Failure::ours)?
}

/// A decision with its signature checked here, against the caller's own trust.
fn decision(client: &Client, contract: &Contract, signed: &pb::Signed) -> Option<DecisionView> {
    let decision = Decision::from_bytes(&signed.statement).ok()?;
    let by = paripassu_service::signing::verify(client.identity().trust(), signed).ok();
    let by_people = |by: &paripassu_service::identity::Certified| {
        decision.signed_by_its_people(by.peer().id.as_str()).is_ok()
    };
    let verified =
        by.as_ref().is_some_and(by_people) && decision.digest == *contract.digest().as_bytes();
    let people = decision.consent.people.iter();
    let people = people.map(|person| format!("{} ({})", person.name, person.role));
    Some(DecisionView {
        by: by.map_or_else(|| "?".to_owned(), |by| by.peer().to_string()),
        approve: decision.approve,
        reason: decision.reason,
        approver: said(&decision.consent.approver),
        second: said(&decision.consent.second),
        ticket: said(&decision.consent.ticket),
        expires: said(&decision.consent.expires),
        people: people.collect(),
        verified,
    })
}

fn event(wire: &pb::JobEvent) -> EventView {
    EventView {
        number: wire.number,
        at: moment(wire.at),
        state: state(wire.state),
        actor: wire.actor.clone(),
        detail: wire.detail.clone(),
    }
}

fn page(view: &ShownView<'_>, contract: &Contract, screen: &Screen) -> String {
    let paint = screen.out();
    let mut text = format!(
        "{}\n{}\n",
        line(view.status, screen),
        terms::digest(contract, paint)
    );
    text.push_str(&terms::facts(contract, paint));
    let submitted = view.status.job.submitted_at.as_deref().unwrap_or("?");
    text.push_str(&terms::fact("received", submitted, paint));
    text.push('\n');
    text.push_str(&terms::opens(contract, paint));
    if let Some(told) = &view.scores_tell {
        text.push_str(&told.text(paint));
    }

    if !view.decisions.is_empty() {
        text.push_str("\nDecisions\n");
        let mut table = screen.table(&["by", "decision", "signed for it", "reason", "signature"]);
        for decision in view.decisions {
            table.row([
                decision.by.as_str(),
                if decision.approve {
                    "approved"
                } else {
                    "rejected"
                },
                &decision.who(),
                &decision.reason,
                if decision.verified {
                    "verified"
                } else {
                    "NOT VERIFIED"
                },
            ]);
        }
        text.push_str(&format!("{table}\n"));
    }
    if !view.events.is_empty() {
        text.push_str("\nWhat happened\n");
        let mut table = screen.table(&["at", "state", "by", "detail"]);
        for event in view.events {
            table.row([
                event.at.as_deref().unwrap_or("?"),
                event.state.as_str(),
                &event.actor,
                &event.detail,
            ]);
        }
        text.push_str(&table.to_string());
    }
    text
}
