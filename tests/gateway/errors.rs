//! Errors in the words of the route's provider.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::up::{Up, at, chat, client, gateway, header, json, post, upstream, value};

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_in_the_providers_envelope() {
    let up = Up::start(|_, _| json(200, "{}", 0)).await;
    let file = format!("max_body_bytes = 100\n{}", upstream("up", &up));
    let gateway = gateway(&file).await;
    let long = format!("{{\"model\":\"{}\"}}", "x".repeat(200));
    for (body, status, code) in [
        ("not json", 400, "invalid_body"),
        ("{\"model\":\"a\",\"model\":\"b\"}", 400, "invalid_body"),
        ("\u{0}\u{1}", 400, "invalid_body"),
        (long.as_str(), 413, "request_too_large"),
    ] {
        let answer = chat(&gateway, body).await;
        assert_eq!(answer.status(), status, "{body}");
        assert_eq!(header(&answer, "x-should-retry"), "false");
        let error = value(answer).await;
        assert_eq!(error["error"]["code"], code);
        assert_eq!(error["error"]["type"], "invalid_request_error");

        let answer = post(&gateway, "/v1/messages", body).await;
        let id = header(&answer, "x-request-id").to_owned();
        let error = value(answer).await;
        assert_eq!(
            (&error["type"], &error["request_id"]),
            (&"error".into(), &id.into())
        );
        assert!(error["error"]["message"].is_string());
    }
    assert!(up.asked().is_empty());
}

#[tokio::test]
async fn a_rate_that_is_used_up_says_when_to_come_back() {
    let up = Up::start(|_, _| json(200, "{}", 0)).await;
    let layer = "[[route]]\npath = \"/v1/chat/completions\"\n[[route.layer]]\nkind = \"admission\"\n\
                 rates = [{ requests = 1, per = \"1h\" }]\nmax_wait = \"10ms\"\n";
    let gateway = gateway(&format!("{}{layer}", upstream("up", &up))).await;
    assert_eq!(chat(&gateway, "{}").await.status(), 200);
    let answer = chat(&gateway, "{}").await;
    assert_eq!(answer.status(), 429);
    assert_eq!(header(&answer, "x-should-retry"), "true");
    let secs: u64 = header(&answer, "retry-after").parse().expect("seconds");
    assert!((3_500..=3_600).contains(&secs), "{secs}");
    let error = value(answer).await;
    assert_eq!(error["error"]["type"], "rate_limit_error");
    assert_eq!(up.asked().len(), 1);
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_a_504_and_an_upstream_that_is_away_a_502() {
    let up = Up::start(|_, _| json(200, "{}", 60_000)).await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let away = free.local_addr().expect("an address");
    drop(free);
    let file = format!(
        "{}[[upstream]]\nname = \"away\"\nurl = \"http://{away}\"\nkey_style = \"none\"\n\
         [[route]]\npath = \"/v1/chat/completions\"\ntotal_timeout = \"50ms\"\n\
         [[route]]\npath = \"/v1/messages\"\nupstream = \"away\"\ntotal_timeout = \"5s\"\n\
         [[route]]\npath = \"/v1/files/*\"\nupstream = \"away\"\n",
        upstream("up", &up)
    );
    let gateway = gateway(&file).await;
    let answer = chat(&gateway, "{}").await;
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "x-should-retry")),
        (504, "false")
    );
    let error = value(answer).await;
    assert_eq!(error["error"]["code"], "timeout");
    let answer = post(&gateway, "/v1/messages", "{}").await;
    assert_eq!(answer.status(), 502);
    let error = value(answer).await;
    assert_eq!(error["error"]["type"], "api_error");
    let files = format!("http://{}/v1/files/f", gateway.address());
    let answer = client().get(files).send().await.expect("an answer");
    assert_eq!(answer.status(), 502);
}

