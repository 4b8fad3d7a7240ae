//! A bank that does not follow the job: for tests.

use std::sync::OnceLock;

static HARM: OnceLock<f64> = OnceLock::new();

/// From here on this process's banks multiply their updates by this after they are cut, and prove them as if they were
/// theirs.
pub fn do_harm(by: f64) {
    HARM.get_or_init(|| by);
}

pub(crate) fn harm() -> Option<f64> {
    HARM.get().copied()
}
