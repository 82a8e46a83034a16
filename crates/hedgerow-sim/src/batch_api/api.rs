//! The API as its owner holds it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::answer::{Answer, Row};
use super::batch::BatchView;
use super::books::{ApiCounts, Seen};
use super::fault::Fault;
use super::script::{NewBatch, Script};
use super::service::ApiService;
use super::settings::Settings;
use super::shared::Shared;
use crate::listen::Listener;
use crate::upstream::BindError;

/// A Batch API that answers on a real socket, and says what reached it.
///
/// # Examples
///
/// See the [module](super).
///
/// # Readiness, clones and drop
///
/// Dropping it closes the port, cuts every connection at once and deletes its files.
/// [`service`](Self::service) leads to the same API without a socket, and keeps the files.
pub struct MockBatchApi {
    shared: Arc<Shared>,
    listener: Option<Listener>,
}

impl MockBatchApi {
    /// The settings, to change some of them.
    pub fn settings() -> Settings {
        Settings::default()
    }

    /// Listens on `address` (port 0: any free port), echoes every row, and completes every batch
    /// at its first poll.
    ///
    /// # Errors
    ///
    /// [`BindError`] if it cannot listen there, or has nowhere to put its files.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Self::settings().bind(address).await
    }

    pub(super) async fn listening(
        settings: Settings,
        address: SocketAddr,
    ) -> Result<Self, BindError> {
        let shared = Shared::new(settings).map_err(|source| BindError::Io { address, source })?;
        let shared = Arc::new(shared);
        let service = ApiService::new(Arc::clone(&shared));
        let listener = Listener::bind(address, move |request| service.answer(request)).await?;
        Ok(Self {
            shared,
            listener: Some(listener),
        })
    }

    pub(super) fn unbound(settings: Settings) -> io::Result<Self> {
        Ok(Self {
            shared: Arc::new(Shared::new(settings)?),
            listener: None,
        })
    }

    /// Where it listens; none if it was made without a socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(Listener::address)
    }

    /// Its URL, without `/v1`. Without a socket it is one that leads nowhere else.
    #[must_use]
    pub fn url(&self) -> String {
        match self.address() {
            Some(address) => format!("http://{address}"),
            None => "http://mock.invalid".to_owned(),
        }
    }

    /// The API without a socket.
    #[must_use]
    pub fn service(&self) -> ApiService {
        ApiService::new(Arc::clone(&self.shared))
    }

    /// From now on rows are answered so.
    pub fn set_answer(&self, answer: impl Fn(&Row<'_>) -> Answer + Send + Sync + 'static) {
        *self.shared.answer.lock() = Arc::new(answer);
    }

    /// From now on new batches get on so.
    pub fn set_script(&self, script: impl Fn(&NewBatch) -> Script + Send + Sync + 'static) {
        *self.shared.script.lock() = Arc::new(script);
    }

    /// One more thing that happens to requests.
    pub fn fault(&self, fault: Fault) {
        self.shared.faults.lock().push(fault);
    }

    /// Nothing more happens to requests.
    pub fn clear_faults(&self) {
        self.shared.faults.lock().clear();
    }

    /// Lets every batch go on that stands still until it is released, and those that will come to
    /// such a stage later as well.
    pub fn release(&self) {
        for batch in self.shared.batches.all() {
            batch.release();
        }
    }

    /// What has reached it.
    #[must_use]
    pub fn counts(&self) -> ApiCounts {
        self.shared.books.lock().counts()
    }

    /// How often a row of this custom id stood in an accepted batch.
    #[must_use]
    pub fn times_accepted(&self, custom_id: &str) -> u32 {
        self.shared.books.lock().times(custom_id)
    }

    /// The custom ids that stood in more than one accepted batch; the first thousand of them.
    #[must_use]
    pub fn accepted_twice(&self) -> Vec<String> {
        self.shared.books.lock().repeated()
    }

    /// The last 10,000 requests, in the order in which they were answered or began to have effect.
    #[must_use]
    pub fn log(&self) -> Vec<Seen> {
        self.shared.books.lock().log()
    }

    /// The batches, in the order in which they were made, as they are now.
    pub async fn batches(&self) -> Vec<BatchView> {
        let mut views = Vec::new();
        for batch in self.shared.batches.all() {
            views.push(batch.view().await);
        }
        views
    }

    /// The ids of the files that are there, oldest first.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        self.shared.files.ids()
    }

    /// Stops accepting, lets running answers end, and gives the final counts.
    pub async fn close(mut self) -> ApiCounts {
        if let Some(listener) = self.listener.take() {
            listener.close().await;
        }
        self.counts()
    }
}

impl fmt::Debug for MockBatchApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockBatchApi")
            .field("address", &self.address())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
