//! What the services, futures, handles and the task of one service share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hedgerow_core::{BoxError, Copies, Deadline, caught, drop_quietly};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::error::BatchError;
use crate::event::BatchEvent;
use crate::lane::{Due, Hold, Load};
use crate::partition::Partition;
use crate::policy::BatchPolicy;
use crate::queue::{Queue, Stage};
use crate::same::Same;
use crate::seat::{Cell, Seat};
use crate::slot::{Leaving, Put};
use crate::story::{Story, now};

/// Says how heavy a request is.
pub(crate) type Weigh<Req> = Arc<dyn Fn(&Req) -> u64 + Send + Sync>;

/// What a layer was told, and its services keep.
pub(crate) struct Settings<Req, Res> {
    pub(crate) policy: Arc<dyn BatchPolicy>,
    pub(crate) hold: Hold,
    pub(crate) weigh: Option<Weigh<Req>>,
    pub(crate) partition: Option<Arc<dyn Partition<Req>>>,
    pub(crate) preferred: Arc<[usize]>,
    pub(crate) max_in_flight: usize,
    pub(crate) max_queued: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) bisect: Option<Arc<dyn Copies<Req> + Send + Sync>>,
    pub(crate) same: Option<Arc<dyn Same<Req, Res>>>,
}

pub(crate) struct Shared<Req, Res> {
    queue: Mutex<Queue<Req, Res>>,
    /// The places of the queue; those that items hold are forgotten, and added when they leave it.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) settings: Settings<Req, Res>,
    partition: Option<Box<dyn Partition<Req>>>,
    pub(crate) story: Arc<Story>,
    /// Whether there is a task.
    running: AtomicBool,
    /// Items were taken from the queue, or the task has ended.
    moved: Notify,
}

/// Where an item went.
pub(crate) struct Entered<Res> {
    pub(crate) slot: Seat<Res>,
    /// The lane and the number; none if it was turned away.
    pub(crate) went: Option<(usize, u64)>,
}

impl<Req, Res> Shared<Req, Res> {
    pub(crate) fn new(settings: Settings<Req, Res>, story: Arc<Story>) -> Arc<Self> {
        let partition = settings.partition.as_ref().map(|keys| keys.fresh());
        let mut queue = Queue::new();
        if partition.is_none() {
            queue.add_lane();
        }
        Arc::new(Self {
            queue: Mutex::new(queue),
            places: Arc::new(Semaphore::new(settings.max_queued)),
            settings,
            partition,
            story,
            running: AtomicBool::new(false),
            moved: Notify::new(),
        })
    }

    /// Something with the queue. Nothing of the user's runs in it.
    #[inline]
    pub(crate) fn queue<T>(&self, act: impl FnOnce(&mut Queue<Req, Res>) -> T) -> T {
        act(&mut self.queue.lock())
    }

    /// Makes the caller the one who starts the task, if there is none.
    pub(crate) fn wants_worker(&self) -> bool {
        !self.running.load(Ordering::Acquire) && !self.running.swap(true, Ordering::AcqRel)
    }

    /// There is no task (any more).
    pub(crate) fn worker_gone(&self) {
        self.running.store(false, Ordering::Release);
    }

    pub(crate) fn tell_moved(&self) {
        self.moved.notify_waiters();
    }

    // === items come ===

