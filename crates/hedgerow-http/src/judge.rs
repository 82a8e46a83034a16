//! What the answers of model providers are worth, before their bodies are read.

use hedgerow_core::{Class, Classify, HttpJudge, HttpResponse, Pushback};
use http::StatusCode;

/// Judges an answer of OpenAI's API, or of one that speaks like it.
///
/// As [`HttpJudge`], and besides
///
/// * 409 is retryable: a conflict over a lock that will be free;
/// * `x-should-retry: false` makes whatever is no success final, `true` makes it retryable;
/// * without a `Retry-After`, a rate of which nothing is left says when it is full again
///   ([`Pushback::wait`]).
///
/// What a stream tells of after its head is seen beneath an
/// [`AwaitFirstContentLayer`](crate::AwaitFirstContentLayer).
///
/// # Examples
///
/// ```
/// use hedgerow_core::{Class, Classify};
/// use hedgerow_http::{AnthropicJudge, OpenAiJudge};
/// use std::convert::Infallible;
///
/// let conflict = || Ok::<_, Infallible>(http::Response::builder().status(409).body(()).unwrap());
/// assert_eq!(OpenAiJudge.classify(&conflict()), Class::RETRYABLE);
/// assert_eq!(AnthropicJudge.classify(&conflict()), Class::Success);
/// ```
///
/// # Source
///
/// The error tables of both APIs, and what their own clients retry.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiJudge;

/// Judges an answer of Anthropic's API: as [`OpenAiJudge`] does, except that 409 is an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnthropicJudge;

impl<Res: HttpResponse, E> Classify<Res, E> for OpenAiJudge {
    #[inline]
    fn classify(&self, result: &Result<Res, E>) -> Class {
        judged(result, true)
    }
}

impl<Res: HttpResponse, E> Classify<Res, E> for AnthropicJudge {
    #[inline]
    fn classify(&self, result: &Result<Res, E>) -> Class {
        judged(result, false)
    }
}

#[inline]
fn judged<Res: HttpResponse, E>(result: &Result<Res, E>, conflicts_pass: bool) -> Class {
    let class = HttpJudge.classify(result);
    match result {
        Ok(answer) if answer.status().as_u16() >= 400 && answer.verdict().is_none() => {
            let passes = conflicts_pass && answer.status() == StatusCode::CONFLICT;
            refined(if passes { Class::RETRYABLE } else { class }, answer)
        }
        _ => class,
    }
}

/// What the headers of a refusal add to its status.
#[cold]
fn refined<Res: HttpResponse>(class: Class, answer: &Res) -> Class {
    let pushback = Pushback::of(answer.headers());
    let after = pushback.wait();
    match (pushback.again, class) {
        (Some(false), _) => Class::Fatal,
        (Some(true), _) | (None, Class::Retryable { .. }) => Class::Retryable { after },
        (None, class) => class,
    }
}
