//! Memory stays within the bound, whatever is stored. A program of its own, because it counts all allocations.

#![expect(clippy::print_stdout, reason = "it says what it measured")]

use std::alloc::System;

use hedgerow_cache::{Entry, MemoryStore, Stamp, Store};
use hedgerow_core::Answer;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Zipf};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One after the other: all allocations of the program are counted.
#[test]
fn memory_stays_within_the_bound() {
    under_a_zipf_load_of_1_byte_to_1_megabyte_memory_stays_within_the_bound();
    a_million_tiny_answers_stay_within_the_bound();
}

fn under_a_zipf_load_of_1_byte_to_1_megabyte_memory_stays_within_the_bound() {
    const BOUND: u64 = 32 << 20;
    let seed = 0x21bf;
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let keys = Zipf::new(200_000.0, 0.9).expect("a valid law");
    let region = Region::new(ALLOCATOR);
    let live = || {
        let change = region.change();
        change.bytes_allocated as i64 - change.bytes_deallocated as i64
    };
    let store = MemoryStore::<u64, Vec<u8>>::bytes(BOUND, |_, value| value.capacity());
    let mut most = 0;
    let (mut hits, calls) = (0, 100_000);
    for n in 0..calls {
        let key = keys.sample(&mut rng) as u64;
        let Answer::Now(Ok(got)) = store.get(&key, Stamp::from_millis(n)) else {
            panic!("memory answers at once");
        };
        if got.is_some() {
            hits += 1;
        } else {
            // One length a key, each power of two as often as another, and every fourth key a byte.
            let power = (key * 7) % 21;
            let length = if key.is_multiple_of(4) {
                1
            } else {
                (1_usize << power).min(1_000_000)
            };
            let entry = Entry {
                value: vec![key as u8; length],
                stored: Stamp::from_millis(n),
                fresh_until: Stamp::from_millis(u64::MAX),
                keep_until: Stamp::from_millis(u64::MAX),
            };
            let _ = store.offer(key, entry);
        }
        if n % 64 == 0 {
            most = most.max(live());
            assert!(
                live() <= BOUND as i64,
                "{} bytes of {BOUND} after {n} calls",
                live()
            );
        }
    }
    let stats = store.stats();
    println!("most {most} of {BOUND} bytes; {hits} hits of {calls}; {stats:?}");
    assert!(stats.bytes <= BOUND && stats.evicted > 0);
    // The bound is used, not hidden behind.
    assert!(most > BOUND as i64 / 2, "{most}");
    drop(store);
    assert!(live() < 4_096, "{} bytes are left", live());
}

/// Nothing but small ones: what the tables take is part of the bound.
fn a_million_tiny_answers_stay_within_the_bound() {
    const BOUND: u64 = 8 << 20;
    let region = Region::new(ALLOCATOR);
    let store = MemoryStore::<u64, u64>::bytes(BOUND, |_, _| 0);
    for n in 0..1_000_000_u64 {
        let entry = Entry {
            value: n,
            stored: Stamp::from_millis(n),
            fresh_until: Stamp::from_millis(u64::MAX),
            keep_until: Stamp::from_millis(u64::MAX),
        };
        let _ = store.offer(n, entry);
        if n % 1_024 == 0 {
            let change = region.change();
            let live = change.bytes_allocated as i64 - change.bytes_deallocated as i64;
            assert!(live <= BOUND as i64, "{live} bytes of {BOUND} after {n}");
        }
    }
    println!("{:?}", store.stats());
}
