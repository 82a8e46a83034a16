//! What a server asks of those who come back.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

use super::times::{decimal, http_date, rfc_3339, text, until, wall_clock, whole, with_units};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
/// A bare number beyond this is a point in time to those who send it, not a time to wait.
const LONGEST_BARE: Duration = Duration::from_secs(86_400);

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const GRPC_PUSHBACK_MS: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What an answer says of coming back: whether, when, and how much is left of the rates.
///
/// | header | read as |
/// | --- | --- |
/// | `Retry-After` | [`after`](Self::after): seconds, or the time until an HTTP date |
/// | `retry-after-ms` | `after`, before `Retry-After` |
/// | `grpc-retry-pushback-ms` | `after`, before both; negative or unreadable: [`again`](Self::again) is `Some(false)` |
/// | `x-should-retry` | `again` |
/// | `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` | [`requests`](Self::requests), [`tokens`](Self::tokens); a reset as `6m0s`, `1s`, `20ms`, or bare seconds up to a day |
/// | `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}` | the same, [`input_tokens`](Self::input_tokens), [`output_tokens`](Self::output_tokens); a reset as an RFC 3339 date |
///
/// A date is compared with the `Date` of the same answer, so that clocks which differ do no harm. What
/// cannot be read is as if it were not there.
///
/// # Examples
///
/// ```
/// use hedgerow_core::Pushback;
/// use std::time::Duration;
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("x-ratelimit-remaining-tokens", "0".parse().unwrap());
/// headers.insert("x-ratelimit-reset-tokens", "6m0s".parse().unwrap());
/// let pushback = Pushback::of(&headers);
/// assert_eq!(pushback.tokens.resets_in, Some(Duration::from_secs(360)));
/// // Nothing is left, so before that it makes no sense to come back.
/// assert_eq!(pushback.wait(), Some(Duration::from_secs(360)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pushback {
    /// How long the server wants to be left alone.
    pub after: Option<Duration>,
    /// Whether the server wants the request again at all, if it says so.
    pub again: Option<bool>,
    /// The rate of requests.
    pub requests: Quota,
    /// The rate of tokens.
    pub tokens: Quota,
    /// The rate of tokens in prompts.
    pub input_tokens: Quota,
    /// The rate of tokens in answers.
    pub output_tokens: Quota,
}

/// A rate, as an answer tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// How much there is when it is full.
    pub limit: Option<u64>,
    /// How much is left.
    pub remaining: Option<u64>,
    /// When it is full again, counted from the answer.
    pub resets_in: Option<Duration>,
}

impl Quota {
    /// Whether nothing is left of it.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.remaining == Some(0)
    }

    /// Whether the answer said nothing of it.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

