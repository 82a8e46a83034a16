//! Setting a client up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow::BoxError;
use hedgerow_core::Recorder;
use http::{Request, Response};
use http_body::Body;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::api::BatchApi;
use super::body::RequestBody;
use super::client::BatchClient;
use super::engine::{Engine, Flight, drive};
use super::error::BatchConfigError;
use super::event::{LifecycleEvent, Listeners};
use super::keeper::{Found, Keeper};
use super::options::{OnClose, OnExpired, Options};
use crate::client::{OpenAiBuilder, Said, environment, setters};
use crate::error::Provider;

/// How long nothing may come from the API, unless it is said otherwise.
const SILENCE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// What a [`BatchClient`] is to be.
#[derive(Clone, Default)]
#[must_use = "nothing is built until `build`"]
pub struct BatchClientBuilder {
    said: Said,
    options: Options,
    silence: Option<Duration>,
    listeners: Listeners,
    #[cfg(feature = "journal")]
    journal: Option<super::journal::JournalBuilder>,
}

impl BatchClientBuilder {
    setters!(
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "https://api.openai.com/v1"
    );

    /// Sets how many rows a batch has at most, 1 to 50,000. Defaults to 1,000.
    pub const fn batch_size(mut self, rows: usize) -> Self {
        self.options.limits.rows = rows;
        self
    }

    /// Sets how many bytes a batch's file has at most, 1 to 200,000,000. Defaults to 200,000,000.
    pub const fn batch_bytes(mut self, bytes: u64) -> Self {
        self.options.limits.bytes = bytes;
        self
    }

    /// Sets how many texts a batch embeds at most, 1 to 50,000. Defaults to 50,000.
    pub const fn batch_inputs(mut self, inputs: u64) -> Self {
        self.options.limits.inputs = inputs;
        self
    }

    /// Sets how long rows are collected, from the first one on. Defaults to 10 s.
    pub const fn batch_window(mut self, window: Duration) -> Self {
        self.options.window = window;
        self
    }

    /// Sets how often a batch is asked for at most. Defaults to 5 s.
    ///
    /// The older a batch is, the less often it is asked for: after a tenth of its age, up to
    /// [`max_poll_interval`](Self::max_poll_interval); as often as this again when its end is near. All waits
    /// are jittered by a fifth. The API's `Retry-After` is kept.
    pub const fn poll_interval(mut self, interval: Duration) -> Self {
        self.options.poll = interval;
        self
    }

