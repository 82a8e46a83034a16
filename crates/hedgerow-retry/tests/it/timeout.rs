//! `TimeoutLayer`: one try's time.

use hedgerow_core::{BoxError, Class, Classify, OkWins, cause_ref};
use hedgerow_retry::{TimedOut, TimeoutLayer, TimeoutsAreCutOff};
use tower::{Layer, Service};

use crate::support::{Backend, NEVER, about, call, down, is_down, ms, ok};

#[tokio::test(start_paused = true)]
async fn what_takes_longer_is_dropped_with_an_error_that_says_so() {
    let backend = Backend::of(&[NEVER]);
    let (result, took) = call(TimeoutLayer::new(ms(70)).layer(backend.clone())).await;
    about(took, 70, 1);
    let error = result.unwrap_err();
    assert_eq!(cause_ref::<TimedOut>(&*error).expect("ours").after, ms(70));
    assert_eq!(error.to_string(), "no answer within 70ms");
    assert_eq!((backend.sent(), backend.alive()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_time_passes_as_it_is() {
    let layer = TimeoutLayer::new(ms(70));
    let (result, _) = call(layer.layer(Backend::of(&[ok(60)]))).await;
    assert_eq!(result.unwrap(), "answer");
    let (result, _) = call(layer.layer(Backend::of(&[down(60)]))).await;
    assert!(is_down(&result.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_from_the_call_not_from_the_first_poll() {
    let mut service = TimeoutLayer::new(ms(70)).layer(Backend::of(&[NEVER]));
    let start = tokio::time::Instant::now();
    let future = service.call(1);
    tokio::time::sleep(ms(50)).await;
    assert!(future.await.is_err());
    about(start.elapsed(), 70, 1);
}

#[test]
fn a_judge_above_knows_a_timeout_from_a_failure() {
    let judge = TimeoutsAreCutOff(OkWins);
    let boxed = |error: BoxError| -> Result<(), BoxError> { Err(error) };
    assert_eq!(judge.classify(&boxed("no".into())), Class::RETRYABLE);
    assert_eq!(judge.classify(&Ok(())), Class::Success);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let error = runtime.block_on(async {
        let (result, _) = call(TimeoutLayer::new(ms(1)).layer(Backend::of(&[NEVER]))).await;
        result.unwrap_err()
    });
    assert_eq!(judge.classify(&boxed(error)), Class::TimedOut);
}
