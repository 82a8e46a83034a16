//! Copies go elsewhere, and the first content wins.

use crate::up::{Up, chat, chunk, events, gateway, header, json, metric, upstream};

const HEDGED: &str = "
[[route]]
path = \"/v1/chat/completions\"
[[route.layer]]
kind = \"idempotent_paths\"
paths = [\"/v1/chat/completions\"]
[[route.layer]]
kind = \"replay_body\"
[[route.layer]]
kind = \"hedge\"
strategy = \"fixed\"
delay = \"40ms\"
budget = \"unlimited\"
[[route.layer]]
kind = \"await_first\"
";

fn pair(a: &Up, b: &Up) -> String {
    format!(
        "{}{}[[model]]\nname = \"chat\"\nentries = [{{ upstream = \"a\" }}, {{ upstream = \"b\" }}]\n{HEDGED}",
        upstream("a", a),
        upstream("b", b)
    )
}

#[tokio::test]
async fn a_copy_goes_to_another_entry_and_its_answer_says_so() {
    let slow = Up::start(|_, _| json(200, "{\"by\":\"a\"}", 10_000)).await;
    let fast = Up::start(|_, _| json(200, "{\"by\":\"b\"}", 0)).await;
    let gateway = gateway(&pair(&slow, &fast)).await;
    let answer = chat(&gateway, "{\"model\":\"chat\"}").await;
    assert_eq!(header(&answer, "x-hedgerow-winner"), "1");
    assert_eq!(header(&answer, "x-hedgerow-attempts"), "2");
    assert_eq!(header(&answer, "x-hedgerow-upstream"), "b");
    assert_eq!(answer.text().await.expect("a text"), "{\"by\":\"b\"}");
    let line = "hedgerow_hedges_total{route=\"/v1/chat/completions\",what=\"won\"}";
    assert_eq!(metric(&gateway, line).await, 1);
}

/// Headers come at once from both: only the first token tells who is slow.
#[tokio::test]
async fn a_stream_is_won_by_its_first_token_and_goes_on_with_it() {
    let says = |text: &str, first: u64| {
        let more = (1, chunk(&format!("{text}-2")));
        vec![(0, ": hello\n\n".to_owned()), (first, chunk(text)), more]
    };
    let slow = Up::start(move |_, _| events(says("a", 10_000))).await;
    let fast = Up::start(move |_, _| events(says("b", 0))).await;
    let gateway = gateway(&pair(&slow, &fast)).await;
    let answer = chat(&gateway, "{\"model\":\"chat\",\"stream\":true}").await;
    assert_eq!(header(&answer, "x-hedgerow-upstream"), "b");
    let text = answer.text().await.expect("a text");
    assert!(
        text.contains("\"b\"") && text.contains("b-2") && !text.contains("\"a\""),
        "{text}"
    );
}
