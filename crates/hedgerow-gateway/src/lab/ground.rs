//! What a stack is put around: calls of a workload one by one, or calls that meet in queues.

use std::convert::Infallible;
use std::time::Duration;

use hedgerow_sim::{Backend, Call, Congested, Congestion, Job, Measured, Replicas, Trial};
use tower::Service;

/// A simulated backend, and the calls that are made through what stands around it.
///
/// What is run is always a stack around a backend: a layer that is new to the lab is known to every
/// kind of workload at once.
///
/// `Req` is what is asked, `B` the backend.
pub(crate) trait Ground<Req, B> {
    type Outcome;

    async fn run<S>(&self, stack: impl FnOnce(B) -> S) -> Self::Outcome
    where
        S: Service<Req, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static;
}

/// A backend of the lab.
pub(crate) trait Simulated<Req>:
    Service<Req, Response = (), Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// What is known of a request.
pub(crate) trait Asked: Copy + Send + Sync + 'static {
    /// The place of its class among the workload's, 0 if there are none.
    fn class(&self) -> usize;

    /// How much work it is, in virtual time, where the caller knows.
    fn size(&self) -> Option<Duration> {
        None
    }
}

/// One run of a congestion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queues<'a> {
    pub(crate) congestion: &'a Congestion,
    pub(crate) seed: u64,
    /// Whether a dropped attempt frees its replica.
    pub(crate) cancellation: bool,
}

impl Ground<Call, Backend> for Trial<'_> {
    type Outcome = Measured;

    async fn run<S>(&self, stack: impl FnOnce(Backend) -> S) -> Measured
    where
        S: Service<Call, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static,
    {
        Trial::run(self, stack).await
    }
}

impl Ground<Job, Replicas> for Queues<'_> {
    type Outcome = Congested;

    async fn run<S>(&self, stack: impl FnOnce(Replicas) -> S) -> Congested
    where
        S: Service<Job, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static,
    {
        let Self {
            congestion,
            seed,
            cancellation,
        } = *self;
        congestion.run(seed, cancellation, stack).await
    }
}

impl Asked for Call {
    fn class(&self) -> usize {
        Call::class(self)
    }
}

impl Asked for Job {
    fn class(&self) -> usize {
        0
    }

    fn size(&self) -> Option<Duration> {
        Some(Job::size(self))
    }
}

impl Simulated<Call> for Backend {}

impl Simulated<Job> for Replicas {}
