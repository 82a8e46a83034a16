//! What a batch client is set to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::lanes::Limits;

/// What becomes of rows whose batch expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnExpired {
    /// They fail with [`RowError::Expired`](super::RowError::Expired).
    Fail,
    /// They go into another batch, so many times at most; then they fail.
    Rebatch(u32),
    /// They are sent by themselves, at the full price, as far as the cap of spending goes; then they fail.
    SendNow,
}

/// What becomes of open batches when a client is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnClose {
    /// What was collected is sent, and every row is waited for.
    Drain,
    /// What was collected is dropped, batches are cancelled, and what they had done is given out.
    Cancel,
    /// What was collected is dropped, batches go on at the API, and nobody waits for them.
    Keep,
}

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) limits: Limits,
    pub(super) window: Duration,
    pub(super) poll: Duration,
    pub(super) max_poll: Duration,
    pub(super) completion_window: Arc<str>,
    pub(super) metadata: Arc<BTreeMap<String, String>>,
    pub(super) grace: Duration,
    pub(super) on_expired: OnExpired,
    pub(super) escalate_before: Option<Duration>,
    pub(super) spend_cap: u64,
    pub(super) delete_files: bool,
    pub(super) max_pending: usize,
    pub(super) max_pending_bytes: u64,
    pub(super) keep_answered: Duration,
    pub(super) on_close: OnClose,
    pub(super) close_limit: Duration,
}

/// A row's key in the metadata of its batch.
pub(super) const METADATA_KEY: &str = "hedgerow_batch";
/// How many submissions of one endpoint and model are under way at most.
pub(super) const SUBMISSIONS: usize = 4;
/// How many rows are sent by themselves at a time, of one batch.
pub(super) const SENT_AT_ONCE: usize = 16;
/// How often a file of answers is asked for at least before it is given up.
pub(super) const DOWNLOADS: u32 = 10;
/// A batch whose window says nothing is waited for as long.
pub(super) const UNKNOWN_WINDOW: Duration = Duration::from_secs(86_400);

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits {
                rows: 1_000,
                bytes: 200_000_000,
                inputs: 50_000,
            },
            window: Duration::from_secs(10),
            poll: Duration::from_secs(5),
            max_poll: Duration::from_secs(60),
            completion_window: "1h".into(),
            metadata: Arc::default(),
            grace: Duration::from_secs(900),
            on_expired: OnExpired::Rebatch(1),
            escalate_before: None,
            spend_cap: 1_000,
            delete_files: false,
            max_pending: 50_000,
            max_pending_bytes: 1 << 30,
            keep_answered: Duration::from_secs(60),
            on_close: OnClose::Keep,
            close_limit: Duration::from_secs(10),
        }
    }
}
