//! What time it is, for answers that outlive the process.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A moment in milliseconds since the Unix epoch: what an entry's ages are counted by, also on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// So many milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// So much later; the end of time if that is beyond it.
    #[must_use]
    pub const fn after(self, time: Duration) -> Self {
        let millis = time.as_millis();
        if millis > u64::MAX as u128 {
            return Self(u64::MAX);
        }
        Self(self.0.saturating_add(millis as u64))
    }

    /// How long this is after `earlier`; zero if it is before it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The wall clock, read once: it goes on by tokio's clock, so it never jumps, and stands still in tests that
/// pause that.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Stamp,
    start: Instant,
}

impl Clock {
    /// Begins at the wall clock's time.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the age of what is on disk is wall-clock time; read once, and tests hand in a time of their own"
    )]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self::at(Stamp::default().after(now.unwrap_or_default()))
    }

    /// Begins at this time.
    #[must_use]
    pub fn at(now: Stamp) -> Self {
        Self {
            epoch: now,
            start: Instant::now(),
        }
    }

    /// What time it is.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Stamp {
        let passed = Instant::now().saturating_duration_since(self.start);
        // Not by `as_millis`, which is a division of 128 bits.
        let millis = passed.as_secs() * 1_000 + u64::from(passed.subsec_millis());
        Stamp(self.epoch.0.saturating_add(millis))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
