//! The queue under every interleaving of a few threads.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::waiters::{Id, Kind};
use super::{Entered, Grant, Looked, Queue, Rules, State, Wakes};
use crate::ask::Ask;
use crate::ledger::LocalLedger;
use crate::sync::Mutex;

struct Shared {
    state: Mutex<State>,
    rules: Rules,
    now: Instant,
    inside: AtomicUsize,
}

impl Shared {
    /// A gate for one at a time.
    fn new(now: Instant, limit: usize) -> Arc<Self> {
        let queue = Queue::fifo();
        Arc::new(Self {
            state: Mutex::new(State::new(
                queue,
                None,
                None,
                limit,
                std::sync::Arc::default(),
            )),
            rules: Rules {
                queue,
                rates: Vec::new(),
                ledger: std::sync::Arc::new(LocalLedger::new()),
                max_depth: 10,
                max_wait: Duration::from_secs(30),
                quiet: true,
                settles: false,
            },
            now,
            inside: AtomicUsize::new(0),
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut State, &mut Wakes) -> R) -> R {
        let mut wakes = Wakes::default();
        let result = act(&mut self.state.lock(), &mut wakes);
        wakes.wake();
        result
    }

    fn enter(&self, waker: &Waker) -> Entered {
        let kind = Kind::Request;
        self.with(|state, wakes| state.enter(&self.rules, Ask::new(), kind, waker, self.now, wakes))
    }

    fn look(&self, id: Id, waker: &Waker) -> Poll<Grant> {
        match self.with(|state, wakes| state.look(&self.rules, id, waker, || self.now, wakes)) {
            Looked::Granted(grant, _) => Poll::Ready(grant),
            Looked::Waits(_) => Poll::Pending,
            Looked::Refused(refused) => panic!("{refused}"),
            Looked::Ask(..) => panic!("there is no distant ledger"),
        }
    }

    /// Waits until it may run; a wake that is lost is a deadlock, which loom reports.
    fn wait(&self) -> Grant {
        let mut joined = None;
        block_on(std::future::poll_fn(|cx| match joined {
            Some(id) => self.look(id, cx.waker()),
            None => match self.enter(cx.waker()) {
                Entered::Granted(grant) => Poll::Ready(grant),
                Entered::Waits(id, _) => {
                    joined = Some(id);
                    Poll::Pending
                }
                Entered::Refused(refused) => panic!("{refused}"),
            },
        }))
    }

    fn end(&self, grant: &Grant) {
        self.with(|state, wakes| state.end(&self.rules, grant, Some(self.now), false, wakes));
    }

    fn pass(&self) {
        let grant = self.wait();
        assert_eq!(
            self.inside.fetch_add(1, Ordering::Relaxed),
            0,
            "one at a time"
        );
        self.inside.fetch_sub(1, Ordering::Relaxed);
        self.end(&grant);
    }

    /// Comes, looks once, and leaves.
    fn leave(&self) {
        let id = match self.enter(Waker::noop()) {
            Entered::Granted(grant) => return self.end(&grant),
            Entered::Waits(id, _) => id,
            Entered::Refused(refused) => panic!("{refused}"),
        };
        let cx = Context::from_waker(Waker::noop());
        match self.look(id, cx.waker()) {
            Poll::Ready(grant) => self.end(&grant),
            Poll::Pending => {
                self.with(|state, wakes| state.leave(&self.rules, id, self.now, wakes));
            }
        }
    }

    fn is_empty(&self) {
        let state = self.state.lock();
        assert_eq!((state.running, state.waiting, state.leftovers()), (0, 0, 0));
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[test]
fn loom_two_threads_take_turns_and_neither_waits_for_ever() {
    let now = now();
    loom::model(move || {
        let shared = Shared::new(now, 1);
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.pass();
                shared.pass();
            })
        };
        shared.pass();
        other.join().expect("nobody panics");
        shared.is_empty();
    });
}

#[test]
fn loom_one_that_leaves_takes_nobody_s_turn_along() {
    let now = now();
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let shared = Shared::new(now, 1);
        let held = shared.wait();
        let threads = [
            {
                let shared = shared.clone();
                thread::spawn(move || shared.leave())
            },
            {
                let shared = shared.clone();
                thread::spawn(move || shared.pass())
            },
        ];
        shared.end(&held);
        for each in threads {
            each.join().expect("nobody panics");
        }
        shared.is_empty();
    });
}

#[test]
fn loom_a_limit_that_rises_wakes_whoever_came_meanwhile() {
    let now = now();
    loom::model(move || {
        let shared = Shared::new(now, 0);
        let raises = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.with(|state, wakes| {
                    state.limit = 1;
                    state.reconsider(&shared.rules, shared.now, wakes);
                });
            })
        };
        shared.pass();
        raises.join().expect("nobody panics");
        shared.is_empty();
    });
}
