//! Every event of a gate, by `metrics` and by `tracing`, under a prefix that can be set.

use std::fmt::Write as _;
use std::sync::Arc;

use hedgerow_admission::telemetry::{Metrics, Traces};
use hedgerow_admission::{AdmissionEvent, Ask, BuildError, Gate, Outcome, Priority};
use hedgerow_core::Recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use parking_lot::Mutex;
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing::span;

use crate::support::{ms, settle};

/// One that runs, one that waits and fails, one that is refused, one that leaves.
async fn play(recorder: impl Recorder<AdmissionEvent> + Send + Sync + 'static) {
    let gate = Gate::builder()
        .concurrency(1)
        .max_depth(2)
        .recorder(recorder)
        .build();
    let first = gate.permit().await.expect("free");
    let ask = Ask::new().key("tenant").label("page 3").cost(7);
    let second = tokio::spawn(gate.permit_for(ask.priority(Priority::High)));
    settle().await;
    let third = tokio::spawn(gate.permit());
    settle().await;
    assert!(gate.permit().await.is_err());
    sleep(ms(10)).await;
    third.abort();
    settle().await;
    first.finish(Outcome::Answered);
    let second = second.await.expect("no panic").expect("admitted");
    sleep(ms(5)).await;
    second.finish(Outcome::TimedOut);
}

#[test]
fn metrics_has_every_count_gauge_and_time_under_its_prefix() {
    let exporter = DebuggingRecorder::new();
    let snapshots = exporter.snapshotter();
    metrics::with_local_recorder(&exporter, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let recorder = Metrics::new()
            .prefix("search")
            .label("backend", "eu")
            .described();
        runtime.block_on(play(recorder));
    });
    let mut seen = Vec::new();
    for (key, unit, text, value) in snapshots.snapshot().into_vec() {
        let key = key.key();
        let mut line = key.name().to_owned();
        assert!(text.is_some(), "{line} is described");
        assert_eq!(unit.is_some(), line.ends_with("_seconds"), "{line}");
        for label in key.labels() {
            write!(line, " {}={}", label.key(), label.value()).expect("a String can be written");
        }
        match value {
            DebugValue::Counter(n) => write!(line, ": {n}"),
            DebugValue::Gauge(n) => write!(line, ": {n}"),
            DebugValue::Histogram(values) => values
                .iter()
                .try_for_each(|value| write!(line, ": {:.3}", value.into_inner())),
        }
        .expect("a String can be written");
        seen.push(line);
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "search_admission_aborted_total backend=eu class=normal: 1",
            "search_admission_active backend=eu: 0",
            "search_admission_finished_total backend=eu class=high outcome=timed_out: 1",
            "search_admission_finished_total backend=eu class=normal outcome=answered: 1",
            "search_admission_limit backend=eu: 1",
            "search_admission_queued backend=eu: 0",
            "search_admission_queued_total backend=eu class=high: 1",
            "search_admission_queued_total backend=eu class=normal: 1",
            "search_admission_run_seconds backend=eu class=high outcome=timed_out: 0.005",
            "search_admission_run_seconds backend=eu class=normal outcome=answered: 0.010",
            "search_admission_shed_total backend=eu class=normal reason=queue_full: 1",
            "search_admission_started_total backend=eu class=high: 1",
            "search_admission_started_total backend=eu class=normal: 1",
            "search_admission_wait_seconds backend=eu class=high: 0.010",
            "search_admission_wait_seconds backend=eu class=normal: 0.000",
        ]
    );
}

/// Keeps every event of the target as a line.
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
async fn tracing_has_every_event_with_all_its_fields_under_its_prefix() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    play(Traces::new().prefix("search")).await;
    let normal = r#"class="normal" cost=1"#;
    let page = r#"label=page 3 key=tenant class="high" cost=7"#;
    let want = [
        format!("started id=1 {normal} active=1 queued=0 limit=1 wait_ms=0.0"),
        format!("queued id=2 {page} active=1 queued=1 limit=1"),
        format!("queued id=3 {normal} active=1 queued=2 limit=1"),
        format!(r#"shed id=4 {normal} active=1 queued=2 limit=1 wait_ms=0.0 reason="queue_full""#),
        format!("aborted_waiting id=3 {normal} active=1 queued=1 limit=1 wait_ms=10.0"),
        format!(
            r#"finished id=1 {normal} active=1 queued=0 limit=1 wait_ms=0.0 active_ms=10.0 outcome="answered""#
        ),
        format!("started id=2 {page} active=1 queued=0 limit=1 wait_ms=10.0"),
        format!(
            r#"finished id=2 {page} active=0 queued=0 limit=1 wait_ms=10.0 active_ms=5.0 outcome="timed_out""#
        ),
    ];
    let want: Vec<_> = want
        .into_iter()
        .map(|line| format!("search.admission.{line}"))
        .collect();
    assert_eq!(*log.0.lock(), want);
}

/// Says that it wants nothing.
struct Deaf;

impl Recorder<AdmissionEvent> for Deaf {
    fn record(&self, _: &AdmissionEvent) {
        panic!("it wants nothing");
    }

    fn enabled(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_wants_nothing_is_told_nothing() {
    let told = Arc::new(Mutex::new(0));
    let count = told.clone();
    play((Deaf, move |_: &AdmissionEvent| *count.lock() += 1)).await;
    assert_eq!(*told.lock(), 8);
    play(Deaf).await;
}

#[test]
fn a_prefix_that_no_exporter_takes_is_refused() {
    for wrong in ["", "7up", "a b", "a-b", ".a", "a.", "ä"] {
        let refused = Metrics::new().try_prefix(wrong).err();
        assert_eq!(refused, Some(BuildError::Prefix(wrong.into())));
        assert!(Traces::new().try_prefix(wrong).is_err(), "{wrong:?}");
    }
    for right in ["hedgerow", "my_app.search:v2", "_a"] {
        assert!(Metrics::new().try_prefix(right).is_ok(), "{right:?}");
    }
}
