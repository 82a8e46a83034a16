//! One call with all that it takes, over both clients.

use std::time::Duration;

use futures::FutureExt;
use hedgerow::{Gate, Overloaded, Rate, Usage, cause_ref};
use hedgerow_openai::CallError;
use hedgerow_openai::openai::EmbeddingsRequest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clients::{CHAT, MESSAGE, anthropic, chat, message, openai};
use crate::script::{Piece, Provider, data};

#[tokio::test(start_paused = true)]
async fn a_call_is_tried_four_times_and_tells_text_usage_and_what_it_took() {
    let provider = Provider::default();
    provider.answers_json(429, "{}");
    provider.fails();
    provider.answers_json(529, "{}");
    provider.answers_json(200, CHAT);
    let done = openai(&provider).complete(chat()).await.unwrap();
    assert_eq!(done.value.text(), "Rome");
    assert_eq!(done.usage, Some(Usage::new(3, 2)));
    assert_eq!(done.took.attempts, 4);

    for _ in 0..9 {
        provider.answers_json(503, "{}");
    }
    let error = anthropic(&provider).complete(message()).await.unwrap_err();
    assert_eq!(error.took.attempts, 4);
    let cause = cause_ref::<CallError>(&error).unwrap();
    assert_eq!(cause.api().unwrap().status, 503);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_would_be_repeated_is_not_tried_again() {
    for body in [
        r#"{"error":{"message":"m"}}"#,
        r#"{"error":{"message":"m","code":"insufficient_quota"}}"#,
    ] {
        let provider = Provider::default();
        let status = if body.contains("quota") { 429 } else { 400 };
        provider.answers_json(status, body);
        provider.answers_json(200, CHAT);
        let error = openai(&provider).complete(chat()).await.unwrap_err();
        assert_eq!(error.took.attempts, 1, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_comes_back_when_the_provider_says_so() {
    let provider = Provider::default();
    let response = http::Response::builder()
        .status(429)
        .header("retry-after-ms", "7250");
    provider.answers(response.body(Vec::new()).unwrap());
    provider.answers_json(200, MESSAGE);
    let start = Instant::now();
    let done = anthropic(&provider).complete(message()).await.unwrap();
    assert_eq!(done.value.text(), "Rome");
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(7_250), "{waited:?}");
    assert!(waited < Duration::from_millis(7_260), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_reserved_is_settled_to_what_was_used() {
    let gate = Gate::builder().rate(Rate::tokens_per_minute(1_000)).build();
    let provider = Provider::default();
    provider.answers_json(200, CHAT);
    openai(&provider)
        .complete(chat())
        .gate(&gate)
        .cost(900)
        .await
        .unwrap();
    assert_eq!(gate.left(0, None).await, Some(995));
    provider.answers_json(
        200,
        r#"{"data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}"#,
    );
    let vectors = EmbeddingsRequest::new("m", "x");
    openai(&provider)
        .complete(vectors)
        .gate(&gate)
        .cost(900)
        .await
        .unwrap();
    assert_eq!(gate.left(0, None).await, Some(987));
    let error = openai(&provider)
        .complete(chat())
        .gate(&gate)
        .cost(2_000)
        .await
        .unwrap_err();
    assert!(cause_ref::<Overloaded>(&error).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_tried_again_before_its_first_content_and_never_after() {
    let role = r#"data: {"choices":[{"delta":{"role":"assistant"}}]}"#;
    let text = |text: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    let provider = Provider::default();
    provider.streams(vec![data(format!("{role}\n\n")), Piece::Breaks]);
    provider.streams(vec![data(format!("{role}\n\n"))]);
    provider.streams(vec![data(
        "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\"}}\n\n",
    )]);
    provider.streams(vec![
        data(format!("{role}\n\n")),
        data(text("a")),
        data(text("b")),
        Piece::Breaks,
    ]);
    provider.streams(vec![data(text("never"))]);
    let done = openai(&provider).complete_streamed(chat()).await.unwrap();
    assert_eq!(done.took.attempts, 4);
    let mut stream = done.value;
    let mut said = String::new();
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(chunk) => said.push_str(chunk.text()),
            Err(error) => break error,
        }
    };
    assert_eq!(said, "ab");
    assert!(matches!(error, CallError::Body { .. }));
    assert!(stream.next().await.is_none());
    assert_eq!(provider.asked().len(), 4);

    let start =
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\n";
    provider.streams(vec![]);
    let provider = Provider::default();
    provider.streams(vec![data(start), Piece::Breaks]);
    provider.streams(vec![
        data(start),
        data("data: {\"type\":\"message_stop\"}\n\n"),
    ]);
    let done = anthropic(&provider)
        .complete_streamed(message())
        .await
        .unwrap();
    assert_eq!(done.took.attempts, 2);
    done.value.collect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_try_that_hangs_before_its_first_content_ends_by_its_timeout() {
    let provider = Provider::default();
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
    provider.streams(vec![data(role), Piece::Hangs]);
    provider.streams(vec![
        data("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"),
        Piece::Hangs,
    ]);
    let call = openai(&provider).complete_streamed(chat());
    let done = call.attempt_timeout(Duration::from_secs(5)).await.unwrap();
    assert_eq!(done.took.attempts, 2);
    assert_eq!(provider.alive(), 1, "the first one was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_cancelled_from_outside_in_a_try_and_in_a_wait() {
    let provider = Provider::default();
    provider.answers(http::Response::new(vec![Piece::Hangs]));
    let token = CancellationToken::new();
    let mut call = openai(&provider)
        .complete(chat())
        .cancel_on(token.clone())
        .into_future();
    assert!((&mut call).now_or_never().is_none());
    assert_eq!(provider.alive(), 1);
    token.cancel();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(provider.alive(), 0);

    let response = http::Response::builder()
        .status(429)
        .header("retry-after", "30");
    provider.answers(response.body(Vec::new()).unwrap());
    let token = CancellationToken::new();
    let call = anthropic(&provider)
        .complete(message())
        .cancel_on(token.clone())
        .into_future();
    let start = Instant::now();
    let (result, ()) = tokio::join!(call, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        token.cancel();
    });
    assert!(result.unwrap_err().is_cancelled());
    assert!(start.elapsed() < Duration::from_secs(2));

    let token = CancellationToken::new();
    provider.streams(vec![Piece::Hangs]);
    let mut call = openai(&provider)
        .complete_streamed(chat())
        .cancel_on(token.clone())
        .into_future();
    assert!((&mut call).now_or_never().is_none());
    token.cancel();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(provider.alive(), 0);
}
