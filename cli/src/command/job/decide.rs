//! `paripassu job approve` and `paripassu job reject`.
//!
//! The coordinator keeps the contract and is not trusted with it: it could show one and hand out another
//! to be signed. So an approval names the contract that its officer has read, or shows here what will be
//! signed and has the officer copy the digest.

use std::{
    io::{BufRead, IsTerminal},
    path::PathBuf,
    str::FromStr,
};

use clap::Args;
use paripassu_audit::event::{format_time, parse_time};
use paripassu_job::{Contract, ContractDigest};
use paripassu_proto::NodeKind;
use paripassu_service::{clock::Clock, signing::Consent};

use super::{show::scores_tell, sign::together, terms};
use crate::{
    client::{Client, Connect, contract_of},
    failure::Failure,
    outcome::Outcome,
    screen::Screen,
    view::JobView,
};

/// Digits of a digest. Fewer would do to tell contracts apart, but two contracts that begin alike can
/// be made on purpose.
const DIGITS: usize = 64;
/// Digits that are typed on a terminal, below the page with the contract itself.
const TYPED: usize = 8;

/// Approve a contract that you have read, signed with the party's key.
#[derive(Debug, Args)]
#[command(after_help = "\
What is signed is the contract with this digest and no other, whatever the coordinator sends.
Without --contract, on a terminal, the contract is shown and the beginning of its digest asked for.

Run by: whoever holds the key of the party's node; where its policy asks for people, with their own
signatures (`job sign`).

Examples:
  paripassu job show JOB --identity bank                  read what it opens, to whom
  paripassu job approve JOB --identity bank --contract DIGEST
  paripassu job approve JOB --identity bank               read it here and type its digest
  paripassu job approve JOB --identity bank --contract DIGEST --approver data-owner \\
    --second compliance --ticket CHG-1182 --expires 72h
  paripassu job approve JOB --identity bank --contract DIGEST --signed a.consent --signed b.consent

Approver, second person, ticket and end are signed with the approval and stand in every member's
transcript: use names of roles or staff codes, no names of persons. A job does not begin once an
approval has ended. Where the party's own configuration asks for four eyes or for an end
([approval] in party.toml), its node refuses to begin a job that was approved without.")]
pub(crate) struct Approve {
    /// Id of the job, the beginning of it, or `latest`
    #[arg(value_name = "JOB")]
    job: String,
    /// Digest of the contract that you have read, all 64 digits
    #[arg(long, value_name = "DIGEST")]
    contract: Option<ReadDigest>,
    #[command(flatten)]
    words: Words,
    /// This party's party.toml: measures on its own rows what scores would tell their receiver, and says it before
    /// anything is signed
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Who else read it and agrees: another role or staff code than the approver's
    #[arg(long, value_name = "NAME", default_value = "", requires = "approver")]
    second: String,
    /// Until when the approval holds: 72h, 3d, or a time such as 2026-11-22T18:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<Until>,
    /// A person's own signature, as `job sign` wrote it; once for each who signed
    #[arg(long, value_name = "FILE",
        conflicts_with_all = ["approver", "second", "ticket", "expires", "reason"])]
    signed: Vec<PathBuf>,
    #[command(flatten)]
    connect: Connect,
}

/// What is said of any decision.
#[derive(Debug, Args)]
struct Words {
    /// Why, for the record; everyone in the job can read it
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Who decides: a role or staff code; without it the party decides in its own name
    #[arg(long, value_name = "NAME", default_value = "")]
    approver: String,
    /// The party's own reference, such as a change number
    #[arg(long, value_name = "TEXT", default_value = "")]
    ticket: String,
}

/// Reject a job for a party, signed with the party's key.
#[derive(Debug, Args)]
#[command(after_help = "\
Run by: whoever holds the key of the party's node.

Examples:
  paripassu job reject JOB --identity bank --signed c.consent
  paripassu job reject JOB --identity bank --reason \"no legal basis\"")]
pub(crate) struct Reject {
    /// Id of the job, the beginning of it, or `latest`
    #[arg(value_name = "JOB")]
    job: String,
    #[command(flatten)]
    words: Words,
    /// A person's own signature, as `job sign --reject` wrote it; once for each who signed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["approver", "ticket", "reason"])]
    signed: Vec<PathBuf>,
    #[command(flatten)]
    connect: Connect,
}

/// The end of an approval, as it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Until(String);

