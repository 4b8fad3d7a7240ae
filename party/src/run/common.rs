//! What every part of a run needs.

use paripassu_protocol::abort::Abort;

/// Turns this party's own error, which names file, row or column, into an abort.
pub(crate) fn own<E: std::fmt::Display>(e: E) -> Abort {
    Abort::Input(e.to_string())
}

/// Runs `f` on the blocking pool; a panic resumes here.
pub(super) async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(f).await {
        Ok(v) => v,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => std::future::pending().await,
    }
}
