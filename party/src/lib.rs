//! The party node: an institution's own data, decisions, and part in joint jobs.
//!
//! It dials one stream out to the coordinator and listens on nothing. Proposals arrive over it; a job
//! runs only after every party has approved its contract, and only over data sets and columns that
//! this node's own configuration offers.

mod checkpoints;
mod commit;
pub mod config;
pub mod dataset;
mod handler;
mod openings;
pub mod policy;
mod privacy;
mod retention;
mod run;
pub mod store;
#[cfg(feature = "test-util")]
pub mod testing;

pub use run::{network_spec, sgd_spec};

use std::{path::PathBuf, sync::Arc};

use config::PartyConfig;
use paripassu_service::{
    clock::Clock,
    contract::heads,
    identity::{Identity, IdentityError},
    node::{Node, NodeHandle},
    shutdown::Shutdown,
    store::StoreError,
    transcript::{Transcript, TranscriptError},
    transport::{Settings, Uplink, UplinkConfig},
};
use policy::Keeper;
use tokio::{sync::watch, task::JoinHandle};

/// Why a party node cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its certificate or key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its certificate is of another kind of node.
    #[error("the certificate in {} is of `{got}`, not of a party: ask the consortium for one of kind `party`", dir.display())]
    Kind {
        /// The identity folder.
        dir: PathBuf,
        /// Kind and id.
        got: String,
    },
    /// A folder cannot be made.
    #[error("cannot use the folder {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its transcript cannot be used.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    /// Its database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its database refuses a call.
    #[error(transparent)]
    Database(#[from] store::Failed),
    /// A limit in the configuration is no number that can be written down.
    #[error("the policy in the configuration: {0}")]
    Policy(#[from] paripassu_audit::canonical::CanonicalError),
    /// The policy file is not taken.
    #[error("the policy {} is not taken: {source}", path.display())]
    PolicyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<policy::signed::NotTaken>,
    },
    /// A policy was taken before, and the configuration names none.
    #[error(
        "this party has taken a policy before (in {}), and its configuration names none: name it with `policy`, or \
         take the state folder of another node",
        state.display()
    )]
    PolicyMissing {
        /// Where it is kept.
        state: PathBuf,
    },
    /// The configured coordinator id is none.
    #[error("`coordinator_id` in the configuration: {0}")]
    CoordinatorId(String),
}

/// A running party node.
#[derive(Debug)]
pub struct Running {
    /// To decide on proposals.
    pub handle: NodeHandle,
    /// Whether the stream to the coordinator stands.
    pub connected: watch::Receiver<bool>,
    /// Ends with the node.
    pub task: JoinHandle<()>,
}

/// Starts a party node; it runs until `shutdown`.
///
/// # Errors
/// [`StartError`]. A coordinator that cannot be reached is none: the node keeps dialling.
pub fn serve(config: PartyConfig, shutdown: Shutdown) -> Result<Running, StartError> {
    let identity = Arc::new(Identity::load(&config.identity)?);
    if identity.peer().kind != paripassu_service::NodeKind::Party {
        return Err(StartError::Kind {
            dir: config.identity.clone(),
            got: identity.peer().to_string(),
        });
    }
    for path in [&config.state, &config.results] {
        std::fs::create_dir_all(path).map_err(|source| StartError::Folder {
            path: path.clone(),
            source,
        })?;
    }
    run::outputs::sweep(&config.results);
    let clock = Clock::system();
    let party = identity.peer().id.to_string();
    identity.guard_key(policy::keys::guard(config.clone(), party, clock.clone()));
    let transcript =
        Transcript::open_discarding(&config.state, Arc::clone(&identity), clock.clone(), |job| {
            run::outputs::withdraw(&config.results, job).clean
        })?;
    let store = Arc::new(store::Store::open(&config.state)?);
    let interrupted = store.interrupted(clock.now())?;
    if interrupted > 0 {
        tracing::warn!(
            jobs = interrupted,
            "jobs were running when this node stopped: aborted"
        );
    }
    let keeper = Keeper::open(
        config.clone(),
        identity.peer().id.as_str(),
        Arc::clone(&store),
        Arc::clone(&transcript),
        clock.clone(),
    )?;
    if config.danger_approve_automatically {
        tracing::warn!(
            "danger_approve_automatically: every proposal over this node's data sets is approved"
        );
    }
    let coordinator = config
        .coordinator_id
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|e| StartError::CoordinatorId(format!("{e}")))?;
    let uplink = UplinkConfig {
        address: config.coordinator.clone(),
        coordinator,
        settings: Settings {
            key_patience: std::time::Duration::from_secs(config.key_patience_s),
            ..Settings::default()
        },
    };
    let port = Uplink::start(Arc::clone(&identity), uplink, shutdown.child());
    let config = Arc::new(config);
    let keep = retention::Keep {
        config: Arc::clone(&config),
        store: Arc::clone(&store),
        transcript: Arc::clone(&transcript),
        clock: clock.clone(),
        checkpoints: checkpoints::Checkpoints::new(&config.state, &identity),
    };
    tokio::spawn(keep.run(shutdown.child()));
    let site = run::Site {
        config,
        identity: Arc::clone(&identity),
        clock,
        store,
        set_change: None,
    };
    let (connected_tx, connected) = watch::channel(false);
    let (handle, task) = Node::start(
        identity,
        port,
        heads(),
        Some(Arc::clone(&transcript)),
        |node| handler::PartyHandler {
            site,
            transcript,
            keeper,
            starting: tokio::sync::Mutex::new(()),
            node,
            connected: connected_tx,
        },
        shutdown,
    );
    Ok(Running {
        handle,
        connected,
        task,
    })
}
