//! What every request to an API shares.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{HeaderName, Response};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::time::Instant;

use super::answer::{Answer, Row};
use super::batches::Batches;
use super::body::ApiBody;
use super::books::{Books, Seen};
use super::fault::{self, About, Deed, Fault, On};
use super::files::Files;
use super::refuse::Refusal;
use super::settings::{AnswerFn, Limits, ScriptFn, Settings};

/// The seconds at which an API is made, of the time that its answers speak of.
pub(super) const DAY_ZERO: u64 = 1_700_000_000;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) struct Shared {
    pub(super) answer: Mutex<AnswerFn>,
    pub(super) script: Mutex<ScriptFn>,
    pub(super) faults: Mutex<Vec<Fault>>,
    pub(super) limits: Limits,
    pub(super) files: Files,
    pub(super) batches: Batches,
    pub(super) books: Mutex<Books>,
    started: Instant,
    numbers: AtomicU64,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> io::Result<Self> {
        Ok(Self {
            answer: Mutex::new(settings.answer),
            script: Mutex::new(settings.script),
            faults: Mutex::new(settings.faults),
            limits: settings.limits,
            files: Files::new(TempDir::with_prefix("mock-batch-api-")?),
            batches: Batches::default(),
            books: Mutex::default(),
            started: Instant::now(),
            numbers: AtomicU64::new(0),
        })
    }

    /// A number nobody has had.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Seconds, as answers have them.
    pub(super) fn now(&self) -> u64 {
        DAY_ZERO + self.started.elapsed().as_secs()
    }

    pub(super) fn answer_of(&self, row: &Row<'_>) -> Answer {
        let answer = self.answer.lock().clone();
        answer(row)
    }

    pub(super) fn due(&self, on: On, about: About<'_>) -> Option<Deed> {
        fault::due(&mut self.faults.lock(), on, about)
    }

    /// Books a request; status 0 stands for no answer.
    pub(super) fn saw(&self, on: On, id: &str, status: u16) {
        let seen = Seen {
            on,
            id: id.to_owned(),
            status,
            at: self.started.elapsed(),
        };
        self.books.lock().saw(seen);
    }

    /// Refuses whoever has another key than the one that is let in.
    pub(super) fn let_in(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(key) = &self.limits.api_key else {
            return Ok(());
        };
        let told = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        if told == Some(format!("Bearer {key}").as_bytes()) {
            return Ok(());
        }
        Err(Refusal::new(401, "Incorrect API key provided.").code("invalid_api_key"))
    }

    /// Gives an answer its request id.
    pub(super) fn sign(&self, mut answer: Response<ApiBody>) -> Response<ApiBody> {
        let id = format!("req_mock{}", self.number());
        if let Ok(id) = HeaderValue::from_str(&id) {
            answer.headers_mut().insert(REQUEST_ID, id);
        }
        answer
    }
}
