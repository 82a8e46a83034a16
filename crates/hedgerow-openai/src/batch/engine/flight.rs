//! A batch, from its rows to their answers.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Engine, Phase};
use crate::batch::answer::RowAnswer;
use crate::batch::body::{Pending, RowFile};
use crate::batch::error::RowError;
use crate::batch::event::{BatchEventKind, BatchFacts, BatchState, LifecycleEvent};
use crate::batch::id::RowId;
use crate::batch::lanes::Lane;
use crate::batch::objects::{BatchObject, Counts};
use crate::batch::options::{OnClose, OnExpired};
use crate::batch::record::Record;

/// A batch, and those of its rows that have no end yet.
pub(in crate::batch) struct Flight {
    pub(super) record: Record,
    pub(super) lane: Lane,
    /// In the journal.
    pub(super) planned: bool,
    /// The batch whose rows these were.
    pub(super) instead: Option<u64>,
    /// What it was before this process began.
    pub(super) resumed: bool,
    /// Not before.
    pub(super) delay: Duration,
    /// The bodies, while they are needed and not in a journal.
    pub(super) file: Option<RowFile>,
    /// With their lines in the file, counted from 1.
    pub(super) open: HashMap<RowId, u32>,
    pub(super) total: u64,
    /// Rows that the API says were too late.
    pub(super) late: Vec<RowId>,
    pub(super) batch: Option<BatchObject>,
    /// What was last told of it.
    pub(super) seen: (String, Counts),
    /// How many lines of its files are read.
    pub(super) output_at: u64,
    pub(super) error_at: u64,
}

impl Flight {
    pub(in crate::batch) fn new(record: Record, lane: Lane, rows: Vec<Pending>) -> Self {
        let open = rows
            .iter()
            .zip(1..)
            .map(|(row, line)| (row.id, line))
            .collect();
        let file = RowFile::new(&lane.endpoint, rows);
        let mut flight = Self::bare(record, lane, open);
        flight.file = Some(file);
        flight.record.rows = flight.total;
        flight
    }

    /// A batch of an earlier run.
    pub(in crate::batch) fn resumed(record: Record, rows: Vec<(RowId, u32)>) -> Self {
        let lane = Lane {
            endpoint: (*record.endpoint).into(),
            model: (*record.model).into(),
        };
        let mut flight = Self::bare(record, lane, rows.into_iter().collect());
        flight.total = flight.record.rows.max(flight.total);
        flight.planned = true;
        flight.resumed = true;
        flight
    }

    fn bare(record: Record, lane: Lane, open: HashMap<RowId, u32>) -> Self {
        Self {
            total: open.len() as u64,
            record,
            lane,
            planned: false,
            instead: None,
            resumed: false,
            delay: Duration::ZERO,
            file: None,
            open,
            late: Vec::new(),
            batch: None,
            seen: Default::default(),
            output_at: 0,
            error_at: 0,
        }
    }

    /// Submits it and follows it to its end. If something of the user's panics, its rows hear of it.
    pub(super) async fn fly(mut self, engine: Arc<Engine>) {
        let flown = AssertUnwindSafe(self.whole(&engine)).catch_unwind().await;
        if flown.is_err() {
            // The journal has it still: the next client goes on with it.
            self.leave(&engine, &RowError::Panicked);
        }
        if let Some(batch_id) = &self.record.batch_id {
            engine.runs_no_more(batch_id);
        }
    }

    async fn whole(&mut self, engine: &Arc<Engine>) {
        if self.submit(engine).await {
            engine.runs(&self.batch_id());
            self.follow(engine).await;
        }
    }

    /// Nobody waits for it any more, and it goes on without this process.
    pub(super) fn leave(&mut self, engine: &Engine, error: &RowError) {
        for (id, _) in self.open.drain() {
            engine.book.tell(id, Err(error.clone()));
        }
    }

    pub(super) fn batch_id(&self) -> Arc<str> {
        self.record.batch_id.as_deref().unwrap_or_default().into()
    }

    /// How long ago the API had it.
    pub(super) fn age(&self, engine: &Engine) -> Duration {
        let since = match self.record.submitted_ms {
            0 => self.record.planned_ms,
            submitted => submitted,
        };
        Duration::from_millis(engine.clock.now().as_millis().saturating_sub(since))
    }

