//! The guide: one page a subject. The pages on layers stand in the crate `hedgerow`.
//!
//! * [`batch_api`]: calls through the Batch API; what is promised, by default and when it ends.

#[doc = include_str!("guide/batch_api.md")]
pub mod batch_api {}
