//! The future of a call: its body, then its answer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{self, HeaderValue};
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use pin_project::pin_project;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::RowAnswer;
use super::book::{Outcome, Ticket};
use super::client::Handle;
use super::error::RowError;
use hedgerow::BoxError;

/// The future of a call through a [`BatchClient`](super::BatchClient).
///
/// Dropped before its row is sent, it takes the row back. Dropped later, the row goes on, and its answer is
/// there for the next call that asks the same.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct BatchCall<B: Body> {
    #[pin]
    state: State<B>,
    handle: Arc<Handle>,
}

#[pin_project(project = StateProj)]
enum State<B: Body> {
    Failed(Option<RowError>),
    /// Until the request's body is there.
    Taking {
        #[pin]
        body: B,
        taken: Taken,
        endpoint: String,
        permit: Option<OwnedSemaphorePermit>,
    },
    /// Until its answer is there.
    Waiting(Ticket),
}

impl<B> BatchCall<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(
        handle: &Arc<Handle>,
        request: Request<B>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let engine = &handle.engine;
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let state = if head.method != Method::POST || path.len() < 2 {
            State::Failed(Some(RowError::NotBatchable {
                method: head.method.clone(),
                path: path.to_owned(),
            }))
        } else {
            State::Taking {
                body,
                taken: Taken::default(),
                endpoint: engine.api.settings().base.endpoint(path),
                permit,
            }
        };
        Self {
            state,
            handle: handle.clone(),
        }
    }
}

impl<B> Future for BatchCall<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Full<Bytes>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Failed(error) => {
                    let error = error.take().expect("polled after it was ready");
                    return Poll::Ready(Err(error.into()));
                }
                StateProj::Taking {
                    body,
                    taken,
                    endpoint,
                    permit,
                } => {
                    let engine = &this.handle.engine;
                    let body = ready!(taken.poll(body, cx, engine.options.limits.bytes))?;
                    let permit = permit
                        .take()
                        .or_else(|| engine.places.clone().try_acquire_owned().ok());
                    match permit {
                        None => State::Failed(Some(RowError::Full {
                            bytes: engine.book.open_bytes(),
                        })),
                        Some(permit) => match engine.ask(endpoint, body, permit) {
                            Ok(ticket) => State::Waiting(ticket),
                            Err(error) => State::Failed(Some(error)),
                        },
                    }
                }
                StateProj::Waiting(ticket) => {
                    let outcome = ready!(ticket.poll(cx));
                    return Poll::Ready(response(outcome));
                }
            };
            this.state.set(next);
        }
    }
}

/// What is there of a body. One that comes in one piece is not copied.
#[derive(Default)]
struct Taken {
    first: Bytes,
    more: Vec<u8>,
}

impl Taken {
    fn poll<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
        max: u64,
    ) -> Poll<Result<Bytes, BoxError>>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        loop {
            let frame = match ready!(body.as_mut().poll_frame(cx)) {
                None => break,
                Some(frame) => frame.map_err(Into::into)?,
            };
            let Ok(mut data) = frame.into_data() else {
                continue;
            };
            let left = data.remaining();
            let bytes = (self.first.len() + self.more.len() + left) as u64;
            if bytes > max {
                return Poll::Ready(Err(RowError::TooLarge { bytes, max }.into()));
            }
            let piece = data.copy_to_bytes(left);
            if self.first.is_empty() {
                self.first = piece;
            } else {
                self.more.extend_from_slice(&piece);
            }
        }
        let first = std::mem::take(&mut self.first);
        if self.more.is_empty() {
            return Poll::Ready(Ok(first));
        }
        Poll::Ready(Ok([&first[..], &self.more[..]].concat().into()))
    }
}

/// As the API would have answered the row by itself.
fn response(outcome: Outcome) -> Result<Response<Full<Bytes>>, BoxError> {
    let answer: RowAnswer = outcome?;
    let mut response = Response::new(Full::new(answer.body().clone()));
    *response.status_mut() = answer.status();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(Ok(id)) = answer.request_id().map(HeaderValue::from_str) {
        headers.insert("x-request-id", id);
    }
    if !answer.status().is_success() {
        // The row has been paid for, or is at fault: another try would be another row.
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response.extensions_mut().insert(answer);
    Ok(response)
}

// === impl Debug ===

impl<B: Body> fmt::Debug for BatchCall<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchCall").finish_non_exhaustive()
    }
}