    /// Sets how rarely a batch is asked for at least. Defaults to 60 s.
    pub const fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.options.max_poll = interval;
        self
    }

    /// Sets within what time a batch is to be done, as the API wants it said. Defaults to `1h`.
    pub fn completion_window(mut self, window: impl Into<String>) -> Self {
        self.options.completion_window = window.into().into();
        self
    }

    /// Adds an entry to the metadata of each batch; the key `hedgerow_batch` is taken. Defaults to none.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.options.metadata).insert(key.into(), value.into());
        self
    }

    /// Sets how long a batch is waited for when its window is over. Defaults to 15 min.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.options.grace = grace;
        self
    }

    /// Sets what becomes of rows whose batch expired. Defaults to another batch, once.
    pub const fn on_expired(mut self, policy: OnExpired) -> Self {
        self.options.on_expired = policy;
        self
    }

    /// Sends what is still open by itself, at the full price, this long before the window ends: once a
    /// batch, and as far as [`spend_cap`](Self::spend_cap) goes. Defaults to never.
    pub const fn escalate_before(mut self, before: Duration) -> Self {
        self.options.escalate_before = Some(before);
        self
    }

    /// Sets how many rows are sent by themselves at most, in the life of the client. Defaults to 1,000.
    pub const fn spend_cap(mut self, rows: u64) -> Self {
        self.options.spend_cap = rows;
        self
    }

    /// Deletes a batch's files once it has completed and its answers are given out. Defaults to leaving them.
    pub const fn delete_files(mut self) -> Self {
        self.options.delete_files = true;
        self
    }

    /// Sets how many rows may be open, 1 to 10,000,000; the client is not ready beyond. Defaults to
    /// 50,000, as many as one batch takes; a million rows then pass in less than 256 MB, callers included.
    pub const fn max_pending(mut self, rows: usize) -> Self {
        self.options.max_pending = rows;
        self
    }

    /// Sets how many bytes of rows may be open; a call beyond fails. Defaults to 1 GiB.
    pub const fn max_pending_bytes(mut self, bytes: u64) -> Self {
        self.options.max_pending_bytes = bytes;
        self
    }

    /// Sets how long nothing may come from the API before a request is given up and tried again, 1 ms at
    /// least. Defaults to 60 s; an upload may take longer by its size.
    pub const fn silence(mut self, time: Duration) -> Self {
        self.silence = Some(time);
        self
    }

    /// Sets how long an answer that was given out stays in the journal: for a caller that is killed with it
    /// in hand, and asks again. Defaults to 60 s.
    pub const fn keep_answered(mut self, time: Duration) -> Self {
        self.options.keep_answered = time;
        self
    }

    /// Sets what `close` does, and within what time. Defaults to keeping, within 10 s.
    pub const fn on_close(mut self, how: OnClose, limit: Duration) -> Self {
        self.options.on_close = how;
        self.options.close_limit = limit;
        self
    }

    /// Tells every event to `recorder`, besides those that were named before:
    /// [`JsonLines`](super::JsonLines), for example.
    pub fn recorder<T>(mut self, recorder: T) -> Self
    where
        T: Recorder<LifecycleEvent> + Send + Sync + 'static,
    {
        self.listeners.add(Arc::new(recorder));
        self
    }

    /// Keeps what is open in a journal, so that it is found again after a restart. Defaults to none.
    #[cfg(feature = "journal")]
    pub fn journal(mut self, journal: super::journal::JournalBuilder) -> Self {
        self.journal = Some(journal);
        self
    }

    /// The client, over a service that sends HTTP requests.
    ///
    /// # Panics
    ///
    /// If a setting or the environment is of no use, or the journal cannot be opened:
    /// [`try_build`](Self::try_build) returns the reason.
    #[track_caller]
    #[must_use]
    pub fn build<S, R>(self, service: S) -> BatchClient
    where
        S: Service<Request<RequestBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        R: Body + Send + 'static,
        R::Error: Into<BoxError>,
    {
        match self.try_build(service) {
            Ok(client) => client,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`build`](Self::build), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// If a setting or the environment is of no use, the journal cannot be opened, or there is no runtime.
    pub fn try_build<S, R>(self, service: S) -> Result<BatchClient, BatchConfigError>
    where
        S: Service<Request<RequestBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        R: Body + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.check()?;
        let runtime =
            tokio::runtime::Handle::try_current().map_err(|_| BatchConfigError::NoRuntime)?;
        let settings = self.said.settle(Provider::OpenAi, environment)?;
        let mut typed = OpenAiBuilder::default()
            .no_api_key()
            .max_body_bytes(settings.max_body_bytes)
            .base_url(format!("http://batch{}", settings.base.path()));
        if settings.base.path().is_empty() {
            typed = typed.base_url("http://batch/v1");
        }
        let (keeper, found, name, first) = self.keeper(&format!("{:?}", settings.base))?;
        let api = BatchApi::new(service, settings, self.silence.unwrap_or(SILENCE));
        let (engine, flown) = Engine::new(api, keeper, self.options, self.listeners, name, first);
        for id in found.ready {
            engine.book.restore(id, true);
        }
        for (record, rows) in found.batches {
            for (id, _) in &rows {
                engine.book.restore(*id, false);
            }
            engine.fly(Flight::resumed(record, rows));
        }
        let engine = Arc::new(engine);
        let abandoned = CancellationToken::new();
        drop(runtime.spawn(drive(engine.clone(), flown, abandoned.clone())));
        let typed = |rows| typed.try_build(rows);
        BatchClient::new(engine, abandoned, typed).map_err(Into::into)
    }

    #[cfg(feature = "journal")]
    fn keeper(&self, upstream: &str) -> Result<(Keeper, Found, String, u64), BatchConfigError> {
        match &self.journal {
            Some(journal) => {
                let (journal, found, name, first) = journal.open(upstream)?;
                Ok((Keeper::Journal(Arc::new(journal)), found, name, first))
            }
            None => Ok((Keeper::Nothing, Found::default(), random_name(), 0)),
        }
    }

    #[cfg(not(feature = "journal"))]
    fn keeper(&self, _: &str) -> Result<(Keeper, Found, String, u64), BatchConfigError> {
        Ok((Keeper::Nothing, Found::default(), random_name(), 0))
    }

    fn check(&self) -> Result<(), BatchConfigError> {
        let options = &self.options;
        let limits = options.limits;
        range("batch_size", limits.rows as u64, 1, 50_000, "1 to 50000")?;
        range(
            "batch_bytes",
            limits.bytes,
            1,
            200_000_000,
            "1 to 200000000",
        )?;
        range("batch_inputs", limits.inputs, 1, 50_000, "1 to 50000")?;
        let pending = options.max_pending as u64;
        range("max_pending", pending, 1, 10_000_000, "1 to 10000000")?;
        range(
            "max_pending_bytes",
            options.max_pending_bytes,
            1,
            u64::MAX,
            "1 or more",
        )?;
        let least = Duration::from_millis(1);
        for (name, time, least) in [
            ("batch_window", options.window, Duration::ZERO),
            ("poll_interval", options.poll, least),
            ("max_poll_interval", options.max_poll, least),
            ("grace", options.grace, Duration::ZERO),
            ("silence", self.silence.unwrap_or(SILENCE), least),
            ("keep_answered", options.keep_answered, Duration::ZERO),
            ("on_close", options.close_limit, least),
        ] {
            if time < least || time > YEAR {
                return Err(BatchConfigError::Range {
                    name,
                    value: format!("{time:?}"),
                    range: if least.is_zero() {
                        "a time up to a year"
                    } else {
                        "1 ms to a year"
                    },
                });
            }
        }
        check_metadata(&options.metadata)
    }
}

fn range(
    name: &'static str,
    value: u64,
    least: u64,
    most: u64,
    range: &'static str,
) -> Result<(), BatchConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(BatchConfigError::Range {
        name,
        value: value.to_string(),
        range,
    })
}

/// The API takes 16 entries, keys of 64 and values of 512 characters; one of them is ours.
fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), BatchConfigError> {
    let fits = |(key, value): (&String, &String)| {
        let key_fits = (1..=64).contains(&key.chars().count());
        key_fits && value.chars().count() <= 512 && key != super::options::METADATA_KEY
    };
    if metadata.len() <= 15 && metadata.iter().all(fits) {
        return Ok(());
    }
    Err(BatchConfigError::Range {
        name: "metadata",
        value: format!("{metadata:?}"),
        range: "15 entries at most, keys of 1 to 64 and values of up to 512 characters, and not the key `hedgerow_batch`",
    })
}

fn random_name() -> String {
    format!("{:016x}", rand::random::<u64>())
}

// === impl Debug ===

impl fmt::Debug for BatchClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchClientBuilder")
            .field("said", &self.said)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
