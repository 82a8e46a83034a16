//! A deadline on its way through several services.

use std::convert::Infallible;
use std::time::Duration;

use hedgerow_core::Deadline;
use hedgerow_http::{DeadlineHeader, ReceiveDeadlineLayer, SendDeadlineLayer};
use http::Request;
use tokio::time::Instant;
use tower::{Service, ServiceBuilder, ServiceExt};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn left() -> Option<Duration> {
    let now = Instant::now().into_std();
    Deadline::current().map(|deadline| deadline.left(now))
}

fn told(value: &str) -> Request<()> {
    let request = Request::builder().header("hedgerow-timeout-ms", value);
    request.body(()).expect("valid")
}

/// A server that says how much time it has.
fn server(
    layer: ReceiveDeadlineLayer,
) -> impl Service<Request<()>, Response = Option<Duration>, Error = Infallible> + Clone {
    ServiceBuilder::new()
        .layer(layer)
        .service_fn(async |request: Request<()>| {
            let carried = request.extensions().get::<Deadline>().copied();
            assert_eq!(carried, Deadline::current());
            Ok(left())
        })
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_says_holds_for_everything_beneath() {
    let server = server(ReceiveDeadlineLayer::http());
    let answer = async |value: &str| server.clone().oneshot(told(value)).await;
    assert_eq!(answer("250").await, Ok(Some(ms(250))));
    assert_eq!(answer("0").await, Ok(Some(ms(0))));
    for hostile in ["", "-5", "soon", "99999999999999", "1e9"] {
        assert_eq!(answer(hostile).await, Ok(None), "{hostile:?}");
    }
    assert_eq!(server.clone().oneshot(Request::new(())).await, Ok(None));
    // Three centuries are no overflow.
    assert!(answer("9999999999999").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_caller_can_shorten_what_holds_and_never_lengthen_it() {
    let layer = ReceiveDeadlineLayer::http()
        .at_most(ms(300))
        .reserve(ms(20));
    let server = server(layer);
    let answer = async |value: &str| server.clone().oneshot(told(value)).await;
    assert_eq!(answer("100").await, Ok(Some(ms(80))));
    assert_eq!(answer("10").await, Ok(Some(ms(0))));
    assert_eq!(answer("9999999999999").await, Ok(Some(ms(300))));
    assert_eq!(answer("nonsense").await, Ok(Some(ms(300))));
    assert_eq!(
        server.clone().oneshot(Request::new(())).await,
        Ok(Some(ms(300)))
    );
    // What holds outside is earlier.
    let outer = Deadline::at((Instant::now() + ms(50)).into_std());
    let mut server = server;
    let call = outer.scope(|| server.call(told("100")));
    assert_eq!(call.await, Ok(Some(ms(50))));
    let mut carried = told("100");
    carried.extensions_mut().insert(outer);
    assert_eq!(server.call(carried).await, Ok(Some(ms(50))));
}

#[tokio::test(start_paused = true)]
async fn what_was_spent_on_the_way_is_gone_at_the_next_server() {
    let last = server(ReceiveDeadlineLayer::grpc());
    let client = ServiceBuilder::new()
        .layer(SendDeadlineLayer::grpc())
        .service(last);
    let middle = ServiceBuilder::new()
        .layer(ReceiveDeadlineLayer::http())
        .service_fn(move |_: Request<()>| {
            let client = client.clone();
            async move {
                tokio::time::sleep(ms(40)).await;
                client.oneshot(Request::new(())).await
            }
        });
    assert_eq!(middle.clone().oneshot(told("100")).await, Ok(Some(ms(60))));
    // It had passed before the next one was asked.
    assert_eq!(middle.clone().oneshot(told("30")).await, Ok(Some(ms(0))));
    assert_eq!(middle.oneshot(Request::new(())).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_is_the_earliest_of_what_is_known() {
    let header = DeadlineHeader::named("x-left-ms");
    let mut client = ServiceBuilder::new()
        .layer(SendDeadlineLayer::with(header))
        .service_fn(async |request: Request<()>| {
            Ok::<_, Infallible>(request.headers().get("x-left-ms").cloned())
        });
    let at = |after| Deadline::at((Instant::now() + ms(after)).into_std());
    let mut sent = async |scope: Option<u64>, carried: Option<u64>, said: Option<&str>| {
        let mut request = Request::new(());
        if let Some(carried) = carried {
            request.extensions_mut().insert(at(carried));
        }
        if let Some(said) = said {
            let said = said.parse().expect("a value");
            request.headers_mut().insert("x-left-ms", said);
        }
        let call = Deadline::in_scope(scope.map(at), || client.call(request));
        let told = call.await.expect("it cannot fail")?;
        Some(told.to_str().expect("ASCII").to_owned())
    };
    assert_eq!(sent(None, None, None).await, None);
    assert_eq!(sent(Some(70), None, None).await.as_deref(), Some("70"));
    assert_eq!(sent(None, Some(70), None).await.as_deref(), Some("70"));
    assert_eq!(sent(Some(70), Some(50), None).await.as_deref(), Some("50"));
    assert_eq!(
        sent(Some(70), Some(90), Some("60")).await.as_deref(),
        Some("60")
    );
    assert_eq!(
        sent(Some(70), Some(90), Some("80")).await.as_deref(),
        Some("70")
    );
    assert_eq!(
        sent(Some(70), None, Some("nonsense")).await.as_deref(),
        Some("70")
    );
    assert_eq!(sent(None, None, Some("80")).await.as_deref(), Some("80"));
    tokio::time::sleep(ms(1)).await;
    assert_eq!(sent(Some(0), None, None).await.as_deref(), Some("0"));
}

#[test]
fn a_longest_time_of_nothing_is_refused() {
    let refused = ReceiveDeadlineLayer::grpc().try_at_most(Duration::ZERO);
    assert!(refused.is_err_and(|error| error.to_string().contains("above zero")));
}
