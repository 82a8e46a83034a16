//! When batches are asked for.

use std::time::Duration;

use hedgerow_sim::batch_api::{Fault, MockBatchApi, On, Script};
use tokio::time::Instant;

use crate::bed::{Bed, SECOND, bed, bed_with};

/// The waits between the polls.
fn waits(bed: &Bed) -> Vec<Duration> {
    let log = bed.api.log();
    let polls: Vec<Duration> = log
        .iter()
        .filter(|seen| seen.on == On::Poll)
        .map(|seen| seen.at)
        .collect();
    polls.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn polls_are_jittered_and_rarer_the_older_a_batch_is() {
    let settings = MockBatchApi::settings().script(|_| Script::lasting(Duration::from_secs(3_000)));
    let bed = bed(settings);
    assert_eq!(bed.words(&["a"]).await, ["200"]);
    let waits = waits(&bed);
    let (first, last) = (&waits[..3], &waits[waits.len() - 3..]);
    assert!(
        first
            .iter()
            .all(|wait| *wait >= 4 * SECOND && *wait <= 7 * SECOND),
        "{waits:?}"
    );
    assert!(
        last.iter()
            .all(|wait| *wait >= 40 * SECOND && *wait <= 73 * SECOND),
        "{waits:?}"
    );
    assert!(
        waits.windows(2).any(|pair| pair[1] < pair[0]),
        "no jitter: {waits:?}"
    );
    // Far fewer than one in five seconds.
    assert!(waits.len() < 150, "{}", waits.len());
}

#[tokio::test(start_paused = true)]
async fn two_batches_are_not_polled_in_step() {
    let settings = MockBatchApi::settings().script(|_| Script::lasting(Duration::from_secs(300)));
    let bed = bed_with(settings, |b| b.batch_size(1));
    assert_eq!(bed.words(&["a", "b"]).await, ["200", "200"]);
    let log = bed.api.log();
    let mut at: Vec<Duration> = log
        .iter()
        .filter(|seen| seen.on == On::Poll)
        .map(|seen| seen.at)
        .collect();
    let polls = at.len();
    at.dedup();
    assert!(at.len() > polls / 2, "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn the_api_says_when_to_come_back() {
    let fault = Fault::on(On::Poll).status(429).retry_after(200 * SECOND);
    let bed = bed(MockBatchApi::settings().fault(fault));
    assert_eq!(bed.words(&["a"]).await, ["200"]);
    let waits = waits(&bed);
    assert!(
        waits[0] >= 200 * SECOND && waits[0] < 250 * SECOND,
        "{waits:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_not_found_any_more_ends_its_calls_soon() {
    let fault = Fault::on(On::Poll).status(404).always().skip(1);
    let settings = MockBatchApi::settings()
        .script(|_| Script::stuck())
        .fault(fault);
    let bed = bed(settings);
    let start = Instant::now();
    assert_eq!(bed.words(&["a", "b"]).await, ["Gone", "Gone"]);
    assert!(start.elapsed() < 120 * SECOND, "{:?}", start.elapsed());
    // Nobody asks for it any more.
    let polls = bed.counts().polls;
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!(bed.counts().polls, polls);
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_an_end_is_given_up_when_window_and_grace_are_over() {
    let bed = bed_with(MockBatchApi::settings().script(|_| Script::stuck()), |b| {
        b.completion_window("2h").grace(Duration::from_secs(600))
    });
    let start = Instant::now();
    assert_eq!(bed.words(&["a"]).await, ["Overdue"]);
    let (took, due) = (start.elapsed(), Duration::from_secs(7_200 + 600));
    assert!(took >= due && took < due + 120 * SECOND, "{took:?}");
    let polls = bed.counts().polls;
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!(bed.counts().polls, polls);
}
