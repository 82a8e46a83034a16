//! A thousand calls at once through the Batch API, in a process that is killed half way; the next one goes on.
//!
//! This process holds the API, a mock on this machine that charges for each row it accepts. The calls are made in a
//! process of its own, which is this program once more. It is killed by a signal that cannot be caught when half of
//! its calls are answered. Another one makes the same calls, and the API has been asked for no row twice: what was
//! open or unread stands in the journal.
//!
//! In a program leave `base_url` and `api_key` out, set `OPENAI_API_KEY`, and give the client a connector that
//! speaks TLS.

#![expect(clippy::print_stdout, reason = "a program")]

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hedgerow::BoxError;
use hedgerow_openai::batch::{BatchClient, JournalBuilder};
use hedgerow_openai::openai::ChatRequest;
use hedgerow_sim::batch_api::{MockBatchApi, Script, Share, Stage, Status};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const CALLS: usize = 1_000;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    if let (Some(url), Some(journal)) = (arguments.next(), arguments.next()) {
        return calls(&url, journal.as_ref()).await;
    }
    let folder = tempfile::tempdir()?;
    let journal = folder.path().join("journal");
    // Half of the rows of each batch are answered soon, the others when they are released.
    let half = Stage::of(Status::InProgress).done(Share::of(1, 2));
    let script = Script::stepwise().stage(half.until_released());
    let api = MockBatchApi::settings().script(move |_| script.clone());
    let api = api.bind(([127, 0, 0, 1], 0).into()).await?;

    let (mut first, mut lines) = start(&api, &journal)?;
    let mut answered = 0;
    while answered < CALLS / 2 {
        lines.next_line().await?.ok_or("the first process ended")?;
        answered += 1;
    }
    first.kill().await?;
    let paid = api.counts().rows;
    println!("killed with {answered} of {CALLS} calls answered; {paid} rows are paid for");

    api.release();
    let (mut second, mut lines) = start(&api, &journal)?;
    let mut again = 0;
    while lines.next_line().await?.is_some() {
        again += 1;
    }
    assert!(second.wait().await?.success());
    let counts = api.counts();
    println!(
        "the second process got {again} answers; {} rows are paid for, {} of them twice",
        counts.rows, counts.rows_again
    );
    assert_eq!((again, counts.rows, counts.rows_again), (CALLS, 1_000, 0));
    Ok(())
}

/// This program once more, as the process that makes the calls.
fn start(
    api: &MockBatchApi,
    journal: &Path,
) -> Result<(Child, Lines<BufReader<ChildStdout>>), BoxError> {
    let mut child = Command::new(env::current_exe()?)
        .arg(api.url())
        .arg(journal)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("it has an output")?;
    Ok((child, BufReader::new(stdout).lines()))
}

/// What a program of one's own would do: ordinary calls, all at once. It says each one that is answered.
async fn calls(url: &str, journal: &Path) -> Result<(), BoxError> {
    let http = Client::builder(TokioExecutor::new()).build_http();
    let client = BatchClient::builder()
        .base_url(url)
        .api_key("a-key")
        .batch_size(250)
        .poll_interval(Duration::from_millis(50))
        .journal(JournalBuilder::new(journal))
        .build(http);
    let mut answers: FuturesUnordered<_> = (0..CALLS)
        .map(|number| {
            let question = format!("What is the square of {number}?");
            let request = ChatRequest::new("gpt-5-mini").user(question.as_str());
            let client = client.clone();
            async move {
                let answer = client.chat(&request).await?;
                // The mock repeats the question.
                assert_eq!(answer.text(), question);
                Ok::<_, BoxError>(number)
            }
        })
        .collect();
    while let Some(number) = answers.next().await {
        writeln!(io::stdout(), "{}", number?)?;
    }
    client.close().await;
    Ok(())
}
