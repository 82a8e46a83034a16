//! Retries and hedges together: one budget, one deadline, one try.

use std::sync::Arc;
use std::time::Duration;

use hedgerow::{
    Attempt, BoxError, Budget, Class, DeadlineExceeded, DeadlineLayer, HedgeLayer, Kind, Latency,
    LatencyLayer, RetryLayer, cause_ref,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

const SEED: u64 = 20_261;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// In an outage everything fails: 20 calls of each 400.
const OUTAGES: f64 = -1.0;

/// Fails or is slow at random, or fails in outages, and counts what arrives.
fn bad(
    seed: u64,
    fails: f64,
    slow: f64,
) -> (
    impl Service<u64, Response = u64, Error = BoxError, Future: Send> + Clone + Send + 'static,
    Arc<Mutex<u64>>,
) {
    let world = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    let arrived = Arc::new(Mutex::new(0));
    let count = arrived.clone();
    let service = tower::service_fn(move |n: u64| {
        *count.lock() += 1;
        let mut rng = world.lock();
        let fails = if fails == OUTAGES {
            (n / 20).is_multiple_of(20)
        } else {
            rng.random_bool(fails)
        };
        let slow = rng.random_bool(slow);
        async move {
            sleep(ms(if slow { 400 } else { 5 })).await;
            if fails { Err("down".into()) } else { Ok(n) }
        }
    });
    (service, arrived)
}

/// The largest of extras(i..j) - share × (j - i), in one pass.
fn worst_window(total: &[i64], share: f64) -> f64 {
    let (mut lowest, mut worst) = (f64::MAX, f64::MIN);
    for (calls, &extras) in total.iter().enumerate() {
        let surplus = extras as f64 - share * calls as f64;
        lowest = lowest.min(surplus);
        worst = worst.max(surplus - lowest);
    }
    worst
}

/// Both want more than there is, in storms and in calm.
#[tokio::test(start_paused = true)]
async fn a_hedge_and_a_retry_that_share_one_budget_never_exceed_it_over_any_window() {
    const CALLS: usize = 30_000;
    println!("seed {SEED}");
    let mut both = (0, 0);
    for (fails, slow) in [
        (0.5, 0.5),
        (1.0, 1.0),
        (0.05, 0.3),
        (0.3, 0.02),
        (OUTAGES, 0.0),
    ] {
        let budget = Budget::percent(10.0).depth(20);
        let (client, arrived) = bad(SEED, fails, slow);
        let hedge = HedgeLayer::fixed(ms(50))
            .clone_requests()
            .share_budget(budget.clone());
        let retry = RetryLayer::fixed(ms(20))
            .clone_requests()
            .budget(budget.clone());
        let service = retry.layer(hedge.layer(client));
        let mut total = vec![0];
        for n in 0..CALLS {
            let before = *arrived.lock();
            let _ = service.clone().oneshot(n as u64).await;
            let extras = (*arrived.lock() - before - 1) as i64;
            total.push(total[n] + extras);
        }
        let worst = worst_window(&total, 0.1);
        assert!(worst <= 20.0 + 1e-6, "{worst} with {fails}, {slow}");
        let granted = budget.granted(Kind::Hedge) + budget.granted(Kind::Retry);
        assert_eq!(granted as i64, total[CALLS], "every extra was paid, once");
        let stats = (hedge.handle().stats().fired, retry.handle().stats().retries);
        assert_eq!((stats.0 + stats.1) as i64, total[CALLS]);
        assert!(total[CALLS] >= 1_000, "they did want more");
        both = (both.0 + stats.0, both.1 + stats.1);
    }
    // A hedge follows up a failure at once, so it is the retry that finds the budget empty.
    assert!(
        both.0 > 10_000 && both.1 > 500,
        "hedges and retries: {both:?}"
    );
}

/// Everything fails, so everything that is allowed is sent: with budgets of their own a retry's tries feed
/// the hedge's, 10 % of 110.
#[tokio::test(start_paused = true)]
async fn two_layers_of_10_percent_that_share_do_not_make_21() {
    const CALLS: u64 = 10_000;
    async fn extras(shared: bool) -> u64 {
        let budget = Budget::percent(10.0).depth(1);
        let (client, arrived) = bad(SEED, 1.0, 0.0);
        let hedge = HedgeLayer::fixed(ms(50)).clone_requests();
        let hedge = if shared {
            hedge.share_budget(budget.clone())
        } else {
            hedge.budget(budget.twin())
        };
        let service = RetryLayer::fixed(ms(20))
            .clone_requests()
            .budget(budget)
            .layer(hedge.layer(client));
        for n in 0..CALLS {
            let _ = service.clone().oneshot(n).await;
        }
        let arrived = *arrived.lock();
        arrived - CALLS
    }
    // The bucket was full when the first call fed it.
    assert_eq!(extras(true).await, 1_000);
    let apart = extras(false).await;
    assert!((2_098..=2_103).contains(&apart), "{apart}");
}

/// And with callers that overlap, where all that can be said is the sum.
#[tokio::test(start_paused = true)]
async fn overlapping_calls_do_not_exceed_the_budget_either() {
    const CALLS: u64 = 5_000;
    let budget = Budget::percent(10.0).depth(20);
    let (client, arrived) = bad(SEED, 0.6, 0.5);
    let service = RetryLayer::fixed(ms(20))
        .clone_requests()
        .budget(budget.clone())
        .layer(
            HedgeLayer::fixed(ms(50))
                .clone_requests()
                .share_budget(budget.clone())
                .layer(client),
        );
    let calls = (0..CALLS).map(|n| {
        let service = service.clone();
        async move {
            sleep(ms(n / 5)).await;
            service.oneshot(n).await
        }
    });
    futures_join(calls).await;
    let extras = *arrived.lock() - CALLS;
    assert!(extras <= CALLS / 10 + 20, "{extras}");
}

/// All of them, in one task.
async fn futures_join<F: Future>(calls: impl Iterator<Item = F>) {
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        calls.retain_mut(|call| call.as_mut().poll(cx).is_pending());
        if calls.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

/// A try is a whole hedged race: its time covers the copies, and drops them all.
#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_try_covers_its_hedged_attempts() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = sent.clone();
    let start = Instant::now();
    let client = tower::service_fn(move |_: u64| {
        log.lock()
            .push((Attempt::current().index(), start.elapsed()));
        std::future::pending::<Result<u64, BoxError>>()
    });
    let service = RetryLayer::fixed(ms(10))
        .attempts(2)
        .attempt_timeout(ms(100))
        .clone_requests()
        .layer(HedgeLayer::fixed(ms(60)).clone_requests().layer(client));
    let result = service.oneshot(1).await;
    assert!(result.is_err());
    let sent = sent.lock();
    let attempts: Vec<u32> = sent.iter().map(|(attempt, _)| *attempt).collect();
    assert_eq!(
        attempts,
        [0, 1, 0, 1],
        "a primary and its hedge in each try"
    );
    for ((_, at), wanted) in sent.iter().zip([0, 60, 110, 170]) {
        assert!(*at >= ms(wanted) && *at <= ms(wanted + 4), "{at:?}");
    }
}

/// The deadline is ours to keep: what a loser does about it does not matter.
#[tokio::test(start_paused = true)]
async fn the_deadline_holds_though_losers_do_not_listen() {
    struct Cleans;
    impl Drop for Cleans {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let client = tower::service_fn(|_: u64| async {
        let _cleans = Cleans;
        std::future::pending::<Result<u64, BoxError>>().await
    });
    let hedge = HedgeLayer::parallel(3).clone_requests();
    let service = DeadlineLayer::new(ms(200)).layer(
        RetryLayer::exponential()
            .clone_requests()
            .layer(hedge.layer(client)),
    );
    let start = Instant::now();
    let error = service.oneshot(1).await.unwrap_err();
    let took = start.elapsed();
    assert!(took >= ms(200) && took <= ms(202), "{took:?}");
    assert!(cause_ref::<DeadlineExceeded>(&*error).is_some());
}

/// E5 through the whole stack: the only permit is free in the wait.
#[tokio::test(start_paused = true)]
async fn in_a_wait_the_whole_stack_holds_no_permit() {
    fn judge(result: &Result<u64, BoxError>) -> Class {
        match result {
            Ok(_) => Class::Success,
            Err(_) => Class::Retryable {
                after: Some(ms(500)),
            },
        }
    }
    let tries = Arc::new(Mutex::new(0));
    let count = tries.clone();
    let client = tower::service_fn(move |n: u64| {
        *count.lock() += 1;
        let first = *count.lock() == 1;
        async move {
            sleep(ms(10)).await;
            if first {
                Err(BoxError::from("down"))
            } else {
                Ok(n)
            }
        }
    });
    let latency = Latency::new();
    let service = DeadlineLayer::new(ms(5_000)).layer(
        RetryLayer::exponential()
            .clone_requests()
            .accept(judge)
            .latency(latency.clone())
            .layer(
                // Without a budget, so that the failed primary is not followed up at once.
                HedgeLayer::fixed(ms(300))
                    .clone_requests()
                    .budget(Budget::percent(0.0).depth(0))
                    .layer(ConcurrencyLimit::new(
                        LatencyLayer::new(latency).layer(client),
                        1,
                    )),
            ),
    );
    let other = async {
        sleep(ms(50)).await;
        let start = Instant::now();
        let answer = service.clone().oneshot(2).await;
        (answer, start.elapsed())
    };
    let start = Instant::now();
    let whole = async {
        let answer = service.clone().oneshot(1).await;
        (answer, start.elapsed())
    };
    let ((first, whole), (second, took)) = tokio::join!(whole, other);
    assert_eq!((first.unwrap(), second.unwrap()), (1, 2));
    assert!(took <= ms(12), "{took:?}");
    assert!(whole >= ms(520) && whole <= ms(523), "{whole:?}");
}
