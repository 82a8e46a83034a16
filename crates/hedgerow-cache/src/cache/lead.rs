//! A coalescer beneath a cache looks once more before it sends.

use std::sync::Arc;

use hedgerow_core::Answer;

use crate::clock::Clock;
use crate::lead::{Claim, Lead};
use crate::store::{Got, Store};

/// Answers a claim from a store: what [`CacheLayer::lead`](crate::CacheLayer::lead) makes.
///
/// A call that missed the store may come to the coalescer when the flight it should have joined has just
/// landed, and its answer has just been stored. Looking once more is the only way to be sure that nobody
/// pays twice.
#[derive(Clone, Debug)]
pub struct StoreLead<St> {
    pub(super) store: Arc<St>,
    pub(super) clock: Clock,
}

impl<St> Lead<St::Key, St::Value> for StoreLead<St>
where
    St: Store,
    St::Value: 'static,
{
    fn claim(&self, key: &St::Key) -> Answer<Claim<St::Value>> {
        let now = self.clock.now();
        let claim = move |got: Got<St::Value>| match got {
            Ok(Some(entry)) if entry.fresh_until > now => Claim::Answered(entry.value),
            _ => Claim::Lead,
        };
        match self.store.get(key, now) {
            Answer::Now(got) => Answer::Now(claim(got)),
            Answer::Later(later) => Answer::Later(Box::pin(async move { claim(later.await) })),
        }
    }
}
