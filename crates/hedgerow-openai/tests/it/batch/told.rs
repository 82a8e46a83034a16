//! What is told of the life of batches.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hedgerow_openai::batch::{BatchClient, JsonLines, OnClose};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::fake::{Fake, error};
use super::rows::{ask, post};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

fn names(lines: &[String]) -> Vec<String> {
    let name = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["event"].as_str().unwrap().to_owned()
    };
    lines.iter().map(name).collect()
}

/// The keys of a line, in the order in which they stand.
fn keys(line: &str) -> Vec<String> {
    let line: hedgerow_openai::json::Object = serde_json::from_str(line).unwrap();
    line.iter().map(|(key, _)| key.to_owned()).collect()
}

const OF_A_BATCH: [&str; 12] = [
    "batch_id",
    "completion_window",
    "endpoint",
    "error_file_id",
    "event",
    "input_file_id",
    "metadata",
    "models",
    "output_file_id",
    "request_count",
    "source",
    "ts",
];

fn with(more: &[&str]) -> Vec<String> {
    let mut keys: Vec<String> = OF_A_BATCH
        .iter()
        .chain(more)
        .map(|key| (*key).to_owned())
        .collect();
    keys.sort_unstable();
    keys
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_told_of_by_the_names_and_fields_that_were_promised() {
    let sink = Sink::default();
    let mut fake = Fake::new();
    fake.polls = 3;
    let builder = BatchClient::builder()
        .metadata("b", "2")
        .metadata("a", "1")
        .recorder(JsonLines::new(sink.clone()));
    let client = fake.client(builder);
    ask(&client, &json!({"model": "m"})).await;
    client.close().await;
    let lines = sink.lines();
    assert_eq!(
        names(&lines),
        [
            "batch_submitted",
            "batch_progress",
            "batch_completed",
            "client_closing"
        ]
    );
    assert_eq!(keys(&lines[0]), with(&[]));
    for line in &lines[1..3] {
        assert_eq!(keys(line), with(&["counts", "status", "elapsed_seconds"]));
    }
    let closing = [
        "active_batch_ids",
        "cancel_active_batches_on_close",
        "event",
        "pending_request_count",
        "source",
        "ts",
    ];
    assert_eq!(keys(&lines[3]), closing);
    let completed: Value = serde_json::from_str(&lines[2]).unwrap();
    assert_eq!(completed["source"], "hedgerow");
    assert_eq!(
        completed["counts"],
        json!({"completed": 1, "failed": 0, "total": 1})
    );
    assert_eq!(completed["models"], json!(["m"]));
    assert_eq!(completed["request_count"], 1);
    assert_eq!(completed["completion_window"], "1h");
    assert_eq!(completed["endpoint"], "/v1/chat/completions");
    assert_eq!(completed["output_file_id"], "out-batch-0");
    assert!(lines[2].contains(r#""metadata":{"a":"1","b":"2"}"#));
    assert!(completed["elapsed_seconds"].as_f64().unwrap() > 10.0);
    let closing: Value = serde_json::from_str(&lines[3]).unwrap();
    assert_eq!(closing["cancel_active_batches_on_close"], false);
}

#[tokio::test(start_paused = true)]
async fn refusals_and_cancels_are_told() {
    for refused in [false, true] {
        let sink = Sink::default();
        let mut fake = Fake::with(move |asked, _| {
            (refused && asked.path.ends_with("/cancel")).then(|| error(500, "not now"))
        });
        fake.polls = usize::MAX;
        let builder = BatchClient::builder()
            .on_close(OnClose::Cancel, Duration::from_secs(60))
            .recorder(JsonLines::new(sink.clone()));
        let client = fake.client(builder);
        let call = client.send(post("/chat/completions", &json!({"model": "m"})));
        let close = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            client.close().await;
        };
        let _ = tokio::join!(call, close);
        let lines = sink.lines();
        let expected: &[&str] = if refused {
            &[
                "batch_submitted",
                "batch_progress",
                "client_closing",
                "batch_cancel_requested",
                "batch_cancel_failed",
            ]
        } else {
            &[
                "batch_submitted",
                "batch_progress",
                "client_closing",
                "batch_cancel_requested",
                "batch_cancelled_upstream",
                "batch_terminal",
            ]
        };
        assert_eq!(names(&lines), expected);
        if refused {
            assert_eq!(keys(&lines[4]), with(&["error"]));
            assert!(lines[4].contains("not now"));
        }
    }
    let sink = Sink::default();
    let fake =
        Fake::with(|asked, _| (asked.path == "/batches").then(|| error(400, "no such endpoint")));
    let client = fake.client(BatchClient::builder().recorder(JsonLines::new(sink.clone())));
    client.send(post("/x", &json!({}))).await.unwrap_err();
    let lines = sink.lines();
    assert_eq!(names(&lines), ["batch_submission_failed"]);
    assert_eq!(keys(&lines[0]), with(&["error"]));
    assert!(lines[0].contains("no such endpoint"));
}

struct Failing;

impl io::Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(bytes.len().is_multiple_of(2), "a sink that panics, too");
        Err(io::Error::other("the disk is full"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_loses_lines_and_no_answer() {
    let lines = JsonLines::new(Failing);
    let lost = lines.lost();
    let fake = Fake::new();
    let client = fake.client(BatchClient::builder().recorder(lines));
    for n in 0..20 {
        let body = json!({"model": "m", "n": "x".repeat(n)});
        timeout(Duration::from_secs(60), ask(&client, &body))
            .await
            .unwrap();
    }
    assert_eq!(lost.load(Ordering::Relaxed), 40);
}

#[cfg(feature = "metrics")]
#[tokio::test(start_paused = true)]
async fn counts_and_times_go_to_the_recorder_of_metrics() {
    use hedgerow_openai::batch::telemetry::{Metrics, Traces};
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let fake = Fake::new();
    let builder = BatchClient::builder()
        .recorder(Metrics::new().prefix("ours").label("team", "a"))
        .recorder(Traces::new());
    let client = fake.client(builder);
    let bodies: Vec<Value> = (0..3).map(|n| json!({"model": "m", "n": n})).collect();
    futures::future::join_all(bodies.iter().map(|body| ask(&client, body))).await;
    let counts: Vec<(String, u64)> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .filter_map(|(key, _, _, value)| match value {
            DebugValue::Counter(count) => {
                let labels: Vec<&str> = key.key().labels().map(|label| label.value()).collect();
                Some((format!("{} {}", key.key().name(), labels.join(" ")), count))
            }
            _ => None,
        })
        .collect();
    for expected in [
        ("ours_events_total a batch_submitted", 1),
        ("ours_events_total a batch_completed", 1),
        ("ours_rows_total a submitted", 3),
        ("ours_rows_total a completed", 3),
    ] {
        assert!(
            counts
                .iter()
                .any(|(name, count)| (&**name, *count) == expected),
            "{expected:?} in {counts:?}"
        );
    }
    assert!(Traces::new().try_prefix("no name").is_err());
}
