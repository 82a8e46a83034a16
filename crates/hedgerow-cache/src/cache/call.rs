//! A call that is not a hit: ask the store further, ask the service, store, stand in.

use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::pin::pin;
use std::time::Duration;

use hedgerow_core::{Attempt, caught};
use tower_service::Service;

use super::event::{CacheEvent, CacheStatus, StoreDeed};
use super::keep::{Deposit, Keep, Lifetime};
use super::parts::CacheSettings;
use super::rules::CacheRules;
use crate::background::NotBegun;
use crate::clock::Stamp;
use crate::coalesce::{bump, is_answer};
use crate::oneshot::Oneshot;
use crate::store::{Entry, Got, Store, StoreError};

type KeepOf<X, S, Req> =
    <X as CacheRules<Req, <S as Service<Req>>::Response, <S as Service<Req>>::Error>>::Keep;
type Value<X, S, Req> = <KeepOf<X, S, Req> as Keep<<S as Service<Req>>::Response>>::Value;
type Kept<X, S, Req> = <KeepOf<X, S, Req> as Keep<<S as Service<Req>>::Response>>::Kept;
type KeyOf<X, S, Req> =
    <X as CacheRules<Req, <S as Service<Req>>::Response, <S as Service<Req>>::Error>>::Key;

/// What is to be done with what the store said.
pub(super) enum Found<V> {
    /// It answers.
    Answer(V, CacheStatus),
    /// It is too old to answer, and may stand in when the service fails.
    StandIn(V, CacheStatus),
    /// There is nothing.
    Nothing,
}

/// What the store said, weighed at `now`. A failure of the store is counted, and nothing was found.
pub(super) fn weigh<X, Req, Res, E>(
    parts: &X,
    got: Got<<X::Keep as Keep<Res>>::Value>,
    now: Stamp,
) -> Found<<X::Keep as Keep<Res>>::Value>
where
    X: CacheRules<Req, Res, E>,
{
    let settings = parts.settings();
    match got {
        Ok(None) => Found::Nothing,
        Ok(Some(entry)) => {
            let age = now.since(entry.stored);
            if entry.is_fresh(now) {
                let left = entry.fresh_until.since(now);
                return Found::Answer(entry.value, CacheStatus::Hit { age, left });
            }
            let by = now.since(entry.fresh_until);
            if entry.fresh_until > now {
                Found::Nothing
            } else if by < settings.while_revalidating {
                Found::Answer(entry.value, CacheStatus::Stale { age, by })
            } else if by < settings.on_error {
                Found::StandIn(entry.value, CacheStatus::StaleOnError { age, by })
            } else {
                Found::Nothing
            }
        }
        Err(error) => {
            store_failed(parts, StoreDeed::Get, &error);
            Found::Nothing
        }
    }
}

#[cold]
fn store_failed<X, Req, Res, E>(parts: &X, deed: StoreDeed, error: &StoreError)
where
    X: CacheRules<Req, Res, E>,
{
    let books = &parts.settings().books;
    if matches!((deed, error), (StoreDeed::Put, StoreError::Full { .. })) {
        bump(&books.lost);
        parts.tell(CacheEvent::Lost);
        return;
    }
    bump(&books.store_failures);
    tracing::warn!(target: "hedgerow::cache", ?deed, error = %error, "the store failed");
    parts.tell(CacheEvent::StoreFailed(deed));
}

/// The way of one answer into the store.
fn deposit<X, Req, Res, E>(
    parts: &X,
    key: X::Key,
    life: Life,
) -> Deposit<<X::Keep as Keep<Res>>::Value>
where
    X: CacheRules<Req, Res, E>,
{
    let parts = parts.clone();
    Deposit(Box::new(move |value| {
        let settings = parts.settings();
        let entry = entry(settings, value, life);
        // A store may be the user's: the answer is its caller's all the same.
        let offered = caught(|| parts.store().offer(key, entry));
        match offered.unwrap_or_else(|| Err(StoreError::Failed("the store panicked".into()))) {
            Ok(()) => {
                bump(&settings.books.stored);
                parts.tell(CacheEvent::Stored);
            }
            Err(error) => store_failed(&parts, StoreDeed::Put, &error),
        }
    }))
}

