//! The histogram itself, as a handle that is shared by cloning.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hedgerow_core::{Attempt, LatencyView};
use parking_lot::Mutex;

use crate::bucket::{self, Grain};
use crate::cell::{Cell, Counting, Counts, Mark, Marks, TICK, shard};
use crate::error::WindowError;
use crate::estimate::{self, Beyond, Survival};
use crate::published::Published;
use crate::snapshot::Snapshot;
use crate::sync::{AtomicU64, Ordering};

/// The published quantiles are computed anew at most this often.
const REFRESH: Duration = Duration::from_millis(250);
/// Up to this many samples they are computed anew every [`EARLY_STEP`] samples as well.
const EARLY: u64 = 1_024;
const EARLY_STEP: u64 = 64;
/// A half that fills faster than quantiles are published may grow to this many times its size.
const MOST_HALVES: u64 = 8;
const DEFAULT_WINDOW: u64 = 1_000;
const MAX_WINDOW: u64 = 1 << 31;

/// A latency histogram that many threads record into and every layer may read.
///
/// Clones share it. Its **window** is counted, not timed: two halves of a fixed number of samples
/// take turns, and quantiles are read from both, so the window holds between one and two halves of
/// samples. There is no dead first period and no reset after idling: an hour without traffic
/// changes nothing. Where samples come so fast that a half is full before quantiles are published
/// again, it goes on until then, up to eight times its size.
///
/// Quantiles are a product-limit estimate: a sample that was cut off
/// ([`record_censored`](Self::record_censored): a race lost, a timeout, a caller that left) counts
/// as "longer than this" instead of being dropped or taken for an answer. They learn from
/// primaries only; extra copies ([`Attempt::is_extra`]) go into [`extras`](Self::extras).
///
/// # Examples
///
/// ```
/// use hedgerow_latency::Latency;
/// use std::time::Duration;
///
/// let latency = Latency::new();
/// for ms in 1..=100 { latency.record(Duration::from_millis(ms)); }
/// latency.record_censored(Duration::from_millis(70));
/// let p95 = latency.total().quantile(0.95).unwrap();
/// assert!(p95 >= Duration::from_millis(94) && p95 <= Duration::from_millis(97));
/// ```
///
/// # Units
///
/// Microsecond grain from 1 µs to 1 h, ≤ 1 % relative error; longer latencies count as 71 minutes.
///
/// # Cost
///
/// Recording is one relaxed `fetch_add` and a plain count on cache lines of the thread's own; no
/// lock, no allocation. Reading a quantile through [`LatencyView`] is a few loads: the values are
/// published, computed anew at most every 250 ms (and every 64 samples among the first 1,024) by
/// whichever thread records then, in about 30,000 instructions. Published values may lag by 15
/// samples a thread. A histogram holds about 110 KiB, and 50 more for extras once there are any;
/// a [`coarse`](Self::coarse) one a seventh of that.
/// The bench `overhead` measures it.
#[derive(Clone)]
pub struct Latency {
    inner: Arc<Inner>,
}

struct Inner {
    window: u64,
    grain: Grain,
    primaries: Cell,
    /// Extra copies are only ever read as a whole.
    extras: OnceLock<Cell>,
    published: Published,
    /// When the published quantiles are due, in nanoseconds from `base`.
    next_refresh_ns: AtomicU64,
    maintenance: Mutex<Maintenance>,
    base: Instant,
}

/// What one thread at a time does for all.
struct Maintenance {
    marks: Marks,
    /// How many samples had come when the window was forgotten.
    forgotten: u64,
    /// The estimate as something to draw from, until quantiles are published again.
    drawn_from: Option<Survival>,
    /// What was merged from elsewhere.
    merged: Option<Counts>,
}

impl Latency {
    /// A histogram with a window of two halves of 1,000 samples.
    #[must_use]
    pub fn new() -> Self {
        Self::build(DEFAULT_WINDOW, Grain::FINE)
    }