    /// Takes a request into the queue. Its place is the item's from here on.
    pub(crate) fn enter(&self, request: Req, place: OwnedSemaphorePermit) -> Entered<Res> {
        // The user's functions first: should one panic, the place goes back with its guard.
        let weight = self
            .settings
            .weigh
            .as_ref()
            .map_or(1, |weigh| weigh(&request));
        let came = now();
        let at = self.story.nanos(came);
        let mut due = Deadline::current().map(|end| Box::new(Due::new(came, end.instant())));
        let mut place = Some(place);
        let (mut entered, mut waker) = (None, None);
        let mut push = |request, lane: Option<usize>| {
            self.announce();
            let mut queue = self.queue.lock();
            self.story.books.entered();
            let slot = queue.seats.take(at);
            if queue.stage != Stage::Open {
                drop(queue);
                self.turn_away(&slot);
                entered = Some(Entered { slot, went: None });
                return None;
            }
            let load = Load {
                request,
                slot: slot.clone(),
                weight,
                at,
                due: due.take(),
            };
            let lane = lane.unwrap_or_else(|| queue.add_lane());
            let (seq, woken) = queue.enter(lane, load, self.settings.hold);
            drop(queue);
            if let Some(place) = place.take() {
                place.forget();
            }
            let went = Some((lane, seq));
            entered = Some(Entered { slot, went });
            waker = woken;
            Some(lane)
        };
        match &self.partition {
            None => {
                push(request, Some(0));
            }
            Some(partition) => partition.enter(request, &mut push),
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        entered.expect("a partition runs what it is given, once")
    }

    fn announce(&self) {
        self.story.tell(|| BatchEvent::Enqueued {
            queued: self.queue.lock().live() + 1,
        });
    }

    /// It came while the service was closed.
    fn turn_away(&self, slot: &Cell<Res>) {
        if let Put::Ended(_) = slot.put(Err(BatchError::Closed.into())) {
            self.story.failed(slot.entered());
        }
    }

    /// There is no task, and none can be started: an item that has just come gets this error.
    pub(crate) fn strand(&self, entered: &Entered<Res>, error: &BatchError) {
        let Some((lane, seq)) = entered.went else {
            return;
        };
        let mut load: Vec<_> = self.queue.lock().leave(lane, seq).into_iter().collect();
        self.refuse(&mut load, |_| error.clone());
    }

    /// An item that was to be sent again, and now is not.
    pub(crate) fn strand_slot(&self, slot: &Cell<Res>) {
        if let Put::Ended(_) = slot.put(Err(BatchError::Aborted.into())) {
            self.story.failed(slot.entered());
        }
    }

    /// The caller of an item leaves.
    pub(crate) fn leave(&self, slot: &Cell<Res>, went: Option<(usize, u64)>) {
        match slot.leave() {
            Leaving::Ended => {}
            Leaving::Sent(flight) => {
                flight.leave();
                self.story.cancelled(slot.entered(), true);
            }
            Leaving::Queued => {
                let load = went.and_then(|(lane, seq)| self.queue.lock().leave(lane, seq));
                // Without a load, whoever took it gives the place back.
                if load.is_some() {
                    self.places.add_permits(1);
                }
                drop_quietly(load);
                self.story.cancelled(slot.entered(), false);
                self.tell_moved();
            }
        }
    }

    /// Gives items that were taken from the queue an error instead of sending them.
    pub(crate) fn refuse(
        &self,
        loads: &mut Vec<Load<Req, Res>>,
        why: impl Fn(Instant) -> BatchError,
    ) {
        if loads.is_empty() {
            return;
        }
        self.places.add_permits(loads.len());
        for load in loads.drain(..) {
            let error: BoxError = why(self.story.instant(load.at)).into();
            if let Put::Ended(_) = load.slot.put(Err(error)) {
                self.story.failed(load.slot.entered());
            }
            drop_quietly(load);
        }
        self.tell_moved();
    }

    /// Forgets lanes that have been empty, if there are too many.
    pub(crate) fn forget_lanes(&self) {
        let Some(partition) = &self.partition else {
            return;
        };
        if self.queue.lock().has_spare_lanes() {
            // A key's own code runs in here; the queue is locked for each lane alone.
            let _ = caught(|| {
                partition.forget(&mut |lane| self.queue.lock().forget_lane(lane));
            });
        }
    }

    // === the end ===

    /// Goes on to this stage, unless it has come further.
    fn close(&self, stage: Stage) {
        self.places.close();
        let mut left = Vec::new();
        let waker = self.queue(|queue| {
            queue.stage = queue.stage.max(stage);
            if queue.stage == Stage::Aborted {
                queue.take_all(&mut left);
            } else {
                queue.look_at_all();
            }
            queue.worker.take()
        });
        self.refuse(&mut left, |_| BatchError::Aborted);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.tell_moved();
    }
}

/// What a handle does with a service, whatever its requests are.
pub(crate) trait Control: Send + Sync {
    fn drain(&self);
    fn abort(&self);
    /// Everything that waits is to be sent; the mark to ask [`is_flushed`](Self::is_flushed) about.
    fn flush(&self) -> u64;
    fn is_flushed(&self, mark: u64) -> bool;
    fn is_over(&self) -> bool;
    fn queued(&self) -> usize;
    fn moved(&self) -> &Notify;
}

impl<Req: Send, Res: Send> Control for Shared<Req, Res> {
    fn drain(&self) {
        self.close(Stage::Draining);
    }

    fn abort(&self) {
        self.close(Stage::Aborted);
    }

    fn flush(&self) -> u64 {
        let (mark, waker) = self.queue(|queue| (queue.flush(), queue.worker.take()));
        if let Some(waker) = waker {
            waker.wake();
        }
        mark
    }

    fn is_flushed(&self, mark: u64) -> bool {
        self.queue(|queue| queue.oldest())
            .is_none_or(|oldest| oldest >= mark)
    }

    fn is_over(&self) -> bool {
        !self.running.load(Ordering::Acquire) && self.queued() == 0
    }

    fn queued(&self) -> usize {
        self.queue(|queue| queue.live())
    }

    fn moved(&self) -> &Notify {
        &self.moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::BatchLayer;

    #[tokio::test]
    async fn of_partitions_that_are_empty_only_so_many_are_remembered() {
        let layer: BatchLayer<u64, u64> = BatchLayer::idle().partition(|n: &u64| *n);
        let story = Story {
            books: layer.hub.books().clone(),
            listener: None,
            epoch: now(),
        };
        let shared = Shared::new(layer.settings(), Arc::new(story));
        for n in 0..5_000 {
            let place = shared.places.clone().try_acquire_owned().expect("a place");
            let entered = shared.enter(n, place);
            if n != 4_000 {
                shared.leave(&entered.slot, entered.went);
            }
        }
        // The task looks at what has changed, then forgets.
        shared.queue(|queue| while queue.next_dirty().is_some() {});
        assert_eq!(shared.queue(|queue| queue.lanes()), 5_000);
        shared.forget_lanes();
        assert_eq!(shared.queue(|queue| (queue.lanes(), queue.live())), (1, 1));
    }
}