impl Until {
    /// As it is signed.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no end: expected hours as 72h, days as 3d, or a time as 2026-11-22T18:00:00Z"
            )
        };
        let spans = [("h", 3_600), ("d", 86_400)];
        let span = spans.into_iter().find_map(|(unit, seconds)| {
            let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
            (number > 0).then(|| number.checked_mul(seconds)).flatten()
        });
        let now = Clock::system().now();
        let ends = match span {
            Some(span) => now.checked_add(span),
            None => parse_time(text),
        };
        let ends = ends.ok_or_else(wrong)?;
        if ends <= now {
            return Err(format!("`{text}` is over already"));
        }
        format_time(ends).map(Self).ok_or_else(wrong)
    }
}

/// The digest of the contract that was read, as its reader gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadDigest(String);

impl FromStr for ReadDigest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fits {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!(
                "expected the {DIGITS} hexadecimal digits that `job show` and `job submit` print"
            ))
        }
    }
}

impl ReadDigest {
    /// Refuses any contract but the one named.
    pub(super) fn check(&self, contract: ContractDigest) -> Result<(), Failure> {
        let got = contract.to_string();
        if got == self.0 {
            return Ok(());
        }
        Err(Failure::user(format!(
            "nothing is signed: the coordinator sent contract {got}, you named {}",
            self.0
        ))
        .hint(
            "is it the digest of this job? `job show JOB` prints it. If it did before, with another \
             digest, the coordinator has changed the contract: tell the other parties",
        ))
    }
}

impl Approve {
    pub(super) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let consent = self.words.consent(self.second, self.expires)?;
        let (mut client, contract) = fetch(&self.connect, &self.job).await?;
        if let Some(told) = scores_tell(&client, &contract, self.config).await? {
            screen.say(told.text(screen.err()));
        }
        match &self.contract {
            Some(named) => named.check(contract.digest())?,
            None => confirm(&contract, screen).await?,
        }
        if !self.signed.is_empty() {
            let me = client.identity().peer().id.to_string();
            let (consent, reason) = together(&self.signed, &contract, &me, true)?;
            return decide(&mut client, &contract, true, &reason, consent, screen).await;
        }
        let reason = &self.words.reason;
        decide(&mut client, &contract, true, reason, consent, screen).await
    }
}

impl Words {
    /// What is signed of who decided.
    fn consent(&self, second: String, expires: Option<Until>) -> Result<Consent, Failure> {
        let consent = Consent {
            approver: self.approver.clone(),
            second,
            ticket: self.ticket.clone(),
            expires: expires.map_or_else(String::new, |until| until.0),
            people: Vec::new(),
        };
        let checked = consent.check().map(|()| consent);
        checked.map_err(|e| Failure::user(format!("nothing is signed: {e}")))
    }
}

impl Reject {
    pub(super) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let (mut client, contract) = fetch(&self.connect, &self.job).await?;
        if !self.signed.is_empty() {
            let me = client.identity().peer().id.to_string();
            let (consent, reason) = together(&self.signed, &contract, &me, false)?;
            return decide(&mut client, &contract, false, &reason, consent, screen).await;
        }
        let consent = self.words.consent(String::new(), None)?;
        let reason = &self.words.reason;
        decide(&mut client, &contract, false, reason, consent, screen).await
    }
}

/// Connects as a party and fetches the contract of the job.
async fn fetch(connect: &Connect, job: &str) -> Result<(Client, Contract), Failure> {
    let mut client = Client::connect(connect).await?;
    let me = client.identity().peer();
    if me.kind != NodeKind::Party {
        return Err(
            Failure::user(format!("{me} decides for no party")).hint(format!(
                "give the identity of a party's node, for instance --identity bank, not {}",
                connect.identity.display()
            )),
        );
    }
    let job = client.resolve(job).await?;
    let contract = contract_of(&client.show(&job).await?, &job)?;
    Ok((client, contract))
}

/// Shows what would be signed and has its digest copied.
pub(super) async fn confirm(contract: &Contract, screen: &Screen) -> Result<(), Failure> {
    if !(screen.is_live() && std::io::stdin().is_terminal()) {
        return Err(
            Failure::user("nothing is signed: which contract is decided on is not said").hint(format!(
                "read it with `paripassu job show {0}`, then give --contract DIGEST with the digest shown; only on a \
                 terminal is it asked for",
                contract.job()
            )),
        );
    }
    let paint = screen.err();
    screen.say(format_args!(
        "Job {}\n{}\n{}\n{}",
        contract.job(),
        terms::facts(contract, paint),
        terms::opens(contract, paint),
        terms::digest(contract, paint),
    ));
    screen.say(format_args!(
        "To approve it, type the first {TYPED} characters of the contract's digest:"
    ));
    // On a thread of its own: the connection has to be kept alive while a person reads.
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let line = line
        .await
        .map_err(Failure::ours)?
        .map_err(|e| Failure::user(format!("cannot read from the terminal: {e}")))?;
    copied(&line, contract.digest())
}

