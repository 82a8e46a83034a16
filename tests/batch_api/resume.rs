//! Clients that come and go over one journal: what was sent is found again, and nothing is sent twice. (That the
//! journal stands a `kill -9` of its process is shown where it lives.)
//!
//! The journal is written by a thread, so the clock is the real one; nothing asserts a duration.

use std::path::Path;
use std::time::Duration;

use hedgerow_openai::batch::{BatchClient, BatchClientBuilder, JournalBuilder, OnClose};
use hedgerow_sim::batch_api::{Fault, MockBatchApi, On, Script, Share, Stage, Status};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::bed::{Bed, CHAT, body, client};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(120);

fn quick(builder: BatchClientBuilder, journal: &Path) -> BatchClientBuilder {
    builder
        .batch_window(Duration::from_millis(5))
        .poll_interval(Duration::from_millis(5))
        .silence(Duration::from_secs(1))
        .journal(JournalBuilder::new(journal))
}

fn open(api: MockBatchApi, journal: &Path) -> Bed {
    let client = client(&api, |builder| quick(builder, journal));
    Bed { api, client }
}

/// Another client takes the place of the first.
async fn reopened(bed: Bed, journal: &Path) -> Bed {
    let Bed { api, client } = bed;
    client.close_by(OnClose::Keep).await;
    drop(client);
    open(api, journal)
}

fn folder() -> (TempDir, std::path::PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("journal");
    (folder, path)
}

fn half() -> Script {
    let half = Stage::of(Status::InProgress).done(Share::of(1, 2));
    Script::instant().stage(half.until_released())
}

#[tokio::test]
async fn a_batch_that_was_left_is_found_and_its_rows_answered_to_who_asks_again() {
    let (_folder, journal) = folder();
    let settings = MockBatchApi::settings().script(|_| half());
    let bed = open(settings.without_socket().expect("a folder"), &journal);
    let calls = bed.words(&NAMES);
    let left = async {
        while bed.counts().rows == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        bed.client.close_by(OnClose::Keep).await;
    };
    let (words, ()) = timeout(PATIENCE, futures::future::join(calls, left))
        .await
        .expect("no hang");
    assert!(
        words.iter().all(|word| word == "200" || word == "Closed"),
        "{words:?}"
    );
    let bed = reopened(bed, &journal).await;
    bed.api.release();
    let words = timeout(PATIENCE, bed.words(&NAMES)).await.expect("no hang");
    assert_eq!(words, ["200"; 4]);
    let counts = bed.counts();
    assert_eq!(
        (counts.files, counts.batches, counts.rows),
        (1, 1, 4),
        "{counts:?}"
    );
    bed.none_twice();
}

#[tokio::test]
async fn answers_that_nobody_waited_for_are_kept_and_served() {
    let (_folder, journal) = folder();
    let settings = MockBatchApi::settings().script(|_| half());
    let bed = open(settings.without_socket().expect("a folder"), &journal);
    // The callers leave when their rows are at the API.
    let paid = async {
        while bed.counts().rows == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        words = bed.words(&NAMES) => panic!("{words:?}"),
        () = paid => {}
    }
    bed.api.release();
    timeout(PATIENCE, async {
        while bed.counts().downloads == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("no hang");
    let bed = reopened(bed, &journal).await;
    let words = timeout(PATIENCE, bed.words(&NAMES)).await.expect("no hang");
    assert_eq!(words, ["200"; 4]);
    assert_eq!((bed.counts().batches, bed.counts().rows), (1, 4));
    bed.none_twice();
}

#[tokio::test]
async fn a_batch_that_was_made_without_its_client_hearing_of_it_is_found_by_its_metadata() {
    let (_folder, journal) = folder();
    let settings = MockBatchApi::settings()
        .fault(Fault::on(On::Create).hang_up_after().always())
        .fault(Fault::on(On::List).hang());
    let bed = open(settings.without_socket().expect("a folder"), &journal);
    // The first life ends between the making of the batch and the hearing of it.
    let unheard = async {
        while bed.counts().creates == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        words = bed.words(&NAMES) => panic!("{words:?}"),
        () = unheard => {}
    }
    let Bed { api, client } = bed;
    drop(client);
    let bed = timeout(PATIENCE, async {
        // The journal is free when the task of the first client has ended.
        loop {
            let builder = BatchClient::builder().base_url(api.url()).api_key("key");
            match quick(builder, &journal).try_build(api.service()) {
                Ok(client) => return Bed { api, client },
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
    .expect("no hang");
    let words = timeout(PATIENCE, bed.words(&NAMES)).await.expect("no hang");
    assert_eq!(words, ["200"; 4]);
    let counts = bed.counts();
    assert_eq!(
        (counts.creates, counts.batches, counts.rows),
        (1, 1, 4),
        "{counts:?}"
    );
    bed.none_twice();
}

/// Lives that end anywhere: their runtime is dropped, and with it all that was under way.
#[test]
fn lives_that_end_at_random_points_pay_for_no_row_twice() {
    let (_folder, journal) = folder();
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut settings = MockBatchApi::settings().script(|_| {
        let half = Stage::of(Status::InProgress).polls(2).done(Share::of(1, 2));
        Script::stepwise().stage(half)
    });
    for on in [On::Upload, On::Create, On::Poll, On::Download] {
        settings = settings.fault(Fault::on(on).hang_up_after().skip(3).times(3));
    }
    let api = settings.without_socket().expect("a folder");
    let names: Vec<String> = (0..50).map(|n| format!("n{n}")).collect();
    let lives = if std::env::var_os("HEDGEROW_LONG").is_some() {
        300
    } else {
        30
    };
    let life = |last: bool, after: Duration| {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let client = client(&api, |builder| quick(builder, &journal));
            let calls = names.iter().map(|name| {
                let client = &client;
                async move { crate::bed::ask(client, CHAT, &body("m", name)).await }
            });
            let calls = futures::future::join_all(calls);
            if !last {
                let _ = timeout(after, calls).await;
                return;
            }
            let all = timeout(PATIENCE, calls).await.expect("no hang");
            for (name, got) in names.iter().zip(all) {
                assert!(
                    got.body().contains(&format!("\"{name}\"")),
                    "{name}: {got:?}"
                );
            }
        });
    };
    for _ in 0..lives {
        life(false, Duration::from_micros(rng.random_range(0..60_000)));
    }
    life(true, PATIENCE);
    assert_eq!(api.accepted_twice(), Vec::<String>::new());
    assert_eq!(api.counts().rows, 50, "{:?}", api.counts());
}
