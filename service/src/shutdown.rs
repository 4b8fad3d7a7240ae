//! One token that every task of a process watches.

use tokio_util::sync::CancellationToken;

/// Asks all holders to stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Not yet asked.
    pub fn new() -> Self {
        Self::default()
    }

    /// Is asked by SIGINT or SIGTERM.
    ///
    /// # Errors
    /// When the process may not watch signals.
    pub fn on_signals() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let shutdown = Self::new();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let token = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = token.asked() => {}
            }
            token.ask();
        });
        Ok(shutdown)
    }

    /// Asks everyone to stop.
    pub fn ask(&self) {
        self.0.cancel();
    }

    /// Whether stopping was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until stopping is asked for.
    pub async fn asked(&self) {
        self.0.cancelled().await;
    }

    /// A token that this one asks too, but not the other way round.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}
