//! What an HTTP answer is worth: one classifier for hedges, retries, admission and statistics.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};

use crate::class::{Class, Classify};
use crate::http::HttpResponse;

/// A server that is overloaded says so by this status, which has no name of its own.
const OVERLOADED: u16 = 529;

/// Judges an HTTP answer by its status.
///
/// | status | what it is worth |
/// | --- | --- |
/// | 408, 429, 5xx but 501 (529 too) | [`Retryable`](Class::Retryable), with what `Retry-After` asks |
/// | 501 | [`Fatal`](Class::Fatal): the server cannot do it, whoever asks |
/// | any other | [`Success`](Class::Success): an answer, whatever it says |
///
/// An error (a connection that was refused, reset or dropped) is retryable. Nothing is judged by its
/// text.
///
/// # Source
///
/// RFC 9110 §15 and §10.2.3, RFC 6585 §4. 409 is an answer here.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpJudge;

impl HttpJudge {
    /// What an answer of this head is worth.
    #[inline]
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap) -> Class {
        match status.as_u16() {
            ..408 => Class::Success,
            _ => refused(status, headers),
        }
    }
}

#[cold]
fn refused(status: StatusCode, headers: &HeaderMap) -> Class {
    if status == StatusCode::NOT_IMPLEMENTED {
        return Class::Fatal;
    }
    let retryable = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.as_u16() == OVERLOADED;
    if retryable {
        Class::Retryable {
            after: retry_after(headers, wall_clock),
        }
    } else {
        Class::Success
    }
}

impl<Res: HttpResponse, E> Classify<Res, E> for HttpJudge {
    #[inline]
    fn classify(&self, result: &Result<Res, E>) -> Class {
        match result {
            Ok(response) => Self::of(response.status(), response.headers()),
            Err(_) => Class::RETRYABLE,
        }
    }
}

/// How long `Retry-After` asks to wait: its seconds, or the time until its date.
///
/// A date is compared with the `Date` of the same answer, so that clocks which differ do no harm; `now`
/// is asked only if there is none. A date that has passed asks for no wait. What cannot be read is
/// `None`.
///
/// # Examples
///
/// ```
/// use hedgerow_core::retry_after;
/// use std::time::{Duration, SystemTime};
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
/// let at_49_07 = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_747);
/// assert_eq!(retry_after(&headers, || at_49_07), Some(Duration::from_secs(30)));
/// ```
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than a number can hold are still a wish to wait: whoever waits has a cap.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let until = date(text)?;
    let told = headers.get(header::DATE).and_then(|v| v.to_str().ok());
    let since = told.and_then(date).unwrap_or_else(now);
    Some(until.duration_since(since).unwrap_or_default())
}

/// The one place where the wall clock is read: an HTTP date means nothing without it.
#[expect(
    clippy::disallowed_methods,
    reason = "an HTTP date is wall-clock time; tests hand `retry_after` a clock of their own"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn judged(status: u16) -> Class {
        let response = Response::builder().status(status).body(());
        HttpJudge.classify(&Ok::<_, ()>(response.expect("a status")))
    }

    /// E2, every status there is.
    #[test]
    fn retryable_are_429_408_and_5xx_but_501_and_nothing_else() {
        for status in 100..=999 {
            let wanted = match status {
                501 => Class::Fatal,
                408 | 429 | 500..=599 => Class::RETRYABLE,
                _ => Class::Success,
            };
            assert_eq!(judged(status), wanted, "{status}");
        }
        assert_eq!(
            HttpJudge.classify(&Err::<Response<()>, _>("429 is but a word")),
            Class::RETRYABLE
        );
    }

    fn asks(fields: &[(&'static str, &str)], now: u64) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().expect("a header value"));
        }
        retry_after(&headers, || {
            SystemTime::UNIX_EPOCH + Duration::from_secs(now)
        })
    }

    /// 06 Nov 1994 08:49:37.
    const THEN: u64 = 784_111_777;

    #[test]
    fn retry_after_in_seconds() {
        let secs = |text| asks(&[("retry-after", text)], THEN).map(|wait| wait.as_secs());
        assert_eq!(secs("0"), Some(0));
        assert_eq!(secs("120"), Some(120));
        assert_eq!(secs("99999999999999999999999"), Some(u64::MAX));
        for unreadable in ["", "-1", "1.5", "+3", "soon", "1 2"] {
            assert_eq!(secs(unreadable), None, "{unreadable:?}");
        }
        assert_eq!(asks(&[], THEN), None);
    }

    #[test]
    fn retry_after_as_a_date_in_each_of_the_three_forms() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            let wait = |now| asks(&[("retry-after", date)], now).map(|wait| wait.as_secs());
            assert_eq!(wait(THEN - 7), Some(7), "{date}");
            assert_eq!(wait(THEN), Some(0), "{date}");
            assert_eq!(wait(THEN + 7), Some(0), "a date that has passed: {date}");
        }
    }

    #[test]
    fn a_date_is_measured_by_the_servers_own_clock_if_it_tells() {
        let fields = [
            ("date", "Sun, 06 Nov 1994 08:49:30 GMT"),
            ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ];
        assert_eq!(asks(&fields, 0), Some(Duration::from_secs(7)));
        assert_eq!(asks(&fields, THEN * 2), Some(Duration::from_secs(7)));
    }
}
