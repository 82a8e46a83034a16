//! Running what is the user's, where a panic must take nothing along.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of something of the user's; `None` if it panicked, which the panic hook has reported.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// Drops something of the user's.
pub(crate) fn drop_quietly<T>(value: T) {
    let _ = caught(|| drop(value));
}
