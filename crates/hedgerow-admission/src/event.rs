//! What the recorder is told.

use std::time::Duration;

use crate::ask::Priority;
use crate::error::ShedReason;
use crate::key::Key;
use crate::limit::Outcome;

/// What happened to one request at the gate.
///
/// A request that finds a place starts at once; another one is queued first. Each ends exactly once:
/// finished, aborted while waiting, or shed. Told outside of the queue's lock; if the recorder panics,
/// its own event is lost and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdmissionEvent {
    /// What happened.
    pub what: Happened,
    /// The request's number at this gate, from 1.
    pub id: u64,
    /// The label that it asked with.
    pub label: Option<Key>,
    /// What it is counted under.
    pub key: Option<Key>,
    /// How much it matters.
    pub priority: Priority,
    /// What it costs of a rate of tokens.
    pub cost: u64,
    /// How many run now.
    pub active: usize,
    /// How many wait now.
    pub queued: usize,
    /// How many may run now, if there is a limit.
    pub limit: Option<usize>,
    /// How long it has waited.
    pub waited: Duration,
    /// How long it has run.
    pub ran: Duration,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Happened {
    /// It waits.
    Queued,
    /// It may run.
    Started,
    /// It has run.
    Finished(Outcome),
    /// Its caller left while it waited, or its token was cancelled.
    AbortedWaiting,
    /// It was refused.
    Shed(ShedReason),
}
