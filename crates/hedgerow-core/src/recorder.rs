//! Whoever is told what a layer did.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Is told every event of a layer, and changes nothing.
///
/// `()` records nothing and costs nothing: the layer does not even build the event. Functions and
/// closures are recorders; so are `Arc`s of recorders and pairs of them (each is told in turn).
/// A recorder that panics is caught: it loses its own event, never the call's answer.
///
/// # Examples
///
/// ```
/// use hedgerow_core::Recorder;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// static SEEN: AtomicU32 = AtomicU32::new(0);
/// let recorder = ((), |n: &u32| { SEEN.fetch_add(*n, Ordering::Relaxed); });
/// recorder.record(&7);
/// assert_eq!(SEEN.load(Ordering::Relaxed), 7);
/// ```
pub trait Recorder<E> {
    /// Takes note of `event`.
    fn record(&self, event: &E);

    /// Whether events are wanted at all. Defaults to true.
    ///
    /// A layer asks before it builds an event.
    #[inline]
    fn enabled(&self) -> bool {
        true
    }
}

/// Whether the names of metrics and targets may begin with this: letters, digits, `_`, `:` and `.`, no
/// digit and no dot at its beginning, no dot at its end. For the `telemetry` of layers.
#[doc(hidden)]
#[must_use]
pub fn is_name_prefix(prefix: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
    let begins = prefix.starts_with(|c: char| fine(c) && !c.is_ascii_digit() && c != '.');
    begins && !prefix.ends_with('.') && prefix.chars().all(fine)
}

// === impl Recorder ===

impl<E> Recorder<E> for () {
    #[inline]
    fn record(&self, _: &E) {}

    #[inline]
    fn enabled(&self) -> bool {
        false
    }
}

impl<E, F: Fn(&E)> Recorder<E> for F {
    fn record(&self, event: &E) {
        // The panic hook has already reported it; there is nothing left to hand on.
        let _ = catch_unwind(AssertUnwindSafe(|| self(event)));
    }
}

impl<E, R: Recorder<E> + ?Sized> Recorder<E> for Arc<R> {
    #[inline]
    fn record(&self, event: &E) {
        (**self).record(event);
    }

    #[inline]
    fn enabled(&self) -> bool {
        (**self).enabled()
    }
}

impl<E, A: Recorder<E>, B: Recorder<E>> Recorder<E> for (A, B) {
    #[inline]
    fn record(&self, event: &E) {
        if self.0.enabled() {
            // Also of a type of its own, which may not catch its panics: the other one is told.
            let _ = catch_unwind(AssertUnwindSafe(|| self.0.record(event)));
        }
        if self.1.enabled() {
            self.1.record(event);
        }
    }

    #[inline]
    fn enabled(&self) -> bool {
        self.0.enabled() || self.1.enabled()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Recorder;

    #[test]
    fn both_of_a_pair_are_told_though_the_first_panics() {
        let seen = Arc::new(AtomicU32::new(0));
        let count = seen.clone();
        let pair = (
            |_: &u32| panic!("on purpose"),
            move |n: &u32| {
                count.fetch_add(*n, Ordering::Relaxed);
            },
        );
        pair.record(&5);
        assert_eq!(seen.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_type_that_panics_does_not_hide_the_event_from_the_other() {
        struct Panics;
        impl Recorder<u32> for Panics {
            fn record(&self, _: &u32) {
                panic!("on purpose");
            }
        }
        let seen = AtomicU32::new(0);
        let count = |n: &u32| {
            seen.fetch_add(*n, Ordering::Relaxed);
        };
        (Panics, count).record(&5);
        assert_eq!(seen.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn nobody_listening_is_known_before_an_event_is_built() {
        assert!(!Recorder::<u32>::enabled(&((), ())));
        assert!(Recorder::<u32>::enabled(&Arc::new(|_: &u32| ())));
    }
}
