//! What the loss of one attempt means to the next: policies that follow at once, or after a while, and
//! services that want no further attempt.

use std::time::Duration;

use hedgerow_core::{Attempt, Budget, Class, Kind, LatencyView};
use hedgerow_hedge::{Delay, Follow, HedgeLayer, HedgePolicy};
use tower::{Layer, ServiceBuilder};

use crate::support::{Backend, call, ms};

/// A copy every `gap`, and after a failure as long as the failure says, or at once.
#[derive(Clone, Copy)]
struct Eager {
    gap: Duration,
}

impl<Req> HedgePolicy<Req> for Eager {
    fn delay(&self, _: &Req, _: Attempt, _: &dyn LatencyView) -> Delay {
        Delay::AfterLast(self.gap)
    }

    fn follow(&self, class: Class) -> Follow {
        match class {
            Class::Retryable { after } => Follow::After(after.unwrap_or_default()),
            _ => Follow::Alone,
        }
    }
}

/// `busy` and `busy:20` may be asked again, the latter in 20 ms; after `enough` no more.
fn judge(result: &Result<&'static str, &'static str>) -> Class {
    match result {
        Ok(_) => Class::Success,
        Err("enough") => Class::NoMore,
        Err("bad") => Class::Fatal,
        Err(error) => Class::Retryable {
            after: error
                .strip_prefix("busy:")
                .and_then(|wait| wait.parse().ok())
                .map(ms),
        },
    }
}

/// Attempts that end after so many milliseconds with so much, four copies at most.
async fn sent(
    gap: u64,
    script: &'static [(u64, Result<&'static str, &'static str>)],
) -> (Result<&'static str, &'static str>, u128, Vec<u128>) {
    let backend = Backend::new(move |attempt| {
        let (after, result) = script[attempt.index() as usize];
        (ms(after), result)
    });
    let layer = HedgeLayer::new(Eager { gap: ms(gap) })
        .max_hedges(4)
        .clone_requests()
        .accept(judge)
        .budget(Budget::unlimited());
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!(backend.alive(), 0);
    let times = backend.times().iter().map(Duration::as_millis).collect();
    (result, took.as_millis(), times)
}

