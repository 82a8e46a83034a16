//! Other caches as tower services, and what is measured of keys and engines.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use tower::Service;

use crate::inner::{Answer, Echo, Request};

/// Entries that every cache here holds.
pub(crate) const ENTRIES: u64 = 4_096;

/// A request as its own key, one of as many as there are entries.
pub(crate) fn key(request: &Request) -> Option<u64> {
    Some(request.one_of(ENTRIES))
}

/// `quick_cache` and nothing else.
#[derive(Clone)]
pub(crate) struct Quick {
    inner: Echo,
    cache: std::sync::Arc<quick_cache::sync::Cache<u64, Request>>,
}

/// `moka` and nothing else.
#[derive(Clone)]
pub(crate) struct Moka {
    inner: Echo,
    cache: moka::future::Cache<u64, Request>,
}

impl Quick {
    pub(crate) fn new(inner: Echo) -> Self {
        let cache = quick_cache::sync::Cache::new(2 * ENTRIES as usize);
        Self {
            inner,
            cache: cache.into(),
        }
    }
}

impl Moka {
    pub(crate) fn new(inner: Echo) -> Self {
        Self {
            inner,
            cache: moka::future::Cache::new(2 * ENTRIES),
        }
    }
}

/// Fills a cache when the service has answered.
pub(crate) struct Filling {
    answer: Answer,
    key: u64,
    cache: std::sync::Arc<quick_cache::sync::Cache<u64, Request>>,
}

impl Future for Filling {
    type Output = Result<Request, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = std::task::ready!(Pin::new(&mut self.answer).poll(cx))?;
        self.cache.insert(self.key, answered);
        Poll::Ready(Ok(answered))
    }
}

impl Service<Request> for Quick {
    type Response = Request;
    type Error = Infallible;
    type Future = Either<Ready<Result<Request, Infallible>>, Filling>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let key = request.one_of(ENTRIES);
        match self.cache.get(&key) {
            Some(answer) => Either::Left(ready(Ok(answer))),
            None => Either::Right(Filling {
                answer: self.inner.call(request),
                key,
                cache: self.cache.clone(),
            }),
        }
    }
}

impl Service<Request> for Moka {
    type Response = Request;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Request, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (cache, mut inner) = (self.cache.clone(), self.inner.clone());
        Box::pin(async move {
            let key = request.one_of(ENTRIES);
            if let Some(answer) = cache.get(&key).await {
                return Ok(answer);
            }
            let answer = inner.call(request).await?;
            cache.insert(key, answer).await;
            Ok(answer)
        })
    }
}
