//! The service behind an HTTP front: each call is a `PUT` with a body of sixteen bytes.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use tower::Service;

use crate::inner::{Answer, Echo, Request};

const BODY: Bytes = Bytes::from_static(b"sixteen bytes, 1");

/// Makes an HTTP request of each call.
#[derive(Clone, Debug)]
pub(crate) struct Posting<S> {
    inner: S,
}

/// Takes an HTTP request with any body, and answers as [`Echo`] does.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    echo: Echo,
}

impl<S> Posting<S> {
    pub(crate) const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl Posted {
    pub(crate) const fn new(echo: Echo) -> Self {
        Self { echo }
    }
}

impl<S> Service<Request> for Posting<S>
where
    S: Service<http::Request<Full<Bytes>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, _: Request) -> S::Future {
        let mut request = http::Request::new(Full::new(BODY));
        *request.method_mut() = http::Method::PUT;
        self.inner.call(request)
    }
}

impl<B> Service<http::Request<B>> for Posted {
    type Response = Request;
    type Error = Infallible;
    type Future = Answer;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.echo.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: http::Request<B>) -> Answer {
        drop(request);
        self.echo.call(Request::new(1))
    }
}
