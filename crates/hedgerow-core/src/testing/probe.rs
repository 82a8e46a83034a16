//! A service that notices how it is treated.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use crate::error::BoxError;
use crate::replay::Replay;

/// A request that says what is to become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Comes back in the [`Pong`].
    pub id: u64,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answer(Duration),
    Fail(Duration),
    Never,
    Panic,
}

/// The answer to a [`Ping`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The id of the ping.
    pub id: u64,
}

/// The error of a [`Probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeError {
    /// The ping asked for it.
    Asked,
    /// The probe was told to fail in `poll_ready`.
    Readiness,
}

/// A service that answers as its requests say, and counts how it was treated.
///
/// Clones share the counts; each is ready on its own, and notes as a breach if it is called without
/// having been polled ready.
#[derive(Debug)]
pub struct Probe {
    shared: Arc<Mutex<Shared>>,
    ready: bool,
}

#[derive(Debug, Default)]
struct Shared {
    blocked: bool,
    broken: bool,
    wakers: Vec<Waker>,
    calls: u64,
    in_flight: u64,
    most_in_flight: u64,
    unready_calls: u64,
}

impl Ping {
    /// To be answered at once.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self {
            id,
            fate: Fate::Answer(Duration::ZERO),
        }
    }

    /// To be answered after `delay`.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.fate = Fate::Answer(delay);
        self
    }

    /// To fail after `delay`.
    #[must_use]
    pub const fn failing_after(mut self, delay: Duration) -> Self {
        self.fate = Fate::Fail(delay);
        self
    }

    /// Never to be answered.
    #[must_use]
    pub const fn never(mut self) -> Self {
        self.fate = Fate::Never;
        self
    }

    /// To panic in the first poll of its future.
    #[must_use]
    pub const fn panicking(mut self) -> Self {
        self.fate = Fate::Panic;
        self
    }
}

impl Replay for Ping {
    fn replay(&mut self) -> Option<Self> {
        Some(self.clone())
    }
}

impl Probe {
    /// A probe that is ready.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::default(),
            ready: false,
        }
    }

    /// Makes `poll_ready` of all clones pending, or wakes whoever waits for it.
    pub fn block(&self, blocked: bool) {
        let mut shared = self.shared.lock();
        shared.blocked = blocked;
        let wakers = if blocked {
            Vec::new()
        } else {
            std::mem::take(&mut shared.wakers)
        };
        drop(shared);
        for waker in wakers {
            waker.wake();
        }
    }

    /// Makes `poll_ready` of all clones fail.
    pub fn break_readiness(&self) {
        self.shared.lock().broken = true;
    }

    /// How many calls came in.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shared.lock().calls
    }

    /// How many calls are neither finished nor dropped.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.shared.lock().in_flight
    }

    /// The most calls that were in flight at once.
    #[must_use]
    pub fn most_in_flight(&self) -> u64 {
        self.shared.lock().most_in_flight
    }

    /// How many calls came to an instance that had not been polled ready.
    #[must_use]
    pub fn unready_calls(&self) -> u64 {
        self.shared.lock().unready_calls
    }
}

impl Service<Ping> for Probe {
    type Response = Pong;
    type Error = BoxError;
    type Future = Pending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut shared = self.shared.lock();
        if shared.broken {
            return Poll::Ready(Err(ProbeError::Readiness.into()));
        }
        if shared.blocked {
            shared.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        drop(shared);
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ping: Ping) -> Pending {
        let mut shared = self.shared.lock();
        shared.calls += 1;
        shared.in_flight += 1;
        shared.most_in_flight = shared.most_in_flight.max(shared.in_flight);
        if !std::mem::take(&mut self.ready) {
            shared.unready_calls += 1;
        }
        drop(shared);
        let timer = match ping.fate {
            Fate::Answer(delay) | Fate::Fail(delay) if !delay.is_zero() => {
                Some(Box::pin(sleep_until(Instant::now() + delay)))
            }
            _ => None,
        };
        Pending {
            ping,
            timer,
            _flight: Flight(self.shared.clone()),
        }
    }
}

/// The response future of a [`Probe`].
#[derive(Debug)]
pub struct Pending {
    ping: Ping,
    timer: Option<Pin<Box<Sleep>>>,
    _flight: Flight,
}

/// Counts a call as in flight until it is dropped.
#[derive(Debug)]
struct Flight(Arc<Mutex<Shared>>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

impl Future for Pending {
    type Output = Result<Pong, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(cx).is_pending()
        {
            return Poll::Pending;
        }
        match self.ping.fate {
            Fate::Answer(_) => Poll::Ready(Ok(Pong { id: self.ping.id })),
            Fate::Fail(_) => Poll::Ready(Err(ProbeError::Asked.into())),
            Fate::Never => Poll::Pending,
            Fate::Panic => panic!("the ping asked for a panic"),
        }
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

/// Not ready, whatever the original was.
impl Clone for Probe {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            ready: false,
        }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "the ping asked for an error",
            Self::Readiness => "the probe was told to fail in poll_ready",
        })
    }
}

impl std::error::Error for ProbeError {}
