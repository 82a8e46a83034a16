//! The service.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::{Answer, Attempt, Kind};
use parking_lot::Mutex;
use tower_service::Service;

use super::call::{Found, answer, ask, refresh, wait, weigh};
use super::event::{CacheEvent, CacheStatus};
use super::keep::Keep;
use super::rules::CacheRules;
use crate::background::{Owner, Prefetch};
use crate::coalesce::bump;
use crate::store::Store;

/// The service that [`CacheLayer`](crate::CacheLayer) makes.
pub struct Cache<S, X> {
    spare: Arc<Mutex<S>>,
    parts: X,
    owner: Owner,
}

/// The response future of [`Cache`].
///
/// Dropping it drops the call of the service, if there is one.
///
/// # Panics
///
/// When polled again after it was ready.
#[must_use = "futures do nothing unless polled"]
pub struct CacheFuture<T, E>(State<T, E>);

enum State<T, E> {
    /// A hit.
    There(Option<T>),
    /// Anything else.
    Comes(Coming<T, E>),
}

type Coming<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl<S, X> Cache<S, X> {
    pub(super) fn new(inner: S, parts: X, owner: Owner) -> Self {
        Self {
            spare: Arc::new(Mutex::new(inner)),
            parts,
            owner,
        }
    }
}

impl<S, X, Req> Service<Req> for Cache<S, X>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: Send,
    S::Future: Send,
    Req: Send + 'static,
    X: CacheRules<Req, S::Response, S::Error>,
    <X::Keep as Keep<S::Response>>::Kept: Send,
{
    type Response = <X::Keep as Keep<S::Response>>::Kept;
    type Error = S::Error;
    type Future = CacheFuture<Self::Response, S::Error>;

    /// Always ready.
    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let parts = &self.parts;
        parts.settings().budget.deposit();
        let Some(key) = parts.key(&request) else {
            return self.comes(|parts, spare| ask(parts, spare, request, None, None));
        };
        let now = parts.settings().clock.now();
        let got = match parts.store().get(&key, now) {
            Answer::Now(got) => got,
            Answer::Later(got) => {
                let spare = self.spare.clone();
                let service = move || spare.lock().clone();
                let call = wait(parts.clone(), service, request, key, got, now);
                return CacheFuture(State::Comes(Box::pin(call)));
            }
        };
        match weigh(parts, got, now) {
            Found::Answer(value, status @ CacheStatus::Hit { .. }) => {
                bump(&parts.settings().books.hits);
                parts.tell(CacheEvent::Answered(status));
                CacheFuture(State::There(Some(parts.keep().replay(value, status))))
            }
            Found::Answer(value, status) => {
                let spare = self.spare.clone();
                let service = move || spare.lock().clone();
                let call = answer(parts.clone(), service, request, key, value, status);
                CacheFuture(State::Comes(Box::pin(call)))
            }
            Found::StandIn(value, status) => self
                .comes(|parts, spare| ask(parts, spare, request, Some(key), Some((value, status)))),
            Found::Nothing => {
                self.comes(|parts, spare| ask(parts, spare, request, Some(key), None))
            }
        }
    }
}

impl<S, X> Cache<S, X> {
    /// Asks the service now for what somebody will ask for later, and stores the answer.
    ///
    /// It is a call of the lowest rank: an extra [`Attempt`], which limits beneath may treat as such, paid from
    /// the [`prefetch_budget`](crate::CacheLayer::prefetch_budget), and bounded in number and time as refreshes
    /// are. A call that comes when the answer is stored is a hit; one that comes earlier joins it where a
    /// [`CoalesceLayer`](crate::CoalesceLayer) is beneath. What is in the store is asked for again.
    pub fn prefetch<Req>(&self, request: Req) -> Prefetch
    where
        S: Service<Req> + Clone + Send + 'static,
        S::Response: Send,
        S::Error: Send,
        S::Future: Send,
        Req: Send + 'static,
        X: CacheRules<Req, S::Response, S::Error>,
        <X::Keep as Keep<S::Response>>::Kept: Send,
    {
        let settings = self.parts.settings();
        let Some(key) = self.parts.key(&request) else {
            return Prefetch::NoKey;
        };
        let Some(grant) = settings.budget.try_grant(Kind::Hedge) else {
            return Prefetch::Denied;
        };
        let spare = self.spare.clone();
        let service = move || spare.lock().clone();
        let begun = refresh(&self.parts, service, request, &key, Attempt::new(1));
        if begun.is_ok() {
            grant.spend();
            bump(&settings.books.prefetched);
        }
        begun.into()
    }
}

impl<S: Clone, X: Clone> Cache<S, X> {
    fn comes<T, E, F>(&self, call: impl FnOnce(X, S) -> F) -> CacheFuture<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let spare = self.spare.lock().clone();
        CacheFuture(State::Comes(Box::pin(call(self.parts.clone(), spare))))
    }
}

/// What is in it is never pinned.
impl<T, E> Unpin for CacheFuture<T, E> {}

impl<T, E> Future for CacheFuture<T, E> {
    type Output = Result<T, E>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::There(answer) => {
                Poll::Ready(Ok(answer.take().expect("polled after it was ready")))
            }
            State::Comes(call) => call.as_mut().poll(cx),
        }
    }
}

impl<S, X: Clone> Clone for Cache<S, X> {
    fn clone(&self) -> Self {
        Self {
            spare: self.spare.clone(),
            parts: self.parts.clone(),
            owner: self.owner.clone(),
        }
    }
}

impl<S, X: fmt::Debug> fmt::Debug for Cache<S, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl<T, E> fmt::Debug for CacheFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            State::There(_) => "CacheFuture(there)",
            State::Comes(_) => "CacheFuture(comes)",
        })
    }
}
