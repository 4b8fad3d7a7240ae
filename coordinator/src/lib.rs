//! The coordinator: registry of jobs, their life cycle, the relay, and optionally the helper.
//!
//! It sees contracts, decisions, steps and sizes; never data, keys or the contents of frames. It may
//! refuse to carry something, and every node would notice; it cannot make a node start a job that not
//! all parties have approved, since each node verifies their signatures itself.

mod calls;
mod config;
mod engine;
mod job;
mod store;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use paripassu_proto::{HeadReader, Peer};
use paripassu_service::{
    clock::Clock,
    identity::{Identity, IdentityError},
    node::{HelperHandler, HelperRunner, Node},
    shutdown::Shutdown,
    store::StoreError,
    tls::{self, TlsError},
    transcript::{Transcript, TranscriptError},
    transport::{
        Hub, Tap,
        server::{self, ServeError},
    },
};
use tokio::task::JoinHandle;

pub use config::{Config, ConfigError, Deadlines};
pub use store::LoadError;

use engine::Engine;

/// Why a coordinator does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoordinatorError {
    /// Its certificate or key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The certificate is of another kind.
    #[error(
        "the identity in {dir} is {got}'s; a coordinator needs a certificate of kind coordinator"
    )]
    Kind {
        /// Where it lies.
        dir: String,
        /// Whose it is.
        got: Peer,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database holds something unreadable.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The transcript cannot be opened.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    /// The state directory cannot be made.
    #[error("cannot make the state directory {dir}: {source}")]
    State {
        /// Which.
        dir: String,
        /// The system's words.
        source: std::io::Error,
    },
}

/// What a coordinator is made of beside its configuration.
pub struct Parts {
    /// Reads the head out of a contract.
    pub heads: HeadReader,
    /// Deals randomness when the configuration says that this coordinator is the helper.
    pub helper: Arc<dyn HelperRunner>,
    /// The time.
    pub clock: Clock,
    /// Whether it keeps a transcript: off in measurements of what that costs. Nodes with and without one
    /// cannot work together.
    pub transcript: bool,
    /// Sees relayed frames; none but in tests.
    pub tap: Option<Arc<dyn Tap>>,
}

impl Parts {
    /// The machine's clock, no tap.
    pub fn new(heads: HeadReader, helper: Arc<dyn HelperRunner>) -> Self {
        Self {
            heads,
            helper,
            clock: Clock::system(),
            transcript: true,
            tap: None,
        }
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}

/// A coordinator.
#[derive(Debug)]
pub struct Coordinator;

/// A running coordinator.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    peer: Peer,
    hub: Hub,
    shutdown: Shutdown,
    server: JoinHandle<Result<(), ServeError>>,
    tasks: Vec<JoinHandle<()>>,
    transcript: Option<Arc<Transcript>>,
}

impl Coordinator {
    /// Starts serving; returns once the address is bound. Stops when `shutdown` is asked for.
    ///
    /// # Errors
    /// Says in plain words what keeps it from starting.
    pub async fn serve(
        config: Config,
        parts: Parts,
        shutdown: Shutdown,
    ) -> Result<Running, CoordinatorError> {
        let identity = Arc::new(Identity::load(&config.identity)?);
        let peer = identity.peer().clone();
        if peer.kind != paripassu_proto::NodeKind::Coordinator {
            let dir = config.identity.display().to_string();
            return Err(CoordinatorError::Kind { dir, got: peer });
        }
        std::fs::create_dir_all(&config.state).map_err(|source| CoordinatorError::State {
            dir: config.state.display().to_string(),
            source,
        })?;
        let settings = config.settings();
        // the port first: a second coordinator must not touch the database of the first
        let (listener, address) = server::listen(&config.listen).await?;
        let tls = tls::server(&identity, &settings.suites)?;
        let stop = shutdown.child();
        let (hub, events) = Hub::new(
            peer.clone(),
            identity.trust().clone(),
            settings.clone(),
            parts.tap,
            stop.clone(),
        );
        let transcript = match parts.transcript {
            true => Some(Transcript::open(
                &config.state,
                Arc::clone(&identity),
                parts.clock.clone(),
            )?),
            false => None,
        };
        let engine = Engine::open(
            &config,
            peer.clone(),
            Arc::clone(&identity),
            parts.heads.clone(),
            parts.clock,
            transcript.clone(),
            hub.clone(),
        )?;
        let mut tasks = vec![tokio::spawn(Arc::clone(&engine).run(events, stop.clone()))];
        if config.helper {
            let port = hub.attach_local();
            let runner = parts.helper;
            let (_, task) = Node::start(
                Arc::clone(&identity),
                port,
                parts.heads,
                transcript.clone(),
                |_| HelperHandler::new(runner),
                stop.clone(),
            );
            tasks.push(task);
        }
        let routes = tonic::service::Routes::new(hub.service()).add_service(calls::service(engine));
        let serving = stop.clone();
        let server =
            tokio::spawn(
                async move { server::serve(listener, tls, routes, &settings, serving).await },
            );
        tracing::info!(%address, %peer, helper = config.helper, "coordinator serving");
        Ok(Running {
            address,
            peer,
            hub,
            shutdown: stop,
            server,
            tasks,
            transcript,
        })
    }
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who it is.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Its relay.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Asks it to stop and waits until it has, for a while.
    ///
    /// # Errors
    /// When the server had failed.
    pub async fn stop(self) -> Result<(), CoordinatorError> {
        self.shutdown.ask();
        self.finish().await
    }

    /// Serves until stopping is asked for.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn wait(self) -> Result<(), CoordinatorError> {
        self.shutdown.asked().await;
        self.finish().await
    }

    async fn finish(self) -> Result<(), CoordinatorError> {
        let Self {
            server,
            tasks,
            transcript,
            ..
        } = self;
        for task in tasks {
            if tokio::time::timeout(Duration::from_secs(5), task)
                .await
                .is_err()
            {
                tracing::warn!("a task did not stop in time");
            }
        }
        if let Some(transcript) = transcript {
            transcript.close();
        }
        let abort = server.abort_handle();
        match tokio::time::timeout(Duration::from_secs(3), server).await {
            Ok(Ok(served)) => Ok(served?),
            Ok(Err(_)) => Ok(()),
            Err(_) => {
                // clients that hold their connections open are cut off
                abort.abort();
                Ok(())
            }
        }
    }
}
