//! What makes two requests the same.

mod canonical;
mod digest;
#[cfg(feature = "http")]
mod http;

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub use self::canonical::{IgnoredFields, canonical_json};
pub use self::digest::{Digest, DigestBuilder, Digestible};
#[cfg(feature = "http")]
pub use self::http::{HttpKey, Tenant};

/// Says which requests are the same: those of one key share flights and answers.
///
/// Implemented for functions and closures from `&Request` to `Option<Key>`; closures name their argument's
/// type. `None` lets the request pass: it is sent as it is, and nothing is kept of it.
///
/// **A key holds everything that the answer depends on, and whoever may not see another's answers is part
/// of it.** Ready-made: [`WholeRequest`] and, with the feature `http`, `HttpKey`.
///
/// # Examples
///
/// ```
/// use hedgerow_cache::KeyPolicy;
///
/// struct Lookup { id: u64, fresh: bool }
/// let key = |lookup: &Lookup| (!lookup.fresh).then_some(lookup.id);
/// assert_eq!(key.key(&Lookup { id: 3, fresh: false }), Some(3));
/// assert_eq!(key.key(&Lookup { id: 3, fresh: true }), None);
/// ```
pub trait KeyPolicy<Req>: Send + Sync {
    /// What two requests are compared by.
    type Key: Clone + Eq + Hash + Send + Sync + 'static;

    /// The key of `request`; `None` lets it pass.
    fn key(&self, request: &Req) -> Option<Self::Key>;
}

impl<Req, K, F> KeyPolicy<Req> for F
where
    F: Fn(&Req) -> Option<K> + Send + Sync,
    K: Clone + Eq + Hash + Send + Sync + 'static,
{
    type Key = K;

    #[inline]
    fn key(&self, request: &Req) -> Option<K> {
        self(request)
    }
}

impl<Req, P: KeyPolicy<Req> + ?Sized> KeyPolicy<Req> for Arc<P> {
    type Key = P::Key;

    #[inline]
    fn key(&self, request: &Req) -> Option<P::Key> {
        (**self).key(request)
    }
}

/// A key by whatever the request's `Hash` says: all of it, if it is derived.
///
/// blake3 over what the request hands to a hasher, behind a name of the caller's: two callers of different
/// names never share an entry. A type whose `Hash` leaves out what its answer depends on must not be keyed
/// by it. Stable on one platform and for one version of the request's type.
///
/// # Examples
///
/// ```
/// use hedgerow_cache::{KeyPolicy, WholeRequest};
///
/// let [one, other] = ["acme", "initech"].map(WholeRequest::new);
/// assert_eq!(one.key(&("q", 1)), one.key(&("q", 1)));
/// assert_ne!(one.key(&("q", 1)), one.key(&("q", 2)));
/// assert_ne!(one.key(&("q", 1)), other.key(&("q", 1)));
/// ```
#[derive(Clone, Debug)]
pub struct WholeRequest {
    tenant: Arc<str>,
}

impl WholeRequest {
    /// Keys for whoever may share answers.
    #[must_use]
    pub fn new(tenant: impl Into<Arc<str>>) -> Self {
        Self {
            tenant: tenant.into(),
        }
    }
}

impl<Req: Hash> KeyPolicy<Req> for WholeRequest {
    type Key = Digest;

    fn key(&self, request: &Req) -> Option<Digest> {
        let mut hash = DigestBuilder::new("hedgerow whole request");
        hash.part(self.tenant.as_bytes());
        request.hash(&mut hash);
        Some(hash.finish())
    }
}

/// Asks for a key. A policy that panics has none for this request: the panic hook has reported it.
#[inline]
pub(crate) fn key_of<Req, P: KeyPolicy<Req>>(policy: &P, request: &Req) -> Option<P::Key> {
    catch_unwind(AssertUnwindSafe(|| policy.key(request))).unwrap_or(None)
}