impl Pushback {
    /// Reads the headers of an answer.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        Self::read(headers, wall_clock)
    }

    /// Like [`of`](Self::of), with a clock that is asked where a date has no `Date` beside it.
    #[must_use]
    pub fn read(headers: &HeaderMap, now: impl Fn() -> SystemTime) -> Self {
        let mut pushback = Self {
            after: asked(headers, &now),
            again: text(headers, SHOULD_RETRY).and_then(|text| match text {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            }),
            ..Self::default()
        };
        match grpc(headers) {
            None => {}
            Some(Ok(after)) => pushback.after = Some(after),
            Some(Err(Never)) => pushback.again = Some(false),
        }
        pushback.read_quotas(headers, &now);
        pushback
    }

    /// How long to wait before coming back: what the server asked for; if it asked for nothing, until
    /// every rate is full again of which nothing is left. Nothing if it wants the request no more.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        if self.again == Some(false) {
            return None;
        }
        let used_up = self.quotas().into_iter().filter(Quota::is_used_up);
        self.after
            .or_else(|| used_up.filter_map(|quota| quota.resets_in).max())
    }

    /// Requests, tokens, input tokens, output tokens.
    const fn quotas(&self) -> [Quota; 4] {
        [
            self.requests,
            self.tokens,
            self.input_tokens,
            self.output_tokens,
        ]
    }

    fn read_quotas(&mut self, headers: &HeaderMap, now: &impl Fn() -> SystemTime) {
        for (name, value) in headers {
            let name = name.as_str();
            let told = name.strip_prefix("x-ratelimit-").map_or_else(
                || {
                    let (of, what) = name
                        .strip_prefix("anthropic-ratelimit-")?
                        .rsplit_once('-')?;
                    Some((what, of))
                },
                |rest| rest.split_once('-'),
            );
            let Some((what, of)) = told else { continue };
            let quota = match of {
                "requests" => &mut self.requests,
                "tokens" => &mut self.tokens,
                "input-tokens" => &mut self.input_tokens,
                "output-tokens" => &mut self.output_tokens,
                _ => continue,
            };
            let Ok(text) = std::str::from_utf8(value.as_bytes()) else {
                continue;
            };
            let text = text.trim();
            match what {
                "limit" => quota.limit = quota.limit.or(whole(text)),
                "remaining" => quota.remaining = quota.remaining.or(whole(text)),
                "reset" => {
                    quota.resets_in = quota.resets_in.or_else(|| reset(text, headers, now));
                }
                _ => {}
            }
        }
    }
}

fn reset(text: &str, headers: &HeaderMap, now: &impl Fn() -> SystemTime) -> Option<Duration> {
    with_units(text)
        .or_else(|| decimal(text, SECOND).filter(|bare| *bare <= LONGEST_BARE))
        .or_else(|| rfc_3339(text).map(|date| until(date, headers, now)))
}

/// How long an HTTP answer asks to be left alone: `retry-after-ms`, or else `Retry-After`.
pub(super) fn asked(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    text(headers, RETRY_AFTER_MS)
        .and_then(|ms| decimal(ms, MS))
        .or_else(|| retry_after(headers, now))
}

/// How long `Retry-After` asks to wait: its seconds, or the time until its date.
///
/// A date is compared with the `Date` of the same answer, so that clocks which differ do no harm; `now`
/// is asked only if there is none. A date that has passed asks for no wait. What cannot be read is
/// `None`. For everything else that asks to wait see [`Pushback`].
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
    let text = text(headers, header::RETRY_AFTER)?;
    // More seconds than a number can hold are still a wish to wait: whoever waits has a cap.
    whole(text)
        .map(Duration::from_secs)
        .or_else(|| http_date(text).map(|date| until(date, headers, now)))
}

/// The server wants no further attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Never;

