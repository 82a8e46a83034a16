//! What the recorder is told.

use hedgerow_admission::{AdmissionEvent, Ask, Gate, Happened, Outcome, Priority, ShedReason};
use tokio::time::sleep;

use crate::support::{Log, ms, settle};

fn told(event: &AdmissionEvent) -> (Happened, u64, usize, usize, u64, u64) {
    (
        event.what,
        event.id,
        event.active,
        event.queued,
        event.waited.as_millis() as u64,
        event.ran.as_millis() as u64,
    )
}

#[tokio::test(start_paused = true)]
async fn each_request_is_told_from_its_wait_to_its_end() {
    let log = Log::new();
    let gate = {
        let log = log.clone();
        Gate::builder()
            .concurrency(1)
            .max_depth(2)
            .on_event(move |event: &AdmissionEvent| log.add(told(event)))
            .build()
    };
    let first = gate.permit().await.expect("free");
    let second = tokio::spawn(gate.permit_for(Ask::new().label("second").key("k").cost(3)));
    settle().await;
    let third = tokio::spawn(gate.permit());
    settle().await;
    let refused = gate.permit().await.expect_err("two wait already");
    assert_eq!(refused.reason(), ShedReason::QueueFull);
    sleep(ms(10)).await;
    third.abort();
    settle().await;
    first.finish(Outcome::Failed);
    let second = second.await.expect("no panic").expect("admitted");
    sleep(ms(5)).await;
    drop(second);
    assert_eq!(
        log.all(),
        [
            (Happened::Started, 1, 1, 0, 0, 0),
            (Happened::Queued, 2, 1, 1, 0, 0),
            (Happened::Queued, 3, 1, 2, 0, 0),
            (Happened::Shed(ShedReason::QueueFull), 4, 1, 2, 0, 0),
            (Happened::AbortedWaiting, 3, 1, 1, 10, 0),
            (Happened::Finished(Outcome::Failed), 1, 1, 0, 0, 10),
            (Happened::Started, 2, 1, 0, 10, 0),
            (Happened::Finished(Outcome::Answered), 2, 0, 0, 10, 5),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_carries_what_the_request_asked() {
    let log = Log::new();
    let gate = {
        let log = log.clone();
        Gate::builder()
            .concurrency(4)
            .on_event(move |event: &AdmissionEvent| log.add(event.clone()))
            .build()
    };
    let ask = Ask::new()
        .label("the third page")
        .key("tenant")
        .cost(300)
        .priority(Priority::Low);
    drop(gate.permit_for(ask).await.expect("free"));
    let events = log.all();
    assert_eq!(events.len(), 2);
    for event in &events {
        assert_eq!(
            event.label.as_ref().map(ToString::to_string).as_deref(),
            Some("the third page")
        );
        assert_eq!(
            event.key.as_ref().map(ToString::to_string).as_deref(),
            Some("tenant")
        );
        assert_eq!(
            (event.cost, event.priority, event.limit),
            (300, Priority::Low, Some(4))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_recorder_leaks_nothing() {
    let gate = Gate::builder()
        .concurrency(1)
        .max_depth(1)
        .on_event(|_: &AdmissionEvent| panic!("on purpose"))
        .build();
    for _ in 0..3 {
        let first = gate.permit().await.expect("free");
        let second = tokio::spawn(gate.permit());
        settle().await;
        assert!(gate.permit().await.is_err());
        drop(first);
        drop(second.await.expect("no panic").expect("admitted"));
    }
    let stats = gate.stats();
    assert_eq!((stats.active, stats.queued), (0, 0));
    assert_eq!(
        (stats.started, stats.finished, stats.shed_total()),
        (6, 6, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn waits_are_counted_with_those_that_did_not_wait() {
    let gate = Gate::builder().concurrency(1).build();
    assert_eq!(gate.waited(0.5), None);
    for _ in 0..50 {
        let first = gate.permit().await.expect("free");
        let second = tokio::spawn(gate.permit());
        settle().await;
        sleep(ms(40)).await;
        drop(first);
        drop(second.await.expect("no panic").expect("admitted"));
    }
    assert_eq!(gate.waited(0.4), Some(ms(0)));
    let high = gate.waited(0.9).expect("many have waited").as_secs_f64();
    assert!((0.038..0.043).contains(&high), "{high}");
    let stats = gate.stats();
    assert_eq!((stats.started, stats.started_at_once), (100, 50));
}
