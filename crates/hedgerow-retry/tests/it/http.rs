//! E2 and E3: what HTTP means to a retry. Over a real socket it stands in the top-level tests.
#![cfg(feature = "http")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hedgerow_core::{Class, Deadline, Idempotent, cause_ref, retry_after};
use hedgerow_retry::{DeadlineExceeded, DeadlineLayer, RetryLayer, StopReason};
use http::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use crate::support::{about, ms, secs};

type Head = (u16, &'static [(&'static str, &'static str)]);

fn client(
    heads: &'static [Head],
) -> (
    impl Service<Request<()>, Response = Response<usize>, Error = Infallible, Future: Send> + Clone,
    Arc<Mutex<usize>>,
) {
    let sent = Arc::new(Mutex::new(0));
    let count = sent.clone();
    let service = tower::service_fn(move |_: Request<()>| {
        let mut count = count.lock();
        let (status, fields) = heads[(*count).min(heads.len() - 1)];
        let mut response = Response::new(*count);
        *count += 1;
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        for (name, value) in fields {
            let value = value.parse().expect("a header value");
            response.headers_mut().insert(*name, value);
        }
        async move { Ok(response) }
    });
    (service, sent)
}

fn request(method: Method) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    request
}

async fn send<S>(service: S, request: Request<()>) -> (StatusCode, usize, Duration)
where
    S: Service<Request<()>, Response = Response<usize>>,
    S::Error: std::fmt::Debug,
{
    let start = Instant::now();
    let response = service.oneshot(request).await.expect("an answer");
    (response.status(), *response.body(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_503_stays_an_answer_when_all_tries_fail() {
    let (client, sent) = client(&[(503, &[])]);
    let layer = RetryLayer::fixed(ms(1)).http();
    let (status, body, _) = send(layer.layer(client), request(Method::GET)).await;
    assert_eq!((status.as_u16(), body, *sent.lock()), (503, 3, 4));
}

#[tokio::test(start_paused = true)]
async fn only_what_may_help_is_tried_again() {
    for status in (200..600).chain([418, 499, 529]) {
        let head: &'static [Head] = Box::leak(Box::new([(status, &[][..]), (200, &[])]));
        let (client, sent) = client(head);
        let layer = RetryLayer::fixed(ms(1)).http();
        send(layer.layer(client), request(Method::GET)).await;
        let again = matches!(status, 408 | 429 | 500 | 502..=599);
        assert_eq!(*sent.lock() == 2, again, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_is_sent_once_unless_it_says_that_it_may() {
    let mut keyed = request(Method::POST);
    let key = "7".parse().expect("a value");
    keyed.headers_mut().insert("idempotency-key", key);
    let mut marked = request(Method::POST);
    marked.extensions_mut().insert(Idempotent);
    for (request, wanted) in [(request(Method::POST), 1), (keyed, 2), (marked, 2)] {
        let (client, sent) = client(&[(503, &[]), (200, &[])]);
        let layer = RetryLayer::fixed(ms(1)).http();
        send(layer.layer(client), request).await;
        assert_eq!(*sent.lock(), wanted);
        let unreplayable = layer.handle().stats().failed_by(StopReason::Unreplayable);
        assert_eq!(unreplayable, 2 - wanted as u64);
    }
}

/// E3, exactly: no jitter, not the policy's wait.
#[tokio::test(start_paused = true)]
async fn retry_after_in_seconds_is_waited_exactly() {
    let (client, _) = client(&[(503, &[("retry-after", "7")]), (200, &[])]);
    let layer = RetryLayer::exponential().http();
    let (status, _, took) = send(layer.layer(client), request(Method::GET)).await;
    assert_eq!(status, 200);
    about(took, 7_000, 1);
}

#[tokio::test(start_paused = true)]
async fn retry_after_as_a_date_is_waited_exactly_by_the_servers_clock() {
    let (client, _) = client(&[
        (
            429,
            &[
                ("date", "Sun, 06 Nov 1994 08:49:30 GMT"),
                ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ],
        ),
        (200, &[]),
    ]);
    let layer = RetryLayer::exponential().http();
    let (_, _, took) = send(layer.layer(client), request(Method::GET)).await;
    about(took, 7_000, 1);
}

#[tokio::test(start_paused = true)]
async fn a_date_without_the_servers_clock_is_read_by_a_clock_that_can_be_set() {
    fn judge(result: &Result<Response<usize>, Infallible>) -> Class {
        let Ok(response) = result else {
            return Class::RETRYABLE;
        };
        let at_49_25 = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_765);
        match response.status().as_u16() {
            200 => Class::Success,
            _ => Class::Retryable {
                after: retry_after(response.headers(), || at_49_25),
            },
        }
    }
    let (client, _) = client(&[
        (503, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]),
        (200, &[]),
    ]);
    let layer = RetryLayer::exponential().accept(judge);
    let (_, _, took) = send(layer.layer(client), request(Method::GET)).await;
    about(took, 12_000, 1);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_capped() {
    for (cap, wanted) in [(None, 30_000), (Some(secs(5)), 5_000)] {
        for asked in ["86400", "99999999999999999999999"] {
            let fields: &'static [_] = Box::leak(Box::new([("retry-after", asked)]));
            let head: &'static [Head] = Box::leak(Box::new([(503, fields), (200, &[])]));
            let (client, _) = client(head);
            let mut layer = RetryLayer::exponential().http();
            if let Some(cap) = cap {
                layer = layer.pushback_cap(cap);
            }
            let (_, _, took) = send(layer.layer(client), request(Method::GET)).await;
            about(took, wanted, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_zero_sends_the_next_try_at_once() {
    let (client, sent) = client(&[(503, &[("retry-after", "0")]), (200, &[])]);
    let layer = RetryLayer::fixed(secs(9)).http();
    let (_, _, took) = send(layer.layer(client), request(Method::GET)).await;
    assert_eq!((*sent.lock(), took), (2, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_pushback_past_the_deadline_ends_the_call_now_with_the_real_answer() {
    let (client, sent) = client(&[(503, &[("retry-after", "10")])]);
    let layer = RetryLayer::exponential().http().deadline(secs(10));
    let (status, _, took) = send(layer.layer(client), request(Method::GET)).await;
    assert_eq!(
        (status.as_u16(), *sent.lock(), took),
        (503, 1, Duration::ZERO)
    );
    assert_eq!(layer.handle().stats().failed_by(StopReason::Deadline), 1);
}

#[tokio::test(start_paused = true)]
async fn a_grpc_pushback_is_waited_and_a_negative_one_is_final() {
    let pushed: &[Head] = &[
        (
            200,
            &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "250")],
        ),
        (200, &[("grpc-status", "0")]),
    ];
    let (client_, sent) = client(pushed);
    let layer = RetryLayer::exponential().grpc();
    let (_, _, took) = send(layer.layer(client_), request(Method::GET)).await;
    about(took, 250, 1);
    assert_eq!(*sent.lock(), 2);
    let (client_, sent) = client(&[(
        200,
        &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "-1")],
    )]);
    send(layer.layer(client_), request(Method::GET)).await;
    assert_eq!(*sent.lock(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_travels_in_the_extensions_and_only_shortens() {
    let start = Instant::now();
    let at = |after: u64| Deadline::at((start + ms(after)).into_std());
    for (carried, wanted) in [(None, 500), (Some(300), 300), (Some(900), 500)] {
        let inner = tower::service_fn(move |request: Request<()>| async move {
            let told = request.extensions().get::<Deadline>().copied();
            assert_eq!(told, Some(at(wanted)));
            assert_eq!(Deadline::current(), told);
            Ok::<_, Infallible>(Response::new(()))
        });
        let mut request = request(Method::GET);
        if let Some(carried) = carried {
            request.extensions_mut().insert(at(carried));
        }
        let layer = DeadlineLayer::new(ms(500)).http();
        layer.layer(inner).oneshot(request).await.expect("in time");
    }
}

/// A `Buffer` makes its calls in another task, where the thread's own deadline is not seen.
#[tokio::test(start_paused = true)]
async fn a_deadline_crosses_a_buffer_in_the_extensions() {
    fn never(_: Request<()>) -> std::future::Pending<Result<Response<()>, Infallible>> {
        assert!(Deadline::current().is_some());
        std::future::pending()
    }
    let start = Instant::now();
    let deadline = Deadline::at((start + ms(200)).into_std());
    let beneath = DeadlineLayer::inherited().http();
    let buffered = tower::buffer::Buffer::new(beneath.layer(tower::service_fn(never)), 4);
    let mut request = request(Method::GET);
    request.extensions_mut().insert(deadline);
    let ended = tokio::time::timeout(secs(60), buffered.oneshot(request)).await;
    let error = ended.expect("the deadline was read").unwrap_err();
    about(start.elapsed(), 200, 1);
    assert!(cause_ref::<DeadlineExceeded>(&*error).is_some());
}
