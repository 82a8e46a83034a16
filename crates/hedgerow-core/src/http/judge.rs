//! What an HTTP answer is worth: one classifier for hedges, retries, admission and statistics.

use http::{HeaderMap, StatusCode};

use crate::class::{Class, Classify};
use crate::http::HttpResponse;

use super::pushback::asked;
use super::times::wall_clock;

/// A server that is overloaded says so by this status, which has no name of its own.
const OVERLOADED: u16 = 529;

/// Judges an HTTP answer by its status.
///
/// | status | what it is worth |
/// | --- | --- |
/// | 408, 429, 5xx but 501 (529 too) | [`Retryable`](Class::Retryable), with what `Retry-After` or `retry-after-ms` asks |
/// | 501 | [`Fatal`](Class::Fatal): the server cannot do it, whoever asks |
/// | any other | [`Success`](Class::Success): an answer, whatever it says |
///
/// An error (a connection that was refused, reset or dropped) is retryable. Nothing is judged by its
/// text. What a layer beneath has found out about the answer ([`Verdict`](crate::Verdict)) goes before
/// its status.
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
            after: asked(headers, wall_clock),
        }
    } else {
        Class::Success
    }
}

impl<Res: HttpResponse, E> Classify<Res, E> for HttpJudge {
    #[inline]
    fn classify(&self, result: &Result<Res, E>) -> Class {
        match result {
            Ok(response) => response
                .verdict()
                .unwrap_or_else(|| Self::of(response.status(), response.headers())),
            Err(_) => Class::RETRYABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;
    use crate::http::Verdict;

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

    #[test]
    fn what_a_layer_beneath_has_found_goes_before_the_status() {
        for class in [Class::Success, Class::RETRYABLE, Class::Fatal] {
            for status in [200, 404, 429, 501, 503] {
                let mut response = Response::builder().status(status).body(()).expect("valid");
                response.extensions_mut().insert(Verdict(class));
                assert_eq!(
                    HttpJudge.classify(&Ok::<_, ()>(response)),
                    class,
                    "{status}"
                );
            }
        }
    }
}
