//! Where answers are kept, as it is configured.

use std::path::PathBuf;
use std::sync::Arc;

use hedgerow_cache::{
    ByteStore, Digest, DiskError, DiskStore, Encoded, Entry, Got, HttpAnswer, HttpCodec,
    MemoryStore, Stamp, Store, StoreError, StoreStats, Tiered,
};
use hedgerow_core::Answer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::describe::Describe;
use super::error::Mistakes;

/// Where answers are kept: in memory, in a file, or in memory over a file.
///
/// In memory unless there is a `path`; with one, memory stands in front of the file if `entries` or `bytes` is
/// written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "Where answers are kept: in memory, in a file, or in memory over a file.")]
#[non_exhaustive]
pub struct StoreConfig {
    /// How many answers are kept in memory, instead of `bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, bytes are bounded"))]
    pub entries: Option<u64>,
    /// How many bytes answers may take in memory, 1024 or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "67108864; none if there is a path"))]
    pub bytes: Option<u64>,
    /// A file in which answers survive the process. It belongs to one process, and is opened when the stack is
    /// built.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, answers are kept in memory"))]
    pub path: Option<PathBuf>,
    /// How many bytes may be stored in the file, 65536 or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = super::default::DISK_BYTES))]
    pub disk_bytes: Option<u64>,
    /// Puts a file that is damaged aside, and begins an empty one.
    pub start_afresh_if_damaged: bool,
}

/// A store of a configured cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConfiguredStore {
    /// In memory.
    Memory(Memory),
    /// In a file.
    Disk(Disk),
    /// In memory over a file.
    Tiered(Tiered<Memory, Disk>),
}

type Memory = MemoryStore<Digest, Arc<HttpAnswer>>;
type Disk = Encoded<DiskStore, HttpCodec, Digest>;

impl StoreConfig {
    /// In memory, up to so many bytes.
    #[must_use]
    pub fn memory(bytes: u64) -> Self {
        Self {
            bytes: Some(bytes),
            ..Self::default()
        }
    }

    /// In a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            path: Some(path.into()),
            ..Self::default()
        }
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The store. Unless it `opens`, no file is touched, and what comes is a store of that kind in name alone.
    pub(crate) fn assemble(&self, opens: bool, mistakes: &mut Mistakes) -> Option<ConfiguredStore> {
        let memory = self.in_memory(mistakes);
        let Some(path) = &self.path else {
            for (key, value) in [
                ("disk_bytes", self.disk_bytes.map(Into::into)),
                (
                    "start_afresh_if_damaged",
                    self.start_afresh_if_damaged.then_some(true.into()),
                ),
            ] {
                let value: Option<serde_json::Value> = value;
                if let Some(value) = value {
                    let problem = "there is no file: write its `path` too, or leave this out";
                    mistakes.refuse(key, value, problem);
                }
            }
            return memory.map(ConfiguredStore::Memory);
        };
        if path.as_os_str().is_empty() {
            mistakes.refuse("path", path, "write the name of a file, or leave it out");
            return None;
        }
        let builder = DiskStore::builder(path);
        let builder = match self.disk_bytes {
            None => builder,
            Some(bytes) => {
                let builder = builder.max_bytes(bytes);
                mistakes.attempt("disk_bytes", bytes, builder.check())?;
                builder
            }
        };
        let builder = if self.start_afresh_if_damaged {
            builder.start_afresh_if_damaged()
        } else {
            builder
        };
        let memory = memory?;
        if !opens {
            return Some(ConfiguredStore::Memory(memory));
        }
        let opened = builder.open().map_err(|error| told(&error));
        let disk = mistakes.attempt("path", path, opened)?.by(HttpCodec);
        Some(if self.entries.is_some() || self.bytes.is_some() {
            ConfiguredStore::Tiered(Tiered::new(memory, disk))
        } else {
            ConfiguredStore::Disk(disk)
        })
    }

    fn in_memory(&self, mistakes: &mut Mistakes) -> Option<Memory> {
        if let (Some(entries), Some(_)) = (self.entries, self.bytes) {
            let problem = "memory is bounded by `bytes` already: leave one of them out";
            mistakes.refuse("entries", entries, problem);
            return None;
        }
        if let Some(entries) = self.entries {
            return mistakes.attempt("entries", entries, MemoryStore::try_entries(entries));
        }
        let bytes = self.bytes.unwrap_or(super::default::MEMORY_BYTES);
        let weigh = |_: &Digest, answer: &Arc<HttpAnswer>| answer.weight();
        mistakes.attempt("bytes", bytes, MemoryStore::try_bytes(bytes, weigh))
    }

    /// As it would be written.
    pub(crate) fn told(&self) -> String {
        super::told(self)
    }
}

/// With what lies beneath.
fn told(error: &DiskError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Store for ConfiguredStore {
    type Key = Digest;
    type Value = Arc<HttpAnswer>;

    fn get(&self, key: &Digest, now: Stamp) -> Answer<Got<Self::Value>> {
        match self {
            Self::Memory(store) => store.get(key, now),
            Self::Disk(store) => store.get(key, now),
            Self::Tiered(store) => store.get(key, now),
        }
    }

    fn put(&self, key: Digest, entry: Entry<Self::Value>) -> Answer<Result<(), StoreError>> {
        match self {
            Self::Memory(store) => store.put(key, entry),
            Self::Disk(store) => store.put(key, entry),
            Self::Tiered(store) => store.put(key, entry),
        }
    }

    fn offer(&self, key: Digest, entry: Entry<Self::Value>) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.offer(key, entry),
            Self::Disk(store) => store.offer(key, entry),
            Self::Tiered(store) => store.offer(key, entry),
        }
    }

    fn remove(&self, key: &Digest) -> Answer<Result<(), StoreError>> {
        match self {
            Self::Memory(store) => store.remove(key),
            Self::Disk(store) => store.remove(key),
            Self::Tiered(store) => store.remove(key),
        }
    }

    fn stats(&self) -> StoreStats {
        match self {
            Self::Memory(store) => store.stats(),
            Self::Disk(store) => store.stats(),
            Self::Tiered(store) => store.stats(),
        }
    }
}

impl Describe for StoreConfig {
    const NAME: &'static str = "store";
}
