//! Every request ends in exactly one way, and so does the gateway.

use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use hedgerow_gateway::Gateway;
use tokio::time::{sleep, timeout};

use crate::up::{
    CHAT, Up, at, chat, chunk, client, events, gateway, json, metric, until, upstream,
};

fn ended(end: &str) -> String {
    format!("hedgerow_requests_ended_total{{route=\"{CHAT}\",end=\"{end}\"}}")
}

async fn counts(gateway: &Gateway) -> (u64, Vec<u64>) {
    let came = metric(
        gateway,
        &format!("hedgerow_requests_total{{route=\"{CHAT}\"}}"),
    )
    .await;
    let mut ends = Vec::new();
    for end in ["2xx", "4xx", "5xx", "broken", "cancelled"] {
        ends.push(metric(gateway, &ended(end)).await);
    }
    (came, ends)
}

#[tokio::test]
async fn what_came_in_is_answered_broken_or_cancelled() {
    let up = Up::start(|at, _| match at % 4 {
        0 => json(200, "{}", 0),
        1 => json(400, "{}", 0),
        2 => json(200, "{}", 30_000),
        _ => events(vec![(0, chunk("a")), (30_000, chunk("b"))]),
    })
    .await;
    let gateway = gateway(&format!(
        "{}[[route]]\npath = {CHAT:?}\ntotal_timeout = \"none\"\n",
        upstream("up", &up)
    ))
    .await;
    for _ in 0..12 {
        // Whoever has no answer in time leaves; whoever has a part of one, too.
        let ask = async { chat(&gateway, "{}").await.bytes().await };
        let _ = timeout(Duration::from_millis(150), ask).await;
    }
    until(async || counts(&gateway).await.1.iter().sum::<u64>() == 12).await;
    assert_eq!(counts(&gateway).await, (12, vec![3, 3, 0, 0, 6]));
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_told_as_such() {
    let up = Up::start(|_, _| {
        Box::pin(async {
            let frames = vec![Ok(chunk("a")), Err(std::io::Error::other("off"))];
            let body =
                axum::body::Body::from_stream(futures::stream::iter(frames).then(async |frame| {
                    sleep(Duration::from_millis(20)).await;
                    frame
                }));
            http::Response::builder()
                .header("content-type", "text/event-stream")
                .body(body)
                .expect("an answer")
        })
    })
    .await;
    let gateway = gateway(&upstream("up", &up)).await;
    let answer = chat(&gateway, "{}").await;
    assert!(
        answer.bytes().await.is_err(),
        "a cut answer is no whole one"
    );
    until(async || metric(&gateway, &ended("broken")).await == 1).await;
}

#[tokio::test]
async fn closing_answers_what_runs_and_cuts_off_what_does_not_end() {
    let up = Up::start(|_, asked| match asked.body.as_ref() {
        b"{\"stream\":true}" => events((0..1_000).map(|_| (50, chunk("a"))).collect()),
        _ => json(200, "{\"late\":1}", 400),
    })
    .await;
    let gateway = gateway(&format!("drain = \"1s\"\n{}", upstream("up", &up))).await;
    let address = gateway.address();
    let url = at(&gateway, CHAT);
    let ask = |body: &'static str| client().post(&url).body(body).send();
    let stream = ask("{\"stream\":true}").await.expect("an answer");
    let running = (0..8).map(|_| async {
        let answer = ask("{}").await.expect("an answer");
        answer.text().await.expect("a text")
    });
    let close = async {
        sleep(Duration::from_millis(100)).await;
        gateway.close().await
    };
    let (answers, cut) = tokio::join!(join_all(running), close);
    assert!(answers.iter().all(|answer| answer == "{\"late\":1}"));
    assert_eq!(cut, 1, "the stream, and nothing else");
    let rest: Vec<_> = stream.bytes_stream().collect().await;
    assert!(
        rest.last().is_some_and(Result::is_err),
        "a cut stream is no whole one"
    );
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "it accepts no more"
    );
}
