//! Work that loops over rows leaves the reactor here.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

static CLOCK: OnceLock<fn() -> u64> = OnceLock::new();
static SPENT: AtomicU64 = AtomicU64::new(0);

/// From now on, counts what such work takes of its threads by `clock`, a thread's processor time in nanoseconds: for
/// measurements. Only the first call says with which.
pub fn meter(clock: fn() -> u64) {
    let _ = CLOCK.set(clock);
}

/// Nanoseconds counted so far; what a pool of other threads does of it is not.
pub fn metered() -> u64 {
    SPENT.load(Ordering::Relaxed)
}

fn counted<T>(f: impl FnOnce() -> T) -> T {
    let Some(clock) = CLOCK.get() else { return f() };
    let before = clock();
    let out = f();
    SPENT.fetch_add(clock().saturating_sub(before), Ordering::Relaxed);
    out
}

/// Multiplications that take at most some milliseconds: no longer than a reactor may be kept.
const SHORT: usize = 1 << 20;

/// As [`offload`], but short work, of so many multiplications, is done here.
pub(crate) async fn offload_long<T: Send + 'static>(
    multiplications: usize,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    match multiplications <= SHORT {
        true => counted(f),
        false => offload(f).await,
    }
}

/// Runs `f` on the blocking pool and waits for it; a panic in `f` resumes here.
pub(crate) async fn offload<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(move || counted(f)).await {
        Ok(v) => v,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        // the runtime is shutting down: this task is about to be dropped at its next await
        Err(_) => std::future::pending().await,
    }
}
