//! How much starts in a time.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_admission::{Ask, Correction, Gate, Key, LocalLedger, Outcome, Rate, ShedReason};
use tokio::time::{Instant, sleep};

use crate::support::{Log, holder, ms, settle};

#[tokio::test(start_paused = true)]
async fn starts_are_never_closer_than_the_spacing() {
    let gate = Gate::builder().rate(Rate::spacing(ms(50))).build();
    let log = Log::new();
    let mut tasks = Vec::new();
    for name in 0..10 {
        tasks.push(holder(&gate, Ask::new(), name, ms(0), &log));
    }
    // A pause saves nothing up.
    sleep(ms(2_000)).await;
    for name in 10..13 {
        tasks.push(holder(&gate, Ask::new(), name, ms(0), &log));
    }
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    let starts: Vec<u64> = log.all().into_iter().map(|(_, at)| at).collect();
    assert_eq!(
        starts[..10],
        [0, 50, 100, 150, 200, 250, 300, 350, 400, 450]
    );
    assert_eq!(starts[10..], [0, 50, 100], "counted from their own start");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_of_a_rate_needs_no_later_arrival_to_start() {
    let gate = Gate::builder().rate(Rate::per_second(1)).build();
    let began = Instant::now();
    for second in 0..5 {
        gate.permit()
            .await
            .expect("in time")
            .finish(Outcome::Answered);
        assert_eq!(began.elapsed(), Duration::from_secs(second));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_at_once_never_exceed_a_token_limit_by_one_token() {
    // 6,000 a minute: 100 a second. Each call reserves 300: twenty at once, one each 3 s after.
    let gate = Gate::builder()
        .rate(Rate::tokens_per_minute(6_000))
        .max_wait(Duration::from_secs(1_000))
        .build();
    let log = Log::new();
    let tasks: Vec<_> = (0..100)
        .map(|name| holder(&gate, Ask::new().cost(300), name, ms(100), &log))
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    let starts: Vec<u64> = log.all().into_iter().map(|(_, at)| at).collect();
    for (from, first) in starts.iter().enumerate() {
        for (count, last) in starts[from..].iter().enumerate() {
            let used = 300 * (count as u64 + 1);
            let allowed = 6_000 + (last - first) / 10;
            assert!(used <= allowed, "{used} tokens in {} ms", last - first);
        }
    }
    assert_eq!(starts[19], 0);
    assert_eq!(starts[20], 3_000);
    assert_eq!(starts[99], 240_000);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_is_given_back_and_what_was_used_on_top_is_owed() {
    let gate = Gate::builder().rate(Rate::tokens_per_minute(600)).build();
    let left = async || gate.left(0, None).await.expect("there is a rate");
    let ask = Ask::new().cost(400);

    let mut cheap = gate.permit_for(ask.clone()).await.expect("there is enough");
    assert_eq!(left().await, 200);
    cheap.used(100);
    drop(cheap);
    assert_eq!(left().await, 500);

    let mut dear = gate.permit_for(ask.clone()).await.expect("there is enough");
    dear.used(550);
    drop(dear);
    // 500 - 550: owed, and repaid at 10 a second.
    assert_eq!(left().await, 0);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(left().await, 100);

    // A failure, a refusal and a caller that leaves give all of it back.
    sleep(Duration::from_secs(60)).await;
    for outcome in [
        Outcome::Failed,
        Outcome::Refused,
        Outcome::TimedOut,
        Outcome::Cancelled,
    ] {
        let permit = gate.permit_for(ask.clone()).await.expect("there is enough");
        permit.finish(outcome);
        assert_eq!(left().await, 600, "{outcome:?}");
    }
    gate.permit_for(ask)
        .await
        .expect("there is enough")
        .finish(Outcome::Answered);
    assert_eq!(left().await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_refund_wakes_who_waits_for_it() {
    let gate = Gate::builder().rate(Rate::tokens_per_minute(60)).build();
    let held = gate.permit_for(Ask::new().cost(60)).await.expect("free");
    let log = Log::new();
    let waits = holder(&gate, Ask::new().cost(50), 1, ms(0), &log);
    settle().await;
    held.finish(Outcome::Failed);
    waits.await.expect("no panic").expect("admitted");
    assert_eq!(log.all(), [(1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn what_a_full_bucket_has_forgotten_is_not_given_back() {
    // One that was reserved long ago ends after the bucket was full again.
    let gate = Gate::builder().rate(Rate::tokens_per_minute(60)).build();
    let old = gate.permit_for(Ask::new().cost(60)).await.expect("free");
    sleep(Duration::from_secs(100)).await;
    gate.permit_for(Ask::new().cost(60))
        .await
        .expect("refilled")
        .finish(Outcome::Answered);
    old.finish(Outcome::Cancelled);
    assert_eq!(gate.left(0, None).await, Some(0), "60 a minute, not 120");
}

#[tokio::test(start_paused = true)]
async fn under_a_standing_load_long_calls_are_settled_in_full() {
    // Each reserves 50 and uses 10, and runs for a second.
    let gate = Gate::builder()
        .rate(Rate::tokens(1_000, Duration::from_secs(1)).burst(10_000))
        .max_depth(100_000)
        .max_wait(Duration::from_secs(1_000))
        .build();
    let began = Instant::now();
    let tasks: Vec<_> = (0..5_000)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move {
                let mut permit = gate.permit_for(Ask::new().cost(50)).await.expect("in time");
                sleep(Duration::from_secs(1)).await;
                permit.used(10);
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    // 50,000 tokens, 10,000 of them at once, 1,000 a second; reserved were 250,000.
    let seconds = began.elapsed().as_secs_f64();
    assert!((40.0..46.0).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn several_rates_are_taken_together_or_not_at_all() {
    let gate = Gate::builder()
        .rate(Rate::per_second(2))
        .rate(Rate::tokens_per_minute(600))
        .build();
    // Not enough tokens: the request is not counted either.
    let big = gate.permit_for(Ask::new().cost(600)).await.expect("free");
    let log = Log::new();
    let waits = holder(&gate, Ask::new().cost(100), 1, ms(0), &log);
    settle().await;
    assert_eq!(gate.left(0, None).await, Some(1));
    waits.await.expect("no panic").expect("admitted");
    // 100 tokens at 10 a second.
    assert_eq!(log.all(), [(1, 10_000)]);
    drop(big);
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_own_rate_and_blocks_nobody_else() {
    let gate = Gate::builder().rate(Rate::per_second(1).per_key()).build();
    let log = Log::new();
    let mut tasks = Vec::new();
    for (name, key) in [(0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "c")] {
        tasks.push(holder(&gate, Ask::new().key(key), name, ms(0), &log));
        settle().await;
    }
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    assert_eq!(log.all(), [(0, 0), (3, 0), (4, 0), (1, 1_000), (2, 2_000)]);
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_burst_is_refused_not_kept() {
    let gate = Gate::builder()
        .rate(Rate::tokens_per_minute(600).burst(100))
        .build();
    let refused = gate
        .permit_for(Ask::new().cost(101))
        .await
        .expect_err("never");
    assert_eq!(refused.reason(), ShedReason::TooLarge);
    assert_eq!(refused.retry_after(), None);
    gate.permit_for(Ask::new().cost(100))
        .await
        .expect("fits")
        .finish(Outcome::Answered);
    let refused = gate
        .permit_for(Ask::new().cost(u64::MAX))
        .await
        .expect_err("absurd");
    assert_eq!(refused.reason(), ShedReason::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_book_can_be_corrected_from_outside_at_once() {
    let gate = Gate::builder().rate(Rate::per_minute(60).per_key()).build();
    let key = Key::from("tenant");
    let ask = || Ask::new().key("tenant");
    gate.permit_for(ask())
        .await
        .expect("free")
        .finish(Outcome::Answered);
    // The upstream says that only 2 are left, whatever we think.
    assert!(gate.correct(0, Some(&key), Correction::default().left(2)));
    assert_eq!(gate.left(0, Some(&key)).await, Some(2));
    let began = Instant::now();
    for _ in 0..3 {
        gate.permit_for(ask())
            .await
            .expect("in time")
            .finish(Outcome::Answered);
    }
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    // Another limit: those who wait feel it at once.
    let log = Log::new();
    let waits = holder(&gate, ask(), 1, ms(0), &log);
    settle().await;
    gate.correct(0, Some(&key), Correction::default().limit(6_000));
    waits.await.expect("no panic").expect("admitted");
    assert!(log.all()[0].1 <= 10, "{:?}", log.all());
    // A pause, as of a Retry-After.
    gate.correct(0, Some(&key), Correction::default().pause(ms(700)));
    let began = Instant::now();
    gate.permit_for(ask())
        .await
        .expect("in time")
        .finish(Outcome::Answered);
    assert_eq!(began.elapsed(), ms(700));
    assert!(
        !gate.correct(1, None, Correction::default()),
        "there is one rate"
    );
}

#[tokio::test(start_paused = true)]
async fn gates_with_one_ledger_share_the_rate_of_one_name() {
    let ledger = Arc::new(LocalLedger::new());
    let gate = || {
        Gate::builder()
            .rate(Rate::per_second(1).named("upstream"))
            .ledger(ledger.clone())
            .build()
    };
    let (one, two) = (gate(), gate());
    one.permit().await.expect("free").finish(Outcome::Answered);
    let began = Instant::now();
    two.permit()
        .await
        .expect("in time")
        .finish(Outcome::Answered);
    assert_eq!(began.elapsed(), ms(1_000));
    let refused = Gate::builder()
        .rate(Rate::per_second(2).named("upstream"))
        .ledger(ledger)
        .try_build();
    assert!(
        refused
            .expect_err("it differs")
            .to_string()
            .contains("upstream")
    );
}

#[tokio::test(start_paused = true)]
async fn idle_keys_are_forgotten_and_the_books_stay_bounded() {
    let ledger = Arc::new(LocalLedger::with_max_keys(100));
    let gate = Gate::builder()
        .rate(Rate::per_second(10).per_key())
        .ledger(ledger.clone())
        .build();
    for key in 0..10_000_u64 {
        gate.permit_for(Ask::new().key(key))
            .await
            .expect("fresh")
            .finish(Outcome::Answered);
        if key % 50 == 0 {
            sleep(ms(1_000)).await;
        }
    }
    assert!(ledger.keys() <= 100, "{}", ledger.keys());
    // One that is in use is not forgotten for the sake of new ones.
    let busy = || Ask::new().key("busy");
    sleep(ms(5_000)).await;
    for _ in 0..10 {
        gate.permit_for(busy())
            .await
            .expect("fresh")
            .finish(Outcome::Answered);
    }
    for key in 20_000..20_150_u64 {
        let _ = gate.try_permit_for(&Ask::new().key(key));
    }
    assert!(gate.try_permit_for(&busy()).is_none());
}
