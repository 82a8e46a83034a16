//! The end of a client: drained, cancelled or kept, each within its time.

use std::time::Duration;

use hedgerow_openai::batch::OnClose;
use hedgerow_sim::batch_api::{Fault, MockBatchApi, On, Script, Share, Stage, Status};
use tokio::time::{Instant, sleep};

use crate::bed::{Bed, SECOND, bed, bed_with};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const LIMIT: Duration = Duration::from_secs(10);

/// Calls that have come so far when the client is closed; gives what they got, and how long the close took.
async fn closed_after(bed: &Bed, time: Duration, how: OnClose) -> (Vec<String>, Duration) {
    let closing = async {
        sleep(time).await;
        let start = Instant::now();
        bed.client.close_by(how).await;
        start.elapsed()
    };
    futures::future::join(bed.words(&NAMES), closing).await
}

fn half() -> Script {
    let half = Stage::of(Status::InProgress).done(Share::of(1, 2));
    Script::instant().stage(half.until_released())
}

#[tokio::test(start_paused = true)]
async fn draining_sends_what_was_collected_and_waits_for_every_row() {
    let settings = MockBatchApi::settings().script(|_| Script::stepwise());
    let bed = bed_with(settings, |b| b.on_close(OnClose::Drain, 600 * SECOND));
    // Nothing has been sent yet.
    let (words, _) = closed_after(&bed, SECOND, OnClose::Drain).await;
    assert_eq!(words, ["200"; 4]);
    assert_eq!((bed.counts().rows, bed.counts().cancels), (4, 0));
    assert_eq!(bed.words(&["late"]).await, ["Closed"]);
}

#[tokio::test(start_paused = true)]
async fn draining_ends_at_its_limit() {
    let settings = MockBatchApi::settings().script(|_| half());
    let bed = bed_with(settings, |b| b.on_close(OnClose::Drain, LIMIT));
    let (words, took) = closed_after(&bed, 60 * SECOND, OnClose::Drain).await;
    assert_eq!(words, ["200", "200", "Closed", "Closed"]);
    assert!(took <= LIMIT + SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn cancelling_drops_what_was_collected_and_delivers_what_was_finished() {
    let bed = bed(MockBatchApi::settings().script(|_| half()));
    let (words, took) = closed_after(&bed, SECOND, OnClose::Cancel).await;
    assert_eq!(words, ["Closed"; 4]);
    assert_eq!(bed.counts().uploads, 0);
    assert!(took <= LIMIT + SECOND, "{took:?}");

    let bed = self::bed(MockBatchApi::settings().script(|_| half()));
    let (words, took) = closed_after(&bed, 12 * SECOND, OnClose::Cancel).await;
    assert_eq!(words[2..], ["Cancelled", "Cancelled"], "{words:?}");
    assert_eq!(
        words[..2]
            .iter()
            .filter(|word| *word != "200" && *word != "Cancelled")
            .count(),
        0,
        "{words:?}"
    );
    assert_eq!(bed.counts().cancels, 1);
    assert_eq!(bed.api.batches().await[0].status, Status::Cancelled);
    assert!(took <= LIMIT + SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_at_its_limit_whatever_the_api_does() {
    for fault in [
        Fault::on(On::Cancel).hang().always(),
        Fault::on(On::Cancel).status(500).always(),
        Fault::on(On::Cancel).hang_up_before().always(),
        Fault::on(On::Poll).hang().skip(1).always(),
    ] {
        let script = |_: &_| half().cancelling_until_released();
        let bed = bed(MockBatchApi::settings().script(script).fault(fault.clone()));
        let (words, took) = closed_after(&bed, 60 * SECOND, OnClose::Cancel).await;
        assert!(took <= LIMIT + SECOND, "{fault:?}: {took:?}");
        assert!(
            words[2..].iter().all(|word| word == "Closed"),
            "{fault:?}: {words:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn keeping_leaves_the_batch_at_the_api_and_ends_at_once() {
    let bed = bed(MockBatchApi::settings().script(|_| half()));
    let (words, took) = closed_after(&bed, 60 * SECOND, OnClose::Keep).await;
    assert_eq!(words, ["200", "200", "Closed", "Closed"]);
    assert!(took <= SECOND, "{took:?}");
    assert_eq!(bed.counts().cancels, 0);
    assert_eq!(bed.api.batches().await[0].status, Status::InProgress);
}

#[tokio::test(start_paused = true)]
async fn a_close_within_a_request_that_hangs_ends_in_time() {
    for on in [On::Upload, On::Create, On::Poll, On::Download] {
        for how in [OnClose::Drain, OnClose::Cancel, OnClose::Keep] {
            let fault = Fault::on(on).hang().always();
            let settings = MockBatchApi::settings().fault(fault);
            let bed = bed_with(settings, |b| {
                b.on_close(how, LIMIT).silence(Duration::from_secs(3_600))
            });
            let (words, took) = closed_after(&bed, 30 * SECOND, how).await;
            assert!(took <= LIMIT + SECOND, "{on:?} {how:?}: {took:?}");
            assert_eq!(words, ["Closed"; 4], "{on:?} {how:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_sends_nothing_more() {
    let bed = bed(MockBatchApi::settings().script(|_| Script::stuck()));
    {
        let calls = bed.words(&NAMES);
        let _ = tokio::time::timeout(60 * SECOND, calls).await;
    }
    let Bed { api, client } = bed;
    drop(client);
    sleep(SECOND).await;
    let polls = api.counts().polls;
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!((api.counts().polls, api.counts().cancels), (polls, 0));
}
