//! The mock in a process of its own, which this program is once more.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use hedgerow_sim::batch_api::{MockBatchApi, Script};
use tokio::runtime::Builder;

/// The API, as its client's process sees it.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    said: BufReader<ChildStdout>,
    url: String,
}

/// What the API accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    pub(super) batches: u64,
    pub(super) rows: u64,
    pub(super) rows_again: u64,
}

impl Server {
    pub(super) fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["batch-api", "--serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("an output")?);
        let mut url = String::new();
        said.read_line(&mut url)?;
        let url = url.trim().to_owned();
        Ok(Self { child, said, url })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Ends it, and gives what it has accepted.
    pub(super) fn end(mut self) -> anyhow::Result<Accepted> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.said.read_to_string(&mut text)?;
        self.child.wait()?;
        let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
        let [batches, rows, rows_again] = numbers?[..] else {
            anyhow::bail!("the API has said {text:?}");
        };
        Ok(Accepted {
            batches,
            rows,
            rows_again,
        })
    }
}

/// Is the API: says where it is, and what it has accepted when its input ends.
pub(super) fn serve() -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let api = MockBatchApi::settings().script(|_| Script::stepwise());
    let api = runtime.block_on(api.bind(([127, 0, 0, 1], 0).into()))?;
    let mut out = io::stdout();
    writeln!(out, "{}", api.url())?;
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = ended.send(());
    });
    // An error says the same.
    let _ = runtime.block_on(end);
    let counts = api.counts();
    writeln!(
        out,
        "{} {} {}",
        counts.batches, counts.rows, counts.rows_again
    )?;
    Ok(())
}
