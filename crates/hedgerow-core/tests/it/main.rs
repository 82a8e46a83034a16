//! What the words promise.

mod budget;
#[cfg(feature = "testing")]
mod contract;
