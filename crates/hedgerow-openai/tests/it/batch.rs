//! The Batch API as a backend.

mod fake;
mod rows;
