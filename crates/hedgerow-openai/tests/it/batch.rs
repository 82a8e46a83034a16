//! The Batch API as a backend.

mod fake;
mod faults;
#[cfg(feature = "journal")]
mod kept;
#[cfg(feature = "journal")]
mod killed;
mod rows;
mod told;
