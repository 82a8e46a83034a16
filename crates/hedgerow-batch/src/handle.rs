//! Reading a layer's counts, and ending its services.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hedgerow_latency::Snapshot;
use parking_lot::Mutex;

use crate::books::Books;
use crate::event::Reason;
use crate::shared::Control;
use crate::sizes::BatchSizes;

/// A handle on a batching layer: its counts, and the ends of its services. Keeps no task alive.
#[derive(Clone)]
pub struct BatchHandle {
    hub: Arc<Hub>,
}

/// The services of a layer.
pub(crate) struct Hub {
    books: Arc<Books>,
    services: Mutex<Services>,
}

struct Services {
    made: Vec<Weak<dyn Control>>,
    /// What was done to all services, and is to be done to later ones.
    closed: bool,
}

/// What a batching layer did since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchStats {
    /// Items that came in: answered + failed + cancelled + those that are open.
    pub entered: u64,
    /// Items that were answered.
    pub answered: u64,
    /// Items that got an error.
    pub failed: u64,
    /// Items whose caller left first.
    pub cancelled: u64,
    /// Those of them that had been sent.
    pub cancelled_sent: u64,
    /// Items that wait to be sent now.
    pub queued: usize,
    /// Batches that were sent.
    pub batches: u64,
    /// Batches that failed as a whole.
    pub failed_batches: u64,
    /// Batches on which the backend panicked.
    pub panicked_batches: u64,
    /// Batches that took longer than the timeout.
    pub timed_out_batches: u64,
    /// Batches that were dropped because all of their callers had left.
    pub abandoned_batches: u64,
    /// Items that got the answer of an identical one.
    pub twins: u64,
    /// Items that the backend did not answer.
    pub missing: u64,
    /// Answers of a [`from_vec`](crate::from_vec) that no request asked for.
    pub extra: u64,
    /// Answers to items that had ended already.
    pub late: u64,
    reasons: [u64; Reason::ALL.len()],
}

impl BatchStats {
    /// Items that are neither answered nor failed nor cancelled.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.entered - self.answered - self.failed - self.cancelled
    }

    /// Batches that were sent for this reason.
    #[must_use]
    pub const fn sent_for(&self, reason: Reason) -> u64 {
        self.reasons[reason as usize]
    }
}

impl Hub {
    pub(crate) fn new(books: Arc<Books>) -> Arc<Self> {
        Arc::new(Self {
            books,
            services: Mutex::new(Services {
                made: Vec::new(),
                closed: false,
            }),
        })
    }

    pub(crate) const fn books(&self) -> &Arc<Books> {
        &self.books
    }

    pub(crate) fn add<C: Control + 'static>(&self, service: &Arc<C>) {
        let weak: Weak<C> = Arc::downgrade(service);
        let mut services = self.services.lock();
        services.made.retain(|made| made.strong_count() > 0);
        services.made.push(weak);
        let closed = services.closed;
        drop(services);
        if closed {
            service.drain();
        }
    }

    fn services(&self) -> Vec<Arc<dyn Control>> {
        let services = self.services.lock();
        services.made.iter().filter_map(Weak::upgrade).collect()
    }

    fn close(&self) -> Vec<Arc<dyn Control>> {
        self.services.lock().closed = true;
        self.services()
    }
}

impl BatchHandle {
    pub(crate) const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// What the layer did since it was made.
    #[must_use]
    pub fn stats(&self) -> BatchStats {
        let tally = self.hub.books.tally();
        BatchStats {
            entered: tally.entered,
            answered: tally.answered,
            failed: tally.failed,
            cancelled: tally.cancelled,
            cancelled_sent: tally.cancelled_sent,
            queued: self
                .hub
                .services()
                .iter()
                .map(|service| service.queued())
                .sum(),
            batches: tally.batches.iter().sum(),
            failed_batches: tally.failed_batches,
            panicked_batches: tally.panicked,
            timed_out_batches: tally.timed_out,
            abandoned_batches: tally.abandoned,
            twins: tally.twins,
            missing: tally.missing,
            extra: tally.extra,
            late: tally.late,
            reasons: tally.batches,
        }
    }

    /// How large batches were.
    #[must_use]
    pub fn sizes(&self) -> BatchSizes {
        self.hub.books.sizes.read()
    }

    /// How long items waited until they were sent.
    #[must_use]
    pub fn waits(&self) -> Snapshot {
        self.hub.books.waits.total()
    }

    /// Sends everything that waits now, whatever the policy says; true once it is sent or has left, false
    /// if that takes longer than `within`.
    ///
    /// What comes meanwhile waits as ever. Dropping the future changes nothing of that.
    pub async fn flush(&self, within: Duration) -> bool {
        let services: Vec<_> = self
            .hub
            .services()
            .into_iter()
            .map(|service| (service.flush(), service))
            .collect();
        let all = async {
            for (mark, service) in services {
                wait(&*service, |service| service.is_flushed(mark)).await;
            }
        };
        tokio::time::timeout(within, all).await.is_ok()
    }

    /// Takes nothing more, sends everything that waits and lets the backend finish; what is not
    /// done after `within` is aborted. True if everything was done.
    ///
    /// For good: `poll_ready` fails with [`BatchError::Closed`](crate::BatchError::Closed), also of
    /// services that the layer makes later. If the future is dropped, the rest is not aborted.
    pub async fn drain(&self, within: Duration) -> bool {
        let services = self.hub.close();
        for service in &services {
            service.drain();
        }
        let all = async {
            for service in &services {
                wait(&**service, |service| service.is_over()).await;
            }
        };
        if tokio::time::timeout(within, all).await.is_ok() {
            return true;
        }
        self.abort().await;
        false
    }

    /// Takes nothing more, and drops what waits and what the backend does: everybody gets
    /// [`BatchError::Aborted`](crate::BatchError::Aborted). Ends when the task has ended.
    ///
    /// For good, as [`drain`](Self::drain). What waits is aborted by the call already, what is in flight by
    /// the task.
    pub async fn abort(&self) {
        let services = self.hub.close();
        for service in &services {
            service.abort();
        }
        for service in &services {
            wait(&**service, |service| service.is_over()).await;
        }
    }
}

/// Waits until something is so, which it may become whenever items move.
async fn wait(service: &dyn Control, is_so: impl Fn(&dyn Control) -> bool) {
    loop {
        let mut moved = std::pin::pin!(service.moved().notified());
        moved.as_mut().enable();
        if is_so(service) {
            return;
        }
        moved.await;
    }
}

impl fmt::Debug for BatchHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BatchHandle").field(&self.stats()).finish()
    }
}
