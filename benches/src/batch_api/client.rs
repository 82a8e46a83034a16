//! All rows through the client, as calls.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use hedgerow_openai::batch::{BatchClient, JournalBuilder};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Options;
use crate::cpu;

/// What all rows took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

pub(super) fn run(url: &str, options: &Options) -> anyhow::Result<Took> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (start, cpu) = (Instant::now(), cpu::of_this_thread()?);
    runtime.block_on(calls(url, options))?;
    Ok(Took {
        wall: start.elapsed(),
        cpu: Duration::from_nanos(cpu::of_this_thread()?.saturating_sub(cpu)),
    })
}

/// What a row asks: some hundred bytes, as short questions have.
pub(super) fn question(number: usize) -> String {
    format!(
        r#"{{"model":"gpt-5-mini","messages":[{{"role":"user","content":"What is the square of {number}?"}}]}}"#
    )
}

async fn calls(url: &str, options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut builder = BatchClient::builder()
        .base_url(url)
        .api_key("a-key")
        .batch_size(options.batch)
        // Full batches, but for the last one.
        .batch_window(Duration::from_secs(5))
        .poll_interval(Duration::from_millis(100))
        .max_pending(options.open);
    if options.journal {
        builder = builder.journal(JournalBuilder::new(folder.path().join("journal")));
    }
    let client = builder.try_build(http)?;
    // Tasks of their own: in one task, tokio's budget would have all of them polled again and again.
    let call = |number: usize| {
        let client = client.clone();
        async move {
            let body = Full::new(Bytes::from(question(number)));
            let request = Request::post("/v1/chat/completions").body(body)?;
            let answer = client
                .send(request)
                .await
                .map_err(anyhow::Error::from_boxed)?;
            anyhow::ensure!(answer.status() == 200, "{}", answer.status());
            let body = answer.into_body().collect().await?.to_bytes();
            // The mock repeats the question: it is this row's own answer.
            let asked = format!("square of {number}?");
            let found = body
                .windows(asked.len())
                .any(|part| part == asked.as_bytes());
            anyhow::ensure!(found, "row {number} has another's answer");
            anyhow::Ok(())
        }
    };
    let mut numbers = (0..options.rows).map(call);
    let mut open: JoinSet<_> = numbers.by_ref().take(options.open).collect();
    while let Some(done) = open.join_next().await {
        done?.context("a call")?;
        if let Some(call) = numbers.next() {
            open.spawn(call);
        }
    }
    client.close().await;
    Ok(())
}
