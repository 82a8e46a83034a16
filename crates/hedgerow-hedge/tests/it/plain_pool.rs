//! A17: the bounded pool in the order of completion.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::executor::block_on;
use futures::{Stream, StreamExt};
use hedgerow_hedge::{ArgumentError, buffered_by_completion, try_buffered_by_completion};
use tokio::time::{sleep, timeout};

use crate::plain_support::{Answer, Down, Track};
use crate::support::ms;

#[tokio::test(start_paused = true)]
async fn outputs_come_in_the_order_of_completion() {
    let track = Track::new();
    let pool = buffered_by_completion([50, 10, 30, 20], 2, |takes| track.runner(takes, takes));
    assert_eq!(pool.size_hint(), (4, Some(4)));
    let all: Vec<_> = pool.map(|output| (output, track.now())).collect().await;
    // 50 and 10 at once; 30 follows 10, 20 follows it.
    assert_eq!(
        all,
        [((1, 10), 10), ((2, 30), 40), ((0, 50), 50), ((3, 20), 60)]
    );
    assert_eq!(track.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn at_most_n_run_at_a_time_and_items_are_started_in_order() {
    let (track, most) = (Track::new(), AtomicUsize::new(0));
    let mut made = Vec::new();
    let mut pool = buffered_by_completion(0..100u64, 7, |n| {
        made.push(n);
        let runner = track.runner(1 + n * 7 % 13, n);
        most.fetch_max(track.held(), Ordering::Relaxed);
        runner
    });
    let mut seen = Vec::new();
    while let Some((index, n)) = pool.next().await {
        assert_eq!(index as u64, n);
        seen.push(n);
    }
    drop(pool);
    assert_eq!(most.load(Ordering::Relaxed), 7);
    assert_eq!(made, (0..100).collect::<Vec<_>>());
    seen.sort_unstable();
    assert_eq!(seen, made);
}

#[tokio::test(start_paused = true)]
async fn items_are_pulled_lazily_also_without_an_end() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = pulled.clone();
    let items = (0u64..).inspect(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let mut pool = buffered_by_completion(items, 3, async |n| n);
    assert_eq!(pulled.load(Ordering::Relaxed), 0, "nothing before a poll");
    for want in 0..50 {
        let (_, n) = pool.next().await.expect("no end");
        assert_eq!(n, want);
        assert!(pulled.load(Ordering::Relaxed) as u64 <= want + 3);
    }
}

/// A17's "must show": `next()` dropped at every moment, 1 ms apart.
#[tokio::test(start_paused = true)]
async fn a_finished_output_is_never_lost_when_next_is_dropped() {
    let track = Track::new();
    let mut pool = buffered_by_completion(0..60u64, 5, |n| {
        track.runner(1 + n * 11 % 17, Answer::Ok("x"))
    });
    let (mut seen, mut dropped) = (Vec::new(), 0);
    loop {
        // Polled once and dropped, then for a millisecond and dropped.
        tokio::select! {
            biased;
            Some((index, _)) = pool.next() => seen.push(index),
            () = async {} => dropped += 1,
        }
        match timeout(ms(1), pool.next()).await {
            Ok(Some((index, _))) => seen.push(index),
            Ok(None) => break,
            Err(_) => dropped += 1,
        }
    }
    assert!(dropped > 20, "{dropped} dropped");
    seen.sort_unstable();
    assert_eq!(seen, (0..60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn outputs_that_finish_while_nobody_looks_are_kept() {
    let track = Track::new();
    let mut pool = buffered_by_completion([5, 5, 5], 3, |takes| track.runner(takes, takes));
    assert!(timeout(ms(1), pool.next()).await.is_err());
    sleep(ms(100)).await;
    for _ in 0..3 {
        assert!(pool.next().await.is_some());
        assert_eq!(track.now(), 101);
    }
    assert_eq!(pool.next().await, None);
    assert_eq!(pool.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn errors_are_outputs_unless_it_fails_fast() {
    let track = Track::new();
    let script = [(10, Ok("a")), (20, Err(Down("b"))), (30, Ok("c"))];
    let run = |(takes, answer): (u64, Answer)| track.runner(takes, answer);
    let all: Vec<_> = buffered_by_completion(script, 3, run).collect().await;
    assert_eq!(all, [(0, Ok("a")), (1, Err(Down("b"))), (2, Ok("c"))]);
}

#[tokio::test(start_paused = true)]
async fn failing_fast_ends_with_the_first_error_and_drops_the_rest_at_once() {
    let track = Track::new();
    let script = [
        (10, Ok("a")),
        (20, Err(Down("b"))),
        (500, Ok("c")),
        (500, Err(Down("d"))),
        (1, Ok("never")),
    ];
    let run = |(takes, answer): (u64, Answer)| track.runner(takes, answer);
    let mut pool = buffered_by_completion(script, 3, run).fail_fast();
    assert_eq!(pool.next().await, Some((0, Ok("a"))));
    assert_eq!(pool.next().await, Some((1, Err(Down("b")))));
    // In the very poll that gave the error.
    assert_eq!((track.now(), track.held()), (20, 0));
    assert_eq!(pool.next().await, None);
    assert_eq!(pool.next().await, None);
    sleep(ms(1_000)).await;
    assert_eq!(track.started().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn failing_fast_without_a_failure_gives_all() {
    let track = Track::new();
    let pool = buffered_by_completion([3, 2, 1], 2, |n| track.runner(n, Ok::<_, Down>(n)));
    let all: Vec<_> = pool.fail_fast().collect().await;
    assert_eq!(all.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_drops_what_runs() {
    let track = Track::new();
    let mut pool = buffered_by_completion(0..9u64, 4, |n| track.runner(100 + n, n));
    assert!(timeout(ms(10), pool.next()).await.is_err());
    assert_eq!(track.held(), 4);
    drop(pool);
    sleep(ms(1_000)).await;
    assert_eq!((track.held(), track.started().len()), (0, 4));
}

#[test]
fn it_needs_no_runtime_and_nothing_to_do_ends_at_once() {
    let all = |items: Vec<u8>| {
        block_on(buffered_by_completion(items, 2, async |n| n * 2).collect::<Vec<_>>())
    };
    assert_eq!(all(vec![1, 2, 3]), [(0, 2), (1, 4), (2, 6)]);
    assert_eq!(all(vec![]), []);
}

#[test]
fn a_pool_of_0_is_refused_with_what_to_write() {
    let refused = try_buffered_by_completion([1], 0, async |n: u8| n).expect_err("no room");
    assert_eq!(refused, ArgumentError::NoRoom);
    assert!(refused.to_string().ends_with("at least 1"), "{refused}");
    let panicked = std::panic::catch_unwind(|| {
        let _ = buffered_by_completion([1], 0, async |n: u8| n);
    });
    let message = panicked.expect_err("no room");
    assert_eq!(message.downcast_ref::<String>(), Some(&refused.to_string()));
}
