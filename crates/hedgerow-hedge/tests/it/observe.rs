//! Observe-only, call by call; what it predicts on whole workloads stands in the top-level tests.

use hedgerow_core::{Budget, Class, Kind};
use hedgerow_hedge::HedgeLayer;
use tokio::time::timeout;
use tower::Layer;

use crate::support::{Backend, call, ms};

#[tokio::test(start_paused = true)]
async fn nothing_extra_is_sent_and_what_would_have_been_is_told() {
    // Ten attempts of 40 ms, then one of 1 s: a copy after 50 ms would have ended it at 90.
    let layer = HedgeLayer::fixed(ms(50)).clone_requests().observe_only();
    let handle = layer.handle();
    assert!(handle.observes_only() && handle.prediction().is_none());
    for _ in 0..10 {
        call(layer.layer(Backend::taking(&[40])))
            .await
            .0
            .expect("an answer");
    }
    handle.latency().refresh();
    let slow = Backend::taking(&[1_000]);
    let (_, took) = call(layer.layer(slow.clone())).await;
    assert_eq!((slow.sent(), took), (1, ms(1_000)));
    let told = handle.prediction().expect("observed calls");
    assert_eq!(
        (told.calls, told.hedged, told.fired, told.hedge_wins),
        (11, 1, 1, 1)
    );
    assert_eq!(told.denied, 0);
    let longest = told.latency.max().expect("answers");
    assert!(longest >= ms(89) && longest <= ms(91), "{longest:?}");
    let stats = handle.stats();
    assert_eq!((stats.fired, stats.hedged, stats.average_cost), (0, 0, 1.0));
    assert!(stats.latency.max() >= Some(ms(990)), "as it was");
}

#[tokio::test(start_paused = true)]
async fn a_later_copy_is_sent_only_if_the_race_is_still_open_then() {
    let layer = HedgeLayer::schedule([ms(50), ms(80), ms(95), ms(2_000)])
        .clone_requests()
        .observe_only();
    for _ in 0..10 {
        call(layer.layer(Backend::taking(&[40])))
            .await
            .0
            .expect("an answer");
    }
    layer.handle().latency().refresh();
    call(layer.layer(Backend::taking(&[1_000])))
        .await
        .0
        .expect("an answer");
    // The copy of 50 ms ends it at 90, so that of 80 ms is sent and that of 95 is not.
    let told = layer.handle().prediction().expect("observed calls");
    assert_eq!((told.hedged, told.fired, told.hedge_wins), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_real_budget_is_not_touched_and_one_like_it_denies() {
    let budget = Budget::percent(0.0).depth(2);
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .budget(budget.clone())
        .observe_only();
    for _ in 0..5 {
        call(layer.layer(Backend::taking(&[100])))
            .await
            .0
            .expect("an answer");
    }
    let told = layer.handle().prediction().expect("observed calls");
    assert_eq!((told.fired, told.denied), (2, 3));
    assert!((told.extra_load_percent - 40.0).abs() < 1e-9);
    assert_eq!((budget.available(), budget.granted(Kind::Hedge)), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_is_cut_off_and_a_failed_call_is_not_saved() {
    let layer = HedgeLayer::fixed(ms(50)).clone_requests().observe_only();
    let held = call(layer.layer(Backend::taking(&[1_000])));
    assert!(timeout(ms(70), held).await.is_err());
    let told = layer.handle().prediction().expect("observed calls");
    assert_eq!((told.calls, told.fired), (1, 1));
    assert_eq!((told.latency.answered(), told.latency.censored()), (0, 1));

    let failing = Backend::new(|_| (ms(5), Err("down")));
    assert_eq!(call(layer.layer(failing.clone())).await.0, Err("down"));
    assert_eq!(failing.sent(), 1);
    let told = layer.handle().prediction().expect("observed calls");
    assert_eq!((told.calls, told.fired), (2, 2), "a copy follows a failure");
    assert_eq!((told.latency.count(), told.hedge_wins), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn switched_on_it_hedges_with_what_it_has_learnt() {
    let layer = HedgeLayer::percentile(95)
        .initial(ms(60_000))
        .clone_requests()
        .observe_only();
    for n in 0..400u64 {
        let backend = Backend::new(move |attempt| crate::support::answers(attempt, 1 + n % 100));
        call(layer.layer(backend)).await.0.expect("an answer");
    }
    let handle = layer.handle();
    handle.reset();
    assert!(handle.prediction().is_none(), "none since the reset");
    handle.set_observe_only(false);
    let backend = Backend::taking(&[5_000, 20]);
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!((result, backend.sent()), (Ok("hedge"), 2));
    assert!(took >= ms(110) && took <= ms(120), "{took:?}");
    handle.set_observe_only(true);
    let backend = Backend::taking(&[5_000, 20]);
    call(layer.layer(backend.clone()))
        .await
        .0
        .expect("an answer");
    assert_eq!(backend.sent(), 1);
}

/// With `off` there is nothing to predict, and no copy is made.
#[tokio::test(start_paused = true)]
async fn observing_a_layer_that_is_off_predicts_no_extras() {
    let layer = HedgeLayer::off().clone_requests().observe_only();
    call(layer.layer(Backend::taking(&[100])))
        .await
        .0
        .expect("an answer");
    let told = layer.handle().prediction().expect("observed calls");
    assert_eq!((told.calls, told.fired), (1, 0));
}

/// One copy after 50 ms: what is told of a primary that lost is what is sent.
#[tokio::test(start_paused = true)]
async fn a_final_result_needs_no_copy_and_one_that_timed_out_is_followed() {
    for class in [Class::Fatal, Class::TimedOut, Class::RETRYABLE] {
        for (lost_at, wanted) in [(5, u64::from(class != Class::Fatal)), (60, 1)] {
            let run = async |watched| {
                let judge = move |result: &Result<&'static str, &'static str>| match result {
                    Ok(_) => Class::Success,
                    Err(_) => class,
                };
                let layer = HedgeLayer::fixed(ms(50)).clone_requests().accept(judge);
                layer.handle().set_observe_only(watched);
                let failing = Backend::new(move |_| (ms(lost_at), Err("no")));
                assert_eq!(call(layer.layer(failing)).await.0, Err("no"));
                layer.handle()
            };
            let sent = run(false).await.stats();
            assert_eq!((sent.hedged, sent.fired), (wanted, wanted), "{class:?}");
            let told = run(true).await.prediction().expect("an observed call");
            assert_eq!((told.hedged, told.fired), (wanted, wanted), "{class:?}");
            assert_eq!((told.denied, told.hedge_wins), (0, 0), "{class:?}");
        }
    }
}
