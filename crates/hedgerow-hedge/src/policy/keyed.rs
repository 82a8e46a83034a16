//! State by key: each backend, or each class of requests, is hedged at its own quantile.

use std::fmt;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hedgerow_core::{Attempt, Class, LatencyView};
use hedgerow_latency::Latency;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter};

use super::{Delay, Follow, HedgePolicy, Sample};
use crate::error::BuildError;

/// How many keys are kept unless `.max_keys` says otherwise.
pub(crate) const DEFAULT_KEYS: usize = 1_000;
/// More keys than this are no keys any more: 15 GiB of them.
pub(crate) const MAX_KEYS: usize = 1_000_000;

/// What is known of one key: its own histogram, and a policy of its own.
pub trait KeyState<Req>: HedgePolicy<Req> {
    /// The histogram of this key's primaries.
    fn latency(&self) -> &Latency;
}

/// Gives every key a histogram and a clone of the policy of its own: what `.key(f)` sets.
///
/// See [`HedgeLayer::key`](crate::HedgeLayer::key).
pub struct Keyed<P, F, K> {
    /// For requests whose key function panics, and what the keys' own policies are cloned from.
    policy: P,
    key_of: Arc<F>,
    keys: Keys<K, P>,
}

/// The keys of a layer and what is known of each.
///
/// Clones share them. Reading a key here does not count as using it.
pub struct Keys<K, P> {
    known: Arc<Known<K, P>>,
    /// What a new key's histogram is made like.
    like: Latency,
    at_most: usize,
}

type Known<K, P> =
    Cache<K, Arc<Entry<P>>, UnitWeighter, DefaultHashBuilder, DefaultLifecycle<K, Arc<Entry<P>>>>;

struct Entry<P> {
    policy: P,
    latency: Latency,
}

impl<P, F, K: Hash + Eq> Keyed<P, F, K> {
    /// With room for `at_most` keys, 1 to [`MAX_KEYS`].
    pub(crate) fn new(policy: P, key_of: F, like: &Latency, at_most: usize) -> Self {
        Self {
            policy,
            key_of: Arc::new(key_of),
            keys: Keys::new(like, at_most),
        }
    }

    /// The same with room for `at_most` keys, and none yet.
    pub(crate) fn try_resized(&self, at_most: usize) -> Result<Self, BuildError>
    where
        P: Clone,
    {
        if at_most == 0 || at_most > MAX_KEYS {
            return Err(BuildError::Keys(at_most));
        }
        Ok(Self {
            policy: self.policy.clone(),
            key_of: self.key_of.clone(),
            keys: Keys::new(&self.keys.like, at_most),
        })
    }

    pub(crate) const fn keys(&self) -> &Keys<K, P> {
        &self.keys
    }
}

impl<K: Hash + Eq, P> Keys<K, P> {
    fn new(like: &Latency, at_most: usize) -> Self {
        // One shard: several would each hold their share, and a full one evict before the bound.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(at_most)
            .weight_capacity(at_most as u64)
            .build()
            .expect("capacity and weight are both there");
        Self {
            known: Arc::new(Cache::with_options(
                options,
                UnitWeighter,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            )),
            like: like.coarse(),
            at_most,
        }
    }

    /// How many keys are known now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no key is known yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many keys are known at most: beyond that, the idle ones are forgotten.
    #[must_use]
    pub fn max_keys(&self) -> usize {
        self.at_most
    }

    /// The histogram of this key, if it is known.
    #[must_use]
    pub fn latency(&self, key: &K) -> Option<Latency> {
        self.known.peek(key).map(|entry| entry.latency.clone())
    }

    /// Forgets this key.
    pub fn forget(&self, key: &K) {
        self.known.remove(key);
    }

    fn entry(&self, key: K, policy: &P) -> Arc<Entry<P>>
    where
        P: Clone,
    {
        if let Some(entry) = self.known.get(&key) {
            return entry;
        }
        // Should two threads meet here, the later one's is kept, and the other serves one call.
        let entry = Arc::new(Entry {
            policy: policy.clone(),
            latency: self.like.coarse(),
        });
        self.known.insert(key, entry.clone());
        entry
    }
}

