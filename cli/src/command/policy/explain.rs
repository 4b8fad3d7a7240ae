//! `paripassu policy explain`.

use std::path::PathBuf;

use clap::Args;
use paripassu_audit::policy::Asked;
use paripassu_job::Contract;
use paripassu_party::policy::{
    cases::contract,
    explain::explain,
    judge::{Bench, judge},
};
use paripassu_proto::NodeId;

use super::{Configured, now};
use crate::{
    client::{Client, Connect, contract_of},
    command::{job::read_spec, write_whole},
    failure::Failure,
    outcome::Outcome,
};

/// Say what of a job leaves, to whom, in what shape, and what could be inferred.
#[derive(Debug, Args)]
#[command(after_help = "\
Run by: the officers of the institution (data owner, compliance, validator), before they sign.
A job file is explained as an example, before anybody proposes it. Quotas are counted by the running
node; here they are taken as unused.

Examples:
  paripassu policy explain job.toml --config bank.toml
  paripassu policy explain JOB --config bank.toml --identity bank --coordinator HOST:PORT
  paripassu policy explain job.toml --config bank.toml --html page.html")]
pub(crate) struct Explain {
    /// A job file, or the id of a proposed job, the beginning of it, or `latest`
    #[arg(value_name = "JOB")]
    job: String,
    #[command(flatten)]
    configured: Configured,
    /// The party, where the policy does not say whose it is
    #[arg(long, value_name = "ID")]
    party: Option<String>,
    /// Who proposes a job file
    #[arg(long, value_name = "KIND/ID", default_value = "user/modeler")]
    submitter: String,
    /// Write the page to this HTML file, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Address of the coordinator, for a proposed job
    #[arg(long, value_name = "HOST:PORT", env = "PARIPASSU_COORDINATOR")]
    coordinator: Option<String>,
    /// Folder with node.crt, node.key and ca.crt of who asks, for a proposed job
    #[arg(long, value_name = "DIR", env = "PARIPASSU_IDENTITY")]
    identity: Option<PathBuf>,
    /// Accept the coordinator of this id only
    #[arg(long, value_name = "ID", env = "PARIPASSU_COORDINATOR_ID")]
    coordinator_id: Option<NodeId>,
}

impl Explain {
    pub(super) async fn run(self) -> Result<Outcome, Failure> {
        let (config, file) = self.configured.load()?;
        let path = PathBuf::from(&self.job);
        let (contract, submitter) = match path.exists() {
            true => {
                let spec = read_spec(&path)?;
                let contract = contract(spec, &self.submitter, now()).map_err(Failure::user)?;
                (contract, self.submitter.clone())
            }
            false => self.fetched().await?,
        };
        let owner = file.as_ref().map(|file| file.policy.owner.clone());
        let party = self.party.or(owner).ok_or_else(|| {
            Failure::user("whose officers are asked is not said").hint("give --party ID")
        })?;
        let value: serde_json::Value =
            serde_json::from_str(contract.canonical()).map_err(Failure::ours)?;
        let asked = Asked::of(&value, &party, &submitter)
            .ok_or_else(|| Failure::user(format!("`{party}` has no part in this job")))?;
        let bench = Bench {
            party: &party,
            version: file.as_ref().map_or(1, |file| file.policy.version),
            file: file.as_ref(),
            unserved: Some("data set or columns are not offered".into()),
            now: now(),
            ..Bench::default()
        };
        let judgement = judge(&config, bench, Some(&asked), &submitter);
        let dataset = config
            .dataset(&asked.dataset)
            .map(|dataset| &dataset.columns);
        let page = explain(
            &contract,
            &party,
            dataset,
            file.as_ref(),
            &judgement,
            path.exists(),
        );
        if let Some(path) = &self.html {
            write_whole(path, page.html().as_bytes())?;
        }
        Outcome::new(&page, page.text())
    }

    async fn fetched(&self) -> Result<(Contract, String), Failure> {
        let (Some(coordinator), Some(identity)) = (self.coordinator.clone(), self.identity.clone())
        else {
            return Err(Failure::user(format!("`{}` is no file", self.job))
                .hint("give a job file, or --coordinator and --identity to fetch a proposed job"));
        };
        let mut client = Client::connect(&Connect {
            coordinator,
            identity,
            coordinator_id: self.coordinator_id.clone(),
        })
        .await?;
        let job = client.resolve(&self.job).await?;
        let shown = client.show(&job).await?;
        let contract = contract_of(&shown, &job)?;
        let signed = shown.proposal.and_then(|proposal| proposal.submission);
        let signed =
            signed.ok_or_else(|| Failure::failed("the coordinator shows no submission"))?;
        let by = paripassu_service::signing::verify(client.identity().trust(), &signed)?;
        Ok((contract, by.peer().to_string()))
    }
}
