//! One name for several upstreams.

use crate::up::{Up, at, chat, chunk, client, events, gateway, header, json, upstream, value};

async fn two(first: Up, second: Up, layers: &str) -> (hedgerow_gateway::Gateway, Up, Up) {
    let file = format!(
        "{}{}[[model]]\nname = \"chat\"\nentries = [\n\
         {{ upstream = \"a\", model = \"up-1\" }},\n\
         {{ upstream = \"b\", model = \"other\", drop = [\"seed\"] }},\n]\n{layers}",
        upstream("a", &first),
        upstream("b", &second)
    );
    (gateway(&file).await, first, second)
}

#[tokio::test]
async fn a_retry_goes_to_the_next_entry_and_each_is_asked_in_its_own_words() {
    let first = Up::start(|_, _| json(500, "{\"error\":{\"message\":\"no\"}}", 0)).await;
    let second =
        Up::start(|_, _| json(200, "{\"id\":\"x\", \"model\":\"other-2026\",\"n\":1.0}", 0)).await;
    let (gateway, first, second) = two(first, second, "").await;
    let answer = chat(&gateway, "{\"seed\":7, \"model\" : \"chat\", \"n\":1.0}").await;
    assert_eq!(header(&answer, "x-hedgerow-attempts"), "2");
    assert_eq!(header(&answer, "x-hedgerow-upstream"), "b");
    let text = answer.text().await.expect("a text");
    assert_eq!(text, "{\"id\":\"x\", \"model\":\"chat\",\"n\":1.0}");
    assert_eq!(
        first.asked()[0].body,
        "{\"seed\":7, \"model\" : \"up-1\", \"n\":1.0}"
    );
    assert_eq!(second.asked()[0].body, "{\"model\":\"other\",\"n\":1.0}");
}

#[tokio::test]
async fn a_stream_calls_the_model_as_its_client_does() {
    let first = Up::start(|_, _| {
        let done = (0, "data: [DONE]\n\n".to_owned());
        events(vec![(0, chunk("a")), (1, chunk("up-1")), done])
    })
    .await;
    let second = Up::start(|_, _| json(500, "{}", 0)).await;
    let (gateway, _first, _second) = two(first, second, "").await;
    let answer = chat(&gateway, "{\"model\":\"chat\",\"stream\":true}").await;
    assert_eq!(header(&answer, "content-type"), "text/event-stream");
    let wanted = format!("{}{}data: [DONE]\n\n", chunk("a"), chunk("up-1"));
    let wanted = wanted.replace("\"model\":\"up-1\"", "\"model\":\"chat\"");
    assert_eq!(answer.text().await.expect("a text"), wanted);
}

#[tokio::test]
async fn a_name_that_the_file_does_not_have_is_the_first_upstreams() {
    let first = Up::start(|_, _| json(200, "{\"model\":\"else\"}", 0)).await;
    let second = Up::start(|_, _| json(500, "{}", 0)).await;
    let (gateway, first, second) = two(first, second, "").await;
    let answer = chat(&gateway, "{\"model\":\"else\"}").await;
    assert_eq!(answer.text().await.expect("a text"), "{\"model\":\"else\"}");
    assert_eq!((first.asked().len(), second.asked().len()), (1, 0));
}

#[tokio::test]
async fn clients_are_told_the_names_of_the_file() {
    let first = Up::start(|_, _| json(200, "{}", 0)).await;
    let second = Up::start(|_, _| json(200, "{}", 0)).await;
    let (gateway, first, _second) = two(first, second, "").await;
    let models = client()
        .get(at(&gateway, "/v1/models"))
        .send()
        .await
        .expect("an answer");
    let models = value(models).await;
    assert_eq!(models["data"][0]["id"], "chat");
    assert_eq!(models["object"], "list");
    let request = client()
        .get(at(&gateway, "/v1/models"))
        .header("anthropic-version", "2023-06-01");
    let models = value(request.send().await.expect("an answer")).await;
    assert_eq!(models["data"][0]["type"], "model");
    assert_eq!(
        (&models["first_id"], &models["has_more"]),
        (&"chat".into(), &false.into())
    );
    let one = client()
        .get(at(&gateway, "/v1/models/chat"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(one.status(), 200);
    let none = client()
        .get(at(&gateway, "/v1/models/none"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(none.status(), 404);
    assert!(first.asked().is_empty());
}
