//! Scripted tiers on the paused clock, and a log of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{BoxError, cause_ref};
use hedgerow_hedge::{BoxedRaceError, RaceError, Tier};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tower::Service;

use crate::plain_support::Down;
use crate::support::ms;

/// An answer: whose, and how good it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) from: &'static str,
    pub(crate) score: f64,
}

pub(crate) fn score(answer: &Answer) -> f64 {
    answer.score
}

/// Keeps a log of the calls to its tiers. Times count from when it was made.
#[derive(Clone)]
pub(crate) struct World {
    origin: Instant,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    started: Vec<(&'static str, Duration)>,
    alive: usize,
}

/// A tier's service: always takes as long, and always brings the same.
#[derive(Clone)]
pub(crate) struct Stub {
    name: &'static str,
    takes: u64,
    brings: Result<f64, Down>,
    world: World,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            log: Arc::default(),
        }
    }

    /// A service that takes so many milliseconds and brings an answer of this score, or an error.
    pub(crate) fn stub(
        &self,
        name: &'static str,
        takes: u64,
        brings: Result<f64, &'static str>,
    ) -> Stub {
        Stub {
            name,
            takes,
            brings: brings.map_err(Down),
            world: self.clone(),
        }
    }

    /// A tier of such a service.
    pub(crate) fn tier(
        &self,
        name: &'static str,
        takes: u64,
        brings: Result<f64, &'static str>,
    ) -> Tier<u64, Answer> {
        Tier::new(name, self.stub(name, takes, brings))
    }

    /// Which tiers were called, and when, in milliseconds.
    pub(crate) fn started(&self) -> Vec<(&'static str, u64)> {
        let log = self.log.lock();
        let in_ms = |(who, at): &(&'static str, Duration)| (*who, at.as_millis() as u64);
        log.started.iter().map(in_ms).collect()
    }

    /// How many calls are neither finished nor dropped.
    pub(crate) fn alive(&self) -> usize {
        self.log.lock().alive
    }

    /// How long it has been, in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }
}

impl Service<u64> for Stub {
    type Response = Answer;
    type Error = Down;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Down>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Down>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u64) -> Self::Future {
        struct Alive(Arc<Mutex<Log>>);
        impl Drop for Alive {
            fn drop(&mut self) {
                self.0.lock().alive -= 1;
            }
        }
        let Self {
            name: from,
            takes,
            brings,
            ref world,
        } = *self;
        let mut log = world.log.lock();
        log.started.push((from, world.origin.elapsed()));
        log.alive += 1;
        drop(log);
        let alive = Alive(world.log.clone());
        Box::pin(async move {
            let _alive = alive;
            if takes > 0 {
                sleep(ms(takes)).await;
            }
            brings.map(|score| Answer { from, score })
        })
    }
}

/// The typed error within.
pub(crate) fn race_error(error: &BoxError) -> &RaceError<(), BoxError> {
    let found = cause_ref::<BoxedRaceError>(&**error);
    found.expect("a race error").get_ref()
}
