//! The cell of one item, in which its caller waits and its answer arrives.
//!
//! Whatever happens to an item, exactly one of two things ends it here, under one lock: a result comes
//! first, or its caller leaves first. Who brought the end about is told so, and counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use hedgerow_core::{caught, drop_quietly};

use crate::sync::Mutex;

/// A reply cell. `F` is what an item is sent with: a flight.
pub(crate) struct Slot<Res, Err, F> {
    /// When the item came in, in nanoseconds of its layer's count.
    entered: AtomicU64,
    cell: Mutex<Cell<Res, Err, F>>,
}

struct Cell<Res, Err, F> {
    stage: Stage<Res, Err, F>,
    /// Of the caller.
    waker: Option<Waker>,
}

enum Stage<Res, Err, F> {
    /// In the queue: next it is sent, answered (refused) or left.
    Queued,
    /// With the backend. `released`: the backend has dropped its reply without using it.
    Sent { flight: Arc<F>, released: bool },
    /// The flight ended well, and somebody still holds the reply.
    Loose { flight: Arc<F> },
    /// A result came first; it is gone once its caller has taken it.
    Ended(Option<Result<Res, Err>>),
    /// The caller left first.
    Left,
}

/// What became of a result.
#[derive(Debug)]
pub(crate) enum Put<Res, Err, F> {
    /// It ended the item, which had been sent with this flight.
    Ended(Option<Arc<F>>),
    /// The item had ended already; here is the result back.
    Late(Result<Res, Err>),
}

/// Where an item was when its caller left.
#[derive(Debug)]
pub(crate) enum Leaving<F> {
    /// In the queue.
    Queued,
    /// With the backend.
    Sent(Arc<F>),
    /// It had ended already.
    Ended,
}

/// What the end of a flight, or of a reply, means for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: it has ended, or may still be answered.
    None,
    /// Nobody can answer it any more.
    Missing,
}

impl<Res, Err, F> Slot<Res, Err, F> {
    pub(crate) fn new() -> Self {
        Self {
            entered: AtomicU64::new(0),
            cell: Mutex::new(Cell {
                stage: Stage::Queued,
                waker: None,
            }),
        }
    }

    /// An item comes. Told before anybody else has the cell.
    pub(crate) fn open(&self, at: u64) {
        self.entered.store(at, Ordering::Relaxed);
    }

    /// When it came, in nanoseconds of its layer's count.
    pub(crate) fn entered(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }

    /// The item goes to the backend, or goes there again. False if nobody waits for it any more.
    #[inline]
    pub(crate) fn send(&self, flight: &Arc<F>) -> bool {
        let mut cell = self.cell.lock();
        if matches!(cell.stage, Stage::Ended(_) | Stage::Left) {
            return false;
        }
        let before = std::mem::replace(
            &mut cell.stage,
            Stage::Sent {
                flight: flight.clone(),
                released: false,
            },
        );
        drop(cell);
        // The flight before may be the last thing that holds a future of the user's.
        drop(before);
        true
    }

    /// A result, from wherever: the first one counts.
    #[inline]
    pub(crate) fn put(&self, result: Result<Res, Err>) -> Put<Res, Err, F> {
        let mut cell = self.cell.lock();
        if matches!(cell.stage, Stage::Ended(_) | Stage::Left) {
            return Put::Late(result);
        }
        let before = std::mem::replace(&mut cell.stage, Stage::Ended(Some(result)));
        let waker = cell.waker.take();
        drop(cell);
        if let Some(waker) = waker {
            caught(|| waker.wake());
        }
        Put::Ended(match before {
            Stage::Sent { flight, .. } | Stage::Loose { flight } => Some(flight),
            Stage::Queued | Stage::Ended(_) | Stage::Left => None,
        })
    }

    /// The backend has dropped the reply that it got with `with`, unused.
    pub(crate) fn release(&self, with: &Arc<F>) -> Loss {
        match &mut self.cell.lock().stage {
            Stage::Sent { flight, released } if Arc::ptr_eq(flight, with) => {
                *released = true;
                Loss::None
            }
            Stage::Loose { flight } if Arc::ptr_eq(flight, with) => Loss::Missing,
            _ => Loss::None,
        }
    }

    /// The flight `with` has ended well.
    pub(crate) fn land(&self, with: &Arc<F>) -> Loss {
        let mut cell = self.cell.lock();
        match &cell.stage {
            Stage::Sent { flight, released } if Arc::ptr_eq(flight, with) => {
                if *released {
                    return Loss::Missing;
                }
                let flight = flight.clone();
                cell.stage = Stage::Loose { flight };
                Loss::None
            }
            _ => Loss::None,
        }
    }

    /// The caller leaves.
    pub(crate) fn leave(&self) -> Leaving<F> {
        let mut cell = self.cell.lock();
        let before = match cell.stage {
            Stage::Ended(ref mut result) => {
                let result = result.take();
                drop(cell);
                drop_quietly(result);
                return Leaving::Ended;
            }
            Stage::Left => return Leaving::Ended,
            _ => std::mem::replace(&mut cell.stage, Stage::Left),
        };
        let waker = cell.waker.take();
        drop(cell);
        drop(waker);
        match before {
            Stage::Sent { flight, .. } | Stage::Loose { flight } => Leaving::Sent(flight),
            Stage::Queued | Stage::Ended(_) | Stage::Left => Leaving::Queued,
        }
    }

    /// Whether somebody still waits for a result.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.cell.lock().stage, Stage::Ended(_) | Stage::Left)
    }

    /// The caller asks for the result. After it has been taken it never comes again.
    #[inline]
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Result<Res, Err>> {
        let mut cell = self.cell.lock();
        if let Stage::Ended(result) = &mut cell.stage {
            return match result.take() {
                Some(result) => Poll::Ready(result),
                None => Poll::Pending,
            };
        }
        let same = cell
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if !same {
            cell.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(all(test, not(hedgerow_loom)))]
#[path = "slot/tests.rs"]
mod tests;

#[cfg(all(test, hedgerow_loom))]
#[path = "slot/loom_tests.rs"]
mod loom_tests;