    /// A histogram with a window of two halves of `half` samples, rounded up to a multiple of 16.
    ///
    /// 1 ≤ `half` ≤ 2³¹. For a quantile *q* at least 20 / (1 − *q*) are needed for a steady value:
    /// [`for_quantile`](Self::for_quantile) computes that.
    ///
    /// # Panics
    ///
    /// If `half` is out of range: [`try_with_window`](Self::try_with_window) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn with_window(half: u64) -> Self {
        match Self::try_with_window(half) {
            Ok(latency) => latency,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`with_window`](Self::with_window), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`WindowError`] if `half` is 0 or beyond 2³¹.
    pub fn try_with_window(half: u64) -> Result<Self, WindowError> {
        if half == 0 || half > MAX_WINDOW {
            return Err(WindowError { half });
        }
        Ok(Self::build(half, Grain::FINE))
    }

    /// A histogram whose window suits the quantile `q`: halves of max(1,000, 20 / (1 − *q*)).
    ///
    /// A `q` outside of 0 < q < 1 gets the default window.
    #[must_use]
    pub fn for_quantile(q: f64) -> Self {
        if !(q > 0.0 && q < 1.0) {
            return Self::new();
        }
        let needed = (20.0 / (1.0 - q)).ceil() as u64;
        Self::build(needed.clamp(DEFAULT_WINDOW, MAX_WINDOW), Grain::FINE)
    }

    /// A new, empty histogram with the same window and 16 buckets an octave instead of 128.
    ///
    /// For one of many: it is within 6.3 % and holds 8 to 15 KiB. A quantile between the bounds of a
    /// bucket is interpolated, so on a smooth law it is much closer than that.
    #[must_use]
    pub fn coarse(&self) -> Self {
        Self::build(self.inner.window, Grain::COARSE)
    }

    fn build(half: u64, grain: Grain) -> Self {
        let counting = if grain == Grain::FINE {
            Counting::ByThread
        } else {
            Counting::Together
        };
        Self {
            inner: Arc::new(Inner {
                window: half,
                grain,
                primaries: Cell::new(grain.buckets(), half, counting),
                extras: OnceLock::new(),
                published: Published::new(),
                next_refresh_ns: AtomicU64::new(0),
                maintenance: Mutex::new(Maintenance {
                    marks: Marks::default(),
                    forgotten: 0,
                    drawn_from: None,
                    merged: None,
                }),
                base: now(),
            }),
        }
    }

    /// Records the latency of a primary attempt that was answered.
    #[inline]
    pub fn record(&self, latency: Duration) {
        self.inner.add(latency, Mark::Event, None);
    }

    /// Records a primary attempt that was cut off when it had taken `age`: its latency is longer.
    #[inline]
    pub fn record_censored(&self, age: Duration) {
        self.inner.add(age, Mark::Censored, None);
    }

    /// Records an attempt that was answered, or cut off, at `now` after `elapsed`.
    ///
    /// What the layers call: they have read the clock already. An extra copy does not move the
    /// quantiles.
    #[inline]
    pub fn record_attempt(
        &self,
        now: Instant,
        attempt: Attempt,
        elapsed: Duration,
        answered: bool,
    ) {
        let mark = if answered {
            Mark::Event
        } else {
            Mark::Censored
        };
        if attempt.is_extra() {
            self.inner.add_extra(elapsed, mark);
        } else {
            self.inner.add(elapsed, mark, Some(now));
        }
    }

    /// What is in the window now: the samples that the published quantiles stand on.
    #[must_use]
    pub fn window(&self) -> Snapshot {
        let mut counts = self.inner.zeros();
        let maintenance = self.inner.maintenance.lock();
        self.inner.primaries.window(&maintenance.marks, &mut counts);
        Snapshot::new(counts)
    }

    /// Every sample of a primary since the start.
    #[must_use]
    pub fn total(&self) -> Snapshot {
        let merged = self.inner.maintenance.lock().merged.clone();
        let mut counts = merged.unwrap_or_else(|| self.inner.zeros());
        self.inner.primaries.add_total(&mut counts);
        Snapshot::new(counts)
    }

    /// Every sample of an extra copy since the start.
    #[must_use]
    pub fn extras(&self) -> Snapshot {
        let mut counts = self.inner.zeros();
        if let Some(extras) = self.inner.extras.get() {
            extras.add_total(&mut counts);
        }
        Snapshot::new(counts)
    }

    /// Adds a snapshot's samples to [`total`](Self::total), not to the window.
    pub fn merge(&self, snapshot: &Snapshot) {
        self.inner
            .maintenance
            .lock()
            .merged
            .get_or_insert_with(|| self.inner.zeros())
            .add(snapshot.counts());
    }

    /// Computes the published quantiles now instead of at the next refresh.
    pub fn refresh(&self) {
        let mut maintenance = self.inner.maintenance.lock();
        self.inner.publish(&mut maintenance);
    }

    /// Forgets every sample of the window, so that the quantiles are learnt anew.
    ///
    /// For a backend that was replaced by another. [`total`](Self::total) keeps them.
    pub fn forget(&self) {
        let mut maintenance = self.inner.maintenance.lock();
        self.inner.primaries.forget(&mut maintenance.marks);
        maintenance.forgotten = with_scratch(self.inner.grain, |scratch| {
            self.inner.primaries.window(&maintenance.marks, scratch)
        });
        self.inner.publish(&mut maintenance);
    }

    /// Adds a snapshot's samples to the window (and to [`total`](Self::total)), as if they had come
    /// just now, and publishes the quantiles: what a service learnt before it was restarted.
    ///
    /// Into an empty histogram this gives the very quantiles that the snapshot's histogram had, if
    /// it was taken by [`window`](Self::window).
    pub fn restore(&self, snapshot: &Snapshot) {
        let mut counts = self.inner.zeros();
        counts.add(snapshot.counts());
        let mut maintenance = self.inner.maintenance.lock();
        self.inner
            .primaries
            .restore(&maintenance.marks, &mut counts);
        self.inner.publish(&mut maintenance);
    }

    /// A latency drawn from the estimate: the one that a share `u` (0 ≤ `u` < 1) of all stays
    /// within.
    ///
    /// With `u` uniform on 0 to 1 the results follow the law that was learnt, as it was when
    /// quantiles were published last. `None` without samples, and for a share beyond what is known,
    /// because too much was cut off.
    ///
    /// # Cost
    ///
    /// A lock and a binary search; one pass through the buckets where quantiles were published
    /// since the last draw. The first draw allocates 26 KiB, of a coarse histogram 4.
    #[must_use]
    pub fn draw(&self, u: f64) -> Option<Duration> {
        let mut maintenance = self.inner.maintenance.lock();
        let Maintenance {
            marks, drawn_from, ..
        } = &mut *maintenance;
        let survival = drawn_from.get_or_insert_with(|| {
            with_scratch(self.inner.grain, |window| {
                self.inner.primaries.window(marks, window);
                Survival::new(window)
            })
        });
        survival.draw(u)
    }

    /// Samples in one half of the window.
    #[must_use]
    pub fn window_size(&self) -> u64 {
        self.inner.window
    }
}

