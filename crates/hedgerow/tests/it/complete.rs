//! One call, with all that it takes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hedgerow::admission::Ask;
use hedgerow::{
    BoxError, Budget, Cancelled, CompleteError, Gate, Overloaded, Rate, ShedReason, TimedOut,
    Usage, Wait, cause_ref, complete,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn soon(_: &hedgerow::Failure) -> Wait {
    Wait::After(ms(100))
}

/// A model that fails so many times, each after 10 ms.
#[derive(Clone, Default)]
struct Model {
    failures: u32,
    sent: Arc<AtomicU32>,
}

impl Model {
    fn failing(failures: u32) -> Self {
        let sent = Arc::default();
        Self { failures, sent }
    }

    async fn ask(&self, prompt: String) -> Result<String, io::Error> {
        let nth = self.sent.fetch_add(1, Ordering::Relaxed);
        sleep(ms(10)).await;
        if nth < self.failures {
            return Err(io::Error::other("overloaded"));
        }
        Ok(prompt + "!")
    }

    fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }
}

async fn never(_: String) -> Result<String, BoxError> {
    std::future::pending().await
}

fn hello() -> String {
    "hello".to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_closure_a_function_and_a_service_are_clients_and_may_borrow() {
    let model = Model::default();
    let done = complete(|prompt: String| model.ask(prompt), hello()).await;
    assert_eq!(done.unwrap().value, "hello!");
    let service = tower::service_fn(|prompt: String| model.ask(prompt));
    let done = complete(service, hello()).await.unwrap();
    assert_eq!(done.value, "hello!");
    assert_eq!(model.sent(), 2);
    async fn ask(prompt: String) -> Result<usize, BoxError> {
        Ok(prompt.len())
    }
    assert_eq!(complete(ask, hello()).await.unwrap().value, 5);
}

#[tokio::test(start_paused = true)]
async fn what_it_took_is_told_exactly() {
    let model = Model::failing(2);
    let gate = Gate::builder().concurrency(1).build();
    let held = gate.try_permit().unwrap();
    let start = Instant::now();
    let call = complete(|prompt: String| model.ask(prompt), hello())
        .gate(&gate)
        .waits(soon)
        .usage(|answer: &String| Some(Usage::new(3, answer.len() as u64)));
    let (done, ()) = tokio::join!(call.into_future(), async {
        sleep(ms(40)).await;
        drop(held);
    });
    let done = done.unwrap();
    assert_eq!(done.took.attempts, 3);
    assert_eq!(done.took.elapsed, ms(40 + 10 + 100 + 10 + 100 + 10));
    assert_eq!(done.took.waited, ms(40 + 100 + 100));
    assert_eq!(start.elapsed(), done.took.elapsed);
    assert_eq!(done.usage, Some(Usage::new(3, 6)));
    assert_eq!(done.usage.unwrap().total(), 9);
}

#[tokio::test(start_paused = true)]
async fn four_attempts_are_made_and_the_last_error_comes_back_as_it_is() {
    let model = Model::failing(9);
    let call = complete(|prompt: String| model.ask(prompt), hello()).waits(soon);
    let error = call.await.unwrap_err();
    assert_eq!(model.sent(), 4);
    assert_eq!(error.took.attempts, 4);
    assert_eq!(error.took.elapsed, ms(340));
    assert_eq!(error.to_string(), "no answer after 4 attempts in 340ms");
    assert!(!error.is_cancelled());
    let source = error.into_source().downcast::<io::Error>().unwrap();
    assert_eq!(source.to_string(), "overloaded");

    let model = Model::failing(9);
    let call = complete(|prompt: String| model.ask(prompt), hello());
    call.attempts(1).await.unwrap_err();
    assert_eq!(model.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_permit_is_held_between_tries() {
    let gate = Gate::builder().concurrency(1).build();
    let model = Model::failing(1);
    let call = complete(|prompt: String| model.ask(prompt), hello())
        .gate(&gate)
        .waits(soon);
    let other = async {
        sleep(ms(15)).await;
        assert_eq!(gate.stats().active, 0);
        let _other = gate.try_permit().expect("it waits outside of the gate");
    };
    let (done, ()) = tokio::join!(call.into_future(), other);
    assert_eq!(done.unwrap().took.attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_try_begins_when_it_is_sent() {
    let gate = Gate::builder().concurrency(1).build();
    let held = gate.try_permit().unwrap();
    let call = complete(never, hello())
        .gate(&gate)
        .attempts(2)
        .attempt_timeout(ms(50))
        .waits(soon);
    let (done, ()) = tokio::join!(call.into_future(), async {
        sleep(ms(200)).await;
        drop(held);
    });
    let error = done.unwrap_err();
    // 200 ms in the queue, two tries of 50 ms, 100 ms between them.
    assert_eq!(error.took.elapsed, ms(400));
    assert_eq!((error.took.attempts, error.took.waited), (2, ms(300)));
    assert_eq!(cause_ref::<TimedOut>(&error).unwrap().after, ms(50));
    assert_eq!(gate.stats().active, 0);
}

#[tokio::test(start_paused = true)]
async fn a_try_has_a_minute_unless_it_is_told_otherwise() {
    let start = Instant::now();
    let call = complete(never, hello()).attempts(1);
    call.await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(60));
    let start = Instant::now();
    let call = complete(never, hello()).no_attempt_timeout();
    let error = call.deadline(Duration::from_secs(600)).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(600));
    assert_eq!(error.took.attempts, 1);
}

#[track_caller]
fn cancelled(error: &CompleteError) {
    assert!(error.is_cancelled(), "{error}");
    assert!(cause_ref::<Cancelled>(error).is_some());
}

/// In the queue, in a try, in a wait: at once, and with nothing left behind.
#[tokio::test(start_paused = true)]
async fn cancelling_ends_it_at_once_wherever_it_is() {
    for (held, failures, after, attempts) in [
        (true, 0, 30, 0),
        (false, 0, 5, 1),
        (false, 9, 50, 1),
        (false, 9, 130, 2),
    ] {
        let gate = Gate::builder().concurrency(1).build();
        let permit = gate.try_permit().filter(|_| held);
        let (model, token) = (Model::failing(failures), CancellationToken::new());
        let call = complete(|prompt: String| model.ask(prompt), hello())
            .gate(&gate)
            .waits(soon)
            .cancel_on(token.clone());
        let start = Instant::now();
        let (result, ()) = tokio::join!(call.into_future(), async {
            sleep(ms(after)).await;
            token.cancel();
        });
        let error = result.unwrap_err();
        cancelled(&error);
        assert_eq!(start.elapsed(), ms(after));
        assert_eq!(error.took.elapsed, ms(after));
        assert_eq!(error.took.attempts, attempts, "after {after} ms");
        let stats = gate.stats();
        assert_eq!(stats.queued, 0);
        assert_eq!(stats.active, usize::from(permit.is_some()));
        // Nothing is sent any more.
        sleep(ms(10_000)).await;
        assert_eq!(model.sent(), attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_cancelled_already_sends_nothing() {
    let (model, token) = (Model::default(), CancellationToken::new());
    token.cancel();
    let call = complete(|prompt: String| model.ask(prompt), hello()).cancel_on(token);
    cancelled(&call.await.unwrap_err());
    assert_eq!(model.sent(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_it_leaves_the_queue_and_drops_the_try() {
    let gate = Gate::builder().concurrency(1).build();
    let call = complete(never, hello()).gate(&gate);
    assert!(tokio::time::timeout(ms(5), call).await.is_err());
    assert_eq!(gate.stats().active, 0);
    let held = gate.try_permit().unwrap();
    let call = complete(never, hello()).gate(&gate);
    assert!(tokio::time::timeout(ms(5), call).await.is_err());
    assert_eq!(gate.stats().queued, 0);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn what_was_reserved_is_settled_to_what_was_used() {
    let rate = Rate::tokens_per_minute(1_000);
    let gate = Gate::builder().rate(rate).build();
    let model = Model::default();
    let done = complete(|prompt: String| model.ask(prompt), hello())
        .gate(&gate)
        .ask(Ask::new().cost(800).key("tenant"))
        .usage(|_: &String| Some(Usage::new(100, 50)));
    done.await.unwrap();
    // 150 of 1,000 are used, less what 10 ms bring.
    assert_eq!(gate.left(0, None).await, Some(850));

    // Without an answer nothing is.
    let gate = Gate::builder().rate(Rate::tokens_per_minute(1_000)).build();
    let model = Model::failing(9);
    let call = complete(|prompt: String| model.ask(prompt), hello());
    call.gate(&gate).cost(800).waits(soon).await.unwrap_err();
    assert_eq!(gate.left(0, None).await, Some(1_000));
}

#[tokio::test(start_paused = true)]
async fn what_the_gate_refuses_is_final() {
    let gate = Gate::builder().concurrency(1).max_depth(0).build();
    let _held = gate.try_permit().unwrap();
    let model = Model::default();
    let call = complete(|prompt: String| model.ask(prompt), hello()).gate(&gate);
    let error = call.await.unwrap_err();
    let refused = cause_ref::<Overloaded>(&error).unwrap();
    assert_eq!(refused.reason(), ShedReason::QueueFull);
    assert_eq!((error.took.attempts, error.took.elapsed), (0, ms(0)));
    assert_eq!(gate.stats().shed_total(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_share_a_budget_that_each_feeds_once() {
    let budget = Budget::percent(50.0).depth(1);
    for (failures, sent, left) in [(9, 2, 0), (0, 1, 0), (0, 1, 1), (9, 2, 0)] {
        let model = Model::failing(failures);
        let call = complete(|prompt: String| model.ask(prompt), hello());
        let _ = call.budget(&budget).waits(soon).await;
        assert_eq!(model.sent(), sent);
        assert_eq!(budget.available(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_judge_says_what_is_tried_again() {
    let model = Model::failing(9);
    let call = complete(|prompt: String| model.ask(prompt), hello())
        .accept(|_: &Result<String, BoxError>| hedgerow::Class::Fatal);
    call.await.unwrap_err();
    assert_eq!(model.sent(), 1);
    let model = Model::default();
    let short = hedgerow::accept_if(|answer: &String| answer.len() > 100);
    let call = complete(|prompt: String| model.ask(prompt), hello());
    let done = call.accept(short).waits(soon).await.unwrap();
    assert_eq!((done.value.as_str(), done.took.attempts), ("hello!", 4));
}

#[test]
fn settings_that_make_no_sense_are_refused_with_what_to_write() {
    let call = || complete(never, hello());
    let told = [
        call().try_attempts(0).unwrap_err(),
        call().try_attempt_timeout(ms(0)).unwrap_err(),
        call().try_deadline(ms(0)).unwrap_err(),
    ];
    assert!(told.iter().all(|error| error.to_string().contains("write")));
}
