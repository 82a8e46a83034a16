// Nor is a `String` sent again by a retry, unless somebody says that it may.
//
// says: `String` does not say that it may be sent twice: it does not implement `Replay`
// says: write `.clone_requests()` on the layer

use hedgerow::{BoxError, RetryLayer};
use tower::{Layer, Service};

fn needs<S: Service<String>>(_: S) {}

fn main() {
    let client = tower::service_fn(async |text: String| Ok::<_, BoxError>(text));
    needs(RetryLayer::exponential().layer(client));
}