thread_local! {
    /// Where this thread counts a window together.
    static SCRATCH: RefCell<Option<Counts>> = const { RefCell::new(None) };
}

/// Runs `f` with counts of this grain, of which it overwrites everything.
fn with_scratch<T>(grain: Grain, f: impl FnOnce(&mut Counts) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        let scratch = scratch.get_or_insert_with(|| Counts::new(grain));
        if scratch.grain != grain {
            *scratch = Counts::new(grain);
        }
        f(scratch)
    })
}

impl Inner {
    fn zeros(&self) -> Counts {
        Counts::new(self.grain)
    }

    #[inline]
    fn add(&self, latency: Duration, mark: Mark, at: Option<Instant>) {
        let bucket = self.grain.index(bucket::micros(latency));
        if let Some(filled) = self.primaries.add(bucket, mark, shard()) {
            self.tick(filled, at);
        }
    }

    #[cold]
    #[inline(never)]
    fn add_extra(&self, latency: Duration, mark: Mark) {
        let extras = self
            .extras
            .get_or_init(|| Cell::new(self.grain.buckets(), u64::from(TICK), Counting::Together));
        let bucket = self.grain.index(bucket::micros(latency));
        extras.add(bucket, mark, shard());
    }

    /// Every sixteenth sample of a thread: rotate a full window, and publish if it is time.
    #[inline(never)]
    fn tick(&self, filled: u64, at: Option<Instant>) {
        let step = filled.is_multiple_of(EARLY_STEP);
        if !(step || at.is_some()) {
            return;
        }
        let early = step && filled <= EARLY && self.published.count() < EARLY;
        let now = nanos(at.unwrap_or_else(now).saturating_duration_since(self.base));
        let due = now >= self.next_refresh_ns.load(Ordering::Relaxed);
        if !(due || early || self.primaries.has_halves(MOST_HALVES)) {
            return;
        }
        // Whoever holds it does the work; nobody waits for it.
        let Some(mut maintenance) = self.maintenance.try_lock() else {
            return;
        };
        if self.primaries.has_halves(1) {
            self.primaries.rotate(&mut maintenance.marks);
        }
        if due || early {
            self.next_refresh_ns
                .store(now.saturating_add(nanos(REFRESH)), Ordering::Relaxed);
            self.publish(&mut maintenance);
        }
    }

    fn publish(&self, maintenance: &mut Maintenance) {
        with_scratch(self.grain, |window| {
            let all = self.primaries.window(&maintenance.marks, window);
            let samples = all.saturating_sub(maintenance.forgotten);
            self.published.publish(window, samples);
        });
        maintenance.drawn_from = None;
    }
}

/// Nanoseconds as they fit: 584 years.
#[inline]
const fn nanos(d: Duration) -> u64 {
    d.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(d.subsec_nanos() as u64)
}

#[inline]
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

// === impl LatencyView ===

impl LatencyView for Latency {
    /// The published quantile. Where so much was cut off that it is not known (more primaries hang
    /// than 1 − `q`), the largest age seen, but at most twice the largest whole latency, and `None`
    /// if there is none: what a policy would wait for.
    ///
    /// The first request for a `q` computes it and has it published from
    /// then on; up to eight different ones are, any further is computed at each call.
    fn quantile(&self, q: f64) -> Option<Duration> {
        if let Some(value) = self.inner.published.get(q) {
            return value;
        }
        if !(q > 0.0 && q < 1.0) {
            return None;
        }
        let mut maintenance = self.inner.maintenance.lock();
        if self.inner.published.track(q) {
            self.inner.publish(&mut maintenance);
            return self.inner.published.get(q).flatten();
        }
        drop(maintenance);
        estimate::quantiles(self.window().counts(), [q], Beyond::Patience).map(|[found]| found)
    }

    /// Samples of primaries, since the start or since [`forget`](Latency::forget), when the
    /// quantiles were published.
    fn count(&self) -> u64 {
        self.inner.published.count()
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latency")
            .field("window_size", &self.inner.window)
            .field("window", &self.window())
            .finish()
    }
}
