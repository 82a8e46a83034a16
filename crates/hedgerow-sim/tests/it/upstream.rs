//! Promises of the scripted upstream. Real sockets, so real time: nothing here asserts a duration.

use std::time::Duration;

use bytes::Bytes;
use hedgerow_sim::{BindError, Counts, Law, Upstream};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

type HttpClient = Client<HttpConnector, Empty<Bytes>>;

fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn upstream(law: Law) -> Upstream {
    Upstream::bind(([127, 0, 0, 1], 0).into(), law, 1)
        .await
        .expect("a free port")
}

async fn get(client: &HttpClient, upstream: &Upstream) -> Bytes {
    let url = format!("http://{}/", upstream.address())
        .parse()
        .expect("a URL");
    let answer = client.get(url).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes()
}

#[tokio::test]
async fn every_request_is_answered_and_counted() {
    let upstream = upstream(Law::w4()).await;
    let client = client();
    for _ in 0..20 {
        assert_eq!(get(&client, &upstream).await, "ok\n");
    }
    assert_eq!(
        upstream.close().await,
        Counts {
            requests: 20,
            answered: 20,
            abandoned: 0
        }
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_is_counted_as_abandoned() {
    let upstream = upstream(Law::w1()).await;
    let client = client();
    let mut abandoned = 0;
    while abandoned < 3 {
        // Shorter than nearly every answer of w1; the fast ones do not matter.
        let call = tokio::time::timeout(Duration::from_millis(4), get(&client, &upstream));
        abandoned += u64::from(call.await.is_err());
    }
    let counts = upstream.close().await;
    // A call can be given up before its request is on the wire, or after its answer was sent.
    assert!(counts.abandoned >= 1, "{counts:?}");
    assert_eq!(counts.requests, counts.answered + counts.abandoned);
}

#[tokio::test]
async fn closing_lets_a_running_answer_end() {
    let upstream = upstream(Law::w1()).await;
    let client = client();
    let url = format!("http://{}/", upstream.address())
        .parse()
        .expect("a URL");
    let running = tokio::task::JoinSet::from_iter([client.get(url)]);
    while upstream.counts().requests == 0 {
        tokio::task::yield_now().await;
    }
    let counts = upstream.close().await;
    let answers = running.join_all().await;
    assert_eq!(
        counts,
        Counts {
            requests: 1,
            answered: 1,
            abandoned: 0
        }
    );
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[tokio::test]
async fn a_port_in_use_is_refused_with_what_to_change() {
    let first = upstream(Law::w4()).await;
    let error = Upstream::bind(first.address(), Law::w4(), 1)
        .await
        .expect_err("in use");
    assert!(matches!(error, BindError::InUse { .. }));
    assert!(
        error
            .to_string()
            .contains("write another, or 0 for a free one"),
        "{error}"
    );
}

#[tokio::test]
async fn an_address_of_another_machine_is_refused() {
    let elsewhere = ([192, 0, 2, 1], 0).into();
    let error = Upstream::bind(elsewhere, Law::w4(), 1)
        .await
        .expect_err("not ours");
    assert!(
        error.to_string().contains("an address of this machine"),
        "{error}"
    );
}

#[tokio::test]
async fn dropping_it_frees_the_port() {
    let first = upstream(Law::w4()).await;
    let address = first.address();
    drop(first);
    // The accepting task is dropped when the runtime next has a turn.
    while Upstream::bind(address, Law::w4(), 1).await.is_err() {
        tokio::task::yield_now().await;
    }
}
