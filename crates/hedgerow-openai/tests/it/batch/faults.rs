//! What goes wrong at the API, and what the callers get.

use std::time::Duration;

use futures::future::join_all;
use hedgerow_core::cause_ref;
use hedgerow_openai::batch::{BatchClient, BatchClientBuilder, OnClose, OnExpired, RowError};
use http::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::fake::{Fake, Made, State, answer, error, line, lines, ok};
use super::rows::{ask, post};

fn body(n: usize) -> Value {
    json!({"model": "m", "n": n})
}

/// Status and body, or the error.
async fn outcome(client: &BatchClient, body: &Value) -> Result<(u16, Value), RowError> {
    match client.send(post("/chat/completions", body)).await {
        Ok(response) => {
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
        }
        Err(error) => Err(cause_ref::<RowError>(&*error).unwrap().clone()),
    }
}

async fn outcomes(client: &BatchClient, n: usize) -> Vec<Result<(u16, Value), RowError>> {
    let bodies: Vec<Value> = (0..n).map(body).collect();
    join_all(bodies.iter().map(|body| outcome(client, body))).await
}

fn builder() -> BatchClientBuilder {
    BatchClient::builder()
}

/// A fake that writes this for each row, into the good file or the other one.
fn writing(write: impl Fn(u64, &Value) -> (String, String) + Send + Sync + 'static) -> Fake {
    ending("completed", write)
}

fn ending(
    status: &'static str,
    write: impl Fn(u64, &Value) -> (String, String) + Send + Sync + 'static,
) -> Fake {
    Fake::with(move |asked, state| {
        let id = asked.path.strip_prefix("/batches/")?.to_owned();
        if asked.method != "GET" || id.is_empty() {
            return None;
        }
        let at = state.batches.iter().position(|made| made.id == id)?;
        let rows = lines(&state.files[&state.batches[at].file].1);
        let (mut good, mut bad) = (String::new(), String::new());
        for row in &rows {
            let (one, other) = write(row["body"]["n"].as_u64().unwrap_or(0), row);
            good += &one;
            bad += &other;
        }
        end(state, at, status, good, bad);
        Some(ok(state.batches[at].show()))
    })
}

fn end(state: &mut State, at: usize, status: &str, good: String, bad: String) {
    let id = state.batches[at].id.clone();
    let (output, errors) = (format!("out-{id}"), format!("err-{id}"));
    state.batches[at].status = status.to_owned();
    state.batches[at].more = json!({"output_file_id": output, "error_file_id": errors});
    state.files.insert(output, (String::new(), good.into()));
    state.files.insert(errors, (String::new(), bad.into()));
}

fn failed(row: &Value, code: &str) -> String {
    let line = json!({"custom_id": row["custom_id"], "response": null, "error": {"code": code, "message": "no"}});
    format!("{line}\n")
}

