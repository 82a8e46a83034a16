//! No time at all: as soon as the backend has nothing to do.

use super::{BatchPolicy, Decision, Waiting};
use crate::event::Reason;

/// Sends when nothing is in flight, and what comes meanwhile goes together.
///
/// Batches grow by themselves to what the backend can take: the longer it needs, the more waits when it
/// is done. Nothing is configured and nobody waits for a timer. What is full is sent also while others
/// are in flight. The default of Triton's dynamic batcher and of Nagle's algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Idle;

impl Idle {
    /// The policy.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl BatchPolicy for Idle {
    fn decide(&self, waiting: &Waiting) -> Decision {
        if waiting.in_flight == 0 {
            Decision::Send(Reason::Idle)
        } else {
            Decision::wait()
        }
    }

    fn name(&self) -> &'static str {
        "idle"
    }
}