/// Whether what was typed is the beginning of the digest.
fn copied(line: &str, contract: ContractDigest) -> Result<(), Failure> {
    let typed = line.trim().to_ascii_lowercase();
    if typed.len() >= TYPED && contract.to_string().starts_with(&typed) {
        Ok(())
    } else {
        Err(
            Failure::user("nothing is signed: that is not the beginning of the contract's digest")
                .hint("approve again and copy it, or `paripassu job reject`"),
        )
    }
}

/// Signs the decision, sends it, and says where the job stands.
async fn decide(
    client: &mut Client,
    contract: &Contract,
    approve: bool,
    reason: &str,
    consent: Consent,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    let summary = client.decide(contract, approve, reason, consent).await?;
    let mut view = JobView::from(&summary);
    view.by_contract(contract);
    let word = if approve { "approved" } else { "rejected" };
    screen.say(format_args!(
        "signed over contract {}",
        screen.err().faint(contract.digest())
    ));
    let rest = if view.waiting_for.is_empty() {
        String::new()
    } else {
        format!(", waiting for {}", view.waiting_for.join(" and "))
    };
    let me = &client.identity().peer().id;
    let text = format!("{me} {word} {}: it is {}{rest}", view.job, view.state);
    Outcome::new(&view, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use paripassu_job::{
        JobId, Spec, Submitter, Timestamp,
        spec::{TemplateKind, template},
    };
    use paripassu_proto::control::v1 as pb;

    fn contract(job: u8, l2: &str) -> Contract {
        let text = template(TemplateKind::VerticalLogistic);
        let mut spec = Spec::from_toml(text, "job.toml").unwrap();
        spec.model.l2 = l2.parse().unwrap();
        Contract::new(
            spec,
            JobId::from_bytes([job; 16]),
            Timestamp::from_unix(1_772_323_200).unwrap(),
            Submitter::user("modeler".parse().unwrap()),
        )
        .unwrap()
    }

    fn shown(contract: &Contract) -> pb::ShowJobResponse {
        pb::ShowJobResponse {
            proposal: Some(pb::Proposal {
                contract: contract.canonical().as_bytes().to_vec().into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn another_contract_than_the_one_read_is_not_signed() {
        let (read, sent) = (contract(1, "1"), contract(1, "2"));
        let digest = read.digest().to_string();
        let job = read.job().to_string();
        let fetched = contract_of(&shown(&sent), &job).unwrap();
        let named: ReadDigest = digest.parse().unwrap();
        named.check(read.digest()).unwrap();
        let refused = named.check(fetched.digest()).unwrap_err();
        assert_eq!(refused.exit().code(), 1);
        assert!(refused.message().contains("nothing is signed"), "{refused}");
        assert!(refused.message().contains(&sent.digest().to_string()));
        copied(&format!("{}\n", &digest[..TYPED]), read.digest()).unwrap();
        copied(&digest.to_uppercase(), read.digest()).unwrap();
        for line in ["", "\n", "yes", &digest[..TYPED - 1], &digest[..TYPED]] {
            assert!(copied(line, sent.digest()).is_err(), "{line}");
        }
        assert!(copied(&digest[..TYPED - 1], read.digest()).is_err());
    }

    #[test]
    fn the_contract_of_another_job_is_refused() {
        let (asked, other) = (contract(1, "1"), contract(2, "1"));
        let refused = contract_of(&shown(&other), &asked.job().to_string()).unwrap_err();
        assert_eq!(refused.exit().code(), 1);
        assert!(refused.message().contains(&other.job().to_string()));
    }

    #[test]
    fn an_approval_ends_at_a_time_to_come() {
        let now = Clock::system().now();
        let ends = |text: &str| {
            text.parse::<Until>()
                .map(|until| parse_time(&until.0).unwrap())
        };
        assert!((now + 7_200..now + 7_260).contains(&ends("2h").unwrap()));
        assert!((now + 86_400..now + 86_460).contains(&ends("1d").unwrap()));
        let later = format_time(now + 500).unwrap();
        assert_eq!(ends(&later), Ok(now + 500));
        for bad in [
            "",
            "0h",
            "-1d",
            "72",
            "9999999999999999d",
            "2000-01-01T00:00:00Z",
            "tomorrow",
        ] {
            assert!(ends(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_are_named_by_enough_digits() {
        let digest = contract(1, "1").digest().to_string();
        assert_eq!(
            digest.to_uppercase().parse(),
            Ok(ReadDigest(digest.clone()))
        );
        let long = format!("{digest}0");
        for bad in [
            "",
            "latest",
            &digest[..DIGITS - 1],
            &long,
            "0123456789abcdeg",
        ] {
            let refused = bad.parse::<ReadDigest>().unwrap_err();
            assert!(refused.contains("job show"), "{refused}");
        }
    }
}