/// What `grpc-retry-pushback-ms` says, if it is there. What cannot be read, what is no signed number of
/// 32 bits and what is said twice means never, as gRFC A6 wants.
pub(super) fn grpc(headers: &HeaderMap) -> Option<Result<Duration, Never>> {
    let mut values = headers.get_all(GRPC_PUSHBACK_MS).iter();
    let ms = values.next()?.to_str().ok().and_then(whole);
    let ms = ms.filter(|&ms| ms <= i32::MAX as u64 && values.next().is_none());
    Some(ms.map(Duration::from_millis).ok_or(Never))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    fn at(secs: u64) -> impl Fn() -> SystemTime {
        move || SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn asks(fields: &[(&'static str, &str)], now: u64) -> Option<Duration> {
        let headers = headers(fields);
        let read = retry_after(&headers, at(now));
        assert_eq!(Pushback::read(&headers, at(now)).after, read);
        read
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

    #[test]
    fn milliseconds_go_before_seconds_and_grpcs_before_both() {
        let after =
            |fields: &[(&'static str, &str)]| Pushback::read(&headers(fields), at(THEN)).after;
        let ms = |ms| Some(Duration::from_micros((ms * 1_000.0) as u64));
        let seconds = ("retry-after", "9");
        assert_eq!(after(&[seconds, ("retry-after-ms", "250")]), ms(250.0));
        assert_eq!(after(&[seconds, ("retry-after-ms", "0.5")]), ms(0.5));
        assert_eq!(after(&[seconds, ("retry-after-ms", "soon")]), ms(9_000.0));
        assert_eq!(after(&[seconds, ("retry-after-ms", "-1")]), ms(9_000.0));
        let grpc = ("grpc-retry-pushback-ms", "30");
        assert_eq!(after(&[seconds, ("retry-after-ms", "250"), grpc]), ms(30.0));
    }

    #[test]
    fn never_again_is_said_by_grpc_and_by_word() {
        let again = |fields: &[(&'static str, &str)]| Pushback::of(&headers(fields)).again;
        for never in ["-1", "-0", "soon", "", "1.5"] {
            assert_eq!(
                again(&[("grpc-retry-pushback-ms", never)]),
                Some(false),
                "{never:?}"
            );
        }
        assert_eq!(again(&[("grpc-retry-pushback-ms", "0")]), None);
        assert_eq!(again(&[("x-should-retry", "false")]), Some(false));
        assert_eq!(again(&[("x-should-retry", "true")]), Some(true));
        assert_eq!(again(&[("x-should-retry", "perhaps")]), None);
        let never = headers(&[("x-should-retry", "false"), ("retry-after", "9")]);
        assert_eq!(Pushback::of(&never).wait(), None);
    }

    #[test]
    fn openais_rates_are_read() {
        let pushback = Pushback::of(&headers(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]));
        let quota = |limit, remaining, secs| Quota {
            limit: Some(limit),
            remaining: Some(remaining),
            resets_in: Some(Duration::from_secs(secs)),
        };
        assert_eq!(pushback.requests, quota(60, 0, 1));
        assert_eq!(pushback.tokens, quota(150_000, 149_984, 360));
        assert!(pushback.input_tokens.is_unknown());
        // Tokens are left: only the requests have to be waited for.
        assert_eq!(pushback.wait(), Some(Duration::from_secs(1)));
        assert_eq!(pushback.after, None);
    }

    #[test]
    fn anthropics_rates_are_read_by_its_own_clock() {
        let pushback = Pushback::read(
            &headers(&[
                ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                (
                    "anthropic-ratelimit-input-tokens-reset",
                    "1994-11-06T08:49:49Z",
                ),
                ("anthropic-ratelimit-output-tokens-remaining", "0"),
                (
                    "anthropic-ratelimit-output-tokens-reset",
                    "1994-11-06T08:49:40Z",
                ),
                ("anthropic-ratelimit-tokens-remaining", "0"),
                ("anthropic-ratelimit-tokens-reset", "1994-11-06T08:00:00Z"),
            ]),
            at(0),
        );
        assert_eq!(pushback.requests.limit, Some(50));
        let resets = |quota: Quota| quota.resets_in.map(|wait| wait.as_secs());
        assert_eq!(resets(pushback.input_tokens), Some(12));
        assert_eq!(resets(pushback.output_tokens), Some(3));
        assert_eq!(resets(pushback.tokens), Some(0), "it has passed");
        assert_eq!(pushback.wait(), Some(Duration::from_secs(12)));
    }

    #[test]
    fn strange_rates_are_as_if_they_were_not_there() {
        let pushback = Pushback::of(&headers(&[
            ("x-ratelimit-limit-requests", "many"),
            ("x-ratelimit-remaining-requests", "-1"),
            ("x-ratelimit-reset-requests", "1700000000"),
            ("x-ratelimit-reset-tokens", "60"),
            ("x-ratelimit-limit", "5"),
            ("x-ratelimit-reset", "1700000000"),
            ("x-ratelimit-", "5"),
            ("anthropic-ratelimit-tokens", "5"),
            ("anthropic-ratelimit-unified-status", "allowed"),
        ]));
        assert!(pushback.requests.is_unknown());
        assert_eq!(pushback.tokens.resets_in, Some(Duration::from_secs(60)));
        assert_eq!(pushback.wait(), None);
    }
}
