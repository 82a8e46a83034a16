//! The tables of a journal, and what a group of deeds does to them.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use hedgerow::BoxError;
use hedgerow::crates::cache::Clock;
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    TableError, WriteTransaction,
};

use super::entry::{
    self, Place, answer_place, read_answer, read_batch, read_row, row_place, write_answer,
    write_batch,
};
use super::error::JournalError;
use crate::batch::answer::RowAnswer;
use crate::batch::body::Pending;
use crate::batch::id::RowId;
use crate::batch::keeper::Found;
use crate::batch::record::Record;

type Key = &'static [u8; RowId::BYTES];

const BATCHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("batches");
/// Rows that have no answer.
const ROWS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("rows");
const ANSWERS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("answers");
/// Answers in the order in which they came.
const ORDER: TableDefinition<'_, u64, Key> = TableDefinition::new("order");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const TEXTS: TableDefinition<'_, &str, &str> = TableDefinition::new("texts");

const FORMAT: u64 = 1;
/// What an entry takes beside its bytes.
const OVERHEAD: u64 = 96;
/// What is open is below this part of the file, or the file is compacted.
const SPARSE: u64 = 4;
const SMALL: u64 = 16 << 20;

pub(super) struct File {
    database: Database,
    max_bytes: u64,
    name: String,
    next_seq: u64,
    clock: Clock,
}

/// Why a deed was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("it holds {bytes} bytes and may hold {max}: wait for answers, or set `max_bytes`")]
    Full { bytes: u64, max: u64 },
    #[error(transparent)]
    Failed(#[from] BoxError),
}

/// The tables in a commit.
pub(super) struct Tables<'t> {
    batches: Table<'t, u64, &'static [u8]>,
    rows: Table<'t, Key, &'static [u8]>,
    answers: Table<'t, Key, &'static [u8]>,
    order: Table<'t, u64, Key>,
    numbers: Table<'t, &'static str, u64>,
    bytes: u64,
    turn: u64,
    next_seq: u64,
    max_bytes: u64,
    clock: Clock,
}

impl File {
    pub(super) fn open(
        mut database: Database,
        path: &Path,
        upstream: &str,
        max_bytes: u64,
    ) -> Result<Self, JournalError> {
        let damaged = |error: BoxError| JournalError::Damaged {
            path: path.to_owned(),
            detail: error.to_string(),
        };
        match number(&database, "format").map_err(damaged)? {
            None => prepare(&database, upstream).map_err(damaged)?,
            Some(FORMAT) => {}
            Some(found) => {
                return Err(JournalError::Format {
                    path: path.to_owned(),
                    found,
                    known: FORMAT,
                });
            }
        }
        let found = text(&database, "upstream").map_err(damaged)?;
        if found != upstream {
            return Err(JournalError::Upstream {
                path: path.to_owned(),
                found,
                now: upstream.to_owned(),
            });
        }
        let live = number(&database, "bytes").map_err(damaged)?.unwrap_or(0);
        let size = std::fs::metadata(path).map_or(0, |file| file.len());
        if size > SMALL + SPARSE * live {
            database.compact().map_err(|error| damaged(error.into()))?;
        }
        Ok(Self {
            name: text(&database, "name").map_err(damaged)?,
            next_seq: number(&database, "seq").map_err(damaged)?.unwrap_or(0),
            database,
            max_bytes,
            clock: Clock::new(),
        })
    }

    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    pub(super) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// What an earlier run has left, without answers that are older than this.
    pub(super) fn find(&self, oldest_ms: u64) -> Result<Found, BoxError> {
        let mut batches: BTreeMap<u64, (Record, Vec<(RowId, u32)>)> = BTreeMap::new();
        let read = self.database.begin_read()?;
        for entry in read.open_table(BATCHES)?.iter()? {
            let (seq, record) = entry?;
            let record = read_batch(seq.value(), record.value())?;
            batches.insert(seq.value(), (record, Vec::new()));
        }
        let mut lost = Vec::new();
        for entry in read.open_table(ROWS)?.iter()? {
            let (id, row) = entry?;
            let id = RowId::from_bytes(id.value());
            let (seq, line) = row_place(row.value())?;
            match batches.get_mut(&seq) {
                Some((_, rows)) => rows.push((id, line)),
                None => lost.push(id),
            }
        }
        let mut ready = Vec::new();
        for entry in read.open_table(ANSWERS)?.iter()? {
            let (id, answer) = entry?;
            let id = RowId::from_bytes(id.value());
            if answer_place(answer.value())?.at_ms < oldest_ms {
                lost.push(id);
            } else {
                ready.push(id);
            }
        }
        drop(read);
        if !lost.is_empty() {
            self.commit(|tables| tables.forget(&lost))?;
        }
        let mut batches: Vec<_> = batches.into_values().collect();
        for (_, rows) in &mut batches {
            rows.sort_by_key(|(_, line)| *line);
        }
        Ok(Found { batches, ready })
    }

