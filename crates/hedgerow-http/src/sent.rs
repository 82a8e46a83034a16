//! Whether a request that failed may have reached the server.

use std::error::Error;
use std::fmt;
use std::io;

use hedgerow_core::{Attempt, BoxError, Class, Classify};

/// Whether a request that failed may have been acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Nothing of it has reached a server that would act on it: it may be sent again, whatever it is.
    Never,
    /// It may have been received, and may have been acted upon.
    Maybe,
}

/// Whether the request that failed with `error` may have been acted upon.
///
/// [`Sent::Never`] is said only where it is certain: anywhere in the chain of causes,
///
/// * an [`io::Error`] of a connection that was refused, or of an address that could not be used;
/// * with the feature `hyper`: an error of connecting of hyper-util's client, which reqwest's is too, a request that hyper gave back
///   unsent, and an HTTP/2 stream that the server refused (`REFUSED_STREAM`, RFC 9113 §8.7);
/// * with the feature `tonic`: tonic's error of connecting.
///
/// A connection that was reset or dropped, a timeout, a host that cannot be reached in the middle of a
/// call: all of them are [`Sent::Maybe`].
///
/// # Examples
///
/// ```
/// use hedgerow_http::{Sent, sent};
/// use std::io;
///
/// assert_eq!(sent(&io::Error::from(io::ErrorKind::ConnectionRefused)), Sent::Never);
/// assert_eq!(sent(&io::Error::from(io::ErrorKind::ConnectionReset)), Sent::Maybe);
/// ```
#[must_use]
pub fn sent(error: &(dyn Error + 'static)) -> Sent {
    let mut next = Some(error);
    while let Some(error) = next {
        if was_never_sent(error) {
            return Sent::Never;
        }
        // `io::Error::source` skips the error it wraps and starts at that one's source.
        next = match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
            Some(Some(inner)) => Some(inner),
            _ => error.source(),
        };
    }
    Sent::Maybe
}

/// What one error of the chain says.
fn was_never_sent(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable
        );
    }
    #[cfg(feature = "hyper")]
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        return error.is_connect();
    }
    #[cfg(feature = "hyper")]
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_canceled();
    }
    #[cfg(feature = "hyper")]
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    }
    #[cfg(feature = "tonic")]
    if error.is::<tonic::ConnectError>() {
        return true;
    }
    false
}

/// A judge for requests that must not be acted upon twice: an error is retryable only if the request
/// was never [`sent`].
///
/// Answers, and what timed out, are `J`'s to judge, but a timeout is final: nobody knows how far the
/// request came. Let such requests be copied by `.replay_with(…)` or the
/// [`Idempotent`](hedgerow_core::Idempotent) mark, and put this judge on a *retry*; a hedge sends a second
/// copy while the first is under way, whatever a judge says. A retry's own timeout of an attempt is not
/// judged: say `.timeouts_are_final()` there.
///
/// # Examples
///
/// ```
/// use hedgerow_core::{BoxError, Class, Classify, HttpJudge};
/// use hedgerow_http::UnsentOnly;
/// use std::io;
///
/// let judge = UnsentOnly::new(HttpJudge);
/// let failed = |kind| -> Result<http::Response<()>, BoxError> { Err(io::Error::from(kind).into()) };
/// assert_eq!(judge.classify(&failed(io::ErrorKind::ConnectionRefused)), Class::RETRYABLE);
/// assert_eq!(judge.classify(&failed(io::ErrorKind::ConnectionReset)), Class::Fatal);
/// ```
#[derive(Clone, Copy)]
pub struct UnsentOnly<J, F = fn(&(dyn Error + 'static)) -> bool> {
    judge: J,
    also: F,
}

impl<J> UnsentOnly<J> {
    /// Leaves answers to `judge`.
    #[must_use]
    pub fn new(judge: J) -> Self {
        Self {
            judge,
            also: |_| false,
        }
    }
}

impl<J, F> UnsentOnly<J, F> {
    /// Also counts those errors as never sent of which `also` says so: a refusal of a queue in the same
    /// process, for one. Defaults to none.
    #[must_use]
    pub fn also<G>(self, also: G) -> UnsentOnly<J, G>
    where
        G: Fn(&(dyn Error + 'static)) -> bool,
    {
        UnsentOnly {
            judge: self.judge,
            also,
        }
    }
}

impl<J, F, Res> Classify<Res, BoxError> for UnsentOnly<J, F>
where
    J: Classify<Res, BoxError>,
    F: Fn(&(dyn Error + 'static)) -> bool,
{
    fn classify(&self, result: &Result<Res, BoxError>) -> Class {
        let class = self.judge.classify(result);
        match (class, result) {
            (Class::Retryable { .. }, Err(error)) => {
                if sent(&**error) == Sent::Never || (self.also)(&**error) {
                    class
                } else {
                    Class::Fatal
                }
            }
            (Class::TimedOut, _) => Class::Fatal,
            (class, _) => class,
        }
    }

    fn wants_losses(&self) -> bool {
        self.judge.wants_losses()
    }

    fn all_lost(&self, results: &[(Attempt, &Result<Res, BoxError>)]) {
        self.judge.all_lost(results);
    }
}

impl<J: fmt::Debug, F> fmt::Debug for UnsentOnly<J, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnsentOnly").field(&self.judge).finish()
    }
}
