//! What a gRPC answer is worth.

use http::{HeaderMap, HeaderValue, StatusCode};

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
/// server wants no further attempt ([`Class::NoMore`]): a retry sends none, and a race awaits the copies
/// that are under way.
///
/// An error of the channel is retryable.
///
/// # Source
///
/// gRFC A6 (client retries) and the list of status codes of the gRPC specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcJudge;

/// A set of gRPC status codes: those after which another attempt may do better, named by their numbers.
///
/// # Examples
///
/// ```
/// use hedgerow_core::{Class, GrpcCodes};
///
/// let unavailable = GrpcCodes::new([14]);
/// let mut headers = http::HeaderMap::new();
/// assert_eq!(unavailable.class_of(14, &headers), Class::RETRYABLE);
/// assert_eq!(unavailable.class_of(5, &headers), Class::Fatal);
/// headers.insert("grpc-retry-pushback-ms", "-1".parse().unwrap());
/// assert_eq!(unavailable.class_of(14, &headers), Class::NoMore);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrpcCodes(u32);

impl GrpcCodes {
    /// Every code but `OK`.
    pub const ALL: Self = Self(((1 << (UNAUTHENTICATED + 1)) - 1) & !1);

    /// These codes; a number that is no code, and 0, which is no failure, are left out.
    #[must_use]
    pub fn new(codes: impl IntoIterator<Item = u32>) -> Self {
        let mask = |set, code| set | 1_u32.checked_shl(code).unwrap_or_default();
        Self(codes.into_iter().fold(0, mask) & Self::ALL.0)
    }

    /// Whether `code` is one of them.
    #[must_use]
    pub const fn contains(self, code: u32) -> bool {
        code <= UNAUTHENTICATED && self.0 & (1 << code) != 0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What a failure with `code` and these headers, or trailers, is worth: retryable if it is one of
    /// them, with what `grpc-retry-pushback-ms` asks, and fatal otherwise.
    #[must_use]
    pub fn class_of(self, code: u32, headers: &HeaderMap) -> Class {
        if !self.contains(code) {
            return Class::Fatal;
        }
        match pushback::grpc(headers) {
            None => Class::RETRYABLE,
            Some(Ok(after)) => Class::Retryable { after: Some(after) },
            Some(Err(Never)) => Class::NoMore,
        }
    }
}

/// Only at codes that say nothing of the request itself.
const PASSING: GrpcCodes = GrpcCodes(
    1 << UNKNOWN
        | 1 << DEADLINE_EXCEEDED
        | 1 << RESOURCE_EXHAUSTED
        | 1 << ABORTED
        | 1 << INTERNAL
        | 1 << UNAVAILABLE,
);

const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const PERMISSION_DENIED: u32 = 7;
const RESOURCE_EXHAUSTED: u32 = 8;
const ABORTED: u32 = 10;
const UNIMPLEMENTED: u32 = 12;
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

    /// The code with which an answer has ended in its head: `grpc-status`, or what the gRPC specification
    /// makes of an HTTP status without one. `None` if messages, and then trailers, follow.
    #[must_use]
    pub fn code_of(status: StatusCode, headers: &HeaderMap) -> Option<u32> {
        if let Some(told) = headers.get("grpc-status") {
            return Some(code(told));
        }
        Some(match status.as_u16() {
            200 => return None,
            400 => INTERNAL,
            401 => UNAUTHENTICATED,
            403 => PERMISSION_DENIED,
            404 => UNIMPLEMENTED,
            429 | 502..=504 => UNAVAILABLE,
            _ => UNKNOWN,
        })
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
    PASSING.class_of(code, headers)
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
    fn a_set_holds_the_codes_it_was_given_and_no_others() {
        let set = GrpcCodes::new([14, 0, 17, 99, 4]);
        let held: Vec<_> = (0..200).filter(|&code| set.contains(code)).collect();
        assert_eq!(held, [4, 14]);
        let all: Vec<_> = (0..200)
            .filter(|&code| GrpcCodes::ALL.contains(code))
            .collect();
        assert_eq!(all, (1..=16).collect::<Vec<_>>());
        assert!(GrpcCodes::new([0]).is_empty());
    }

    /// The table of the gRPC specification, "HTTP to gRPC status code mapping".
    #[test]
    fn an_answer_without_a_grpc_status_has_that_of_its_http_status() {
        let none = HeaderMap::new();
        for (status, code) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (429, 14),
            (500, 2),
            (502, 14),
            (503, 14),
            (504, 14),
            (302, 2),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(GrpcJudge::code_of(status, &none), Some(code), "{status}");
        }
        assert_eq!(GrpcJudge::code_of(StatusCode::OK, &none), None);
        let mut told = HeaderMap::new();
        told.insert("grpc-status", HeaderValue::from_static("5"));
        assert_eq!(GrpcJudge::code_of(StatusCode::OK, &told), Some(5));
        assert_eq!(GrpcJudge::code_of(StatusCode::BAD_GATEWAY, &told), Some(5));
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
        for never in ["-1", "soon", "", "1.5", "2147483648"] {
            assert_eq!(with("14", never), Class::NoMore, "{never:?}");
        }
        let twice = [
            ("grpc-status", "14"),
            ("grpc-retry-pushback-ms", "5"),
            ("grpc-retry-pushback-ms", "5"),
        ];
        assert_eq!(judged(200, &twice), Class::NoMore);
        assert_eq!(with("5", "250"), Class::Fatal);
        assert_eq!(with("0", "250"), Class::Success);
    }
}
