//! The service.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::BoxError;
use tokio::runtime;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::PollSemaphore;
use tower_service::Service;

use crate::error::BatchError;
use crate::future::ResponseFuture;
use crate::shared::{Control, Shared};

/// The service that [`BatchLayer`](crate::BatchLayer) makes: takes single requests, whose backend gets
/// batches.
///
/// A handle: clones share one queue and one task.
pub struct Batching<Req, Res> {
    live: Arc<Live<Req, Res>>,
    places: PollSemaphore,
    /// A place in the queue, from `poll_ready`.
    place: Option<OwnedSemaphorePermit>,
}

/// Starts the task of a service.
pub(crate) type Spawn<Req, Res> =
    Box<dyn Fn(Arc<Shared<Req, Res>>, &runtime::Handle) + Send + Sync>;

/// What all clones of a service are together: when the last one goes, the task finishes what it has.
struct Live<Req, Res> {
    shared: Arc<Shared<Req, Res>>,
    spawn: Spawn<Req, Res>,
    drain: fn(&Shared<Req, Res>),
}

impl<Req: Send, Res: Send> Batching<Req, Res> {
    pub(crate) fn new(shared: Arc<Shared<Req, Res>>, spawn: Spawn<Req, Res>) -> Self {
        Self {
            places: PollSemaphore::new(shared.places.clone()),
            live: Arc::new(Live {
                shared,
                spawn,
                drain: Shared::drain,
            }),
            place: None,
        }
    }
}

impl<Req, Res> Live<Req, Res> {
    /// Sees to it that there is a task.
    fn run(&self) -> Result<(), BatchError> {
        if !self.shared.wants_worker() {
            return Ok(());
        }
        match runtime::Handle::try_current() {
            Ok(runtime) => {
                (self.spawn)(self.shared.clone(), &runtime);
                Ok(())
            }
            Err(_) => {
                self.shared.worker_gone();
                Err(BatchError::NoRuntime)
            }
        }
    }
}

impl<Req, Res> Service<Req> for Batching<Req, Res> {
    type Response = Res;
    type Error = BoxError;
    type Future = ResponseFuture<Req, Res>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.place.is_none() {
            let Some(place) = std::task::ready!(self.places.poll_acquire(cx)) else {
                return Poll::Ready(Err(BatchError::Closed.into()));
            };
            self.live.run()?;
            self.place = Some(place);
        }
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let shared = &self.live.shared;
        if shared.places.is_closed() {
            return ResponseFuture::refused(BatchError::Closed);
        }
        let place = match self.place.take() {
            Some(place) => place,
            None => match shared.places.clone().try_acquire_owned() {
                Ok(place) => place,
                Err(_) => return ResponseFuture::refused(BatchError::NotReady),
            },
        };
        let entered = shared.enter(request, place);
        // After it: a task that ended in between has not seen the item.
        if let Err(error) = self.live.run() {
            shared.strand(&entered, &error);
        }
        ResponseFuture::waiting(entered, shared.clone())
    }
}

impl<Req, Res> Clone for Batching<Req, Res> {
    fn clone(&self) -> Self {
        Self {
            live: self.live.clone(),
            places: self.places.clone(),
            place: None,
        }
    }
}

impl<Req, Res> Drop for Live<Req, Res> {
    fn drop(&mut self) {
        (self.drain)(&self.shared);
    }
}

impl<Req, Res> fmt::Debug for Batching<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batching")
            .field("policy", &self.live.shared.settings.policy.name())
            .field("ready", &self.place.is_some())
            .finish_non_exhaustive()
    }
}
