//! `kill -9`, wherever it comes.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hedgerow_openai::batch::{BatchClient, JournalBuilder, OnClose};
use hedgerow_sim::batch_api::{Fault, MockBatchApi, On, Script, Share, Stage, Status};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::time::sleep;

use super::rows::ask;

const CALLS: usize = 40;
const ROUNDS: u64 = 30;

/// What a child is told.
const VARIABLE: &str = "HEDGEROW_KILLED_CHILD";

/// The child: it asks for all that is not in its list yet, and writes each answer there as it comes.
#[tokio::test]
async fn child_of_the_test_of_kills() {
    let Ok(told) = std::env::var(VARIABLE) else {
        return;
    };
    let (url, folder) = told.split_once(' ').unwrap();
    let folder = Path::new(folder);
    let client = BatchClient::builder()
        .no_api_key()
        .base_url(url)
        .batch_size(7)
        .batch_window(Duration::from_millis(20))
        .poll_interval(Duration::from_millis(10))
        .max_poll_interval(Duration::from_millis(20))
        .journal(JournalBuilder::new(folder.join("journal.redb")))
        .on_close(OnClose::Drain, Duration::from_secs(20))
        .build(Client::builder(TokioExecutor::new()).build_http());
    let done = OpenOptions::new()
        .append(true)
        .create(true)
        .open(folder.join("done"));
    let done = Arc::new(done.unwrap());
    let name = folder.file_name().unwrap().to_str().unwrap();
    let before = answered(folder);
    let calls = (0..CALLS).filter(|n| !before.contains_key(n)).map(|n| {
        let (client, done) = (&client, done.clone());
        async move {
            // Not all at once, so that some rows are collected while others are on their way.
            sleep(Duration::from_millis(n as u64 * 3)).await;
            let question = [json!({"role": "user", "content": question(name, n)})];
            let body = json!({"model": format!("m{}", n % 3), "messages": question});
            let answer = ask(client, &body).await;
            let echo = answer["choices"][0]["message"]["content"].as_str();
            let line = format!("{n} {}\n", echo.unwrap());
            (&*done).write_all(line.as_bytes()).unwrap();
        }
    });
    join_all(calls).await;
    client.close().await;
}

/// What the API echoes.
fn question(round: &str, n: usize) -> String {
    format!("{n} of {round}")
}

/// What the callers have got, by their number.
fn answered(folder: &Path) -> BTreeMap<usize, String> {
    let text = fs::read_to_string(folder.join("done")).unwrap_or_default();
    let mut answers = BTreeMap::new();
    for line in text.lines() {
        let (n, answer) = line.split_once(' ').unwrap();
        let before = answers.insert(n.parse().unwrap(), answer.to_owned());
        assert!(before.is_none(), "a caller was answered twice: {line}");
    }
    answers
}

fn start(url: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "batch::killed::child_of_the_test_of_kills",
            "--nocapture",
        ])
        .env(VARIABLE, format!("{url} {}", folder.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// When a child is killed.
#[derive(Debug)]
enum Moment {
    /// When the API has seen so many requests.
    Requests(usize),
    /// As soon as so many answers are with their callers.
    Answers(usize),
    /// As soon as so many batches are made.
    Made(u64),
}

#[expect(
    clippy::disallowed_methods,
    reason = "a child that really runs is really waited for"
)]
fn wait_for(
    api: &MockBatchApi,
    folder: &Path,
    moment: &Moment,
    seen: usize,
    made: u64,
    child: &mut Child,
) {
    loop {
        let now = match moment {
            Moment::Requests(requests) => api.log().len() >= seen + requests,
            Moment::Answers(answers) => answered_lines(folder) >= *answers,
            Moment::Made(batches) => api.counts().batches >= made + batches,
        };
        if now || child.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn answered_lines(folder: &Path) -> usize {
    let text = fs::read_to_string(folder.join("done")).unwrap_or_default();
    text.lines().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_it_answers_every_caller_once_and_sends_no_row_twice() {
    let api = MockBatchApi::settings()
        .script(|_| {
            Script::instant()
                .stage(Stage::of(Status::Validating).lasting(Duration::from_millis(15)))
                .stage(Stage::of(Status::InProgress).lasting(Duration::from_millis(40)))
                .stage(
                    Stage::of(Status::InProgress)
                        .lasting(Duration::from_millis(20))
                        .done(Share::of(1, 2)),
                )
        })
        .bind(([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..ROUNDS {
        let mut random = StdRng::seed_from_u64(seed);
        let round = folder.path().join(format!("round-{seed}"));
        fs::create_dir(&round).unwrap();
        // In every third round one creation is not heard of, too.
        if seed % 3 == 0 {
            api.fault(
                Fault::on(On::Create)
                    .skip(random.random_range(0..3))
                    .hang_up_after(),
            );
        }
        for _ in 0..2 {
            let moment = match random.random_range(0..4) {
                0 => Moment::Answers(random.random_range(1..CALLS)),
                1 => Moment::Made(random.random_range(1..=4)),
                _ => Moment::Requests(random.random_range(1..60)),
            };
            killed(&api, &round, &moment).await;
        }
        let finished = finish(api.url(), round.clone()).await;
        assert!(finished, "seed {seed}: the last child failed");
        api.clear_faults();
        let answers = answered(&round);
        assert_eq!(answers.len(), CALLS, "seed {seed}");
        for (n, answer) in answers {
            assert_eq!(answer, question(&format!("round-{seed}"), n), "seed {seed}");
        }
        assert_eq!(api.accepted_twice(), Vec::<String>::new(), "seed {seed}");
    }
    assert_eq!(
        api.counts().rows,
        ROUNDS * CALLS as u64,
        "every row was paid once"
    );
}

async fn killed(api: &MockBatchApi, round: &Path, moment: &Moment) {
    let (seen, made) = (api.log().len(), api.counts().batches);
    let mut child = start(&api.url(), round);
    tokio::task::block_in_place(|| {
        wait_for(api, round, moment, seen, made, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

async fn finish(url: String, round: PathBuf) -> bool {
    tokio::task::spawn_blocking(move || start(&url, &round).wait().unwrap().success())
        .await
        .unwrap()
}
