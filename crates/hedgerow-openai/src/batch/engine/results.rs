//! Reading files of answers.

use std::sync::Arc;

use tokio::time::sleep;

use super::Engine;
use super::flight::Flight;
use crate::batch::answer::RowAnswer;
use crate::batch::download::{Download, Part, ends_within_line};
use crate::batch::error::RowError;
use crate::batch::event::BatchEventKind;
use crate::batch::id::RowId;
use crate::batch::lines::{Line, Says, read_line};
use crate::batch::options::DOWNLOADS;
use crate::batch::pace::after_failure;
use crate::error::CallError;

/// How many answers are kept and given out at once at most, and how many bytes of them.
const GROUP: usize = 512;
const GROUP_BYTES: usize = 1 << 20;

/// A file that ends so many times within the same line has no more.
const SAME_END: u32 = 3;

/// The two files that a batch may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Output,
    Errors,
}

impl Flight {
    /// Reads what is there of a batch that goes on.
    pub(super) async fn read_part(&mut self, engine: &Engine) {
        for which in [Which::Output, Which::Errors] {
            let (_, counts) = &self.seen;
            let (there, read) = match which {
                Which::Output => (counts.completed, self.output_at),
                Which::Errors => (counts.failed, self.error_at),
            };
            if there > read
                && let Some(file) = self.file_id(which)
                && let Err(error) = self.read(engine, &file, which).await
            {
                // There will be another poll.
                tracing::debug!(target: "hedgerow::batch", %error, "a part of the answers could not be read");
            }
        }
    }

    /// Reads all there is. False if that failed for good; every row has its error then.
    pub(super) async fn read_all(&mut self, engine: &Arc<Engine>) -> bool {
        for which in [Which::Output, Which::Errors] {
            let Some(file) = self.file_id(which) else {
                continue;
            };
            if let Err(error) = self.read_whole(engine, &file, which).await {
                tracing::warn!(target: "hedgerow::batch", %error, ?which, "answers could not be downloaded");
                let unreadable = RowError::Unreadable {
                    batch_id: self.batch_id(),
                    source: Arc::new(error),
                };
                // What is in the other file is not lost with this one.
                if which == Which::Output
                    && let Some(errors) = self.file_id(Which::Errors)
                {
                    let _ = self.read_whole(engine, &errors, Which::Errors).await;
                }
                self.fail_rest(engine, &unreadable);
                self.finish_state(engine, BatchEventKind::Terminal).await;
                return false;
            }
        }
        true
    }

    async fn read_whole(
        &mut self,
        engine: &Engine,
        file: &str,
        which: Which,
    ) -> Result<(), CallError> {
        let mut failures = 0;
        let mut in_a_row = 0;
        loop {
            let before = self.at(which);
            let error = match self.read(engine, file, which).await {
                Ok(part) if !part.incomplete => return Ok(()),
                Ok(_) => {
                    // It says that more will come.
                    if self.open.is_empty() || self.is_overdue(engine) && failures >= DOWNLOADS {
                        return Ok(());
                    }
                    failures += 1;
                    sleep(engine.options.poll).await;
                    continue;
                }
                Err(error) => error,
            };
            if self.open.is_empty() {
                return Ok(());
            }
            in_a_row = if self.at(which) > before {
                1
            } else {
                in_a_row + 1
            };
            failures += 1;
            let gone = error
                .api()
                .is_some_and(|error| matches!(error.status.as_u16(), 404 | 410));
            if ends_within_line(&error) && in_a_row >= SAME_END {
                // It really ends there.
                return Ok(());
            }
            if gone && in_a_row >= 2 || failures >= DOWNLOADS && self.is_overdue(engine) {
                return Err(error);
            }
            sleep(after_failure(&error, in_a_row)).await;
        }
    }

    /// Reads a file from where it was left, and gives out what stands there.
    async fn read(&mut self, engine: &Engine, file: &str, which: Which) -> Result<Part, CallError> {
        let mut download = Download::open(&engine.api, file, self.at(which)).await?;
        let mut group: Vec<(RowId, RowAnswer)> = Vec::new();
        let mut bytes = 0;
        let ended = loop {
            let line = match download.next(&engine.api).await {
                Ok(Some(line)) => line,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let Some(line) = read_line(&line) else {
                if let Some(error) = download.cut() {
                    break Err(error);
                }
                self.left_out(&line);
                continue;
            };
            if let Some((id, answer)) = self.line(engine, line) {
                bytes += answer.body().len();
                group.push((id, answer));
            }
            if group.len() >= GROUP || bytes >= GROUP_BYTES {
                self.answer(engine, std::mem::take(&mut group)).await;
                bytes = 0;
                *self.at_mut(which) = download.at();
            }
        };
        self.answer(engine, group).await;
        *self.at_mut(which) = download.at();
        ended.map(|()| download.part)
    }

    fn left_out(&self, line: &[u8]) {
        tracing::warn!(
            target: "hedgerow::batch", batch = self.record.batch_id, bytes = line.len(),
            "a line of the answers makes no sense, and is left out"
        );
    }

    /// The answer that a line is for a row of this batch. An error goes to its row at once.
    fn line(&mut self, engine: &Engine, line: Line) -> Option<(RowId, RowAnswer)> {
        let id = RowId::parse(&line.custom_id).filter(|id| self.open.contains_key(id))?;
        let batch_id = self.batch_id();
        let (code, message) = match line.says {
            Says::Answered(answer) => return Some((id, answer.of_batch(&batch_id))),
            Says::Failed { code, message } => (code, message),
        };
        match code.as_deref() {
            Some("batch_expired") => self.late.push(id),
            Some("batch_cancelled") => self.fail(engine, id, RowError::Cancelled { batch_id }),
            _ => {
                let error = RowError::Row {
                    batch_id,
                    code: code.map(Into::into),
                    message: message.into(),
                };
                self.fail(engine, id, error);
            }
        }
        None
    }

    fn file_id(&self, which: Which) -> Option<String> {
        let batch = self.batch.as_ref()?;
        let id = match which {
            Which::Output => &batch.output_file_id,
            Which::Errors => &batch.error_file_id,
        };
        id.clone().filter(|id| !id.is_empty())
    }

    const fn at(&self, which: Which) -> u64 {
        match which {
            Which::Output => self.output_at,
            Which::Errors => self.error_at,
        }
    }

    const fn at_mut(&mut self, which: Which) -> &mut u64 {
        match which {
            Which::Output => &mut self.output_at,
            Which::Errors => &mut self.error_at,
        }
    }
}
