//! One call that several callers wait for: whoever is there drives it, and nobody owns it.

mod crew;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

use self::crew::{Crew, Rung, Turn};
use self::watch::Watch;

/// A future that several members wait for.
///
/// The future lives here, not in the member that brought it: when the member that drives it goes away,
/// another one goes on polling the same future. When the last one goes, it is dropped.
pub(crate) struct Flight<T> {
    bell: Arc<Bell>,
    /// What the future is polled with.
    waker: Waker,
    cabin: Mutex<Cabin<T>>,
}

enum Cabin<T> {
    Aboard(Mission<T>),
    /// The leader has it in its hands, or it panicked there.
    Empty,
    Landed(T),
}

/// Knows the crew, and nothing of what is flown: so a waker can hold it.
struct Bell {
    crew: Mutex<Crew>,
    watch: Watch,
}

/// A place aboard. Dropped, the member has left.
pub(crate) struct Seat<T> {
    flight: Arc<Flight<T>>,
    id: usize,
    left: bool,
}

/// Whether somebody may still come aboard of a flight that has landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Closed,
    Open,
}

/// What is flown.
pub(crate) type Mission<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T> Flight<T> {
    /// A flight with its first member aboard, who leads.
    pub(crate) fn depart(future: Mission<T>) -> Seat<T> {
        let bell = Arc::new(Bell {
            crew: Mutex::default(),
            watch: Watch::default(),
        });
        let id = bell.crew.lock().join();
        let flight = Arc::new(Self {
            waker: Waker::from(bell.clone()),
            bell,
            cabin: Mutex::new(Cabin::Aboard(future)),
        });
        Seat {
            flight,
            id: id.expect("a new crew is open"),
            left: false,
        }
    }

    /// Comes aboard; `None` if it takes nobody any more.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Seat<T>> {
        let mut crew = self.bell.crew.lock();
        let id = crew.join()?;
        let watching = crew.watching();
        drop(crew);
        wake_all(watching);
        Some(Seat {
            flight: self.clone(),
            id,
            left: false,
        })
    }
}

impl<T> Seat<T> {
    pub(crate) fn flight(&self) -> &Arc<Flight<T>> {
        &self.flight
    }
}

impl<T> Seat<T> {
    /// Polls the flight: drives it, or waits for whoever does.
    ///
    /// `landing` is run once in a flight's life, by whoever drove it, before anybody is woken: whoever
    /// comes after that is not to find the flight.
    ///
    /// # Panics
    ///
    /// If the future does, in the hands of the member that polled it. The others find
    /// nothing in it.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        landing: impl FnOnce(&Arc<Flight<T>>) -> Ending,
    ) -> Poll<()> {
        let flight = &self.flight;
        let (turn, crowd) = {
            let mut crew = flight.bell.crew.lock();
            (crew.turn(self.id, cx.waker()), crew.is_crowd())
        };
        match turn {
            Turn::Wait => {
                if crowd {
                    flight.bell.watch.prepare(&flight.bell);
                }
                return Poll::Pending;
            }
            Turn::Over => return Poll::Ready(()),
            Turn::Poll => {}
        }
        let aboard = std::mem::replace(&mut *flight.cabin.lock(), Cabin::Empty);
        let Cabin::Aboard(mut future) = aboard else {
            unreachable!(
                "a flight that is not over has its future in the cabin, but for whoever polls"
            );
        };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            future
                .as_mut()
                .poll(&mut Context::from_waker(&flight.waker))
        }));
        match polled {
            Ok(Poll::Pending) => {
                *flight.cabin.lock() = Cabin::Aboard(future);
                let rung = flight.bell.crew.lock().rest();
                flight.bell.rouse(rung);
                Poll::Pending
            }
            Ok(Poll::Ready(result)) => {
                // What it held goes before anybody is told: a permit is free for a second try.
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(future)));
                *flight.cabin.lock() = Cabin::Landed(result);
                flight.land(landing);
                if let Err(panic) = dropped {
                    resume_unwind(panic);
                }
                Poll::Ready(())
            }
            Err(panic) => {
                // Its drop may panic as well: one is enough.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
                flight.land(landing);
                resume_unwind(panic)
            }
        }
    }
}

impl<T> Flight<T> {
    fn land(self: &Arc<Self>, landing: impl FnOnce(&Arc<Self>) -> Ending) {
        // Whatever it panics with, nobody waits for it.
        let ending = catch_unwind(AssertUnwindSafe(|| landing(self)));
        let mut crew = self.bell.crew.lock();
        if !matches!(ending, Ok(Ending::Open)) {
            crew.close();
        }
        let wake = crew.land();
        drop(crew);
        self.bell.watch.end();
        wake_all(wake);
        if let Err(panic) = ending {
            resume_unwind(panic);
        }
    }

    /// Looks at what it landed with; `None` if it is not over, or somebody's code panicked in it.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        match &mut *self.cabin.lock() {
            Cabin::Landed(with) => Some(look(with)),
            Cabin::Aboard(_) | Cabin::Empty => None,
        }
    }

    /// Whether it is over.
    pub(crate) fn has_landed(&self) -> bool {
        self.with(|_| ()).is_some()
    }

    /// Whether more than one has ever been aboard.
    pub(crate) fn was_joined(&self) -> bool {
        self.bell.crew.lock().was_joined()
    }

    /// How many wait for it.
    pub(crate) fn members(&self) -> usize {
        self.bell.crew.lock().len()
    }
}

impl<T> Seat<T> {
    /// Waits until somebody else has come aboard, at any time.
    pub(crate) fn poll_joined(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.flight.bell.crew.lock().watch(self.id, cx.waker())
    }

    /// Leaves. True if nobody is left aboard of a flight that has not landed.
    pub(crate) fn leave(mut self) -> bool {
        self.go()
    }

    fn go(&mut self) -> bool {
        if std::mem::replace(&mut self.left, true) {
            return false;
        }
        let left = self.flight.bell.crew.lock().leave(self.id);
        wake_all(left.wake);
        left.abandoned
    }
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        self.go();
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let rung = self.crew.lock().ring();
        self.rouse(rung);
    }
}

impl Bell {
    /// Wakes the leader and the deputy, and the others if those do not poll in time.
    fn rouse(&self, rung: Rung) {
        wake_all(rung.wake.into_iter().flatten());
        if rung.watch && !self.watch.arm() {
            // Nobody watches the clock.
            self.overdue();
        }
    }

    fn overdue(&self) {
        let wake = self.crew.lock().overdue();
        wake_all(wake);
    }
}

fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        waker.wake();
    }
}
