// A `String` does not say that it may be sent twice.
//
// says: `String` does not say that it may be sent twice: it does not implement `Replay`
// says: write `.clone_requests()` on the layer
// says: write `.replay_with(|request: &mut String| ...)` on the layer

use hedgerow::HedgeLayer;
use tower::{Layer, Service};

fn needs<S: Service<String>>(_: S) {}

fn main() {
    let client = tower::service_fn(async |text: String| Ok::<_, ()>(text));
    needs(HedgeLayer::percentile(95).layer(client));
}
