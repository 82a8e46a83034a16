//! `Cache-Status`.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::cache::CacheStatus;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Says where an answer is from, behind what caches further in have said (RFC 9211), and how old it is.
pub(super) fn write(headers: &mut HeaderMap, status: CacheStatus, stored: bool) {
    let mut text = String::from("hedgerow");
    let said = match status {
        CacheStatus::Hit { left, .. } => write!(text, "; hit; ttl={}", left.as_secs()),
        CacheStatus::Stale { by, .. } => write!(text, "; hit; ttl=-{}", by.as_secs()),
        CacheStatus::StaleOnError { by, .. } => {
            write!(text, "; hit; ttl=-{}; detail=stale-if-error", by.as_secs())
        }
        CacheStatus::Miss => write!(text, "; fwd=uri-miss"),
        CacheStatus::Refetched => write!(text, "; fwd=stale"),
        CacheStatus::Bypass => write!(text, "; fwd=bypass"),
    };
    if stored {
        text.push_str("; stored");
    }
    if let (Ok(()), Ok(value)) = (said, HeaderValue::try_from(text)) {
        headers.append(CACHE_STATUS, value);
    }
    if let Some(age) = status.age() {
        headers.insert(header::AGE, age.as_secs().into());
    }
}
