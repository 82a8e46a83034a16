//! A service that several threads may look at, though it is called by one at a time.

use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use tower::Service;

/// Makes any service `Sync`: it is called through `&mut`, and only a clone takes the lock.
#[derive(Debug)]
pub(crate) struct Lone<S>(Mutex<S>);

impl<S> Lone<S> {
    pub(crate) const fn new(service: S) -> Self {
        Self(Mutex::new(service))
    }

    fn inner(&mut self) -> &mut S {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Clone> Clone for Lone<S> {
    fn clone(&self) -> Self {
        let service = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Self::new(service.clone())
    }
}

impl<S: Service<Req>, Req> Service<Req> for Lone<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner().poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> S::Future {
        self.inner().call(request)
    }
}
