//! Why samples are missing.

/// Why a call for samples failed, beside the service's own errors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The service answered with fewer samples than it was asked for. Those that came are stored.
    #[error("the service gave {got} of {asked} samples")]
    TooFew {
        /// How many it was asked for.
        asked: usize,
        /// How many came.
        got: usize,
    },
    /// The judge refused the answer. It is not stored.
    #[error("the answer was refused")]
    Refused,
    /// More samples are asked for at once than may be.
    #[error("{asked} samples at once are too many: at most {most}")]
    TooMany {
        /// How many were asked for.
        asked: u32,
        /// How many may be.
        most: u32,
    },
    /// The call that another caller made for the sample panicked.
    #[error("the call for a sample panicked")]
    Crashed,
}
