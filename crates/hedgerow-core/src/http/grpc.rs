//! What a gRPC answer is worth.

use http::{HeaderMap, HeaderValue};

use crate::class::{Class, Classify};
use crate::http::{HttpJudge, HttpResponse};

use super::pushback::{self, Never};
use super::times::whole;

/// Judges an answer by the `grpc-status` in its headers.
///
/// A server that fails without having sent a message puts its status into the headers ("trailers
/// only"), and only there can it be seen before the answer is read. A status that comes behind
/// messages, in the trailers, is not seen: such an answer has won when its headers arrived. One that comes
/// instead of a first message is seen beneath an `AwaitFirstFrameLayer` of hedgerow-http, which leaves a
/// [`Verdict`](crate::Verdict).
///
/// | `grpc-status` | what it is worth | to a race |
/// | --- | --- | --- |
/// | none, `OK` | what the HTTP status says ([`HttpJudge`]) | wins, as a rule |
/// | `UNKNOWN`, `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED`, `ABORTED`, `INTERNAL`, `UNAVAILABLE` | [`Retryable`](Class::Retryable) | loses: another attempt may do better |
/// | a number that is no code, or no number | as `UNKNOWN`, which the gRPC specification makes of it | loses |
/// | any other: `INVALID_ARGUMENT`, `NOT_FOUND`, … | [`Fatal`](Class::Fatal) | ends the race: another attempt would end the same way |
///
/// A status that is retryable may carry `grpc-retry-pushback-ms`. A number of milliseconds becomes the
/// `after` of [`Class::Retryable`], for layers that wait; a hedge sends its next copy, if one is left
/// and paid, without waiting. A negative one, or one that cannot be read, means that the
/// server wants no further attempt: it is fatal, since to a race a loss would send the next copy. gRPC's
/// own hedging would still await the copies that are under way; here the caller gets the refusal at
/// once.
///
/// An error of the channel is retryable.
///
/// # Source
///
/// gRFC A6 (client retries) and the list of status codes of the gRPC specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcJudge;

const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const RESOURCE_EXHAUSTED: u32 = 8;
const ABORTED: u32 = 10;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;
/// The last code there is.
const UNAUTHENTICATED: u32 = 16;

impl<Res: HttpResponse, E> Classify<Res, E> for GrpcJudge {
    #[inline]
    fn classify(&self, result: &Result<Res, E>) -> Class {
        let Ok(response) = result else {
            return Class::RETRYABLE;
        };
        if let Some(class) = response.verdict() {
            return class;
        }
        let headers = response.headers();
        Self::status_of(headers).unwrap_or_else(|| HttpJudge::of(response.status(), headers))
    }
}

impl GrpcJudge {
    /// What the `grpc-status` in these headers or trailers is worth, if it is there and not `OK`.
    #[must_use]
    pub fn status_of(headers: &HeaderMap) -> Option<Class> {
        match headers.get("grpc-status").map(code) {
            None | Some(0) => None,
            Some(code) => Some(failed(code, headers)),
        }
    }
}

/// The code of a status; what cannot be read is `UNKNOWN`.
fn code(status: &HeaderValue) -> u32 {
    status
        .to_str()
        .ok()
        .and_then(whole)
        .filter(|&code| code <= u64::from(UNAUTHENTICATED))
        .map_or(UNKNOWN, |code| code as u32)
}

#[cold]
fn failed(code: u32, headers: &HeaderMap) -> Class {
    match code {
        UNKNOWN | DEADLINE_EXCEEDED | RESOURCE_EXHAUSTED | ABORTED | INTERNAL | UNAVAILABLE => {
            match pushback::grpc(headers) {
                None => Class::RETRYABLE,
                Some(Ok(after)) => Class::Retryable { after: Some(after) },
                Some(Err(Never)) => Class::Fatal,
            }
        }
        _ => Class::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Response;

    use super::*;

    fn judged(status: u16, headers: &[(&'static str, &str)]) -> Class {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(()).expect("a valid response");
        GrpcJudge.classify(&Ok::<_, ()>(response))
    }

    #[test]
    fn each_code_has_its_class() {
        for code in 0..=20 {
            let wanted = match code {
                0 => Class::Success,
                2 | 4 | 8 | 10 | 13 | 14 | 17.. => Class::RETRYABLE,
                _ => Class::Fatal,
            };
            let text = code.to_string();
            assert_eq!(judged(200, &[("grpc-status", &text)]), wanted, "{code}");
        }
        for unreadable in ["", "-1", "x", "+0", "14 ", "99999999999999999999"] {
            let class = judged(200, &[("grpc-status", unreadable)]);
            // An empty header value is no code either.
            assert_eq!(class, Class::RETRYABLE, "{unreadable:?}");
        }
    }

    #[test]
    fn without_a_status_the_answer_is_judged_as_http() {
        assert_eq!(judged(200, &[]), Class::Success);
        assert_eq!(judged(503, &[]), Class::RETRYABLE);
        assert_eq!(judged(429, &[("grpc-status", "0")]), Class::RETRYABLE);
        assert_eq!(judged(503, &[("grpc-status", "5")]), Class::Fatal);
        assert_eq!(
            GrpcJudge.classify(&Err::<Response<()>, _>(())),
            Class::RETRYABLE
        );
    }

    #[test]
    fn pushback_says_when_or_never() {
        let with = |code, ms| {
            judged(
                200,
                &[("grpc-status", code), ("grpc-retry-pushback-ms", ms)],
            )
        };
        let after = |ms| Class::Retryable {
            after: Some(Duration::from_millis(ms)),
        };
        assert_eq!(with("14", "250"), after(250));
        assert_eq!(with("8", "0"), after(0));
        for never in ["-1", "soon", "", "1.5"] {
            assert_eq!(with("14", never), Class::Fatal, "{never:?}");
        }
        assert_eq!(with("5", "250"), Class::Fatal);
        assert_eq!(with("0", "250"), Class::Success);
    }
}
