//! A gate in front of a service, for readiness: the layer, and the service that asks before it is ready.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hedgerow_core::{BoxError, Classify, OkWins};
use parking_lot::Mutex;
use pin_project::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::ask::Ask;
use crate::gate::Gate;
use crate::permit::Permit;
use crate::queue::Kind;
use crate::review::{Judged, Reviews};
use crate::shared::Shared;
use crate::waiting::{Arrival, Waiting};

/// Lets a service be ready when the [`Gate`] says so: who calls waits in `poll_ready`.
///
/// For uniform cost. What stands above sees the back-pressure: `load_shed` sheds, `balance` goes to
/// another one, a hedge with `HedgeReady::NowOnly` goes without. Who waits for readiness is never refused
/// for having waited: readiness has no deadline, and its waiters are as many as there are clones.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::{Gate, ReadyAdmissionLayer};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let gate = Gate::builder().concurrency(4).build();
/// let client = ServiceBuilder::new()
///     .load_shed()
///     .layer(ReadyAdmissionLayer::new(gate))
///     .service_fn(async |n: u32| Ok::<_, std::convert::Infallible>(n));
/// assert_eq!(client.oneshot(1).await?, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Readiness, clones and drop
///
/// A service that was made ready holds a permit until it is called or dropped, and what a rate has
/// reserved for it. A clone starts without. Once a permit is held, the service below is made ready.
///
/// # Errors
///
/// [`Overloaded`](crate::Overloaded) from `poll_ready`, boxed, when the gate is closed, every resource of
/// its pool was killed, or the ledger of its rates cannot be asked.
///
/// Every `Ok` is an answer and every `Err` a refusal: where a status says that it is too much (HTTP), or with a
/// pool, whose resource the request does not see here, take [`AdmissionLayer`](crate::AdmissionLayer).
#[derive(Clone, Debug)]
pub struct ReadyAdmissionLayer<T = ()> {
    gate: Gate<T>,
}

impl<T> ReadyAdmissionLayer<T> {
    /// Services are ready when `gate` says so.
    #[must_use]
    pub const fn new(gate: Gate<T>) -> Self {
        Self { gate }
    }

    /// The gate: read it, change it, ask it for permits.
    #[must_use]
    pub fn handle(&self) -> Gate<T> {
        self.gate.clone()
    }
}

impl<S, T> Layer<S> for ReadyAdmissionLayer<T> {
    type Service = ReadyAdmission<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        ReadyAdmission::new(inner, self.gate.shared().clone())
    }
}

/// The service that [`ReadyAdmissionLayer`] makes.
pub struct ReadyAdmission<S, T = ()> {
    inner: S,
    shared: Arc<Shared<T>>,
    /// Never locked: it makes the service `Sync`, which what it awaits need not be.
    stage: Mutex<Stage<T>>,
}

enum Stage<T> {
    Idle,
    Waiting(Waiting<T>),
    Ready(Permit<T>),
}

impl<T> Stage<T> {
    /// Ready, with nothing sent yet.
    fn unsent(permit: Permit<T>) -> Self {
        Self::Ready(permit.unsent())
    }
}

impl<S, T> ReadyAdmission<S, T> {
    pub(crate) const fn new(inner: S, shared: Arc<Shared<T>>) -> Self {
        Self {
            inner,
            shared,
            stage: Mutex::new(Stage::Idle),
        }
    }

    /// The wrapped service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, Req, T> Service<Req> for ReadyAdmission<S, T>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Running<S::Future, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let stage = self.stage.get_mut();
        loop {
            match stage {
                Stage::Ready(_) => return self.inner.poll_ready(cx).map_err(Into::into),
                Stage::Waiting(waiting) => {
                    *stage = match ready!(waiting.poll(cx)) {
                        Ok(permit) => Stage::unsent(permit),
                        Err(refused) => {
                            *stage = Stage::Idle;
                            return Poll::Ready(Err(refused.into()));
                        }
                    };
                }
                Stage::Idle => {
                    *stage = if let Some(pass) = self.shared.enter_plainly(1) {
                        Stage::unsent(Permit::plain(self.shared.clone(), pass))
                    } else {
                        match Waiting::join(&self.shared, Ask::new(), Kind::Readiness, cx) {
                            Arrival::At(Ok(permit)) => Stage::unsent(permit),
                            Arrival::At(Err(refused)) => return Poll::Ready(Err(refused.into())),
                            Arrival::Waits(waiting) => {
                                *stage = Stage::Waiting(waiting);
                                return Poll::Pending;
                            }
                        }
                    };
                }
            }
        }
    }

    /// # Panics
    ///
    /// If it was not made ready.
    fn call(&mut self, request: Req) -> Self::Future {
        let Stage::Ready(permit) = mem::replace(self.stage.get_mut(), Stage::Idle) else {
            panic!("called without being made ready");
        };
        let mut permit = permit;
        permit.set_sent();
        Running {
            inner: Some(self.inner.call(request)),
            permit: Some(permit),
        }
    }
}

/// The response future of [`ReadyAdmission`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Running<F, T = ()> {
    #[pin]
    inner: Option<F>,
    permit: Option<Permit<T>>,
}

impl<F, Res, E, T> Future for Running<F, T>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    OkWins: Classify<Res, E>,
{
    type Output = Result<Res, BoxError>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let inner = this.inner.as_mut().as_pin_mut();
        let result = ready!(inner.expect("polled after it was ready").poll(cx));
        // Gone before its permit goes to the next.
        this.inner.set(None);
        if let Some(permit) = this.permit.take() {
            permit.end(Judged(OkWins).review(&result));
        }
        Poll::Ready(result.map_err(Into::into))
    }
}

impl<S: Clone, T> Clone for ReadyAdmission<S, T> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.shared.clone())
    }
}

impl<S: fmt::Debug, T> fmt::Debug for ReadyAdmission<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyAdmission")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<F, T> fmt::Debug for Running<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}
