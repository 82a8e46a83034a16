//! Errors that become answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hedgerow_core::{BoxError, Class, Classify, GrpcJudge, HttpJudge};
use hedgerow_http::{Explain, Refusal, RefusalKind, RespondBody, RespondLayer};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};

type Answer = Response<RespondBody<Full<Bytes>>>;

fn full(error: &BoxError) -> Refusal {
    Refusal::new(RefusalKind::Overloaded, error.to_string()).retry_after(Duration::from_secs(3))
}

async fn ask(explain: impl Explain, kind: &str, result: Result<&'static str, &str>) -> Answer {
    let result = result
        .map(|text| Response::new(Full::from(text)))
        .map_err(BoxError::from);
    let result = Arc::new(std::sync::Mutex::new(Some(result)));
    let server = tower::service_fn(move |_: Request<()>| {
        std::future::ready(result.lock().expect("whole").take().expect("asked once"))
    });
    let request = Request::builder().header("content-type", kind).body(());
    let answer = RespondLayer::new(explain)
        .layer(server)
        .oneshot(request.expect("valid"));
    let answer: Result<Answer, Infallible> = answer.await;
    answer.unwrap_or_else(|never| match never {})
}

async fn text(answer: Answer) -> String {
    let body = answer.into_body().collect().await.expect("it cannot fail");
    String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn an_error_is_answered_as_the_request_is_written() {
    let answer = ask(full, "application/json", Err("no room")).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "3");
    assert!(!answer.headers().contains_key("grpc-status"));
    assert_eq!(text(answer).await, "no room");
    for kind in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;x",
    ] {
        let answer = ask(full, kind, Err("no room")).await;
        assert_eq!(answer.status(), 200, "{kind}");
        assert_eq!(answer.headers()["grpc-status"], "14");
        assert_eq!(answer.headers()["grpc-message"], "no room");
        assert_eq!(answer.headers()["grpc-retry-pushback-ms"], "3000");
        assert_eq!(text(answer).await, "");
    }
    // gRPC-Web wraps its trailers in the body, which this does not.
    assert_eq!(
        ask(full, "application/grpc-web", Err("no")).await.status(),
        503
    );
}

#[tokio::test]
async fn an_answer_passes_through() {
    let answer = ask(full, "", Ok("hello")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer).await, "hello");
}

/// What a server of ours says, a client of ours understands.
#[test]
fn the_judges_read_what_a_refusal_says() {
    let after = Some(Duration::from_millis(1_500));
    let retry = Class::Retryable { after };
    for (kind, http, grpc) in [
        (RefusalKind::TooMany, retry, retry),
        (RefusalKind::Overloaded, retry, retry),
        (RefusalKind::Upstream, retry, retry),
        (RefusalKind::TooLarge, Class::Success, Class::NoMore),
        (RefusalKind::TimedOut, Class::RETRYABLE, Class::RETRYABLE),
        (RefusalKind::Cancelled, Class::Success, Class::Fatal),
        (RefusalKind::Internal, Class::RETRYABLE, Class::RETRYABLE),
    ] {
        let refusal = Refusal::new(kind, "no").retry_after(Duration::from_millis(1_500));
        let answer: Response<String> = refusal.to_http();
        assert_eq!(HttpJudge.classify(&Ok::<_, ()>(answer)), http, "{kind:?}");
        let answer: Response<()> = refusal.to_grpc();
        assert_eq!(GrpcJudge.classify(&Ok::<_, ()>(answer)), grpc, "{kind:?}");
    }
    assert_eq!(RefusalKind::Cancelled.status(), 499);
}

#[cfg(feature = "tonic")]
#[test]
fn a_status_says_the_same_as_an_answer() {
    for kind in [
        RefusalKind::TooMany,
        RefusalKind::Overloaded,
        RefusalKind::TooLarge,
        RefusalKind::TimedOut,
        RefusalKind::Cancelled,
        RefusalKind::Upstream,
        RefusalKind::Internal,
    ] {
        let refusal = Refusal::new(kind, "100 % ü").retry_after(Duration::from_millis(70));
        let told = tonic::Status::from_header_map(refusal.to_grpc::<()>().headers());
        let told = told.expect("a status");
        let status = refusal.to_status();
        assert_eq!(
            (told.code(), told.message()),
            (status.code(), status.message())
        );
        let name = "grpc-retry-pushback-ms";
        assert_eq!(
            told.metadata().get(name),
            status.metadata().get(name),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_function_that_panics_is_an_internal_error_and_tells_nothing() {
    let panics = |_: &BoxError| -> Refusal { panic!("on purpose") };
    let answer = ask(panics, "", Err("a secret")).await;
    assert_eq!(answer.status(), 500);
    assert_eq!(text(answer).await, "internal error");
}

/// Fails to get ready once, then answers.
#[derive(Clone)]
struct Stumbles(Arc<AtomicUsize>);

impl Service<Request<()>> for Stumbles {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<Full<Bytes>>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Poll::Ready(Err("not yet".into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(
            self.0.load(Ordering::Relaxed) > 1,
            "called without being ready"
        );
        std::future::ready(Ok(Response::new(Full::from("here"))))
    }
}

#[tokio::test]
async fn a_service_that_fails_to_get_ready_is_an_answer_too() {
    let mut server = RespondLayer::new(full).layer(Stumbles(Arc::default()));
    let mut ask = async || {
        let server = server.ready().await?;
        server.call(Request::new(())).await
    };
    let Ok(first) = ask().await;
    assert_eq!(first.status(), 503);
    assert_eq!(text(first).await, "not yet");
    let Ok(second) = ask().await;
    assert_eq!(second.status(), 200);
}
