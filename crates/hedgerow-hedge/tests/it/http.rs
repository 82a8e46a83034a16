//! What HTTP means to the race. Over a real socket it stands in the top-level tests.
#![cfg(feature = "http")]

use std::convert::Infallible;
use std::sync::Arc;

use hedgerow_core::{Attempt, Budget, Idempotent};
use hedgerow_hedge::{HedgeLayer, Http, WinnerInfo};
use http::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

use crate::support::ms;

type Seen = Arc<Mutex<Vec<Request<&'static str>>>>;

/// The primary answers `status` after 200 ms, extra copies 200 after 5 ms.
fn client(
    seen: &Seen,
    status: u16,
    takes: u64,
) -> impl Service<
    Request<&'static str>,
    Response = Response<&'static str>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static {
    let seen = seen.clone();
    tower::service_fn(move |request: Request<&'static str>| {
        let extra = request.extensions().get::<Attempt>().is_some();
        seen.lock().push(request);
        async move {
            sleep(ms(if extra { 5 } else { takes })).await;
            let mut response = Response::new(if extra { "hedge" } else { "primary" });
            if !extra {
                *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            }
            Ok(response)
        }
    })
}

fn request(method: Method) -> Request<&'static str> {
    let mut request = Request::new("body");
    *request.method_mut() = method;
    request
}

#[tokio::test(start_paused = true)]
async fn a_post_is_never_sent_twice() {
    for method in [Method::POST, Method::PATCH] {
        let seen = Seen::default();
        let layer = HedgeLayer::fixed(ms(10)).http();
        let service = layer.layer(client(&seen, 200, 500));
        let response = service.oneshot(request(method)).await.expect("infallible");
        assert_eq!((*response.body(), seen.lock().len()), ("primary", 1));
        assert_eq!(layer.handle().stats().unreplayable, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_post_is_not_followed_up() {
    let seen = Seen::default();
    let service = HedgeLayer::fixed(ms(10))
        .http()
        .layer(client(&seen, 503, 1));
    let response = service
        .oneshot(request(Method::POST))
        .await
        .expect("infallible");
    assert_eq!((response.status().as_u16(), seen.lock().len()), (503, 1));
}

#[tokio::test(start_paused = true)]
async fn a_post_that_says_it_may_is_hedged() {
    let mut keyed = request(Method::POST);
    keyed
        .headers_mut()
        .insert("idempotency-key", "1".parse().expect("a value"));
    let mut marked = request(Method::POST);
    marked.extensions_mut().insert(Idempotent);
    for request in [keyed, marked] {
        let seen = Seen::default();
        let service = HedgeLayer::fixed(ms(10))
            .http()
            .layer(client(&seen, 200, 500));
        let response = service.oneshot(request).await.expect("infallible");
        assert_eq!((*response.body(), seen.lock().len()), ("hedge", 2));
    }
}

/// A16: theirs took an error answer for a win.
#[tokio::test(start_paused = true)]
async fn a_5xx_and_a_429_lose_and_everything_else_wins() {
    for (status, want) in [(500, 2), (503, 2), (429, 2), (404, 1), (301, 1), (200, 1)] {
        let seen = Seen::default();
        // Long before the hedge is due: only a lost primary sends it.
        let service = HedgeLayer::fixed(ms(9_000))
            .http()
            .layer(client(&seen, status, 5));
        let response = service
            .oneshot(request(Method::GET))
            .await
            .expect("infallible");
        assert_eq!(seen.lock().len(), want, "{status}");
        assert_eq!(*response.body() == "hedge", want == 2, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_extra_copies_carry_the_attempt_and_only_when_asked_a_header() {
    for (http, header) in [
        (Http::new(), None),
        (Http::new().attempt_header(), Some("1")),
    ] {
        let seen = Seen::default();
        let service = HedgeLayer::fixed(ms(10))
            .http_with(http)
            .layer(client(&seen, 200, 500));
        service
            .oneshot(request(Method::GET))
            .await
            .expect("infallible");
        let seen = seen.lock();
        assert!(seen[0].extensions().get::<Attempt>().is_none());
        assert!(seen[0].headers().is_empty());
        assert_eq!(seen[1].extensions().get(), Some(&Attempt::new(1)));
        let sent = seen[1]
            .headers()
            .get("hedge-attempt")
            .map(|v| v.to_str().expect("text"));
        assert_eq!(sent, header);
        assert_eq!(seen[1].body(), &"body");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedged_answer_carries_the_winner() {
    let seen = Seen::default();
    let service = HedgeLayer::fixed(ms(10))
        .http()
        .layer(client(&seen, 200, 500));
    let response = service
        .clone()
        .oneshot(request(Method::GET))
        .await
        .expect("infallible");
    let info: &WinnerInfo = response.extensions().get().expect("it was hedged");
    assert_eq!((info.index, info.hedge_won, info.cost), (1, true, 2.0));

    let quick = HedgeLayer::fixed(ms(900))
        .http()
        .layer(client(&seen, 200, 1));
    let response = quick
        .oneshot(request(Method::GET))
        .await
        .expect("infallible");
    assert!(response.extensions().get::<WinnerInfo>().is_none());

    let told = HedgeLayer::fixed(ms(900)).http_with(Http::new().always_inform());
    let service = told.layer(client(&seen, 200, 1));
    let response = service
        .oneshot(request(Method::GET))
        .await
        .expect("infallible");
    let info: &WinnerInfo = response.extensions().get().expect("it was asked for");
    assert_eq!((info.index, info.hedged, info.cost), (0, false, 1.0));
}

/// A router below picks the endpoint by the edited copy.
#[tokio::test(start_paused = true)]
async fn no_two_attempts_go_to_one_endpoint_while_another_is_free() {
    const ENDPOINTS: u32 = 3;
    fn elsewhere(request: &mut Request<u32>, attempt: Attempt) {
        *request.body_mut() = (*request.body() + attempt.index()) % ENDPOINTS;
    }
    for first in 0..ENDPOINTS {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let router = tower::service_fn(move |request: Request<u32>| {
            log.lock().push(*request.body());
            async {
                sleep(ms(1_000)).await;
                Ok::<_, Infallible>(Response::new(()))
            }
        });
        let layer = HedgeLayer::schedule([ms(10), ms(20)])
            .replay_with(|request: &mut Request<u32>| Some(request.clone()))
            .http()
            .edit(elsewhere)
            .budget(Budget::unlimited());
        layer
            .layer(router)
            .oneshot(Request::new(first))
            .await
            .expect("infallible");
        let mut endpoints = seen.lock().clone();
        assert_eq!(endpoints[0], first);
        endpoints.sort_unstable();
        assert_eq!(endpoints, [0, 1, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_whose_edit_panics_is_not_sent_and_not_paid() {
    let seen = Seen::default();
    let layer = HedgeLayer::fixed(ms(10))
        .http()
        .edit(|_: &mut Request<&'static str>, _: Attempt| panic!("on purpose"));
    let service = layer.layer(client(&seen, 200, 500));
    let response = service
        .oneshot(request(Method::GET))
        .await
        .expect("infallible");
    assert_eq!((*response.body(), seen.lock().len()), ("primary", 1));
    assert_eq!(layer.handle().budget().available(), 50);
}
