//! What was measured, as `--json` prints it.

use serde::Serialize;

use crate::allocations::Allocations;
use crate::bars::Verdict;
use crate::case::Subject;
use crate::recording::Recorded;

/// Everything one run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What counted the instructions; nothing did if valgrind is missing.
    pub(crate) instructions_by: Option<&'static str>,
    /// The service without a layer, in absolute figures.
    pub(crate) bare: Row,
    /// Each layer and floor, over the bare service.
    pub(crate) rows: Vec<Row>,
    pub(crate) recording: Vec<RecordingRow>,
    /// Of a stream of tokens through a whole stack.
    pub(crate) allocations_per_chunk: f64,
    pub(crate) bars: Vec<Verdict>,
}

/// One layer or floor.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    #[serde(skip)]
    pub(crate) subject: Subject,
    /// The size of the response future. Negative if it is boxed and the box smaller than the bare
    /// future.
    pub(crate) future_bytes: i64,
    pub(crate) ready: Option<Cost>,
    pub(crate) pending_once: Option<Cost>,
}

/// Per call.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) instructions: Option<f64>,
    pub(crate) allocations: f64,
    pub(crate) allocated_bytes: f64,
    pub(crate) ns: Option<f64>,
    /// Extra copies sent, in percent of the calls: 0, or the row does not show what it should.
    pub(crate) extra_percent: f64,
}

/// One thing that latencies are recorded into.
#[derive(Debug, Serialize)]
pub(crate) struct RecordingRow {
    pub(crate) name: &'static str,
    pub(crate) alone_ns: f64,
    pub(crate) two_threads_ns: f64,
    /// Its time over that of the first mutex in the same run.
    pub(crate) alone_ratio: f64,
    pub(crate) two_threads_ratio: f64,
}

impl Cost {
    pub(crate) fn new(instructions: Option<f64>, allocated: Allocations, ns: Option<f64>) -> Self {
        Self {
            instructions,
            allocations: allocated.count,
            allocated_bytes: allocated.bytes,
            ns,
            extra_percent: allocated.extra_percent,
        }
    }

    /// What this costs over `bare`.
    fn over(self, bare: Self) -> Self {
        let less = |mine: Option<f64>, bare: Option<f64>| Some(mine? - bare?);
        Self {
            instructions: less(self.instructions, bare.instructions),
            allocations: self.allocations - bare.allocations,
            allocated_bytes: self.allocated_bytes - bare.allocated_bytes,
            ns: less(self.ns, bare.ns),
            extra_percent: self.extra_percent,
        }
    }
}

impl Row {
    /// What this costs over `bare`.
    pub(crate) fn over(self, bare: &Self) -> Self {
        let less = |mine: Option<Cost>, bare: Option<Cost>| Some(mine?.over(bare?));
        Self {
            future_bytes: self.future_bytes - bare.future_bytes,
            ready: less(self.ready, bare.ready),
            pending_once: less(self.pending_once, bare.pending_once),
            ..self
        }
    }
}

impl RecordingRow {
    pub(crate) fn new(recorded: Recorded, mutex: Recorded) -> Self {
        Self {
            name: recorded.book.title(),
            alone_ns: recorded.alone_ns,
            two_threads_ns: recorded.two_threads_ns,
            alone_ratio: recorded.alone_ns / mutex.alone_ns,
            two_threads_ratio: recorded.two_threads_ns / mutex.two_threads_ns,
        }
    }
}
