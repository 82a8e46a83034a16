//! What a Batch API is made with.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, Row};
use super::api::MockBatchApi;
use super::fault::Fault;
use super::script::{NewBatch, Script};
use crate::upstream::BindError;

pub(super) type AnswerFn = Arc<dyn Fn(&Row<'_>) -> Answer + Send + Sync>;
pub(super) type ScriptFn = Arc<dyn Fn(&NewBatch) -> Script + Send + Sync>;

/// How a [`MockBatchApi`] behaves, until it is told otherwise.
#[derive(Clone)]
#[must_use = "settings do nothing until they are bound"]
pub struct Settings {
    pub(super) answer: AnswerFn,
    pub(super) script: ScriptFn,
    pub(super) faults: Vec<Fault>,
    pub(super) limits: Limits,
}

/// What is refused.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) rows: usize,
    pub(super) file_bytes: u64,
    pub(super) embedding_inputs: usize,
    pub(super) api_key: Option<String>,
    pub(super) strict: bool,
    pub(super) listed_after: Duration,
    pub(super) idempotent: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            answer: Arc::new(Answer::echo),
            script: Arc::new(|_batch| Script::instant()),
            faults: Vec::new(),
            limits: Limits {
                rows: 50_000,
                file_bytes: 200 * 1024 * 1024,
                embedding_inputs: 50_000,
                api_key: None,
                strict: false,
                listed_after: Duration::ZERO,
                idempotent: false,
            },
        }
    }
}

impl Settings {
    /// What each row is answered, and each call of a synchronous endpoint. Defaults to
    /// [`Answer::echo`].
    ///
    /// It runs when its batch gets so far, at the latest when the batch ends.
    pub fn answer(mut self, answer: impl Fn(&Row<'_>) -> Answer + Send + Sync + 'static) -> Self {
        self.answer = Arc::new(answer);
        self
    }

    /// How each batch gets on. Defaults to [`Script::instant`].
    pub fn script(mut self, script: impl Fn(&NewBatch) -> Script + Send + Sync + 'static) -> Self {
        self.script = Arc::new(script);
        self
    }

    /// Something that happens to requests.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// How many rows a batch may have. Defaults to 50,000, as OpenAI has it.
    pub fn max_rows(mut self, rows: usize) -> Self {
        self.limits.rows = rows;
        self
    }

    /// How many bytes a file for a batch may have. Defaults to 200 MiB, as OpenAI has it.
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.limits.file_bytes = bytes;
        self
    }

    /// How many texts a batch of embeddings may ask about. Defaults to 50,000, as OpenAI has it.
    pub fn max_embedding_inputs(mut self, inputs: usize) -> Self {
        self.limits.embedding_inputs = inputs;
        self
    }

    /// The only key that is let in. Defaults to none: everybody is.
    pub fn api_key(mut self, key: &str) -> Self {
        self.limits.api_key = Some(key.to_owned());
        self
    }

    /// Refuses what OpenAI refuses but compatible servers may not: another window than `24h`,
    /// other endpoints than OpenAI's. And it shows no file before its batch has ended, and knows
    /// nothing of `?offset=`. Defaults to false.
    pub fn strict(mut self, strict: bool) -> Self {
        self.limits.strict = strict;
        self
    }

    /// A batch stands in the list only so long after it was made. Defaults to at once.
    pub fn listed_after(mut self, time: Duration) -> Self {
        self.limits.listed_after = time;
        self
    }

    /// A second request to make a batch with the same `Idempotency-Key` is answered with the first
    /// one's batch. Defaults to false, as OpenAI promises nothing of the kind.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.limits.idempotent = idempotent;
        self
    }

    /// Listens on `address`; port 0 is any free port.
    ///
    /// # Errors
    ///
    /// [`BindError`] if it cannot listen there, or has nowhere to put its files.
    pub async fn bind(self, address: SocketAddr) -> Result<MockBatchApi, BindError> {
        MockBatchApi::listening(self, address).await
    }

    /// Listens nowhere: only [`MockBatchApi::service`] leads to it. Requests and answers then pass
    /// without a socket, so that it works on a paused clock.
    ///
    /// # Errors
    ///
    /// If there is nowhere to put its files.
    pub fn without_socket(self) -> io::Result<MockBatchApi> {
        MockBatchApi::unbound(self)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("faults", &self.faults)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
