//! From rows to a batch that the API has.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::Class;
use tokio::sync::watch;
use tokio::time::sleep;

use super::flight::{Flight, closing, wait};
use super::{Engine, Phase};
use crate::batch::api::NewBatch;
use crate::batch::body::{RowFile, UploadFile};
use crate::batch::error::RowError;
use crate::batch::event::BatchEventKind;
use crate::batch::objects::BatchObject;
use crate::batch::options::{METADATA_KEY, OnClose};
use crate::batch::pace::after_failure;
use crate::error::CallError;

/// Why a submission ends without a batch.
enum Stop {
    Closed,
    Refused(&'static str, CallError),
    Journal(RowError),
}

impl Flight {
    /// False if there is no batch to follow; every row has its error then.
    pub(super) async fn submit(&mut self, engine: &Arc<Engine>) -> bool {
        if self.record.batch_id.is_some() {
            return true;
        }
        let stop = match self.try_submit(engine).await {
            Ok(()) => return true,
            Err(stop) => stop,
        };
        let error = match stop {
            Stop::Closed => RowError::Closed { batch_id: None },
            Stop::Journal(error) => error,
            Stop::Refused(step, source) => RowError::Submission {
                step,
                source: Arc::new(source),
            },
        };
        if !matches!(error, RowError::Closed { .. }) {
            self.tell(engine, BatchEventKind::SubmissionFailed, Some(text(&error)));
        }
        self.fail_rest(engine, &error);
        self.end(engine).await;
        false
    }

    async fn try_submit(&mut self, engine: &Arc<Engine>) -> Result<(), Stop> {
        let mut phase = engine.phase.subscribe();
        if !wait_out(&mut phase, self.delay).await {
            return Err(Stop::Closed);
        }
        let places = engine.lanes.submissions(&self.lane);
        // Never closed.
        let _place = places.acquire().await;
        self.plan(engine).await?;
        let mut failures = 0;
        // What was begun by somebody who was killed may have come through.
        let mut unsure = self.resumed;
        loop {
            if matches!(closing(&phase), Some(OnClose::Cancel | OnClose::Keep)) && !unsure {
                return Err(Stop::Closed);
            }
            let (step, error) = match self.step(engine, unsure).await {
                Ok(batch) => return self.accepted(engine, batch).await,
                Err(StepError::Journal(error)) => return Err(Stop::Journal(error)),
                Err(StepError::Upload(error)) => ("upload", error),
                Err(StepError::Create(error)) => {
                    unsure |= may_have_come_through(&error);
                    ("create", error)
                }
                Err(StepError::Find(error)) => ("create", error),
            };
            failures += 1;
            let again = matches!(error.class(), Class::Retryable { .. });
            // An answer that cannot be read is no refusal: the file is sent again, the batch is looked for.
            let lost = may_have_come_through(&error);
            if !again && !lost || self.is_overdue(engine) {
                return Err(Stop::Refused(step, error));
            }
            let pause = after_failure(&error, failures);
            tracing::debug!(target: "hedgerow::batch", step, %error, ?pause, "a submission is tried again");
            if unsure {
                sleep(pause.max(Duration::from_secs(1))).await;
            } else {
                wait(&mut phase, pause).await;
            }
        }
    }

    async fn plan(&mut self, engine: &Engine) -> Result<(), Stop> {
        if self.planned {
            if self.file.is_none() {
                let ids: Vec<_> = self.open.keys().copied().collect();
                let mut rows = self.bodies(engine, &ids).await.map_err(Stop::Journal)?;
                // As they stood in the file that may have been uploaded already.
                rows.sort_by_key(|row| self.open.get(&row.id).copied());
                self.file = Some(RowFile::new(&self.lane.endpoint, rows));
            }
            return Ok(());
        }
        if let Some(file) = &self.file {
            let planned = engine.keeper.plan(&self.record, file.rows(), self.instead);
            let gone = planned.await.map_err(Stop::Journal)?;
            engine.book.gone(&gone);
            self.planned = true;
        }
        Ok(())
    }