// === impl HedgePolicy ===

impl<Req, P, F, K> HedgePolicy<Req> for Keyed<P, F, K>
where
    P: HedgePolicy<Req> + Clone + 'static,
    F: Fn(&Req) -> K + Send + Sync,
    K: Hash + Eq + Send + Sync,
{
    fn delay(&self, request: &Req, attempt: Attempt, latency: &dyn LatencyView) -> Delay {
        self.policy.delay(request, attempt, latency)
    }

    fn follow(&self, class: Class) -> Follow {
        self.policy.follow(class)
    }

    fn observe(&self, sample: &Sample) {
        self.policy.observe(sample);
    }

    /// A key that panics, when it is read off the request, hashed, compared, or dropped, leaves its
    /// request to the state that all share.
    fn key_state(&self, request: &Req) -> Option<Arc<dyn KeyState<Req>>> {
        // The panic hook has reported it.
        let entry = catch_unwind(AssertUnwindSafe(|| {
            let key = (self.key_of)(request);
            self.keys.entry(key, &self.policy)
        }));
        Some(entry.ok()?)
    }

    fn name(&self) -> &'static str {
        self.policy.name()
    }
}

impl<Req, P: HedgePolicy<Req>> HedgePolicy<Req> for Entry<P> {
    fn delay(&self, request: &Req, attempt: Attempt, latency: &dyn LatencyView) -> Delay {
        self.policy.delay(request, attempt, latency)
    }

    fn observe(&self, sample: &Sample) {
        self.policy.observe(sample);
    }

    fn name(&self) -> &'static str {
        self.policy.name()
    }
}

impl<Req, P: HedgePolicy<Req>> KeyState<Req> for Entry<P> {
    fn latency(&self) -> &Latency {
        &self.latency
    }
}

// === impl Stateful ===

#[cfg(feature = "serde")]
mod saved {
    use std::hash::Hash;
    use std::sync::Arc;

    use hedgerow_core::BoxError;
    use hedgerow_latency::Snapshot;
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Serialize};

    use super::{Entry, Keyed};
    use crate::policy::Stateful;

    /// One key as it is saved.
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SavedKey<K> {
        key: K,
        latency: Snapshot,
        policy: Option<String>,
    }

    /// Every key with what is known of it, as JSON.
    impl<P, F, K> Stateful for Keyed<P, F, K>
    where
        P: Stateful + Clone,
        K: Hash + Eq + Clone + Serialize + DeserializeOwned,
    {
        fn save(&self) -> Option<String> {
            let known = self.keys.known.iter();
            let keys: Vec<SavedKey<K>> = known
                .map(|(key, entry)| SavedKey {
                    key,
                    latency: entry.latency.window(),
                    policy: entry.policy.save(),
                })
                .collect();
            // A key that JSON cannot hold saves nothing.
            serde_json::to_string(&keys).ok()
        }

        fn restore(&self, state: &str) -> Result<(), BoxError> {
            let saved: Vec<SavedKey<K>> = serde_json::from_str(state)?;
            let mut entries = Vec::with_capacity(saved.len());
            for saved in saved {
                let entry = Entry {
                    policy: self.policy.clone(),
                    latency: self.keys.like.coarse(),
                };
                entry.latency.restore(&saved.latency);
                if let Some(state) = &saved.policy {
                    entry.policy.restore(state)?;
                }
                entries.push((saved.key, Arc::new(entry)));
            }
            for (key, entry) in entries {
                self.keys.known.insert(key, entry);
            }
            Ok(())
        }
    }
}

// === impl Clone, Debug ===

impl<K, P> Clone for Keys<K, P> {
    fn clone(&self) -> Self {
        Self {
            known: self.known.clone(),
            like: self.like.clone(),
            at_most: self.at_most,
        }
    }
}

impl<K: Hash + Eq, P> fmt::Debug for Keys<K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("len", &self.len())
            .field("max_keys", &self.at_most)
            .finish_non_exhaustive()
    }
}

impl<P: fmt::Debug, F, K: Hash + Eq> fmt::Debug for Keyed<P, F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("policy", &self.policy)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
