//! `paripassu coordinator`.

use std::sync::Arc;

use clap::{Args, Subcommand};
use paripassu_coordinator::{Config, CoordinatorError, Parts};
use paripassu_service::{contract, dealing::Dealing, transport::server::ServeError};

use super::serve::{Ready, Serving};
use crate::{failure::Failure, outcome::Outcome, screen::Screen};

/// Run the coordinator, which relays what it cannot read.
#[derive(Debug, Subcommand)]
pub(crate) enum Coordinator {
    /// Serve until SIGINT or SIGTERM
    Serve(Serve),
}

/// Arguments of `coordinator serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu coordinator serve --config coordinator.toml
  paripassu coordinator serve --config coordinator.toml --ready-file coordinator.json --log debug

coordinator.toml:
  listen = \"0.0.0.0:7443\"        # port 0 takes a free one
  identity = \"identity\"          # node.crt, node.key, ca.crt, perhaps crl.pem
  state = \"state\"                # jobs, kept across restarts
  helper = true                  # also deal correlated randomness, for jobs that name this node")]
pub(crate) struct Serve {
    #[command(flatten)]
    serving: Serving,
}

impl Coordinator {
    pub(crate) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let Self::Serve(serve) = self;
        serve.run(screen).await
    }
}

impl Serve {
    async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let config = Config::load(&self.serving.config).map_err(Failure::user)?;
        let shutdown = self.serving.begin()?;
        let parts = Parts::new(contract::heads(), Arc::new(Dealing));
        let running = paripassu_coordinator::Coordinator::serve(config, parts, shutdown)
            .await
            .map_err(refused)?;
        let address = running.address().to_string();
        let node = running.peer().to_string();
        self.serving.ready(&Ready {
            address: &address,
            node: node.clone(),
            pid: std::process::id(),
        })?;
        screen.say(format_args!(
            "{node} serves on {address}; stop it with Ctrl-C"
        ));
        let ended = running.wait().await.map_err(refused);
        self.serving.end()?;
        ended?;
        let json = serde_json::json!({ "node": node, "address": address, "stopped": true });
        Outcome::new(&json, "")
    }
}

fn refused(error: CoordinatorError) -> Failure {
    match error {
        CoordinatorError::Serve(ServeError::Stopped { .. })
        | CoordinatorError::Load(_)
        | CoordinatorError::Tls(_) => Failure::ours(error),
        _ => Failure::user(error),
    }
}
