//! What a layer and its services share.

use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::Budget;

use super::handle::Books;
use crate::background::Background;
use crate::clock::Clock;

/// What a layer and its services share.
pub struct CacheParts<St, P, H, Rec> {
    pub(super) store: Arc<St>,
    pub(super) key: Arc<P>,
    pub(super) keep: Arc<H>,
    pub(super) recorder: Arc<Rec>,
    pub(super) settings: Arc<CacheSettings>,
}

/// The handles and settings that a layer value shares with its services.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct CacheSettings {
    pub(super) ttl: Duration,
    pub(super) while_revalidating: Duration,
    pub(super) on_error: Duration,
    pub(super) negative: Option<Duration>,
    pub(super) clock: Clock,
    pub(super) books: Arc<Books>,
    pub(super) background: Background,
    /// What calls before anybody asks are paid from.
    pub(super) budget: Budget,
    pub(super) hasher: RandomState,
}

// === impl Clone and Debug: without bounds on the parts, which stand behind `Arc`s ===

impl<St, P, H, Rec> Clone for CacheParts<St, P, H, Rec> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            key: self.key.clone(),
            keep: self.keep.clone(),
            recorder: self.recorder.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<St: fmt::Debug, P, H, Rec> fmt::Debug for CacheParts<St, P, H, Rec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheParts")
            .field("store", &self.store)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
