//! Every event, by `metrics` and by `tracing`, under a prefix that can be set.

use std::fmt::Write as _;
use std::sync::Arc;

use hedgerow_core::{Budget, Class, Deadline, Recorder, cause_ref};
use hedgerow_retry::telemetry::Traces;
use hedgerow_retry::{
    DeadlineExceeded, DeadlineLayer, RetryBuildError, RetryEvent, RetryLayer, TimedOut,
    TimeoutEvent, TimeoutLayer,
};
use parking_lot::Mutex;
use tokio::time::timeout;
use tower::{Layer, Service};
use tracing::field::{Field, Visit};
use tracing::span;

use crate::support::{Backend, Down, NEVER, call, down, ms, ok};

/// One saved by its second retry, a quiet one, one whose budget is empty, one that is refused, one whose
/// caller leaves, and one that the server asks to wait.
async fn play(recorder: impl Recorder<RetryEvent> + Clone) {
    let layer = |depth: u32| {
        RetryLayer::fixed(ms(10))
            .attempt_timeout(ms(100))
            .budget(Budget::percent(0.0).depth(depth))
            .clone_requests()
            .recorder(recorder.clone())
    };
    let saved = layer(9).layer(Backend::of(&[down(20), NEVER, ok(30)]));
    call(saved).await.0.expect("an answer");
    let quiet = layer(9).layer(Backend::of(&[ok(40)]));
    call(quiet).await.0.expect("an answer");
    let poor = layer(0).layer(Backend::of(&[down(50)]));
    call(poor).await.0.expect_err("down");
    let now = tokio::time::Instant::now().into_std();
    let mut late = layer(9).layer(Backend::of(&[ok(10)]));
    let refused = Deadline::at(now).scope(|| late.call(1));
    refused.await.expect_err("too late");
    let left = layer(9).layer(Backend::of(&[ok(90)]));
    assert!(timeout(ms(60), call(left)).await.is_err());
    let asked = |result: &Result<&'static str, Down>| match result {
        Ok(_) => Class::Success,
        Err(_) => Class::Retryable {
            after: Some(ms(70)),
        },
    };
    let told = layer(9)
        .accept(asked)
        .layer(Backend::of(&[down(20), ok(30)]));
    call(told).await.0.expect("an answer");
}

/// A timeout, a deadline that passes, and one that had passed.
async fn play_times(recorder: impl Recorder<TimeoutEvent> + Clone) {
    let timed = TimeoutLayer::new(ms(100)).recorder(recorder.clone());
    let error = call(timed.layer(Backend::of(&[NEVER]))).await.0;
    assert!(cause_ref::<TimedOut>(&*error.expect_err("it hangs")).is_some());
    call(timed.layer(Backend::of(&[ok(10)])))
        .await
        .0
        .expect("in time");
    let deadline = DeadlineLayer::new(ms(200)).recorder(recorder);
    let error = call(deadline.layer(Backend::of(&[NEVER]))).await.0;
    assert!(cause_ref::<DeadlineExceeded>(&*error.expect_err("it hangs")).is_some());
    call(deadline.layer(Backend::of(&[ok(10)])))
        .await
        .0
        .expect("in time");
    let now = tokio::time::Instant::now().into_std();
    let past = deadline.deadline_of(move |_: &u64| Some(Deadline::at(now)));
    let error = call(past.layer(Backend::of(&[ok(10)]))).await.0;
    assert!(cause_ref::<DeadlineExceeded>(&*error.expect_err("too late")).is_some());
}

#[cfg(feature = "metrics")]
mod metrics {
    use std::collections::BTreeMap;

    use hedgerow_retry::telemetry::Metrics;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;

