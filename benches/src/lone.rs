//! One item that comes alone to a batching layer.

use std::convert::Infallible;

use hedgerow::{Batch, BatchLayer, Batching};
use tower::{Layer, Service, service_fn};

use crate::inner::{Echo, Request};

/// `BatchLayer::idle()` around a backend that asks `echo` for one item after the other.
pub(crate) fn lone(echo: Echo) -> Batching<Request, Request> {
    let backend = service_fn(move |batch: Batch<Request, Request>| {
        let mut echo = echo.clone();
        async move {
            for item in batch {
                let answer = echo.call(item.request).await;
                item.reply.settle(answer);
            }
            Ok::<_, Infallible>(())
        }
    });
    BatchLayer::idle().layer(backend)
}
