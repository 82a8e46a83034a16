//! What each error of ours means to the caller of a server.

use std::error::Error;
use std::io;

use hedgerow_core::BoxError;
use hedgerow_http::{Refusal, RefusalKind, RespondLayer, Sent, StreamBroken, sent};

/// What `error` means to the caller of a server: errors of hedgerow's own, and failures of what is asked
/// further on.
///
/// The outermost error of the chain that is known decides:
///
/// | error | kind |
/// | --- | --- |
/// | `Overloaded`, by a rate alone | [`TooMany`](RefusalKind::TooMany), with its `retry_after` |
/// | `Overloaded`, by a limit of concurrency, a closed gate, a ledger out of reach, no resource | [`Overloaded`](RefusalKind::Overloaded), with its `retry_after` |
/// | `Overloaded`, because the deadline passed; because the caller cancelled; because it never fits | [`TimedOut`](RefusalKind::TimedOut); [`Cancelled`](RefusalKind::Cancelled); [`TooLarge`](RefusalKind::TooLarge) |
/// | `TimedOut`, `DeadlineExceeded`, alone or in a `RetryExhausted` | [`TimedOut`](RefusalKind::TimedOut) |
/// | `RetryExhausted` | what the error in it means; if that is not known [`Overloaded`](RefusalKind::Overloaded) where the service was not ready again, else [`TimedOut`](RefusalKind::TimedOut) |
/// | `BoxedRaceError` ([`RaceError::boxed`](crate::RaceError::boxed)): timed out; cancelled | [`TimedOut`](RefusalKind::TimedOut); [`Cancelled`](RefusalKind::Cancelled) |
/// | the same, all lost | what the primary's error means, or [`Upstream`](RefusalKind::Upstream) |
/// | `Cancelled` of `complete` | [`Cancelled`](RefusalKind::Cancelled) |
/// | [`StreamBroken`], a request that was never [`sent`](fn@sent), a connection that broke | [`Upstream`](RefusalKind::Upstream) |
/// | `SharedFailure`, `BatchError::Failed` | what the error in it means |
/// | anything else, such as the other `BatchError`s, `FlightCrashed`, a `BehindDeadline` | [`Internal`](RefusalKind::Internal) |
///
/// To give another kind to one of them, look for it by [`cause_ref`](crate::cause_ref) in a function of your
/// own, call this one for the rest, and hand it to [`RespondLayer::new`].
///
/// The text is the error's own where it is ours. Of other errors it says nothing: what they tell is for
/// the server's log.
///
/// # Examples
///
/// ```
/// use hedgerow::{DeadlineLayer, RefusalKind, refusal};
/// use std::time::Duration;
/// use tower::{BoxError, ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(DeadlineLayer::new(Duration::from_secs(1)))
///     .service_fn(async |_: ()| std::future::pending::<Result<(), BoxError>>().await);
/// let error = service.oneshot(()).await.unwrap_err();
/// assert_eq!(refusal(&error).kind(), RefusalKind::TimedOut);
/// # }
/// ```
#[must_use]
pub fn refusal(error: &BoxError) -> Refusal {
    let mut next: Option<&(dyn Error + 'static)> = Some(&**error);
    let mut otherwise = None;
    while let Some(error) = next {
        match meaning(error) {
            Meaning::Is(refusal) => return refusal,
            Meaning::Unless(refusal) => otherwise = otherwise.or(Some(refusal)),
            Meaning::Unknown => {}
        }
        // `io::Error::source` skips the error it wraps and starts at that one's source.
        next = match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
            Some(Some(inner)) => Some(inner),
            _ => error.source(),
        };
    }
    otherwise.unwrap_or_else(|| match sent(&**error) {
        Sent::Never => upstream(),
        Sent::Maybe => Refusal::new(RefusalKind::Internal, "internal error"),
    })
}

/// An error as its HTTP answer: [`refusal`], written out.
///
/// # Examples
///
/// ```
/// use hedgerow::{BoxError, respond};
///
/// let error: BoxError = std::io::Error::from(std::io::ErrorKind::ConnectionReset).into();
/// let answer: http::Response<String> = respond(error);
/// assert_eq!(answer.status(), 502);
/// ```
#[must_use]
pub fn respond<B: From<String>>(error: impl Into<BoxError>) -> http::Response<B> {
    refusal(&error.into()).to_http()
}

/// An error as its gRPC status, with pushback in the metadata: [`refusal`], written out.
#[cfg(feature = "tonic")]
#[must_use]
pub fn respond_grpc(error: impl Into<BoxError>) -> tonic::Status {
    refusal(&error.into()).to_status()
}

