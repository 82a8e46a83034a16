//! What reached an API.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::time::Duration;

use super::fault::On;

/// How many requests the log keeps.
const LOG: usize = 10_000;
/// How many custom ids are kept that came more than once.
const REPEATED: usize = 1_000;

/// What reached a [`MockBatchApi`](super::MockBatchApi): requests that were answered, refused or
/// left hanging, and what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiCounts {
    /// Requests to upload a file.
    pub uploads: u64,
    /// Files that were kept.
    pub files: u64,
    /// Bytes of those files.
    pub file_bytes: u64,
    /// Requests to make a batch.
    pub creates: u64,
    /// Batches that were made of a sound file.
    pub batches: u64,
    /// Rows of those batches: what is paid for.
    pub rows: u64,
    /// Rows of those batches whose custom id had stood in an accepted batch before.
    pub rows_again: u64,
    /// Requests for the status of a batch.
    pub polls: u64,
    /// Requests for the list of batches.
    pub lists: u64,
    /// Requests for the content of a file.
    pub downloads: u64,
    /// Requests to cancel a batch.
    pub cancels: u64,
    /// Requests to delete a file.
    pub deletes: u64,
    /// Calls of synchronous endpoints.
    pub direct: u64,
}

/// A request that reached a [`MockBatchApi`](super::MockBatchApi).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// What it asked for.
    pub on: On,
    /// Of which file, batch, model or path; empty where there is none.
    pub id: String,
    /// The status it was answered with; 0 if it got none.
    pub status: u16,
    /// When, since the API was made.
    pub at: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    counts: ApiCounts,
    log: VecDeque<Seen>,
    /// By the hash of a custom id: 64 bits of a keyed hash, so that two of a million ids are taken
    /// for one in one run of 40 million.
    accepted: HashMap<u64, u32>,
    hasher: RandomState,
    repeated: Vec<String>,
}

impl Books {
    pub(super) fn saw(&mut self, seen: Seen) {
        let counts = &mut self.counts;
        let count = match seen.on {
            On::Upload => Some(&mut counts.uploads),
            On::Create => Some(&mut counts.creates),
            On::Poll => Some(&mut counts.polls),
            On::List => Some(&mut counts.lists),
            On::Download => Some(&mut counts.downloads),
            On::Cancel => Some(&mut counts.cancels),
            On::Delete => Some(&mut counts.deletes),
            On::Direct => Some(&mut counts.direct),
            On::File | On::Models => None,
        };
        if let Some(count) = count {
            *count += 1;
        }
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(seen);
    }

    pub(super) fn file(&mut self, bytes: u64) {
        self.counts.files += 1;
        self.counts.file_bytes += bytes;
    }

    /// A batch that is accepted, with the custom ids of its rows.
    pub(super) fn batch(&mut self, ids: &HashSet<String>) {
        self.counts.batches += 1;
        self.counts.rows += ids.len() as u64;
        for id in ids {
            let times = self.accepted.entry(self.hasher.hash_one(id)).or_default();
            *times += 1;
            if *times > 1 {
                self.counts.rows_again += 1;
                if self.repeated.len() < REPEATED {
                    self.repeated.push(id.clone());
                }
            }
        }
    }

    pub(super) fn times(&self, custom_id: &str) -> u32 {
        let hash = self.hasher.hash_one(custom_id);
        self.accepted.get(&hash).copied().unwrap_or_default()
    }

    pub(super) fn counts(&self) -> ApiCounts {
        self.counts
    }

    pub(super) fn repeated(&self) -> Vec<String> {
        self.repeated.clone()
    }

    pub(super) fn log(&self) -> Vec<Seen> {
        self.log.iter().cloned().collect()
    }
}
