//! Building a gate.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

use hedgerow_core::Recorder;
use hedgerow_latency::Latency;

use crate::error::BuildError;
use crate::event::AdmissionEvent;
use crate::gate::Gate;
use crate::ledger::{Ledger, LocalLedger, MAX_RATES};
use crate::limit::LimitPolicy;
use crate::plain::Plain;
use crate::pool::Pool;
use crate::queue::{Queue, Rules, State};
use crate::rate::{Rate, Unit};
use crate::shared::{Limit, Shared, Told};
use crate::sync::Mutex;

const MOST_AT_ONCE: usize = 1_000_000;
const MOST_WAITING: usize = 10_000_000;
const LONGEST_WAIT: Duration = Duration::from_secs(366 * 86_400);

/// Builds a [`Gate`]: see there.
#[must_use = "a builder does nothing until it is built"]
pub struct GateBuilder<T = ()> {
    limit: Option<Concurrency>,
    per_key: Option<usize>,
    rates: Vec<Rate>,
    queue: Queue,
    max_depth: usize,
    max_wait: Duration,
    pool: Pool<T>,
    ledger: Option<Arc<dyn Ledger>>,
    recorder: Told,
}

enum Concurrency {
    Number(usize),
    Policy(Arc<dyn LimitPolicy>),
}

impl GateBuilder<()> {
    pub(crate) fn new() -> Self {
        Self {
            limit: None,
            per_key: None,
            rates: Vec::new(),
            queue: Queue::fifo(),
            max_depth: 1_000,
            max_wait: Duration::from_secs(30),
            pool: Pool::none(),
            ledger: None,
            recorder: None,
        }
    }
}

impl<T> GateBuilder<T> {
    /// How many run at once: 1 to 1,000,000. Defaults to no limit.
    pub fn concurrency(mut self, limit: usize) -> Self {
        self.limit = Some(Concurrency::Number(limit));
        self
    }

    /// A policy that says how many run at once. Defaults to no limit.
    pub fn limit(mut self, policy: impl LimitPolicy + 'static) -> Self {
        self.limit = Some(Concurrency::Policy(Arc::new(policy)));
        self
    }

    /// How many of one key run at once. 1 to 1,000,000. Defaults to no limit;
    /// requests without a key have none.
    pub fn concurrency_per_key(mut self, limit: usize) -> Self {
        self.per_key = Some(limit);
        self
    }