    /// Does all of it in one durable commit.
    pub(super) fn commit<T>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, BoxError>,
    ) -> Result<T, BoxError> {
        let mut write = self.database.begin_write()?;
        // Opened again after a kill, the file is read in a bounded part, not as a whole.
        write.set_quick_repair(true);
        let done = {
            let mut tables = Tables::open(&write, self.max_bytes, self.clock)?;
            let done = work(&mut tables)?;
            tables.close()?;
            done
        };
        write.commit()?;
        Ok(done)
    }

    pub(super) fn answer(&self, id: RowId) -> Result<RowAnswer, BoxError> {
        let table = self.database.begin_read()?.open_table(ANSWERS)?;
        let entry = table.get(&id.to_bytes())?;
        let entry = entry.ok_or("an answer is gone")?;
        Ok(read_answer(id, entry.value())?)
    }

    pub(super) fn bodies(&self, ids: &[RowId]) -> Result<Vec<Pending>, BoxError> {
        let table = self.database.begin_read()?.open_table(ROWS)?;
        let body = |id: &RowId| -> Result<Option<Pending>, BoxError> {
            let Some(entry) = table.get(&id.to_bytes())? else {
                return Ok(None);
            };
            let body: Bytes = read_row(*id, entry.value())?.body;
            Ok(Some(Pending { id: *id, body }))
        };
        ids.iter().filter_map(|id| body(id).transpose()).collect()
    }
}

impl<'t> Tables<'t> {
    fn open(write: &'t WriteTransaction, max_bytes: u64, clock: Clock) -> Result<Self, BoxError> {
        let numbers = write.open_table(NUMBERS)?;
        let read = |name: &str| -> Result<u64, BoxError> {
            Ok(numbers.get(name)?.map_or(0, |number| number.value()))
        };
        Ok(Self {
            bytes: read("bytes")?,
            turn: read("turn")?,
            next_seq: read("seq")?,
            batches: write.open_table(BATCHES)?,
            rows: write.open_table(ROWS)?,
            answers: write.open_table(ANSWERS)?,
            order: write.open_table(ORDER)?,
            numbers,
            max_bytes,
            clock,
        })
    }

    fn close(&mut self) -> Result<(), BoxError> {
        for (name, number) in [
            ("bytes", self.bytes),
            ("turn", self.turn),
            ("seq", self.next_seq),
        ] {
            self.numbers.insert(name, number)?;
        }
        Ok(())
    }

