//! From a batch that the API has to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::flight::{Flight, closing, until_closing};
use super::submit::text;
use super::{Engine, Phase};
use crate::batch::error::RowError;
use crate::batch::event::BatchEventKind;
use crate::batch::objects::{BatchObject, BatchStatus};
use crate::batch::options::{OnClose, UNKNOWN_WINDOW};
use crate::batch::pace::{after_failure, next_poll};
use crate::batch::record::window;
use crate::error::CallError;

/// A batch that is not found so many times in a row is gone.
const NOT_FOUND: u32 = 2;

/// What a turn brings about.
enum Turn {
    Again,
    Over,
}

/// What a batch is asked with, turn by turn.
#[derive(Default)]
struct Asking {
    failures: u32,
    not_found: u32,
    /// What the API said about when to come back.
    told: Option<Duration>,
    /// The close has been taken note of.
    closing: Option<OnClose>,
    cancelled: bool,
}

impl Flight {
    pub(super) async fn follow(&mut self, engine: &Arc<Engine>) {
        let mut phase = engine.phase.subscribe();
        let mut asking = Asking::default();
        let mut first = self.resumed;
        loop {
            if !std::mem::take(&mut first) {
                self.pause(engine, &mut phase, &asking).await;
            }
            if asking.closing.is_none() {
                asking.closing = closing(&phase);
                match asking.closing {
                    Some(OnClose::Keep) => {
                        let batch_id = Some(self.batch_id());
                        return self.leave(engine, &RowError::Closed { batch_id });
                    }
                    Some(OnClose::Cancel) => asking.cancelled = self.cancel(engine).await,
                    Some(OnClose::Drain) | None => {}
                }
            }
            if self.is_overdue(engine) {
                return self.overdue(engine, &asking).await;
            }
            if self.escalates(engine) {
                self.escalate(engine).await;
                if self.open.is_empty() {
                    // What it would still do is answered and paid.
                    self.cancel(engine).await;
                    self.finish_state(engine, BatchEventKind::Terminal).await;
                    return;
                }
            }
            match self.poll(engine, &mut asking).await {
                Turn::Again => {}
                Turn::Over => return,
            }
        }
    }

    async fn pause(&self, engine: &Engine, phase: &mut watch::Receiver<Phase>, asking: &Asking) {
        let options = &engine.options;
        let age = self.age(engine);
        let (word, counts) = &self.seen;
        let near = asking.closing.is_some()
            || matches!(
                BatchStatus::of(word),
                BatchStatus::Finalizing | BatchStatus::Cancelling
            )
            || counts.total > 0 && (counts.completed + counts.failed) * 10 >= counts.total * 9;
        let mut wait = next_poll(options.poll, options.max_poll, age, near);
        if let Some(told) = asking.told {
            wait = wait.max(told);
        }
        let mut until = self.deadline(engine).saturating_sub(age);
        if let Some(at) = self.escalation(engine) {
            until = until.min(at.saturating_sub(age));
        }
        // Of the clock that is read the fractions of a millisecond are lost.
        let wait = wait.min(until + Duration::from_millis(1));
        if asking.closing.is_some() {
            return sleep(wait).await;
        }
        tokio::select! {
            biased;
            () = until_closing(phase) => {}
            () = sleep(wait) => {}
        }
    }

    async fn poll(&mut self, engine: &Arc<Engine>, asking: &mut Asking) -> Turn {
        let batch_id = self.batch_id();
        asking.told = None;
        let batch = match engine.api.retrieve(&batch_id).await {
            Ok(batch) => batch,
            Err(error) => return self.not_told(engine, asking, &error).await,
        };
        asking.failures = 0;
        asking.not_found = 0;
        let status = batch.status();
        let seen = (
            batch.status_word.clone().unwrap_or_default(),
            batch.counts(),
        );
        let changed = seen != self.seen;
        self.seen = seen;
        self.batch = Some(batch);
        if !status.is_final() {
            if changed {
                self.tell_state(engine, BatchEventKind::Progress);
            }
            self.read_part(engine).await;
            return Turn::Again;
        }
        if !self.read_all(engine).await {
            return Turn::Over;
        }
        self.settle(engine, status).await;
        let kind = match status {
            BatchStatus::Completed => BatchEventKind::Completed,
            _ => BatchEventKind::Terminal,
        };
        if asking.cancelled && status == BatchStatus::Cancelled {
            self.tell_state(engine, BatchEventKind::Cancelled);
        }
        self.finish_state(engine, kind).await;
        Turn::Over
    }

