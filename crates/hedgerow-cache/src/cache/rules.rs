//! The layer's parts seen as one, so that a future names one type instead of four.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hedgerow_core::{Classify, Recorder};

use super::event::CacheEvent;
use super::keep::Keep;
use super::parts::{CacheParts, CacheSettings};
use crate::key::{KeyPolicy, key_of};
use crate::store::Store;

/// What a service asks of its layer. Implemented by [`CacheParts`] alone.
pub trait CacheRules<Req, Res, E>: CacheSealed + Clone + Send + Sync + 'static {
    #[doc(hidden)]
    type Key: Clone + Eq + Hash + Send + Sync + 'static;
    #[doc(hidden)]
    type Keep: Keep<Res> + Classify<Res, E>;
    #[doc(hidden)]
    type Store: Store<Key = Self::Key, Value = <Self::Keep as Keep<Res>>::Value> + 'static;
    #[doc(hidden)]
    fn key(&self, request: &Req) -> Option<Self::Key>;
    #[doc(hidden)]
    fn keep(&self) -> &Arc<Self::Keep>;
    #[doc(hidden)]
    fn store(&self) -> &Arc<Self::Store>;
    #[doc(hidden)]
    fn tell(&self, event: CacheEvent);
}

/// Keeps [`CacheRules`] to this crate.
pub trait CacheSealed {
    #[doc(hidden)]
    fn settings(&self) -> &CacheSettings;
}

impl<St, P, H, Rec> CacheSealed for CacheParts<St, P, H, Rec> {
    #[inline]
    fn settings(&self) -> &CacheSettings {
        &self.settings
    }
}

impl<St, P, H, Rec, Req, Res, E> CacheRules<Req, Res, E> for CacheParts<St, P, H, Rec>
where
    P: KeyPolicy<Req> + 'static,
    H: Keep<Res> + Classify<Res, E>,
    St: Store<Key = P::Key, Value = H::Value> + 'static,
    Rec: Recorder<CacheEvent> + Send + Sync + 'static,
{
    type Key = P::Key;
    type Keep = H;
    type Store = St;

    #[inline]
    fn key(&self, request: &Req) -> Option<P::Key> {
        key_of(&*self.key, request)
    }

    #[inline]
    fn keep(&self) -> &Arc<H> {
        &self.keep
    }

    #[inline]
    fn store(&self) -> &Arc<St> {
        &self.store
    }

    #[inline]
    fn tell(&self, event: CacheEvent) {
        if self.recorder.enabled() {
            // A recorder that panics loses its event and nothing else. The panic hook has reported it.
            let _ = catch_unwind(AssertUnwindSafe(|| self.recorder.record(&event)));
        }
    }
}
