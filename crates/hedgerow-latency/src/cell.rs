//! The lock-free cell: counters that only ever grow, and a window seen through two marks.
//!
//! A recorder does one `fetch_add` on its bucket and counts in its own thread's shard; every
//! sixteenth sample of a shard is a *tick*. Nothing is ever cleared: the window is what came
//! since a mark, a copy of the counters that was taken a while ago ([`Marks`], behind the owner's
//! lock). So no sample can be lost between a recorder and a rotation.

use crate::bucket::Grain;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Samples of one shard between two ticks.
pub(crate) const TICK: u32 = 16;
const SHARDS: usize = 32;

/// What counts of a bucket stop at when they are put together: all of them still add up in 64 bits.
const MOST: u64 = 1 << 50;

/// How a cell counts its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Each thread for itself: 4 KiB.
    ByThread,
    /// All threads together: for one cell of many.
    Together,
}

/// What a sample says about the latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It was this long.
    Event,
    /// It was longer than this: cut off.
    Censored,
}

/// Per bucket: events and censored samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) grain: Grain,
    pub(crate) events: Vec<u64>,
    pub(crate) censored: Vec<u64>,
}

pub(crate) struct Cell {
    events: Box<[AtomicU64]>,
    censored: Box<[AtomicU64]>,
    /// How many samples were cut off: as long as none is, nobody looks through their buckets.
    cut_off: AtomicU64,
    /// Samples since the newer mark, known in steps of [`TICK`].
    filled: Alone<AtomicU64>,
    half_size: u64,
    /// Where samples are counted, if one counter is enough.
    ticks: AtomicU32,
    /// Otherwise a counter for each thread.
    shards: Option<Box<[Alone<AtomicU32>; SHARDS]>>,
}

/// A counter on cache lines of its own (two: they are fetched in pairs), so that writing it takes
/// nothing away from whoever reads its neighbours.
#[repr(align(128))]
struct Alone<T>(T);

/// Copies of a cell's counters, cut to 32 bits: the window began at the older one.
#[derive(Default)]
pub(crate) struct Marks {
    older: Copied,
    newer: Copied,
}

/// Empty until it is copied for the first time, which stands for zeros.
#[derive(Default)]
struct Copied {
    events: Vec<u32>,
    censored: Vec<u32>,
    /// The cell's `cut_off` when `censored` was copied.
    cut_off: u64,
}

