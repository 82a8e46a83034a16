// A method call hides the reason behind E0599: the docs of `HedgeLayer` say so, under "Which
// requests".
//
// says: error[E0599]: no method named `call` found

use hedgerow::HedgeLayer;
use tower::{Layer, Service};

fn main() {
    let client = tower::service_fn(async |text: String| Ok::<_, ()>(text));
    let mut service = HedgeLayer::percentile(95).layer(client);
    let _ = service.call(String::new());
}
