//! Nanoseconds to record one latency, from one thread and from two, beside a locked histogram.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use hedgerow::Latency;
use tokio::time::Instant;

use crate::times::median;

const ROUNDS: usize = 11;
/// How many different latencies are recorded, over and over.
const DIFFERENT: usize = 1_024;
/// Enough for tens of milliseconds: two threads that have just been started share a core for a while
/// and take turns, in which a lock costs next to nothing.
const RECORDS: usize = 2_000 * DIFFERENT;
/// What the locked histogram is asked to tell apart: 1 µs to 1 h, three digits.
const HIGHEST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// What latencies are recorded into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Book {
    /// `hedgerow::Latency`.
    Latency,
    /// An `hdrhistogram::Histogram` behind std's mutex.
    StdMutex,
    /// An `hdrhistogram::Histogram` behind `parking_lot`'s mutex.
    ParkingLot,
    /// One atomic add to a counter of an array, nothing else: no bucket, no window.
    Floor,
}

/// Nanoseconds per record, median of all rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    pub(crate) book: Book,
    pub(crate) alone_ns: f64,
    /// Per record of each of two threads that record at the same time.
    pub(crate) two_threads_ns: f64,
}

impl Book {
    const ALL: [Self; 4] = [Self::Latency, Self::StdMutex, Self::ParkingLot, Self::Floor];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Latency => "Latency::record",
            Self::StdMutex => "std Mutex<Histogram>",
            Self::ParkingLot => "parking_lot Mutex<Histogram>",
            Self::Floor => "floor: one atomic add in an array",
        }
    }
}

/// Measures all books, taking turns.
pub(crate) fn measure() -> anyhow::Result<Vec<Recorded>> {
    let latencies = latencies();
    let latency = Latency::new();
    let histogram = Histogram::<u64>::new_with_max(HIGHEST_US, DIGITS)?;
    let std_mutex = Mutex::new(histogram.clone());
    let parking_lot = parking_lot::Mutex::new(histogram);
    let into_std = |taken: Duration| {
        std_mutex
            .lock()
            .expect("nobody panics with the lock")
            .saturating_record(taken.as_micros() as u64);
    };
    let into_parking_lot = |taken: Duration| {
        parking_lot
            .lock()
            .saturating_record(taken.as_micros() as u64);
    };
    let counts: [AtomicU64; DIFFERENT] = [const { AtomicU64::new(0) }; DIFFERENT];
    let into_array = |taken: Duration| {
        counts[taken.as_micros() as usize % DIFFERENT].fetch_add(1, Ordering::Relaxed);
    };
    let mut rounds = Book::ALL.map(|_| [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        for (book, [alone, two]) in Book::ALL.into_iter().zip(&mut rounds) {
            for (threads, taken) in [(1, alone), (2, two)] {
                taken.push(match book {
                    Book::Latency => time(threads, &latencies, |taken| latency.record(taken)),
                    Book::StdMutex => time(threads, &latencies, into_std),
                    Book::ParkingLot => time(threads, &latencies, into_parking_lot),
                    Book::Floor => time(threads, &latencies, into_array),
                });
            }
        }
    }
    let recorded = Book::ALL.into_iter().zip(rounds);
    Ok(recorded
        .map(|(book, [alone, two])| Recorded {
            book,
            alone_ns: median(alone),
            two_threads_ns: median(two),
        })
        .collect())
}

/// Nanoseconds per record, on average over `threads` that begin together.
fn time(threads: usize, latencies: &[Duration], record: impl Fn(Duration) + Sync) -> f64 {
    let together = Barrier::new(threads);
    let work = || {
        together.wait();
        let started = Instant::now();
        for _ in 0..RECORDS / latencies.len() {
            for &latency in latencies {
                record(latency);
            }
        }
        started.elapsed().as_nanos() as f64
    };
    let taken: f64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("recording does not panic"))
            .sum()
    });
    taken / (threads * RECORDS) as f64
}

/// Latencies over four powers of ten, in no order.
fn latencies() -> Vec<Duration> {
    let step = 0.618_033_988_749_895_f64;
    (0..DIFFERENT)
        .map(|n| {
            let power = (n as f64 * step).fract() * 4.0;
            Duration::from_nanos((100_000.0 * 10_f64.powf(power)) as u64)
        })
        .collect()
}
