//! Which requests are the same. F2's pairs, and two tenants.

#![expect(clippy::unwrap_used, reason = "a failed step of a test may panic")]

use bytes::Bytes;
use hedgerow_cache::{
    Digest, HttpKey, IgnoredFields, KeyPolicy, Tenant, WholeRequest, canonical_json,
};
use http::{Method, Request};
use http_body_util::Full;
use proptest::prelude::*;

fn chat(body: &str) -> Request<Full<Bytes>> {
    request("key-1", "https://llm.test/v1/chat/completions", body)
}

fn request(tenant: &str, uri: &str, body: &str) -> Request<Full<Bytes>> {
    let request = Request::post(uri).header("authorization", tenant.as_bytes());
    request
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap()
}

fn policy() -> HttpKey {
    HttpKey::new(Tenant::header("authorization")).methods([Method::POST])
}

fn key(request: &Request<Full<Bytes>>) -> Digest {
    policy().key(request).expect("a key")
}

const ONE: &str = r#"{"model":"m","n":1,"temperature":0.5,"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#;

/// F2, pair by pair.
#[test]
fn what_asks_the_same_is_the_same_and_nothing_else_is() {
    let same = [
        // Members in another order, white space, 1 and 1.0, an escaped letter.
        r#"{"messages":[{"content":"a","role":"user"},{"content":"b","role":"user"}],"n":1,"temperature":0.5,"model":"m"}"#,
        "{ \"model\" : \"m\",\n\"n\":1.0,\"temperature\":5e-1,\"messages\":[{\"role\":\"user\",\"content\":\"\\u0061\"},{\"role\":\"user\",\"content\":\"b\"}]}",
        r#"{"model":"m","n":1e0,"temperature":0.50,"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#,
    ];
    for body in same {
        assert_eq!(key(&chat(body)), key(&chat(ONE)), "{body}");
    }
    let other = [
        // Messages in another order; one twice; one less; a changed parameter; a text that looks like a number.
        r#"{"model":"m","n":1,"temperature":0.5,"messages":[{"role":"user","content":"b"},{"role":"user","content":"a"}]}"#,
        r#"{"model":"m","n":1,"temperature":0.5,"messages":[{"role":"user","content":"a"},{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#,
        r#"{"model":"m","n":1,"temperature":0.5,"messages":[{"role":"user","content":"a"}]}"#,
        r#"{"model":"m","n":1,"temperature":0.6,"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#,
        r#"{"model":"m","n":"1","temperature":0.5,"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#,
        r#"{"model":"m","n":1,"temperature":0.5,"stop":null,"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#,
    ];
    for body in other {
        assert_ne!(key(&chat(body)), key(&chat(ONE)), "{body}");
    }
    // The same body, of somebody else, somewhere else, and by another method.
    assert_ne!(
        key(&request(
            "key-2",
            "https://llm.test/v1/chat/completions",
            ONE
        )),
        key(&chat(ONE))
    );
    assert_ne!(
        key(&request("key-1", "https://llm.test/v1/completions", ONE)),
        key(&chat(ONE))
    );
    assert_ne!(
        key(&request(
            "key-1",
            "https://other.test/v1/chat/completions",
            ONE
        )),
        key(&chat(ONE))
    );
    assert_ne!(
        key(&request(
            "key-1",
            "https://llm.test/v1/chat/completions?a",
            ONE
        )),
        key(&chat(ONE))
    );
    let mut put = chat(ONE);
    *put.method_mut() = Method::PUT;
    assert_ne!(
        policy().methods([Method::PUT]).key(&put),
        Some(key(&chat(ONE)))
    );
    assert_ne!(
        policy().upstream("eu-1").key(&chat(ONE)),
        Some(key(&chat(ONE)))
    );
}

