//! Clients of others, unchanged, through the Batch API: async-openai and reqwest.
//!
//! The API is a mock on a loopback socket; with a base URL and a key of one's own it is the real one.
//!
//! ```text
//! cargo run -p hedgerow-examples --example batch_clients
//! ```

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::time::Duration;

use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessageArgs, CreateChatCompletionRequestArgs,
};
use hedgerow_openai::batch::BatchClient;
use hedgerow_sim::batch_api::MockBatchApi;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let api = MockBatchApi::bind(([127, 0, 0, 1], 0).into()).await?;
    let url = api.url();
    let client = BatchClient::builder()
        .no_api_key()
        .base_url(&*url)
        // A second instead of ten, so that the example is soon over.
        .batch_window(Duration::from_secs(1))
        .poll_interval(Duration::from_millis(100))
        .build(Client::builder(TokioExecutor::new()).build_http());

    let (one, other) = tokio::join!(by_async_openai(&client, &url), by_reqwest(&client, &url),);
    println!("async-openai: {}", one?);
    println!("reqwest:      {}", other?);
    // Both were rows of one batch.
    println!("batches:      {}", api.counts().batches);
    client.close().await;
    Ok(())
}

async fn by_async_openai(client: &BatchClient, url: &str) -> Result<String, Error> {
    let client = client.clone();
    let service = tower::service_fn(move |request: HttpRequestFactory| {
        let client = client.clone();
        async move {
            let request: hyper::http::Request<reqwest::Body> = request.build().await?.try_into()?;
            let answer = client.send(request).await;
            let answer = answer.map_err(|error| OpenAIError::InvalidArgument(error.to_string()))?;
            Ok::<_, OpenAIError>(answer.map(reqwest::Body::wrap).into())
        }
    });
    let config = OpenAIConfig::new().with_api_base(url).with_api_key("none");
    let openai = async_openai::Client::with_config(config).with_http_service(service);
    let message = ChatCompletionRequestUserMessageArgs::default()
        .content("What is the capital of Italy?")
        .build()?;
    let request = CreateChatCompletionRequestArgs::default()
        .model("gpt-5-mini")
        .messages([message.into()])
        .build()?;
    let answer = openai.chat().create(request).await?;
    let choice = answer.choices.into_iter().next();
    Ok(choice
        .and_then(|choice| choice.message.content)
        .unwrap_or_default())
}

async fn by_reqwest(client: &BatchClient, url: &str) -> Result<String, Error> {
    let body = r#"{"model":"gpt-5-mini","messages":[{"role":"user","content":"And of France?"}]}"#;
    let request = reqwest::Client::new()
        .post(format!("{url}/chat/completions"))
        .body(body)
        .build()?;
    let request: hyper::http::Request<reqwest::Body> = request.try_into()?;
    let answer = client.send(request).await?;
    let answer = reqwest::Response::from(answer.map(reqwest::Body::wrap));
    let answer: serde_json::Value = serde_json::from_str(&answer.text().await?)?;
    let text = answer["choices"][0]["message"]["content"].as_str();
    Ok(text.unwrap_or_default().to_owned())
}
