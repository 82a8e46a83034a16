//! The lock-free cell: two halves of a counted window that recorders add to.
//!
//! A recorder does one `fetch_add` on its bucket and one on a counter of its own thread's shard.
//! Every eighth sample of a shard is a *tick*: it adds up the shards and may ask for maintenance.
//! Maintenance (one thread at a time, [`Retired`] behind the owner's lock) moves the older half
//! into the retired counts and makes it the current one. A recorder that was overtaken by a
//! rotation still adds to a half that is read: no sample is ever lost.

use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Samples of one shard between two ticks.
pub(crate) const TICK: u32 = 8;
const SHARDS: usize = 8;

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
    pub(crate) events: Vec<u64>,
    pub(crate) censored: Vec<u64>,
}

pub(crate) struct Cell {
    halves: [Half; 2],
    current: AtomicUsize,
    /// Samples in the current half, known in steps of [`TICK`].
    filled: AtomicU64,
    half_size: u64,
    shards: [Shard; SHARDS],
}

struct Half {
    events: Box<[AtomicU32]>,
    censored: Box<[AtomicU32]>,
    /// Cut-off samples in this half: without any, nobody has to look through its buckets.
    cut_off: AtomicU32,
}

/// A counter on a cache line of its own.
#[repr(align(64))]
struct Shard(AtomicU32);

