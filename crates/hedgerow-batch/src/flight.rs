//! A batch that is with the backend.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use hedgerow_core::{BoxError, Deadline, drop_quietly};
use parking_lot::Mutex;

use crate::story::Story;

/// The backend's future for a batch.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// What the items of a batch, its replies and the task share of it.
pub(crate) struct Flight {
    pub(crate) story: Arc<Story>,
    /// How many items the batch was sent with.
    size: AtomicUsize,
    /// How many of its items are neither answered nor left.
    open: AtomicUsize,
    /// Nobody waits for it any more.
    abandoned: AtomicBool,
    /// Here, so that the last caller to leave can drop it at once.
    work: Mutex<Option<Work>>,
    waker: AtomicWaker,
}

/// How a backend's future ended.
#[derive(Debug)]
pub(crate) enum Landing {
    Done,
    Failed(BoxError),
    Panicked,
    /// All of its callers had left.
    Abandoned,
}

impl Flight {
    /// A flight for so many callers.
    pub(crate) fn new(story: Arc<Story>, callers: usize) -> Arc<Self> {
        Arc::new(Self {
            story,
            size: AtomicUsize::new(0),
            open: AtomicUsize::new(callers),
            abandoned: AtomicBool::new(false),
            work: Mutex::new(None),
            waker: AtomicWaker::new(),
        })
    }

    pub(crate) fn set_size(&self, items: usize) {
        self.size.store(items, Ordering::Relaxed);
    }

    /// How many items the batch was sent with.
    pub(crate) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// The backend took the batch, and this is what it does.
    pub(crate) fn begin(&self, work: Work) {
        *self.work.lock() = Some(work);
    }

    /// Whether all of its items are answered or left.
    pub(crate) fn is_settled(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// An item of it was answered.
    pub(crate) fn settle(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    /// The caller of an item that was not answered has left. The last one takes the work along.
    pub(crate) fn leave(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        self.abandoned.store(true, Ordering::Release);
        // Whoever polls it just now sees the mark when it is woken.
        if let Some(mut work) = self.work.try_lock() {
            let work = work.take();
            drop_quietly(work);
        }
        self.waker.wake();
    }

    /// Drops the work, whatever is open.
    pub(crate) fn ground(&self) {
        let work = self.work.lock().take();
        drop_quietly(work);
    }

    /// Polls the work, beneath the deadline that all of its items share.
    pub(crate) fn poll(&self, deadline: Option<Deadline>, cx: &mut Context<'_>) -> Poll<Landing> {
        self.waker.register(cx.waker());
        let mut place = self.work.lock();
        if self.abandoned.load(Ordering::Acquire) {
            let work = place.take();
            drop(place);
            drop_quietly(work);
            return Poll::Ready(Landing::Abandoned);
        }
        let Some(work) = place.as_mut() else {
            return Poll::Ready(Landing::Abandoned);
        };
        let poll = catch_unwind(AssertUnwindSafe(|| match deadline {
            Some(deadline) => deadline.scope(|| work.as_mut().poll(cx)),
            None => work.as_mut().poll(cx),
        }));
        let landing = match poll {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => Landing::Done,
            Ok(Poll::Ready(Err(error))) => Landing::Failed(error),
            Err(panic) => {
                drop_quietly(panic);
                Landing::Panicked
            }
        };
        let work = place.take();
        drop(place);
        drop_quietly(work);
        Poll::Ready(landing)
    }
}
