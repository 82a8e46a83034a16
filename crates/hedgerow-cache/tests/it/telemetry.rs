//! Every event by metrics; and by tracing without a panic.

use hedgerow_cache::telemetry::{Metrics, Traces};
use hedgerow_cache::{CacheEvent, CacheStatus, CoalesceEvent, PassReason, StoreDeed};
use hedgerow_core::Recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use crate::support::{ms, secs};

#[test]
fn every_event_is_counted_by_its_name() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let ours = Metrics::new().prefix("shop").label("backend", "eu-1");
        let age = secs(1);
        for event in [
            CacheEvent::Answered(CacheStatus::Hit { age, left: age }),
            CacheEvent::Answered(CacheStatus::Stale { age, by: age }),
            CacheEvent::Answered(CacheStatus::StaleOnError { age, by: age }),
            CacheEvent::Answered(CacheStatus::Miss),
            CacheEvent::Answered(CacheStatus::Refetched),
            CacheEvent::Answered(CacheStatus::Bypass),
            CacheEvent::Failed(CacheStatus::Miss),
            CacheEvent::Cancelled,
            CacheEvent::Stored,
            CacheEvent::NotStored,
            CacheEvent::Lost,
            CacheEvent::StoreFailed(StoreDeed::Get),
            CacheEvent::StoreFailed(StoreDeed::Put),
            CacheEvent::Refreshed { renewed: true },
        ] {
            ours.record(&event);
            Traces::new().prefix("shop").record(&event);
        }
        for event in [
            CoalesceEvent::Led,
            CoalesceEvent::Followed,
            CoalesceEvent::Joined,
            CoalesceEvent::Passed(PassReason::Full),
            CoalesceEvent::TriedAgain,
            CoalesceEvent::Denied,
            CoalesceEvent::Answered {
                shared: true,
                elapsed: ms(5),
            },
            CoalesceEvent::Failed {
                shared: false,
                elapsed: ms(5),
            },
            CoalesceEvent::Cancelled {
                dropped: true,
                elapsed: ms(5),
            },
        ] {
            ours.record(&event);
            Traces::new().record(&event);
        }
    });
    let mut told: Vec<String> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let (_, key) = key.into_parts();
            let labels: Vec<_> = key
                .labels()
                .map(|l| format!("{}={}", l.key(), l.value()))
                .collect();
            let value = match value {
                DebugValue::Counter(count) => count,
                DebugValue::Histogram(times) => times.len() as u64,
                DebugValue::Gauge(_) => 0,
            };
            format!("{} {} {value}", key.name(), labels.join(","))
        })
        .collect();
    told.sort();
    let wanted = [
        "shop_flight_seconds backend=eu-1,outcome=cancelled,shared=no 1",
        "shop_flight_seconds backend=eu-1,outcome=failure,shared=no 1",
        "shop_flight_seconds backend=eu-1,outcome=success,shared=yes 1",
        "shop_flights_total backend=eu-1 1",
        "shop_followers_total backend=eu-1 1",
        "shop_joiners_total backend=eu-1 1",
        "shop_lost_total backend=eu-1 1",
        "shop_not_stored_total backend=eu-1 1",
        "shop_passed_total backend=eu-1,reason=full 1",
        "shop_refreshes_total backend=eu-1,renewed=yes 1",
        "shop_requests_cancelled_total backend=eu-1 1",
        "shop_requests_failed_total backend=eu-1,status=miss 1",
        "shop_requests_total backend=eu-1,status=bypass 1",
        "shop_requests_total backend=eu-1,status=hit 1",
        "shop_requests_total backend=eu-1,status=miss 1",
        "shop_requests_total backend=eu-1,status=refetched 1",
        "shop_requests_total backend=eu-1,status=stale 1",
        "shop_requests_total backend=eu-1,status=stale_on_error 1",
        "shop_second_tries_total backend=eu-1,granted=no 1",
        "shop_second_tries_total backend=eu-1,granted=yes 1",
        "shop_store_failures_total backend=eu-1,deed=get 1",
        "shop_store_failures_total backend=eu-1,deed=put 1",
        "shop_stored_total backend=eu-1 1",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn prefixes_that_exporters_cannot_carry_are_refused() {
    assert!(Metrics::new().try_prefix("1st").is_err());
    let refused = Traces::new().try_prefix("a b").unwrap_err();
    assert!(refused.to_string().contains("letters, digits"));
}
