//! `paripassu party`.

use clap::{Args, Subcommand};
use paripassu_party::{StartError, config::PartyConfig};

use super::serve::{Ready, Serving};
use crate::{failure::Failure, outcome::Outcome, screen::Screen};

/// Run a party node beside an institution's data.
#[derive(Debug, Subcommand)]
pub(crate) enum Party {
    /// Serve until SIGINT or SIGTERM; dials out, listens on nothing
    Serve(Serve),
}

/// Arguments of `party serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu party serve --config bank.toml
  paripassu party serve --config bank.toml --ready-file bank.json    written once connected

bank.toml:
  coordinator = \"coordinator.example:7443\"
  identity = \"identity\"          # node.crt, node.key, ca.crt, perhaps crl.pem
  state = \"state\"                # jobs, kept across restarts
  results = \"results\"            # one folder per released job

  [[dataset]]
  name = \"applications\"          # as jobs name it
  path = \"applications.csv\"
  id = \"id\"
  label = \"y\"                    # at the party with the outcome: 1 is bad
  numeric = [\"income\"]           # only columns listed here can ever take part
  categorical = [\"channel\"]")]
pub(crate) struct Serve {
    #[command(flatten)]
    serving: Serving,
}

impl Party {
    pub(crate) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let Self::Serve(serve) = self;
        serve.run(screen).await
    }
}

impl Serve {
    async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let config = PartyConfig::load(&self.serving.config).map_err(Failure::user)?;
        let address = config.coordinator.clone();
        let shutdown = self.serving.begin()?;
        let running = paripassu_party::serve(config, shutdown.clone()).map_err(refused)?;
        let node = running.handle.peer().to_string();
        let mut connected = running.connected.clone();
        tokio::select! {
            stands = connected.wait_for(|connected| *connected) => {
                if stands.is_ok() {
                    self.serving.ready(&Ready {
                        address: &address,
                        node: node.clone(),
                        pid: std::process::id(),
                    })?;
                    screen.say(format_args!(
                        "{node} is connected to {address}; stop it with Ctrl-C"
                    ));
                }
            }
            () = shutdown.asked() => {}
        }
        let ended = running.task.await;
        self.serving.end()?;
        ended.map_err(|e| Failure::ours(format!("the node failed: {e}")))?;
        if !shutdown.is_asked() {
            return Err(Failure::later("the node's connection has ended for good")
                .hint("the log above says why; another process may use the same certificate"));
        }
        let json = serde_json::json!({ "node": node, "stopped": true });
        Outcome::new(&json, "")
    }
}

fn refused(error: StartError) -> Failure {
    match error {
        StartError::Database(_) => Failure::ours(error),
        _ => Failure::user(error),
    }
}
