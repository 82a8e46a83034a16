//! A stream of tokens through a whole stack: what each chunk allocates.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hedgerow::{BoxError, LlmClientLayer, ReplayBodyLayer, responding};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Runtime;
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::allocations;

const ROLE: Bytes = Bytes::from_static(
    b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
);
const TOKEN: Bytes = Bytes::from_static(
    b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"token\"},\"finish_reason\":null}]}\n\n",
);
/// What a whole answer allocates is taken off by asking for a short one as well.
const SHORT: u64 = 100;
const LONG: u64 = 10_100;

/// What the stack is given: so many tokens, none of which is allocated.
struct Tokens {
    begun: bool,
    left: u64,
}

impl Body for Tokens {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.begun {
            self.begun = true;
            return Poll::Ready(Some(Ok(Frame::data(ROLE))));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(TOKEN))))
    }
}

/// Allocations for each chunk of a stream that passes through every layer.
pub(crate) fn allocations_per_chunk(runtime: &Runtime) -> f64 {
    let stack = ServiceBuilder::new()
        .layer(responding())
        .layer(ReplayBodyLayer::new())
        .layer(LlmClientLayer::new())
        .service_fn(async |request: Request<_>| {
            let left = *request.extensions().get::<u64>().expect("put there below");
            let mut answer = Response::new(Tokens { begun: false, left });
            let kind = http::HeaderValue::from_static("text/event-stream");
            answer.headers_mut().insert("content-type", kind);
            drop::<Request<hedgerow::ReplayableBody<Full<Bytes>>>>(request);
            Ok::<_, BoxError>(answer)
        });
    let read = |tokens: u64| {
        let stack = stack.clone();
        allocations::during(|| runtime.block_on(read(stack, tokens)))
    };
    // Histograms and the like are made by the first call.
    read(SHORT);
    let (short, long) = (read(SHORT), read(LONG));
    (long as f64 - short as f64) / (LONG - SHORT) as f64
}

async fn read<S, B>(stack: S, tokens: u64)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + Unpin,
{
    let request = Request::post("http://model.test/v1/chat/completions")
        .extension(tokens)
        .body(Full::from("a question"))
        .expect("a valid request");
    let Ok(answer) = stack.oneshot(request).await;
    let mut body = answer.into_body();
    let mut chunks = 0;
    while let Some(Ok(_)) = body.frame().await {
        chunks += 1;
    }
    assert_eq!(chunks, tokens + 1, "the whole stream has passed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_stream_passes() -> anyhow::Result<()> {
        let runtime = crate::drive::runtime()?;
        assert!(allocations_per_chunk(&runtime) < 3.0);
        Ok(())
    }
}
