//! What answers and errors are worth.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use hedgerow_core::{BoxError, Class, Classify, HttpJudge, Verdict};
use hedgerow_http::{AnthropicJudge, OpenAiJudge, Sent, UnsentOnly, sent};
use http::Response;

type Told = Result<Response<()>, BoxError>;

fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Told {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Ok(response.body(()).expect("valid"))
}

const fn after(secs: u64) -> Class {
    Class::Retryable {
        after: Some(Duration::from_secs(secs)),
    }
}

/// E2: what HTTP's judge retries, and 409 in the one for `OpenAI` only.
#[test]
fn a_409_is_retried_by_openais_judge_and_by_no_other() {
    for status in 100..=599 {
        let told = answer(status, &[]);
        let http = HttpJudge.classify(&told);
        assert_eq!(AnthropicJudge.classify(&told), http, "{status}");
        let wanted = if status == 409 {
            Class::RETRYABLE
        } else {
            http
        };
        assert_eq!(OpenAiJudge.classify(&told), wanted, "{status}");
    }
    assert_eq!(HttpJudge.classify(&answer(529, &[])), Class::RETRYABLE);
    assert_eq!(HttpJudge.classify(&answer(409, &[])), Class::Success);
}

#[test]
fn the_server_has_the_last_word_on_trying_again() {
    let no = ("x-should-retry", "false");
    let yes = ("x-should-retry", "true");
    for status in [400, 404, 409, 429, 500, 501, 529] {
        let classes = [no, yes].map(|word| {
            let told = answer(status, &[word]);
            [OpenAiJudge.classify(&told), AnthropicJudge.classify(&told)]
        });
        assert_eq!(
            classes,
            [[Class::Fatal; 2], [Class::RETRYABLE; 2]],
            "{status}"
        );
    }
    assert_eq!(OpenAiJudge.classify(&answer(200, &[no])), Class::Success);
    assert_eq!(
        OpenAiJudge.classify(&answer(429, &[yes, ("retry-after", "7")])),
        after(7)
    );
}

#[test]
fn a_rate_that_is_used_up_says_when_to_come_back() {
    let used_up = [
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ];
    assert_eq!(OpenAiJudge.classify(&answer(429, &used_up)), after(360));
    assert_eq!(HttpJudge.classify(&answer(429, &used_up)), Class::RETRYABLE);
    let asked = [used_up[0], used_up[1], ("retry-after", "2")];
    assert_eq!(OpenAiJudge.classify(&answer(429, &asked)), after(2));
    let anthropic = [
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "1994-11-06T08:49:47Z"),
    ];
    assert_eq!(AnthropicJudge.classify(&answer(429, &anthropic)), after(10));
}

#[test]
fn a_verdict_from_beneath_stands() {
    for status in [200, 409, 429] {
        let mut told = answer(status, &[("x-should-retry", "true")]);
        if let Ok(answer) = &mut told {
            answer.extensions_mut().insert(Verdict(Class::Fatal));
        }
        assert_eq!(OpenAiJudge.classify(&told), Class::Fatal, "{status}");
        assert_eq!(AnthropicJudge.classify(&told), Class::Fatal, "{status}");
    }
    assert_eq!(
        OpenAiJudge.classify(&Told::Err("409".into())),
        Class::RETRYABLE
    );
}

/// An error with a cause, as clients wrap them.
#[derive(Debug)]
struct Wrapped(BoxError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it failed")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

fn of(kind: io::ErrorKind) -> BoxError {
    io::Error::from(kind).into()
}

#[test]
fn never_sent_is_only_said_where_it_is_certain() {
    use io::ErrorKind as Kind;
    for never in [Kind::ConnectionRefused, Kind::AddrNotAvailable] {
        let nested = Wrapped(io::Error::other(Wrapped(of(never))).into());
        assert_eq!(sent(&*of(never)), Sent::Never, "{never}");
        assert_eq!(sent(&nested), Sent::Never, "{never}, however deep");
    }
    for maybe in [
        Kind::ConnectionReset,
        Kind::ConnectionAborted,
        Kind::BrokenPipe,
        Kind::UnexpectedEof,
        Kind::TimedOut,
        Kind::HostUnreachable,
        Kind::NetworkUnreachable,
        Kind::NotConnected,
        Kind::Other,
    ] {
        assert_eq!(sent(&Wrapped(of(maybe))), Sent::Maybe, "{maybe}");
    }
    assert_eq!(sent(&*BoxError::from("connection refused")), Sent::Maybe);
}

#[cfg(feature = "hyper")]
#[test]
fn a_stream_that_the_server_refused_was_never_sent() {
    // Ours to refuse is not theirs: only what came from the peer says so.
    let own = h2::Error::from(h2::Reason::REFUSED_STREAM);
    assert_eq!(sent(&own), Sent::Maybe);
    assert_eq!(
        sent(&h2::Error::from(h2::Reason::INTERNAL_ERROR)),
        Sent::Maybe
    );
}

#[test]
fn what_must_not_happen_twice_is_only_retried_if_it_was_never_sent() {
    let judge = UnsentOnly::new(HttpJudge);
    let failed = |kind| Told::Err(of(kind));
    assert_eq!(
        judge.classify(&failed(io::ErrorKind::ConnectionRefused)),
        Class::RETRYABLE
    );
    assert_eq!(
        judge.classify(&failed(io::ErrorKind::ConnectionReset)),
        Class::Fatal
    );
    assert_eq!(judge.classify(&answer(503, &[])), Class::RETRYABLE);
    assert_eq!(judge.classify(&answer(200, &[])), Class::Success);
    let timed_out = UnsentOnly::new(|_: &Told| Class::TimedOut);
    assert_eq!(timed_out.classify(&Told::Err("late".into())), Class::Fatal);

    let also = judge.also(|error: &(dyn Error + 'static)| error.is::<fmt::Error>());
    assert_eq!(
        also.classify(&Told::Err(fmt::Error.into())),
        Class::RETRYABLE
    );
    assert_eq!(
        also.classify(&failed(io::ErrorKind::ConnectionReset)),
        Class::Fatal
    );
}
