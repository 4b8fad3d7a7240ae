//! `paripassu helper`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use paripassu_proto::{NodeId, NodeKind};
use paripassu_service::{
    clock::Clock,
    contract,
    dealing::Dealing,
    identity::Identity,
    node::{HelperHandler, JobInfo, Node, NodeHandler, Proposal, Reporter, RunError, StateChange},
    shutdown::Shutdown,
    signing::Decision,
    transcript::Transcript,
    transport::{JobChannel, Settings, Uplink, UplinkConfig},
};
use serde::Deserialize;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    read_text,
    serve::{Ready, Serving},
};
use crate::{failure::Failure, outcome::Outcome, screen::Screen};

/// Run a helper node, which deals randomness and sees no data.
#[derive(Debug, Subcommand)]
pub(crate) enum Helper {
    /// Serve until SIGINT or SIGTERM; dials out, listens on nothing
    Serve(Serve),
}

/// Arguments of `helper serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
A helper knows the masks of a job, so nobody who holds data in it may run it.

Examples:
  paripassu helper serve --config helper.toml

helper.toml:
  coordinator = \"coordinator.example:7443\"
  identity = \"identity\"          # of kind helper: `paripassu pki request --as helper/ID`
  state = \"state\"                # transcript and bundles, kept across restarts")]
pub(crate) struct Serve {
    #[command(flatten)]
    serving: Serving,
}

/// `helper.toml`. Relative paths are relative to the file's folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HelperConfig {
    /// `host:port` of the coordinator.
    pub(crate) coordinator: String,
    /// Node id of the coordinator, if only this one will do.
    #[serde(default)]
    pub(crate) coordinator_id: Option<NodeId>,
    /// Folder with `node.crt`, `node.key`, `ca.crt` and perhaps `crl.pem`.
    pub(crate) identity: PathBuf,
    /// Folder of this node's transcript and bundles.
    #[serde(default = "state")]
    pub(crate) state: PathBuf,
}

fn state() -> PathBuf {
    "state".into()
}

impl HelperConfig {
    /// Reads a configuration file.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let mut config: Self = toml::from_str(&read_text(path)?)
            .map_err(|e| Failure::user(format!("{}: {e}", path.display())))?;
        let base = path.parent().unwrap_or(Path::new(""));
        for path in [&mut config.identity, &mut config.state] {
            *path = base.join(&*path);
        }
        Ok(config)
    }
}

impl Helper {
    pub(crate) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let Self::Serve(serve) = self;
        serve.run(screen).await
    }
}

impl Serve {
    async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let config = HelperConfig::load(&self.serving.config)?;
        let shutdown = self.serving.begin()?;
        let address = config.coordinator.clone();
        let (node, mut connected, task) = start(config, &shutdown)?;
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
        let ended = task.await;
        self.serving.end()?;
        ended.map_err(|e| Failure::ours(format!("the node failed: {e}")))?;
        let json = serde_json::json!({ "node": node, "stopped": true });
        Outcome::new(&json, "")
    }
}

fn start(
    config: HelperConfig,
    shutdown: &Shutdown,
) -> Result<(String, watch::Receiver<bool>, JoinHandle<()>), Failure> {
    let identity = Arc::new(Identity::load(&config.identity)?);
    let peer = identity.peer().clone();
    if peer.kind != NodeKind::Helper {
        return Err(Failure::user(format!(
            "the certificate in {} is of {peer}, not of a helper",
            config.identity.display()
        ))
        .hint("ask the consortium for one: `paripassu pki request --as helper/ID`"));
    }
    std::fs::create_dir_all(&config.state).map_err(|e| Failure::file("make", &config.state, &e))?;
    let transcript = Transcript::open(&config.state, Arc::clone(&identity), Clock::system())
        .map_err(Failure::user)?;
    let uplink = UplinkConfig {
        address: config.coordinator,
        coordinator: config.coordinator_id,
        settings: Settings::default(),
    };
    let port = Uplink::start(Arc::clone(&identity), uplink, shutdown.child());
    let (tell, connected) = watch::channel(false);
    let (_, task) = Node::start(
        identity,
        port,
        contract::heads(),
        Some(transcript),
        |_| Linked {
            inner: HelperHandler::new(Arc::new(Dealing)),
            connected: tell,
        },
        shutdown.clone(),
    );
    Ok((peer.to_string(), connected, task))
}

/// A helper that says whether its stream stands.
struct Linked {
    inner: HelperHandler,
    connected: watch::Sender<bool>,
}

impl NodeHandler for Linked {
    async fn on_proposal(&self, proposal: Proposal) {
        self.inner.on_proposal(proposal).await;
    }

    async fn on_decision(&self, by: paripassu_proto::Peer, decision: Decision) {
        self.inner.on_decision(by, decision).await;
    }

    async fn on_state(&self, change: StateChange) {
        self.inner.on_state(change).await;
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
        self.inner.run(job, channel, reporter).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused_and_paths_are_relative_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("helper.toml");
        std::fs::write(&path, "coordinator = \"c:1\"\nidentity = \"identity\"\n").unwrap();
        let config = HelperConfig::load(&path).unwrap();
        assert_eq!(config.identity, dir.path().join("identity"));
        assert_eq!(config.state, dir.path().join("state"));
        std::fs::write(&path, "coordinator = \"c:1\"\nidentiy = \"identity\"\n").unwrap();
        let error = HelperConfig::load(&path).unwrap_err();
        assert!(error.message().contains("identiy"), "{error}");
    }
}
