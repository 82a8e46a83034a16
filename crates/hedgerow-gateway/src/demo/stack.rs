//! The client under test: an HTTP client, hedged as a policy says.

use std::sync::Arc;

use bytes::Bytes;
use hedgerow::policy::{Adaptive, BackoffConfig};
use hedgerow::{Attempt, HedgeHandle, HedgeLayer, HedgePolicy};
use http::{Request, Response, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

use crate::policy::Strategy;

/// A GET.
pub(super) type Get = Request<Empty<Bytes>>;

/// A client, hedged or not.
pub(super) type HttpService = BoxCloneSyncService<Get, Response<Incoming>, Error>;

type HttpClient = Client<HttpConnector, Empty<Bytes>>;

/// The client for `strategy`, and the handle of its hedge layer if it has one.
///
/// An extra copy goes to the next of `servers`.
pub(super) fn stack(
    strategy: &Strategy,
    servers: &Arc<[Uri]>,
) -> (HttpService, Option<HedgeHandle>) {
    const CHECKED: &str = "the policy was built once when it was parsed";
    match strategy {
        Strategy::None => (BoxCloneSyncService::new(client()), None),
        Strategy::Off => hedged(HedgeLayer::off(), servers),
        Strategy::Fixed(delay) => hedged(HedgeLayer::try_fixed(*delay).expect(CHECKED), servers),
        Strategy::Percentile(p) => hedged(HedgeLayer::try_percentile(*p).expect(CHECKED), servers),
        Strategy::Adaptive(None) => hedged(HedgeLayer::new(Adaptive::default()), servers),
        Strategy::Adaptive(Some(delays)) => {
            let delays = delays.iter().copied();
            hedged(HedgeLayer::try_adaptive(delays).expect(CHECKED), servers)
        }
        Strategy::Backoff => hedged(HedgeLayer::backoff(BackoffConfig::default()), servers),
        Strategy::Tower(_)
        | Strategy::FixedAt(_)
        | Strategy::Class(_)
        | Strategy::Key(_)
        | Strategy::Workload(_)
        | Strategy::Retry(_)
        | Strategy::Stack(_) => unreachable!("the demo refuses it before it measures"),
        Strategy::Parallel(copies) => {
            hedged(HedgeLayer::try_parallel(*copies).expect(CHECKED), servers)
        }
        Strategy::Schedule(delays) => {
            let delays = delays.iter().copied();
            hedged(HedgeLayer::try_schedule(delays).expect(CHECKED), servers)
        }
    }
}

fn hedged<P>(layer: HedgeLayer<P>, servers: &Arc<[Uri]>) -> (HttpService, Option<HedgeHandle>)
where
    P: HedgePolicy<Get> + 'static,
{
    let servers = Arc::clone(servers);
    let layer = layer
        .edit(move |copy: &mut Get, attempt: Attempt| go_elsewhere(copy, attempt, &servers))
        .http();
    let handle = layer.handle();
    let service = ServiceBuilder::new().layer(layer).service(client());
    (BoxCloneSyncService::new(service), Some(handle))
}

/// Sends copy *n* to the *n*-th server after the one that the request was for.
fn go_elsewhere(copy: &mut Get, attempt: Attempt, servers: &[Uri]) {
    let first = servers
        .iter()
        .position(|server| server == copy.uri())
        .unwrap_or(0);
    let next = (first + attempt.index() as usize) % servers.len();
    copy.uri_mut().clone_from(&servers[next]);
}

fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_attempts_of_a_call_go_to_the_same_server() {
        let servers = ["http://a/", "http://b/", "http://c/"].map(Uri::from_static);
        for first in &servers {
            let mut seen = vec![first.clone()];
            for index in 1..=2 {
                let mut copy = Request::get(first)
                    .body(Empty::new())
                    .expect("a valid request");
                go_elsewhere(&mut copy, Attempt::new(index), &servers);
                assert!(
                    !seen.contains(copy.uri()),
                    "copy {index} of a call to {first}"
                );
                seen.push(copy.uri().clone());
            }
        }
    }
}
