//! What outlives the process: open batches, their rows, and answers that wait for somebody.

mod build;
mod error;
mod entry;
mod file;
mod thread;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

pub use self::build::JournalBuilder;
pub use self::error::JournalError;
use self::file::File;
use self::thread::{Deed, write};
use super::answer::RowAnswer;
use super::body::Pending;
use super::book::Outcome;
use super::error::RowError;
use super::id::RowId;
use super::record::Record;

/// The handle of a journal that is open. What is written is on the disk when the method returns.
///
/// One thread writes and reads: all that waits at the time goes into one commit. Its queue needs no bound of
/// its own: of each batch one thing waits at a time, of each call one.
pub(super) struct Journal {
    /// Present until it is dropped.
    deeds: Option<mpsc::UnboundedSender<Deed>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    fn start(file: File) -> io::Result<Self> {
        let (deeds, done) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("hedgerow-journal".to_owned())
            .spawn(move || write(file, done))?;
        Ok(Self {
            deeds: Some(deeds),
            thread: Some(thread),
        })
    }

    /// Returns the answers that had to go to make room.
    pub(super) async fn plan(
        &self,
        record: &Record,
        rows: &[Pending],
        instead: Option<u64>,
    ) -> Result<Vec<RowId>, RowError> {
        let (record, rows) = (record.clone(), rows.to_vec());
        self.done(|tell| Deed::Plan {
            record,
            rows,
            instead,
            tell,
        })
        .await
    }

    pub(super) async fn update(&self, record: &Record) -> Result<(), RowError> {
        let record = record.clone();
        self.done(|tell| Deed::Update { record, tell }).await
    }

    pub(super) async fn answers(&self, answers: &[(RowId, RowAnswer)]) -> Result<(), RowError> {
        let answers = answers.to_vec();
        self.done(|tell| Deed::Answers { answers, tell }).await
    }

    pub(super) fn forget(&self, ids: Vec<RowId>) {
        self.send(Deed::Forget(ids));
    }

    pub(super) async fn end(&self, seq: u64) -> Result<(), RowError> {
        self.done(|tell| Deed::End { seq, tell }).await
    }

    pub(super) fn load(&self, id: RowId, tell: oneshot::Sender<Outcome>) {
        self.send(Deed::Load { id, tell });
    }

    pub(super) async fn bodies(&self, ids: Vec<RowId>) -> Result<Vec<Pending>, RowError> {
        self.done(|tell| Deed::Bodies { ids, tell }).await
    }

    /// Writes what waits, and lets go of the file.
    pub(super) async fn close(&self) -> Result<(), RowError> {
        self.done(Deed::Close).await
    }

    async fn done<T>(
        &self,
        deed: impl FnOnce(oneshot::Sender<Result<T, Arc<str>>>) -> Deed,
    ) -> Result<T, RowError> {
        let (tell, told) = oneshot::channel();
        self.send(deed(tell));
        let closed = || RowError::Journal("it is closed".into());
        told.await.map_err(|_| closed())?.map_err(RowError::Journal)
    }

    fn send(&self, deed: Deed) {
        let deeds = self.deeds.as_ref().expect("it is there until the drop");
        // Whoever waits for it hears that it is closed.
        let _ = deeds.send(deed);
    }
}

/// Waits until everything is written: some milliseconds.
impl Drop for Journal {
    fn drop(&mut self) {
        self.deeds = None;
        if let Some(thread) = self.thread.take() {
            // What panics in it is caught in it.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}
