//! I3: every telemetry point, by `metrics` and by `tracing`, under a prefix that can be set.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use hedgerow_core::{Budget, Recorder};
use hedgerow_hedge::telemetry::{Metrics, Traces};
use hedgerow_hedge::{BuildError, Cascade, CascadeEvent, HedgeEvent, HedgeLayer, SpendCap};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use parking_lot::Mutex;
use tokio::time::timeout;
use tower::{Layer, ServiceExt};
use tracing::field::{Field, Visit};
use tracing::span;

use crate::cascade_support::{World, score};
use crate::cascade_tiers::Build;
use crate::support::{Backend, call, ms};

/// A won hedge, a quiet call, a failed one, one whose caller left, and one that was denied.
async fn play(recorder: impl Recorder<HedgeEvent> + Clone) {
    let layer = |budget: Budget| {
        HedgeLayer::fixed(ms(100))
            .clone_requests()
            .budget(budget)
            .recorder(recorder.clone())
    };
    let paid = layer(Budget::unlimited());
    call(paid.layer(Backend::taking(&[1_000, 50])))
        .await
        .0
        .expect("an answer");
    call(paid.layer(Backend::taking(&[20])))
        .await
        .0
        .expect("an answer");
    call(paid.layer(Backend::new(|_| (ms(10), Err("down")))))
        .await
        .0
        .expect_err("down");
    let left = timeout(ms(30), call(paid.layer(Backend::taking(&[1_000]))));
    assert!(left.await.is_err());
    let poor = layer(Budget::percent(0.0).depth(0));
    call(poor.layer(Backend::taking(&[200])))
        .await
        .0
        .expect("an answer");
}

