//! The rows of a batch, which are answered as it gets on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use bytes::BytesMut;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::answer::{Answer, Place as AnswerPlace, Row};
use super::check::{Line, Place, ROWS_AT_ONCE};
use super::files::{Stored, Subject};
use super::shared::Shared;

/// The rows of a batch that have no answer yet, in the order in which they get one, and the files
/// of the others.
#[derive(Debug)]
pub(super) struct Rows {
    batch: String,
    input: String,
    places: Vec<Place>,
    pub(super) total: usize,
    pub(super) done: usize,
    pub(super) completed: usize,
    pub(super) failed: usize,
    pub(super) output: Option<Stored>,
    pub(super) errors: Option<Stored>,
    about: Arc<Subject>,
}

/// What is to be written to a file.
#[derive(Debug, Default)]
struct Pending(BytesMut);

impl Rows {
    pub(super) fn new(
        batch: &str,
        input: &Stored,
        about: Arc<Subject>,
        mut places: Vec<Place>,
        shuffle: Option<u64>,
    ) -> Self {
        if let Some(seed) = shuffle {
            places.shuffle(&mut StdRng::seed_from_u64(seed));
        }
        Self {
            batch: batch.to_owned(),
            input: input.id.clone(),
            total: places.len(),
            places,
            done: 0,
            completed: 0,
            failed: 0,
            output: None,
            errors: None,
            about,
        }
    }

    /// Answers rows until so many are done.
    pub(super) async fn answer(&mut self, shared: &Shared, upto: usize) -> io::Result<()> {
        self.write(shared, upto, |row| shared.answer_of(row)).await
    }

    /// Gives each row that is left this error.
    pub(super) async fn give_up(
        &mut self,
        shared: &Shared,
        code: &str,
        message: &str,
    ) -> io::Result<()> {
        self.write(shared, self.total, |_row| Answer::error(code, message))
            .await
    }

    /// Rows that are left stand in no file.
    pub(super) fn forget(&mut self) {
        self.failed += self.total - self.done;
        self.done = self.total;
    }

    /// No line will come any more.
    pub(super) fn close(&mut self, shared: &Shared) {
        self.places = Vec::new();
        for stored in [&mut self.output, &mut self.errors].into_iter().flatten() {
            stored.grows = false;
            if shared.files.get(&stored.id).is_some() {
                shared.files.put(stored.clone());
            }
        }
    }

    async fn write(
        &mut self,
        shared: &Shared,
        upto: usize,
        answer: impl Fn(&Row<'_>) -> Answer,
    ) -> io::Result<()> {
        if self.done >= upto {
            return Ok(());
        }
        let mut input = File::open(shared.files.path(&self.input))?;
        let (mut output, mut errors) = (Pending::default(), Pending::default());
        let mut line = Vec::new();
        while self.done < upto {
            let place = self.places[self.done];
            line.resize(place.bytes, 0);
            input.seek(SeekFrom::Start(place.start))?;
            input.read_exact(&mut line)?;
            let read = str::from_utf8(&line)
                .ok()
                .and_then(|line| Line::read(line).ok());
            let Some(read) = read else {
                return Err(io::Error::other("a row that was checked is gone"));
            };
            let row = Row {
                custom_id: read.custom_id.as_deref().unwrap_or(""),
                url: read.url.as_deref().unwrap_or(""),
                body: read.body(),
                batch: Some(&self.batch),
            };
            let answer = answer(&row);
            let pending = match answer.place() {
                AnswerPlace::Output => {
                    self.completed += 1;
                    &mut output
                }
                AnswerPlace::Errors => {
                    self.failed += 1;
                    &mut errors
                }
            };
            answer.write(row.custom_id, shared.number(), &mut pending.0);
            self.done += 1;
            let pause = self.done.is_multiple_of(ROWS_AT_ONCE);
            if pause || self.done == upto {
                output.write(shared, &self.about, &mut self.output, "output")?;
                errors.write(shared, &self.about, &mut self.errors, "error")?;
            }
            if pause {
                // Whoever looks may leave here: what is done is in the files.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

impl Pending {
    /// Adds what there is to the file, which is made with its first line.
    fn write(
        &mut self,
        shared: &Shared,
        about: &Arc<Subject>,
        stored: &mut Option<Stored>,
        kind: &str,
    ) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let stored = stored.get_or_insert_with(|| {
            let id = shared.files.new_id();
            Stored {
                name: format!("{id}_{kind}.jsonl"),
                id,
                purpose: "batch_output".to_owned(),
                created: shared.now(),
                bytes: 0,
                lines: 0,
                grows: true,
                about: Arc::clone(about),
            }
        });
        let path = shared.files.path(&stored.id);
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(&self.0)?;
        stored.bytes += self.0.len() as u64;
        stored.lines += self.0.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.0.clear();
        shared.files.put(stored.clone());
        Ok(())
    }
}
