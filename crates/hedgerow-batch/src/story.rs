//! What is counted and told of a layer's items.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow_core::{Recorder, caught};

use crate::books::Books;
use crate::event::BatchEvent;

/// Whoever is told, if anybody is.
pub(crate) type Listener = Arc<dyn Recorder<BatchEvent> + Send + Sync>;

/// The books of a layer and its recorder.
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) books: Arc<Books>,
    pub(crate) listener: Option<Listener>,
    /// Since when nanoseconds are counted.
    pub(crate) epoch: Instant,
}

impl Story {
    /// Tells the recorder what `event` makes, if it wants to know.
    #[inline]
    pub(crate) fn tell(&self, event: impl FnOnce() -> BatchEvent) {
        if let Some(listener) = &self.listener {
            // Also of a type of its own, which may not catch its panics: it loses its event.
            let _ = caught(|| {
                if listener.enabled() {
                    listener.record(&event());
                }
            });
        }
    }

    /// An instant in nanoseconds since the epoch: five hundred years at most.
    #[inline]
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_nanos() as u64
    }

    /// The instant of so many nanoseconds since the epoch.
    pub(crate) fn instant(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    fn since(&self, entered: u64) -> Duration {
        Duration::from_nanos(self.nanos(now()).saturating_sub(entered))
    }

    pub(crate) fn answered(&self, entered: u64) {
        self.books.answered();
        self.tell(|| BatchEvent::Answered {
            elapsed: self.since(entered),
        });
    }

    pub(crate) fn failed(&self, entered: u64) {
        self.books.failed();
        self.tell(|| BatchEvent::Failed {
            elapsed: self.since(entered),
        });
    }

    pub(crate) fn cancelled(&self, entered: u64, dispatched: bool) {
        self.books.cancelled(dispatched);
        self.tell(|| BatchEvent::Cancelled {
            elapsed: self.since(entered),
            dispatched,
        });
    }
}

/// tokio's clock.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