    /// A batch and its rows. Answers that nobody asked for make room, and are told.
    pub(super) fn plan(
        &mut self,
        record: &Record,
        rows: &[Pending],
        instead: Option<u64>,
    ) -> Result<Vec<RowId>, Refused> {
        let weight: u64 = rows
            .iter()
            .map(|row| row.body.len() as u64 + OVERHEAD)
            .sum();
        let mut gone = Vec::new();
        // The rows of the batch before are counted already.
        let weight_now = if instead.is_some() { 0 } else { weight };
        while self.bytes + weight_now > self.max_bytes {
            let first = self.order.pop_first().map_err(BoxError::from)?;
            let Some(id) = first.map(|(_, id)| RowId::from_bytes(id.value())) else {
                return Err(Refused::Full {
                    bytes: self.bytes,
                    max: self.max_bytes,
                });
            };
            self.forget(&[id])?;
            gone.push(id);
        }
        for (row, line) in rows.iter().zip(1..) {
            self.forget_row(row.id)?;
            let entry = entry::write_row(row.id, record.seq, line, &row.body);
            self.rows
                .insert(&row.id.to_bytes(), &*entry)
                .map_err(BoxError::from)?;
            self.bytes += row.body.len() as u64 + OVERHEAD;
        }
        if let Some(seq) = instead {
            self.end(seq)?;
        }
        self.next_seq = self.next_seq.max(record.seq + 1);
        self.update(record)?;
        Ok(gone)
    }

    pub(super) fn update(&mut self, record: &Record) -> Result<(), BoxError> {
        self.batches.insert(record.seq, &*write_batch(record)?)?;
        Ok(())
    }

    /// Answers take the place of their rows.
    pub(super) fn answers(&mut self, answers: &[(RowId, RowAnswer)]) -> Result<(), BoxError> {
        let at_ms = self.clock.now().as_millis();
        for (id, answer) in answers {
            self.forget(&[*id])?;
            let turn = self.turn;
            self.turn += 1;
            let entry = write_answer(*id, Place { turn, at_ms }, answer);
            self.answers.insert(&id.to_bytes(), &*entry)?;
            self.order.insert(turn, &id.to_bytes())?;
            self.bytes += entry.len() as u64 + OVERHEAD;
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, ids: &[RowId]) -> Result<(), BoxError> {
        for id in ids {
            self.forget_row(*id)?;
            let Some(entry) = self.answers.remove(&id.to_bytes())? else {
                continue;
            };
            let weight = entry.value().len() as u64 + OVERHEAD;
            self.bytes = self.bytes.saturating_sub(weight);
            if let Ok(place) = answer_place(entry.value()) {
                self.order.remove(place.turn)?;
            }
        }
        Ok(())
    }

    fn forget_row(&mut self, id: RowId) -> Result<(), BoxError> {
        if let Some(entry) = self.rows.remove(&id.to_bytes())? {
            // Without its checksum, batch and line.
            let weight = (entry.value().len() as u64).saturating_sub(20) + OVERHEAD;
            self.bytes = self.bytes.saturating_sub(weight);
        }
        Ok(())
    }

    pub(super) fn end(&mut self, seq: u64) -> Result<(), BoxError> {
        self.batches.remove(seq)?;
        if self.batches.is_empty()? && self.rows.is_empty()? && self.answers.is_empty()? {
            // What damage may have left uncounted.
            self.bytes = 0;
        }
        Ok(())
    }
}

fn number(database: &Database, name: &str) -> Result<Option<u64>, BoxError> {
    let table = match database.begin_read()?.open_table(NUMBERS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table?,
    };
    Ok(table.get(name)?.map(|number| number.value()))
}

fn text(database: &Database, name: &str) -> Result<String, BoxError> {
    let table = database.begin_read()?.open_table(TEXTS)?;
    let text = table.get(name)?;
    let text = text.ok_or_else(|| format!("it has no {name}"))?;
    Ok(text.value().to_owned())
}

fn prepare(database: &Database, upstream: &str) -> Result<(), BoxError> {
    let mut write = database.begin_write()?;
    write.set_quick_repair(true);
    write.open_table(NUMBERS)?.insert("format", FORMAT)?;
    {
        let mut texts = write.open_table(TEXTS)?;
        texts.insert("upstream", upstream)?;
        let name = format!("{:016x}", rand::random::<u64>());
        texts.insert("name", &*name)?;
    }
    write.open_table(BATCHES)?;
    write.open_table(ROWS)?;
    write.open_table(ANSWERS)?;
    write.open_table(ORDER)?;
    write.commit()?;
    Ok(())
}
