//! Waits for an answer or an error.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hedgerow_core::BoxError;
use http::Response;
use pin_project::pin_project;

use super::body::RespondBody;
use super::layer::{Explain, Form};

/// The response future of [`Respond`](super::Respond).
///
/// # Panics
///
/// When polled again after it was ready.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct RespondFuture<T, F> {
    /// `None` if the inner service was not ready, and once it has answered.
    #[pin]
    inner: Option<T>,
    failed: Option<BoxError>,
    form: Form,
    explain: F,
}

impl<T, F> RespondFuture<T, F> {
    pub(super) const fn sent(inner: T, form: Form, explain: F) -> Self {
        Self {
            inner: Some(inner),
            failed: None,
            form,
            explain,
        }
    }

    pub(super) const fn failed(error: BoxError, form: Form, explain: F) -> Self {
        Self {
            inner: None,
            failed: Some(error),
            form,
            explain,
        }
    }
}

impl<T, B, E, F> Future for RespondFuture<T, F>
where
    T: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    F: Explain,
{
    type Output = Result<Response<RespondBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let error = match this.inner.as_mut().as_pin_mut() {
            Some(inner) => {
                let result = ready!(inner.poll(cx));
                this.inner.set(None);
                match result {
                    Ok(answer) => return Poll::Ready(Ok(answer.map(RespondBody::inner))),
                    Err(error) => error.into(),
                }
            }
            None => match this.failed.take() {
                Some(error) => error,
                None => panic!("a response future was polled after it was ready"),
            },
        };
        Poll::Ready(Ok(this.form.answer(&error, this.explain)))
    }
}

impl<T, F> fmt::Debug for RespondFuture<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondFuture")
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