impl Counts {
    pub(crate) fn new(grain: Grain) -> Self {
        Self {
            grain,
            events: vec![0; grain.buckets()],
            censored: vec![0; grain.buckets()],
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.combine(other, u64::saturating_add);
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.combine(other, u64::saturating_sub);
    }

    /// Counts of another grain fall into the bucket of their own bucket's middle.
    fn combine(&mut self, other: &Self, with: impl Fn(u64, u64) -> u64) {
        let (mine, theirs) = (self.grain, other.grain);
        for (into, from) in [
            (&mut self.events, &other.events),
            (&mut self.censored, &other.censored),
        ] {
            for (index, &n) in from.iter().enumerate().filter(|&(_, &n)| n > 0) {
                let place = if mine == theirs {
                    index
                } else {
                    mine.index(theirs.middle(index).round() as u64)
                };
                into[place] = with(into[place], n).min(MOST);
            }
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.events.iter().chain(&self.censored).sum()
    }

    /// Whether so many samples can have come: what is read from a file may say anything, and sums
    /// of it are not to overflow.
    #[cfg(any(feature = "hlog", feature = "serde"))]
    pub(crate) fn is_sane(&self) -> bool {
        let all = self.events.iter().chain(&self.censored);
        all.fold(0, |sum: u64, &n| sum.saturating_add(n)) <= 1 << 48
    }
}

impl Cell {
    /// A cell whose halves hold `half_size` samples each, rounded up to whole ticks.
    pub(crate) fn new(buckets: usize, half_size: u64, counting: Counting) -> Self {
        let zeros = || (0..buckets).map(|_| AtomicU64::new(0)).collect();
        Self {
            events: zeros(),
            censored: zeros(),
            cut_off: AtomicU64::new(0),
            filled: Alone(AtomicU64::new(0)),
            half_size: half_size.next_multiple_of(u64::from(TICK)),
            ticks: AtomicU32::new(0),
            shards: (counting == Counting::ByThread)
                .then(|| Box::new(std::array::from_fn(|_| Alone(AtomicU32::new(0))))),
        }
    }

    /// Adds a sample. `Some` at a tick, with the samples since the newer mark.
    #[inline]
    pub(crate) fn add(&self, bucket: usize, mark: Mark, shard: usize) -> Option<u64> {
        match mark {
            Mark::Event => {
                self.events[bucket].fetch_add(1, Ordering::Relaxed);
            }
            Mark::Censored => {
                self.censored[bucket].fetch_add(1, Ordering::Relaxed);
                // After the bucket: whoever sees this sees that.
                self.cut_off.fetch_add(1, Ordering::Release);
            }
        }
        // Not a `fetch_add`, which would cost as much as the one above: should two threads share a
        // shard and meet, a tick comes one sample later.
        let ticks = match &self.shards {
            Some(shards) => &shards[shard % SHARDS].0,
            None => &self.ticks,
        };
        let count = ticks.load(Ordering::Relaxed).wrapping_add(1);
        ticks.store(count, Ordering::Relaxed);
        if !count.is_multiple_of(TICK) {
            return None;
        }
        let tick = u64::from(TICK);
        Some(self.filled.0.fetch_add(tick, Ordering::Relaxed) + tick)
    }

    /// Whether so many halves have come since the newer mark.
    pub(crate) fn has_halves(&self, halves: u64) -> bool {
        self.filled.0.load(Ordering::Relaxed) >= self.half_size * halves
    }

    /// Begins a new half: the window starts where the last one began.
    pub(crate) fn rotate(&self, marks: &mut Marks) {
        self.filled.0.store(0, Ordering::Relaxed);
        std::mem::swap(&mut marks.older, &mut marks.newer);
        marks.newer.copy(self);
    }

    /// Lets the window begin now.
    pub(crate) fn forget(&self, marks: &mut Marks) {
        self.rotate(marks);
        self.rotate(marks);
    }

    /// What has come since the older mark; and how many samples have come at all.
    pub(crate) fn window(&self, marks: &Marks, into: &mut Counts) -> u64 {
        since(&self.events, &marks.older.events, &mut into.events)
            + since(&self.censored, &marks.older.censored, &mut into.censored)
    }

    /// Adds samples as if they had come just now, one by one; up to 2³¹ of one bucket, which a window
    /// can tell apart.
    pub(crate) fn restore(&self, marks: &Marks, counts: &mut Counts) {
        let mut held = Counts::new(counts.grain);
        self.window(marks, &mut held);
        for (n, held) in [
            (&mut counts.events, &held.events),
            (&mut counts.censored, &held.censored),
        ]
        .into_iter()
        .flat_map(|(n, held)| n.iter_mut().zip(held))
        {
            *n = (*n).min((1_u64 << 31).saturating_sub(*held));
        }
        for (from, into) in [
            (&counts.events, &self.events),
            (&counts.censored, &self.censored),
        ] {
            for (&n, counter) in from.iter().zip(into).filter(|&(&n, _)| n > 0) {
                counter.fetch_add(n, Ordering::Relaxed);
            }
        }
        let cut_off = counts.censored.iter().sum();
        self.cut_off.fetch_add(cut_off, Ordering::Release);
        // In whole ticks, as everything that is counted there: steps are told by their multiples.
        let filled = counts.total().next_multiple_of(u64::from(TICK));
        self.filled.0.fetch_add(filled, Ordering::Relaxed);
    }

    /// Adds everything that ever came to `counts`.
    pub(crate) fn add_total(&self, counts: &mut Counts) {
        for (from, into) in [
            (&self.events, &mut counts.events),
            (&self.censored, &mut counts.censored),
        ] {
            for (from, into) in from.iter().zip(into) {
                *into += from.load(Ordering::Relaxed);
            }
        }
    }
}

/// Fewer than 2³² samples fall into one bucket in one window, so 32 bits tell them apart.
fn since(counters: &[AtomicU64], mark: &[u32], into: &mut [u64]) -> u64 {
    let mut all = 0;
    for (index, (counter, into)) in counters.iter().zip(into).enumerate() {
        let now = counter.load(Ordering::Relaxed);
        let mark = mark.get(index).copied().unwrap_or(0);
        *into = u64::from((now as u32).wrapping_sub(mark));
        all += now;
    }
    all
}

impl Copied {
    fn copy(&mut self, cell: &Cell) {
        copy(&cell.events, &mut self.events);
        let cut_off = cell.cut_off.load(Ordering::Acquire);
        if self.cut_off == cut_off {
            return;
        }
        self.cut_off = cut_off;
        copy(&cell.censored, &mut self.censored);
    }
}

fn copy(counters: &[AtomicU64], into: &mut Vec<u32>) {
    into.clear();
    into.extend(counters.iter().map(|n| n.load(Ordering::Relaxed) as u32));
}

/// The shard of this thread.
#[cfg(not(hedgerow_loom))]
#[inline]
pub(crate) fn shard() -> usize {
    use std::cell::Cell as StdCell;
    use std::sync::atomic::AtomicUsize;

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: StdCell<usize> = const { StdCell::new(usize::MAX) };
    }
    let mine = SHARD.get();
    if mine != usize::MAX {
        return mine;
    }
    let mine = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    SHARD.set(mine);
    mine
}

#[cfg(hedgerow_loom)]
pub(crate) fn shard() -> usize {
    0
}

#[cfg(all(test, not(hedgerow_loom)))]
mod tests {
    use super::*;