/// What upstream says is passed on in its own words, with a hint that it was tried again here.
#[tokio::test]
async fn an_error_of_upstreams_is_its_own() {
    const WORDS: &str = "{\"error\":{\"message\":\"broken\", \"x\":1.0}}";
    let up = Up::start(|_, _| json(500, WORDS, 0)).await;
    let gateway = gateway(&upstream("up", &up)).await;
    let answer = chat(&gateway, "{}").await;
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "x-should-retry")),
        (500, "false")
    );
    assert_eq!(
        header(&answer, "x-hedgerow-attempts"),
        up.asked().len().to_string()
    );
    assert_eq!(answer.text().await.expect("a text"), WORDS);
}

/// With layers that know of deadlines, and without any; where the file does not allow it, it is not read.
#[tokio::test]
async fn a_client_says_how_long_it_waits_where_the_file_allows_it() {
    let up = Up::start(|_, _| json(200, "{}", 250)).await;
    let file = format!(
        "{}[[route]]\npath = \"/v1/chat/completions\"\nallow = [\"timeout\"]\n\
         [[route]]\npath = \"/v1/files\"\nallow = [\"timeout\"]\n",
        upstream("up", &up)
    );
    let gateway = gateway(&file).await;
    let ask = async |path: &str, time: &str| {
        let request = client()
            .post(at(&gateway, path))
            .header("x-hedgerow-timeout", time);
        request.body("{}").send().await.expect("an answer")
    };
    for path in ["/v1/chat/completions", "/v1/files"] {
        let answer = ask(path, "30ms").await;
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "x-should-retry")),
            (504, "false"),
            "{path}"
        );
        assert_eq!(value(answer).await["error"]["code"], "timeout");
        assert_eq!(ask(path, "20s").await.status(), 200);
        let answer = ask(path, "soon").await;
        assert_eq!(answer.status(), 400);
        assert_eq!(value(answer).await["error"]["code"], "invalid_header");
    }
    assert_eq!(ask("/v1/embeddings", "1ms").await.status(), 200);
    assert!(
        up.asked()
            .iter()
            .all(|asked| !asked.headers.contains_key("x-hedgerow-timeout"))
    );
}

/// With the layers that hold by default, a hedge and a retry among them.
#[tokio::test]
async fn an_upstream_that_asks_to_wait_is_left_alone_so_long() {
    let up = Up::start(|at, _| match at {
        0 => Box::pin(async {
            let refusal = json(429, "{\"error\":{\"message\":\"slow\"}}", 0);
            let mut answer = refusal.await;
            let wait = http::HeaderValue::from_static("1");
            answer.headers_mut().insert("retry-after", wait);
            answer
        }),
        _ => json(200, "{}", 0),
    })
    .await;
    let gateway = gateway(&upstream("up", &up)).await;
    let ask =
        async { tokio::time::timeout(Duration::from_millis(700), chat(&gateway, "{}")).await };
    assert!(ask.await.is_err(), "it was answered at once");
    assert_eq!(up.asked().len(), 1);
    assert_eq!(chat(&gateway, "{}").await.status(), 200);
}

/// Whoever was not asked yet need not wait for the one who was.
#[tokio::test]
async fn another_entry_is_asked_at_once() {
    let busy = Up::start(|_, _| {
        Box::pin(async {
            let mut answer = json(429, "{}", 0).await;
            let wait = http::HeaderValue::from_static("30");
            answer.headers_mut().insert("retry-after", wait);
            answer
        })
    })
    .await;
    let free = Up::start(|_, _| json(200, "{\"by\":\"b\"}", 0)).await;
    let file = format!(
        "{}{}[[model]]\nname = \"m\"\nentries = [{{ upstream = \"a\" }}, {{ upstream = \"b\" }}]\n",
        upstream("a", &busy),
        upstream("b", &free)
    );
    let gateway = gateway(&file).await;
    let ask = tokio::time::timeout(Duration::from_secs(20), chat(&gateway, "{\"model\":\"m\"}"));
    let answer = ask.await.expect("it does not wait 30 s");
    assert_eq!(header(&answer, "x-hedgerow-upstream"), "b");
}
