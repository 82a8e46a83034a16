//! The stack around a channel. Against a real channel it stands in the top-level tests.

use std::convert::Infallible;

use bytes::Bytes;
use hedgerow_core::{Idempotent, Replay};
use hedgerow_http::{GrpcLayer, HttpBuildError, ReplayableBody};
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::layer::layer_fn;
use tower::{Layer, Service, ServiceExt};

type Tonic = tonic::body::Body;

/// Sends a copy as well, if there is one, and concatenates the answers.
fn twice<S>(
    inner: S,
) -> impl Service<Request<ReplayableBody<Tonic>>, Response = String, Error = Infallible>
where
    S: Service<Request<ReplayableBody<Tonic>>, Response = String, Error = Infallible> + Clone,
{
    tower::service_fn(move |mut request: Request<ReplayableBody<Tonic>>| {
        let inner = inner.clone();
        async move {
            let copy = request.replay();
            let mut text = inner.clone().oneshot(request).await?;
            if let Some(copy) = copy {
                text += &inner.oneshot(copy).await?;
            }
            Ok(text)
        }
    })
}

async fn channel(request: Request<Tonic>) -> Result<String, Infallible> {
    let body = request
        .into_body()
        .collect()
        .await
        .expect("a whole body")
        .to_bytes();
    Ok(String::from_utf8(body.to_vec()).expect("text"))
}

fn call(path: &str) -> Request<Tonic> {
    let body = Tonic::new(Full::new(Bytes::from_static(b"message ")));
    Request::post(format!("http://h.test{path}"))
        .body(body)
        .expect("valid")
}

#[tokio::test]
async fn only_named_paths_and_marked_calls_are_sent_twice() {
    let layer = GrpcLayer::new(layer_fn(twice)).idempotent_paths(["/a.B/Get"]);
    let send = |request| layer.layer(tower::service_fn(channel)).oneshot(request);
    assert_eq!(send(call("/a.B/Get")).await, Ok("message message ".into()));
    assert_eq!(send(call("/a.B/Set")).await, Ok("message ".into()));
    let mut marked = call("/a.B/Set");
    marked.extensions_mut().insert(Idempotent);
    assert_eq!(send(marked).await, Ok("message message ".into()));
    let stats = layer.body_stats();
    assert_eq!((stats.shared, stats.not_replayable), (2, 1));
}

#[tokio::test]
async fn a_message_beyond_the_cap_is_sent_once() {
    let layer = GrpcLayer::new(layer_fn(twice))
        .idempotent_paths(["/a.B/*"])
        .cap_bytes(7);
    let sent = layer
        .layer(tower::service_fn(channel))
        .oneshot(call("/a.B/Get"));
    assert_eq!(sent.await, Ok("message ".into()));
    assert_eq!(layer.body_stats().too_large, 1);
}

#[test]
fn bad_settings_are_refused() {
    let layer = GrpcLayer::new(());
    let error = layer.clone().try_idempotent_paths(["a.B/Get"]);
    assert!(matches!(error, Err(HttpBuildError::Path { .. })));
    assert!(matches!(layer.try_cap_bytes(0), Err(HttpBuildError::Cap)));
}

/// A generated client takes it.
#[tokio::test]
async fn around_a_channel_it_is_a_service_that_generated_clients_take() {
    fn generated<T>(_: &T)
    where
        T: tonic::client::GrpcService<Tonic> + Clone + Send + Sync + 'static,
        T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    {
    }
    let channel = tonic::transport::Channel::from_static("http://127.0.0.1:1").connect_lazy();
    let layer = GrpcLayer::new(tower::layer::util::Identity::new());
    generated(&layer.layer(channel));
}
