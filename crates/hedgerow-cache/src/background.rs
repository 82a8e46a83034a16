//! What goes on behind callers, bounded in time and number.

use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::flight::Mission;

/// The way into a set of tasks, which is gone with its last [`Owner`]: tasks may hold it.
#[derive(Clone)]
pub(crate) struct Background {
    shared: Weak<Shared>,
}

/// Keeps a set of tasks. No task may hold it.
#[derive(Clone)]
pub(crate) struct Owner {
    _shared: Arc<Shared>,
}

struct Shared {
    at_most: usize,
    patience: Duration,
    set: Mutex<JoinSet<()>>,
    /// What runs, by the hash of its key: two keys that share one wait for each other, which is no harm.
    running: Arc<Mutex<HashSet<u64>>>,
}

/// Why a task was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// It runs already.
    Runs,
    /// As many run as there may be.
    Full,
    /// There is no runtime to run on, or nobody left to run for.
    NoRuntime,
}

/// What became of the wish to ask early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prefetch {
    /// The service is asked.
    Begun,
    /// It is asked already.
    Runs,
    /// The budget denied it.
    Denied,
    /// As many run as there may be.
    Full,
    /// The request has no key.
    NoKey,
    /// There is no tokio runtime to run on.
    NoRuntime,
}

impl From<Result<(), NotBegun>> for Prefetch {
    fn from(begun: Result<(), NotBegun>) -> Self {
        match begun {
            Ok(()) => Self::Begun,
            Err(NotBegun::Runs) => Self::Runs,
            Err(NotBegun::Full) => Self::Full,
            Err(NotBegun::NoRuntime) => Self::NoRuntime,
        }
    }
}

impl Background {
    pub(crate) fn new(at_most: usize, patience: Duration) -> (Self, Owner) {
        let shared = Arc::new(Shared {
            at_most,
            patience,
            set: Mutex::default(),
            running: Arc::default(),
        });
        let background = Self {
            shared: Arc::downgrade(&shared),
        };
        (background, Owner { _shared: shared })
    }

    /// Runs a task that is dropped after the set's patience, unless one of that `key` runs.
    pub(crate) fn run(&self, key: u64, task: impl FnOnce() -> Mission<()>) -> Result<(), NotBegun> {
        struct Running(Arc<Mutex<HashSet<u64>>>, u64);
        impl Drop for Running {
            fn drop(&mut self) {
                self.0.lock().remove(&self.1);
            }
        }
        let shared = self.shared.upgrade().ok_or(NotBegun::NoRuntime)?;
        let runtime = Handle::try_current().map_err(|_| NotBegun::NoRuntime)?;
        let running = {
            let mut running = shared.running.lock();
            if running.contains(&key) {
                return Err(NotBegun::Runs);
            }
            if running.len() >= shared.at_most {
                return Err(NotBegun::Full);
            }
            running.insert(key);
            Running(shared.running.clone(), key)
        };
        let mut task = task();
        let patience = shared.patience;
        let whole = async move {
            let _running = running;
            let polled = std::future::poll_fn(|cx| {
                // A panic is its own end and nobody else's. The panic hook has reported it.
                catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))).unwrap_or(Poll::Ready(()))
            });
            let _ = tokio::time::timeout(patience, polled).await;
        };
        let mut set = shared.set.lock();
        while set.try_join_next().is_some() {}
        set.spawn_on(whole, &runtime);
        Ok(())
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        let shared = self.shared.upgrade();
        shared.map_or(0, |shared| shared.running.lock().len())
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.shared.upgrade();
        let bounds = shared.map(|shared| (shared.at_most, shared.patience));
        f.debug_tuple("Background").field(&bounds).finish()
    }
}
