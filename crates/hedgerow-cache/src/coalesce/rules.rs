//! The layer's parts seen as one, so that a future names one type instead of four.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hedgerow_core::{Class, Classify, Recorder};

use super::event::CoalesceEvent;
use super::layer::{CoalesceParts, CoalesceSettings};
use super::share::Share;
use crate::key::{KeyPolicy, key_of};
use crate::lead::Lead;

/// What a response future asks of its layer. Implemented by [`CoalesceParts`] alone.
pub trait CoalesceRules<Req, Res, E>: CoalesceSealed + 'static {
    #[doc(hidden)]
    type Key: Clone + Eq + Hash + Send + Sync + 'static;
    #[doc(hidden)]
    type Share: Share<Res> + Classify<Res, E>;
    #[doc(hidden)]
    type Lead: Lead<Self::Key, <Self::Share as Share<Res>>::Told> + 'static;
    #[doc(hidden)]
    fn key(&self, request: &Req) -> Option<Self::Key>;
    #[doc(hidden)]
    fn share(&self) -> &Arc<Self::Share>;
    #[doc(hidden)]
    fn lead(&self) -> &Arc<Self::Lead>;
    #[doc(hidden)]
    fn tell(&self, event: CoalesceEvent);
}

/// Keeps [`CoalesceRules`] to this crate.
pub trait CoalesceSealed {
    #[doc(hidden)]
    fn settings(&self) -> &CoalesceSettings;
}

impl<P, L, H, Rec> CoalesceSealed for CoalesceParts<P, L, H, Rec> {
    #[inline]
    fn settings(&self) -> &CoalesceSettings {
        &self.settings
    }
}

impl<P, L, H, Rec, Req, Res, E> CoalesceRules<Req, Res, E> for CoalesceParts<P, L, H, Rec>
where
    P: KeyPolicy<Req> + 'static,
    H: Share<Res> + Classify<Res, E>,
    L: Lead<P::Key, H::Told> + 'static,
    Rec: Recorder<CoalesceEvent> + 'static,
{
    type Key = P::Key;
    type Share = H;
    type Lead = L;

    #[inline]
    fn key(&self, request: &Req) -> Option<P::Key> {
        key_of(&*self.key, request)
    }

    #[inline]
    fn share(&self) -> &Arc<H> {
        &self.share
    }

    #[inline]
    fn lead(&self) -> &Arc<L> {
        &self.lead
    }

    #[inline]
    fn tell(&self, event: CoalesceEvent) {
        if self.recorder.enabled() {
            // A recorder that panics loses its event and nothing else. The panic hook has reported it.
            let _ = catch_unwind(AssertUnwindSafe(|| self.recorder.record(&event)));
        }
    }
}

/// Judges; a judge that panics refuses.
pub(crate) fn is_answer<Res, E>(judge: &impl Classify<Res, E>, result: &Result<Res, E>) -> bool {
    let judged = catch_unwind(AssertUnwindSafe(|| judge.classify(result)));
    matches!(judged, Ok(Class::Success))
}