    /// Goes on from where it stands.
    async fn step(&mut self, engine: &Engine, unsure: bool) -> Result<BatchObject, StepError> {
        let (api, options) = (&engine.api, &engine.options);
        if unsure {
            match api
                .find(METADATA_KEY, &self.record.key, self.record.uploaded_at)
                .await
            {
                Ok(found) => {
                    if let Some(batch) = self.adopt(engine, found).await {
                        return Ok(batch);
                    }
                }
                // An API without a list: it is created under the same key as before.
                Err(error) if is_unknown(&error) => {}
                Err(error) => return Err(StepError::Find(error)),
            }
        }
        if self.record.input_file_id.is_none() {
            let name = self.record.file_name();
            let mut found = None;
            if self.resumed {
                found = match api.find_file(&name).await {
                    Ok(found) => found.filter(|found| self.is_whole(found.bytes)),
                    Err(error) if is_unknown(&error) => None,
                    Err(error) => return Err(StepError::Upload(error)),
                };
            }
            let uploaded = match (found, &self.file) {
                (Some(found), _) => found,
                (None, Some(file)) => {
                    let file = UploadFile::Rows(file.clone());
                    api.upload_file(&name, file)
                        .await
                        .map_err(StepError::Upload)?
                }
                (None, None) => {
                    let lost = RowError::Journal("the rows of a batch are gone".into());
                    return Err(StepError::Journal(lost));
                }
            };
            self.record.input_file_id = Some(uploaded.id);
            self.record.uploaded_at = uploaded.created_at;
            engine
                .keeper
                .update(&self.record)
                .await
                .map_err(StepError::Journal)?;
        }
        let mut metadata = (*options.metadata).clone();
        metadata.insert(METADATA_KEY.to_owned(), self.record.key.clone());
        let new = NewBatch {
            input_file_id: self.record.input_file_id.as_deref().unwrap_or_default(),
            endpoint: &self.record.endpoint,
            completion_window: &options.completion_window,
            metadata,
        };
        let created = api.create(&new, &self.record.key).await;
        created.map_err(StepError::Create)
    }

    fn is_whole(&self, bytes: Option<u64>) -> bool {
        self.file
            .as_ref()
            .is_some_and(|file| bytes == Some(file.bytes()))
    }

    /// The first of these batches. If there are more, they are cancelled: a row is paid for once.
    async fn adopt(&self, engine: &Engine, found: Vec<BatchObject>) -> Option<BatchObject> {
        let mut found = found.into_iter();
        let first = found.next()?;
        for twin in found.filter(|twin| !twin.status().is_final()) {
            let cancelled = engine.api.cancel(&twin.id).await;
            tracing::warn!(
                target: "hedgerow::batch", kept = first.id, twin = twin.id, done = cancelled.is_ok(),
                "a batch was made twice, and one of the two is cancelled"
            );
        }
        Some(first)
    }

    async fn accepted(&mut self, engine: &Engine, batch: BatchObject) -> Result<(), Stop> {
        self.record.batch_id = Some(batch.id.clone());
        if self.record.input_file_id.is_none() {
            self.record.input_file_id.clone_from(&batch.input_file_id);
        }
        self.record.submitted_ms = engine.clock.now().as_millis();
        self.batch = Some(batch);
        // If this fails, the metadata tell a later run which batch it is.
        self.update(engine).await;
        if engine.keeper.keeps() || !self.may_need_bodies(engine) {
            self.file = None;
        }
        self.tell(engine, BatchEventKind::Submitted, None);
        Ok(())
    }
}

enum StepError {
    Upload(CallError),
    Find(CallError),
    Create(CallError),
    Journal(RowError),
}

/// Whether the API may have done what it was asked, though it did not say so.
fn may_have_come_through(error: &CallError) -> bool {
    match error {
        CallError::Api(error) => error.status.is_server_error() || error.is_in_band(),
        CallError::Request(_) | CallError::Path { .. } => false,
        _ => true,
    }
}

/// Whether the API does not know what it was asked.
fn is_unknown(error: &CallError) -> bool {
    error
        .api()
        .is_some_and(|error| matches!(error.status.as_u16(), 404 | 405 | 501))
}

/// An error with what caused it.
pub(super) fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Waits the whole time, unless the client closes without draining.
async fn wait_out(phase: &mut watch::Receiver<Phase>, time: Duration) -> bool {
    time.is_zero() || wait(phase, time).await || closing(phase) == Some(OnClose::Drain)
}
