//! The tables of a file, and what a group of writes does to them.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use hedgerow_core::BoxError;
use parking_lot::RwLock;
use redb::{
    Database, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition, TableError,
};

use super::error::DiskError;
use super::record::{self, Head, OVERHEAD};
use crate::clock::Stamp;
use crate::key::Digest;
use crate::store::{Entry, Got, StoreError, StoreStats};

type Key = &'static [u8; 32];

const ENTRIES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("entries");
/// By the time until which they are kept.
const EXPIRY: TableDefinition<'_, (u64, Key), ()> = TableDefinition::new("expiry");
/// In the order in which they were stored.
const ORDER: TableDefinition<'_, u64, Key> = TableDefinition::new("order");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const FORMAT: u64 = 1;
/// How many that are out of date go with one commit at most.
const SWEEP: usize = 512;

pub(super) struct File {
    /// Locked for writing while the file is compacted.
    database: RwLock<Database>,
    max_bytes: u64,
    entries: AtomicU64,
    bytes: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
    pub(super) lost: AtomicU64,
}

/// What was read when it was opened.
pub(super) type Opened = File;

/// One change.
pub(super) enum Change<'a> {
    Put(&'a Digest, &'a Entry<Vec<u8>>),
    Remove(&'a Digest),
}

/// The books of a file, as one commit leaves them.
#[derive(Clone, Copy, Debug, Default)]
struct Books {
    turn: u64,
    entries: u64,
    bytes: u64,
    evicted: u64,
    expired: u64,
}

struct Tables<'t> {
    entries: Table<'t, Key, &'static [u8]>,
    expiry: Table<'t, (u64, Key), ()>,
    order: Table<'t, u64, Key>,
    books: Books,
}

impl File {
    pub(super) fn new(database: Database, max_bytes: u64, path: &Path) -> Result<Self, DiskError> {
        let damaged = |error: BoxError| DiskError::Damaged {
            path: path.to_owned(),
            detail: error.to_string(),
        };
        let format = meta(&database, "format").map_err(damaged)?;
        match format {
            None => prepare(&database).map_err(damaged)?,
            Some(FORMAT) => {}
            Some(found) => {
                return Err(DiskError::Format {
                    path: path.to_owned(),
                    found,
                    known: FORMAT,
                });
            }
        }
        let read = |name: &str| meta(&database, name).map(Option::unwrap_or_default);
        let (entries, bytes) = (
            read("entries").map_err(damaged)?,
            read("bytes").map_err(damaged)?,
        );
        Ok(Self {
            database: RwLock::new(database),
            max_bytes,
            entries: AtomicU64::new(entries),
            bytes: AtomicU64::new(bytes),
            evicted: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })
    }

    pub(super) fn get(&self, key: &Digest, now: Stamp) -> Got<Vec<u8>> {
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let database = self.database.read();
            let table = database.begin_read()?.open_table(ENTRIES)?;
            let record = table.get(key.as_bytes())?;
            Ok(record.map(|record| record.value().to_vec()))
        };
        let Some(record) = read().map_err(failed)? else {
            return Ok(None);
        };
        let entry = record::read(key, &record)?;
        Ok((entry.keep_until > now).then_some(entry))
    }

    /// Makes all changes in one durable commit.
    pub(super) fn commit(&self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let books = self.write(changes).map_err(failed)?;
        self.entries.store(books.entries, Ordering::Relaxed);
        self.bytes.store(books.bytes, Ordering::Relaxed);
        self.evicted.fetch_add(books.evicted, Ordering::Relaxed);
        self.expired.fetch_add(books.expired, Ordering::Relaxed);
        Ok(())
    }

    fn write(&self, changes: &[Change<'_>]) -> Result<Books, redb::Error> {
        let database = self.database.read();
        let mut write = database.begin_write()?;
        // Opened again after a kill, the file is read in a bounded part, not as a whole.
        write.set_quick_repair(true);
        let books = {
            let mut meta = write.open_table(META)?;
            let read = |name: &str| -> Result<u64, StorageError> {
                Ok(meta
                    .get(name)?
                    .map(|value| value.value())
                    .unwrap_or_default())
            };
            let books = Books {
                turn: read("turn")?,
                entries: read("entries")?,
                bytes: read("bytes")?,
                ..Books::default()
            };
            let mut tables = Tables {
                entries: write.open_table(ENTRIES)?,
                expiry: write.open_table(EXPIRY)?,
                order: write.open_table(ORDER)?,
                books,
            };
            let mut newest = Stamp::default();
            for change in changes {
                match change {
                    Change::Put(key, entry) => {
                        newest = newest.max(entry.stored);
                        tables.put(key, entry)?;
                    }
                    Change::Remove(key) => {
                        tables.remove(key)?;
                    }
                }
            }
            tables.sweep(newest)?;
            tables.evict(self.max_bytes)?;
            let books = tables.books;
            for (name, value) in [
                ("turn", books.turn),
                ("entries", books.entries),
                ("bytes", books.bytes),
            ] {
                meta.insert(name, value)?;
            }
            books
        };
        write.commit()?;
        Ok(books)
    }

    pub(super) fn compact(&self) -> Result<(), StoreError> {
        let compacted = self.database.write().compact();
        compacted.map(|_| ()).map_err(|error| failed(error.into()))
    }

    /// Whether an entry fits at all.
    pub(super) fn admits(&self, entry: &Entry<Vec<u8>>) -> Result<(), StoreError> {
        let bytes = entry.value.len() as u64 + OVERHEAD;
        if bytes > self.max_bytes {
            return Err(StoreError::TooLarge {
                bytes,
                bound: self.max_bytes,
            });
        }
        Ok(())
    }

    pub(super) fn stats(&self) -> StoreStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            entries: read(&self.entries),
            bytes: read(&self.bytes),
            evicted: read(&self.evicted),
            expired: read(&self.expired),
            lost: read(&self.lost),
        }
    }
}

