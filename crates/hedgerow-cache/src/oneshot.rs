//! A clone of a service that gets ready, and is called.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower_service::Service;

/// Makes a service ready and calls it: readiness is waited for inside of the response future, so that
/// nothing is reserved by a call that needs no service.
#[pin_project]
pub(crate) struct Oneshot<S: Service<Req>, Req> {
    #[pin]
    running: Option<S::Future>,
    /// Until it is called.
    next: Option<(S, Req)>,
}

impl<S: Service<Req>, Req> Oneshot<S, Req> {
    #[inline]
    pub(crate) const fn new(service: S, request: Req) -> Self {
        Self {
            running: None,
            next: Some((service, request)),
        }
    }
}

impl<S: Service<Req>, Req> Future for Oneshot<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some((service, _)) = this.next {
            ready!(service.poll_ready(cx))?;
            if let Some((mut service, request)) = this.next.take() {
                this.running.set(Some(service.call(request)));
            }
        }
        match this.running.as_pin_mut() {
            Some(running) => running.poll(cx),
            None => Poll::Pending,
        }
    }
}
