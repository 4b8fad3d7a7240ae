//! A job with every node as a local process: certificates, configurations, processes, results.

mod batches;
mod layout;
mod linked;
pub(crate) mod made_up;
mod nodes;
mod overlap;
mod pooled;
mod rejects;
mod results;
mod setup;
mod twin;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use paripassu_job::{NodeId, Spec, State};
use paripassu_party::config::FallbackKey;
use paripassu_service::{shutdown::Shutdown, signing::Consent};

use self::{layout::Layout, nodes::Nodes, setup::Setup};
pub(crate) use self::{
    overlap::{Matched, Size},
    results::Metrics,
};
use crate::{
    client::{Client, Connect},
    command::job::propose,
    failure::{Exit, Failure},
    outcome::Outcome,
    progress::{self, Watched},
    screen::Screen,
};

/// What to run.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// The job.
    pub(crate) spec: Spec,
    /// The same as text, to be kept with the results.
    pub(crate) job: String,
    /// Each party's data.
    pub(crate) inputs: Vec<(NodeId, Input)>,
    /// Folder for everything.
    pub(crate) out: PathBuf,
    /// Whether a sandbox already there may be replaced.
    pub(crate) force: bool,
    /// Whether a process of its own deals randomness.
    pub(crate) separate_helper: bool,
    /// Whether the nodes go on after the job, until Ctrl-C.
    pub(crate) keep_nodes: bool,
    /// Column with the id.
    pub(crate) id: String,
    /// Further columns of the id.
    pub(crate) id_more: Vec<String>,
    /// Further keys, the same in each file.
    pub(crate) fallback: Vec<FallbackKey>,
    /// Column with the label, at the label party.
    pub(crate) label: String,
    /// Texts that mean missing.
    pub(crate) missing: Vec<String>,
}

/// Where a party's data comes from.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A CSV file.
    File(PathBuf),
    /// The text of one, to be written into the sandbox.
    Text(&'static str),
}

/// How it went.
#[derive(Debug)]
pub(crate) enum Finished {
    /// Released, with results.
    Released(Box<Metrics>),
    /// Released, with lists of common customers.
    Matched(Box<Matched>),
    /// Ended otherwise.
    Unreleased(Box<Watched>),
}

impl Sandbox {
    /// Runs everything; `print` says the result, before the nodes end if they are to be kept.
    pub(crate) async fn run(
        self,
        screen: &Screen,
        print: impl Fn(&Finished, &Path) -> Result<Outcome, Failure>,
    ) -> Result<Outcome, Failure> {
        let shutdown = Shutdown::on_signals()
            .map_err(|e| Failure::ours(format!("cannot watch for signals: {e}")))?;
        let layout = Layout::create(&self.out, self.force)?;
        let setup = Setup::new(self, &layout)?;
        let start = Instant::now();
        let mut nodes = Nodes::default();
        let ran = tokio::select! {
            ran = whole(&setup, &layout, &mut nodes, start, screen) => ran,
            () = shutdown.asked() => Err(Failure::failed("interrupted")
                .hint("the nodes are stopped; the job is not finished")),
        };
        let finished = match ran {
            Ok(finished) => finished,
            Err(failure) => {
                nodes.stop().await;
                return Err(failure);
            }
        };
        let printed = print(&finished, layout.root());
        if let (Ok(outcome), true) = (&printed, setup.keep_nodes) {
            outcome.print(screen);
            screen.say(format_args!(
                "\nThe nodes go on until Ctrl-C. Ask them, in another terminal:\n  \
                 export PARIPASSU_COORDINATOR={} PARIPASSU_IDENTITY={}\n  \
                 paripassu job list",
                nodes.address(),
                layout.identity(setup.modeler.as_str()).display(),
            ));
            shutdown.asked().await;
            nodes.stop().await;
            return Ok(Outcome::silent(outcome.exit()));
        }
        nodes.stop().await;
        printed
    }
}

/// From the first process to the results.
async fn whole(
    setup: &Setup,
    layout: &Layout,
    nodes: &mut Nodes,
    start: Instant,
    screen: &Screen,
) -> Result<Finished, Failure> {
    setup.write_identities(layout)?;
    nodes.start_all(setup, layout, screen).await?;
    let connect = |who: &str| Connect {
        coordinator: nodes.address().to_owned(),
        identity: layout.identity(who),
        coordinator_id: Some(setup.coordinator.clone()),
    };
    let mut modeler = Client::connect(&connect(setup.modeler.as_str())).await?;
    let (contract, summary) = propose(&mut modeler, setup.spec.clone()).await?;
    for party in contract.parties() {
        let mut officer = Client::connect(&connect(party.as_str())).await?;
        let decided = officer
            .decide(
                &contract,
                true,
                "approved in the sandbox",
                Consent::default(),
            )
            .await;
        // A party's own node may have rejected the job by now: watching says so, with its reason.
        if let Err(failure) = decided
            && failure.exit() != Exit::User
        {
            return Err(failure);
        }
    }
    let watched = progress::watch(&mut modeler, &summary.job, None, screen).await?;
    let wall_s = start.elapsed().as_secs_f64();
    if watched.status.job.state != State::Released {
        // what there is of the transcript, for whoever asks why
        results::bundles(setup, layout, &summary.job).await?;
        return Ok(Finished::Unreleased(Box::new(watched)));
    }
    if let Some(overlap) = setup.spec.overlap.clone() {
        let matched = overlap::collect(setup, &overlap, layout, &summary.job, wall_s).await?;
        return Ok(Finished::Matched(Box::new(matched)));
    }
    let metrics = results::collect(setup, layout, &summary.job, wall_s).await?;
    Ok(Finished::Released(Box::new(metrics)))
}
