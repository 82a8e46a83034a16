//! What state by key may hold, counted at the allocator.

use std::alloc::System;
use std::time::Duration;

use hedgerow::{Attempt, HedgeLayer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer, ServiceExt};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KEYS: u64 = 10_000;
const MIB: usize = 1 << 20;

/// What is held now beyond what was held when `region` began.
fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change
        .bytes_allocated
        .saturating_sub(change.bytes_deallocated)
}

/// The docs of `HedgeLayer::key` say: below 160 MiB, 4 KiB a key more if it is only observed.
#[tokio::test(start_paused = true)]
async fn ten_thousand_keys_stay_inside_the_stated_memory_and_a_flood_adds_nothing() {
    for (observing, stated) in [(false, 160 * MIB), (true, 200 * MIB)] {
        let client = tower::service_fn(async |_: u64| Ok::<_, ()>(()));
        let region = Region::new(COUNTING);
        let layer = HedgeLayer::percentile(95)
            .clone_requests()
            .key(|key: &u64| *key)
            .max_keys(KEYS as usize);
        let layer = if observing {
            layer.observe_only()
        } else {
            layer
        };
        let service = layer.layer(client);
        for key in 0..KEYS {
            service.clone().oneshot(key).await.expect("an answer");
        }
        println!("new: {} KiB a key", held(&region) / 1_024 / KEYS as usize);

        // Until each key's window has turned over twice, with samples all over the range.
        let start = tokio::time::Instant::now().into_std();
        for key in 0..KEYS {
            let latency = layer
                .keys()
                .latency(&key)
                .expect("as many as allowed are kept");
            for n in 0..2_500u64 {
                let now = start + Duration::from_millis(n);
                let took = Duration::from_micros(1 << (n % 32));
                latency.record_attempt(now, Attempt::PRIMARY, took, !n.is_multiple_of(5));
            }
            if observing {
                assert!(latency.draw(0.5).is_some());
            }
        }
        let full = held(&region);
        println!(
            "full: {} MiB, {} KiB a key",
            full / MIB,
            full / 1_024 / KEYS as usize
        );
        assert_eq!(layer.keys().len(), KEYS as usize);
        assert!(full <= stated, "{full} bytes, {stated} were stated");

        for key in 0..100_000u64 {
            service
                .clone()
                .oneshot(KEYS + key)
                .await
                .expect("an answer");
        }
        assert_eq!(layer.keys().len(), KEYS as usize);
        let flooded = held(&region);
        println!("flooded: {} MiB", flooded / MIB);
        assert!(
            flooded <= full.max(stated),
            "{flooded} bytes after the flood"
        );
    }
}
