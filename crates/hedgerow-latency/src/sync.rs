//! The atomics of the lock-free cell: std's, or loom's when it is model-checked.

#[cfg(hedgerow_loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(hedgerow_loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
