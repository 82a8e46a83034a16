// The same through `ServiceExt`, as most people meet it.
//
// says: does not say that it may be sent twice: it does not implement `Replay`

use hedgerow::HedgeLayer;
use tower::{Layer, ServiceExt};

fn main() {
    let client = tower::service_fn(async |text: String| Ok::<_, ()>(text));
    let service = HedgeLayer::percentile(95).layer(client);
    let _ = ServiceExt::<String>::oneshot(service, String::new());
}
