//! The contract kit: what every layer must keep, checked in one line.
//!
//! [`contract`] wraps your layer around a [`Probe`] in a dozen situations (un-ready, failing,
//! panicking, over a concurrency limit of one, over a buffer, dropped half way) and panics with
//! every promise that was broken. It needs a tokio runtime whose clock is paused, so that it takes
//! no time.
//!
//! # Examples
//!
//! ```
//! use hedgerow_core::testing::contract;
//! use std::time::Duration;
//! use tower::timeout::Timeout;
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() {
//!     contract(|inner| Timeout::new(inner, Duration::from_secs(3_600))).await;
//! }
//! ```
//!
//! # What is promised
//!
//! Answers and errors pass through unchanged. Only an instance that was polled ready is called, and
//! a clone starts un-ready. Nothing reaches an inner service before it is ready, and its error in
//! getting ready reaches the caller. Nothing hangs over `ConcurrencyLimit(1)` or a `Buffer`.
//! Dropping the response future drops the inner calls at once and gives their permits back; so does
//! dropping a service that was made ready. A call that panics harms no other.

mod checks;
mod probe;

pub use self::checks::{Breach, Inner, check, contract};
pub use self::probe::{Ping, Pong, Probe, ProbeError};
