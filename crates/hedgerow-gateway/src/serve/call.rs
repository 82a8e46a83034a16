//! What is known of a request on its way through the layers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::uri::PathAndQuery;

use super::question::Question;
use super::upstream::Upstream;

/// A request on its way: in its extensions, so that each attempt finds it.
#[derive(Debug)]
pub(crate) struct Call {
    /// As the client has written it.
    pub(crate) target: PathAndQuery,
    /// What is asked of a model; none of a request that is passed on as it is.
    pub(crate) question: Option<Question>,
    /// Who may answer; never empty.
    pub(crate) entries: Arc<[Entry]>,
    sent: AtomicU32,
}

/// Who may answer, and how it wants to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) upstream: Arc<Upstream>,
    /// What it calls the model; none for whatever the client calls it.
    pub(crate) model: Option<Arc<str>>,
    /// Fields that it does not take.
    pub(crate) drop: Arc<[String]>,
}

/// Which entry an attempt goes to: in its request's extensions, and in its answer's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn(pub(crate) usize);

impl Call {
    pub(crate) fn new(
        target: PathAndQuery,
        question: Option<Question>,
        entries: Arc<[Entry]>,
    ) -> Self {
        Self {
            target,
            question,
            entries,
            sent: AtomicU32::new(0),
        }
    }

    /// The turn of the next attempt: each goes to the entry after the last one's.
    pub(crate) fn next(&self) -> Turn {
        let sent = self.sent.fetch_add(1, Ordering::Relaxed);
        Turn(sent as usize % self.entries.len())
    }

    /// How many attempts were sent.
    pub(crate) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether there are entries that were not asked yet.
    pub(crate) fn has_others(&self) -> bool {
        (self.sent() as usize) < self.entries.len()
    }

    /// Who has the turn.
    pub(crate) fn entry(&self, turn: Turn) -> &Entry {
        &self.entries[turn.0]
    }
}

impl Entry {
    /// Whether its upstream calls the model by another name than `asked`.
    pub(crate) fn renames(&self, asked: &str) -> bool {
        self.model.as_deref().is_some_and(|model| model != asked)
    }

    /// An upstream that is asked in the client's own words.
    pub(crate) fn plain(upstream: Arc<Upstream>) -> Self {
        Self {
            upstream,
            model: None,
            drop: Arc::new([]),
        }
    }
}
