//! A12, for a whole stack: the caller leaves at every await point, and permits, budget and the
//! buffers of its body are back at once.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hedgerow::{Attempt, Budget, HedgeLayer, Idempotent, ReplayBodyLayer, ReplayableBody};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{Request, Response};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower::{Service, ServiceBuilder, ServiceExt};

type Body = UnsyncBoxBody<Bytes, Infallible>;
type Answer = Result<Response<Bytes>, Infallible>;

const DEPTH: u32 = 10;
const PERMITS: usize = 2;

/// Bytes that are counted as long as anybody holds them.
struct Counted(Arc<AtomicUsize>, [u8; 1_000]);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is alive, and what was sent.
#[derive(Clone, Default)]
struct World {
    buffers: Arc<AtomicUsize>,
    attempts: Arc<AtomicUsize>,
    sent: Arc<Mutex<Vec<Attempt>>>,
}

struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl World {
    fn request(&self) -> Request<Body> {
        self.buffers.fetch_add(1, Ordering::Relaxed);
        let bytes = Bytes::from_owner(Counted(self.buffers.clone(), [7; 1_000]));
        Request::post("http://service.test/")
            .extension(Idempotent)
            .body(Full::from(bytes).boxed_unsync())
            .expect("a valid request")
    }

    /// Uploads for 15 ms, thinks for 25 times the attempt's place from behind, and answers.
    fn backend(
        &self,
    ) -> impl Service<
        Request<ReplayableBody<Body>>,
        Response = Response<Bytes>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + use<> {
        let world = self.clone();
        tower::service_fn(move |request: Request<ReplayableBody<Body>>| {
            let attempt = Attempt::current();
            world.sent.lock().push(attempt);
            world.attempts.fetch_add(1, Ordering::Relaxed);
            let alive = Alive(world.attempts.clone());
            async move {
                let _alive = alive;
                sleep(Duration::from_millis(15)).await;
                let body = request.into_body().collect().await?.to_bytes();
                let thinks = 25 * (4 - u64::from(attempt.index()));
                sleep(Duration::from_millis(thinks)).await;
                Answer::Ok(Response::new(body))
            }
        })
    }
}

/// Leaves after so many polls: `None` if there was no answer until then.
struct Leaves<F: ?Sized>(Pin<Box<F>>, usize);

impl<F: Future + ?Sized> Future for Leaves<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.1 == 0 {
            return Poll::Ready(None);
        }
        self.1 -= 1;
        match self.0.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.1 == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A call through body, hedge and limit that is left when `leave` says; whether it was answered.
async fn one<L, Fut>(at: &str, leave: L) -> bool
where
    L: FnOnce(Pin<Box<dyn Future<Output = Answer> + Send>>) -> Fut,
    Fut: Future<Output = Option<Answer>>,
{
    let (world, budget) = (World::default(), Budget::percent(0.0).depth(DEPTH));
    let delays = [10, 20, 30].map(Duration::from_millis);
    let limited = ConcurrencyLimit::new(world.backend(), PERMITS);
    let hedge = HedgeLayer::schedule(delays).http().budget(budget.clone());
    let service = ServiceBuilder::new()
        .layer(ReplayBodyLayer::new())
        .layer(hedge)
        .service(limited.clone());
    let call = Box::pin(service.oneshot(world.request()));
    let answered = match leave(call).await {
        Some(Ok(answer)) => {
            assert_eq!(answer.body().len(), 1_000, "{at}: the whole body");
            true
        }
        Some(Err(never)) => match never {},
        None => false,
    };
    assert_eq!(world.attempts.load(Ordering::Relaxed), 0, "{at}: attempts");
    assert_eq!(world.buffers.load(Ordering::Relaxed), 0, "{at}: buffers");
    let sent = world.sent.lock().len();
    let extras = sent.saturating_sub(1) as u64;
    assert_eq!(
        budget.available(),
        u64::from(DEPTH) - extras,
        "{at}: budget"
    );
    let mut held = Vec::new();
    for _ in 0..PERMITS {
        let mut free = limited.clone();
        let ready = timeout(Duration::from_millis(1), free.ready()).await;
        assert!(ready.is_ok(), "{at}: a permit");
        held.push(free);
    }
    sleep(Duration::from_secs(10)).await;
    assert_eq!(world.sent.lock().len(), sent, "{at}: started afterwards");
    answered
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_leave_a_whole_stack_after_any_poll() {
    let mut places = 0;
    while !one(&format!("after {places} polls"), |call| {
        Leaves(call, places)
    })
    .await
    {
        places += 1;
    }
    assert!(places >= 5, "only {places} places to leave");
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_leave_a_whole_stack_at_any_millisecond() {
    let mut age = 0;
    while !one(&format!("after {age} ms"), |call| async move {
        timeout(Duration::from_millis(age), call).await.ok()
    })
    .await
    {
        age += 1;
    }
    assert!(age >= 60, "it was answered after {age} ms");
}
