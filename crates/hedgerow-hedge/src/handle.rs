//! Reading a layer's counts, and changing it while it runs.

use std::fmt;
use std::sync::Arc;

use hedgerow_core::{Budget, Kind};
use hedgerow_latency::{Latency, Snapshot};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::books::Tally;
use crate::error::BuildError;
use crate::layer::Settings;
use crate::observe::{ImaginedTally, Prediction};
use crate::percentiles::percentiles;

/// A handle on a hedge layer: its counts, its histogram, its budget and its live settings.
///
/// All handles of a layer share one [`reset`](Self::reset).
#[derive(Clone)]
pub struct HedgeHandle {
    settings: Settings,
}

/// When the counts of [`HedgeStats`] began.
#[derive(Debug)]
pub(crate) struct Since {
    at: Instant,
    tally: Tally,
    calls: Snapshot,
    imagined: (ImaginedTally, Snapshot),
}

/// What a hedge layer did since it was made, or since the last reset.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HedgeStats {
    /// Calls that came in.
    pub requests: u64,
    /// Calls in which an extra attempt was sent.
    pub hedged: u64,
    /// Extra attempts that were sent.
    pub fired: u64,
    /// Calls that an extra attempt won.
    pub hedge_wins: u64,
    /// Extra attempts that the budget denied.
    pub denied: u64,
    /// Extra attempts given up because the service was not ready for them.
    pub not_ready: u64,
    /// Calls without an accepted answer.
    pub failed: u64,
    /// Calls whose caller left.
    pub cancelled: u64,
    /// Calls whose request may be sent only once.
    pub unreplayable: u64,
    /// Calls that were hedged, per call: 0 to 1.
    pub hedge_rate: f64,
    /// Hedged calls that an extra attempt won, per hedged call: 0 to 1.
    pub hedge_win_rate: f64,
    /// The mean cost of a call: 1, and 1 more per extra attempt, won or not.
    pub average_cost: f64,
    /// What the extra attempts add, in percent: 100 when every call is hedged once.
    pub cost_overhead_percent: f64,
    /// Calls per second.
    pub per_second: f64,
    /// How long calls took that were answered. With `.latency(handle)`, how long the attempts took
    /// that the shared handle saw, and the calls that an extra attempt won.
    pub latency: Snapshot,
}

percentiles!(HedgeStats, "the calls' latency");

impl Since {
    pub(crate) fn start() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            at: Instant::now(),
            tally: Tally::default(),
            calls: Snapshot::empty(),
            imagined: Default::default(),
        }))
    }
}

impl HedgeHandle {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Counts and latencies since the start, or since the last [`reset`](Self::reset).
    #[must_use]
    pub fn stats(&self) -> HedgeStats {
        let since = self.settings.since.lock();
        let tally = self.settings.books.tally().since(&since.tally);
        let seconds = since.at.elapsed().as_secs_f64();
        let calls = tally.calls as f64;
        let share = |part: u64, of: f64| if of > 0.0 { part as f64 / of } else { 0.0 };
        // Calls that were under way at a reset may be hedged after it.
        let rate = |part: u64, of: u64| share(part, of as f64).min(1.0);
        HedgeStats {
            requests: tally.calls,
            hedged: tally.hedged,
            fired: tally.fired,
            hedge_wins: tally.wins,
            denied: tally.denied,
            not_ready: tally.not_ready,
            failed: tally.failed,
            cancelled: tally.cancelled,
            unreplayable: tally.unreplayable,
            hedge_rate: rate(tally.hedged, tally.calls),
            hedge_win_rate: rate(tally.wins, tally.hedged),
            average_cost: share(tally.calls + tally.fired, calls),
            cost_overhead_percent: 100.0 * share(tally.fired, calls),
            per_second: share(tally.calls, seconds),
            latency: self.calls().since(&since.calls),
        }
    }

    /// Starts the counts and latencies of [`stats`](Self::stats) anew.
    ///
    /// What the policy has learnt stays.
    pub fn reset(&self) {
        let mut since = self.settings.since.lock();
        *since = Since {
            at: Instant::now(),
            tally: self.settings.books.tally(),
            calls: self.calls(),
            imagined: self
                .settings
                .books
                .imagined()
                .map(|imagined| (imagined.tally(), imagined.latency()))
                .unwrap_or_default(),
        };
    }

    /// How long answered calls took: primaries that won, and calls that an extra attempt won.
    fn calls(&self) -> Snapshot {
        let mut calls = self.settings.latency.total().answered_only();
        calls.merge(&self.settings.books.rescued());
        calls
    }

    /// What hedging would have done with the calls that were only observed, since the start or since
    /// the last [`reset`](Self::reset); `None` if none was.
    ///
    /// Compare it with [`stats`](Self::stats), which has the latencies as they were.
    #[must_use]
    pub fn prediction(&self) -> Option<Prediction> {
        let since = self.settings.since.lock();
        let imagined = self.settings.books.imagined()?;
        let latency = imagined.latency().since(&since.imagined.1);
        let told = imagined.tally().prediction(&since.imagined.0, latency);
        (told.calls > 0).then_some(told)
    }

    /// Whether extra attempts are only predicted, not sent.
    #[must_use]
    pub fn observes_only(&self) -> bool {
        self.settings.books.plan().is_watched()
    }

    /// Switches hedging off and observing on, or back, for calls that begin from now on.
    ///
    /// What has been learnt stays.
    pub fn set_observe_only(&self, on: bool) {
        self.settings.books.observe_only(on);
    }

    /// The histogram of the attempts that this layer reads.
    #[must_use]
    pub fn latency(&self) -> &Latency {
        &self.settings.latency
    }

    /// The budget that extra attempts are paid from.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.settings.budget
    }

    /// How many extra attempts the budget granted, to this layer and to whoever shares it.
    #[must_use]
    pub fn granted(&self) -> u64 {
        self.settings.budget.granted(Kind::Hedge)
    }

    /// How many extra attempts a call that begins now may send.
    #[must_use]
    pub fn max_hedges(&self) -> usize {
        self.settings.books.max_hedges() as usize
    }

    /// Changes how many extra attempts a call may send, for calls that begin from now on.
    ///
    /// 0 switches hedging off; at most 64.
    ///
    /// # Errors
    ///
    /// [`BuildError::MaxHedges`] beyond 64.
    pub fn set_max_hedges(&self, n: usize) -> Result<(), BuildError> {
        if n > 0 {
            BuildError::check_hedges(n)?;
        }
        self.settings.books.set_max_hedges(n as u32);
        Ok(())
    }
}

impl fmt::Debug for HedgeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeHandle")
            .field("books", &self.settings.books)
            .field("latency", &self.settings.latency)
            .field("budget", &self.settings.budget)
            .finish()
    }
}
