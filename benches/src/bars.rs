//! How much a layer may cost that has nothing to do: a hedge that does not fire, a retry that is not
//! needed, a queue in which nobody waits.

use std::fmt;

use serde::Serialize;

use crate::case::Subject;
use crate::recording::Book;
use crate::report::{Cost, RecordingRow, Row};

const READY_INSTRUCTIONS: f64 = 320.0;
/// A retry with its budget, a timeout, a deadline: each alone; and a retry with a timeout together.
const RETRY_INSTRUCTIONS: f64 = 313.0;
const RETRY_AND_TIMEOUT_INSTRUCTIONS: f64 = 520.0;
const PENDING_ONCE_INSTRUCTIONS: f64 = 1_150.0;
/// What a key may add (a hash, a lock, a second recording), and what playing out a race may.
const MORE_INSTRUCTIONS: f64 = 320.0;
/// What a policy that learns from every call may add: a lock that is tried and a table, or an
/// exchange of one word. Adaptive decides by time, so more of it falls on each call where calls are
/// slow to count.
const LEARNING_INSTRUCTIONS: f64 = 130.0;
/// A key's window is copied twice in its life, when it turns over for the first times.
const BY_KEY_ALLOCATIONS: f64 = 0.001;
const FUTURE_BYTES: f64 = 240.0;
/// A cascade boxes its first tier's future, copies the request, locks its books and arms a timer if it
/// has to wait: measured, and a tenth more.
const CASCADE: Bars = Bars {
    ready: 1_885.0,
    pending: 2_880.0,
    allocations: 1.0,
    future: 344.0,
};
/// A chunk of a stream that passes through a whole stack.
const CHUNK_ALLOCATIONS: f64 = 2.0;
/// A hit: the clock, the store's lock, the count and the clone of the answer.
const HIT: Bars = Bars {
    ready: 400.0,
    pending: 400.0,
    allocations: 0.0,
    future: FUTURE_BYTES,
};
/// A flight that nobody shares: its table, its crew and its box. Measured, and a tenth more.
const FLIGHT: Bars = Bars {
    ready: 3_300.0,
    pending: 3_730.0,
    allocations: 4.1,
    future: 320.0,
};
/// A batch of one: two wakes and a turn of the layer's task, five allocations and a thirty-second of a row of
/// reply cells. Measured (7,259 and 8,121), and a tenth more.
const LONE_ITEM: Bars = Bars {
    ready: 8_000.0,
    pending: 8_940.0,
    allocations: 5.1,
    future: 24.0,
};
/// Two layers around one another, each with room for a timer.
const TWO_LAYERS_BYTES: f64 = 320.0;
const TWO_LAYERS_PENDING: f64 = 1_300.0;
/// 5 ns where the locked histogram took 11.
const ALONE_RATIO: f64 = 5.0 / 11.0;
/// 12 ns where the locked histogram took 88.
const TWO_THREADS_RATIO: f64 = 12.0 / 88.0;

/// What a call may cost at most.
#[derive(Clone, Copy, Debug)]
struct Bars {
    /// Instructions of a call that is ready at once.
    ready: f64,
    /// Instructions of one that is pending once.
    pending: f64,
    allocations: f64,
    /// Bytes.
    future: f64,
}

impl Bars {
    fn of(subject: Subject) -> Self {
        let ([more_ready, more_pending], allocations) = match subject {
            Subject::Cascade => return CASCADE,
            Subject::Cache => return HIT,
            Subject::Coalesce => return FLIGHT,
            Subject::Batch => return LONE_ITEM,
            Subject::Keyed => ([MORE_INSTRUCTIONS; 2], BY_KEY_ALLOCATIONS),
            Subject::Observing => ([MORE_INSTRUCTIONS; 2], 0.0),
            Subject::Adaptive => ([LEARNING_INSTRUCTIONS; 2], 0.0),
            Subject::Backoff => ([LEARNING_INSTRUCTIONS, 0.0], 0.0),
            _ => ([0.0; 2], 0.0),
        };
        let ready = match subject {
            Subject::Retry | Subject::Timeout | Subject::Deadline => RETRY_INSTRUCTIONS,
            Subject::RetryTimeout | Subject::RetryTimed => RETRY_AND_TIMEOUT_INSTRUCTIONS,
            _ => READY_INSTRUCTIONS,
        };
        let (pending, future) = match subject {
            Subject::RetryTimeout => (TWO_LAYERS_PENDING, TWO_LAYERS_BYTES),
            _ => (PENDING_ONCE_INSTRUCTIONS, FUTURE_BYTES),
        };
        Self {
            ready: ready + more_ready,
            pending: pending + more_pending,
            allocations,
            future,
        }
    }

    /// Fewer than what tower's own layers cost in the same run.
    fn below(mut self, peer: Option<&Row>) -> Self {
        let count = |cost: Option<Cost>| cost.and_then(|cost| cost.instructions);
        if let Some(count) = peer.and_then(|peer| count(peer.ready)) {
            self.ready = self.ready.min(count - 1.0);
        }
        self
    }
}

