//! A coalescer beneath a cache looks once more before it sends.

use std::fmt;
use std::sync::Arc;

use hedgerow_core::Answer;

use super::call::{Life, entry, lifetime_of};
use super::keep::KeepWhole;
use super::parts::CacheSettings;
use crate::lead::{Claim, Lead};
use crate::store::{Got, Store};

/// Answers a claim from a store, and stores what the leader brings before his flight has landed: what
/// [`CacheLayer::lead`](crate::CacheLayer::lead) makes.
///
/// A call that missed the store may come to the coalescer when the flight it should have joined has just
/// landed. What that one brought is in the store by then, and looking once more finds it: nobody pays twice.
/// That is exact for every store of this crate: what waits to be written is found as well. It holds for HTTP
/// answers as long as the coalescer still has the whole body when it ends
/// ([`behind`](crate::SharedBodies::behind)).
///
/// The coalescer judges: give it the same judge as the cache.
pub struct StoreLead<St, H> {
    pub(super) store: Arc<St>,
    pub(super) keep: Arc<H>,
    pub(super) settings: Arc<CacheSettings>,
}

impl<St, H> Lead<St::Key, St::Value> for StoreLead<St, H>
where
    St: Store,
    St::Key: Clone,
    St::Value: Clone + 'static,
    H: KeepWhole<St::Value>,
{
    fn claim(&self, key: &St::Key) -> Answer<Claim<St::Value>> {
        let now = self.settings.clock.now();
        let claim = move |got: Got<St::Value>| match got {
            Ok(Some(entry)) if entry.is_fresh(now) => Claim::Answered(entry.value),
            _ => Claim::Lead,
        };
        match self.store.get(key, now) {
            Answer::Now(got) => Answer::Now(claim(got)),
            Answer::Later(later) => Answer::Later(Box::pin(async move { claim(later.await) })),
        }
    }

    fn publish(&self, key: &St::Key, answer: &St::Value) {
        if let Some(fresh) = lifetime_of(&self.settings, self.keep.whole_lifetime(answer)) {
            let stale = self.keep.whole_may_be_stale(answer);
            let entry = entry(&self.settings, answer.clone(), Life { fresh, stale });
            // The cache stores it as well, and counts if that fails.
            let _ = self.store.offer(key.clone(), entry);
        }
    }
}

impl<St, H> Clone for StoreLead<St, H> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            keep: self.keep.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<St: fmt::Debug, H> fmt::Debug for StoreLead<St, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreLead").field(&self.store).finish()
    }
}
