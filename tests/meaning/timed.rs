//! A model server in virtual time: when its head comes, and when each piece of its stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::{Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower::Service;

use crate::ms;

/// What one call does, in milliseconds from its start.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) status: u16,
    pub(crate) head_ms: u64,
    /// `Err` breaks the stream.
    pub(crate) pieces: Vec<(u64, Result<&'static str, ()>)>,
}

pub(crate) const ROLE: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
pub(crate) const DONE: &str = "data: [DONE]\n\n";

/// Answers its nth call by its nth plan; counts its calls and the bodies that were dropped unread.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    plans: Arc<Vec<Plan>>,
    calls: Arc<AtomicUsize>,
    dropped: Arc<Mutex<Vec<usize>>>,
}

impl Model {
    pub(crate) fn new(plans: impl IntoIterator<Item = Plan>) -> Self {
        Self {
            plans: Arc::new(plans.into_iter().collect()),
            calls: Arc::default(),
            dropped: Arc::default(),
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// The calls whose bodies were dropped before their end.
    pub(crate) fn dropped(&self) -> Vec<usize> {
        self.dropped.lock().clone()
    }
}

impl<B> Service<Request<B>> for Model {
    type Response = Response<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let plan = self.plans[number.min(self.plans.len() - 1)].clone();
        let start = Instant::now();
        let dropped = self.dropped.clone();
        Box::pin(async move {
            sleep(ms(plan.head_ms)).await;
            let body = Stream {
                number,
                start,
                pieces: plan.pieces,
                next: 0,
                timer: Box::pin(sleep(ms(0))),
                dropped,
            };
            let mut answer = Response::new(body);
            *answer.status_mut() = StatusCode::from_u16(plan.status).expect("a status");
            let kind = "text/event-stream".parse().expect("a value");
            answer.headers_mut().insert("content-type", kind);
            Ok(answer)
        })
    }
}

#[derive(Debug)]
pub(crate) struct Stream {
    number: usize,
    start: Instant,
    pieces: Vec<(u64, Result<&'static str, ()>)>,
    next: usize,
    timer: Pin<Box<Sleep>>,
    dropped: Arc<Mutex<Vec<usize>>>,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some((at, piece)) = self.pieces.get(self.next).copied() else {
            return Poll::Ready(None);
        };
        let until = self.start + ms(at);
        if self.timer.deadline() != until {
            self.timer = Box::pin(sleep_until(until));
        }
        ready!(self.timer.as_mut().poll(cx));
        self.next += 1;
        Poll::Ready(Some(match piece {
            Ok(text) => Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
            Err(()) => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.next < self.pieces.len() {
            self.dropped.lock().push(self.number);
        }
    }
}
