//! Requests that are refused, cut, late or lost: nobody hangs, nobody loses a row that was paid for, none is paid
//! for twice.

use std::time::Duration;

use hedgerow_openai::batch::OnExpired;
use hedgerow_sim::batch_api::{Fault, MockBatchApi, On, Script, Share, Stage, Status};

use crate::bed::{SECOND, bed, bed_with};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Every row is answered, in one batch, in spite of these faults.
async fn survives(faults: &[Fault]) {
    for strict in [false, true] {
        let settings = MockBatchApi::settings().strict(strict).script(|_| {
            let half = Stage::of(Status::InProgress).polls(2).done(Share::of(1, 2));
            Script::stepwise().stage(half)
        });
        let settings = faults
            .iter()
            .fold(settings, |settings, fault| settings.fault(fault.clone()));
        let bed = bed_with(settings, |b| b.completion_window("24h"));
        assert_eq!(bed.words(&NAMES).await, ["200"; 5], "{faults:?}");
        assert_eq!(
            (bed.counts().rows, bed.counts().batches),
            (5, 1),
            "{faults:?}"
        );
        assert_eq!(bed.counts().direct, 0, "{faults:?}");
        bed.none_twice();
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_that_fail_are_tried_again() {
    for fault in [
        Fault::on(On::Upload).status(429).retry_after(30 * SECOND),
        Fault::on(On::Upload).status(500).times(3),
        Fault::on(On::Upload).status(503).times(3),
        Fault::on(On::Upload).hang_up_before(),
        Fault::on(On::Upload).hang_up_after(),
        Fault::on(On::Upload).hang(),
        Fault::on(On::Upload).stall(20 * SECOND),
        Fault::on(On::Upload).cut_after(10),
        Fault::on(On::Upload).answered_with("<html>"),
    ] {
        survives(&[fault]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_making_is_not_heard_of_is_found_and_not_made_twice() {
    for fault in [
        Fault::on(On::Create).hang_up_after(),
        Fault::on(On::Create).cut_after(10),
        Fault::on(On::Create).answered_with("<html>bad gateway"),
    ] {
        survives(std::slice::from_ref(&fault)).await;
        // Even if the list is not there at first.
        survives(&[fault, Fault::on(On::List).status(500).times(2)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_that_lists_late_but_knows_of_keys_is_paid_once() {
    let settings = MockBatchApi::settings()
        .listed_after(Duration::from_secs(3_600))
        .idempotent(true)
        .fault(Fault::on(On::Create).hang_up_after().times(2));
    let bed = bed(settings);
    assert_eq!(bed.words(&NAMES).await, ["200"; 5]);
    assert_eq!((bed.counts().rows, bed.counts().batches), (5, 1));
    bed.none_twice();
}

/// What the guide calls the one window: nobody can know better, and nobody is left without an answer.
#[tokio::test(start_paused = true)]
async fn an_api_that_lists_late_and_knows_of_no_keys_is_the_one_window() {
    let settings = MockBatchApi::settings()
        .listed_after(Duration::from_secs(3_600))
        .fault(Fault::on(On::Create).hang_up_after());
    let bed = bed(settings);
    assert_eq!(bed.words(&NAMES).await, ["200"; 5]);
    assert_eq!((bed.counts().rows, bed.counts().batches), (10, 2));
}

#[tokio::test(start_paused = true)]
async fn creates_that_fail_are_tried_again() {
    for fault in [
        Fault::on(On::Create)
            .status(429)
            .retry_after(30 * SECOND)
            .times(2),
        Fault::on(On::Create).status(500).times(3),
        Fault::on(On::Create).status(503),
        Fault::on(On::Create).hang_up_before(),
        Fault::on(On::Create).hang(),
        Fault::on(On::Create).stall(20 * SECOND),
    ] {
        survives(&[fault]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn polls_that_fail_are_tried_again() {
    for fault in [
        Fault::on(On::Poll).status(429).retry_after(30 * SECOND),
        Fault::on(On::Poll).status(500).times(10),
        Fault::on(On::Poll).status(404),
        Fault::on(On::Poll).hang_up_before().times(3),
        Fault::on(On::Poll).hang(),
        Fault::on(On::Poll).stall(20 * SECOND),
        Fault::on(On::Poll).cut_after(20),
        Fault::on(On::Poll).answered_with("null"),
        Fault::on(On::Poll).answered_with("{}"),
    ] {
        survives(&[fault]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn downloads_that_fail_are_tried_again_and_resumed() {
    let mut faults = vec![
        Fault::on(On::Download).status(503).times(5),
        Fault::on(On::Download).status(429).retry_after(30 * SECOND),
        Fault::on(On::Download).status(404),
        Fault::on(On::Download).hang_up_before(),
        Fault::on(On::Download).hang(),
        Fault::on(On::Download).stall(20 * SECOND),
    ];
    // In the middle of a line, at its end, behind it.
    faults.extend(
        [0, 1, 100, 300, 500, 900].map(|at| Fault::on(On::Download).cut_after(at).times(2)),
    );
    for fault in faults {
        survives(&[fault]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_download_may_be_cut_at_every_byte() {
    let settings = MockBatchApi::settings();
    for strict in [false, true] {
        // Each download gets a little further than the one before, until all is there.
        let settings = (1..12).fold(settings.clone().strict(strict), |settings, n| {
            settings.fault(Fault::on(On::Download).cut_after(n * 173))
        });
        let bed = bed_with(settings, |b| b.completion_window("24h"));
        assert_eq!(bed.words(&NAMES).await, ["200"; 5]);
        bed.none_twice();
    }
}

#[tokio::test(start_paused = true)]
async fn everything_may_fail_at_once() {
    let ons = [On::Upload, On::Create, On::Poll, On::Download, On::List];
    let faults: Vec<Fault> = ons
        .into_iter()
        .flat_map(|on| {
            [
                Fault::on(on).status(503),
                Fault::on(on).hang_up_after(),
                Fault::on(on).hang(),
                Fault::on(on).status(429).retry_after(SECOND),
                Fault::on(on).cut_after(30),
            ]
        })
        .collect();
    survives(&faults).await;
}

#[tokio::test(start_paused = true)]
async fn what_will_never_be_accepted_is_told_at_once() {
    for (fault, step) in [
        (Fault::on(On::Upload).status(401).always(), "upload"),
        (Fault::on(On::Upload).status(413).always(), "upload"),
        (Fault::on(On::Create).status(400).always(), "create"),
        (Fault::on(On::Create).status(403).always(), "create"),
    ] {
        let bed = bed(MockBatchApi::settings().fault(fault));
        let start = tokio::time::Instant::now();
        let got = bed.all(&["a"]).await;
        assert_eq!(got["a"].word(), "Submission");
        assert!(format!("{:?}", got["a"]).contains(step), "{got:?}");
        assert!(start.elapsed() < 60 * SECOND, "{:?}", start.elapsed());
        assert_eq!(bed.counts().rows, 0);
        // The next call is another chance.
        bed.api.clear_faults();
        assert_eq!(bed.words(&["a"]).await, ["200"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_that_is_down_for_ever_leaves_nobody_waiting() {
    for on in [On::Upload, On::Create, On::Poll, On::Download] {
        for fault in [
            Fault::on(on).status(503),
            Fault::on(on).hang(),
            Fault::on(on).hang_up_before(),
        ] {
            let fault = fault.always();
            let settings = MockBatchApi::settings().fault(fault.clone());
            let bed = bed_with(settings, |b| {
                b.completion_window("1h")
                    .grace(Duration::from_secs(60))
                    .on_expired(OnExpired::Fail)
            });
            // `ask` fails when a call hangs; here it only has to have an error.
            let words = bed.words(&["a", "b"]).await;
            assert!(!words.contains(&"200".to_owned()), "{fault:?}: {words:?}");
            bed.none_twice();
        }
    }
}
