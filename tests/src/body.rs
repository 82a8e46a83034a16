//! A body whose later frames wait.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use parking_lot::Mutex;

/// Closed until it is opened, for all that wait at it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    /// A gate that is open.
    #[must_use]
    pub fn opened() -> Self {
        let gate = Self::default();
        gate.open();
        gate
    }

    /// Lets everybody through, for ever.
    pub fn open(&self) {
        let wakers = {
            let mut gate = self.0.lock();
            gate.0 = true;
            std::mem::take(&mut gate.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut gate = self.0.lock();
        if gate.0 {
            return Poll::Ready(());
        }
        gate.1.push(cx.waker().clone());
        Poll::Pending
    }
}

/// A body of which the first frame is there and the others wait for a gate.
#[derive(Debug)]
pub struct Gated {
    first: Option<Frame<Bytes>>,
    rest: VecDeque<Frame<Bytes>>,
    gate: Gate,
}

impl Gated {
    /// A body of `frames`, all but the first behind `gate`.
    pub fn new(gate: Gate, frames: impl IntoIterator<Item = Frame<Bytes>>) -> Self {
        let mut frames = frames.into_iter();
        Self {
            first: frames.next(),
            rest: frames.collect(),
            gate,
        }
    }
}

impl Body for Gated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(frame) = self.first.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if !self.rest.is_empty() && self.gate.poll(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.rest.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
    }
}
