//! Every event, by `metrics` and by `tracing`, under a prefix that can be set.

use std::fmt::Write as _;
use std::sync::Arc;

use futures::future::{join, join_all};
use hedgerow_batch::telemetry::Traces;
use hedgerow_batch::{Batch, BatchEvent, BatchLayer, Linger};
use hedgerow_core::Recorder;
use parking_lot::Mutex;
use tokio::time::timeout;
use tower::Layer;
use tracing::field::{Field, Visit};
use tracing::span;

use crate::support::{Backend, Down, call, ends, ms};

/// A batch of three of which two are the same and one has left; then one that fails.
async fn play(recorder: impl Recorder<BatchEvent> + Send + Sync + 'static) {
    let backend = Backend::new(|batch: Batch<u64, u64>, n| async move {
        tokio::time::sleep(ms(20)).await;
        if n > 0 {
            return Err(Down(0));
        }
        batch.into_iter().for_each(|item| item.reply.answer(1));
        Ok(())
    });
    let layer = BatchLayer::new(Linger::new(ms(50)).strict())
        .dedup(|n: &u64| *n)
        .max_weight(9, |n: &u64| *n)
        .recorder(recorder);
    let service = layer.layer(backend);
    let twins = join_all([4, 4].map(|n| call(&service, n)));
    let left = timeout(ms(30), call(&service, 0));
    let (twins, left) = ends(join(twins, left)).await;
    assert!(left.is_err() && twins.iter().all(Result::is_ok));
    assert!(call(&service, 9).await.is_err());
}

#[cfg(feature = "metrics")]
mod metrics {
    use std::collections::BTreeMap;

    use hedgerow_batch::BatchBuildError;
    use hedgerow_batch::telemetry::Metrics;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;

    /// What is said to a recorder of metrics under the prefix `users`.
    fn measured() -> BTreeMap<String, String> {
        let exporter = DebuggingRecorder::new();
        let snapshots = exporter.snapshotter();
        ::metrics::with_local_recorder(&exporter, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            let recorder = Metrics::new().prefix("users").label("to", "eu").described();
            runtime.block_on(play(recorder));
        });
        let mut seen = BTreeMap::new();
        for (key, unit, text, value) in snapshots.snapshot().into_vec() {
            let key = key.key();
            let mut name = key.name().to_owned();
            for label in key.labels() {
                write!(name, " {}={}", label.key(), label.value()).expect("a String");
            }
            assert!(text.is_some(), "{name} is described");
            assert_eq!(unit.is_some(), name.contains("_seconds"), "{name}");
            let value = match value {
                DebugValue::Counter(n) => n.to_string(),
                DebugValue::Histogram(values) => values
                    .iter()
                    .map(|v| format!("{:.2}", v.into_inner()))
                    .collect::<Vec<_>>()
                    .join(" "),
                DebugValue::Gauge(value) => value.into_inner().to_string(),
            };
            seen.insert(name, value);
        }
        seen
    }

    #[test]
    fn metrics_has_every_count_size_and_time_under_its_prefix() {
        let want = [
            ("items_total", "", "4"),
            ("items_ended_total", "outcome=answered", "2"),
            ("items_ended_total", "outcome=failed", "1"),
            ("items_ended_total", "outcome=cancelled", "1"),
            ("item_duration_seconds", "outcome=answered", "0.07 0.07"),
            ("item_duration_seconds", "outcome=failed", "0.02"),
            ("item_duration_seconds", "outcome=cancelled", "0.03"),
            ("queued", "", "1"),
            ("batches_total", "reason=linger", "1"),
            ("batches_total", "reason=heavy", "1"),
            ("batch_size", "", "1.00 1.00"),
            ("batch_weight", "", "4.00 9.00"),
            ("twins_total", "", "1"),
            ("wait_seconds", "", "0.05 0.00"),
            ("in_flight", "", "1"),
            ("batch_duration_seconds", "outcome=done", "0.02"),
            ("batch_duration_seconds", "outcome=failed", "0.02"),
        ];
        let want = want.iter().map(|(name, labels, value)| {
            let name = format!("users_{name} to=eu {labels}");
            (name.trim_end().to_owned(), (*value).to_owned())
        });
        assert_eq!(measured(), want.collect());
    }

    #[test]
    fn a_prefix_that_no_exporter_takes_is_refused() {
        for wrong in ["", "7up", "a b", "a-b", ".a", "a.", "ä"] {
            let refused = Metrics::new().try_prefix(wrong).err();
            assert_eq!(refused, Some(BatchBuildError::Prefix(wrong.into())));
        }
    }
}

/// Keeps the `event` field of every event under the target of the recorders.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "event" => self.0.insert_str(0, &format!("{value:?}")),
            name => write!(self.0, " {name}={value:?}").expect("a String can be written"),
        }
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "hedgerow::telemetry"
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().push(line.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn tracing_has_every_event_under_its_prefix() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    play(Traces::new().prefix("users")).await;
    assert_eq!(
        *log.0.lock(),
        [
            "users.item.enqueued queued=1",
            "users.item.enqueued queued=2",
            "users.item.enqueued queued=3",
            "users.item.cancelled duration_ms=30.0 dispatched=false",
            "users.batch.dispatched size=1 twins=1 weight=4 waited_ms=50.0 reason=\"linger\" in_flight=1",
            "users.item.answered duration_ms=70.0",
            "users.item.answered duration_ms=70.0",
            "users.batch.landed size=1 duration_ms=20.0 outcome=\"done\"",
            "users.item.enqueued queued=1",
            "users.batch.dispatched size=1 twins=0 weight=9 waited_ms=0.0 reason=\"heavy\" in_flight=1",
            "users.batch.landed size=1 duration_ms=20.0 outcome=\"failed\"",
            "users.item.failed duration_ms=20.0",
        ]
    );
}
