//! What the queue is given, and what it answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Queue;
use super::waiters::Id;
use crate::error::{Overloaded, ShedReason};
use crate::key::Key;
use crate::ledger::{BookId, Claim, Decision, Later, Ledger, Receipt};
use crate::rate::Rate;

/// What does not change while a gate lives.
pub(crate) struct Rules {
    pub(crate) queue: Queue,
    pub(crate) rates: Vec<(BookId, Rate)>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) max_depth: usize,
    pub(crate) max_wait: Duration,
    /// The ledger answers at once: one who finds nobody waiting need not queue.
    pub(crate) quiet: bool,
    /// Some rate counts tokens, so that what was reserved is settled at the end.
    pub(crate) settles: bool,
}

/// The right to run, and what has to be given back for it.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) receipt: Receipt,
    pub(crate) resource: Option<u32>,
    pub(crate) key: Option<Key>,
    pub(crate) cost: u64,
}

/// What one has got besides its place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Got {
    pub(super) receipt: Receipt,
    pub(super) resource: Option<u32>,
}

/// What happened to one who came.
pub(crate) enum Entered {
    Granted(Grant),
    /// It waits; if an instant is told, it must look by then.
    Waits(Id, Option<Instant>),
    Refused(Overloaded),
}

/// What a waiter finds when it looks.
pub(crate) enum Looked {
    /// Since then.
    Granted(Grant, Instant),
    Refused(Overloaded),
    /// The ledger is being asked: the answer is awaited by the waiter, until then at most.
    Ask(Later<Decision>, Option<Instant>),
    /// It waits on; if an instant is told, it must look again by then.
    Waits(Option<Instant>),
}

/// How a waiter left that left by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was waiting, or had not yet used its place.
    Aborted,
    /// It had been refused, and had not seen it.
    Refused(Overloaded),
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Entered and started at once, the plain way; in none of the next three.
    pub(crate) plain: u64,
    pub(crate) entered: u64,
    /// Without a wait.
    pub(crate) at_once: u64,
    pub(crate) started: u64,
    pub(crate) finished: u64,
    pub(crate) aborted: u64,
    pub(crate) shed: [u64; ShedReason::ALL.len()],
}

/// Whether new ones are admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Closed {
    #[default]
    No,
    /// Nobody enters, who waits is served.
    Draining,
    /// Nobody enters, nobody waits.
    Yes,
}

pub(super) enum Start {
    /// With this, if the gate has a rate or a pool.
    Now(Option<Got>),
    Asked(Later<Decision>),
    Stuck(Instant),
    Blocked(Instant),
    Never(ShedReason),
}

impl Rules {
    pub(crate) fn claim<'a>(&'a self, key: Option<&'a Key>, cost: u64, now: Instant) -> Claim<'a> {
        Claim {
            rates: &self.rates,
            key,
            cost,
            now,
        }
    }

    pub(crate) fn refund(&self, grant: &Grant, now: Instant, sent: bool) {
        if !self.rates.is_empty() {
            let claim = self.claim(grant.key.as_ref(), grant.cost, now);
            self.ledger.refund(&claim, grant.receipt, sent);
        }
    }
}
