//! B4: delays that the request asks for.

use std::time::Duration;

use hedgerow_hedge::HedgeLayer;
use hedgerow_hedge::policy::{Complexity, Factors, Priority, TimeOfDay};
use tower::{Layer, ServiceExt};

use crate::support::{Backend, ms};

#[test]
fn factors_multiply_as_stated() {
    use Complexity::{Complex, Medium, Simple};
    use TimeOfDay::{OffPeak, Peak};
    let usual = (Medium, TimeOfDay::Normal, Priority::Normal);
    for (chars, (complexity, time, priority), micros) in [
        (0, usual, 100_000),
        (1_000, usual, 100_000),
        (1_001, usual, 150_000),
        (2_000, usual, 150_000),
        (2_001, usual, 200_000),
        (4_000, usual, 200_000),
        (4_001, usual, 250_000),
        (4_001, (Complex, OffPeak, Priority::Low), 975_000),
        (0, (Simple, Peak, Priority::High), 21_000),
        (1_500, (Simple, OffPeak, Priority::High), 58_500),
        (3_000, (Complex, Peak, Priority::Normal), 280_000),
        (
            usize::MAX,
            (Medium, TimeOfDay::Normal, Priority::Low),
            375_000,
        ),
    ] {
        let delay = Factors::default()
            .prompt_chars(chars)
            .complexity(complexity)
            .time_of_day(time)
            .priority(priority)
            .delay();
        let told = (chars, complexity, time, priority);
        assert_eq!(delay, Duration::from_micros(micros), "{told:?}");
    }
}

#[test]
fn factors_stay_within_their_limits() {
    let least = Factors::default()
        .base(ms(20))
        .complexity(Complexity::Simple)
        .priority(Priority::High);
    assert_eq!(least.delay(), ms(10));
    let free = least.try_between(ms(0), ms(1_000)).expect("a range");
    assert_eq!(free.delay(), ms(6));
    let capped = free.base(ms(9_000)).delay();
    assert_eq!(capped, ms(1_000));
    // The last one told counts, and nothing overflows.
    let told = free.priority(Priority::Low).priority(Priority::Normal);
    assert_eq!(told.delay(), ms(10));
    let endless = Factors::default().base(Duration::MAX).prompt_chars(5_000);
    assert_eq!(endless.delay(), Duration::MAX);
}

#[tokio::test(start_paused = true)]
async fn each_request_is_hedged_after_its_own_delay() {
    let layer = HedgeLayer::workload(|n: &u64| ms(*n))
        .clone_requests()
        .max_hedges(2);
    for n in [40, 700] {
        let backend = Backend::taking(&[5_000]);
        let service = layer.layer(backend.clone());
        service.oneshot(n).await.expect("an answer");
        let times = backend.times();
        assert_eq!(times.len(), 3);
        for (at, time) in times.iter().enumerate() {
            let due = ms(n) * at as u32;
            assert!(*time >= due && *time <= due + ms(2), "{times:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_panics_leaves_its_request_unhedged() {
    let layer = HedgeLayer::workload(|n: &u64| -> Duration { panic!("on purpose: {n}") });
    let layer = layer.clone_requests();
    for backend in [
        Backend::taking(&[5_000, 1]),
        // Not even when the primary has failed.
        Backend::new(|_| (ms(50), Err("down"))),
    ] {
        let _ = layer.layer(backend.clone()).oneshot(7).await;
        assert_eq!(backend.sent(), 1);
    }
}