/// Within the timer's grain of one millisecond, for each wait before it.
#[track_caller]
fn about(times: &[u128], wanted: &[u128]) {
    let near = |(at, (time, wanted)): (usize, (&u128, &u128))| {
        (*wanted..=*wanted + 1 + at as u128).contains(time)
    };
    let all = times.iter().zip(wanted).enumerate().all(near);
    assert!(
        all && times.len() == wanted.len(),
        "{times:?}, wanted {wanted:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn copies_come_at_intervals_from_the_one_before() {
    let slow: [(u64, Result<_, _>); 5] = [(1_000, Ok("late")); 5];
    let (result, took, times) = sent(50, Box::leak(Box::new(slow))).await;
    about(&times, &[0, 50, 100, 150, 200]);
    assert_eq!(result, Ok("late"));
    assert!((1_000..=1_002).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn no_interval_sends_all_at_once() {
    let slow: [(u64, Result<_, _>); 5] = [(100, Ok("all")); 5];
    let (_, _, times) = sent(0, Box::leak(Box::new(slow))).await;
    assert_eq!(times, [0; 5]);
}

/// The next one goes out though others still run, and the ones after it count from there.
#[tokio::test(start_paused = true)]
async fn a_loss_brings_the_next_copy_forward_while_others_run() {
    let script = &[
        (500, Ok("first")),
        (20, Err("busy")),
        (500, Ok("third")),
        (500, Ok("fourth")),
        (500, Ok("fifth")),
    ];
    let (result, _, times) = sent(100, script).await;
    about(&times, &[0, 100, 120, 220, 320]);
    assert_eq!(result, Ok("first"));
}

/// Nothing else runs, and the next one still keeps the time that was asked for.
#[tokio::test(start_paused = true)]
async fn a_wait_that_was_asked_for_is_kept_also_when_nothing_runs() {
    let script = &[(10, Err("busy:70")), (5, Err("busy:0")), (5, Ok("third"))];
    let (result, took, times) = sent(30, script).await;
    about(&times, &[0, 80, 85]);
    assert_eq!(result, Ok("third"));
    assert!((90..=94).contains(&took), "{took}");
}

/// It may be later than the copy would have come by itself.
#[tokio::test(start_paused = true)]
async fn a_wait_that_was_asked_for_also_holds_a_copy_back() {
    let script = &[(300, Ok("first")), (10, Err("busy:100")), (20, Ok("third"))];
    let (result, _, times) = sent(50, script).await;
    about(&times, &[0, 50, 160]);
    assert_eq!(result, Ok("third"));
}

#[tokio::test(start_paused = true)]
async fn once_enough_was_said_what_runs_is_awaited_and_nothing_is_sent() {
    let script = &[(400, Ok("first")), (20, Err("enough")), (1, Ok("never"))];
    let (result, took, times) = sent(50, script).await;
    about(&times, &[0, 50]);
    assert_eq!(result, Ok("first"));
    assert!((400..=402).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn enough_from_the_only_attempt_is_the_callers_answer() {
    let (result, took, times) = sent(50, &[(20, Err("enough")), (1, Ok("never"))]).await;
    assert_eq!((result, times.len()), (Err("enough"), 1));
    assert!((20..=22).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn when_all_end_after_enough_the_caller_gets_the_primarys_own() {
    let script = &[(30, Err("busy")), (15, Err("enough")), (100, Err("busy:1"))];
    // The third follows the first at 30; the second says enough at 35.
    let (result, took, times) = sent(20, script).await;
    about(&times, &[0, 20, 30]);
    assert_eq!(result, Err("busy"));
    assert!(took >= 130, "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_fatal_one_ends_all_whatever_the_policy_wants() {
    let (result, took, times) = sent(50, &[(400, Ok("first")), (20, Err("bad"))]).await;
    about(&times, &[0, 50]);
    assert_eq!(result, Err("bad"));
    assert!((70..=73).contains(&took), "{took}");
}

/// A copy that waits for its turn at the service is not sent any more, and is not paid.
#[tokio::test(start_paused = true)]
async fn enough_takes_back_what_was_granted_and_not_sent() {
    let backend = Backend::new(|attempt| match attempt.index() {
        0 => (ms(100), Err("enough")),
        _ => (ms(1), Ok("never")),
    });
    let budget = Budget::percent(0.0).depth(5);
    let layer = HedgeLayer::new(Eager { gap: ms(50) })
        .max_hedges(1)
        .clone_requests()
        .accept(
            |result: &Result<&'static str, tower::BoxError>| match result {
                Ok(_) => Class::Success,
                Err(_) => Class::NoMore,
            },
        )
        .budget(budget.clone());
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(tower::limit::ConcurrencyLimitLayer::new(1))
        .map_err(tower::BoxError::from)
        .service(backend.clone());
    let (result, _) = call(service).await;
    assert_eq!(result.expect_err("enough").to_string(), "enough");
    assert_eq!((backend.sent(), budget.granted(Kind::Hedge)), (1, 0));
    assert_eq!(budget.available(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_all_time_ends_the_call() {
    struct Far;
    impl<Req> HedgePolicy<Req> for Far {
        fn delay(&self, _: &Req, _: Attempt, _: &dyn LatencyView) -> Delay {
            Delay::AfterLast(ms(10))
        }
        fn follow(&self, _: Class) -> Follow {
            Follow::After(Duration::MAX)
        }
    }
    let backend = Backend::new(|_| (ms(5), Err("busy")));
    let layer = HedgeLayer::new(Far).clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!((result, backend.sent()), (Err("busy"), 1));
    assert!(took <= ms(7), "{took:?}");
}

/// A wait is for a retry to keep: a copy in the meantime would not.
#[tokio::test(start_paused = true)]
async fn what_asks_to_wait_is_left_to_a_retry() {
    let layer = || HedgeLayer::schedule([ms(50), ms(5_000)]).clone_requests();
    let alone = Backend::new(|_| (ms(10), Err("busy:20")));
    let (result, took) = call(layer().accept(judge).layer(alone.clone())).await;
    assert_eq!((result, alone.sent()), (Err("busy:20"), 1));
    assert!(took < ms(20), "{took:?}");
    // A copy that was sent in its time still may win.
    let beside = Backend::new(|attempt| match attempt.index() {
        0 => (ms(60), Err("busy:20")),
        _ => (ms(500), Ok("hedge")),
    });
    let (result, _) = call(layer().accept(judge).layer(beside.clone())).await;
    assert_eq!((result, beside.sent()), (Ok("hedge"), 2));
    // And no wait is none to keep.
    let at_once = Backend::new(|attempt| match attempt.index() {
        0 => (ms(10), Err("busy:0")),
        _ => (ms(10), Ok("hedge")),
    });
    let (result, took) = call(layer().accept(judge).layer(at_once.clone())).await;
    assert_eq!(result, Ok("hedge"));
    assert!(took < ms(30), "{took:?}");
}