/// Tells that the caller left, unless it was answered.
struct OnWay<X: CacheRules<Req, Res, E>, Req, Res, E> {
    parts: X,
    ended: bool,
    types: std::marker::PhantomData<fn(Req, Res, E)>,
}

impl<X: CacheRules<Req, Res, E>, Req, Res, E> Drop for OnWay<X, Req, Res, E> {
    fn drop(&mut self) {
        if !self.ended {
            bump(&self.parts.settings().books.cancelled);
            self.parts.tell(CacheEvent::Cancelled);
        }
    }
}

impl<X: CacheRules<Req, Res, E>, Req, Res, E> OnWay<X, Req, Res, E> {
    fn end(&mut self, event: CacheEvent) {
        self.ended = true;
        self.parts.tell(event);
    }
}

/// The service is asked, and its answer kept.
pub(super) async fn ask<S, X, Req>(
    parts: X,
    service: S,
    request: Req,
    key: Option<KeyOf<X, S, Req>>,
    stand_in: Option<(Value<X, S, Req>, CacheStatus)>,
) -> Result<Kept<X, S, Req>, S::Error>
where
    S: Service<Req>,
    X: CacheRules<Req, S::Response, S::Error>,
{
    let mut way = OnWay {
        parts,
        ended: false,
        types: std::marker::PhantomData,
    };
    let books = &way.parts.settings().books;
    bump(if key.is_some() {
        &books.misses
    } else {
        &books.bypassed
    });
    let status = match (&key, &stand_in) {
        (None, _) => CacheStatus::Bypass,
        (Some(_), None) => CacheStatus::Miss,
        (Some(_), Some(_)) => CacheStatus::Refetched,
    };
    let result = Oneshot::new(service, request).await;
    let parts = way.parts.clone();
    let keep = parts.keep();
    let good = is_answer(&**keep, &result);
    if !good && let Some((value, status)) = stand_in {
        bump(&parts.settings().books.stale_on_error);
        way.end(CacheEvent::Answered(status));
        return Ok(keep.replay(value, status));
    }
    let response = match result {
        Ok(response) => response,
        Err(error) => {
            way.end(CacheEvent::Failed(status));
            return Err(error);
        }
    };
    way.end(if good {
        CacheEvent::Answered(status)
    } else {
        CacheEvent::Failed(status)
    });
    Ok(match (key, life(&parts, &response, good)) {
        (Some(key), Some(life)) => keep.store(response, status, deposit(&parts, key, life)),
        (Some(_), None) => {
            bump(&parts.settings().books.not_stored);
            parts.tell(CacheEvent::NotStored);
            keep.pass(response, status)
        }
        (None, _) => keep.pass(response, status),
    })
}

/// How long an answer may be served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) fresh: Duration,
    /// Whether it may be for a while when that is over.
    pub(super) stale: bool,
}

/// How long an answer may be served; `None` if it is not to be stored.
fn life<X, Req, Res, E>(parts: &X, response: &Res, good: bool) -> Option<Life>
where
    X: CacheRules<Req, Res, E>,
{
    let keep = parts.keep();
    let fresh = lifetime_of(parts.settings(), keep.lifetime(response)).filter(|_| good)?;
    let stale = keep.may_be_stale(response);
    Some(Life { fresh, stale })
}

pub(super) fn lifetime_of(settings: &CacheSettings, lifetime: Lifetime) -> Option<Duration> {
    match lifetime {
        Lifetime::Usual => Some(settings.ttl),
        Lifetime::Negative => settings.negative,
        Lifetime::For(fresh) => Some(fresh).filter(|fresh| !fresh.is_zero()),
        Lifetime::Never => None,
    }
}

/// An entry that is stored now.
pub(super) fn entry<V>(settings: &CacheSettings, value: V, life: Life) -> Entry<V> {
    let now = settings.clock.now();
    let fresh_until = now.after(life.fresh);
    let stale = settings.while_revalidating.max(settings.on_error);
    let stale = if life.stale { stale } else { Duration::ZERO };
    Entry {
        value,
        stored: now,
        fresh_until,
        keep_until: fresh_until.after(stale),
    }
}

