//! Deduplicator, sample cache, batcher, model: an experiment is plain code that asks for one thing after the
//! other, the model gets batches, and a run that is killed half way pays only for what is missing.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures::future::{pending, try_join_all};
use hedgerow::cache::{ByteStore, SampleRequest, Samples};
use hedgerow::{Batch, BatchLayer, BoxError, CoalesceLayer, DiskStore, SampleCacheLayer};
use tokio::time::sleep;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt, service_fn};

static PAID: AtomicUsize = AtomicUsize::new(0);
static GIVEN: AtomicUsize = AtomicUsize::new(0);

/// Text, and a number by which whoever asks once more is known.
type Prompt = (String, u64);
type Ask = SampleRequest<Prompt>;
type Pipeline = BoxCloneSyncService<Ask, Samples<String>, BoxError>;

/// A model: 20 ms a batch, and never the same answer. It hangs where it would give more than `limit`.
async fn model(batch: Batch<Prompt, String>, limit: usize) -> Result<(), BoxError> {
    sleep(Duration::from_millis(20)).await;
    for item in batch {
        if PAID.load(Relaxed) == limit {
            pending::<()>().await;
        }
        let answer = format!("{} ({})", item.request.0, PAID.fetch_add(1, Relaxed));
        item.reply.answer(answer);
    }
    Ok(())
}

/// A plan, and a draft that follows it.
async fn candidate(pipeline: Pipeline, puzzle: u64, id: u64) -> Result<String, BoxError> {
    let ask = async |text: String, id| {
        let ask = Ask::new((text, id)).namespace("drafts");
        let answers = pipeline.clone().oneshot(ask).await?;
        GIVEN.fetch_add(1, Relaxed);
        Ok::<_, BoxError>(answers.values().next().ok_or("no answer")?.clone())
    };
    let plan = ask(format!("plan {puzzle}"), 2 * id).await?;
    ask(format!("draft of {plan}"), 2 * id + 1).await
}

/// Ten candidates for each of ten puzzles, all at once.
async fn run(path: &Path, limit: usize) -> Result<Vec<String>, BoxError> {
    let store = DiskStore::open(path)?.of::<(String, u32), String>();
    let layers = ServiceBuilder::new()
        .layer(CoalesceLayer::new(|ask: &Ask| Some(ask.request.1)))
        .layer(SampleCacheLayer::new(store).key(|prompt: &Prompt| Some(prompt.0.clone())))
        .layer(BatchLayer::linger(Duration::from_millis(5)).max_size(25));
    let pipeline = Pipeline::new(layers.service(service_fn(move |batch| model(batch, limit))));
    try_join_all((0..100).map(|id| candidate(pipeline.clone(), id / 10, id))).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let path = std::env::temp_dir().join(format!("hedgerow-pipeline-{}", std::process::id()));
    let half_way = async {
        while GIVEN.load(Relaxed) < 100 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! { _ = run(&path, 100) => {}, () = half_way => {} }
    println!("killed when {} answers were paid for", PAID.load(Relaxed));
    let (second, paid) = (run(&path, usize::MAX).await?, PAID.load(Relaxed));
    println!("the second run goes on: {paid} of 200 are paid for, in both runs together");
    // The third one pays for nothing: its model would hang.
    assert_eq!(run(&path, 0).await?, second);
    std::fs::remove_file(&path)?;
    assert_eq!((paid, PAID.load(Relaxed)), (200, 200));
    Ok(())
}
