//! Time as an argument: the real clock, and one that tests set.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Seconds since 1970.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `now` until it is set.
    pub fn fixed(now: i64) -> Self {
        Self(Source::Set(Arc::new(AtomicI64::new(now))))
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        match &self.0 {
            Source::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .and_then(|d| i64::try_from(d.as_secs()).ok())
                .unwrap_or(0),
            Source::Set(now) => now.load(Ordering::SeqCst),
        }
    }

    /// Moves a fixed clock and all its clones; the machine's clock stays as it is.
    pub fn set(&self, now: i64) {
        if let Source::Set(cell) = &self.0 {
            cell.store(now, Ordering::SeqCst);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_fixed_clock_share_one_time() {
        let clock = Clock::fixed(5);
        let other = clock.clone();
        clock.set(9);
        assert_eq!(other.now(), 9);
        assert!(Clock::system().now() > 1_600_000_000);
    }
}
