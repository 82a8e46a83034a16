//! What outlives a client: batches, rows and answers in a journal.
//!
//! A thread writes it, for which a paused clock does not wait: these tests run in real time.

use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use hedgerow_openai::batch::{
    BatchClient, BatchClientBuilder, BatchConfigError, JournalBuilder, JournalError, OnClose,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::fake::{Fake, error};
use super::rows::ask;

fn journal(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("journal.redb")
}

fn builder(path: &Path) -> BatchClientBuilder {
    BatchClient::builder()
        .batch_size(5)
        .batch_window(Duration::from_millis(20))
        .poll_interval(Duration::from_millis(5))
        .max_poll_interval(Duration::from_millis(10))
        .journal(JournalBuilder::new(path))
}

fn body(n: usize) -> Value {
    json!({"model": "m", "n": n})
}

async fn ask_all(client: &BatchClient, n: usize) {
    let calls = (0..n).map(|n| async move {
        assert_eq!(ask(client, &body(n)).await, json!({"echo": body(n)}));
    });
    join_all(calls).await;
}

/// Asks, and leaves once something is so.
async fn ask_until(client: &BatchClient, n: usize, so: impl Fn() -> bool) {
    tokio::select! {
        () = ask_all(client, n) => panic!("all were answered"),
        () = until(so) => {}
    }
}

async fn until(so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(60), waiting).await.unwrap();
}

/// Batches that end once `polls` have come.
fn slow() -> Fake {
    let mut fake = Fake::new();
    fake.polls = 1_000_000;
    fake
}

#[tokio::test]
async fn a_batch_that_was_open_is_found_again_and_its_answers_go_to_who_asks() {
    let folder = tempfile::tempdir().unwrap();
    let path = journal(&folder);
    let mut fake = slow();
    let client = fake.client(builder(&path));
    ask_until(&client, 12, || {
        fake.rows().len() == 3 && fake.asked("GET", "/batches/").len() >= 12
    })
    .await;
    client.close().await;
    assert_eq!(fake.rows().len(), 3);

    fake.polls = 1;
    let client = fake.client(builder(&path));
    ask_all(&client, 12).await;
    assert_eq!(fake.rows().len(), 3, "nothing was made again");
    assert_eq!(
        fake.asked("POST", "/files").len(),
        3,
        "nothing was uploaded again"
    );
}

#[tokio::test]
async fn an_answer_that_came_while_nobody_asked_is_kept_and_given_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = journal(&folder);
    let mut fake = slow();
    let client = fake.client(builder(&path));
    ask_until(&client, 5, || fake.asked("GET", "/batches/").len() >= 2).await;
    client.close().await;
    fake.polls = 1;
    let client = fake.client(builder(&path));
    until(|| client.open_rows() == 0).await;
    client.close_by(OnClose::Drain).await;
    let downloads = fake.asked("GET", "/files/out-").len();

    let client = fake.client(builder(&path));
    ask_all(&client, 5).await;
    assert_eq!(fake.rows().len(), 1);
    assert_eq!(fake.asked("GET", "/files/out-").len(), downloads);
    // Asked once more, it is another question.
    ask_all(&client, 5).await;
    assert_eq!(fake.rows().len(), 2);
}

#[tokio::test]
async fn a_batch_whose_making_was_not_heard_of_is_adopted_not_made_twice() {
    for status in [None, Some(502)] {
        let folder = tempfile::tempdir().unwrap();
        let fake = Fake::with(move |asked, state| {
            if asked.method == "POST" && asked.path == "/batches" && state.batches.is_empty() {
                // It is made, and the answer is lost.
                state.create(asked).unwrap();
                return Some(match status {
                    None => Err("connection reset".into()),
                    Some(status) => error(status, "bad gateway"),
                });
            }
            None
        });
        let client = fake.client(builder(&journal(&folder)));
        ask_all(&client, 5).await;
        assert_eq!(fake.rows().len(), 1);
        assert_eq!(fake.asked("POST", "/batches").len(), 1);
    }
}

