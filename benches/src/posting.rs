//! The service behind an HTTP front: each call is a `PUT` with a body of sixteen bytes, and its answer a
//! number or an event of a stream.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::TryFutureExt as _;
use futures::future::MapOk;
use http::Response;
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

/// One event of a chat, content.
const EVENT: Bytes =
    Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n");

/// Asks for a stream, and answers once its answer is there.
#[derive(Clone, Debug)]
pub(crate) struct Streaming<S> {
    inner: S,
}

/// Takes an HTTP request with any body, and answers when [`Echo`] does, with a stream of one event.
#[derive(Clone, Debug)]
pub(crate) struct Streamed {
    echo: Echo,
}

impl<S> Streaming<S> {
    pub(crate) const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl Streamed {
    pub(crate) const fn new(echo: Echo) -> Self {
        Self { echo }
    }
}

impl<S, B> Service<Request> for Streaming<S>
where
    S: Service<http::Request<Full<Bytes>>, Response = Response<B>>,
{
    type Response = Request;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(Response<B>) -> Request>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, _: Request) -> Self::Future {
        let request = http::Request::new(Full::new(BODY));
        self.inner.call(request).map_ok(|_| Request::new(1))
    }
}

impl<B> Service<http::Request<B>> for Streamed {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = MapOk<Answer, fn(Request) -> Response<Full<Bytes>>>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.echo.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        drop(request);
        self.echo.call(Request::new(1)).map_ok(|_| {
            let mut answer = Response::new(Full::new(EVENT));
            let kind = http::HeaderValue::from_static("text/event-stream");
            answer
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, kind);
            answer
        })
    }
}
