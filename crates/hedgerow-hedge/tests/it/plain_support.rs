//! Scripted plain futures on the paused clock, and a log of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::Attempt;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::support::ms;

/// An error with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Down(pub(crate) &'static str);

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Down {}

pub(crate) type Answer = Result<&'static str, Down>;

/// Keeps a log of the futures that it makes.
#[derive(Clone)]
pub(crate) struct Track {
    origin: Instant,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    started: Vec<(u32, Duration)>,
    held: usize,
}

impl Track {
    /// Times count from now.
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            log: Arc::default(),
        }
    }

    /// A future that notes when it is polled for the first time, and as which attempt.
    pub(crate) fn runner<T>(&self, takes: u64, result: T) -> impl Future<Output = T> + Send + use<T>
    where
        T: Send,
    {
        struct Held(Arc<Mutex<Log>>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.lock().held -= 1;
            }
        }
        self.log.lock().held += 1;
        let held = Held(self.log.clone());
        let origin = self.origin;
        async move {
            let held = held;
            let who = Attempt::current().index();
            held.0.lock().started.push((who, origin.elapsed()));
            if takes > 0 {
                sleep(ms(takes)).await;
            }
            result
        }
    }

    /// Which attempts were started, and when, in milliseconds.
    pub(crate) fn started(&self) -> Vec<(u32, u64)> {
        let log = self.log.lock();
        let in_ms = |(who, at): &(u32, Duration)| (*who, at.as_millis() as u64);
        log.started.iter().map(in_ms).collect()
    }

    /// How many of its futures are not dropped, started or not.
    pub(crate) fn held(&self) -> usize {
        self.log.lock().held
    }

    /// How long it has been, in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }
}
