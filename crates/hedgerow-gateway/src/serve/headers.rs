//! Which headers go on, in either direction.

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

/// What belongs to one connection alone (RFC 9110, 7.6.1), beside what `Connection` names.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Where clients put their keys.
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Headers that are the gateway's own.
pub(crate) const OURS: &str = "x-hedgerow-";

/// Takes out what belongs to one connection.
pub(crate) fn end_to_end(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
}

/// Takes out what an upstream is not to see: the client's keys, unless `keys`, and what is said to the gateway.
pub(crate) fn to_upstream(headers: &mut HeaderMap, keys: bool) {
    end_to_end(headers);
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::EXPECT);
    headers.remove(header::COOKIE);
    if !keys {
        headers.remove(header::AUTHORIZATION);
        headers.remove(X_API_KEY);
        headers.remove(API_KEY);
    }
    remove_ours(headers);
}

/// Takes out what a client is not to see, or what only the gateway may say.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    end_to_end(headers);
    remove_ours(headers);
}

fn remove_ours(headers: &mut HeaderMap) {
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(OURS))
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
}

/// A number as a header.
pub(crate) fn number(number: impl Into<u64>) -> HeaderValue {
    HeaderValue::from(number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_connection_or_to_the_gateway_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("host", "a.test"),
            ("authorization", "Bearer key"),
            ("x-api-key", "key"),
            ("api-key", "key"),
            ("x-hedgerow-hedge", "off"),
            ("x-stainless-retry-count", "1"),
            ("anthropic-version", "2023-06-01"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let mut with_keys = headers.clone();
        to_upstream(&mut headers, false);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-stainless-retry-count", "anthropic-version"]);
        to_upstream(&mut with_keys, true);
        assert!(with_keys.contains_key("authorization") && with_keys.contains_key("x-api-key"));
    }
}
