//! Open-loop load: calls at a stated rate, however slow the answers are.

use std::fmt;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Exp};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{self, Instant};

use crate::latencies::Latencies;

const MIN_RATE: f64 = 0.001;
const MAX_RATE: f64 = 1e6;
const MAX_CALLS: u64 = 10_000_000;

/// Sends a fixed number of calls at a stated rate, and times each from the moment it was due.
///
/// The loop is open: a slow answer holds nothing back, as a caller of yours does not wait for
/// another's answer. And a call is timed from when it *should* have been sent, so a generator that
/// falls behind shows as latency instead of hiding it (coordinated omission).
///
/// # Examples
///
/// ```
/// use hedgerow_sim::{Arrivals, Load};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let load = Load::new(50.0, 500).arrivals(Arrivals::Even);
/// let report = load
///     .run(|_number| async {
///         tokio::time::sleep(Duration::from_secs(1)).await;
///         Ok::<_, std::io::Error>(())
///     })
///     .await;
/// // 500 answers of one second each, in 11 seconds: nobody waited for anybody.
/// assert_eq!(report.elapsed().as_secs(), 10);
/// assert_eq!(report.errors(), 0);
/// # }
/// ```
///
/// # Units
///
/// The rate is in calls a second, 0.001 to 1,000,000; calls from 1 to 10,000,000. tokio's timer
/// wakes about 1 ms late, which is part of every latency ([`Report::lags`]). Calls in flight are bounded by the
/// number of calls alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    per_second: f64,
    /// In seconds.
    gaps: Exp<f64>,
    calls: u64,
    arrivals: Arrivals,
    seed: u64,
}

/// When the calls of a [`Load`] are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// Independent callers: exponential gaps, drawn from the seed. The default.
    #[default]
    Poisson,
    /// A metronome: the same gap every time.
    Even,
}

/// Why a load was refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LoadError {
    /// The rate is not between 0.001 and 1,000,000 calls a second.
    Rate(f64),
    /// The number of calls is not between 1 and 10,000,000.
    Calls(u64),
}

/// What a [`Load`] measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    latencies: Latencies,
    lags: Latencies,
    errors: u64,
    first_error: Option<String>,
    elapsed: Duration,
}

impl Load {
    /// `calls` calls at `per_second` calls a second.
    ///
    /// # Panics
    ///
    /// If either is out of range: [`try_new`](Self::try_new) returns the reason instead.
    #[must_use]
    #[track_caller]
    pub fn new(per_second: f64, calls: u64) -> Self {
        match Self::try_new(per_second, calls) {
            Ok(load) => load,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`new`](Self::new), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if the rate or the number of calls is out of range.
    pub fn try_new(per_second: f64, calls: u64) -> Result<Self, LoadError> {
        if !(MIN_RATE..=MAX_RATE).contains(&per_second) {
            return Err(LoadError::Rate(per_second));
        }
        if !(1..=MAX_CALLS).contains(&calls) {
            return Err(LoadError::Calls(calls));
        }
        Ok(Self {
            per_second,
            gaps: Exp::new(per_second).map_err(|_| LoadError::Rate(per_second))?,
            calls,
            arrivals: Arrivals::default(),
            seed: 0,
        })
    }

    /// Sets when calls are due. Defaults to [`Arrivals::Poisson`].
    #[must_use]
    pub fn arrivals(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = arrivals;
        self
    }

    /// Sets the seed of the gaps between calls. Defaults to 0.
    ///
    /// The same seed gives the same gaps, as long as the version of `rand` stays the same.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// When each call is due, counted from the start, in order.
    pub fn offsets(&self) -> impl Iterator<Item = Duration> + use<> {
        let Self {
            per_second,
            gaps,
            calls,
            arrivals,
            seed,
        } = self.clone();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut due_seconds = 0.0;
        (0..calls).map(move |number| {
            match arrivals {
                Arrivals::Poisson => due_seconds += gaps.sample(&mut rng),
                Arrivals::Even => due_seconds = number as f64 / per_second,
            }
            Duration::from_secs_f64(due_seconds)
        })
    }

    /// Sends the calls, waits for the last answer, and reports.
    ///
    /// `call` is given the number of the call, from 0, and returns its future, which runs as a
    /// task of its own. On tokio's clock, so also under a paused one.
    ///
    /// # Readiness, clones and drop
    ///
    /// Dropping the returned future drops every call still in flight.
    ///
    /// # Errors
    ///
    /// None: a call that fails or panics is counted in [`Report::errors`].
    pub async fn run<F, Fut, T, E>(&self, mut call: F) -> Report
    where
        F: FnMut(u64) -> Fut,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        E: fmt::Display,
    {
        let start = Instant::now();
        let mut in_flight = JoinSet::new();
        let mut tally = Tally::default();
        for (number, offset) in (0..).zip(self.offsets()) {
            let due = start + offset;
            time::sleep_until(due).await;
            tally.lags.push(due.elapsed());
            let answer = call(number);
            in_flight.spawn(async move {
                let outcome = answer.await;
                let took = due.elapsed();
                outcome.map(|_| took).map_err(|error| error.to_string())
            });
            while let Some(finished) = in_flight.try_join_next() {
                tally.count(finished);
            }
        }
        while let Some(finished) = in_flight.join_next().await {
            tally.count(finished);
        }
        tally.report(start.elapsed())
    }
}

impl Report {
    /// How long the answered calls took, each from the moment it was due.
    #[must_use]
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// How late each call was sent. Part of its latency already.
    ///
    /// A few ms is the timer and the scheduler; more says that this machine cannot send at the
    /// rate that was asked for.
    #[must_use]
    pub fn lags(&self) -> &Latencies {
        &self.lags
    }

    /// How many calls failed or panicked. They are not among the latencies.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// The first failure in words.
    #[must_use]
    pub fn first_error(&self) -> Option<&str> {
        self.first_error.as_deref()
    }

    /// From the start to the last answer.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

#[derive(Default)]
struct Tally {
    latencies: Vec<Duration>,
    lags: Vec<Duration>,
    errors: u64,
    first_error: Option<String>,
}

impl Tally {
    fn count(&mut self, finished: Result<Result<Duration, String>, JoinError>) {
        let error = match finished {
            Ok(Ok(took)) => return self.latencies.push(took),
            Ok(Err(error)) => error,
            Err(panicked) => panicked.to_string(),
        };
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }

    fn report(self, elapsed: Duration) -> Report {
        Report {
            latencies: self.latencies.into_iter().collect(),
            lags: self.lags.into_iter().collect(),
            errors: self.errors,
            first_error: self.first_error,
            elapsed,
        }
    }
}

// === impl LoadError ===

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => write!(
                f,
                "a rate of {rate} calls a second is out of range: write {MIN_RATE} to {MAX_RATE}"
            ),
            Self::Calls(calls) => {
                write!(f, "{calls} calls are out of range: write 1 to {MAX_CALLS}")
            }
        }
    }
}

impl std::error::Error for LoadError {}
