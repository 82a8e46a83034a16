//! The atomics of the lock-free cells: std's, or loom's when the cells are model-checked.

#[cfg(hedgerow_loom)]
pub(crate) use loom::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
#[cfg(not(hedgerow_loom))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