/// A layer that turns every error into the answer that [`refusal`] makes of it, over HTTP or gRPC as the
/// request is written: one line on a server, outside of all other layers.
///
/// # Examples
///
/// ```
/// use axum::Router;
/// use hedgerow::{AdmissionLayer, DeadlineLayer, responding};
/// use std::time::Duration;
/// use tower::ServiceBuilder;
///
/// let app: Router = Router::new().fallback(async || "hello").layer(
///     ServiceBuilder::new()
///         .layer(responding())
///         .layer(DeadlineLayer::new(Duration::from_secs(10)))
///         .layer(AdmissionLayer::concurrency(64)),
/// );
/// # let _ = app;
/// ```
#[must_use]
pub fn responding() -> RespondLayer<fn(&BoxError) -> Refusal> {
    RespondLayer::new(refusal)
}

/// What one error of a chain says.
enum Meaning {
    Is(Refusal),
    /// This, if nothing beneath it is known.
    #[cfg_attr(
        not(any(feature = "hedge", feature = "retry")),
        expect(dead_code, reason = "of races and retries alone")
    )]
    Unless(Refusal),
    Unknown,
}

fn upstream() -> Refusal {
    Refusal::new(RefusalKind::Upstream, "the server that was asked failed")
}

fn meaning(error: &(dyn Error + 'static)) -> Meaning {
    if error.is::<StreamBroken>() {
        return Meaning::Is(upstream());
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return of_io(error);
    }
    #[cfg(feature = "admission")]
    if let Some(refused) = error.downcast_ref::<hedgerow_admission::Overloaded>() {
        return Meaning::Is(of_overloaded(refused));
    }
    #[cfg(feature = "retry")]
    if error.is::<hedgerow_retry::TimedOut>() || error.is::<hedgerow_retry::DeadlineExceeded>() {
        return Meaning::Is(Refusal::new(RefusalKind::TimedOut, error.to_string()));
    }
    #[cfg(feature = "retry")]
    if let Some(exhausted) = error.downcast_ref::<hedgerow_retry::RetryExhausted>() {
        let not_ready = exhausted.reason == hedgerow_retry::StopReason::NotReady;
        let kind = if not_ready {
            RefusalKind::Overloaded
        } else {
            RefusalKind::TimedOut
        };
        return Meaning::Unless(Refusal::new(kind, error.to_string()));
    }
    #[cfg(feature = "hedge")]
    if let Some(race) = error.downcast_ref::<hedgerow_hedge::BoxedRaceError>() {
        return of_race(race);
    }
    #[cfg(feature = "complete")]
    if error.is::<crate::Cancelled>() {
        return Meaning::Is(Refusal::new(RefusalKind::Cancelled, error.to_string()));
    }
    Meaning::Unknown
}

/// A connection that broke. Files and the like fail with other kinds.
fn of_io(error: &io::Error) -> Meaning {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused
        | Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::NetworkDown
        | Kind::NotConnected
        | Kind::BrokenPipe => Meaning::Is(upstream()),
        _ => Meaning::Unknown,
    }
}

#[cfg(feature = "admission")]
fn of_overloaded(refused: &hedgerow_admission::Overloaded) -> Refusal {
    use hedgerow_admission::ShedReason as Reason;
    let kind = match refused.reason() {
        Reason::DeadlinePassed => RefusalKind::TimedOut,
        Reason::Cancelled => RefusalKind::Cancelled,
        Reason::TooLarge => RefusalKind::TooLarge,
        Reason::AskPanicked => RefusalKind::Internal,
        // Without a limit of concurrency it was a rate that held it back.
        Reason::QueueFull | Reason::WaitedTooLong | Reason::Standing
            if refused.limit().is_none() =>
        {
            RefusalKind::TooMany
        }
        _ => RefusalKind::Overloaded,
    };
    let refusal = Refusal::new(kind, refused.to_string());
    match refused.retry_after() {
        Some(after) => refusal.retry_after(after),
        None => refusal,
    }
}

#[cfg(feature = "hedge")]
fn of_race(race: &hedgerow_hedge::BoxedRaceError) -> Meaning {
    use hedgerow_hedge::RaceErrorKind as Kind;
    let race = race.get_ref();
    match race.kind() {
        Kind::TimedOut { .. } => Meaning::Is(Refusal::new(
            RefusalKind::TimedOut,
            "no attempt was answered in time",
        )),
        Kind::Cancelled => Meaning::Is(Refusal::new(RefusalKind::Cancelled, "cancelled")),
        Kind::AllLost | Kind::Fatal { .. } => Meaning::Unless(upstream()),
        _ => Meaning::Unknown,
    }
}
