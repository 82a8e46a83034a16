//! Rows that a batch has left: another batch, by themselves, or an error.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use hedgerow_core::Class;
use tokio::time::sleep;

use super::Engine;
use super::flight::{Flight, closing};
use crate::batch::answer::RowAnswer;
use crate::batch::body::Pending;
use crate::batch::error::RowError;
use crate::batch::id::RowId;
use crate::batch::objects::{BatchStatus, Problem};
use crate::batch::options::{OnClose, OnExpired, SENT_AT_ONCE};
use crate::batch::pace::after_failure;
use crate::client::Head;
use crate::error::Provider;

/// How often a row is sent by itself.
const TRIES: u32 = 3;
/// The word for too many rows in the queue of the API: they are tried again later.
const QUEUE_FULL: &str = "token_limit_exceeded";
const QUEUE_PAUSE: Duration = Duration::from_secs(60);
/// How often rows go into another batch because a file was refused.
const REFUSALS: u32 = 3;

impl Flight {
    /// What becomes of the rows that the files of a batch which has ended leave open.
    pub(super) async fn settle(&mut self, engine: &Arc<Engine>, status: BatchStatus) {
        let batch_id = self.batch_id();
        let late = match status {
            BatchStatus::Expired => self.open.keys().copied().collect(),
            _ => std::mem::take(&mut self.late),
        };
        let late: Vec<RowId> = late
            .into_iter()
            .filter(|id| self.open.contains_key(id))
            .collect();
        if !late.is_empty() {
            self.expired(engine, late).await;
        }
        match status {
            BatchStatus::Failed => self.failed(engine).await,
            BatchStatus::Cancelled => self.fail_rest(engine, &RowError::Cancelled { batch_id }),
            _ => {
                let rest: Vec<RowId> = self.open.keys().copied().collect();
                for custom_id in rest {
                    let batch_id = batch_id.clone();
                    let missing = RowError::Missing {
                        batch_id,
                        custom_id,
                    };
                    self.fail(engine, custom_id, missing);
                }
            }
        }
    }

    async fn expired(&mut self, engine: &Arc<Engine>, late: Vec<RowId>) {
        let left = match engine.options.on_expired {
            OnExpired::Rebatch(times) if self.record.generation < times => {
                self.rebatch(engine, late, Duration::ZERO).await
            }
            OnExpired::SendNow => {
                self.send_now(engine, &late).await;
                late
            }
            OnExpired::Fail | OnExpired::Rebatch(_) => late,
        };
        let batch_id = self.batch_id();
        for id in left {
            let batch_id = batch_id.clone();
            self.fail(engine, id, RowError::Expired { batch_id });
        }
    }

    /// A file that was refused: the lines that are named fail, and the others go again.
    async fn failed(&mut self, engine: &Arc<Engine>) {
        let batch_id = self.batch_id();
        let problems = self
            .batch
            .as_ref()
            .map(|batch| batch.problems())
            .unwrap_or_default();
        let full = problems
            .iter()
            .any(|problem| problem.code.as_deref() == Some(QUEUE_FULL));
        let named = |problem: &&Problem| {
            problem
                .line
                .is_some_and(|line| line >= 1 && line <= self.total)
        };
        let at_fault: Vec<Problem> = problems.iter().filter(named).cloned().collect();
        if full {
            let rest: Vec<RowId> = self.open.keys().copied().collect();
            self.rebatch(engine, rest, QUEUE_PAUSE).await;
        } else if !at_fault.is_empty() && self.record.generation < REFUSALS {
            for problem in at_fault {
                let row = self
                    .open
                    .iter()
                    .find(|(_, line)| Some(u64::from(**line)) == problem.line);
                if let Some((&id, _)) = row {
                    let refused = RowError::Refused {
                        batch_id: batch_id.clone(),
                        problem: Arc::new(problem),
                    };
                    self.fail(engine, id, refused);
                }
            }
            let rest: Vec<RowId> = self.open.keys().copied().collect();
            self.rebatch(engine, rest, Duration::ZERO).await;
        }
        let problems = problems.into();
        self.fail_rest(engine, &RowError::Failed { batch_id, problems });
    }

