//! Replicas with queues: where extra work makes everybody wait.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tower_service::Service;

use crate::law::Law;

/// So many single-worker FIFO replicas behind one client that asks the shorter of two queues.
///
/// A request says what it takes ([`Job`]), so its copies take the same, and wait in queues of their
/// own. Unlike a [`Law`], an extra attempt here takes time away from everybody else.
///
/// # Cancellation
///
/// With it, a dropped attempt leaves its queue, or its worker, at once: what a cancelled request over
/// HTTP/2 does to a server that notices. Without it the work is done all the same.
///
/// # Examples
///
/// ```
/// use hedgerow_sim::{Job, Law, Replicas};
/// use std::time::Duration;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let replicas = Replicas::new(1, 7).cancellation(true);
/// let job = Job::new(Duration::from_millis(10));
/// let started = tokio::time::Instant::now();
/// let (first, second) = tokio::join!(replicas.clone().oneshot(job), replicas.clone().oneshot(job));
/// assert!(first.is_ok() && second.is_ok());
/// assert_eq!(started.elapsed(), Duration::from_millis(20), "one after the other");
/// # }
/// ```
#[derive(Clone)]
pub struct Replicas {
    shared: Arc<Shared>,
    cancellation: bool,
    hiccups: Option<(f64, Duration)>,
}

/// A request that takes so much of a worker's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    size: Duration,
}

struct Shared {
    replicas: Vec<Replica>,
    rng: Mutex<StdRng>,
    /// Nanoseconds of work that were begun.
    worked_ns: AtomicU64,
    attempts: AtomicU64,
}

struct Replica {
    worker: Semaphore,
    /// Attempts that wait here or are worked on, and can still be taken back.
    waiting: AtomicUsize,
    /// When each piece of work will be done that cannot be taken back.
    promised: Mutex<VecDeque<Instant>>,
}

/// What [`Replicas`] return: boxed, because it is made of several waits.
pub type ReplicasFuture = Pin<Box<dyn Future<Output = Result<(), Infallible>> + Send>>;

impl Replicas {
    /// `count` replicas (at least one); which two queues a request looks at is drawn from `seed`.
    ///
    /// Without cancellation and without hiccups.
    ///
    /// # Panics
    ///
    /// If `count` is 0.
    #[must_use]
    #[track_caller]
    pub fn new(count: usize, seed: u64) -> Self {
        assert!(count > 0, "0 replicas answer nobody: write at least 1");
        let replica = |_| Replica {
            worker: Semaphore::new(1),
            waiting: AtomicUsize::new(0),
            promised: Mutex::default(),
        };
        Self {
            shared: Arc::new(Shared {
                replicas: (0..count).map(replica).collect(),
                rng: Mutex::new(StdRng::seed_from_u64(seed)),
                worked_ns: AtomicU64::new(0),
                attempts: AtomicU64::new(0),
            }),
            cancellation: false,
            hiccups: None,
        }
    }

    /// Sets whether a dropped attempt frees its replica. Defaults to not.
    #[must_use]
    pub const fn cancellation(mut self, on: bool) -> Self {
        self.cancellation = on;
        self
    }

    /// Lets a share of the attempts take so much longer, each attempt for itself. Defaults to none.
    ///
    /// # Panics
    ///
    /// If `share` is not from 0 to 1.
    #[must_use]
    #[track_caller]
    pub fn hiccups(mut self, share: f64, longer: Duration) -> Self {
        assert!(
            (0.0..=1.0).contains(&share),
            "there is no share of {share}: write 0 to 1"
        );
        self.hiccups = Some((share, longer));
        self
    }

    /// Attempts that have arrived so far.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.shared.attempts.load(Ordering::Relaxed)
    }

    /// Work that was begun so far, of all replicas together.
    #[must_use]
    pub fn worked(&self) -> Duration {
        Duration::from_nanos(self.shared.worked_ns.load(Ordering::Relaxed))
    }

    /// The shorter of two queues, and how long the attempt will take there.
    fn choose(&self, job: Job) -> (usize, Duration) {
        let shared = &*self.shared;
        shared.attempts.fetch_add(1, Ordering::Relaxed);
        let mut rng = shared.rng.lock();
        let count = shared.replicas.len();
        let (one, other) = (rng.random_range(0..count), rng.random_range(0..count));
        let shorter = shared.replicas[other].queue() < shared.replicas[one].queue();
        let at = if shorter { other } else { one };
        let longer = match self.hiccups {
            Some((share, longer)) if rng.random_bool(share) => longer,
            _ => Duration::ZERO,
        };
        (at, job.size + longer)
    }
}

impl Replica {
    /// How many attempts wait here or are worked on.
    fn queue(&self) -> usize {
        let now = Instant::now();
        let mut promised = self.promised.lock();
        while promised.front().is_some_and(|done| *done <= now) {
            promised.pop_front();
        }
        promised.len() + self.waiting.load(Ordering::Relaxed)
    }
}

impl Job {
    /// A request that takes `size` of a worker's time.
    #[must_use]
    pub const fn new(size: Duration) -> Self {
        Self { size }
    }

    /// One drawn from a law.
    #[must_use]
    pub fn drawn<R: rand::Rng + ?Sized>(law: &Law, rng: &mut R) -> Self {
        Self::new(law.sample_duration(rng))
    }

    /// How long it takes.
    #[must_use]
    pub const fn size(&self) -> Duration {
        self.size
    }
}

/// Counts an attempt as waiting until it is dropped or done.
struct Waiting(Arc<Shared>, usize);

impl Waiting {
    fn new(shared: &Arc<Shared>, at: usize) -> Self {
        shared.replicas[at].waiting.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone(), at)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.replicas[self.1]
            .waiting
            .fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service<Job> for Replicas {
    type Response = ();
    type Error = Infallible;
    type Future = ReplicasFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, job: Job) -> ReplicasFuture {
        let (at, takes) = self.choose(job);
        let nanos = takes.as_nanos().try_into().unwrap_or(u64::MAX);
        if !self.cancellation {
            // It is done whether anybody waits for it or not.
            let mut promised = self.shared.replicas[at].promised.lock();
            let now = Instant::now();
            let done = promised.back().map_or(now, |last| now.max(*last)) + takes;
            promised.push_back(done);
            self.shared.worked_ns.fetch_add(nanos, Ordering::Relaxed);
            return Box::pin(async move {
                sleep_until(done).await;
                Ok(())
            });
        }
        let waiting = Waiting::new(&self.shared, at);
        Box::pin(async move {
            let shared = waiting.0.clone();
            let worker = &shared.replicas[at].worker;
            let permit = worker.acquire().await.expect("it is never closed");
            shared.worked_ns.fetch_add(nanos, Ordering::Relaxed);
            sleep(takes).await;
            drop(permit);
            drop(waiting);
            Ok(())
        })
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas")
            .field("count", &self.shared.replicas.len())
            .field("cancellation", &self.cancellation)
            .field("hiccups", &self.hiccups)
            .finish_non_exhaustive()
    }
}
