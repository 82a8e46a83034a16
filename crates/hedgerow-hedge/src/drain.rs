//! Losers that are allowed to finish.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::channel::oneshot;
use hedgerow_core::Attempt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tower_layer::Layer;
use tower_service::Service;

use crate::error::BuildError;

/// Lets attempts that lost a race finish in the background, instead of dropping them.
///
/// Dropping a loser costs its connection over HTTP/1.1, and hides how long it would have taken: of
/// hedged calls made one after another, *n* open *n* + 1 connections when losers are dropped and 2 when
/// they are drained, counted at the server for hyper-util and reqwest. Over HTTP/2 it is one connection
/// either way. This layer, put right beneath the hedge, keeps a bounded number of losers running for
/// a bounded time. Everything else that is dropped, such as the attempts of a caller that left, ends
/// at once. For plain futures see [`wrap`](Self::wrap).
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::{DrainLayer, HedgeLayer};
/// use hedgerow_latency::{Latency, LatencyLayer};
/// use std::time::Duration;
/// use tower::ServiceBuilder;
///
/// let latency = Latency::new();
/// let client = tower::service_fn(async |n: u32| Ok::<_, std::convert::Infallible>(n));
/// let service = ServiceBuilder::new()
///     .layer(HedgeLayer::percentile(95).clone_requests().latency(latency.clone()))
///     .layer(DrainLayer::new(Duration::from_secs(2), 64))
///     .layer(LatencyLayer::new(latency)) // records losers too, with their whole latency
///     .service(client);
/// # fn needs<S: tower::Service<u32>>(_: S) {}
/// # needs(service);
/// ```
///
/// # Order
///
/// Beneath the hedge and above the `LatencyLayer` that records: a loser is then recorded once, with
/// its whole latency and its outcome, like any other attempt.
///
/// # Readiness, clones and drop
///
/// Readiness is passed on. All clones and services of one layer value share the set of losers; when
/// the last of them is gone, so are the losers. A loser goes on holding its permit of a concurrency
/// limit beneath.
///
/// # Events
///
/// `tracing` events under the target `hedgerow::drain` (warn: a loser panicked). [`DrainStats`] counts
/// the rest.
///
/// # Cost
///
/// One allocation an attempt, and a task for each loser. It is the one place where hedgerow spawns:
/// the inner future must be `Send + 'static`. Outside of a tokio runtime losers are dropped.
#[doc(alias = "Losers")]
#[derive(Clone)]
pub struct DrainLayer {
    shared: Arc<Shared>,
}

struct Shared {
    patience: Duration,
    at_most: usize,
    set: Mutex<JoinSet<()>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    timed_out: AtomicU64,
    dropped: AtomicU64,
}

/// What became of losers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainStats {
    /// Losers that run on now.
    pub running: usize,
    /// Losers that brought an `Ok` after all.
    pub answered: u64,
    /// Losers that brought an error.
    pub failed: u64,
    /// Losers that panicked. Each is its own end and nobody else's.
    pub panicked: u64,
    /// Losers that were dropped because their time was over.
    pub timed_out: u64,
    /// Losers that were dropped at once because too many ran, or because there was no runtime.
    pub dropped: u64,
}

impl DrainLayer {
    /// Lets losers run on for `patience` each, and `at_most` of them at a time.
    ///
    /// # Panics
    ///
    /// If either is zero: [`try_new`](Self::try_new) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn new(patience: Duration, at_most: usize) -> Self {
        match Self::try_new(patience, at_most) {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`new`](Self::new), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Drain`] if either is zero.
    pub fn try_new(patience: Duration, at_most: usize) -> Result<Self, BuildError> {
        if patience.is_zero() || at_most == 0 {
            return Err(BuildError::Drain { patience, at_most });
        }
        Ok(Self {
            shared: Arc::new(Shared {
                patience,
                at_most,
                set: Mutex::default(),
                counts: Arc::default(),
            }),
        })
    }

    /// Lets a plain future run on when it loses a [`race`](fn@crate::race) or a
    /// [`hedge`](fn@crate::hedge), within this layer's bounds.
    ///
    /// One that was never polled is dropped like any other future: it was never started.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_hedge::{DrainLayer, race};
    /// use std::time::Duration;
    ///
    /// async fn ask(ms: u64) -> Result<u64, std::io::Error> {
    ///     tokio::time::sleep(Duration::from_millis(ms)).await;
    ///     Ok(ms)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let drain = DrainLayer::new(Duration::from_secs(2), 64);
    /// let won = race([5, 10].map(|ms| drain.wrap(ask(ms)))).await?;
    /// assert_eq!((won.value, drain.stats().running), (5, 1));
    /// # Ok(()) }
    /// ```
    pub fn wrap<F, T, E>(&self, future: F) -> Drained<F, T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        Drained {
            inner: Some(Box::pin(future)),
            attempt: None,
            shared: self.shared.clone(),
        }
    }

    /// What became of losers so far.
    #[must_use]
    pub fn stats(&self) -> DrainStats {
        let counts = &self.shared.counts;
        let mut set = self.shared.set.lock();
        reap(&mut set);
        DrainStats {
            running: set.len(),
            answered: counts.answered.load(Ordering::Relaxed),
            failed: counts.failed.load(Ordering::Relaxed),
            panicked: counts.panicked.load(Ordering::Relaxed),
            timed_out: counts.timed_out.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
        }
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        Drain {
            inner,
            shared: self.shared.clone(),
        }
    }
}