    /// Rows go into another batch. Those that cannot come back.
    async fn rebatch(
        &mut self,
        engine: &Arc<Engine>,
        ids: Vec<RowId>,
        delay: Duration,
    ) -> Vec<RowId> {
        let closes = matches!(
            closing(&engine.phase.subscribe()),
            Some(OnClose::Cancel | OnClose::Keep)
        );
        if ids.is_empty() || closes {
            return ids;
        }
        let rows = match self.bodies(engine, &ids).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(target: "hedgerow::batch", %error, "rows cannot be sent again");
                return ids;
            }
        };
        // Rows that waited for a place in the queue have not been in a batch that did anything.
        let generation = self.record.generation + u32::from(delay.is_zero());
        let record = engine.record(&self.lane, generation);
        for row in &rows {
            self.open.remove(&row.id);
        }
        let mut flight = Self::new(record, self.lane.clone(), rows);
        flight.delay = delay;
        flight.instead = Some(self.record.seq);
        // Planned here, so that the old batch does not end in the journal before the new one is in it.
        if let Some(file) = &flight.file {
            match engine
                .keeper
                .plan(&flight.record, file.rows(), flight.instead)
                .await
            {
                Ok(gone) => {
                    engine.book.gone(&gone);
                    flight.planned = true;
                }
                Err(error) => {
                    flight.fail_rest(engine, &error);
                    return Vec::new();
                }
            }
        }
        engine.fly(flight);
        Vec::new()
    }

    /// What is still open shortly before the window ends is sent by itself, once.
    pub(super) async fn escalate(&mut self, engine: &Arc<Engine>) {
        self.read_part(engine).await;
        self.record.escalated = true;
        // Before anything is sent: another run does not send it again.
        if let Err(error) = engine.keeper.update(&self.record).await {
            tracing::warn!(target: "hedgerow::batch", %error, "nothing is sent early without the journal");
            return;
        }
        let open: Vec<RowId> = self.open.keys().copied().collect();
        self.send_now(engine, &open).await;
    }

    /// Sends rows by themselves, as far as the cap goes. What is not answered stays open.
    async fn send_now(&mut self, engine: &Arc<Engine>, ids: &[RowId]) {
        let allowed = engine.spend(ids.len());
        if allowed < ids.len() {
            tracing::warn!(
                target: "hedgerow::batch", rows = ids.len(), allowed,
                "the cap of spending lets not all rows be sent by themselves"
            );
        }
        let ids = ids.get(..allowed).unwrap_or(ids);
        let rows = match self.bodies(engine, ids).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(target: "hedgerow::batch", %error, "rows cannot be sent by themselves");
                return;
            }
        };
        let endpoint = self.lane.endpoint.clone();
        let mut sent = futures::stream::iter(rows)
            .map(|row| send(engine, &endpoint, row))
            .buffer_unordered(SENT_AT_ONCE);
        while let Some((id, answer)) = sent.next().await {
            if let Some(answer) = answer {
                self.answer(engine, vec![(id, answer)]).await;
            }
        }
    }
}

async fn send(engine: &Engine, endpoint: &str, row: Pending) -> (RowId, Option<RowAnswer>) {
    for failures in 1..=TRIES {
        let error = match engine.api.send_row(endpoint, row.body.clone()).await {
            Ok((parts, body)) if parts.status.is_success() => {
                let request_id = parts.headers.get("x-request-id");
                let request_id = request_id
                    .and_then(|id| id.to_str().ok())
                    .map(str::to_owned);
                return (
                    row.id,
                    RowAnswer::new(parts.status.as_u16(), request_id, body),
                );
            }
            Ok((parts, body)) => {
                let error = Head::of(Provider::OpenAi, &parts).refusal(&body);
                if error.class() == Class::Fatal {
                    return (row.id, RowAnswer::new(parts.status.as_u16(), None, body));
                }
                error
            }
            Err(error) => error,
        };
        if failures < TRIES {
            sleep(after_failure(&error, failures)).await;
        }
    }
    (row.id, None)
}
