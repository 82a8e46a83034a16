//! Files: on disk, and what is known of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::body::ApiBody;
use super::fault::{About, On};
use super::refuse::Refusal;
use super::route::with_faults;
use super::service::Answered;
use super::shared::Shared;

const INCOMPLETE: HeaderName = HeaderName::from_static("x-incomplete");
const LAST_LINE: HeaderName = HeaderName::from_static("x-last-line");

/// The files of an API, in a folder that goes with them.
#[derive(Debug)]
pub(super) struct Files {
    folder: TempDir,
    numbers: AtomicU64,
    known: Mutex<BTreeMap<String, Stored>>,
}

/// A file as it is now. What is known of one that grows is replaced.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) purpose: String,
    pub(super) created: u64,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    /// Whether it still grows.
    pub(super) grows: bool,
    pub(super) about: Arc<Subject>,
}

/// The model and the endpoint that a file is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    pub(super) model: Option<String>,
    pub(super) endpoint: Option<String>,
}

impl Subject {
    pub(super) fn about(&self) -> About<'_> {
        About {
            model: self.model.as_deref(),
            endpoint: self.endpoint.as_deref(),
        }
    }
}

impl Files {
    pub(super) fn new(folder: TempDir) -> Self {
        Self {
            folder,
            numbers: AtomicU64::new(0),
            known: Mutex::default(),
        }
    }

    pub(super) fn new_id(&self) -> String {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        format!("file-mock{number:012}")
    }

    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.folder.path().join(id)
    }

    pub(super) fn put(&self, stored: Stored) {
        self.known.lock().insert(stored.id.clone(), stored);
    }

    pub(super) fn get(&self, id: &str) -> Option<Stored> {
        self.known.lock().get(id).cloned()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.known.lock().keys().cloned().collect()
    }

    fn remove(&self, id: &str) -> io::Result<()> {
        self.known.lock().remove(id);
        fs::remove_file(self.path(id))
    }

    fn find(&self, id: &str) -> Result<Stored, Refusal> {
        self.get(id).ok_or_else(|| Refusal::no_file(id))
    }
}

impl Stored {
    pub(super) fn object(&self) -> Value {
        json!({
            "id": self.id, "object": "file", "bytes": self.bytes, "created_at": self.created,
            "expires_at": null, "filename": self.name, "purpose": self.purpose,
            "status": "processed", "status_details": null,
        })
    }
}

/// What a file's requests are about; nothing of one that is not there.
fn subject(shared: &Shared, id: &str) -> Arc<Subject> {
    let stored = shared.files.get(id);
    stored.map(|stored| stored.about).unwrap_or_default()
}

pub(super) async fn retrieve(shared: &Shared, id: &str) -> Answered {
    let subject = subject(shared, id);
    with_faults(shared, On::File, id, subject.about(), async {
        Ok(ApiBody::json(&shared.files.find(id)?.object()))
    })
    .await
}

pub(super) async fn list(shared: &Shared, query: &str) -> Answered {
    with_faults(shared, On::File, "", About::default(), async {
        let page = Page::read(query, 10_000, 10_000)?;
        let purpose = parameter(query, "purpose");
        let known = shared.files.known.lock();
        let fits = |stored: &&Stored| purpose.is_none_or(|purpose| stored.purpose == purpose);
        let newest = known.values().rev().filter(fits);
        let all = newest.map(|stored| (stored.id.clone(), stored.object()));
        Ok(ApiBody::json(&page.list(all)))
    })
    .await
}

pub(super) async fn delete(shared: &Shared, id: &str) -> Answered {
    let subject = subject(shared, id);
    with_faults(shared, On::Delete, id, subject.about(), async {
        shared.files.find(id)?;
        let removed = shared.files.remove(id);
        removed.map_err(|error| Refusal::broken(&error))?;
        let gone = json!({"id": id, "object": "file", "deleted": true});
        Ok(ApiBody::json(&gone))
    })
    .await
}

/// The lines of a file, from the one that is asked for on.
pub(super) async fn content(shared: &Shared, id: &str, query: &str) -> Answered {
    let subject = subject(shared, id);
    with_faults(shared, On::Download, id, subject.about(), async {
        let stored = shared.files.find(id)?;
        let offset = parameter(query, "offset").filter(|_| !shared.limits.strict);
        let offset = match offset {
            None => 0,
            Some(text) => text.parse::<u64>().map_err(|_| {
                Refusal::invalid("offset", format!("Invalid value for 'offset': '{text}'."))
            })?,
        };
        let opened = File::open(shared.files.path(id)).and_then(|file| skip(file, offset, &stored));
        let (file, bytes) = opened.map_err(|error| Refusal::broken(&error))?;
        let mut answer = http::Response::new(ApiBody::file(file, bytes));
        let headers = answer.headers_mut();
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        if !shared.limits.strict {
            let grows = if stored.grows { "true" } else { "false" };
            headers.insert(INCOMPLETE, HeaderValue::from_static(grows));
            headers.insert(LAST_LINE, HeaderValue::from(stored.lines));
        }
        Ok(answer)
    })
    .await
}

/// `file` behind its first `lines` lines, and how many bytes are left of it.
fn skip(file: File, lines: u64, stored: &Stored) -> io::Result<(File, u64)> {
    let mut reader = BufReader::new(file);
    let (mut skipped, mut line) = (0, Vec::new());
    for _ in 0..lines.min(stored.lines) {
        line.clear();
        skipped += reader.read_until(b'\n', &mut line)? as u64;
    }
    let mut file = reader.into_inner();
    file.seek(SeekFrom::Start(skipped))?;
    Ok((file, stored.bytes.saturating_sub(skipped)))
}

/// A parameter of a query; ids and numbers need no decoding.
pub(super) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(key, _)| *key == name);
    named.next().map(|(_, value)| value)
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page<'a> {
    after: Option<&'a str>,
    limit: usize,
}

impl<'a> Page<'a> {
    pub(super) fn read(query: &'a str, default: usize, most: usize) -> Result<Self, Refusal> {
        let limit = match parameter(query, "limit") {
            None => default,
            Some(text) => match text.parse() {
                Ok(limit) if (1..=most).contains(&limit) => limit,
                _ => {
                    let text = format!("Invalid 'limit': '{text}' is not from 1 to {most}.");
                    return Err(Refusal::invalid("limit", text));
                }
            },
        };
        let after = parameter(query, "after");
        Ok(Self { after, limit })
    }

    /// The part of `all` that is asked for.
    pub(super) fn list(&self, all: impl Iterator<Item = (String, Value)>) -> Value {
        let mut all = all.peekable();
        if let Some(after) = self.after {
            while all.next().is_some_and(|(id, _)| id != after) {}
        }
        let (mut ids, mut data) = (Vec::new(), Vec::new());
        for (id, object) in all.by_ref().take(self.limit) {
            ids.push(id);
            data.push(object);
        }
        json!({
            "object": "list", "data": data, "first_id": ids.first(), "last_id": ids.last(),
            "has_more": all.peek().is_some(),
        })
    }
}
