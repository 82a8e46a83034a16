//! What goes through is what was said.

use http::HeaderValue;

use crate::up::{Up, at, chat, client, gateway, header, json, post, upstream, value};

const ODD: &str = "{ \"model\":\"m\", \"x_new\" : [1.0, 1e400,{}], \"messages\":[]}";

#[tokio::test]
async fn bytes_that_need_not_change_are_not_touched() {
    const ANSWER: &str = "{\"model\":\"m\" ,\"n\":1.50,\"x\":{\"a\":null}}";
    let up = Up::start(|_, _| json(200, ANSWER, 0)).await;
    let gateway = gateway(&upstream("up", &up)).await;
    for path in [
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/embeddings?beta=true",
    ] {
        let answer = post(&gateway, path, ODD).await;
        assert_eq!(header(&answer, "x-hedgerow-attempts"), "1");
        assert_eq!(header(&answer, "x-hedgerow-upstream"), "up");
        assert_eq!(answer.text().await.expect("a text"), ANSWER);
        let asked = up.asked().pop().expect("it was asked");
        assert_eq!(asked.body, ODD);
        assert_eq!(asked.target, path);
    }
}

#[tokio::test]
async fn the_gateway_has_its_own_key_and_the_clients_stays_here() {
    let up = Up::start(|_, _| json(200, "{}", 0)).await;
    let url = up.url();
    // A variable that every test program has.
    let file = format!(
        "[[upstream]]\nname = \"up\"\nurl = {url:?}\nkey_env = \"CARGO_PKG_NAME\"\n\
         [[upstream]]\nname = \"anthropic\"\nurl = {url:?}\nkey_env = \"CARGO_PKG_NAME\"\n\
         key_style = \"x_api_key\"\n[[route]]\npath = \"/v1/messages\"\nupstream = \"anthropic\"\n"
    );
    let gateway = gateway(&file).await;
    for (path, name, key) in [
        (
            "/v1/chat/completions",
            "authorization",
            "Bearer hedgerow-tests",
        ),
        ("/v1/messages", "x-api-key", "hedgerow-tests"),
        ("/v1/files", "authorization", "Bearer hedgerow-tests"),
    ] {
        let sent = client()
            .post(at(&gateway, path))
            .header("authorization", "Bearer client")
            .header("x-api-key", "client")
            .header("api-key", "client")
            .header("x-hedgerow-upstream", "smuggled")
            .header("accept-encoding", "gzip")
            .header("x-stainless-lang", "rust")
            .body("{}");
        assert_eq!(sent.send().await.expect("an answer").status(), 200);
        let headers = up.asked().pop().expect("it was asked").headers;
        let values: Vec<&HeaderValue> = headers.values().collect();
        assert!(
            !values
                .iter()
                .any(|value| value.as_bytes().ends_with(b"client")),
            "{path}"
        );
        assert_eq!(headers[name], key, "{path}");
        assert_eq!(headers["x-stainless-lang"], "rust");
        assert!(!headers.contains_key("x-hedgerow-upstream"));
    }
}

#[tokio::test]
async fn an_id_goes_all_the_way() {
    let up = Up::start(|at, _| json(if at == 0 { 200 } else { 400 }, "{}", 0)).await;
    let gateway = gateway(&upstream("up", &up)).await;
    let ask = |id: &str| {
        let request = client().post(at(&gateway, "/v1/chat/completions"));
        request
            .header("x-request-id", id.to_owned())
            .body("{}")
            .send()
    };
    let answer = ask("mine-7").await.expect("an answer");
    assert_eq!(header(&answer, "x-request-id"), "mine-7");
    assert_eq!(up.asked()[0].headers["x-request-id"], "mine-7");
    let long = "x".repeat(200);
    let answer = ask(&long).await.expect("an answer");
    assert!(header(&answer, "x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn what_is_no_question_to_a_model_is_passed_on_as_it_comes() {
    let up = Up::start(|_, asked| json(201, &format!("{}", asked.body.len()), 0)).await;
    // A body is not held, so none is too long.
    let file = format!("max_body_bytes = 1000\n{}", upstream("up", &up));
    let gateway = gateway(&file).await;
    let long = vec![7; 3_000_000];
    let sent = client()
        .post(at(&gateway, "/v1/files?purpose=batch"))
        .body(long);
    let answer = sent.send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.text().await.expect("a text"), "3000000");
    for (method, path) in [
        ("GET", "/v1/batches/b_1"),
        ("DELETE", "/v1/files/f_1"),
        ("GET", "/v1/models"),
    ] {
        let method: http::Method = method.parse().expect("a method");
        let sent = client().request(method.clone(), at(&gateway, path));
        assert_eq!(sent.send().await.expect("an answer").status(), 201);
        let asked = up.asked().pop().expect("it was asked");
        assert_eq!((asked.method, asked.target.as_str()), (method, path));
    }
}

#[tokio::test]
async fn a_path_with_two_readings_is_answered_by_nobody() {
    let up = Up::start(|_, _| json(200, "{}", 0)).await;
    let gateway = gateway(&upstream("up", &up)).await;
    for path in [
        "/v1/files/..%2f..%2fadmin",
        "/v1//files",
        "/v1/%2e%2e/x",
        "/admin",
        "/v2/files",
    ] {
        let answer = client()
            .get(at(&gateway, path))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 404, "{path}");
        let error = value(answer).await;
        assert_eq!(error["error"]["code"], "not_found");
    }
    assert!(up.asked().is_empty());
    // Nor is what is no HTTP.
    let answer = chat(&gateway, "{}").await;
    assert_eq!(answer.status(), 200);
}

