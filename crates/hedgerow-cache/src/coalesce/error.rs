//! What goes wrong in a flight.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::BoxError;

/// The one call that several callers waited for failed.
///
/// Its source is the error of the service, which [`cause_ref`](hedgerow_core::cause_ref) finds. A caller who
/// was alone aboard gets that one as it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SharedFailure {
    error: Arc<BoxError>,
}

impl SharedFailure {
    pub(crate) fn new(error: BoxError) -> Self {
        Self {
            error: Arc::new(error),
        }
    }
}

impl fmt::Display for SharedFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call that was shared with others failed")
    }
}

impl Error for SharedFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.error)
    }
}

/// The one call that several callers waited for panicked, in the hands of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlightCrashed;

impl fmt::Display for FlightCrashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call that was shared with others panicked")
    }
}

impl Error for FlightCrashed {}

/// A caller's own deadline passed while it waited for a shared call, which goes on for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BehindDeadline {
    /// How long the caller had waited.
    pub after: Duration,
}

impl fmt::Display for BehindDeadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the deadline passed after {:?} of waiting for a shared call",
            self.after
        )
    }
}

impl Error for BehindDeadline {}
