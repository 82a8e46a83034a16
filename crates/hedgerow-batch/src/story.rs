//! What is counted and told of a layer's items.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow_core::Recorder;

use crate::books::Books;
use crate::event::BatchEvent;
use crate::quiet::caught;

/// Whoever is told, if anybody is.
pub(crate) type Listener = Arc<dyn Recorder<BatchEvent> + Send + Sync>;

/// The books of a layer and its recorder.
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) books: Arc<Books>,
    pub(crate) listener: Option<Listener>,
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

    pub(crate) fn answered(&self, entered: Instant) {
        self.books.answered();
        self.tell(|| BatchEvent::Answered {
            elapsed: since(entered),
        });
    }

    pub(crate) fn failed(&self, entered: Instant) {
        self.books.failed();
        self.tell(|| BatchEvent::Failed {
            elapsed: since(entered),
        });
    }

    pub(crate) fn cancelled(&self, entered: Instant, dispatched: bool) {
        self.books.cancelled(dispatched);
        self.tell(|| BatchEvent::Cancelled {
            elapsed: since(entered),
            dispatched,
        });
    }
}

/// tokio's clock.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}
