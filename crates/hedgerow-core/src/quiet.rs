//! Running what is the user's, where a panic must take nothing along. The panic hook has reported it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of something of the user's; `None` if it panicked.
#[doc(hidden)]
#[inline]
pub fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// Does something that is of the user's, most often a drop.
#[doc(hidden)]
#[inline]
pub fn quietly(run: impl FnOnce()) {
    let _ = caught(run);
}

/// Drops something of the user's.
#[doc(hidden)]
pub fn drop_quietly<T>(value: T) {
    quietly(|| drop(value));
}
