//! Work that loops over rows leaves the reactor here.

/// Runs `f` on the blocking pool and waits for it; a panic in `f` resumes here.
pub(crate) async fn offload<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(f).await {
        Ok(v) => v,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        // the runtime is shutting down: this task is about to be dropped at its next await
        Err(_) => std::future::pending().await,
    }
}
