//! The clock of a flight that was called: how long its leader and its deputy may take to poll it.

use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use hedgerow_core::caught;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep};

use super::Bell;

/// So long two tasks that were woken may take to run, before everybody else is woken too.
pub(super) const PATIENCE: Duration = Duration::from_millis(10);

/// A timer that belongs to no member: it goes off whoever is not polled.
#[derive(Default)]
pub(super) struct Watch(Mutex<Stage>);

#[derive(Default)]
enum Stage {
    /// Nobody needs it so far.
    #[default]
    Unset,
    Set(Timer),
    /// There is no clock here, or the flight is over.
    Never,
}

struct Timer {
    sleep: Pin<Box<Sleep>>,
    waker: Waker,
}

/// What the timer wakes.
struct Overdue(Weak<Bell>);

impl Watch {
    /// Gets a timer from the runtime that a member is polled on, if there is one.
    pub(super) fn prepare(&self, bell: &Arc<Bell>) {
        let mut stage = self.0.lock();
        if !matches!(*stage, Stage::Unset) {
            return;
        }
        let runtime = Handle::try_current().ok();
        // A runtime without timers panics.
        let sleep = runtime.and_then(|_| caught(|| Box::pin(sleep(PATIENCE))));
        *stage = sleep.map_or(Stage::Never, |sleep| {
            let waker = Waker::from(Arc::new(Overdue(Arc::downgrade(bell))));
            Stage::Set(Timer { sleep, waker })
        });
    }

    /// Begins the patience. False if nobody will tell when it is over.
    pub(super) fn arm(&self) -> bool {
        let mut stage = self.0.lock();
        let Stage::Set(timer) = &mut *stage else {
            return false;
        };
        // It is polled here, on whatever thread, because no member can be relied on. Its runtime may be gone.
        let armed = caught(|| {
            timer.sleep.as_mut().reset(Instant::now() + PATIENCE);
            let mut cx = Context::from_waker(&timer.waker);
            pin!(unconstrained(timer.sleep.as_mut()))
                .poll(&mut cx)
                .is_pending()
        });
        armed == Some(true)
    }

    pub(super) fn end(&self) {
        *self.0.lock() = Stage::Never;
    }

    /// Whether the patience that was begun last is over. Whoever arms it just now sees that himself.
    fn is_over(&self) -> bool {
        let stage = self.0.try_lock();
        stage.is_some_and(|stage| matches!(&*stage, Stage::Set(timer) if timer.sleep.is_elapsed()))
    }
}

impl Wake for Overdue {
    fn wake(self: Arc<Self>) {
        if let Some(bell) = self.0.upgrade()
            && bell.watch.is_over()
        {
            bell.overdue();
        }
    }
}
