//! Unmodified clients of files and batches against the mock of `hedgerow-sim`.

use std::time::Duration;

use hedgerow_sim::batch_api::{
    Answer, ApiCounts, Fault, MockBatchApi, NewBatch, On, Script, Settings, Share, Stage, Status,
};

use crate::server::KEY;
use crate::{environments, run};

/// How a batch gets on, by what its metadata asks for.
fn script(batch: &NewBatch) -> Script {
    let half = Stage::of(Status::InProgress).done(Share::of(1, 2));
    match batch.metadata.get("script").map(String::as_str) {
        Some("stuck") => Script::stuck(),
        Some("half") => Script::instant().stage(half.until_released()),
        Some("expires") => Script::stepwise().expires(Share::of(1, 2)),
        _ => Script::stepwise(),
    }
}

fn settings() -> Settings {
    MockBatchApi::settings()
        .api_key(KEY)
        .script(script)
        .answer(|row| match row.body().contains("wrong") {
            true => Answer::refusal(400, "wrong"),
            false => Answer::echo(row),
        })
}

async fn bound(settings: Settings) -> MockBatchApi {
    let bound = settings.bind(([127, 0, 0, 1], 0).into()).await;
    bound.expect("a free port")
}

/// Runs `script` by the SDK in `environment`; gives how many checks there were, and what was seen.
async fn checks(
    environment: &std::path::Path,
    script: &str,
    settings: Settings,
) -> (usize, ApiCounts) {
    let api = bound(settings).await;
    let checks = run(environment, script, &api.url()).await;
    (checks, api.counts())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openai_sdk_for_python_finds_no_fault_with_the_mock_of_batches() {
    for sdk in environments("openai") {
        let busy = Fault::on(On::Create).status(429).skip(11);
        let settings = settings().strict(true);
        let settings = settings.fault(busy.retry_after(Duration::from_millis(10)));
        let (checks, counts) = checks(&sdk, "openai_batches.py", settings).await;
        assert_eq!(checks, 12, "{}", sdk.display());
        assert_eq!(counts.rows, 15, "{counts:?}");
        assert_eq!((counts.creates, counts.deletes), (14, 3), "{counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn autobatcher_finds_no_fault_with_the_mock_of_batches() {
    for sdk in environments("autobatcher") {
        let busy = Fault::on(On::Upload).status(429).skip(5);
        let settings = settings().fault(busy.retry_after(Duration::from_secs(1)));
        let (checks, counts) = checks(&sdk, "autobatcher.py", settings).await;
        assert_eq!(checks, 6, "{}", sdk.display());
        // One row a call, whatever happened; none was sent twice.
        assert_eq!(counts.rows, 50 + 4 + 1 + 1 + 1 + 1, "{counts:?}");
        assert_eq!((counts.rows_again, counts.cancels), (0, 1), "{counts:?}");
    }
}
