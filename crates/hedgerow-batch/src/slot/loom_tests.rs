//! The cell under every interleaving of those who may end it.

use std::task::Poll;

use loom::future::block_on;
use loom::sync::Arc as Counted;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Leaving, Loss, Put, Slot};

type Cell = Slot<u32, u32, u32>;

#[test]
fn loom_a_result_and_a_leaving_caller_end_an_item_once() {
    loom::model(|| {
        let slot = Counted::new(Cell::new());
        let flight = std::sync::Arc::new(1);
        assert!(slot.send(&flight));
        let ends = Counted::new(AtomicUsize::new(0));
        let backend = thread::spawn({
            let (slot, ends) = (slot.clone(), ends.clone());
            move || {
                if matches!(slot.put(Ok(7)), Put::Ended(_)) {
                    ends.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        if matches!(slot.leave(), Leaving::Sent(_)) {
            ends.fetch_add(1, Ordering::Relaxed);
        }
        backend.join().expect("it does not panic");
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn loom_a_waiting_caller_is_woken_by_its_result() {
    loom::model(|| {
        let slot = Counted::new(Cell::new());
        let backend = thread::spawn({
            let slot = slot.clone();
            move || drop(slot.put(Ok(7)))
        });
        let got = block_on(std::future::poll_fn(|cx| slot.poll(cx)));
        assert_eq!(got, Ok(7));
        backend.join().expect("it does not panic");
    });
}

#[test]
fn loom_a_released_reply_of_a_flight_that_lands_is_missing_once() {
    loom::model(|| {
        let slot = Counted::new(Cell::new());
        let flight = std::sync::Arc::new(1);
        assert!(slot.send(&flight));
        let holder = thread::spawn({
            let (slot, flight) = (slot.clone(), flight.clone());
            move || usize::from(slot.release(&flight) == Loss::Missing)
        });
        let landed = usize::from(slot.land(&flight) == Loss::Missing);
        let released = holder.join().expect("it does not panic");
        assert_eq!(landed + released, 1);
        assert!(matches!(slot.put(Err(0)), Put::Ended(_)));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert_eq!(slot.poll(&mut cx), Poll::Ready(Err(0)));
    });
}
