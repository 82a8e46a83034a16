//! Leaving the queue.

use std::time::{Duration, Instant};

use futures::future::join_all;
use hedgerow_admission::{Ask, Gate, Outcome, Queue, Rate, ShedReason};
use hedgerow_core::Deadline;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{Log, holder, ms, settle};

#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_uses_no_place() {
    let gate = Gate::builder().concurrency(1).build();
    let held = gate.permit().await.expect("free");
    let log = Log::new();
    let leaves = holder(&gate, Ask::new(), 1, ms(0), &log);
    let stays = holder(&gate, Ask::new(), 2, ms(0), &log);
    settle().await;
    leaves.abort();
    settle().await;
    drop(held);
    stays.await.expect("no panic").expect("admitted");
    assert_eq!(log.all(), [(2, 0)]);
    assert_eq!(gate.stats().aborted, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_granted_and_leaves_hands_its_place_on() {
    let gate = Gate::builder()
        .concurrency(1)
        .rate(Rate::per_minute(60))
        .build();
    let held = gate.permit().await.expect("free");
    let mut first = Box::pin(gate.permit());
    let mut second = Box::pin(gate.permit());
    assert!(futures::poll!(&mut first).is_pending());
    assert!(futures::poll!(&mut second).is_pending());
    drop(held);
    // Granted, but never polled again.
    drop(first);
    assert!(futures::poll!(&mut second).is_ready());
    assert_eq!(gate.stats().aborted, 1);
    assert_eq!(
        gate.left(0, None).await,
        Some(58),
        "what was not sent is not counted"
    );
}

#[tokio::test(start_paused = true)]
async fn twenty_thousand_cancelled_waiters_cost_a_constant_number_of_steps_each() {
    let now = tokio::time::Instant::now().into_std();
    for queue in [
        Queue::fifo(),
        Queue::adaptive_lifo().codel(ms(50_000), ms(60_000)),
        Queue::earliest_deadline_first(),
    ] {
        let gate = Gate::builder()
            .concurrency(1)
            .queue(queue)
            .max_depth(30_000)
            .max_wait(Duration::from_secs(600))
            .build();
        let held = gate.permit().await.expect("free");
        let mut waiters: Vec<_> = (0..20_000_u64)
            .map(|n| {
                let deadline = Deadline::at(now + ms(60_000 + n * 7_919 % 20_000));
                let ask = Ask::new().deadline(deadline).key(n % 100);
                Box::pin(gate.permit_for(ask))
            })
            .collect();
        for waiter in &mut waiters {
            assert!(futures::poll!(waiter).is_pending());
        }
        assert_eq!(gate.stats().queued, 20_000);
        let before = gate.steps();
        let began = Instant::now();
        // From the middle outwards, the worst for whoever keeps a line.
        let back = waiters.split_off(10_000);
        for (front, back) in waiters.into_iter().rev().zip(back) {
            drop(front);
            drop(back);
        }
        let took = began.elapsed();
        let steps = gate.steps() - before;
        eprintln!("20,000 cancelled under {queue:?} in {took:?}, {steps} steps");
        assert!(steps <= 2 * 20_000, "{steps}");
        assert_eq!((gate.stats().queued, gate.stats().aborted), (0, 20_000));
        drop(held);
        assert_eq!(gate.stats().active, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_looks_after_the_clock_may_leave() {
    // Of those who wait for a rate, one keeps the time for all. Each of them leaves in turn.
    let gate = Gate::builder().rate(Rate::spacing(ms(1_000))).build();
    gate.permit().await.expect("free").finish(Outcome::Answered);
    for _ in 0..5 {
        let mut waiters: Vec<_> = (0..5).map(|_| Box::pin(gate.permit())).collect();
        for waiter in &mut waiters {
            assert!(futures::poll!(waiter).is_pending());
        }
        // All but one leave; the one that stays must be served by itself.
        while waiters.len() > 1 {
            drop(waiters.remove(waiters.len() / 2));
        }
        let last = waiters.pop().expect("one stays");
        let permit = timeout(ms(1_001), last)
            .await
            .expect("it is woken")
            .expect("admitted");
        permit.finish(Outcome::Answered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_cancels_the_wait_at_once() {
    let gate = Gate::builder().concurrency(1).build();
    let held = gate.permit().await.expect("free");
    let token = CancellationToken::new();
    let waits = tokio::spawn(gate.permit().cancel_on(token.clone()));
    settle().await;
    token.cancel();
    let refused = waits.await.expect("no panic").expect_err("cancelled");
    assert_eq!(refused.reason(), ShedReason::Cancelled);
    assert_eq!(gate.stats().queued, 0);
    drop(held);
    // One that is cancelled before it begins takes nothing.
    let refused = gate.permit().cancel_on(token).await.expect_err("cancelled");
    assert_eq!(refused.reason(), ShedReason::Cancelled);
    assert_eq!(gate.stats().active, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_threads_no_token_is_spent_twice_and_all_permits_come_back() {
    let gate = Gate::builder()
        .concurrency(7)
        .rate(Rate::tokens(1_000_000, Duration::from_secs(1)).burst(1_000))
        .max_depth(100_000)
        .build();
    let running = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let tasks = (0..64_u64).map(|seed| {
        let (gate, running) = (gate.clone(), running.clone());
        tokio::spawn(async move {
            for turn in 0..300_u64 {
                let waits = gate.permit_for(Ask::new().cost(1 + (seed + turn) % 50));
                let wait = Duration::from_micros((seed * 37 + turn * 13) % 900);
                let Ok(Ok(mut permit)) = timeout(wait, waits).await else {
                    continue;
                };
                let before = running.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                assert!(before < 7);
                if turn % 3 == 0 {
                    tokio::task::yield_now().await;
                }
                permit.used(turn % 40);
                running.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            }
        })
    });
    for task in join_all(tasks).await {
        task.expect("no panic");
    }
    let stats = gate.stats();
    assert_eq!((stats.active, stats.queued), (0, 0));
    assert_eq!(stats.started, stats.finished);
    assert_eq!(
        stats.entered,
        stats.started + stats.aborted + stats.shed_total()
    );
}