    /// What is said to a recorder of metrics under the prefix `search`.
    fn measured<F: Future>(play: impl FnOnce(Metrics) -> F) -> BTreeMap<String, String> {
        let exporter = DebuggingRecorder::new();
        let snapshots = exporter.snapshotter();
        ::metrics::with_local_recorder(&exporter, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            let recorder = Metrics::new()
                .prefix("search")
                .label("to", "eu")
                .described();
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
                DebugValue::Gauge(_) => "a gauge".into(),
            };
            seen.insert(name, value);
        }
        seen
    }

    #[track_caller]
    fn assert_seen(seen: &BTreeMap<String, String>, want: &[(&str, &str, &str)]) {
        let want = want.iter().map(|(name, labels, value)| {
            let name = format!("search_{name} to=eu {labels}");
            (name.trim_end().to_owned(), (*value).to_owned())
        });
        assert_eq!(*seen, want.collect());
    }

    #[test]
    fn metrics_has_every_count_and_time_under_its_prefix() {
        assert_seen(
            &measured(play),
            &[
                ("requests_total", "", "6"),
                ("requests_failed_total", "reason=budget", "1"),
                ("requests_failed_total", "reason=deadline", "1"),
                ("requests_cancelled_total", "", "1"),
                ("requests_recovered_total", "", "2"),
                (
                    "request_duration_seconds",
                    "outcome=success",
                    "0.17 0.04 0.12",
                ),
                ("request_duration_seconds", "outcome=failure", "0.05 0.00"),
                ("request_duration_seconds", "outcome=cancelled", "0.06"),
                ("tries_total", "outcome=answered", "3"),
                ("tries_total", "outcome=failed", "3"),
                ("tries_total", "outcome=timed_out", "1"),
                ("tries_total", "outcome=cancelled", "1"),
                ("try_duration_seconds", "outcome=answered", "0.03 0.04 0.03"),
                ("try_duration_seconds", "outcome=failed", "0.02 0.05 0.02"),
                ("try_duration_seconds", "outcome=timed_out", "0.10"),
                ("try_duration_seconds", "outcome=cancelled", "0.06"),
                ("retries_total", "", "3"),
                ("retries_planned_total", "", "3"),
                ("retries_denied_total", "reason=budget", "1"),
                ("retry_wait_seconds", "asked=policy", "0.01 0.01"),
                ("retry_wait_seconds", "asked=server", "0.07"),
            ],
        );
    }

    #[test]
    fn metrics_counts_timeouts_and_deadlines() {
        assert_seen(
            &measured(play_times),
            &[
                ("timeouts_total", "", "1"),
                ("deadlines_exceeded_total", "sent=yes", "1"),
                ("deadlines_exceeded_total", "sent=no", "1"),
            ],
        );
    }

    #[test]
    fn a_prefix_that_no_exporter_takes_is_refused() {
        for wrong in ["", "7up", "a b", "a-b", ".a", "a.", "ä"] {
            let refused = Metrics::new().try_prefix(wrong).err();
            assert_eq!(refused, Some(RetryBuildError::Prefix(wrong.into())));
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
    play(Traces::new().prefix("search")).await;
    let lines = log.0.lock().clone();
    assert_eq!(
        lines,
        [
            "search.request.start",
            "search.try.ended try=0 outcome=\"failed\" duration_ms=20.0",
            "search.retry.planned retry=1 wait_ms=10.0 pushback=false",
            "search.retry.sent retry=1 after_ms=30.0",
            "search.try.ended try=1 outcome=\"timed_out\" duration_ms=100.0",
            "search.retry.planned retry=2 wait_ms=10.0 pushback=false",
            "search.retry.sent retry=2 after_ms=140.0",
            "search.try.ended try=2 outcome=\"answered\" duration_ms=30.0",
            "search.request.stop duration_ms=170.0 tries=3",
            "search.request.start",
            "search.try.ended try=0 outcome=\"answered\" duration_ms=40.0",
            "search.request.stop duration_ms=40.0 tries=1",
            "search.request.start",
            "search.try.ended try=0 outcome=\"failed\" duration_ms=50.0",
            "search.retry.denied retry=1 reason=\"budget\"",
            "search.request.failed duration_ms=50.0 tries=1 reason=\"budget\"",
            "search.request.failed duration_ms=0.0 tries=0 reason=\"deadline\"",
            "search.request.start",
            "search.try.ended try=0 outcome=\"cancelled\" duration_ms=60.0",
            "search.request.cancelled duration_ms=60.0 tries=1",
            "search.request.start",
            "search.try.ended try=0 outcome=\"failed\" duration_ms=20.0",
            "search.retry.planned retry=1 wait_ms=70.0 pushback=true",
            "search.retry.sent retry=1 after_ms=90.0",
            "search.try.ended try=1 outcome=\"answered\" duration_ms=30.0",
            "search.request.stop duration_ms=120.0 tries=2",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn tracing_is_told_of_timeouts_and_deadlines() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    play_times(Traces::new().prefix("search")).await;
    assert_eq!(
        *log.0.lock(),
        [
            "search.timeout after_ms=100.0",
            "search.deadline after_ms=200.0 overdue_ms=0.0 sent=true",
            "search.deadline after_ms=0.0 overdue_ms=0.0 sent=false",
        ]
    );
}

/// Also of a type of its own, which does not catch its panics.
#[tokio::test(start_paused = true)]
async fn a_recorder_of_times_that_panics_loses_its_event_and_nothing_else() {
    #[derive(Clone)]
    struct Panics;
    impl Recorder<TimeoutEvent> for Panics {
        fn record(&self, _: &TimeoutEvent) {
            panic!("on purpose");
        }
    }
    play_times(Panics).await;
}

#[test]
fn a_prefix_of_traces_is_checked_too() {
    let refused = Traces::new().try_prefix("a b").expect_err("a blank");
    assert_eq!(refused, RetryBuildError::Prefix("a b".into()));
    assert!(refused.to_string().contains("write letters"));
}