#[tokio::test(start_paused = true)]
async fn each_row_stands_alone() {
    let fake = writing(|n, row| match n {
        0 => (
            String::new(),
            line(row, 400, &json!({"error": {"message": "bad"}})),
        ),
        1 => ("junk\n".to_owned(), String::new()),
        2 => (String::new(), String::new()),
        3 => (
            answer(row).replace("\"error\":null", "\"error\":null,\"new\":[1]"),
            String::new(),
        ),
        4 => (answer(row) + &line(row, 500, &json!({})), String::new()),
        5 => (String::new(), failed(row, "server_error")),
        6 => (
            "{\"custom_id\":null,\"response\":null}\n\n".to_owned() + &answer(row),
            String::new(),
        ),
        7 => (line(row, 200, &Value::Null), String::new()),
        10 => ("{\"custom_id\":\"hr-".to_owned(), String::new()),
        _ => (answer(row), String::new()),
    });
    let client = fake.client(builder());
    let got = outcomes(&client, 11).await;
    let good = |n: usize| (200, json!({"echo": body(n)}));
    assert_eq!(
        got[0].as_ref().unwrap(),
        &(400, json!({"error": {"message": "bad"}}))
    );
    assert!(
        matches!(&got[1], Err(RowError::Missing { .. })),
        "{:?}",
        got[1]
    );
    assert!(
        matches!(&got[2], Err(RowError::Missing { .. })),
        "{:?}",
        got[2]
    );
    assert!(
        matches!(&got[10], Err(RowError::Missing { .. })),
        "{:?}",
        got[10]
    );
    assert!(
        matches!(&got[5], Err(RowError::Row { code: Some(code), .. }) if &**code == "server_error")
    );
    assert!(matches!(&got[7], Err(RowError::Row { .. })), "{:?}", got[7]);
    for n in [3, 4, 6, 8, 9] {
        assert_eq!(got[n].as_ref().unwrap(), &good(n), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_expired_go_as_the_policy_says_and_finished_ones_are_given_out() {
    for policy in [OnExpired::Fail, OnExpired::Rebatch(1), OnExpired::SendNow] {
        let fake = Fake::with(|asked, state| {
            let id = asked.path.strip_prefix("/batches/")?.to_owned();
            let at = state.batches.iter().position(|made| made.id == id)?;
            let rows = lines(&state.files[&state.batches[at].file].1);
            // In the first batch the first row is in time, in the second one all are.
            let good = rows
                .iter()
                .take(if at == 0 { 1 } else { 9 })
                .map(answer)
                .collect();
            let bad = rows
                .iter()
                .skip(1)
                .map(|row| failed(row, "batch_expired"))
                .collect();
            end(
                state,
                at,
                if at == 0 { "expired" } else { "completed" },
                good,
                bad,
            );
            Some(ok(state.batches[at].show()))
        });
        let client = fake.client(builder().on_expired(policy));
        let got = outcomes(&client, 3).await;
        let answered = got.iter().filter(|got| matches!(got, Ok((200, _)))).count();
        let expired = got
            .iter()
            .filter(|got| matches!(got, Err(RowError::Expired { .. })))
            .count();
        let alone = fake.asked("POST", "/chat/completions").len();
        let batches = fake.rows().len();
        let expected = match policy {
            OnExpired::Fail => (1, 2, 0, 1),
            OnExpired::Rebatch(_) => (3, 0, 0, 2),
            _ => (3, 0, 2, 1),
        };
        assert_eq!((answered, expired, alone, batches), expected, "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_cap_of_spending_holds() {
    let fake = ending("expired", |_, _| (String::new(), String::new()));
    let client = fake.client(builder().on_expired(OnExpired::SendNow).spend_cap(3));
    let got = outcomes(&client, 10).await;
    assert_eq!(got.iter().filter(|got| got.is_ok()).count(), 3);
    assert_eq!(fake.asked("POST", "/chat/completions").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_open_shortly_before_the_window_ends_is_sent_by_itself_once() {
    let mut fake = Fake::new();
    fake.polls = usize::MAX;
    let client = fake.client(builder().escalate_before(Duration::from_secs(600)));
    let start = Instant::now();
    let got = outcomes(&client, 4).await;
    let took = start.elapsed().as_secs();
    // An hour's window, after ten seconds of collecting.
    assert!((3_000..3_080).contains(&took), "{took} s");
    for (n, got) in got.into_iter().enumerate() {
        assert_eq!(got.unwrap(), (200, json!({"alone": body(n)})));
    }
    assert_eq!(fake.asked("POST", "/chat/completions").len(), 4);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        fake.asked("POST", "/batches/").len(),
        1,
        "the batch is cancelled"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_an_end_is_waited_for_until_window_and_grace_are_over() {
    let mut fake = Fake::new();
    fake.polls = usize::MAX;
    let client = fake.client(builder().grace(Duration::from_secs(300)));
    let start = Instant::now();
    let got = outcome(&client, &body(0)).await;
    let took = start.elapsed().as_secs();
    assert!((3_900..3_930).contains(&took), "{took} s");
    assert!(matches!(got, Err(RowError::Overdue { .. })), "{got:?}");
    assert_eq!(fake.asked("POST", "/batches/").len(), 1, "it is cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_unknown_to_the_api_ends_its_calls() {
    let fake = Fake::with(|asked, _| {
        (asked.method == "GET" && asked.path.starts_with("/batches/"))
            .then(|| error(404, "no such batch"))
    });
    let client = fake.client(builder());
    let got = timeout(Duration::from_secs(60), outcome(&client, &body(0)))
        .await
        .unwrap();
    assert!(matches!(got, Err(RowError::Gone { .. })), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn polls_are_jittered_grow_rarer_and_keep_retry_after() {
    let mut fake = Fake::with(|asked, state| {
        let polls = state
            .asked
            .iter()
            .filter(|asked| asked.path.starts_with("/batches/"))
            .count();
        (asked.path.starts_with("/batches/") && polls == 3).then(|| {
            let reply = Response::builder().status(429).header("retry-after", "120");
            Ok(reply.body("{}".into()).unwrap())
        })
    });
    fake.polls = 40;
    let client = fake.client(builder().completion_window("24h"));
    outcome(&client, &body(0)).await.unwrap();
    let at: Vec<Instant> = fake
        .asked("GET", "/batches/")
        .iter()
        .map(|asked| asked.at)
        .collect();
    let gaps: Vec<f64> = at
        .windows(2)
        .map(|at| (at[1] - at[0]).as_secs_f64())
        .collect();
    assert!((4.0..=6.0).contains(&gaps[0]), "{gaps:?}");
    assert!(gaps[2] >= 120.0, "{gaps:?}");
    let last = &gaps[gaps.len() - 10..];
    assert!(
        last.iter().all(|gap| (48.0..=72.0).contains(gap)),
        "{gaps:?}"
    );
    assert!(
        last.windows(2).any(|gaps| (gaps[0] - gaps[1]).abs() > 0.1),
        "{gaps:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_download_is_tried_again_after_503_and_from_a_cut_on() {
    let fake = Fake::with(|asked, state| {
        let file = asked
            .path
            .strip_prefix("/files/")?
            .strip_suffix("/content")?;
        let tries = state
            .asked
            .iter()
            .filter(|seen| seen.path == asked.path)
            .count();
        let (_, bytes) = state.files.get(file)?;
        let whole = bytes.clone();
        match tries {
            1 => Some(error(503, "later")),
            // The end is missing, in the middle of a line, and nothing says so.
            2 => Some(Ok(Response::new(whole.slice(..whole.len() * 2 / 3).into()))),
            _ => None,
        }
    });
    let client = fake.client(builder());
    let got = outcomes(&client, 30).await;
    for (n, got) in got.into_iter().enumerate() {
        assert_eq!(got.unwrap(), (200, json!({"echo": body(n)})), "{n}");
    }
    assert_eq!(fake.asked("GET", "/files/out-").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn parts_of_the_answers_are_given_out_while_the_batch_goes_on() {
    let fake = Fake::with(|asked, state| {
        if asked.path == "/files/part/content" {
            let offset: usize = asked
                .query
                .strip_prefix("offset=")
                .map_or(0, |offset| offset.parse().unwrap());
            let rows = lines(&state.files[&state.batches[0].file].1);
            let there = if state.batches[0].polls < 500 { 2 } else { 4 };
            let text: String = rows.iter().take(there).skip(offset).map(answer).collect();
            let reply = Response::builder()
                .header("x-incomplete", if there < 4 { "true" } else { "false" })
                .header("x-last-line", there.to_string());
            return Some(Ok(reply.body(text.into()).unwrap()));
        }
        if asked.method == "GET" && asked.path.starts_with("/batches/") {
            let made = &mut state.batches[0];
            made.polls += 1;
            let done = if made.polls < 500 { 2 } else { 4 };
            made.status = if done < 4 { "in_progress" } else { "completed" }.to_owned();
            made.more = json!({"output_file_id": "part", "request_counts": {"completed": done, "failed": 0, "total": 4}});
            return Some(ok(made.show()));
        }
        None
    });
    let client = fake.client(builder().completion_window("30d"));
    let start = Instant::now();
    let calls = (0..4).map(|n| {
        let client = &client;
        async move {
            ask(client, &body(n)).await;
            start.elapsed().as_secs()
        }
    });
    let mut at = join_all(calls).await;
    at.sort_unstable();
    assert!(at[1] < 60 && at[2] > 10_000, "{at:?}");
    let offsets: Vec<String> = fake
        .asked("GET", "/files/part")
        .into_iter()
        .map(|asked| asked.query)
        .collect();
    assert_eq!(offsets, ["", "offset=2"]);
}

#[tokio::test(start_paused = true)]
async fn a_429_or_a_slow_upload_of_one_model_delays_no_other() {
    let fake = Fake::with(|asked, _| {
        let slow = asked.path == "/files" && asked.body.windows(6).any(|part| part == b"\"slow\"");
        slow.then(|| {
            let reply = Response::builder()
                .status(429)
                .header("retry-after", "1800");
            Ok(reply.body("{}".into()).unwrap())
        })
    });
    let client = fake.client(builder());
    let start = Instant::now();
    let slow = async {
        let _ = timeout(
            Duration::from_secs(3_600),
            ask(&client, &json!({"model": "slow"})),
        )
        .await;
    };
    let quick = async {
        for n in 0..3 {
            ask(&client, &json!({"model": "quick", "n": n})).await;
        }
        start.elapsed().as_secs()
    };
    let ((), took) = tokio::join!(slow, quick);
    // Three windows of ten seconds, and a poll each.
    assert!(took < 50, "{took} s");
}

#[tokio::test(start_paused = true)]
async fn of_a_file_that_is_refused_the_lines_at_fault_fail_and_the_others_go_again() {
    let fake = Fake::with(|asked, state| {
        let id = asked.path.strip_prefix("/batches/")?;
        if asked.method != "GET" || id != "batch-0" {
            return None;
        }
        let made: &mut Made = &mut state.batches[0];
        made.status = "failed".to_owned();
        made.more = json!({"errors": {"data": [{"code": "invalid", "message": "no", "line": 2}]}});
        Some(ok(made.show()))
    });
    let client = fake.client(builder());
    let got = outcomes(&client, 3).await;
    assert_eq!(got.iter().filter(|got| got.is_ok()).count(), 2);
    assert!(matches!(&got[1], Err(RowError::Refused { problem, .. }) if problem.message == "no"));

    let fake = ending("failed", |_, _| (String::new(), String::new()));
    let client = fake.client(builder());
    let got = outcome(&client, &body(0)).await;
    assert!(matches!(got, Err(RowError::Failed { .. })), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_is_refused_ends_its_calls_and_one_that_may_succeed_is_tried_again() {
    let fake = Fake::with(|asked, _| (asked.path == "/files").then(|| error(401, "no such key")));
    let client = fake.client(builder());
    let got = outcome(&client, &body(0)).await;
    assert!(
        matches!(got, Err(RowError::Submission { step: "upload", .. })),
        "{got:?}"
    );
    assert_eq!(fake.asked("POST", "/files").len(), 1);

    let fake = Fake::with(|asked, state| {
        let tries = state
            .asked
            .iter()
            .filter(|asked| asked.path == "/files")
            .count();
        (asked.path == "/files" && tries < 4).then(|| error(500, "later"))
    });
    let client = fake.client(builder());
    assert_eq!(outcome(&client, &body(0)).await.unwrap().0, 200);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_row_is_refused_at_once() {
    let fake = Fake::new();
    let client = fake.client(builder().batch_bytes(1_000));
    let get = http::Request::get("http://fake/v1/models")
        .body(String::new())
        .unwrap();
    let error = client.send(get).await.err().unwrap();
    assert!(matches!(
        cause_ref(&*error),
        Some(RowError::NotBatchable { .. })
    ));
    let junk = http::Request::post("http://fake/v1/x")
        .body("junk".to_owned())
        .unwrap();
    let error = client.send(junk).await.err().unwrap();
    assert!(matches!(cause_ref(&*error), Some(RowError::Body(_))));
    let large = outcome(&client, &json!({"x": "x".repeat(1_000)})).await;
    assert!(matches!(large, Err(RowError::TooLarge { .. })), "{large:?}");
}

#[tokio::test(start_paused = true)]
async fn limits_split_and_metadata_and_window_are_passed_on() {
    let fake = Fake::new();
    let client = fake.client(
        builder()
            .batch_inputs(10)
            .completion_window("soon")
            .metadata("team", "a"),
    );
    let calls = (0..5).map(|n| {
        let body = json!({"model": "e", "n": n, "input": ["a", "b", "c", "d"]});
        let client = &client;
        async move { client.send(post("/embeddings", &body)).await.unwrap() }
    });
    join_all(calls).await;
    let sizes: Vec<usize> = fake.rows().iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 1]);
    fake.look(|state| {
        for made in &state.batches {
            assert_eq!(made.window, "soon");
            assert_eq!(made.endpoint, "/v1/embeddings");
            assert_eq!(made.metadata["team"], "a");
        }
    });
}

#[tokio::test(start_paused = true)]
async fn closing_ends_within_its_limit_and_every_call_is_answered() {
    for (how, hangs) in [
        (OnClose::Drain, false),
        (OnClose::Drain, true),
        (OnClose::Cancel, false),
        (OnClose::Cancel, true),
        (OnClose::Keep, false),
        (OnClose::Keep, true),
    ] {
        let mut fake = Fake::with(move |asked, state| {
            let cancelled = asked.path.ends_with("/cancel");
            if hangs && cancelled {
                return Some(error(500, "no"));
            }
            if !cancelled
                && state
                    .batches
                    .first()
                    .is_some_and(|made| made.status == "cancelled")
            {
                let id = asked.path.strip_prefix("/batches/")?;
                let at = state.batches.iter().position(|made| made.id == id)?;
                let rows = lines(&state.files[&state.batches[at].file].1);
                end(state, at, "cancelled", answer(&rows[0]), String::new());
            }
            None
        });
        fake.polls = if hangs { usize::MAX } else { 6 };
        let client = fake.client(
            builder()
                .batch_size(2)
                .on_close(how, Duration::from_secs(90)),
        );
        // Two rows are at the API when it is closed, one is collected.
        let calls = outcomes(&client, 3);
        let close = async {
            sleep(Duration::from_secs(5)).await;
            let start = Instant::now();
            client.close().await;
            start.elapsed()
        };
        let (got, took) = tokio::join!(calls, close);
        assert!(took <= Duration::from_secs(91), "{how:?}: {took:?}");
        let answered = got.iter().filter(|got| got.is_ok()).count();
        let closed = got
            .iter()
            .filter(|got| matches!(got, Err(RowError::Closed { .. })))
            .count();
        let cancelled = got
            .iter()
            .filter(|got| matches!(got, Err(RowError::Cancelled { .. })))
            .count();
        let expected = match (how, hangs) {
            (OnClose::Drain, false) => (3, 0, 0),
            (OnClose::Cancel, false) => (1, 1, 1),
            _ => (0, 3, 0),
        };
        assert_eq!((answered, closed, cancelled), expected, "{how:?} {hangs}");
        let later = outcome(&client, &body(9)).await;
        assert!(matches!(later, Err(RowError::Closed { .. })), "{later:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_client_that_is_dropped_takes_the_task_along() {
    let mut fake = Fake::new();
    fake.polls = usize::MAX;
    let client = fake.client(builder());
    let clone = client.clone();
    let body = body(0);
    let call = outcome(&clone, &body);
    assert!(timeout(Duration::from_secs(60), call).await.is_err());
    drop(client);
    drop(clone);
    sleep(Duration::from_secs(1)).await;
    let polls = fake.asked("GET", "/batches/").len();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(fake.asked("GET", "/batches/").len(), polls);
    assert!(
        fake.asked("POST", "/batches/").is_empty(),
        "the batch goes on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_before_its_row_is_sent_takes_it_back() {
    let fake = Fake::new();
    let client = fake.client(builder());
    assert!(
        timeout(Duration::from_secs(1), outcome(&client, &body(0)))
            .await
            .is_err()
    );
    sleep(Duration::from_secs(60)).await;
    assert!(fake.rows().is_empty());
    assert_eq!(client.open_rows(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_left_and_asks_again_waits_for_the_same_row() {
    let fake = Fake::new();
    let client = fake.client(builder());
    assert!(
        timeout(Duration::from_secs(12), outcome(&client, &body(0)))
            .await
            .is_err()
    );
    assert_eq!(outcome(&client, &body(0)).await.unwrap().0, 200);
    assert_eq!(fake.rows().len(), 1);
    // Two that ask the same at once are two rows.
    let same = body(1);
    tokio::join!(ask(&client, &same), ask(&client, &same));
    assert_eq!(fake.rows()[1].len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_ends_its_own_batch_alone() {
    let fake = Fake::with(|asked, _| {
        let poisoned =
            asked.path == "/files" && asked.body.windows(8).any(|part| part == b"\"poison\"");
        poisoned.then(|| -> super::fake::Reply { panic!("as it was told") })
    });
    let client = fake.client(builder());
    let poison = json!({"model": "poison"});
    let good = body(0);
    let (poisoned, good) = tokio::join!(outcome(&client, &poison), outcome(&client, &good));
    assert!(matches!(poisoned, Err(RowError::Panicked)), "{poisoned:?}");
    assert_eq!(good.unwrap().0, 200);
}
