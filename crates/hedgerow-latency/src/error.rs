//! Why a window was refused.

/// A window of zero samples, or of too many.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a latency window of {half} samples is out of range: write the samples in one half of it, \
     from 1 to 2147483648 (1000 is the default)"
)]
#[non_exhaustive]
pub struct WindowError {
    /// The refused number of samples.
    pub half: u64,
}
