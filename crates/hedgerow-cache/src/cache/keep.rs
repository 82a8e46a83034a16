//! What of an answer is kept, and how it is given again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use hedgerow_core::{Class, Classify};

use super::event::CacheStatus;
use crate::coalesce::ByClone;

/// What of an answer is kept in the store, and what callers get.
///
/// `ByClone` unless told otherwise: the answer itself. `.http()` makes it `KeptBodies`, by which an HTTP
/// answer is stored when its body has passed. The same type judges (a [`Classify`]): only a success is ever
/// stored.
pub trait Keep<Res>: Send + Sync + 'static {
    /// What is stored.
    type Value: Send + 'static;
    /// What callers get.
    type Kept;

    /// How long an answer may be kept.
    fn lifetime(&self, response: &Res) -> Lifetime;

    /// Whether it may be served when that is over, where the layer is told to do so. Defaults to yes.
    fn may_be_stale(&self, response: &Res) -> bool {
        let _ = response;
        true
    }

    /// An answer from the store.
    fn replay(&self, value: Self::Value, status: CacheStatus) -> Self::Kept;

    /// An answer of the service that is not stored.
    fn pass(&self, response: Res, status: CacheStatus) -> Self::Kept;

    /// An answer of the service that is handed to `deposit` as soon as it is whole.
    fn store(
        &self,
        response: Res,
        status: CacheStatus,
        deposit: Deposit<Self::Value>,
    ) -> Self::Kept;

    /// Reads an answer to its end that nobody waits for, so that it becomes whole. Defaults to dropping it.
    fn drain(&self, kept: Self::Kept) -> impl Future<Output = ()> + Send {
        drop(kept);
        std::future::ready(())
    }
}

/// Says of a stored value, whole, how long it may be kept: asked by a cache's
/// [`lead`](crate::CacheLayer::lead), which has no response.
pub trait KeepWhole<V>: Send + Sync + 'static {
    /// How long this value may be kept.
    fn whole_lifetime(&self, value: &V) -> Lifetime;

    /// Whether it may be served when that is over ([`Keep::may_be_stale`]). Defaults to yes.
    fn whole_may_be_stale(&self, value: &V) -> bool {
        let _ = value;
        true
    }
}

/// How long an answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the layer says.
    Usual,
    /// As long as the layer says of negative answers; not at all unless it does.
    Negative,
    /// This long.
    For(Duration),
    /// Not at all.
    Never,
}

/// The way into the store for one answer.
pub struct Deposit<V>(pub(super) Box<dyn FnOnce(V) + Send>);

impl<V> Deposit<V> {
    /// Stores it, behind the caller.
    pub fn put(self, value: V) {
        (self.0)(value);
    }
}

impl<V> std::fmt::Debug for Deposit<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deposit")
    }
}

impl<Res, J> Keep<Res> for ByClone<J>
where
    Res: Clone + Send + 'static,
    J: Send + Sync + 'static,
{
    type Value = Res;
    type Kept = Res;

    fn lifetime(&self, _: &Res) -> Lifetime {
        Lifetime::Usual
    }

    #[inline]
    fn replay(&self, value: Res, _: CacheStatus) -> Res {
        value
    }

    fn pass(&self, response: Res, _: CacheStatus) -> Res {
        response
    }

    fn store(&self, response: Res, _: CacheStatus, deposit: Deposit<Res>) -> Res {
        deposit.put(response.clone());
        response
    }
}

impl<V, J> KeepWhole<V> for ByClone<J>
where
    J: Send + Sync + 'static,
{
    fn whole_lifetime(&self, _: &V) -> Lifetime {
        Lifetime::Usual
    }
}

impl<V, J, F> KeepWhole<V> for Lives<ByClone<J>, F>
where
    V: Clone + Send + 'static,
    J: Send + Sync + 'static,
    F: Fn(&V) -> Lifetime + Send + Sync + 'static,
{
    fn whole_lifetime(&self, value: &V) -> Lifetime {
        Keep::lifetime(self, value)
    }
}

/// Asks a function how long each answer may be kept: what [`lives`](crate::CacheLayer::lives) sets. If it
/// panics, the answer is not kept.
#[derive(Clone, Copy)]
pub struct Lives<H, F> {
    pub(super) keep: H,
    pub(super) of: F,
}

impl<Res, H, F> Keep<Res> for Lives<H, F>
where
    H: Keep<Res>,
    F: Fn(&Res) -> Lifetime + Send + Sync + 'static,
{
    type Value = H::Value;
    type Kept = H::Kept;

    fn lifetime(&self, response: &Res) -> Lifetime {
        match self.keep.lifetime(response) {
            Lifetime::Never => Lifetime::Never,
            _ => catch_unwind(AssertUnwindSafe(|| (self.of)(response))).unwrap_or(Lifetime::Never),
        }
    }

    fn may_be_stale(&self, response: &Res) -> bool {
        self.keep.may_be_stale(response)
    }

    #[inline]
    fn replay(&self, value: H::Value, status: CacheStatus) -> H::Kept {
        self.keep.replay(value, status)
    }

    fn pass(&self, response: Res, status: CacheStatus) -> H::Kept {
        self.keep.pass(response, status)
    }

    fn store(&self, response: Res, status: CacheStatus, deposit: Deposit<H::Value>) -> H::Kept {
        self.keep.store(response, status, deposit)
    }

    fn drain(&self, kept: H::Kept) -> impl Future<Output = ()> + Send {
        self.keep.drain(kept)
    }
}

impl<Res, E, H: Classify<Res, E>, F> Classify<Res, E> for Lives<H, F> {
    fn classify(&self, result: &Result<Res, E>) -> Class {
        self.keep.classify(result)
    }
}

impl<H: std::fmt::Debug, F> std::fmt::Debug for Lives<H, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lives").field(&self.keep).finish()
    }
}
