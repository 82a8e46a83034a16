//! The counts of a cascade, and how to read them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Recorder, quietly};
use hedgerow_latency::{Latency, Snapshot};
use parking_lot::Mutex;

use crate::cascade::build;
use crate::cascade::event::CascadeEvent;
use crate::cascade::info::CascadeInfo;
use crate::cascade::spend::SpendCap;
use crate::info::Outcome;
use crate::percentiles::percentiles;

/// A handle on a cascade: its counts, its latencies and its spend cap.
///
/// All handles of a cascade share one [`reset`](Self::reset).
#[derive(Clone)]
pub struct CascadeHandle {
    books: Arc<Books>,
    cap: Option<SpendCap>,
}

/// What a cascade did with the calls that have ended since it was built, or since the last reset.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CascadeStats {
    /// Calls that have ended, however they did.
    pub calls: u64,
    /// Calls with an answer that was good enough.
    pub answered: u64,
    /// Calls that got the best of refused answers.
    pub best: u64,
    /// Calls that the judge called final.
    pub fatal: u64,
    /// Calls in which every tier failed, was refused or was skipped.
    pub failed: u64,
    /// Calls whose time was over, without any answer.
    pub timed_out: u64,
    /// Calls whose caller left.
    pub cancelled: u64,
    /// What all calls cost: every tier that was sent, and its hedges.
    pub cost: f64,
    /// What a call cost on average; 0 without any.
    pub average_cost: f64,
    /// What became of each tier, in declared order.
    pub tiers: Vec<TierStats>,
    /// How long calls took that got an answer. One that timed out, or was left, is known to have
    /// taken longer; one that failed is left out.
    pub latency: Snapshot,
}

/// What became of one tier.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TierStats {
    /// Its name.
    pub name: Arc<str>,
    /// How often it was sent.
    pub started: u64,
    /// How often its answer was good enough, and became the call's.
    pub answered: u64,
    /// How often its answer was refused.
    pub refused: u64,
    /// How often it failed, or the judge said that it timed out.
    pub failed: u64,
    /// How often it was dropped unfinished.
    pub dropped: u64,
    /// How often its turn came, but it was not sent to the end of the call: not granted, not ready
    /// in time, or the request may be sent only once.
    pub skipped: u64,
    /// Copies that its hedge layer sent.
    pub hedges: u64,
    /// What it cost, with its hedges.
    pub cost: f64,
}

percentiles!(CascadeStats, "the calls' latency");

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Answered,
    Best,
    Fatal,
    AllFailed,
    TimedOut,
    Cancelled,
}

impl How {
    pub(super) fn event(self, info: CascadeInfo) -> CascadeEvent {
        match self {
            Self::Answered => CascadeEvent::Answered(info),
            Self::Best => CascadeEvent::Best(info),
            Self::Fatal => CascadeEvent::Fatal(info),
            Self::AllFailed => CascadeEvent::AllFailed(info),
            Self::TimedOut => CascadeEvent::TimedOut(info),
            Self::Cancelled => CascadeEvent::Cancelled(info),
        }
    }
}

/// A recorder; one that panics loses its event and nothing else.
pub(super) struct Told<'a>(&'a build::Told);

impl<'a> Told<'a> {
    pub(super) fn new(told: &'a build::Told) -> Self {
        Self(told)
    }

    pub(super) fn listens(&self) -> bool {
        let mut listens = false;
        quietly(|| listens = self.0.enabled());
        listens
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> CascadeEvent) {
        if self.listens() {
            quietly(|| self.0.record(&event()));
        }
    }
}

/// The counts of a cascade.
pub(super) struct Books {
    counts: Mutex<Counts>,
    latency: Latency,
}

struct Counts {
    /// By [`How`].
    ends: [u64; 6],
    tiers: Vec<TierStats>,
    /// What the histogram held at the last reset.
    since: Snapshot,
}

impl Books {
    pub(super) fn new(names: impl Iterator<Item = Arc<str>>) -> Self {
        Self {
            counts: Mutex::new(Counts {
                ends: [0; 6],
                tiers: names.map(TierStats::of).collect(),
                since: Snapshot::empty(),
            }),
            latency: Latency::new(),
        }
    }

    /// Books a call that has ended: how each tier did whose turn came, in declared order.
    pub(super) fn book(
        &self,
        how: How,
        (elapsed, answered): (Duration, bool),
        tiers: impl Iterator<Item = (Option<Outcome>, u32, f64)>,
    ) {
        match how {
            _ if answered => self.latency.record(elapsed),
            How::TimedOut | How::Cancelled => self.latency.record_censored(elapsed),
            _ => {}
        }
        let mut counts = self.counts.lock();
        counts.ends[how as usize] += 1;
        for (tier, (outcome, hedges, cost)) in counts.tiers.iter_mut().zip(tiers) {
            tier.book(outcome, hedges, cost);
        }
    }
}

impl TierStats {
    fn of(name: Arc<str>) -> Self {
        Self {
            name,
            started: 0,
            answered: 0,
            refused: 0,
            failed: 0,
            dropped: 0,
            skipped: 0,
            hedges: 0,
            cost: 0.0,
        }
    }

    fn book(&mut self, outcome: Option<Outcome>, hedges: u32, cost: f64) {
        let Some(outcome) = outcome else {
            self.skipped += 1;
            return;
        };
        self.started += 1;
        self.hedges += u64::from(hedges);
        self.cost += cost * f64::from(1 + hedges);
        match outcome {
            Outcome::Won => self.answered += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Lost | Outcome::TimedOut | Outcome::Cancelled => self.dropped += 1,
        }
    }
}

impl CascadeHandle {
    pub(super) fn new(books: Arc<Books>, cap: Option<SpendCap>) -> Self {
        Self { books, cap }
    }

    /// Counts and latencies since the cascade was built, or since the last [`reset`](Self::reset).
    #[must_use]
    pub fn stats(&self) -> CascadeStats {
        let latency = self.books.latency.total();
        let counts = self.books.counts.lock();
        let calls: u64 = counts.ends.iter().sum();
        let cost: f64 = counts.tiers.iter().map(|tier| tier.cost).sum();
        let of = |how: How| counts.ends[how as usize];
        CascadeStats {
            calls,
            answered: of(How::Answered),
            best: of(How::Best),
            fatal: of(How::Fatal),
            failed: of(How::AllFailed),
            timed_out: of(How::TimedOut),
            cancelled: of(How::Cancelled),
            cost,
            average_cost: if calls > 0 { cost / calls as f64 } else { 0.0 },
            tiers: counts.tiers.clone(),
            latency: latency.since(&counts.since),
        }
    }

    /// Starts the counts and latencies of [`stats`](Self::stats) anew. The spend cap stays as it is.
    pub fn reset(&self) {
        let latency = self.books.latency.total();
        let mut counts = self.books.counts.lock();
        let tiers = counts
            .tiers
            .iter()
            .map(|tier| TierStats::of(tier.name.clone()));
        *counts = Counts {
            ends: [0; 6],
            tiers: tiers.collect(),
            since: latency,
        };
    }

    /// The histogram of the calls' latencies.
    #[must_use]
    pub fn latency(&self) -> &Latency {
        &self.books.latency
    }

    /// What caps the tiers beyond the first, if anything does.
    #[must_use]
    pub fn spend_cap(&self) -> Option<&SpendCap> {
        self.cap.as_ref()
    }
}

impl fmt::Debug for CascadeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CascadeHandle")
            .field("stats", &self.stats())
            .field("spend_cap", &self.cap)
            .finish()
    }
}