    /// One more rate, 4 at most: all of them are taken together, or none. Limit and burst 1 to 10¹⁵, period above 0
    /// and at most 366 days. Defaults to none.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rates.push(rate);
        self
    }

    /// In which order waiters start, and which of them are given up. Defaults to [`Queue::fifo`].
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queue = queue;
        self
    }

    /// How many wait at most, 0 (nobody) to 10,000,000. Defaults to 1,000.
    ///
    /// One more is refused, unless somebody of a lower priority waits, who is refused instead; where
    /// the last are served first, the oldest is.
    pub fn max_depth(mut self, waiters: usize) -> Self {
        self.max_depth = waiters;
        self
    }

    /// How long one waits at most, zero (not at all) to 366 days. Defaults to 30 s.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Resources, one of which each request gets. Defaults to none.
    pub fn pool<U>(self, pool: Pool<U>) -> GateBuilder<U> {
        GateBuilder {
            limit: self.limit,
            per_key: self.per_key,
            rates: self.rates,
            queue: self.queue,
            max_depth: self.max_depth,
            max_wait: self.max_wait,
            pool,
            ledger: self.ledger,
            recorder: self.recorder,
        }
    }

    /// Where the rates are kept. Defaults to a [`LocalLedger`] of its own.
    pub fn ledger(mut self, ledger: impl Ledger + 'static) -> Self {
        self.ledger = Some(Arc::new(ledger));
        self
    }

    /// Tells every event to `f`, besides whoever is told already. If it panics, its own event is lost
    /// and nothing else.
    pub fn on_event<F>(self, f: F) -> Self
    where
        F: Fn(&AdmissionEvent) + Send + Sync + 'static,
    {
        self.recorder(f)
    }

    /// Tells every event to `recorder`, besides whoever is told already.
    pub fn recorder<R>(mut self, recorder: R) -> Self
    where
        R: Recorder<AdmissionEvent> + Send + Sync + 'static,
    {
        self.recorder = Some(match self.recorder.take() {
            None => Arc::new(recorder),
            Some(before) => Arc::new((before, recorder)),
        });
        self
    }

    /// The gate.
    ///
    /// # Panics
    ///
    /// If a setting is refused: [`try_build`](Self::try_build) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> Gate<T> {
        match self.try_build() {
            Ok(gate) => gate,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`build`](Self::build), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError`] with the first setting that is refused, and what to write:
    /// [`mistakes`](Self::mistakes) has all of them.
    pub fn try_build(self) -> Result<Gate<T>, BuildError> {
        if let Some(first) = self.mistakes().into_iter().next() {
            return Err(first);
        }
        let (resources, places) = self.pool.open()?;
        let (ledger, own): (Arc<dyn Ledger>, _) = match self.ledger {
            Some(ledger) => (ledger, None),
            None => {
                let own = Arc::new(LocalLedger::new());
                (own.clone(), Some(own))
            }
        };
        let mut rates = Vec::with_capacity(self.rates.len());
        for rate in self.rates {
            rates.push((ledger.open(&rate)?, rate));
        }
        let limit = match self.limit {
            None => Limit::Number(AtomicUsize::new(usize::MAX)),
            Some(Concurrency::Number(limit)) => Limit::Number(AtomicUsize::new(limit)),
            Some(Concurrency::Policy(policy)) => {
                Limit::Policy(policy, AtomicUsize::new(usize::MAX))
            }
        };
        let settles = rates.iter().any(|(_, rate)| rate.unit() == Unit::Tokens);
        let learns = limit.learner().is_some();
        let watched = places.is_some() || self.recorder.is_some() || self.per_key.is_some();
        let plain = match (&*rates, own) {
            _ if watched => Plain::No,
            ([], _) if learns => Plain::Timed,
            ([], _) => Plain::Place,
            ([(book, rate)], Some(own)) if !rate.is_per_key() => Plain::Rate(own, *book),
            _ => Plain::No,
        };
        let crowded = Arc::new(AtomicBool::new(false));
        Ok(Gate::new(Shared {
            plain,
            light: !watched && !settles && !learns,
            // One that panics before it ever said a limit lets one through.
            state: Mutex::new(State::new(
                self.queue,
                self.per_key,
                places,
                limit.now().unwrap_or(1),
                crowded.clone(),
            )),
            crowded,
            rules: Rules {
                queue: self.queue,
                quiet: rates.is_empty() || ledger.answers_at_once(),
                settles,
                rates,
                ledger,
                max_depth: self.max_depth,
                max_wait: self.max_wait,
            },
            limit,
            recorder: self.recorder,
            resources,
            waits: Latency::new().coarse(),
            ids: AtomicU64::new(0),
        }))
    }

    /// Everything that is refused, with what to write.
    #[must_use]
    pub fn mistakes(&self) -> Vec<BuildError> {
        let mut mistakes = Vec::new();
        if let Some(Concurrency::Number(limit)) = self.limit
            && !(1..=MOST_AT_ONCE).contains(&limit)
        {
            mistakes.push(BuildError::Concurrency { limit });
        }
        if let Some(limit) = self.per_key
            && !(1..=MOST_AT_ONCE).contains(&limit)
        {
            mistakes.push(BuildError::ConcurrencyPerKey { limit });
        }
        if self.rates.len() > MAX_RATES {
            mistakes.push(BuildError::TooManyRates {
                count: self.rates.len(),
                most: MAX_RATES,
            });
        }
        mistakes.extend(self.rates.iter().filter_map(|rate| rate.check().err()));
        for (at, rate) in self.rates.iter().enumerate() {
            if self.rates[..at]
                .iter()
                .any(|before| before.label() == rate.label())
            {
                mistakes.push(BuildError::RateName { name: rate.label() });
            }
        }
        mistakes.extend(self.queue.check().err());
        if self.max_depth > MOST_WAITING {
            mistakes.push(BuildError::Depth {
                depth: self.max_depth,
            });
        }
        if self.max_wait > LONGEST_WAIT {
            mistakes.push(BuildError::MaxWait {
                wait: self.max_wait,
            });
        }
        if self.pool.is_refused() {
            mistakes.push(BuildError::EmptyPool);
        }
        mistakes
    }
}

impl<T> fmt::Debug for GateBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateBuilder")
            .field("rates", &self.rates)
            .field("queue", &self.queue)
            .field("max_depth", &self.max_depth)
            .field("max_wait", &self.max_wait)
            .finish_non_exhaustive()
    }
}