impl Tables<'_> {
    fn put(&mut self, key: &Digest, entry: &Entry<Vec<u8>>) -> Result<(), StorageError> {
        self.remove(key)?;
        let turn = self.books.turn;
        self.books.turn += 1;
        let record = record::write(key, entry, turn);
        let bytes = key.as_bytes();
        self.entries.insert(bytes, &*record)?;
        self.expiry
            .insert((entry.keep_until.as_millis(), bytes), ())?;
        self.order.insert(turn, bytes)?;
        self.books.entries += 1;
        self.books.bytes += entry.value.len() as u64 + OVERHEAD;
        Ok(())
    }

    fn remove(&mut self, key: &Digest) -> Result<bool, StorageError> {
        let bytes = key.as_bytes();
        let Some(head) = self
            .entries
            .remove(bytes)?
            .map(|record| record::head(record.value()))
        else {
            return Ok(false);
        };
        let Ok(Head {
            turn,
            keep_until,
            bytes: weight,
        }) = head
        else {
            // Too short to say where it stands in the indexes: those places are found to be empty later.
            self.books.entries = self.books.entries.saturating_sub(1);
            return Ok(true);
        };
        self.expiry.remove((keep_until.as_millis(), bytes))?;
        self.order.remove(turn)?;
        self.books.entries = self.books.entries.saturating_sub(1);
        self.books.bytes = self.books.bytes.saturating_sub(weight);
        Ok(true)
    }

    /// Some of those whose time was over at `now` go.
    fn sweep(&mut self, now: Stamp) -> Result<(), StorageError> {
        let mut over = Vec::new();
        for place in self.expiry.iter()?.take(SWEEP) {
            let (place, ()) = place.map(|(place, _)| (place, ()))?;
            let (until, key) = place.value();
            if until > now.as_millis() {
                break;
            }
            over.push((until, *key));
        }
        for (until, key) in over {
            self.expiry.remove((until, &key))?;
            if self.remove(&Digest::from_bytes(key))? {
                self.books.expired += 1;
            }
        }
        Ok(())
    }

    /// Those that were stored first go until the others fit.
    fn evict(&mut self, max_bytes: u64) -> Result<(), StorageError> {
        while self.books.bytes > max_bytes {
            let first = self.order.pop_first()?.map(|(_, key)| *key.value());
            let Some(key) = first else {
                self.books.bytes = 0;
                break;
            };
            if self.remove(&Digest::from_bytes(key))? {
                self.books.evicted += 1;
            }
        }
        Ok(())
    }
}

fn meta(database: &Database, name: &str) -> Result<Option<u64>, BoxError> {
    let table = match database.begin_read()?.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table?,
    };
    Ok(table.get(name)?.map(|value| value.value()))
}

fn prepare(database: &Database) -> Result<(), BoxError> {
    let mut write = database.begin_write()?;
    write.set_quick_repair(true);
    write.open_table(META)?.insert("format", FORMAT)?;
    write.open_table(ENTRIES)?;
    write.open_table(EXPIRY)?;
    write.open_table(ORDER)?;
    write.commit()?;
    Ok(())
}

fn failed(error: redb::Error) -> StoreError {
    match error {
        redb::Error::Corrupted(detail) => StoreError::Damaged(detail),
        other => StoreError::Failed(other.into()),
    }
}