/// What a layer is measured beside.
const fn peer(subject: Subject) -> Option<Subject> {
    match subject {
        Subject::Concurrency => Some(Subject::TowerConcurrency),
        Subject::Admission => Some(Subject::TowerLimits),
        Subject::Retry => Some(Subject::TowerRetry),
        Subject::RetryTimeout | Subject::RetryTimed => Some(Subject::TowerRetryTimeout),
        _ => None,
    }
}

/// Whether one of ours is measured beside it.
pub(crate) fn is_peer(subject: Subject) -> bool {
    Subject::OURS
        .into_iter()
        .any(|ours| peer(ours) == Some(subject))
}

/// One bar, and what was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) of: &'static str,
    pub(crate) what: &'static str,
    pub(crate) at_most: f64,
    /// Missing if it could not be measured.
    pub(crate) measured: Option<f64>,
    pub(crate) met: bool,
    /// Whether `--check` fails on it. Times are never gated.
    pub(crate) gated: bool,
}

impl Verdict {
    fn gated(of: &'static str, what: &'static str, at_most: f64, measured: Option<f64>) -> Self {
        Self {
            of,
            what,
            at_most,
            measured,
            met: measured.is_some_and(|measured| measured <= at_most),
            gated: true,
        }
    }

    fn told(of: &'static str, what: &'static str, at_most: f64, measured: f64) -> Self {
        Self {
            gated: false,
            ..Self::gated(of, what, at_most, Some(measured))
        }
    }
}

/// Judges a stream that passes through a whole stack.
pub(crate) fn of_chunks(allocations: f64) -> Verdict {
    Verdict::gated(
        "a stream through a whole stack",
        "allocations a chunk",
        CHUNK_ALLOCATIONS,
        Some(allocations),
    )
}

/// Judges the layers of this workspace.
pub(crate) fn judge(rows: &[Row], recording: &[RecordingRow]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for row in rows {
        if !Subject::OURS.contains(&row.subject) {
            continue;
        }
        let instructions = |cost: Option<Cost>| cost.and_then(|cost| cost.instructions);
        let allocations = |cost: Option<Cost>| cost.map(|cost| cost.allocations);
        let size = Some(row.future_bytes as f64);
        let beside = peer(row.subject);
        let beside = rows.iter().find(|row| Some(row.subject) == beside);
        let bars = Bars::of(row.subject).below(beside);
        verdicts.extend([
            Verdict::gated(
                row.name,
                "instructions, ready at once",
                bars.ready,
                instructions(row.ready),
            ),
            Verdict::gated(
                row.name,
                "allocations, ready at once",
                bars.allocations,
                allocations(row.ready),
            ),
            Verdict::gated(row.name, "bytes of the future", bars.future, size),
        ]);
        if row.subject.asks_the_service() {
            verdicts.extend([
                Verdict::gated(
                    row.name,
                    "instructions, pending once",
                    bars.pending,
                    instructions(row.pending_once),
                ),
                Verdict::gated(
                    row.name,
                    "allocations, pending once",
                    bars.allocations,
                    allocations(row.pending_once),
                ),
            ]);
        }
    }
    let ours = |row: &&RecordingRow| row.name == Book::Latency.title();
    if let Some(row) = recording.iter().find(ours) {
        verdicts.extend([
            Verdict::told(
                row.name,
                "ratio to the mutex, alone",
                ALONE_RATIO,
                row.alone_ratio,
            ),
            Verdict::told(
                row.name,
                "ratio to the mutex, two threads",
                TWO_THREADS_RATIO,
                row.two_threads_ratio,
            ),
        ]);
    }
    verdicts
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            of, what, at_most, ..
        } = self;
        let word = if self.met { "met" } else { "missed" };
        let digits = if *at_most < 1.0 { 3 } else { 0 };
        write!(f, "{word}: {of}: {what}: ")?;
        match self.measured {
            Some(measured) => write!(f, "{measured:.digits$}, at most {at_most:.digits$}"),
            None => write!(f, "not measured, at most {at_most:.digits$}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_up_to_and_with_its_value() {
        assert!(Verdict::gated("a", "bytes", 240.0, Some(240.0)).met);
        assert!(!Verdict::gated("a", "bytes", 240.0, Some(240.1)).met);
    }

    #[test]
    fn what_was_not_measured_is_missed() {
        let verdict = Verdict::gated("a", "instructions", 320.0, None);
        assert!(!verdict.met);
        assert_eq!(
            verdict.to_string(),
            "missed: a: instructions: not measured, at most 320"
        );
    }

    #[test]
    fn a_fraction_beyond_zero_allocations_is_seen() {
        let verdict = Verdict::gated("a", "allocations", 0.0, Some(0.001));
        assert_eq!(
            verdict.to_string(),
            "missed: a: allocations: 0.001, at most 0.000"
        );
    }

    #[test]
    fn times_are_told_but_not_gated() {
        assert!(!Verdict::told("a", "ratio", 0.5, 0.9).gated);
    }
}
