//! Everything is bounded: heads, bodies, slow clients, connections.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::up::{Up, events, gateway, json, metric, until, upstream};

/// What the gateway says to these bytes, until it closes the connection.
async fn raw(gateway: &hedgerow_gateway::Gateway, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.address())
        .await
        .expect("it connects");
    stream.write_all(bytes).await.expect("it writes");
    let mut said = Vec::new();
    let read = stream.read_to_end(&mut said);
    let _ = timeout(Duration::from_secs(20), read)
        .await
        .expect("it is closed");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn slow_heads_and_slow_bodies_are_given_up() {
    let up = Up::start(|_, _| json(200, "{}", 0)).await;
    let file = format!(
        "header_timeout = \"100ms\"\nbody_timeout = \"100ms\"\n{}",
        upstream("up", &up)
    );
    let gateway = gateway(&file).await;
    raw(
        &gateway,
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n",
    )
    .await;
    let said = raw(
        &gateway,
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{",
    )
    .await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(up.asked().is_empty());
}

#[tokio::test]
async fn framing_with_two_readings_is_refused() {
    let up = Up::start(|_, _| json(200, "{}", 0)).await;
    let gateway = gateway(&upstream("up", &up)).await;
    for head in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\nx: y\r\ncontent-length: 7\r\n",
        "content-length: +5\r\n",
        "transfer-encoding: chunked, x\r\n",
        "bad header: 1\r\n",
    ] {
        let text = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{head}\r\n0\r\n\r\nGET /v1/files HTTP/1.1\r\nhost: a\r\n\r\n"
        );
        let said = raw(&gateway, text.as_bytes()).await;
        assert!(!said.starts_with("HTTP/1.1 2"), "{head}: {said}");
    }
    let targets: Vec<_> = up.asked().into_iter().map(|asked| asked.target).collect();
    assert!(
        !targets.iter().any(|target| target == "/v1/files"),
        "{targets:?}"
    );
}

/// Its body does not wait in memory: upstream is read as slowly as the client reads.
#[tokio::test]
async fn a_client_that_takes_nothing_holds_back_upstream_and_is_given_up() {
    let megabyte = "x".repeat(1 << 20);
    let up = Up::start(move |_, _| {
        events(
            (0..64)
                .map(|_| (0, format!("data: {megabyte}\n\n")))
                .collect(),
        )
    })
    .await;
    let file = format!("write_timeout = \"300ms\"\n{}", upstream("up", &up));
    let gateway = gateway(&file).await;
    let mut stream = TcpStream::connect(gateway.address())
        .await
        .expect("it connects");
    let ask = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(ask).await.expect("it writes");
    // Nothing is read.
    let cancelled =
        "hedgerow_requests_ended_total{route=\"/v1/chat/completions\",end=\"cancelled\"}";
    until(async || metric(&gateway, cancelled).await == 1).await;
    drop(stream);
}

#[tokio::test]
async fn bodies_in_memory_are_bounded_in_all_and_given_back() {
    let up = Up::start(|_, _| json(200, "{}", 200)).await;
    let file = format!(
        "max_body_bytes = 1000\nmax_buffered_bytes = 1000\n{}",
        upstream("up", &up)
    );
    let gateway = gateway(&file).await;
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(600));
    let ask = async || crate::up::chat(&gateway, &body).await.status().as_u16();
    let (first, second) = tokio::join!(ask(), ask());
    let mut both = [first, second];
    both.sort_unstable();
    assert_eq!(both, [200, 503]);
    assert_eq!(ask().await, 200);
}
