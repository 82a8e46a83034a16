//! What hedging would do, told without sending anything.
//!
//! When an observed call ends, the race it would have been is played out: the policy is asked for
//! its delays, a budget like the layer's for its tokens, and each extra attempt's latency is drawn
//! from the estimate of the primaries.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hedgerow_core::{Attempt, Budget, Kind};
use hedgerow_latency::{Latency, Snapshot};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tower_service::Service;

use crate::future::Proj;
use crate::info::Outcome;
use crate::percentiles::percentiles;
use crate::policy::Delay;
use crate::rules::Rules;

/// Of the draws: any will do, and the same one makes runs comparable.
const SEED: u64 = 0x6865_6467_6572_6f77;

/// The books of what would have been.
pub(crate) struct Imagined {
    budget: Budget,
    rng: Mutex<SmallRng>,
    calls: AtomicU64,
    hedged: AtomicU64,
    fired: AtomicU64,
    wins: AtomicU64,
    denied: AtomicU64,
    latency: Latency,
}

/// All counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImaginedTally {
    pub(crate) calls: u64,
    pub(crate) hedged: u64,
    pub(crate) fired: u64,
    pub(crate) wins: u64,
    pub(crate) denied: u64,
}

/// What hedging would have done with the calls that were only observed.
///
/// Extra attempts are taken to be as fast as primaries, and independent of them: where a slow
/// primary means a slow copy as well (one overloaded backend, one slow query), hedging does less
/// than this says. A call that failed is not predicted to have been saved, and is told with one extra
/// attempt at most: where several are allowed and the backend fails, more are sent than this says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// Calls that were observed to their end.
    pub calls: u64,
    /// Calls in which an extra attempt would have been sent.
    pub hedged: u64,
    /// Extra attempts that would have been sent.
    pub fired: u64,
    /// Calls that an extra attempt would have won.
    pub hedge_wins: u64,
    /// Extra attempts that the budget would have denied.
    pub denied: u64,
    /// What the extra attempts would have added to the load, in percent of the calls.
    pub extra_load_percent: f64,
    /// How long the calls would have taken.
    pub latency: Snapshot,
}

impl Imagined {
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            budget,
            rng: Mutex::new(SmallRng::seed_from_u64(SEED)),
            calls: AtomicU64::new(0),
            hedged: AtomicU64::new(0),
            fired: AtomicU64::new(0),
            wins: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            latency: Latency::new(),
        }
    }

    /// Plays out the race of a call whose primary ended after `elapsed` with `outcome`, and whether
    /// the judge called that final.
    fn play(
        &self,
        (elapsed, outcome, fatal): (Duration, Outcome, bool),
        max_hedges: u32,
        delay_of: impl Fn(Attempt) -> Delay,
        estimate: &Latency,
    ) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.budget.deposit();
        let failed = !(outcome == Outcome::Won || outcome.is_censored());
        let lost = !fatal && (failed || outcome == Outcome::TimedOut);
        let mut ends = elapsed;
        let (mut fired, mut won) = (0, false);
        let mut last = Duration::ZERO;
        for number in 1..=max_hedges {
            let delay = match delay_of(Attempt::new(number)) {
                Delay::After(delay) => delay,
                Delay::AfterLast(gap) => last.saturating_add(gap),
                Delay::Never => break,
            };
            last = delay;
            // The first copy follows a lost primary at once; whether it would have been answered is
            // not known, so that is all that is said of such a call.
            let follows = lost && number == 1 && delay >= ends;
            if delay >= ends && !follows {
                break;
            }
            if !self.budget.try_withdraw(Kind::Hedge) {
                self.denied.fetch_add(1, Ordering::Relaxed);
                break;
            }
            fired += 1;
            if failed || follows {
                break;
            }
            let share = self.rng.lock().random::<f64>();
            if let Some(takes) = estimate.draw(share)
                && delay.saturating_add(takes) < ends
            {
                ends = delay + takes;
                won = true;
            }
        }
        if fired > 0 {
            self.hedged.fetch_add(1, Ordering::Relaxed);
            self.fired.fetch_add(fired, Ordering::Relaxed);
        }
        if won {
            self.wins.fetch_add(1, Ordering::Relaxed);
        }
        if won || outcome == Outcome::Won {
            self.latency.record(ends);
        } else if !failed {
            self.latency.record_censored(ends);
        }
    }

    pub(crate) fn tally(&self) -> ImaginedTally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ImaginedTally {
            calls: read(&self.calls),
            hedged: read(&self.hedged),
            fired: read(&self.fired),
            wins: read(&self.wins),
            denied: read(&self.denied),
        }
    }

    /// How long the calls would have taken.
    pub(crate) fn latency(&self) -> Snapshot {
        self.latency.total()
    }
}

impl ImaginedTally {
    /// What came since `earlier`, with the latencies of the same time.
    pub(crate) fn prediction(&self, earlier: &Self, latency: Snapshot) -> Prediction {
        let calls = self.calls.saturating_sub(earlier.calls);
        let fired = self.fired.saturating_sub(earlier.fired);
        Prediction {
            calls,
            hedged: self.hedged - earlier.hedged,
            fired,
            hedge_wins: self.wins - earlier.wins,
            denied: self.denied - earlier.denied,
            extra_load_percent: if calls > 0 {
                100.0 * fired as f64 / calls as f64
            } else {
                0.0
            },
            latency,
        }
    }
}

percentiles!(Prediction, "the predicted latency");

impl<S, K, Req> Proj<'_, S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    /// An observed call has ended: books what hedging would have made of it.
    #[cold]
    #[inline(never)]
    pub(crate) fn imagine(&self, elapsed: Duration, outcome: Outcome, fatal: bool) {
        let rules = &self.core.parts;
        let settings = rules.settings();
        let key = self.key.as_deref();
        let delay_of = |attempt| match self.copy.as_ref() {
            Some(copy) => rules.delay(key, copy, attempt),
            None => Delay::Never,
        };
        let estimate = key.map_or(&settings.latency, |key| key.latency());
        let max_hedges = settings.books.max_hedges();
        let imagined = settings.books.imagine(&settings.budget);
        imagined.play((elapsed, outcome, fatal), max_hedges, delay_of, estimate);
    }
}

impl fmt::Debug for Imagined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tally().fmt(f)
    }
}
