//! The Batch API as a backend.

mod fake;
#[cfg(feature = "journal")]
mod kept;
#[cfg(feature = "journal")]
mod killed;
mod rows;