#[test]
fn numbers_are_compared_by_their_exact_value() {
    let say = |text: &str| canonical_json(text.as_bytes(), &IgnoredFields::default());
    for (one, other) in [
        ("1", "1.0"),
        ("1", "10e-1"),
        ("100", "1e2"),
        ("0", "-0.0"),
        ("0", "0e9"),
        ("-2.50", "-25E-1"),
        ("9007199254740993", "9007199254740993.0"),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890.0",
        ),
    ] {
        assert_eq!(say(one), say(other), "{one} {other}");
        assert!(say(one).is_some());
    }
    for (one, other) in [
        ("1", "-1"),
        ("1", "10"),
        ("0.1", "0.10000000000000001"),
        ("9007199254740993", "9007199254740992"),
        ("1", "\"1\""),
        ("1", "[1]"),
        ("true", "\"true\""),
        ("null", "false"),
    ] {
        assert_ne!(say(one), say(other), "{one} {other}");
    }
    for nonsense in [
        "01",
        "+1",
        "1.",
        ".5",
        "1e",
        "--1",
        "NaN",
        "1 2",
        "nul",
        "",
        "\"\\ud800\"",
        "{\"a\":1,\"a\":2}",
        "[1,]",
        "\"\n\"",
    ] {
        assert_eq!(say(nonsense), None, "{nonsense}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(say(&deep), None);
}

#[test]
fn a_body_that_is_no_json_is_compared_byte_by_byte() {
    assert_eq!(key(&chat("{")), key(&chat("{")));
    assert_ne!(key(&chat("{ ")), key(&chat("{")));
    assert_ne!(key(&chat("")), key(&chat("null")));
}

#[test]
fn ignored_members_do_not_count_and_others_of_their_name_do() {
    let policy = policy().ignore(["user", "metadata.trace"]);
    let key = |body: &str| policy.key(&chat(body));
    let plain = key(r#"{"n":1,"metadata":{"team":"x"}}"#);
    assert_eq!(
        key(r#"{"n":1,"user":"me","metadata":{"team":"x","trace":7}}"#),
        plain
    );
    assert_ne!(key(r#"{"n":1,"metadata":{"team":"x","user":"me"}}"#), plain);
    assert_ne!(key(r#"{"n":1,"metadata":{"team":"y"}}"#), plain);
    // Not inside of arrays.
    let list = key(r#"{"messages":[{"user":"a"}]}"#);
    assert_ne!(list, key(r#"{"messages":[{"user":"b"}]}"#));
}

#[test]
fn what_may_not_be_answered_from_a_store_has_no_key() {
    let with = |name: &str, value: &str| {
        let mut request = chat(ONE);
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        policy().key(&request)
    };
    assert!(with("x", "y").is_some());
    for (name, value) in [
        ("range", "bytes=0-1"),
        ("upgrade", "websocket"),
        ("cache-control", "max-age=0, No-Store"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(with(name, value), None, "{name}: {value}");
    }
    // No tenant, and a method that may change something.
    let nobody = Request::post("https://llm.test/")
        .body(Full::new(Bytes::new()))
        .unwrap();
    assert_eq!(policy().key(&nobody), None);
    let only_reads = HttpKey::new(Tenant::header("authorization"));
    assert_eq!(only_reads.key(&chat(ONE)), None);
}

#[test]
fn headers_that_answers_depend_on_are_in_the_key() {
    let with = |policy: &HttpKey, name: &'static str, value: &str| {
        let mut request = chat(ONE);
        request.headers_mut().append(name, value.parse().unwrap());
        policy.key(&request).unwrap()
    };
    let policy = policy();
    for name in [
        "accept",
        "accept-encoding",
        "accept-language",
        "content-type",
    ] {
        assert_ne!(with(&policy, name, "a"), with(&policy, name, "b"), "{name}");
    }
    assert_eq!(
        with(&policy, "x-request-id", "a"),
        with(&policy, "x-request-id", "b")
    );
    let more = policy.header("openai-beta");
    assert_ne!(
        with(&more, "openai-beta", "a"),
        with(&more, "openai-beta", "b")
    );
}

#[test]
fn the_whole_request_counts() {
    let key = WholeRequest::new("acme");
    assert_eq!(key.key(&("a", 1, [true])), key.key(&("a", 1, [true])));
    assert_ne!(key.key(&("a", 1, [true])), key.key(&("a", 1, [false])));
    assert_ne!(key.key(&("ab", "c")), key.key(&("a", "bc")));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e6..1e6_f64).prop_map(Into::into),
        ".{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map(".{0,4}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same document, its members in reverse.
fn reversed(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let members = map.iter().rev().map(|(name, value)| {
                format!(
                    "{}:{}",
                    serde_json::Value::from(name.as_str()),
                    reversed(value)
                )
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(" , "))
        }
        serde_json::Value::Array(list) => {
            format!(
                "[{}]",
                list.iter().map(reversed).collect::<Vec<_>>().join(",")
            )
        }
        other => other.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Two tenants never share a key, whatever separators, lengths and bodies they choose.
    #[test]
    fn two_tenants_never_share_a_key(
        [one, other] in ["[ -~]{0,12}", "[ -~]{0,12}"],
        [path, body] in ["[a-z/|:,]{0,8}", "[ -~]{0,20}"],
        [other_path, other_body] in ["[a-z/|:,]{0,8}", "[ -~]{0,20}"],
    ) {
        let make = |tenant: &str, path: &str, body: &str| request(tenant, &format!("https://llm.test/{path}"), body);
        let mine = make(&one, &path, &body);
        if one != other {
            prop_assert_ne!(key(&mine), key(&make(&other, &path, &body)));
            prop_assert_ne!(key(&mine), key(&make(&other, &other_path, &other_body)));
        }
        // Also where a function says whose it is, and it is not the header's value that is trimmed.
        let by = |tenant: String| {
            let tenant = Tenant::by(move |_, _| Some(tenant.clone().into_bytes()));
            HttpKey::new(tenant).methods([Method::POST]).key(&mine)
        };
        prop_assert_eq!(by(one.clone()) == by(other.clone()), one == other);
        let named = |tenant: &str| HttpKey::new(Tenant::everybody(tenant)).methods([Method::POST]).key(&mine);
        prop_assert_eq!(named(&one) == named(&other), one == other);
        // A name is not a header's value.
        prop_assert_ne!(named(&one), Some(key(&mine)));
    }

    /// Two documents have one form if and only if they are equal as values.
    #[test]
    fn one_form_for_one_meaning(one in json(), other in json()) {
        let say = |text: &str| canonical_json(text.as_bytes(), &IgnoredFields::default());
        let form = say(&one.to_string());
        prop_assert!(form.is_some());
        prop_assert_eq!(&form, &say(&reversed(&one)));
        prop_assert_eq!(form == say(&other.to_string()), one == other);
    }

    /// Whatever the bytes are, it ends without a panic.
    #[test]
    fn nonsense_is_no_json(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:0-9eE+\\-.\\\\u \n]{0,60}") {
        let _ = canonical_json(&bytes, &IgnoredFields::default());
        let known = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        let said = canonical_json(text.as_bytes(), &IgnoredFields::default()).is_some();
        // It takes nothing that is no JSON. It may refuse what says two things, or numbers beyond serde's.
        prop_assert!(!said || known || text.contains(['e', 'E']), "{text}");
    }
}
