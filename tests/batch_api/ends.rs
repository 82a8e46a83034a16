//! How batches end: what was finished is delivered, and the rest is dealt with by policy.

use std::time::Duration;

use hedgerow_openai::batch::{OnExpired, RowError};
use hedgerow_sim::batch_api::{Fault, MockBatchApi, On, Script, Settings, Share, Stage, Status};
use tokio::time::Instant;

use crate::bed::{CHAT, Got, SECOND, bed, bed_with, body};

/// The first batch ends so, and all others are completed.
fn first(script: impl Fn() -> Script + Send + Sync + 'static) -> Settings {
    MockBatchApi::settings().script(move |batch| match batch.number {
        0 => script(),
        _ => Script::instant(),
    })
}

const HALF: [&str; 4] = ["a", "b", "c", "d"];

#[tokio::test(start_paused = true)]
async fn expired_rows_fail_and_finished_ones_are_delivered() {
    for listed in [true, false] {
        let script = move || match listed {
            true => Script::instant().expires(Share::of(1, 2)),
            false => Script::instant()
                .expires(Share::of(1, 2))
                .without_the_rest(),
        };
        let bed = bed_with(first(script), |b| b.on_expired(OnExpired::Fail));
        assert_eq!(bed.words(&HALF).await, ["200", "200", "Expired", "Expired"]);
        assert_eq!(bed.counts().batches, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn expired_rows_alone_go_into_another_batch() {
    let bed = bed(first(|| Script::instant().expires(Share::of(1, 4))));
    assert_eq!(bed.words(&HALF).await, ["200"; 4]);
    let batches = bed.api.batches().await;
    let rows: Vec<usize> = batches.iter().map(|batch| batch.rows).collect();
    assert_eq!(rows, [4, 3]);
    // By the same names: who looks at the API sees that they are the same rows.
    assert_eq!(
        (
            bed.counts().rows,
            bed.counts().rows_again,
            bed.counts().direct
        ),
        (7, 3, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn rows_that_expire_again_and_again_end_with_an_error() {
    let settings = MockBatchApi::settings().script(|_| Script::instant().expires(Share::NONE));
    let bed = bed_with(settings, |b| b.on_expired(OnExpired::Rebatch(2)));
    assert_eq!(bed.words(&["a"]).await, ["Expired"]);
    assert_eq!(bed.counts().batches, 3);
}

#[tokio::test(start_paused = true)]
async fn expired_rows_are_sent_now_within_the_cap() {
    let script = || Script::instant().expires(Share::of(1, 4));
    let bed = bed_with(first(script), |b| {
        b.on_expired(OnExpired::SendNow).spend_cap(2)
    });
    let mut words = bed.words(&HALF).await;
    assert_eq!(words.remove(0), "200");
    words.sort_unstable();
    assert_eq!(words, ["200", "200", "Expired"]);
    assert_eq!((bed.counts().direct, bed.counts().batches), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_open_shortly_before_the_window_ends_is_sent_once() {
    let script = || {
        let half = Stage::of(Status::InProgress).done(Share::of(1, 2));
        Script::instant().stage(half.until_released())
    };
    let bed = bed_with(first(script), |b| {
        b.completion_window("1h")
            .escalate_before(Duration::from_secs(600))
    });
    let start = Instant::now();
    assert_eq!(bed.words(&HALF).await, ["200"; 4]);
    let took = start.elapsed();
    // The window of collecting is 10 s, and 10 min before an hour is over they are sent.
    let due = Duration::from_secs(10 + 3_600 - 600);
    assert!(
        took >= due - SECOND && took <= due + 120 * SECOND,
        "{took:?}"
    );
    assert_eq!((bed.counts().direct, bed.counts().batches), (2, 1));
    // The batch has nothing more to do that anybody wants.
    bed.client.close().await;
    assert_eq!(bed.counts().cancels, 1);
    assert_eq!(bed.counts().direct, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_early_stays_within_the_cap_and_the_rest_still_counts_on_the_batch() {
    let script = || Script::lasting(Duration::from_secs(3_300));
    let bed = bed_with(first(script), |b| {
        b.escalate_before(Duration::from_secs(600)).spend_cap(3)
    });
    assert_eq!(bed.words(&HALF).await, ["200"; 4]);
    assert_eq!((bed.counts().direct, bed.counts().batches), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_sent_early_and_refused_ends_with_that_refusal_or_its_batch() {
    let script = || Script::instant().stage(Stage::of(Status::InProgress).until_released());
    let settings = first(script).fault(Fault::on(On::Direct).status(400).always());
    let bed = bed_with(settings, |b| b.escalate_before(Duration::from_secs(600)));
    assert_eq!(bed.words(&["a", "b"]).await, ["400", "400"]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_batch_delivers_what_was_finished() {
    for listed in [true, false] {
        let script = move || match listed {
            true => Script::stepwise().is_cancelled(Share::of(1, 2)),
            false => Script::stepwise()
                .is_cancelled(Share::of(1, 2))
                .without_the_rest(),
        };
        let bed = bed(first(script));
        assert_eq!(
            bed.words(&HALF).await,
            ["200", "200", "Cancelled", "Cancelled"]
        );
        assert_eq!(bed.counts().batches, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_tells_every_row_why() {
    let bed = bed(first(|| {
        Script::stepwise().fails("authorization_error", "no such model")
    }));
    for got in bed.all(&HALF).await.into_values() {
        match got {
            Got::Error(error @ RowError::Failed { .. }) => {
                assert!(error.to_string().contains("no such model"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_at_the_api_is_waited_for() {
    let bed = bed(first(|| {
        Script::instant().fails("token_limit_exceeded", "queue is full")
    }));
    let start = Instant::now();
    assert_eq!(bed.words(&HALF).await, ["200"; 4]);
    assert!(start.elapsed() >= 60 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn every_status_on_the_way_is_lived_through() {
    let script = || {
        [
            Status::Validating,
            Status::Other("queued"),
            Status::InProgress,
            Status::Other("a word of the future"),
            Status::Finalizing,
        ]
        .into_iter()
        .fold(Script::instant(), |script, status| {
            script.stage(Stage::of(status).polls(2))
        })
    };
    let bed = bed(first(script));
    assert_eq!(bed.words(&HALF).await, ["200"; 4]);
    assert!(bed.counts().polls >= 11);
    bed.none_twice();
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_has_no_files_at_its_end_leaves_no_caller_behind() {
    let settings = MockBatchApi::settings().answer(|_| hedgerow_sim::batch_api::Answer::missing());
    let bed = bed(settings);
    assert_eq!(bed.words(&HALF).await, ["Missing"; 4]);
    let got = bed.ask(CHAT, &body("m", "a")).await;
    assert_eq!(got.word(), "Missing");
}
