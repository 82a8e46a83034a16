//! The contract kit finds what is broken, and nothing else.

use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::BoxError;
use hedgerow_core::testing::{Inner, Ping, Pong, check, contract};
use tower::limit::ConcurrencyLimit;
use tower::load_shed::LoadShed;
use tower::timeout::Timeout;
use tower::{Service, ServiceExt};

#[tokio::test(start_paused = true)]
async fn towers_layers_that_keep_it_pass() {
    contract(|inner| inner).await;
    contract(|inner| Timeout::new(inner, Duration::from_secs(1_000_000))).await;
    contract(|inner| ConcurrencyLimit::new(inner, 1)).await;
}

async fn broken_by<S>(make: impl Fn(Inner) -> S) -> Vec<&'static str>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let breaches = check(make).await;
    breaches.into_iter().map(|breach| breach.promise).collect()
}

type Boxed = Pin<Box<dyn Future<Output = Result<Pong, BoxError>> + Send>>;

/// Calls a clone of what it made ready: the classic mistake.
#[derive(Clone)]
struct CallsAClone(Inner);

impl Service<Ping> for CallsAClone {
    type Response = Pong;
    type Error = BoxError;
    type Future = Boxed;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, ping: Ping) -> Boxed {
        Box::pin(self.0.clone().call(ping))
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_calls_an_unready_clone_is_found() {
    // Over a concurrency limit the un-ready call panics, which is found as well.
    let found = std::panic::AssertUnwindSafe(broken_by(CallsAClone));
    match futures::FutureExt::catch_unwind(found).await {
        Ok(broken) => assert!(
            broken.contains(&"only ready instances are called"),
            "{broken:?}"
        ),
        Err(panic) => drop(panic),
    }
}

/// Runs every call in a task of its own, which outlives the caller.
#[derive(Clone)]
struct Detaches(Inner);

impl Service<Ping> for Detaches {
    type Response = Pong;
    type Error = BoxError;
    type Future = Boxed;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    #[expect(clippy::disallowed_methods, reason = "the mistake that is to be found")]
    fn call(&mut self, ping: Ping) -> Boxed {
        let task = tokio::spawn(self.0.clone().oneshot(ping));
        Box::pin(async move { task.await? })
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_detaches_its_calls_is_found() {
    let broken = broken_by(Detaches).await;
    assert!(
        broken.contains(&"dropping the future drops the inner calls"),
        "{broken:?}"
    );
    assert!(
        broken.contains(&"a dropped call gives its permit back"),
        "{broken:?}"
    );
}

/// Says that everything is well.
#[derive(Clone)]
struct Lies;

impl Service<Ping> for Lies {
    type Response = Pong;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Pong, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ping: Ping) -> Self::Future {
        ready(Ok(Pong { id: ping.id }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_hides_errors_is_found() {
    let broken = broken_by(|_| Lies).await;
    assert!(broken.contains(&"errors pass through"), "{broken:?}");
    assert!(
        broken.contains(&"nothing is called before it is ready"),
        "{broken:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_fails_under_load_is_found() {
    let broken = broken_by(LoadShed::new).await;
    assert!(
        broken.contains(&"nothing hangs over a concurrency limit of one"),
        "{broken:?}"
    );
}