/// The store answers later; everything else as if it had answered at once.
pub(super) async fn wait<S, X, Req>(
    parts: X,
    service: impl FnOnce() -> S + Send + 'static,
    request: Req,
    key: KeyOf<X, S, Req>,
    got: hedgerow_core::Later<Got<Value<X, S, Req>>>,
    now: Stamp,
) -> Result<Kept<X, S, Req>, S::Error>
where
    S: Service<Req> + Send + 'static,
    S::Response: Send,
    S::Error: Send,
    S::Future: Send,
    Req: Send + 'static,
    Kept<X, S, Req>: Send,
    X: CacheRules<Req, S::Response, S::Error>,
{
    let found = weigh(&parts, got.await, now);
    match found {
        Found::Answer(value, status) => answer(parts, service, request, key, value, status).await,
        Found::StandIn(value, status) => {
            ask(parts, service(), request, Some(key), Some((value, status))).await
        }
        Found::Nothing => ask(parts, service(), request, Some(key), None).await,
    }
}

/// The store's answer, which may be stale: then it is refreshed behind the caller. Where that cannot be
/// begun because there is no runtime, the service is asked in front of him.
pub(super) async fn answer<S, X, Req>(
    parts: X,
    service: impl FnOnce() -> S + Send + 'static,
    request: Req,
    key: KeyOf<X, S, Req>,
    value: Value<X, S, Req>,
    status: CacheStatus,
) -> Result<Kept<X, S, Req>, S::Error>
where
    S: Service<Req> + Send + 'static,
    S::Response: Send,
    S::Error: Send,
    S::Future: Send,
    Req: Send + 'static,
    Kept<X, S, Req>: Send,
    X: CacheRules<Req, S::Response, S::Error>,
{
    if matches!(status, CacheStatus::Stale { .. }) {
        let _ = refresh(&parts, service, request, &key, Attempt::PRIMARY);
    }
    let books = &parts.settings().books;
    bump(match status {
        CacheStatus::Stale { .. } => &books.stale,
        _ => &books.hits,
    });
    parts.tell(CacheEvent::Answered(status));
    Ok(parts.keep().replay(value, status))
}

/// Asks the service behind callers, once a key at a time. As an extra attempt it is one that limits beneath may
/// treat as such.
pub(super) fn refresh<S, X, Req>(
    parts: &X,
    service: impl FnOnce() -> S + Send + 'static,
    request: Req,
    key: &KeyOf<X, S, Req>,
    attempt: Attempt,
) -> Result<(), NotBegun>
where
    S: Service<Req> + Send + 'static,
    S::Response: Send,
    S::Error: Send,
    S::Future: Send,
    Req: Send + 'static,
    Kept<X, S, Req>: Send,
    X: CacheRules<Req, S::Response, S::Error>,
{
    let settings = parts.settings();
    let task = || {
        let (parts, key) = (parts.clone(), key.clone());
        Box::pin(async move {
            let mut call = pin!(Oneshot::new(service(), request));
            let result = poll_fn(|cx| attempt.scope(|| call.as_mut().poll(cx))).await;
            let good = is_answer(&**parts.keep(), &result);
            let life = result
                .as_ref()
                .ok()
                .and_then(|response| life(&parts, response, good));
            let renewed = life.is_some();
            if let (Ok(response), Some(life)) = (result, life) {
                let status = CacheStatus::Refetched;
                let kept = parts
                    .keep()
                    .store(response, status, deposit(&parts, key, life));
                parts.keep().drain(kept).await;
            }
            let books = &parts.settings().books;
            bump(if renewed {
                &books.refreshed
            } else {
                &books.not_refreshed
            });
            parts.tell(CacheEvent::Refreshed { renewed });
        }) as crate::flight::Mission<()>
    };
    let begun = settings.background.run(hash(&settings.hasher, key), task);
    if matches!(begun, Err(NotBegun::Full | NotBegun::NoRuntime)) {
        bump(&settings.books.not_refreshed);
    }
    begun
}

pub(super) fn hash(hasher: &impl BuildHasher, key: &impl Hash) -> u64 {
    hasher.hash_one(key)
}
