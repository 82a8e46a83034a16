//! Which dispatch of a call this is, told to whoever runs below.

use std::cell::Cell;
use std::fmt;

/// One dispatch of a call to the inner service: the primary, or an extra copy of it.
///
/// The primary has index 0; extra copies count from 1 in the order in which they are sent. Under
/// the hedge layer's `.http()` it stands in the extensions of every extra copy, so that a router
/// below can choose another endpoint and a limiter a lower class. For requests without extensions
/// [`Attempt::current`] tells the same to any code that runs inside the copy's `call` or `poll`.
///
/// # Examples
///
/// ```
/// use hedgerow_core::Attempt;
///
/// assert!(!Attempt::PRIMARY.is_extra());
/// let second = Attempt::new(1);
/// let seen = second.scope(Attempt::current);
/// assert_eq!(seen, second);
/// assert_eq!(Attempt::current(), Attempt::PRIMARY);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Attempt {
    index: u32,
}

thread_local! {
    static CURRENT: Cell<u32> = const { Cell::new(0) };
    static DISCARDING: Cell<bool> = const { Cell::new(false) };
}

impl Attempt {
    /// The first dispatch of a call.
    pub const PRIMARY: Self = Self { index: 0 };

    /// The attempt with this index: 0 is the primary.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self { index }
    }

    /// 0 for the primary, 1 for the first extra copy, and so on.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Whether this is a copy beyond the primary.
    #[must_use]
    pub const fn is_extra(self) -> bool {
        self.index > 0
    }

    /// The attempt in whose [`scope`](Self::scope) this thread runs, the primary outside of any.
    ///
    /// It does not travel to other tasks: a service that hands the request to a worker (tower's
    /// `Buffer`) is seen as a primary there.
    #[must_use]
    #[inline]
    pub fn current() -> Self {
        Self {
            index: CURRENT.get(),
        }
    }

    /// Runs `f` with this attempt as the [current](Self::current) one of this thread.
    ///
    /// The one before is put back also when `f` panics.
    pub fn scope<T>(self, f: impl FnOnce() -> T) -> T {
        struct Restore(u32);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _restore = Restore(CURRENT.replace(self.index));
        f()
    }

    /// Runs `f`, which drops attempts that lost a race, so that whatever is dropped can tell.
    ///
    /// Used by layers that race. Not used when a caller leaves: then everything is to end at once.
    pub fn discard_losers<T>(f: impl FnOnce() -> T) -> T {
        struct Restore(bool);
        impl Drop for Restore {
            fn drop(&mut self) {
                DISCARDING.set(self.0);
            }
        }
        let _restore = Restore(DISCARDING.replace(true));
        f()
    }

    /// Whether what is being dropped on this thread lost a race, in
    /// [`discard_losers`](Self::discard_losers).
    #[must_use]
    pub fn lost_a_race() -> bool {
        DISCARDING.get()
    }
}

/// The index: `0` for the primary.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.index.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Attempt;

    #[test]
    fn a_panic_inside_a_scope_leaves_no_trace() {
        let _ = std::panic::catch_unwind(|| Attempt::new(3).scope(|| panic!("on purpose")));
        assert_eq!(Attempt::current(), Attempt::PRIMARY);
    }

    #[test]
    fn scopes_nest() {
        Attempt::new(1).scope(|| {
            Attempt::new(2).scope(|| assert_eq!(Attempt::current().index(), 2));
            assert_eq!(Attempt::current().index(), 1);
        });
    }
}