    /// Gives rows their answers, once they are kept.
    pub(super) async fn answer(&mut self, engine: &Engine, mut answers: Vec<(RowId, RowAnswer)>) {
        answers.retain(|(id, _)| self.open.remove(id).is_some());
        if answers.is_empty() {
            return;
        }
        if let Err(error) = engine.keeper.answers(&answers).await {
            // They are still at the API, and in the hands of those who wait.
            tracing::warn!(target: "hedgerow::batch", %error, "answers could not be kept");
        }
        for (id, answer) in answers {
            engine.book.tell(id, Ok(answer));
        }
    }

    /// Gives a row an error.
    pub(super) fn fail(&mut self, engine: &Engine, id: RowId, error: RowError) {
        if self.open.remove(&id).is_some() {
            engine.keeper.forget(vec![id]);
            engine.book.tell(id, Err(error));
        }
    }

    /// Gives all rows that are left this error.
    pub(super) fn fail_rest(&mut self, engine: &Engine, error: &RowError) {
        let rest: Vec<RowId> = self.open.drain().map(|(id, _)| id).collect();
        for &id in &rest {
            engine.book.tell(id, Err(error.clone()));
        }
        if !rest.is_empty() {
            engine.keeper.forget(rest);
        }
    }

    /// It is over: nothing of it is in the journal any more but answers.
    pub(super) async fn end(&mut self, engine: &Engine) {
        if self.planned
            && let Err(error) = engine.keeper.end(self.record.seq).await
        {
            tracing::warn!(target: "hedgerow::batch", %error, "the end of a batch could not be kept");
        }
    }

    pub(super) async fn update(&self, engine: &Engine) {
        if let Err(error) = engine.keeper.update(&self.record).await {
            tracing::warn!(target: "hedgerow::batch", %error, "the journal does not know what became of a batch");
        }
    }

    /// Whether bodies may still be needed once they are at the API.
    pub(super) fn may_need_bodies(&self, engine: &Engine) -> bool {
        let options = &engine.options;
        options.on_expired != OnExpired::Fail || options.escalate_before.is_some()
    }

    /// The rows with their bodies.
    pub(super) async fn bodies(
        &self,
        engine: &Engine,
        ids: &[RowId],
    ) -> Result<Vec<Pending>, RowError> {
        match &self.file {
            Some(file) => {
                let wanted: std::collections::HashSet<&RowId> = ids.iter().collect();
                let rows = file.rows().iter().filter(|row| wanted.contains(&row.id));
                Ok(rows.cloned().collect())
            }
            None => engine.keeper.bodies(ids.to_vec()).await,
        }
    }

    pub(super) fn tell(&self, engine: &Engine, kind: BatchEventKind, error: Option<String>) {
        let event = LifecycleEvent {
            batch: Some(self.facts(engine)),
            error,
            ..engine.event(kind)
        };
        engine.listeners.tell(&event);
    }

    pub(super) fn tell_state(&self, engine: &Engine, kind: BatchEventKind) {
        let (status, counts) = &self.seen;
        let event = LifecycleEvent {
            batch: Some(self.facts(engine)),
            state: Some(BatchState {
                status: status.clone(),
                completed: counts.completed,
                failed: counts.failed,
                total: if counts.total == 0 {
                    self.total
                } else {
                    counts.total
                },
                elapsed: self.age(engine),
            }),
            ..engine.event(kind)
        };
        engine.listeners.tell(&event);
    }

    fn facts(&self, engine: &Engine) -> BatchFacts {
        let batch = self.batch.as_ref();
        BatchFacts {
            batch_id: self.record.batch_id.clone(),
            endpoint: self.record.endpoint.clone(),
            input_file_id: self.record.input_file_id.clone(),
            output_file_id: batch.and_then(|batch| batch.output_file_id.clone()),
            error_file_id: batch.and_then(|batch| batch.error_file_id.clone()),
            request_count: self.total,
            models: vec![self.record.model.clone()],
            completion_window: engine.options.completion_window.to_string(),
            metadata: (*engine.options.metadata).clone(),
        }
    }
}

/// How the client closes, once it does.
pub(super) fn closing(phase: &watch::Receiver<Phase>) -> Option<OnClose> {
    match *phase.borrow() {
        Phase::Open => None,
        Phase::Closing(how) => Some(how),
    }
}

/// Waits, but no longer than until the client begins to close. False if that came first.
pub(super) async fn wait(phase: &mut watch::Receiver<Phase>, time: Duration) -> bool {
    tokio::select! {
        biased;
        () = until_closing(phase) => false,
        () = sleep(time) => true,
    }
}

pub(super) async fn until_closing(phase: &mut watch::Receiver<Phase>) {
    // The sender is in the engine, which the caller has.
    let _ = phase.wait_for(|phase| *phase != Phase::Open).await;
}