/// A list of entries with one that passes on the client's key tells it to that one alone.
#[tokio::test]
async fn a_clients_key_goes_to_those_alone_that_want_it() {
    let theirs = Up::start(|_, _| json(500, "{}", 0)).await;
    let ours = Up::start(|_, _| json(200, "{}", 0)).await;
    let file = format!(
        "[[upstream]]\nname = \"theirs\"\nurl = {:?}\nkey_style = \"client\"\n\
         [[upstream]]\nname = \"ours\"\nurl = {:?}\nkey_env = \"CARGO_PKG_NAME\"\n\
         [[model]]\nname = \"m\"\nentries = [{{ upstream = \"theirs\" }}, {{ upstream = \"ours\" }}]\n",
        theirs.url(),
        ours.url()
    );
    let gateway = gateway(&file).await;
    let sent = client()
        .post(at(&gateway, "/v1/chat/completions"))
        .header("authorization", "Bearer client")
        .header("x-api-key", "client")
        .header("api-key", "client")
        .body("{\"model\":\"m\"}");
    let answer = sent.send().await.expect("an answer");
    assert_eq!(header(&answer, "x-hedgerow-upstream"), "ours");
    assert_eq!(theirs.asked()[0].headers["x-api-key"], "client");
    let headers = &ours.asked()[0].headers;
    assert_eq!(headers["authorization"], "Bearer hedgerow-tests");
    assert!(!headers.contains_key("x-api-key") && !headers.contains_key("api-key"));
}

/// The layers see who asks, though upstream does not; and a kept answer calls the model as its client does.
#[tokio::test]
async fn answers_are_kept_for_each_client_apart() {
    let up = Up::start(|at, _| json(200, &format!("{{\"model\":\"other\",\"n\":{at}}}"), 0)).await;
    let file = format!(
        "{}[[model]]\nname = \"m\"\nentries = [{{ upstream = \"up\", model = \"other\" }}]\n\
         [[route]]\npath = \"/v1/chat/completions\"\n\
         [[route.layer]]\nkind = \"idempotent_paths\"\npaths = [\"/v1/chat/completions\"]\n\
         [[route.layer]]\nkind = \"replay_body\"\n\
         [[route.layer]]\nkind = \"cache\"\nttl = \"1h\"\n\
         key = {{ tenant = \"header:authorization\", methods = [\"POST\"] }}\n",
        upstream("up", &up)
    );
    let gateway = gateway(&file).await;
    let ask = async |who: &str| {
        let request = client().post(at(&gateway, "/v1/chat/completions"));
        let request = request
            .header("authorization", who)
            .body("{\"model\":\"m\"}");
        let answer = request.send().await.expect("an answer");
        let attempts = header(&answer, "x-hedgerow-attempts").to_owned();
        (attempts, answer.text().await.expect("a text"))
    };
    let told = |n: u64| format!("{{\"model\":\"m\",\"n\":{n}}}");
    assert_eq!(ask("Bearer a").await, ("1".to_owned(), told(0)));
    assert_eq!(ask("Bearer a").await, ("0".to_owned(), told(0)));
    assert_eq!(ask("Bearer b").await, ("1".to_owned(), told(1)));
    assert_eq!(ask("Bearer b").await, ("0".to_owned(), told(1)));
    assert!(
        up.asked()
            .iter()
            .all(|asked| !asked.headers.contains_key("authorization"))
    );
}