impl Counts {
    pub(crate) fn new(buckets: usize) -> Self {
        Self {
            events: vec![0; buckets],
            censored: vec![0; buckets],
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.events.iter_mut().zip(&other.events) {
            *mine += theirs;
        }
        for (mine, theirs) in self.censored.iter_mut().zip(&other.censored) {
            *mine += theirs;
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (mine, theirs) in self.events.iter_mut().zip(&other.events) {
            *mine = mine.saturating_sub(*theirs);
        }
        for (mine, theirs) in self.censored.iter_mut().zip(&other.censored) {
            *mine = mine.saturating_sub(*theirs);
        }
    }
}

impl Cell {
    /// A cell whose halves hold `half_size` samples each, rounded up to whole ticks.
    pub(crate) fn new(buckets: usize, half_size: u64) -> Self {
        Self {
            halves: [Half::new(buckets), Half::new(buckets)],
            current: AtomicUsize::new(0),
            filled: AtomicU64::new(0),
            half_size: half_size.next_multiple_of(u64::from(TICK)),
            shards: std::array::from_fn(|_| Shard(AtomicU32::new(0))),
        }
    }

    /// Adds a sample. `Some` at a tick, with the samples in the current half.
    #[inline]
    pub(crate) fn add(&self, bucket: usize, mark: Mark, shard: usize) -> Option<u64> {
        let half = &self.halves[self.current.load(Ordering::Relaxed) & 1];
        match mark {
            Mark::Event => {
                half.events[bucket].fetch_add(1, Ordering::Relaxed);
            }
            Mark::Censored => half.cut_off(bucket),
        }
        let before = self.shards[shard % SHARDS]
            .0
            .fetch_add(1, Ordering::Relaxed);
        if before % TICK != TICK - 1 {
            return None;
        }
        let tick = u64::from(TICK);
        Some(self.filled.fetch_add(tick, Ordering::Relaxed) + tick)
    }

    /// Whether the current half has its number of samples.
    pub(crate) fn is_full(&self) -> bool {
        self.filled.load(Ordering::Relaxed) >= self.half_size
    }

    /// Moves the older half into `retired` and makes it the current one. One thread at a time.
    pub(crate) fn rotate(&self, retired: &mut Counts) {
        let older = 1 - (self.current.load(Ordering::Relaxed) & 1);
        self.halves[older].drain_into(retired);
        self.filled.store(0, Ordering::Relaxed);
        self.current.store(older, Ordering::Relaxed);
    }

    /// Adds both halves to `counts`.
    pub(crate) fn read_into(&self, counts: &mut Counts) {
        for half in &self.halves {
            half.read_into(counts);
        }
    }

    /// Forgets everything that is in the window.
    pub(crate) fn clear(&self, scratch: &mut Counts) {
        for half in &self.halves {
            half.drain_into(scratch);
        }
        self.filled.store(0, Ordering::Relaxed);
    }
}

impl Half {
    fn new(buckets: usize) -> Self {
        let zeros = || (0..buckets).map(|_| AtomicU32::new(0)).collect();
        Self {
            events: zeros(),
            censored: zeros(),
            cut_off: AtomicU32::new(0),
        }
    }

    #[cold]
    fn cut_off(&self, bucket: usize) {
        self.censored[bucket].fetch_add(1, Ordering::Relaxed);
        // After the bucket: whoever takes this mark away sees the bucket's count.
        self.cut_off.fetch_add(1, Ordering::Release);
    }

    fn drain_into(&self, counts: &mut Counts) {
        drain(&self.events, &mut counts.events);
        if self.cut_off.load(Ordering::Relaxed) > 0 {
            self.cut_off.swap(0, Ordering::AcqRel);
            drain(&self.censored, &mut counts.censored);
        }
    }

    fn read_into(&self, counts: &mut Counts) {
        read(&self.events, &mut counts.events);
        if self.cut_off.load(Ordering::Acquire) > 0 {
            read(&self.censored, &mut counts.censored);
        }
    }
}

fn drain(from: &[AtomicU32], into: &mut [u64]) {
    for (from, into) in from.iter().zip(into) {
        // A plain load first: most buckets are empty, and a swap costs twenty times more.
        if from.load(Ordering::Relaxed) != 0 {
            *into += u64::from(from.swap(0, Ordering::Relaxed));
        }
    }
}

fn read(from: &[AtomicU32], into: &mut [u64]) {
    for (from, into) in from.iter().zip(into) {
        *into += u64::from(from.load(Ordering::Relaxed));
    }
}

/// The shard of this thread.
#[cfg(not(hedgerow_loom))]
#[inline]
pub(crate) fn shard() -> usize {
    use std::cell::Cell as StdCell;
    use std::sync::atomic::AtomicUsize as StdAtomicUsize;

    static NEXT: StdAtomicUsize = StdAtomicUsize::new(0);
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

    fn total(cell: &Cell, retired: &Counts) -> u64 {
        let mut all = retired.clone();
        cell.read_into(&mut all);
        all.events.iter().sum::<u64>() + all.censored.iter().sum::<u64>()
    }

    #[test]
    fn the_window_is_never_empty_after_its_first_sample() {
        let (cell, mut retired) = (Cell::new(4, 16), Counts::new(4));
        for n in 1..=200u64 {
            if cell.add(1, Mark::Event, 0).is_some() && cell.is_full() {
                cell.rotate(&mut retired);
            }
            let mut window = Counts::new(4);
            cell.read_into(&mut window);
            let held = window.events[1];
            assert!(held >= n.min(16) && held < 33, "{held} after {n}");
        }
        assert_eq!(total(&cell, &retired), 200);
    }

    #[test]
    fn no_sample_is_lost_under_two_threads_and_rotations() {
        let cell = Cell::new(8, 64);
        let retired = parking_lot::Mutex::new(Counts::new(8));
        std::thread::scope(|s| {
            for shard in 0..2 {
                let (cell, retired) = (&cell, &retired);
                s.spawn(move || {
                    for n in 0..50_000usize {
                        if cell.add(n % 8, Mark::Event, shard).is_some()
                            && cell.is_full()
                            && let Some(mut retired) = retired.try_lock()
                            && cell.is_full()
                        {
                            cell.rotate(&mut retired);
                        }
                    }
                });
            }
        });
        assert_eq!(total(&cell, &retired.lock()), 100_000);
    }
}

#[cfg(all(test, hedgerow_loom))]
mod loom_tests {
    use loom::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn loom_a_rotation_loses_no_sample() {
        loom::model(|| {
            let cell = Arc::new(Cell::new(1, 8));
            let retired = Arc::new(Mutex::new(Counts::new(1)));
            let recorder = {
                let cell = cell.clone();
                loom::thread::spawn(move || {
                    cell.add(0, Mark::Event, 0);
                    cell.add(0, Mark::Censored, 0);
                })
            };
            let rotator = {
                let (cell, retired) = (cell.clone(), retired.clone());
                loom::thread::spawn(move || {
                    cell.rotate(&mut retired.lock().expect("nobody panics"));
                    cell.rotate(&mut retired.lock().expect("nobody panics"));
                })
            };
            recorder.join().expect("nobody panics");
            rotator.join().expect("nobody panics");
            let mut all = retired.lock().expect("nobody panics").clone();
            cell.read_into(&mut all);
            assert_eq!((all.events[0], all.censored[0]), (1, 1));
        });
    }
}
