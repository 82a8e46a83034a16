//! What outlives the process: a journal, or nothing.

#[cfg(feature = "journal")]
use std::sync::Arc;

use tokio::sync::oneshot;

use super::answer::RowAnswer;
use super::body::Pending;
use super::book::Outcome;
use super::error::RowError;
use super::id::RowId;
#[cfg(feature = "journal")]
use super::journal::Journal;
use super::record::Record;

/// What outlives the process. Each method has come through when it returns, unless it says otherwise.
#[derive(Clone, Debug)]
pub(super) enum Keeper {
    Nothing,
    #[cfg(feature = "journal")]
    Journal(Arc<Journal>),
}

/// What is kept of an earlier run.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Batches with their rows that have no answer, and the line of each.
    pub(super) batches: Vec<(Record, Vec<(RowId, u32)>)>,
    /// Rows whose answer waits for somebody.
    pub(super) ready: Vec<RowId>,
}

impl Keeper {
    pub(super) const fn keeps(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// A batch and its rows, which may have been in another one before that ends with this. Tells which
    /// answers had to go to make room.
    pub(super) async fn plan(
        &self,
        record: &Record,
        rows: &[Pending],
        instead: Option<u64>,
    ) -> Result<Vec<RowId>, RowError> {
        match self {
            Self::Nothing => nothing((record, rows, instead)).map(|()| Vec::new()),
            #[cfg(feature = "journal")]
            Self::Journal(journal) => journal.plan(record, rows, instead).await,
        }
    }

    pub(super) async fn update(&self, record: &Record) -> Result<(), RowError> {
        match self {
            Self::Nothing => nothing(record),
            #[cfg(feature = "journal")]
            Self::Journal(journal) => journal.update(record).await,
        }
    }

    /// Answers take the place of their rows.
    pub(super) async fn answers(&self, answers: &[(RowId, RowAnswer)]) -> Result<(), RowError> {
        match self {
            Self::Nothing => nothing(answers),
            #[cfg(feature = "journal")]
            Self::Journal(journal) => journal.answers(answers).await,
        }
    }

    /// Rows and answers that nobody needs any more, soon.
    pub(super) fn forget(&self, ids: Vec<RowId>) {
        match self {
            Self::Nothing => drop(ids),
            #[cfg(feature = "journal")]
            Self::Journal(journal) => journal.forget(ids),
        }
    }

    /// A batch is over.
    pub(super) async fn end(&self, seq: u64) -> Result<(), RowError> {
        match self {
            Self::Nothing => nothing(seq),
            #[cfg(feature = "journal")]
            Self::Journal(journal) => journal.end(seq).await,
        }
    }

    /// Tells what is kept of a row.
    pub(super) fn load(&self, id: RowId, tell: oneshot::Sender<Outcome>) {
        match self {
            Self::Nothing => drop((id, tell)),
            #[cfg(feature = "journal")]
            Self::Journal(journal) => journal.load(id, tell),
        }
    }

    /// The bodies of rows that have no answer.
    pub(super) async fn bodies(&self, ids: Vec<RowId>) -> Result<Vec<Pending>, RowError> {
        match self {
            Self::Nothing => nothing(ids).map(|()| Vec::new()),
            #[cfg(feature = "journal")]
            Self::Journal(journal) => journal.bodies(ids).await,
        }
    }

    /// Writes what waits, and lets go of it.
    pub(super) async fn close(&self) -> Result<(), RowError> {
        match self {
            Self::Nothing => Ok(()),
            #[cfg(feature = "journal")]
            Self::Journal(journal) => journal.close().await,
        }
    }
}

/// What becomes of something that is not kept.
fn nothing<T>(_: T) -> Result<(), RowError> {
    Ok(())
}
