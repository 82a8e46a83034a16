//! A provider that answers by a script, in memory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use hedgerow::BoxError;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

/// What happens to a body, in this order.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Breaks,
    /// Never goes on.
    Hangs,
}

/// A body by a script. How many are alive is counted.
#[derive(Debug)]
pub(crate) struct Scripted {
    pieces: VecDeque<Piece>,
    alive: Arc<AtomicUsize>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.pieces.pop_front() {
            None => Poll::Ready(None),
            Some(Piece::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Piece::Breaks) => Poll::Ready(Some(Err("connection reset".into()))),
            Some(Piece::Hangs) => {
                self.pieces.push_front(Piece::Hangs);
                Poll::Pending
            }
        }
    }
}

pub(crate) type Http = BoxCloneSyncService<Request<Full<Bytes>>, Response<Scripted>, BoxError>;

/// What a provider has been asked, and what it answers next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Provider {
    state: Arc<Mutex<State>>,
    alive: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct State {
    asked: Vec<Asked>,
    answers: VecDeque<Result<Response<Vec<Piece>>, String>>,
}

/// A request that has come.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) head: http::request::Parts,
    pub(crate) body: serde_json::Value,
}

impl Provider {
    /// The connection fails.
    pub(crate) fn fails(&self) {
        let mut state = self.state.lock().unwrap();
        state
            .answers
            .push_back(Err("connection refused".to_owned()));
    }

    pub(crate) fn answers(&self, response: Response<Vec<Piece>>) {
        self.state.lock().unwrap().answers.push_back(Ok(response));
    }

    pub(crate) fn answers_json(&self, status: u16, body: impl Into<String>) {
        let response = Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .header("x-request-id", "req_1");
        self.answers(response.body(vec![data(body.into())]).unwrap());
    }

    pub(crate) fn streams(&self, pieces: Vec<Piece>) {
        let response =
            Response::builder().header("content-type", "text/event-stream; charset=utf-8");
        self.answers(response.body(pieces).unwrap());
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// How many bodies are alive.
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    /// As a service; what has no answer left hangs.
    pub(crate) fn http(&self) -> Http {
        let provider = self.clone();
        BoxCloneSyncService::new(service_fn(move |request: Request<Full<Bytes>>| {
            provider.clone().serve(request)
        }))
    }

    async fn serve(self, request: Request<Full<Bytes>>) -> Result<Response<Scripted>, BoxError> {
        let (head, body) = request.into_parts();
        let body = http_body_util::BodyExt::collect(body)
            .await
            .unwrap_or_else(|never: Infallible| match never {});
        let body = body.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let next = {
            let mut state = self.state.lock().unwrap();
            state.asked.push(Asked { head, body });
            state.answers.pop_front()
        };
        match next {
            None => std::future::pending().await,
            Some(Err(error)) => Err(error.into()),
            Some(Ok(response)) => {
                self.alive.fetch_add(1, Ordering::SeqCst);
                Ok(response.map(|pieces| Scripted {
                    pieces: pieces.into(),
                    alive: self.alive.clone(),
                }))
            }
        }
    }
}

pub(crate) fn data(text: impl Into<String>) -> Piece {
    Piece::Data(text.into().into())
}
