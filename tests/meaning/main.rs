//! What HTTP, gRPC and the streams of model servers mean, through the layers together and with clients
//! that know nothing of them.

mod timed;
mod first;
mod broken;
mod sent;
mod respond;
mod deadline;
mod cached;
mod service_config;

use std::time::Duration;

use hedgerow_tests::PATIENCE;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What on loopback takes no time at all.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it does not hang")
}
