//! What each error of ours means to the caller of a server.

use std::error::Error;
use std::io;
use std::time::Duration;

use hedgerow::{
    BoxError, DeadlineLayer, Gate, Overloaded, Rate, Refusal, RefusalKind, RetryLayer,
    TimeoutLayer, cause_ref, race, refusal, respond,
};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

fn kind(error: impl Into<BoxError>) -> RefusalKind {
    refusal(&error.into()).kind()
}

async fn error_of<S>(service: S) -> BoxError
where
    S: Service<(), Response = (), Error = BoxError>,
{
    service.oneshot(()).await.expect_err("it fails")
}

async fn never(_: ()) -> Result<(), BoxError> {
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn a_queue_says_503_and_a_rate_says_429_and_both_say_when() {
    let gate = Gate::builder().concurrency(1).max_depth(0).build();
    let _running = gate.permit().await.unwrap();
    let full = gate.permit().await.unwrap_err();
    assert_eq!(kind(full), RefusalKind::Overloaded);

    let gate = Gate::builder()
        .rate(Rate::per_minute(1))
        .max_depth(0)
        .build();
    let _ran = gate.permit().await.unwrap();
    let too_fast = gate.permit().await.unwrap_err();
    let told = refusal(&too_fast.into());
    assert_eq!(told.kind(), RefusalKind::TooMany);
    assert_eq!(told.after(), Some(60 * SECOND));
    let answer: http::Response<String> = respond(too_fast);
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "60");
    assert!(answer.body().contains("the admission queue is full"));
}

#[tokio::test(start_paused = true)]
async fn what_a_gate_never_lets_in_is_not_asked_to_come_back() {
    let gate = Gate::builder().rate(Rate::tokens_per_minute(10)).build();
    let too_large: Overloaded = gate
        .permit_for(hedgerow::Ask::new().cost(11))
        .await
        .unwrap_err();
    let told = refusal(&too_large.into());
    assert_eq!((told.kind(), told.after()), (RefusalKind::TooLarge, None));

    let gate = Gate::builder().concurrency(1).build();
    let running = gate.permit().await.unwrap();
    let token = CancellationToken::new();
    token.cancel();
    let cancelled = gate.permit().cancel_on(token).await.unwrap_err();
    assert_eq!(kind(cancelled), RefusalKind::Cancelled);
    drop(running);
    gate.close().await;
    assert_eq!(
        kind(gate.permit().await.unwrap_err()),
        RefusalKind::Overloaded
    );
}

#[tokio::test(start_paused = true)]
async fn time_that_is_over_is_504_however_it_is_wrapped() {
    let service = || tower::service_fn(never);
    let timeout = error_of(TimeoutLayer::new(SECOND).layer(service())).await;
    let deadline = error_of(DeadlineLayer::new(SECOND).layer(service())).await;
    let retry = RetryLayer::exponential()
        .clone_requests()
        .attempt_timeout(SECOND);
    let retry = error_of(retry.layer(service())).await;
    for error in [timeout, deadline, retry] {
        let text = error.to_string();
        assert_eq!(kind(error), RefusalKind::TimedOut, "{text}");
    }
    let raced = race([never(())]).timeout(SECOND).await.unwrap_err();
    assert_eq!(kind(raced.boxed()), RefusalKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_race_that_was_lost_says_what_its_primary_says_or_502() {
    async fn fails(error: BoxError) -> Result<(), BoxError> {
        Err(error)
    }
    let lost = race([fails("odd".into())]).await.unwrap_err();
    assert_eq!(kind(lost.boxed()), RefusalKind::Upstream);
    let gate = Gate::builder()
        .rate(Rate::per_minute(1))
        .max_depth(0)
        .build();
    let _ran = gate.permit().await.unwrap();
    let refused = gate.permit().await.unwrap_err();
    let lost = race([fails(refused.into())]).await.unwrap_err();
    assert_eq!(kind(lost.boxed()), RefusalKind::TooMany);
}

#[test]
fn what_breaks_further_on_is_502_and_anything_else_tells_nothing() {
    for broken in [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe,
    ] {
        assert_eq!(kind(io::Error::from(broken)), RefusalKind::Upstream);
        let nested = io::Error::other(io::Error::from(broken));
        assert_eq!(kind(nested), RefusalKind::Upstream);
    }
    for own in [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied] {
        assert_eq!(
            kind(io::Error::new(own, "/etc/secret")),
            RefusalKind::Internal
        );
    }
    let told: Refusal = refusal(&"password: 1234".into());
    assert_eq!(
        (told.kind(), told.message()),
        (RefusalKind::Internal, "internal error")
    );
}

/// Every error that is ours is found below whatever wraps it.
#[tokio::test(start_paused = true)]
async fn the_outermost_known_error_decides() {
    let service = tower::service_fn(never);
    let error = error_of(TimeoutLayer::new(SECOND).layer(service)).await;
    let error: BoxError = io::Error::other(io::Error::other(error)).into();
    assert!(cause_ref::<hedgerow::TimedOut>(&*error as &(dyn Error + 'static)).is_some());
    let answer: http::Response<String> = respond(error);
    assert_eq!(answer.status(), 504);
    assert_eq!(answer.body(), "no answer within 1s");
}