/// The service that [`DrainLayer`] makes.
#[derive(Clone)]
pub struct Drain<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, Req, Res, E> Service<Req> for Drain<S>
where
    S: Service<Req, Response = Res, Error = E>,
    S::Future: Future<Output = Result<Res, E>> + Send + 'static,
{
    type Response = Res;
    type Error = E;
    type Future = Drained<S::Future, Res, E>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        Drained {
            inner: Some(Box::pin(self.inner.call(request))),
            attempt: Some(Attempt::current()),
            shared: self.shared.clone(),
        }
    }
}

/// The response future of [`Drain`], and what [`DrainLayer::wrap`] makes: dropped as a loser, it runs
/// on in the background.
#[must_use = "futures do nothing unless polled"]
pub struct Drained<F, Res, E>
where
    F: Future<Output = Result<Res, E>> + Send + 'static,
{
    inner: Option<Pin<Box<F>>>,
    /// Which one it is, known once it was called or polled.
    attempt: Option<Attempt>,
    shared: Arc<Shared>,
}

impl<F, Res, E> Future for Drained<F, Res, E>
where
    F: Future<Output = Result<Res, E>> + Send + 'static,
{
    type Output = Result<Res, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.attempt.get_or_insert_with(Attempt::current);
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Pending;
        };
        let result = ready!(inner.as_mut().poll(cx));
        self.inner = None;
        Poll::Ready(result)
    }
}

impl<F, Res, E> Drop for Drained<F, Res, E>
where
    F: Future<Output = Result<Res, E>> + Send + 'static,
{
    fn drop(&mut self) {
        if let Some(loser) = self.inner.take()
            && let Some(attempt) = self.attempt
            && Attempt::lost_a_race()
        {
            self.shared.keep(loser, attempt);
        }
    }
}

impl Shared {
    fn keep<F, Res, E>(&self, loser: Pin<Box<F>>, attempt: Attempt)
    where
        F: Future<Output = Result<Res, E>> + Send + 'static,
    {
        let mut set = self.set.lock();
        reap(&mut set);
        let runtime = Handle::try_current();
        let (Ok(runtime), true) = (runtime, set.len() < self.at_most) else {
            drop(set);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // Not the shared state: it owns the set, and is to go with the last handle.
        let counts = self.counts.clone();
        let patience = self.patience;
        // Handed over when the lock is free: a runtime that is shut down drops what it is given, and
        // what a loser's drop does may need the lock.
        let (hand_over, handed) = oneshot::channel::<Pin<Box<F>>>();
        let finish = async move {
            let Ok(mut loser) = handed.await else {
                return;
            };
            let polled = std::future::poll_fn(|cx| {
                let poll = || loser.as_mut().poll(cx).map(|result| result.is_ok());
                let polled = catch_unwind(AssertUnwindSafe(|| attempt.scope(poll)));
                polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
            });
            let count = match tokio::time::timeout(patience, polled).await {
                Ok(Some(true)) => &counts.answered,
                Ok(Some(false)) => &counts.failed,
                Ok(None) => {
                    // The panic hook has reported why.
                    tracing::warn!(target: "hedgerow::drain", %attempt, "loser panicked");
                    &counts.panicked
                }
                Err(_) => &counts.timed_out,
            };
            count.fetch_add(1, Ordering::Relaxed);
        };
        set.spawn_on(finish, &runtime);
        drop(set);
        if let Err(loser) = hand_over.send(loser) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            drop(loser);
        }
    }
}

fn reap(set: &mut JoinSet<()>) {
    while set.try_join_next().is_some() {}
}

// === impl Debug ===

impl fmt::Debug for DrainLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainLayer")
            .field("patience", &self.shared.patience)
            .field("at_most", &self.shared.at_most)
            .field("counts", &self.shared.counts)
            .finish()
    }
}

impl<S: fmt::Debug> fmt::Debug for Drain<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("inner", &self.inner)
            .field("patience", &self.shared.patience)
            .field("at_most", &self.shared.at_most)
            .finish()
    }
}

impl<F, Res, E> fmt::Debug for Drained<F, Res, E>
where
    F: Future<Output = Result<Res, E>> + Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drained")
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
