//! A layer whose state is kept by key.

use std::hash::Hash;
use std::sync::Arc;

use hedgerow_core::or_panic;

use crate::error::BuildError;
use crate::layer::{HedgeLayer, Parts};
use crate::policy::{DEFAULT_KEYS, Keyed, Keys};

impl<P: Clone, R, J, Rec> HedgeLayer<P, R, J, Rec> {
    /// Gives each key a histogram and a clone of the policy of its own, so that a slow backend is not
    /// hedged at the pace of a fast one.
    ///
    /// `f` reads the key off the request: a plain `fn(&Request) -> K`, or a closure that names its
    /// argument's type. One that panics, or whose key does, leaves its request to the state that all
    /// share. The key's `Hash` and `Eq` run under a lock: they must not use [`keys`](Self::keys). At most
    /// 1,000 keys are known at a time ([`max_keys`](Self::max_keys)); a new one then takes the place
    /// of one that is idle. A key that is new, or was forgotten, begins as a new layer does.
    ///
    /// Comes after what sets the policy and its window (`.initial`, `.clamp`, `.window`). Budget,
    /// counts and [`stats`](crate::HedgeHandle::stats) are the layer's, for all keys together.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_hedge::HedgeLayer;
    ///
    /// #[derive(Clone)]
    /// struct Ask { model: &'static str }
    ///
    /// let layer = HedgeLayer::percentile(95)
    ///     .clone_requests()
    ///     .key(|ask: &Ask| ask.model);
    /// let keys = layer.keys();
    /// assert!(keys.latency(&"large").is_none(), "nobody has asked it yet");
    /// ```
    ///
    /// # Cost
    ///
    /// A hash, a read lock and a second recording per call. A key holds 8 KiB, 15 once its window
    /// has turned over: 10,000 keys stay below 160 MiB. With [`observe_only`](Self::observe_only) up
    /// to 4 KiB more.
    #[must_use]
    pub fn key<Req, K, F>(self, f: F) -> HedgeLayer<Keyed<P, F, K>, R, J, Rec>
    where
        F: Fn(&Req) -> K,
        K: Hash + Eq,
    {
        let Parts {
            policy,
            exchange,
            judge,
            recorder,
            settings,
        } = self.parts;
        let policy = P::clone(&policy);
        let keyed = Keyed::new(policy, f, &settings.latency, DEFAULT_KEYS);
        HedgeLayer {
            parts: Parts {
                policy: Arc::new(keyed),
                exchange,
                judge,
                recorder,
                settings,
            },
        }
    }
}

impl<P: Clone, F, K: Hash + Eq, R, J, Rec> HedgeLayer<Keyed<P, F, K>, R, J, Rec> {
    /// Sets how many keys are known at most, 1 to 1,000,000. Defaults to 1,000.
    ///
    /// # Panics
    ///
    /// If `n` is out of range: [`try_max_keys`](Self::try_max_keys) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_keys(self, n: usize) -> Self {
        or_panic(self.try_max_keys(n))
    }

    /// Like [`max_keys`](Self::max_keys), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Keys`] if `n` is out of range.
    pub fn try_max_keys(mut self, n: usize) -> Result<Self, BuildError> {
        self.parts.policy = Arc::new(self.parts.policy.try_resized(n)?);
        Ok(self)
    }

    /// The keys that are known, and what is known of each.
    ///
    /// Take it when the layer is complete: a later `.max_keys` begins anew.
    #[must_use]
    pub fn keys(&self) -> Keys<K, P> {
        self.parts.policy.keys().clone()
    }
}