    async fn not_told(&mut self, engine: &Engine, asking: &mut Asking, error: &CallError) -> Turn {
        let status = error.api().map(|error| error.status.as_u16());
        if matches!(status, Some(404 | 410)) {
            asking.not_found += 1;
            if asking.not_found >= NOT_FOUND {
                let batch_id = self.batch_id();
                self.fail_rest(engine, &RowError::Gone { batch_id });
                "gone".clone_into(&mut self.seen.0);
                self.finish_state(engine, BatchEventKind::Terminal).await;
                return Turn::Over;
            }
        } else {
            asking.not_found = 0;
        }
        asking.failures += 1;
        asking.told = Some(after_failure(error, asking.failures));
        tracing::debug!(target: "hedgerow::batch", %error, failures = asking.failures, "a poll failed");
        Turn::Again
    }

    async fn overdue(&mut self, engine: &Arc<Engine>, asking: &Asking) {
        let batch_id = self.batch_id();
        if let Ok(batch) = engine.api.retrieve(&batch_id).await {
            self.seen = (
                batch.status_word.clone().unwrap_or_default(),
                batch.counts(),
            );
            let status = batch.status();
            self.batch = Some(batch);
            if status.is_final() {
                if self.read_all(engine).await {
                    self.settle(engine, status).await;
                    self.finish_state(engine, BatchEventKind::Terminal).await;
                }
                return;
            }
            self.read_part(engine).await;
        }
        if !asking.cancelled {
            self.cancel(engine).await;
        }
        let after = self.age(engine);
        self.fail_rest(engine, &RowError::Overdue { batch_id, after });
        self.finish_state(engine, BatchEventKind::Terminal).await;
    }

    /// The end of a batch of which nothing is open any more.
    pub(super) async fn finish_state(&mut self, engine: &Engine, kind: BatchEventKind) {
        self.end(engine).await;
        self.tell_state(engine, kind);
        if engine.options.delete_files && kind == BatchEventKind::Completed {
            let batch = self.batch.as_ref();
            let files = [
                self.record.input_file_id.clone(),
                batch.and_then(|batch| batch.output_file_id.clone()),
                batch.and_then(|batch| batch.error_file_id.clone()),
            ];
            for file in files.into_iter().flatten() {
                if let Err(error) = engine.api.delete_file(&file).await {
                    tracing::debug!(target: "hedgerow::batch", file, %error, "a file was not deleted");
                }
            }
        }
    }

    /// Whether the API has taken note of it.
    async fn cancel(&mut self, engine: &Engine) -> bool {
        let batch_id = self.batch_id();
        self.tell(engine, BatchEventKind::CancelRequested, None);
        match engine.api.cancel(&batch_id).await {
            Ok(batch) => {
                if batch.status() == BatchStatus::Cancelled {
                    self.seen.0 = batch.status_word.unwrap_or_default();
                }
                true
            }
            Err(error) => {
                self.tell(engine, BatchEventKind::CancelFailed, Some(text(&error)));
                false
            }
        }
    }

    // === when ===

    pub(super) fn window(&self, engine: &Engine) -> Duration {
        let told = self.batch.as_ref().and_then(window_of);
        window(&engine.options.completion_window)
            .or(told)
            .unwrap_or(UNKNOWN_WINDOW)
    }

    fn deadline(&self, engine: &Engine) -> Duration {
        self.window(engine).saturating_add(engine.options.grace)
    }

    pub(super) fn is_overdue(&self, engine: &Engine) -> bool {
        self.age(engine) >= self.deadline(engine)
    }

    /// At which age what is still open is sent by itself, if it will be.
    fn escalation(&self, engine: &Engine) -> Option<Duration> {
        let before = engine.options.escalate_before?;
        (!self.record.escalated).then(|| self.window(engine).saturating_sub(before))
    }

    fn escalates(&self, engine: &Engine) -> bool {
        let at = self.escalation(engine);
        at.is_some_and(|at| self.age(engine) >= at) && !self.open.is_empty()
    }
}

fn window_of(batch: &BatchObject) -> Option<Duration> {
    let seconds = batch.expires_at?.checked_sub(batch.created_at?)?;
    Some(Duration::from_secs(seconds))
}
