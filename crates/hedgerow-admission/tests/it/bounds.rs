//! Bounds: depth, wait, deadline, and what is refused when it is built.

use std::time::Duration;

use hedgerow_admission::{Ask, BuildError, Gate, Outcome, Pool, Priority, Queue, Rate, ShedReason};
use hedgerow_core::Deadline;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Log, holder, ms, settle};

#[tokio::test(start_paused = true)]
async fn one_more_than_may_wait_is_refused_at_once() {
    let gate = Gate::builder().concurrency(1).max_depth(2).build();
    let held = gate.permit().await.expect("free");
    let log = Log::new();
    let one = holder(&gate, Ask::new(), 1, ms(0), &log);
    let two = holder(&gate, Ask::new(), 2, ms(0), &log);
    settle().await;
    let refused = gate.permit().await.expect_err("two wait");
    assert_eq!(refused.reason(), ShedReason::QueueFull);
    assert_eq!((refused.depth(), refused.limit()), (2, Some(1)));
    drop(held);
    one.await.expect("no panic").expect("admitted");
    two.await.expect("no panic").expect("admitted");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_the_lowest_priority_first() {
    let gate = Gate::builder().concurrency(1).max_depth(2).build();
    let held = gate.permit().await.expect("free");
    let log = Log::new();
    let low = Ask::new().priority(Priority::Low);
    let lows = [1, 2].map(|name| holder(&gate, low.clone(), name, ms(0), &log));
    settle().await;
    let high = holder(&gate, Ask::new().priority(Priority::High), 3, ms(0), &log);
    settle().await;
    drop(held);
    high.await.expect("no panic").expect("admitted");
    let [first, second] = lows;
    first.await.expect("no panic").expect("admitted");
    let refused = second.await.expect("no panic").expect_err("it made room");
    assert_eq!(refused.reason(), ShedReason::QueueFull);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_longest_wait_to_the_millisecond() {
    let gate = Gate::builder().concurrency(1).max_wait(ms(250)).build();
    let held = gate.permit().await.expect("free");
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..5 {
        let gate = gate.clone();
        tasks.push(tokio::spawn(async move {
            let began = Instant::now();
            let refused = gate.permit().await.expect_err("nobody leaves");
            (began.elapsed(), refused)
        }));
        sleep(ms(30)).await;
    }
    for task in tasks {
        let (took, refused) = task.await.expect("no panic");
        assert_eq!(took, ms(250));
        assert_eq!(refused.reason(), ShedReason::WaitedTooLong);
        assert_eq!(refused.waited(), ms(250));
    }
    assert_eq!(began.elapsed(), ms(370));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_the_wait() {
    let gate = Gate::builder().concurrency(1).build();
    let held = gate.permit().await.expect("free");
    let now = Instant::now().into_std();
    let by = |after| Ask::new().deadline(Deadline::at(now + ms(after)));
    // The later one came first, and does not hide the earlier.
    let late = tokio::spawn(gate.permit_for(by(90)));
    settle().await;
    let soon = tokio::spawn(gate.permit_for(by(20)));
    settle().await;
    let refused = timeout(ms(21), soon)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(
        refused.expect_err("too late").reason(),
        ShedReason::DeadlinePassed
    );
    let refused = timeout(ms(71), late)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(refused.expect_err("too late").waited(), ms(90));
    // One that has passed already is refused though there is room.
    drop(held);
    let refused = gate.permit_for(by(90)).await.expect_err("too late");
    assert_eq!(refused.reason(), ShedReason::DeadlinePassed);
    assert_eq!(gate.stats().shed_for(ShedReason::DeadlinePassed), 3);
}

#[tokio::test(start_paused = true)]
async fn no_patience_means_now_or_never() {
    let gate = Gate::builder().concurrency(1).build();
    let impatient = || Ask::new().patience(Duration::ZERO);
    let held = gate.permit_for(impatient()).await.expect("free");
    let refused = gate.permit_for(impatient()).await.expect_err("taken");
    assert_eq!(refused.waited(), Duration::ZERO);
    drop(held);
    let none = Gate::builder()
        .concurrency(1)
        .max_wait(Duration::ZERO)
        .build();
    let _held = none.permit().await.expect("free");
    assert!(none.permit().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_is_told_when_to_come_again() {
    let gate = Gate::builder()
        .rate(Rate::per_minute(60).burst(1))
        .max_depth(0)
        .build();
    gate.permit().await.expect("free").finish(Outcome::Answered);
    sleep(ms(300)).await;
    let refused = gate.permit().await.expect_err("the rate is spent");
    assert_eq!(refused.retry_after(), Some(ms(700)));
    assert_eq!(
        refused.to_string(),
        "the admission queue is full (0 waiting, try again in 700ms)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_gate_drains_closes_and_opens_again() {
    let gate = Gate::builder().concurrency(1).build();
    let held = gate.permit().await.expect("free");
    let log = Log::new();
    let waits = holder(&gate, Ask::new(), 1, ms(10), &log);
    settle().await;
    let draining = {
        let gate = gate.clone();
        tokio::spawn(async move { gate.drain().await })
    };
    settle().await;
    assert_eq!(
        gate.permit().await.expect_err("drains").reason(),
        ShedReason::Closed
    );
    assert!(!draining.is_finished());
    drop(held);
    waits.await.expect("no panic").expect("who waits is served");
    timeout(ms(1), draining)
        .await
        .expect("it is empty")
        .expect("no panic");

    gate.reopen();
    let held = gate.permit().await.expect("open again");
    let waits = holder(&gate, Ask::new(), 2, ms(0), &log);
    settle().await;
    let closing = {
        let gate = gate.clone();
        tokio::spawn(async move { gate.close().await })
    };
    let refused = waits.await.expect("no panic").expect_err("closed");
    assert_eq!(refused.reason(), ShedReason::Closed);
    assert!(!closing.is_finished());
    drop(held);
    timeout(ms(1), closing)
        .await
        .expect("it is empty")
        .expect("no panic");
}

#[test]
fn every_bad_value_is_refused_with_what_to_write() {
    let refused = |builder: hedgerow_admission::GateBuilder| -> Vec<String> {
        builder
            .mistakes()
            .iter()
            .map(BuildError::to_string)
            .collect()
    };
    let builder = Gate::builder()
        .concurrency(0)
        .concurrency_per_key(2_000_000)
        .rate(Rate::per_second(0))
        .rate(Rate::spacing(Duration::ZERO))
        .rate(Rate::tokens_per_minute(10).burst(0))
        .rate(Rate::per_second(5))
        .rate(Rate::per_second(5))
        .queue(Queue::fifo().codel(ms(200), ms(100)))
        .max_depth(usize::MAX)
        .max_wait(Duration::MAX);
    let mistakes = refused(builder);
    for part in [
        "concurrency(0): write 1",
        "concurrency_per_key(2000000): write 1",
        "5 rates: a gate takes at most 4",
        "a rate of 0 with burst 0",
        "a rate per 0ns",
        "a rate of 10 with burst 0",
        "two rates are named \"5 requests per 1s\"",
        "CoDel with target 200ms",
        "max_depth(18446744073709551615)",
        "max_wait(",
    ] {
        assert!(
            mistakes.iter().any(|mistake| mistake.contains(part)),
            "{part} is not in {mistakes:?}"
        );
    }
    assert_eq!(mistakes.len(), 10, "{mistakes:?}");
    let empty = Gate::builder()
        .pool(Pool::<u8>::round_robin([]))
        .try_build();
    assert_eq!(empty.err(), Some(BuildError::EmptyPool));
    let none = Gate::builder()
        .pool(Pool::round_robin([1]).at_once(0))
        .try_build();
    assert_eq!(none.err(), Some(BuildError::EmptyPool));
}
