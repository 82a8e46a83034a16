//! Rows: each stands alone, whatever the lines of the others are like.

use hedgerow_openai::batch::RowError;
use hedgerow_sim::batch_api::{Answer, MockBatchApi, Script, Share, Stage, Status};

use crate::bed::{CHAT, Got, bed, bed_with, body, name};

/// JSON that does not survive being read and written: key order, a double key, numbers, escapes, spaces.
const ODD: &str = r#"{"z": 1.50, "a":1e2,"a":  9007199254740993, "u":"\u00e9\/" , "e":{} }"#;

#[tokio::test(start_paused = true)]
async fn an_answer_and_a_question_pass_byte_for_byte() {
    let question = r#"{"model":"m","n": 1.50,"n":2,"x":"\u00e9\/", "messages":[]  }"#;
    let settings = MockBatchApi::settings().answer(move |row| {
        assert_eq!(row.body(), question);
        Answer::new(200, ODD)
    });
    let bed = bed(settings);
    let got = bed.ask(CHAT, question).await;
    assert_eq!((got.word(), got.body()), ("200".to_owned(), ODD));
    bed.none_twice();
}

#[tokio::test(start_paused = true)]
async fn every_endpoint_is_taken() {
    let bed =
        bed(MockBatchApi::settings().answer(|row| Answer::new(200, format!("\"{}\"", row.url()))));
    let paths = [
        CHAT,
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/some/thing",
    ];
    let calls = paths.iter().map(|path| bed.ask(path, r#"{"model":"m"}"#));
    for (path, got) in paths.iter().zip(futures::future::join_all(calls).await) {
        assert_eq!(got.body(), format!("\"{path}\""));
    }
    // One file and one batch for each.
    assert_eq!(
        (
            bed.counts().files,
            bed.counts().batches,
            bed.counts().direct
        ),
        (5, 5, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_refused_has_its_own_status_and_body() {
    let settings = MockBatchApi::settings().answer(|row| match name(row) {
        "400" => Answer::new(400, r#"{"error":{"message":"its own"}}"#),
        "429" => Answer::new(429, "{}"),
        "500" => Answer::new(500, "{}"),
        "error" => Answer::error("internal", "broken"),
        _ => Answer::echo(row),
    });
    let bed = bed(settings);
    let got = bed.all(&["a", "400", "429", "500", "error", "b"]).await;
    assert_eq!(got["400"].word(), "400");
    assert_eq!(got["400"].body(), r#"{"error":{"message":"its own"}}"#);
    assert_eq!(
        (got["429"].word(), got["500"].word()),
        ("429".to_owned(), "500".to_owned())
    );
    match &got["error"] {
        Got::Error(RowError::Row { code, message, .. }) => {
            assert_eq!((code.as_deref(), &**message), (Some("internal"), "broken"));
        }
        other => panic!("{other:?}"),
    }
    for fine in ["a", "b"] {
        assert!(got[fine].body().contains(&format!("\"{fine}\"")), "{got:?}");
    }
    // One failing call is one row: nothing is tried again behind the caller's back.
    assert_eq!((bed.counts().rows, bed.counts().batches), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn a_bad_line_touches_only_its_own_row() {
    let settings = MockBatchApi::settings().answer(|row| match name(row) {
        "after_junk" => Answer::echo(row).after_junk(&b"{\"custom_id\":\xff\xfe"[..]),
        "long_junk" => Answer::echo(row).after_junk(vec![b'x'; 3 << 20]),
        "empty_line" => Answer::echo(row).after_junk(""),
        "null_response" => Answer::null_response(),
        "null_body" => Answer::null_body(),
        "null_id" => Answer::null_id("{}"),
        "missing" => Answer::missing(),
        "junk" => Answer::line("}{"),
        "no_object" => Answer::line("[1,2]"),
        "stranger" => Answer::line(
            r#"{"id":"x","custom_id":"nobody","response":{"status_code":200,"body":{}}}"#,
        ),
        "bad_status" => Answer::new(7, "{}"),
        "twice" => Answer::echo(row).twice(),
        "unknown" => Answer::echo(row).with_unknown_fields(),
        _ => Answer::echo(row),
    });
    let bed = bed(settings);
    let got = bed
        .all(&[
            "a",
            "after_junk",
            "long_junk",
            "empty_line",
            "null_response",
            "null_body",
            "null_id",
            "missing",
            "junk",
            "no_object",
            "stranger",
            "bad_status",
            "twice",
            "unknown",
            "z",
        ])
        .await;
    for fine in [
        "a",
        "after_junk",
        "long_junk",
        "empty_line",
        "twice",
        "unknown",
        "z",
    ] {
        assert_eq!(got[fine].word(), "200", "{fine}");
        assert!(got[fine].body().contains(&format!("\"{fine}\"")), "{fine}");
    }
    // Their own rows have a typed error; none is passed off as an answer.
    for (name, word) in [
        ("null_response", "Row"),
        ("null_body", "Row"),
        ("null_id", "Missing"),
        ("missing", "Missing"),
        ("junk", "Missing"),
        ("no_object", "Missing"),
        ("stranger", "Missing"),
    ] {
        assert_eq!(got[name].word(), word, "{name}: {:?}", got[name]);
    }
    assert!(
        matches!(&got["bad_status"], Got::Error(_)),
        "{:?}",
        got["bad_status"]
    );
    assert_eq!((bed.counts().rows, bed.counts().batches), (15, 1));
}

#[tokio::test(start_paused = true)]
async fn the_order_of_lines_and_unknown_fields_are_no_matter() {
    let script = |_: &_| {
        let half = Stage::of(Status::InProgress).polls(3).done(Share::of(1, 2));
        Script::stepwise()
            .shuffled(3)
            .with_unknown_fields()
            .stage(half)
    };
    let bed = bed_with(MockBatchApi::settings().script(script), |b| b);
    let names: Vec<String> = (0..300).map(|n| format!("n{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (name, got) in bed.all(&names).await {
        assert!(
            got.body().contains(&format!("\"{name}\"")),
            "{name}: {got:?}"
        );
    }
    bed.none_twice();
}

#[tokio::test(start_paused = true)]
async fn a_row_is_answered_as_soon_as_its_line_is_there() {
    let script = |_: &_| {
        let half = Stage::of(Status::InProgress).done(Share::of(1, 2));
        Script::instant().stage(half.until_released())
    };
    let bed = bed(MockBatchApi::settings().script(script));
    let all = futures::future::join(
        async {
            // The first two do not wait for the rest, which stands still.
            let got = bed.words(&["a", "b"]).await;
            let open = bed.client.open_rows();
            bed.api.release();
            (got, open)
        },
        bed.words(&["c", "d"]),
    );
    let ((first, open), rest) = all.await;
    assert_eq!(
        (first, rest),
        (vec!["200".to_owned(); 2], vec!["200".to_owned(); 2])
    );
    assert_eq!(open, 2);
    bed.none_twice();
}

#[tokio::test(start_paused = true)]
async fn identical_calls_are_each_answered() {
    let bed = bed(MockBatchApi::settings());
    let same = body("m", "same");
    let got = futures::future::join_all((0..5).map(|_| bed.ask(CHAT, &same))).await;
    assert!(got.iter().all(|got| got.word() == "200"), "{got:?}");
    bed.none_twice();
    assert!((1..=5).contains(&bed.counts().rows));
}
