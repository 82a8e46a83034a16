//! Until when an answer is of use, told to whoever runs below.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The instant after which nobody waits for the answer any more.
///
/// An instant, not a duration: it shrinks by itself while a call queues, backs off and is tried again.
/// A layer that knows the deadline sets it for everything beneath, for the time of each `call` and
/// `poll` ([`scope`](Self::scope)); layers beneath read it when they are called
/// ([`current`](Self::current)), whatever the request's type is. It does not cross a task, so not a
/// `Buffer` either: there it travels in an HTTP request's extensions, as a value of this type.
///
/// # Examples
///
/// ```
/// use hedgerow_core::Deadline;
/// use std::time::{Duration, Instant};
///
/// let now = Instant::now();
/// let deadline = Deadline::at(now + Duration::from_secs(1));
/// deadline.scope(|| {
///     assert_eq!(Deadline::current(), Some(deadline));
///     // An inner one only ever shortens what is left.
///     Deadline::at(now + Duration::from_secs(9)).scope(|| {
///         assert_eq!(Deadline::current(), Some(deadline));
///     });
/// });
/// assert_eq!(Deadline::current(), None);
/// ```
///
/// # Cost
///
/// A scope is one exchange of a thread-local and its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

thread_local! {
    static CURRENT: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl Deadline {
    /// A deadline at this instant.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// A deadline `patience` from `now`; none if that is further away than the clock can say.
    #[must_use]
    pub fn within(now: Instant, patience: Duration) -> Option<Self> {
        now.checked_add(patience).map(Self)
    }

    /// When it is.
    #[must_use]
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// What is left of it at `now`; zero when it has passed.
    #[must_use]
    pub fn left(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Whether it has passed at `now`.
    #[must_use]
    pub fn has_passed(self, now: Instant) -> bool {
        self.0 <= now
    }

    /// The deadline of the call that is being made or polled on this thread.
    #[must_use]
    #[inline]
    pub fn current() -> Option<Self> {
        CURRENT.get().map(Self)
    }

    /// Runs `f` beneath this deadline, or beneath the one that holds already if that is earlier.
    #[inline]
    pub fn scope<T>(self, f: impl FnOnce() -> T) -> T {
        Self::in_scope(Some(self), f)
    }

    /// Runs `f` beneath this deadline, if there is one: [`scope`](Self::scope).
    #[inline]
    pub fn in_scope<T>(deadline: Option<Self>, f: impl FnOnce() -> T) -> T {
        let _restore = deadline.map(Restore::after);
        // Called in one place: what it returns may be large, and is then put where it stays.
        f()
    }
}

/// Puts the deadline back that held before.
struct Restore(Option<Instant>);

impl Restore {
    fn after(deadline: Deadline) -> Self {
        let outer = CURRENT.get();
        let holds = outer.map_or(deadline.0, |outer| outer.min(deadline.0));
        CURRENT.set(Some(holds));
        Self(outer)
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_a_scope_leaves_no_trace() {
        let deadline = Deadline::at(tokio::time::Instant::now().into_std());
        let _ = std::panic::catch_unwind(|| deadline.scope(|| panic!("on purpose")));
        assert_eq!(Deadline::current(), None);
    }

    #[test]
    fn an_inner_deadline_can_be_earlier_and_is_gone_afterwards() {
        let now = tokio::time::Instant::now().into_std();
        let [early, late] = [1, 2].map(|secs| Deadline::at(now + Duration::from_secs(secs)));
        late.scope(|| {
            early.scope(|| assert_eq!(Deadline::current(), Some(early)));
            assert_eq!(Deadline::current(), Some(late));
        });
    }

    #[test]
    fn what_is_left_ends_at_zero() {
        let now = tokio::time::Instant::now().into_std();
        let deadline = Deadline::within(now, Duration::from_secs(2)).expect("near");
        assert_eq!(deadline.left(now), Duration::from_secs(2));
        assert_eq!(deadline.left(now + Duration::from_secs(3)), Duration::ZERO);
        assert!(deadline.has_passed(now + Duration::from_secs(2)));
        assert_eq!(Deadline::within(now, Duration::MAX), None);
    }
}
