//! Who starts next.

use std::collections::HashMap;

use hedgerow_admission::{Ask, Gate, Priority, Queue};
use hedgerow_core::Deadline;
use tokio::time::{Instant, advance};

use crate::support::{Log, holder, ms, settle};

fn names(log: &Log<(u64, u64)>) -> Vec<u64> {
    log.all().into_iter().map(|(name, _)| name).collect()
}

#[tokio::test(start_paused = true)]
async fn first_come_first_served_and_each_permit_is_released_once() {
    let gate = Gate::builder().concurrency(2).build();
    let log = Log::new();
    let mut tasks = Vec::new();
    for name in 0..20 {
        tasks.push(holder(&gate, Ask::new(), name, ms(10), &log));
        settle().await;
    }
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    assert_eq!(names(&log), (0..20).collect::<Vec<_>>());
    // Two at a time, ten turns of 10 ms.
    assert_eq!(log.all().last(), Some(&(19, 90)));
    let stats = gate.stats();
    assert_eq!((stats.active, stats.queued), (0, 0));
    assert_eq!((stats.started, stats.finished), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_those_who_wait() {
    let gate = Gate::builder().concurrency(1).build();
    let held = gate.permit().await.expect("free");
    let log = Log::new();
    let first = holder(&gate, Ask::new(), 1, ms(0), &log);
    settle().await;
    drop(held);
    // The place is promised already, though its owner has not been polled.
    assert!(gate.try_permit().is_none());
    first.await.expect("no panic").expect("admitted");
    assert!(gate.try_permit().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_last_come_is_first_served_once_the_queue_stands() {
    let queue = Queue::adaptive_lifo().keep_all();
    let gate = Gate::builder().concurrency(1).queue(queue).build();
    let log = Log::new();
    let mut tasks = vec![holder(&gate, Ask::new(), 0, ms(5), &log)];
    settle().await;
    for name in 1..=6 {
        tasks.push(holder(&gate, Ask::new(), name, ms(6), &log));
        settle().await;
    }
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    // At 5 ms the queue has stood for less than 10 ms: the first. From 11 ms on: the last.
    assert_eq!(names(&log), [0, 1, 6, 5, 4, 3, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_earliest_deadline_goes_first_and_those_without_one_last() {
    let queue = Queue::earliest_deadline_first();
    let gate = Gate::builder().concurrency(1).queue(queue).build();
    let log = Log::new();
    let now = Instant::now().into_std();
    let by = |after| Ask::new().deadline(Deadline::at(now + ms(after)));
    let mut tasks = vec![holder(&gate, Ask::new(), 0, ms(5), &log)];
    settle().await;
    for (name, ask) in [
        (1, Ask::new()),
        (2, by(900)),
        (3, by(300)),
        (4, Ask::new()),
        (5, by(600)),
    ] {
        tasks.push(holder(&gate, ask, name, ms(5), &log));
        settle().await;
    }
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    assert_eq!(names(&log), [0, 3, 5, 2, 1, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_higher_priority_goes_first_and_idle_last() {
    let gate = Gate::builder().concurrency(1).build();
    let log = Log::new();
    let mut tasks = vec![holder(&gate, Ask::new(), 0, ms(5), &log)];
    settle().await;
    for (name, priority) in [
        (1, Priority::Idle),
        (2, Priority::Low),
        (3, Priority::Normal),
        (4, Priority::High),
        (5, Priority::High),
    ] {
        let ask = Ask::new().priority(priority);
        tasks.push(holder(&gate, ask, name, ms(5), &log));
        settle().await;
    }
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    assert_eq!(names(&log), [0, 4, 5, 3, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_lower_priority_is_passed_over_sixteen_times_at_most() {
    let gate = Gate::builder().concurrency(1).build();
    let log = Log::new();
    let mut tasks = vec![holder(&gate, Ask::new(), 0, ms(1), &log)];
    settle().await;
    for name in 1..=200 {
        let ask = Ask::new().priority(Priority::High);
        tasks.push(holder(&gate, ask, name, ms(1), &log));
    }
    for name in [1_001, 1_002] {
        tasks.push(holder(&gate, Ask::new(), name, ms(1), &log));
        let low = Ask::new().priority(Priority::Low);
        tasks.push(holder(&gate, low, name + 1_000, ms(1), &log));
        let idle = Ask::new().priority(Priority::Idle);
        tasks.push(holder(&gate, idle, name + 2_000, ms(1), &log));
    }
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    let order = names(&log);
    let at = |name: u64| order.iter().position(|each| *each == name).expect("it ran");
    // The first one holds the place; sixteen of the high ones, then one of each that waits.
    assert!(at(1_001) <= 18 && at(2_001) <= 19, "{order:?}");
    assert!(at(1_002) <= 36 && at(2_002) <= 37, "{order:?}");
    // Idle work waits for all of them.
    assert_eq!(order[order.len() - 2..], [3_001, 3_002]);
}

#[tokio::test(start_paused = true)]
async fn keys_get_the_same_share_whoever_asks_more() {
    let gate = Gate::builder().concurrency(10).max_depth(10_000).build();
    let log = Log::new();
    let mut tasks = Vec::new();
    // One tenant asks ten times as much as the other two, all at the start.
    for (key, count) in [(1, 4_000), (2, 2_000), (3, 2_000)] {
        for _ in 0..count {
            tasks.push(holder(&gate, Ask::new().key(key), key, ms(20), &log));
        }
    }
    advance(ms(1)).await;
    tokio::time::sleep(ms(10_000)).await;
    let mut served: HashMap<u64, f64> = HashMap::new();
    for name in names(&log) {
        *served.entry(name).or_default() += 1.0;
    }
    // 10 s at 500 starts a second.
    let all: f64 = served.values().sum();
    assert!((4_990.0..=5_010.0).contains(&all), "{served:?}");
    for share in served.values().map(|count| count / all) {
        assert!((share - 1.0 / 3.0).abs() < 0.05 / 3.0, "{served:?}");
    }
    for task in tasks {
        task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_may_run_so_many_at_once_and_others_pass() {
    let gate = Gate::builder()
        .concurrency(4)
        .concurrency_per_key(2)
        .build();
    let log = Log::new();
    let mut tasks = Vec::new();
    for (name, key) in [(0, 7), (1, 7), (2, 7), (3, 8), (4, 7), (5, 9)] {
        tasks.push(holder(&gate, Ask::new().key(key), name, ms(10), &log));
        settle().await;
    }
    assert_eq!(names(&log), [0, 1, 3, 5]);
    assert_eq!((gate.key(7).active, gate.key(7).queued), (2, 2));
    assert_eq!(gate.keys(), 3);
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    assert_eq!(names(&log), [0, 1, 3, 5, 2, 4]);
    assert_eq!(gate.keys(), 0, "keys that nobody uses are forgotten");
}
