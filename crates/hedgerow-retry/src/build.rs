//! The constructors.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Budget, ByReplay, OkWins};

use crate::books::Books;
use crate::handle::Since;
use crate::layer::{Parts, RetryLayer, Settings};
use crate::policy::{Exponential, Fixed, Jitter, RetryPolicy};

const DEFAULT_ATTEMPTS: u32 = 4;
const DEFAULT_BUDGET_PERCENT: f64 = 10.0;
const DEFAULT_PUSHBACK_CAP: Duration = Duration::from_secs(30);
const MEDIAN: f64 = 0.5;

impl RetryLayer<Exponential> {
    /// Four tries a call; waits of 1, 2 and 4 s with full jitter, 30 s at most.
    #[must_use]
    pub fn exponential() -> Self {
        Self::new(Exponential::default())
    }

    /// Like [`exponential`](Self::exponential), with waits from 1 s to three times the wait before,
    /// 30 s at most.
    #[must_use]
    pub fn decorrelated() -> Self {
        Self::new(Exponential::default().jitter(Jitter::Decorrelated))
    }
}

impl RetryLayer<Fixed> {
    /// Four tries a call, `wait` between them. Zero sends a retry at once.
    #[must_use]
    pub fn fixed(wait: Duration) -> Self {
        Self::new(Fixed::new(wait))
    }
}

impl<P: RetryPolicy> RetryLayer<P> {
    /// Four tries a call, with the waits of a policy of one's own.
    #[must_use]
    pub fn new(policy: P) -> Self {
        Self {
            parts: Parts {
                policy: Arc::new(policy),
                copies: Arc::new(ByReplay),
                judge: Arc::new(OkWins),
                recorder: Arc::new(()),
                settings: Settings {
                    attempt_timeout: None,
                    deadline: None,
                    timeouts_are_final: false,
                    forgets_answers: false,
                    pushback_cap: DEFAULT_PUSHBACK_CAP,
                    latency: None,
                    gate: MEDIAN,
                    budget: Budget::percent(DEFAULT_BUDGET_PERCENT),
                    feeds: true,
                    books: Arc::new(Books::new(DEFAULT_ATTEMPTS)),
                    since: Since::start(),
                },
            },
        }
    }
}
