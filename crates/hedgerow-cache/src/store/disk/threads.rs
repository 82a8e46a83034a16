//! The threads of a file: one writes, two read.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::file::{Change, File, Opened};
use crate::clock::Stamp;
use crate::key::Digest;
use crate::store::{Entry, Got, StoreError, StoreStats};

const READERS: usize = 2;
const MAX_ASKED: usize = 16_384;
/// What one commit takes along at most.
const GROUP: usize = 1_024;
const GROUP_BYTES: usize = 16 << 20;

type Tell = oneshot::Sender<Result<(), StoreError>>;

/// What the writer is to do.
pub(super) enum Deed {
    Put(Digest, Arc<Entry<Vec<u8>>>, Option<Tell>),
    Remove(Digest, Tell),
    Flush(Tell),
    Compact(Tell),
}

/// The newest entry of each key that waits to be written, or is being written: there for whoever looks.
type Waiting = Mutex<HashMap<Digest, Arc<Entry<Vec<u8>>>>>;

/// What a reader is to look for.
pub(super) struct Ask {
    pub(super) key: Digest,
    pub(super) now: Stamp,
    pub(super) tell: oneshot::Sender<Got<Vec<u8>>>,
}

/// What the handles of a file share. Dropped, it waits until the queue is written.
pub(super) struct Shared {
    file: Arc<File>,
    waiting: Arc<Waiting>,
    /// Present until it is dropped.
    writes: Option<mpsc::Sender<Deed>>,
    asks: Option<SyncSender<Ask>>,
    threads: Vec<JoinHandle<()>>,
}

impl Shared {
    pub(super) fn start(opened: Opened, max_waiting: usize) -> io::Result<Self> {
        let file = Arc::new(opened);
        let (writes, mut deeds) = mpsc::channel(max_waiting);
        let (asks, asked) = sync_channel(MAX_ASKED);
        let mut shared = Self {
            file: file.clone(),
            waiting: Arc::default(),
            writes: Some(writes),
            asks: Some(asks),
            threads: Vec::new(),
        };
        let (writer, waiting) = (file.clone(), shared.waiting.clone());
        shared.spawn("hedgerow-write", move || {
            write(&writer, &waiting, &mut deeds);
        })?;
        let asked = Arc::new(Mutex::new(asked));
        for _ in 0..READERS {
            let (file, asked) = (file.clone(), asked.clone());
            shared.spawn("hedgerow-read", move || read(&file, &asked))?;
        }
        Ok(shared)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = Builder::new().name(name.to_owned()).spawn(work)?;
        self.threads.push(thread);
        Ok(())
    }

    pub(super) fn writes(&self) -> &mpsc::Sender<Deed> {
        self.writes.as_ref().expect("it is there until the drop")
    }

    /// The entry of a key that waits to be written.
    pub(super) fn waiting(&self, key: &Digest) -> Option<Arc<Entry<Vec<u8>>>> {
        self.waiting.lock().get(key).cloned()
    }

    /// Hands a deed to the writer, in its place in the queue. An entry is seen from now on.
    pub(super) fn hand(&self, place: mpsc::Permit<'_, Deed>, deed: Deed) {
        if let Deed::Put(key, entry, _) = &deed
            && self.file.admits(entry).is_ok()
        {
            let mut waiting = self.waiting.lock();
            waiting.insert(*key, entry.clone());
            // Locked, so that the last one that is seen is the last one that is written.
            place.send(deed);
        } else {
            place.send(deed);
        }
    }

    pub(super) fn ask(&self, ask: Ask) -> Result<(), StoreError> {
        let asks = self.asks.as_ref().expect("it is there until the drop");
        asks.try_send(ask).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Full { waiting: MAX_ASKED },
            TrySendError::Disconnected(_) => StoreError::Closed,
        })
    }

    /// Counts a write that there was no room for.
    pub(super) fn lost(&self) -> StoreError {
        self.file.lost.fetch_add(1, Ordering::Relaxed);
        StoreError::Full {
            waiting: self.writes().max_capacity(),
        }
    }

    pub(super) fn stats(&self) -> StoreStats {
        self.file.stats()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.writes = None;
        self.asks = None;
        for thread in self.threads.drain(..) {
            // What panics in it is caught in it.
            let _ = thread.join();
        }
    }
}

fn read(file: &File, asked: &Mutex<Receiver<Ask>>) {
    loop {
        let next = asked.lock().recv();
        let Ok(Ask { key, now, tell }) = next else {
            return;
        };
        // Whoever asked may be gone.
        if !tell.is_closed() {
            let _ = tell.send(guarded(|| file.get(&key, now)));
        }
    }
}

fn write(file: &File, waiting: &Waiting, deeds: &mut mpsc::Receiver<Deed>) {
    let mut group = Vec::new();
    while let Some(first) = deeds.blocking_recv() {
        let mut bytes = 0;
        let mut next = Some(first);
        let mut compact = None;
        while let Some(deed) = next {
            match deed {
                Deed::Compact(tell) => {
                    compact = Some(tell);
                    break;
                }
                Deed::Put(_, entry, tell) if file.admits(&entry).is_err() => {
                    let refused = file.admits(&entry);
                    tell.map(|tell| tell.send(refused));
                }
                deed => {
                    if let Deed::Put(_, entry, _) = &deed {
                        bytes += entry.value.len();
                    }
                    group.push(deed);
                }
            }
            if group.len() >= GROUP || bytes >= GROUP_BYTES {
                break;
            }
            next = deeds.try_recv().ok();
        }
        commit(file, waiting, &mut group);
        if let Some(tell) = compact {
            let _ = tell.send(guarded(|| file.compact()));
        }
    }
}

/// Commits a group, and acknowledges it.
fn commit(file: &File, waiting: &Waiting, group: &mut Vec<Deed>) {
    let changes: Vec<Change<'_>> = group
        .iter()
        .filter_map(|deed| match deed {
            Deed::Put(key, entry, _) => Some(Change::Put(key, entry)),
            Deed::Remove(key, _) => Some(Change::Remove(key)),
            Deed::Flush(_) | Deed::Compact(_) => None,
        })
        .collect();
    let done = if changes.is_empty() {
        Ok(())
    } else {
        guarded(|| file.commit(&changes))
    };
    drop(changes);
    if let Err(error) = &done {
        tracing::warn!(target: "hedgerow::cache", %error, writes = group.len(), "a commit failed");
    }
    written(waiting, group);
    let failure = done.err().map(|error| error.to_string());
    for deed in group.drain(..) {
        let (Deed::Put(_, _, Some(tell))
        | Deed::Remove(_, tell)
        | Deed::Flush(tell)
        | Deed::Compact(tell)) = deed
        else {
            continue;
        };
        let _ = tell.send(match &failure {
            None => Ok(()),
            Some(text) => Err(StoreError::Failed(text.clone().into())),
        });
    }
}

/// What was written is found in the file, and what could not be written nowhere.
fn written(waiting: &Waiting, group: &[Deed]) {
    let mut waiting = waiting.lock();
    for deed in group {
        if let Deed::Put(key, entry, _) = deed
            && waiting
                .get(key)
                .is_some_and(|newest| Arc::ptr_eq(newest, entry))
        {
            waiting.remove(key);
        }
    }
}

/// What reads and writes the file takes damage for its own mistake, and panics.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(StoreError::Damaged(
            text.unwrap_or("it makes no sense").to_owned(),
        ))
    })
}
