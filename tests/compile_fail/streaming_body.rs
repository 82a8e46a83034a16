// A body that is still arriving cannot be sent twice.
//
// says: a body of type `Streaming` cannot be sent twice: it does not implement `ReplayBody`
// says: use `http_body_util::Full<Bytes>`
// says: put a `ReplayBodyLayer` outside of the layer that sends copies

use hedgerow::HedgeLayer;
use http::{Request, Response};
use tower::{Layer, Service};

struct Streaming;

fn needs<S: Service<Request<Streaming>>>(_: S) {}

fn main() {
    let client = tower::service_fn(async |_: Request<Streaming>| Ok::<_, ()>(Response::new(())));
    needs(HedgeLayer::percentile(95).http().layer(client));
}