/// What `play` says to a recorder of metrics under the prefix `search`.
fn measured<F: Future>(play: impl FnOnce(Metrics) -> F) -> BTreeMap<String, String> {
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
    let mut seen = BTreeMap::new();
    for (key, unit, text, value) in snapshots.snapshot().into_vec() {
        let key = key.key();
        let mut name = key.name().to_owned();
        for label in key.labels() {
            write!(name, " {}={}", label.key(), label.value()).expect("a String can be written");
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

#[test]
fn metrics_has_every_count_and_time_under_its_prefix() {
    let seen = measured(play);
    let want = [
        ("search_attempts_cancelled_total backend=eu", "2"),
        ("search_hedge_delay_seconds backend=eu", "0.10 0.01"),
        ("search_hedge_latency_seconds backend=eu", "0.05"),
        ("search_hedges_denied_total backend=eu", "1"),
        ("search_hedges_fired_total backend=eu", "2"),
        ("search_hedges_won_total backend=eu", "1"),
        (
            "search_request_duration_seconds backend=eu outcome=cancelled",
            "0.03",
        ),
        (
            "search_request_duration_seconds backend=eu outcome=failure",
            "0.02",
        ),
        (
            "search_request_duration_seconds backend=eu outcome=success",
            "0.15 0.02 0.20",
        ),
        ("search_requests_cancelled_total backend=eu", "1"),
        ("search_requests_failed_total backend=eu", "1"),
        ("search_requests_total backend=eu", "5"),
    ];
    let want: BTreeMap<_, _> = want.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(seen, want);
}

/// Answered by the second tier while the first runs; the best of two; all failed; timed out; left by
/// the caller; a tier that was denied; a hedged one.
async fn play_cascade(recorder: impl Recorder<CascadeEvent> + Clone + Send + Sync + 'static) {
    let world = World::new();
    let told = || Cascade::builder().recorder(recorder.clone()).score(score);
    let ask = async |builder: hedgerow_hedge::CascadeBuilder<u64, _>| {
        builder.build_cloning().oneshot(1).await
    };
    let answered = told()
        .tier(world.tier("a", 900, Ok(1.0)))
        .tier(world.tier("b", 20, Ok(1.0)).after(ms(50)).cost(5.0));
    assert_eq!(ask(answered).await.expect("an answer").from, "b");
    let best = told()
        .tier(world.tier("a", 10, Ok(0.4)).threshold(0.5))
        .tier(world.tier("b", 10, Ok(0.2)).threshold(0.5).after(ms(50)));
    assert_eq!(ask(best).await.expect("the best").from, "a");
    let failing = told().tier(world.tier("a", 30, Err("down")));
    assert!(ask(failing).await.is_err());
    let slow = || told().tier(world.tier("a", 900, Ok(1.0)));
    assert!(ask(slow().timeout(ms(100))).await.is_err());
    assert!(timeout(ms(40), ask(slow())).await.is_err());
    let denied = told()
        .spend_cap(SpendCap::new(0.0, 1.0))
        .tier(world.tier("a", 10, Ok(0.4)).threshold(0.5))
        .tier(world.tier("b", 10, Ok(0.1)).threshold(0.5))
        .tier(world.tier("c", 10, Ok(1.0)));
    assert_eq!(ask(denied).await.expect("the best").from, "a");
    let hedge = HedgeLayer::fixed(ms(5)).clone_requests();
    let hedged = told().tier(world.tier("a", 10, Ok(1.0)).cost(2.0).hedged(hedge));
    assert_eq!(ask(hedged).await.expect("an answer").from, "a");
}

#[test]
fn metrics_has_a_cascades_counts_and_times_by_tier() {
    let seen = measured(play_cascade);
    let want = [
        ("cascade_cost", "", "6.00 2.00 1.00 1.00 1.00 2.00 4.00"),
        ("cascade_hedges_total", "tier=a", "1"),
        ("cascade_tiers_started_total", "tier=a", "7"),
        ("cascade_tiers_started_total", "tier=b", "3"),
        ("cascade_tiers_skipped_total", "tier=c reason=denied", "1"),
        ("cascade_tiers_done_total", "tier=a outcome=won", "1"),
        ("cascade_tiers_done_total", "tier=b outcome=won", "1"),
        ("cascade_tiers_done_total", "tier=a outcome=refused", "2"),
        ("cascade_tiers_done_total", "tier=b outcome=refused", "2"),
        ("cascade_tiers_done_total", "tier=a outcome=failed", "1"),
        ("cascade_tiers_cancelled_total", "tier=a", "2"),
        ("cascade_tiers_timed_out_total", "tier=a", "1"),
        (
            "cascade_tier_duration_seconds",
            "tier=a outcome=won",
            "0.01",
        ),
        (
            "cascade_tier_duration_seconds",
            "tier=b outcome=won",
            "0.02",
        ),
        (
            "cascade_tier_duration_seconds",
            "tier=a outcome=refused",
            "0.01 0.01",
        ),
        (
            "cascade_tier_duration_seconds",
            "tier=b outcome=refused",
            "0.01 0.01",
        ),
        (
            "cascade_tier_duration_seconds",
            "tier=a outcome=failed",
            "0.03",
        ),
        ("request_duration_seconds", "outcome=success", "0.07 0.01"),
        ("request_duration_seconds", "outcome=best", "0.02 0.01"),
        ("request_duration_seconds", "outcome=failure", "0.03"),
        ("request_duration_seconds", "outcome=timeout", "0.10"),
        ("request_duration_seconds", "outcome=cancelled", "0.04"),
        ("requests_total", "", "7"),
        ("requests_failed_total", "", "2"),
        ("requests_cancelled_total", "", "1"),
    ];
    let want = want.map(|(name, labels, value)| {
        let name = format!("search_{name} backend=eu {labels}");
        (name.trim_end().to_owned(), value.to_owned())
    });
    assert_eq!(seen, want.into());
}

/// Keeps the `event` field of every event of a target, or its message.
#[derive(Clone, Default)]
struct Log {
    target: &'static str,
    lines: Arc<Mutex<Vec<String>>>,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "event" | "message" => self.0.insert_str(0, &format!("{value:?}")),
            "elapsed" => {}
            name => write!(self.0, " {name}={value:?}").expect("a String can be written"),
        }
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == self.target
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.lines.lock().push(line.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn tracing_has_every_event_under_its_prefix() {
    let log = Log {
        target: "hedgerow::telemetry",
        ..Log::default()
    };
    let _guard = tracing::subscriber::set_default(log.clone());
    play(Traces::new().prefix("search")).await;
    let lines = log.lines.lock().clone();
    assert_eq!(
        lines[..5],
        [
            "search.request.start",
            "search.hedge.fired attempt=1 delay_ms=100.0",
            "search.attempt.cancelled attempt=0 age_ms=150.0",
            "search.hedge.won attempt=1 latency_ms=50.0",
            "search.request.stop duration_ms=150.0 attempts=2 winner=1",
        ]
    );
    let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("request.start"), 5);
    assert_eq!(count("request.stop"), 3);
    assert_eq!(count("request.failed"), 1);
    assert_eq!(count("request.cancelled"), 1);
    assert_eq!(count("hedge.denied attempt=1 delay_ms=100.0"), 1);
}

#[tokio::test(start_paused = true)]
async fn tracing_has_every_event_of_a_cascade_under_its_prefix() {
    let log = Log {
        target: "hedgerow::telemetry",
        ..Log::default()
    };
    let _guard = tracing::subscriber::set_default(log.clone());
    play_cascade(Traces::new().prefix("search")).await;
    let lines = log.lines.lock().clone();
    let dropped = "hedges=0 cost=1.0";
    assert_eq!(
        lines,
        [
            "search.request.start".to_owned(),
            "search.cascade.tier.start tier=\"a\" delay_ms=0.0".to_owned(),
            "search.cascade.tier.start tier=\"b\" delay_ms=50.0".to_owned(),
            "search.cascade.tier.done tier=\"b\" outcome=won duration_ms=20.0 hedges=0 cost=5.0 quality=1.0".to_owned(),
            format!("search.cascade.tier.cancelled tier=\"a\" outcome=lost duration_ms=70.0 {dropped}"),
            "search.request.stop duration_ms=70.0 attempts=2 tier=\"b\" accepted=true hedges=0 cost=6.0".to_owned(),
            "search.request.start".to_owned(),
            "search.cascade.tier.start tier=\"a\" delay_ms=0.0".to_owned(),
            format!("search.cascade.tier.done tier=\"a\" outcome=refused duration_ms=10.0 {dropped} quality=0.4"),
            "search.cascade.tier.start tier=\"b\" delay_ms=10.0".to_owned(),
            format!("search.cascade.tier.done tier=\"b\" outcome=refused duration_ms=10.0 {dropped} quality=0.2"),
            "search.request.stop duration_ms=20.0 attempts=2 tier=\"a\" accepted=false hedges=0 cost=2.0".to_owned(),
            "search.request.start".to_owned(),
            "search.cascade.tier.start tier=\"a\" delay_ms=0.0".to_owned(),
            format!("search.cascade.tier.done tier=\"a\" outcome=failed duration_ms=30.0 {dropped}"),
            "search.request.failed duration_ms=30.0 attempts=1 accepted=false hedges=0 cost=1.0".to_owned(),
            "search.request.start".to_owned(),
            "search.cascade.tier.start tier=\"a\" delay_ms=0.0".to_owned(),
            format!("search.cascade.tier.timeout tier=\"a\" outcome=timed out duration_ms=100.0 {dropped}"),
            "search.request.failed duration_ms=100.0 attempts=1 accepted=false hedges=0 cost=1.0".to_owned(),
            "search.request.start".to_owned(),
            "search.cascade.tier.start tier=\"a\" delay_ms=0.0".to_owned(),
            format!("search.cascade.tier.cancelled tier=\"a\" outcome=cancelled duration_ms=40.0 {dropped}"),
            "search.request.cancelled duration_ms=40.0 attempts=1 accepted=false hedges=0 cost=1.0".to_owned(),
            "search.request.start".to_owned(),
            "search.cascade.tier.start tier=\"a\" delay_ms=0.0".to_owned(),
            "search.cascade.tier.start tier=\"b\" delay_ms=0.0".to_owned(),
            "search.cascade.tier.skipped tier=\"c\" delay_ms=0.0 reason=\"denied\"".to_owned(),
            format!("search.cascade.tier.done tier=\"a\" outcome=refused duration_ms=10.0 {dropped} quality=0.4"),
            format!("search.cascade.tier.done tier=\"b\" outcome=refused duration_ms=10.0 {dropped} quality=0.1"),
            "search.request.stop duration_ms=10.0 attempts=2 tier=\"a\" accepted=false hedges=0 cost=2.0".to_owned(),
            "search.request.start".to_owned(),
            "search.cascade.tier.start tier=\"a\" delay_ms=0.0".to_owned(),
            "search.cascade.tier.done tier=\"a\" outcome=won duration_ms=10.0 hedges=1 cost=4.0 quality=1.0".to_owned(),
            "search.request.stop duration_ms=10.0 attempts=1 tier=\"a\" accepted=true hedges=1 cost=4.0".to_owned(),
        ]
    );
}

/// Without any recorder.
#[tokio::test(start_paused = true)]
async fn tracing_is_told_by_every_layer() {
    let log = Log {
        target: "hedgerow::hedge",
        ..Log::default()
    };
    let _guard = tracing::subscriber::set_default(log.clone());
    play(()).await;
    let lines = log.lines.lock().clone();
    let count = |what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!(
        (count("call started"), count("call ended")),
        (5, 5),
        "{lines:?}"
    );
    let outcomes =
        ["won", "failed", "cancelled"].map(|how| count(&format!("call ended outcome={how}")));
    assert_eq!(outcomes, [3, 1, 1], "{lines:?}");
    assert_eq!((count("hedge fired"), count("hedge won")), (2, 1));
    assert_eq!((count("hedge denied"), count("every attempt lost")), (1, 1));
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
