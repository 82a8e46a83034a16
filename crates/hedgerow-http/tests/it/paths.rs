//! Which paths are allowed, and which are refused.

use std::convert::Infallible;

use hedgerow_core::Idempotent;
use hedgerow_http::{HttpBuildError, IdempotentPathsLayer, idempotent_paths};
use http::Request;
use tower::{Layer, ServiceExt};

async fn marked(layer: &IdempotentPathsLayer, uri: &str) -> bool {
    let service = layer.layer(tower::service_fn(async |request: Request<()>| {
        Ok::<_, Infallible>(request.extensions().get() == Some(&Idempotent))
    }));
    let request = Request::post(uri).body(()).expect("valid");
    let Ok(marked) = service.oneshot(request).await;
    marked
}

#[tokio::test]
async fn exactly_the_named_paths_are_marked() {
    let layer = idempotent_paths(["/a.B/Get", "/a.Reads/*"]);
    for (uri, wanted) in [
        ("http://h.test/a.B/Get", true),
        ("http://h.test/a.B/Get?x=/a.B/Set", true),
        ("http://h.test/a.B/Set", false),
        ("http://h.test/a.B/Get/", false),
        ("http://h.test/a.B/get", false),
        ("http://h.test/x/a.B/Get", false),
        ("http://h.test/a.Reads/Anything", true),
        ("http://h.test/a.Reads/", false),
        ("http://h.test/a.Reads", false),
        ("http://h.test/a.Reads/Any/Deeper", false),
        ("http://h.test/a.ReadsNot/Anything", false),
        ("http://h.test/x/a.Reads/Anything", false),
        ("http://h.test", false),
        ("/a.B/Get", true),
    ] {
        assert_eq!(marked(&layer, uri).await, wanted, "{uri}");
    }
    assert!(!marked(&IdempotentPathsLayer::default(), "/a.B/Get").await);
}

/// What a server, or a proxy before it, may resolve to a path that nobody allowed.
#[tokio::test]
async fn a_path_with_dot_segments_is_never_marked() {
    let layer = idempotent_paths(["/a/*", "/a/b/*", "/a/Get"]);
    for path in [
        "/a/.",
        "/a/..",
        "/a/../admin",
        "/a/b/../admin",
        "/a/./Get",
        "/x/../a/Get",
        "/a/%2e",
        "/a/%2E",
        "/a/%2e%2e",
        "/a/.%2E",
        "/a/%2e.",
        "/a/%2e%2e%2fadmin",
        "/a/..%2Fadmin",
        "/a/x%2f..",
        "/a/x%2F%2e%2E%2Fadmin",
        "/a/..\\admin",
        "/a/x%5c..%5Cadmin",
        "/a/..;x=1",
        "/a/..%3bx",
        "/a/b/%2e%2e",
    ] {
        assert!(!marked(&layer, path).await, "{path}");
    }
    for path in [
        "/a/Get",
        "/a/...",
        "/a/.hidden",
        "/a/x..",
        "/a/1.5",
        "/a/%2e5",
        "/a/x%20y",
        "/a/b/x?y=/../z",
    ] {
        assert!(marked(&layer, path).await, "{path}");
    }
}

#[test]
fn bad_paths_are_refused_with_what_to_write() {
    for (bad, says) in [
        ("", "it is empty"),
        ("a.B/Get", "with a leading slash"),
        ("http://h.test/a.B/Get", "with a leading slash"),
        ("*", "with a leading slash"),
        ("/*", "name the service"),
        ("/a.B/Get*", "a wildcard stands for all methods"),
        ("/*/Get", "a wildcard stands for all methods"),
        ("/a.*/*", "a wildcard stands for all methods"),
        ("/a.B/**", "a wildcard stands for all methods"),
        ("/a.B/Get?x", "the path alone"),
        ("/a.B/Get ", "the path alone"),
        ("/a.B/<Get>", "no URI can hold it"),
        ("/a/../b", "leads elsewhere"),
        ("/a/./*", "leads elsewhere"),
        ("/a/%2E%2e/*", "leads elsewhere"),
    ] {
        let error = IdempotentPathsLayer::try_new(["/a.B/Fine", bad]).expect_err(bad);
        assert!(matches!(&error, HttpBuildError::Path { path, .. } if path == bad));
        assert!(error.to_string().contains(says), "{bad}: {error}");
    }
}

#[test]
#[should_panic(expected = "write it with a leading slash")]
fn the_plain_constructor_panics_with_the_reason() {
    let _ = IdempotentPathsLayer::new(["a.B/Get"]);
}
