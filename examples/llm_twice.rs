//! An LLM client whose second run costs nothing.
//!
//! Two answers to each prompt are asked for, in two runs of the same program: the first pays for six calls, the
//! second finds all of them in a file. One that is killed half way pays only for what is missing.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hedgerow::cache::ByteStore;
use hedgerow::{BoxError, DiskStore, SampleCacheLayer, SampleRequest};
use tokio::time::sleep;
use tower::{Layer, ServiceExt};

/// A model: slow, never the same, and paid by the call.
static CALLS: AtomicU32 = AtomicU32::new(0);

async fn model(prompt: String) -> Result<String, BoxError> {
    sleep(Duration::from_millis(20)).await;
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    Ok(format!("answer {call} to {prompt:?}"))
}

async fn run(path: &Path) -> Result<Vec<String>, BoxError> {
    let layer = SampleCacheLayer::new(DiskStore::open(path)?.of::<(String, u32), String>())
        .key(|prompt: &String| Some(prompt.clone()));
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(model));
    let mut answers = Vec::new();
    for prompt in ["Name a colour.", "Name a tree.", "Name a river."] {
        let ask = SampleRequest::new(prompt.to_owned())
            .n(2)
            .namespace("names");
        let samples = service.clone().oneshot(ask).await?;
        answers.extend(samples.values().cloned());
    }
    let stats = handle.stats();
    println!("paid for {}, found {}", stats.paid, stats.cached);
    Ok(answers)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let folder = std::env::temp_dir().join(format!("hedgerow-llm-twice-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("answers.redb");
    let first = run(&path).await?;
    let second = run(&path).await?;
    for answer in &second {
        println!("  {answer}");
    }
    std::fs::remove_dir_all(&folder)?;
    assert_eq!(first, second, "the same answers in the same order");
    assert_eq!(CALLS.load(Ordering::Relaxed), 6, "each is paid for once");
    Ok(())
}
