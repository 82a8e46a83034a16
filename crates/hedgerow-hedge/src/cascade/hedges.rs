//! How many copies a hedged tier sends: counted by a recorder while the tier is polled.
//!
//! A hedge layer sends its copies from within the poll of its response future, on the thread that
//! polls the cascade. So a count of that thread, taken around the poll of one tier, is the tier's.

use std::cell::Cell;

use hedgerow_core::Recorder;

use crate::event::HedgeEvent;

thread_local! {
    static FIRED: Cell<u32> = const { Cell::new(0) };
}

/// Counts the copies that a hedge layer sends.
pub(super) struct CountHedges;

impl Recorder<HedgeEvent> for CountHedges {
    #[inline]
    fn record(&self, event: &HedgeEvent) {
        if matches!(event, HedgeEvent::Fired { .. }) {
            FIRED.set(FIRED.get() + 1);
        }
    }
}

/// Runs `poll`, and adds to `count` the copies that were sent meanwhile, also if it panics.
pub(super) fn counting<T>(count: &mut u32, poll: impl FnOnce() -> T) -> T {
    struct Add<'a> {
        count: &'a mut u32,
        before: u32,
    }
    impl Drop for Add<'_> {
        fn drop(&mut self) {
            *self.count += FIRED.replace(self.before);
        }
    }
    let _add = Add {
        count,
        before: FIRED.replace(0),
    };
    poll()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hedgerow_core::Attempt;

    use super::*;

    fn fire() {
        let (attempt, after) = (Attempt::new(1), Duration::ZERO);
        CountHedges.record(&HedgeEvent::Fired { attempt, after });
        CountHedges.record(&HedgeEvent::Started);
    }

    #[test]
    fn copies_count_for_the_innermost_tier_that_is_polled() {
        let (mut outer, mut inner) = (0, 0);
        counting(&mut outer, || {
            fire();
            counting(&mut inner, || {
                fire();
                fire();
            });
        });
        assert_eq!((outer, inner, FIRED.get()), (1, 2, 0));
    }

    #[test]
    fn copies_count_though_the_poll_panics() {
        let mut count = 0;
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            counting(&mut count, || {
                fire();
                panic!("on purpose");
            });
        }));
        assert!(polled.is_err());
        assert_eq!((count, FIRED.get()), (1, 0));
    }
}