#[tokio::test]
async fn of_a_batch_that_was_made_twice_after_all_one_is_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::with(|asked, state| {
        if asked.method == "POST" && asked.path == "/batches" && state.batches.is_empty() {
            state.create(asked).unwrap();
            state.create(asked).unwrap();
            return Some(Err("connection reset".into()));
        }
        None
    });
    let client = fake.client(builder(&journal(&folder)));
    ask_all(&client, 5).await;
    assert_eq!(fake.asked("POST", "/batches/").len(), 1);
    let cancelled = fake.look(|state| {
        let of = |made: &super::fake::Made| made.status == "cancelled";
        state.batches.iter().filter(|made| of(made)).count()
    });
    assert_eq!(cancelled, 1);
}

#[tokio::test]
async fn rows_that_were_not_sent_yet_are_in_no_journal_when_a_client_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = journal(&folder);
    let fake = Fake::new();
    let client = fake.client(builder(&path).batch_window(Duration::from_secs(3_600)));
    // Three of five, and the window does not end.
    ask_until(&client, 3, || client.open_rows() == 3).await;
    client.close().await;
    let client = fake.client(builder(&path));
    assert_eq!(client.open_rows(), 0);
    assert!(fake.rows().is_empty());
}

#[tokio::test]
async fn a_second_client_is_refused_and_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = journal(&folder);
    let fake = Fake::new();
    let _client = fake.client(builder(&path));
    let second = builder(&path)
        .no_api_key()
        .base_url("http://fake/v1")
        .try_build(fake.service());
    let error = second.err().unwrap();
    assert!(
        matches!(
            &error,
            BatchConfigError::Journal(JournalError::InUse { .. })
        ),
        "{error}"
    );
    assert!(error.to_string().contains("a file of its own"));
}

#[tokio::test]
async fn a_journal_of_another_api_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = journal(&folder);
    let fake = Fake::new();
    fake.client(builder(&path)).close().await;
    let other = builder(&path)
        .no_api_key()
        .base_url("http://other/v1")
        .try_build(fake.service());
    let error = other.err().unwrap();
    assert!(
        matches!(
            error,
            BatchConfigError::Journal(JournalError::Upstream { .. })
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_damaged_journal_is_a_clear_error_or_put_aside() {
    let fake = Fake::new();
    for damage in [
        |bytes: &mut Vec<u8>| bytes.truncate(100),
        |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2),
        |bytes: &mut Vec<u8>| bytes[..64].fill(7),
        |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|byte| *byte ^= 0x55),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = journal(&folder);
        fake.client(builder(&path)).close().await;
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let refused = builder(&path)
            .no_api_key()
            .base_url("http://fake/v1")
            .try_build(fake.service());
        let error = refused.err().unwrap();
        assert!(
            matches!(
                error,
                BatchConfigError::Journal(JournalError::Damaged { .. })
            ),
            "{error}"
        );
        assert!(error.to_string().contains("start_afresh_if_damaged()"));

        let afresh = JournalBuilder::new(&path).start_afresh_if_damaged();
        let client = fake.client(builder(&path).journal(afresh));
        assert_eq!(ask(&client, &body(1)).await, json!({"echo": body(1)}));
        assert_eq!(
            std::fs::read(folder.path().join("journal.redb.damaged")).unwrap(),
            bytes
        );
    }
}

#[tokio::test]
async fn a_full_journal_drops_answers_that_nobody_asked_for_before_it_refuses_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = journal(&folder);
    let small = || builder(&path).journal(JournalBuilder::new(&path).max_bytes(1 << 16));
    let fake = Fake::new();
    let client = fake.client(small());
    let big = |n: usize| json!({"model": "m", "n": n, "text": "x".repeat(12_000)});
    // Each leaves an answer of 12 kB that its caller does not wait for; five of them are 60 kB.
    for n in 0..20 {
        let big = big(n);
        tokio::select! {
            _ = ask(&client, &big) => panic!("it was answered"),
            () = until(|| fake.rows().len() > n) => {}
        }
        until(|| client.open_rows() == 0).await;
    }
    assert_eq!(fake.rows().len(), 20, "each was sent");
    // The last one is still there, the first one is not.
    let before = fake.rows().len();
    ask(&client, &big(19)).await;
    assert_eq!(fake.rows().len(), before);
    ask(&client, &big(0)).await;
    assert_eq!(fake.rows().len(), before + 1);

    // Alone it is more than the journal may hold.
    let huge = json!({"model": "m", "text": "x".repeat(70_000)});
    let refused = client
        .send(super::rows::post("/chat/completions", &huge))
        .await;
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("max_bytes"), "{error}");
}
