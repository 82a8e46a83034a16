//! The client beneath a layer that collects by itself.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hedgerow::BoxError;
use hedgerow::crates::batch::Batch;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::client::Rows;

/// A [`BatchClient`](super::BatchClient) as a backend of [`BatchLayer`](hedgerow::BatchLayer).
///
/// What the layer hands over goes to the API at once, without another window. Items are answered one by one,
/// as their lines come; an item that fails touches no other.
///
/// # Drop
///
/// The layer drops a batch whose callers have all left. Its rows go on at the API all the same, and with a
/// journal their answers wait for who asks again.
#[derive(Clone)]
pub struct BatchBackend {
    rows: Rows,
}

impl BatchBackend {
    pub(super) const fn new(rows: Rows) -> Self {
        Self { rows }
    }
}

impl<B> Service<Batch<Request<B>, Response<Full<Bytes>>>> for BatchBackend
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = ();
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch<Request<B>, Response<Full<Bytes>>>) -> Self::Future {
        let rows = self.rows.clone();
        Box::pin(async move {
            let send = |request: Request<B>| {
                let mut rows = rows.clone();
                async move {
                    std::future::poll_fn(|cx| Service::<Request<B>>::poll_ready(&mut rows, cx))
                        .await?;
                    rows.call(request).await
                }
            };
            let mut items: FuturesUnordered<_> = batch
                .into_iter()
                .map(|item| {
                    let answer = send(item.request);
                    async move { item.reply.settle(answer.await) }
                })
                .collect();
            // Once each has been polled, what they ask has been collected.
            let mut polled = false;
            std::future::poll_fn(|cx| {
                loop {
                    match items.poll_next_unpin(cx) {
                        Poll::Ready(Some(())) => {}
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Pending if polled => return Poll::Pending,
                        Poll::Pending => {
                            polled = true;
                            rows.handle.engine.flush();
                            return Poll::Pending;
                        }
                    }
                }
            })
            .await;
            Ok(())
        })
    }
}

// === impl Debug ===

impl fmt::Debug for BatchBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBackend").finish_non_exhaustive()
    }
}
