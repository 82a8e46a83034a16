//! The future of an item.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::BoxError;

use crate::error::BatchError;
use crate::seat::Seat;
use crate::shared::{Entered, Shared};

/// Waits for the answer to one item.
///
/// Dropping it takes the item out of the queue, at once; of a batch that was sent it takes along what
/// the backend does, if it was the last one who waited for it.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<Req, Res> {
    state: State<Req, Res>,
}

enum State<Req, Res> {
    Waiting {
        slot: Seat<Res>,
        shared: Arc<Shared<Req, Res>>,
        went: Option<(usize, u64)>,
    },
    Refused(BatchError),
    Over,
}

impl<Req, Res> ResponseFuture<Req, Res> {
    pub(crate) fn waiting(entered: Entered<Res>, shared: Arc<Shared<Req, Res>>) -> Self {
        let Entered { slot, went } = entered;
        Self {
            state: State::Waiting { slot, shared, went },
        }
    }

    pub(crate) const fn refused(error: BatchError) -> Self {
        Self {
            state: State::Refused(error),
        }
    }
}

impl<Req, Res> Future for ResponseFuture<Req, Res> {
    type Output = Result<Res, BoxError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &self.state {
            State::Waiting { slot, .. } => match slot.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => result,
            },
            State::Refused(error) => Err(error.clone().into()),
            State::Over => return Poll::Pending,
        };
        self.state = State::Over;
        Poll::Ready(result)
    }
}

/// It points to what it waits for, and is nowhere pointed into.
impl<Req, Res> Unpin for ResponseFuture<Req, Res> {}

impl<Req, Res> Drop for ResponseFuture<Req, Res> {
    fn drop(&mut self) {
        if let State::Waiting { slot, shared, went } = &self.state {
            shared.leave(slot, *went);
        }
    }
}

impl<Req, Res> fmt::Debug for ResponseFuture<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