    fn eight() -> Counts {
        Counts {
            grain: Grain::FINE,
            events: vec![0; 8],
            censored: vec![0; 8],
        }
    }

    fn held(cell: &Cell, marks: &Marks) -> u64 {
        let mut window = eight();
        cell.window(marks, &mut window);
        window.total()
    }

    #[test]
    fn the_window_is_never_empty_after_its_first_sample() {
        let (cell, mut marks) = (Cell::new(8, 16, Counting::Together), Marks::default());
        for n in 1..=200u64 {
            if cell.add(1, Mark::Event, 0).is_some() && cell.has_halves(1) {
                cell.rotate(&mut marks);
            }
            let held = held(&cell, &marks);
            assert!(held >= n.min(16) && held < 33, "{held} after {n}");
        }
    }

    #[test]
    fn forgetting_empties_the_window_and_keeps_the_total() {
        let (cell, mut marks) = (Cell::new(8, 16, Counting::Together), Marks::default());
        for _ in 0..20 {
            cell.add(3, Mark::Censored, 0);
        }
        cell.forget(&mut marks);
        assert_eq!(held(&cell, &marks), 0);
        cell.add(3, Mark::Censored, 0);
        assert_eq!(held(&cell, &marks), 1);
        let mut total = eight();
        cell.add_total(&mut total);
        assert_eq!(total.censored[3], 21);
    }

    #[test]
    fn counters_that_pass_32_bits_do_not_disturb_the_window() {
        let (cell, mut marks) = (Cell::new(8, 16, Counting::Together), Marks::default());
        cell.events[2].store(u64::from(u32::MAX) - 3, Ordering::Relaxed);
        cell.forget(&mut marks);
        for _ in 0..10 {
            cell.add(2, Mark::Event, 0);
        }
        assert_eq!(held(&cell, &marks), 10);
    }

    #[test]
    fn restored_samples_leave_the_window_as_others_do() {
        let (cell, mut marks) = (Cell::new(8, 16, Counting::Together), Marks::default());
        let mut saved = eight();
        (saved.events[1], saved.censored[4]) = (10, 10);
        cell.restore(&marks, &mut saved);
        assert_eq!(held(&cell, &marks), 20);
        assert!(cell.has_halves(1));
        cell.rotate(&mut marks);
        assert_eq!(held(&cell, &marks), 20);
        cell.add(3, Mark::Event, 0);
        cell.rotate(&mut marks);
        assert_eq!(held(&cell, &marks), 1);
    }

    #[test]
    fn counts_of_another_grain_fall_into_the_nearest_bucket() {
        let (mut fine, mut coarse) = (Counts::new(Grain::FINE), Counts::new(Grain::COARSE));
        coarse.events[Grain::COARSE.index(10_000)] = 3;
        fine.add(&coarse);
        let place = fine
            .events
            .iter()
            .position(|&n| n > 0)
            .expect("three samples");
        let middle = Grain::FINE.middle(place);
        assert_eq!(fine.events[place], 3);
        assert!((middle - 10_000.0).abs() < 10_000.0 / 16.0, "{middle}");
    }
}

#[cfg(all(test, hedgerow_loom))]
mod loom_tests {
    use loom::sync::{Arc, Mutex};

    use super::*;

    /// Whatever a rotation meets, each sample is in exactly one half, and both are in the window.
    #[test]
    fn loom_a_rotation_loses_no_sample() {
        loom::model(|| {
            let cell = Arc::new(Cell::new(1, 16, Counting::Together));
            let marks = Arc::new(Mutex::new(Marks::default()));
            let recorder = {
                let cell = cell.clone();
                loom::thread::spawn(move || {
                    cell.add(0, Mark::Event, 0);
                    cell.add(0, Mark::Censored, 0);
                    cell.add(0, Mark::Event, 0);
                })
            };
            let rotator = {
                let (cell, marks) = (cell.clone(), marks.clone());
                loom::thread::spawn(move || {
                    cell.rotate(&mut marks.lock().expect("nobody panics"));
                })
            };
            recorder.join().expect("nobody panics");
            rotator.join().expect("nobody panics");
            let one = || Counts {
                grain: Grain::FINE,
                events: vec![0],
                censored: vec![0],
            };
            let (mut window, mut total) = (one(), one());
            cell.window(&marks.lock().expect("nobody panics"), &mut window);
            cell.add_total(&mut total);
            assert_eq!((window.events[0], window.censored[0]), (2, 1));
            assert_eq!(window, total);
        });
    }
}
