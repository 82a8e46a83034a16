//! Queueing replicas, with and without cancellation.

use std::time::Duration;

use hedgerow_sim::{Job, Law, Replicas};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn a_replica_works_on_one_job_at_a_time_in_order() {
    for cancellation in [false, true] {
        let replicas = Replicas::new(1, 1).cancellation(cancellation);
        let started = Instant::now();
        let mut jobs = tokio::task::JoinSet::new();
        for size in [30, 10, 20] {
            let answer = replicas.clone().oneshot(Job::new(ms(size)));
            jobs.spawn(async move {
                let Ok(()) = answer.await;
                started.elapsed()
            });
            tokio::task::yield_now().await;
        }
        let mut ends = jobs.join_all().await;
        ends.sort();
        assert_eq!(ends, [30, 40, 60].map(ms), "cancellation {cancellation}");
        assert_eq!((replicas.attempts(), replicas.worked()), (3, ms(60)));
    }
}

/// The point of it: a dropped attempt goes on taking a worker's time, or does not.
#[tokio::test(start_paused = true)]
async fn a_dropped_attempt_frees_its_worker_only_with_cancellation() {
    for (cancellation, next_ends_at) in [(true, 20), (false, 110)] {
        let replicas = Replicas::new(1, 1).cancellation(cancellation);
        let started = Instant::now();
        let dropped = replicas.clone().oneshot(Job::new(ms(100)));
        assert!(timeout(ms(10), dropped).await.is_err());
        let Ok(()) = replicas.clone().oneshot(Job::new(ms(10))).await;
        assert_eq!(
            started.elapsed(),
            ms(next_ends_at),
            "cancellation {cancellation}"
        );
    }
}

/// One that still waits costs nothing with cancellation.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_leaves_its_queue_is_never_worked_on() {
    let replicas = Replicas::new(1, 1).cancellation(true);
    let first = replicas.clone().oneshot(Job::new(ms(50)));
    let waiting = timeout(ms(20), replicas.clone().oneshot(Job::new(ms(500))));
    let (first, waited) = tokio::join!(first, waiting);
    assert!(first.is_ok() && waited.is_err());
    assert_eq!(replicas.worked(), ms(50));
}

/// Power of two choices: nobody waits behind a long queue while others idle.
#[tokio::test(start_paused = true)]
async fn requests_go_to_the_shorter_of_two_queues() {
    let replicas = Replicas::new(10, 3);
    let law = Law::mixture(
        "flat",
        [(1.0, hedgerow_sim::LawPart::Constant { ms: 1_000.0 })],
    )
    .expect("a valid law");
    let mut rng = StdRng::seed_from_u64(1);
    let mut jobs = tokio::task::JoinSet::new();
    // A load of 0.7 for 100 seconds: 700 jobs of a second on ten workers.
    for _ in 0..700u32 {
        let job = Job::drawn(&law, &mut rng);
        let answer = replicas.clone().oneshot(job);
        jobs.spawn(async move {
            let began = Instant::now();
            let Ok(()) = answer.await;
            began.elapsed()
        });
        sleep(ms(143)).await;
    }
    let waits = jobs.join_all().await;
    let longest = waits.into_iter().max().expect("700 jobs");
    assert!(longest <= ms(4_000), "{longest:?}");
    assert_eq!(replicas.worked(), Duration::from_secs(700));
}

#[tokio::test(start_paused = true)]
async fn hiccups_are_each_attempts_own() {
    let replicas = Replicas::new(1, 5).hiccups(0.5, ms(200));
    for _ in 0..1_000 {
        let Ok(()) = replicas.clone().oneshot(Job::new(ms(1))).await;
    }
    let slow = (replicas.worked() - ms(1_000)).as_millis() / 200;
    assert!((440..=560).contains(&slow), "{slow} of 1000");
}

#[test]
#[should_panic(expected = "write at least 1")]
fn no_replicas_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let _ = Replicas::new(0, 1);
}
