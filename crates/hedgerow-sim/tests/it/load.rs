//! Promises of the load generator, all on a paused clock.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hedgerow_sim::{Arrivals, Load, LoadError};
use tokio::time::{self, Instant};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_slow_answer_holds_no_other_call_back() {
    let start = Instant::now();
    let report = Load::new(100.0, 200)
        .arrivals(Arrivals::Even)
        .run(|_| async {
            time::sleep(Duration::from_secs(60)).await;
            Ok::<_, Infallible>(())
        })
        .await;
    assert_eq!(
        report.latencies().quantile(1.0),
        Some(Duration::from_secs(60))
    );
    assert_eq!(start.elapsed(), Duration::from_millis(60_000 + 1_990));
    assert_eq!(report.elapsed(), start.elapsed());
}

/// The generator itself is held up for a second: the calls it sends late say so.
#[tokio::test(start_paused = true)]
async fn a_latency_counts_from_when_the_call_was_due() {
    let report = Load::new(100.0, 200)
        .arrivals(Arrivals::Even)
        .run(|number| {
            if number == 50 {
                // Stands for a machine that stops: virtual time passes inside the generator.
                stall_for(1_000 * MS);
            }
            async { Ok::<_, Infallible>(()) }
        })
        .await;
    let late = report
        .latencies()
        .as_slice()
        .iter()
        .filter(|took| **took > 5 * MS)
        .count();
    assert!(
        (95..=101).contains(&late),
        "{late} calls were due during the stall"
    );
    assert!(report.lags().quantile(1.0) >= Some(980 * MS));
}

/// Moves the paused clock without giving the generator a turn.
fn stall_for(stall: Duration) {
    let mut advance = Box::pin(time::advance(stall));
    let waker = std::task::Waker::noop();
    let _ = advance
        .as_mut()
        .poll(&mut std::task::Context::from_waker(waker));
}

#[tokio::test(start_paused = true)]
async fn failed_and_panicking_calls_are_errors_and_no_latencies() {
    let report = Load::new(1_000.0, 10)
        .run(|number| async move {
            assert_ne!(number, 3, "a broken call");
            if number < 3 {
                Err(format!("call {number} failed"))
            } else {
                Ok(())
            }
        })
        .await;
    assert_eq!((report.errors(), report.latencies().len()), (4, 6));
    assert_eq!(report.first_error(), Some("call 0 failed"));
}

#[tokio::test(start_paused = true)]
async fn every_call_is_sent_exactly_once_and_numbered() {
    let mut numbers = Vec::new();
    let report = Load::new(500.0, 1_000)
        .run(|number| {
            numbers.push(number);
            async { Ok::<_, Infallible>(()) }
        })
        .await;
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    assert_eq!(report.latencies().len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_run_drops_the_calls_in_flight() {
    struct Alive(Arc<AtomicU64>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let alive = Arc::new(AtomicU64::new(0));
    let load = Load::new(100.0, 100).arrivals(Arrivals::Even);
    let run = load.run(|_| {
        alive.fetch_add(1, Ordering::SeqCst);
        let held = Alive(Arc::clone(&alive));
        async move {
            let _held = held;
            std::future::pending::<Result<(), Infallible>>().await
        }
    });
    assert!(time::timeout(505 * MS, run).await.is_err());
    time::sleep(MS).await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn even_arrivals_keep_one_gap() {
    let offsets: Vec<_> = Load::new(200.0, 4)
        .arrivals(Arrivals::Even)
        .offsets()
        .collect();
    assert_eq!(offsets, [Duration::ZERO, 5 * MS, 10 * MS, 15 * MS]);
}

#[test]
fn poisson_arrivals_have_the_stated_rate_and_exponential_gaps() {
    const CALLS: u64 = 100_000;
    let offsets: Vec<_> = Load::new(1_000.0, CALLS).seed(5).offsets().collect();
    let mean_ms = offsets.last().expect("calls").as_secs_f64() * 1e3 / CALLS as f64;
    assert!((mean_ms - 1.0).abs() < 0.02, "{mean_ms}");
    let longer = offsets
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > MS)
        .count() as f64;
    let share = longer / CALLS as f64;
    assert!((share - (-1.0_f64).exp()).abs() < 0.01, "{share}");
}

#[test]
fn the_same_seed_sends_at_the_same_times() {
    let times = |seed| {
        Load::new(1_000.0, 100)
            .seed(seed)
            .offsets()
            .collect::<Vec<_>>()
    };
    assert_eq!(times(4), times(4));
    assert_ne!(times(4), times(5));
}

#[test]
fn bad_loads_are_refused_with_the_range() {
    for rate in [0.0, -1.0, 1e-9, 2e6, f64::INFINITY, f64::NAN] {
        let error = Load::try_new(rate, 1).expect_err("a bad rate");
        assert!(matches!(error, LoadError::Rate(_)));
        assert!(
            error.to_string().contains("write 0.001 to 1000000"),
            "{error}"
        );
    }
    for calls in [0, 10_000_001] {
        let error = Load::try_new(1.0, calls).expect_err("a bad number of calls");
        assert_eq!(error, LoadError::Calls(calls));
        assert!(error.to_string().contains("write 1 to 10000000"), "{error}");
    }
}
