//! What the end of an attempt is worth to a method's policy.

use std::error::Error;

use hedgerow_core::{BoxError, Class, Classify, GrpcCodes, GrpcJudge, HttpResponse, cause_ref};
use hedgerow_http::RefusalKind;
use hedgerow_retry::{DeadlineExceeded, TimedOut};
use tonic::{Code, Status};

use crate::respond::refusal;

/// Judges an attempt by a method's own set of codes.
///
/// An answer whose head has come without a status is a success, whatever follows: from then on nothing is
/// sent again. An error of the channel has the code that tonic gives to it, most often `UNAVAILABLE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CodeJudge {
    pub(super) codes: GrpcCodes,
}

/// How an attempt has ended, to the throttle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Success,
    /// A failure that speaks of the server.
    Failure,
    /// One that speaks of the request.
    Nothing,
}

impl CodeJudge {
    pub(super) fn told<Res: HttpResponse>(self, result: &Result<Res, BoxError>) -> Told {
        match self.classify(result) {
            Class::Success => Told::Success,
            Class::Retryable { .. } | Class::TimedOut | Class::NoMore => Told::Failure,
            // Also after a code that is not in the set a server may want no further attempt.
            Class::Fatal => match (CodeJudge {
                codes: GrpcCodes::ALL,
            })
            .classify(result)
            {
                Class::NoMore => Told::Failure,
                _ => Told::Nothing,
            },
        }
    }
}

impl<Res: HttpResponse> Classify<Res, BoxError> for CodeJudge {
    fn classify(&self, result: &Result<Res, BoxError>) -> Class {
        match result {
            Ok(answer) => match GrpcJudge::code_of(answer.status(), answer.headers()) {
                None | Some(0) => Class::Success,
                Some(code) => self.codes.class_of(code, answer.headers()),
            },
            Err(error) => match cause_ref::<Status>(&**error) {
                Some(status) => {
                    let headers = status.metadata().clone().into_headers();
                    self.codes.class_of(status.code() as u32, &headers)
                }
                None => self
                    .codes
                    .class_of(code_of_error(&**error) as u32, &http::HeaderMap::new()),
            },
        }
    }
}

/// The code of an error that tells of no status, as tonic's clients would have it.
fn code_of_error(error: &(dyn Error + 'static)) -> Code {
    if cause_ref::<DeadlineExceeded>(error).is_some()
        || cause_ref::<TimedOut>(error).is_some()
        || cause_ref::<tonic::TimeoutExpired>(error).is_some()
    {
        return Code::DeadlineExceeded;
    }
    Code::Unavailable
}

/// An error as the generated client is to see it: those of the layers, and times that are over, as a status.
pub(super) fn as_status(error: BoxError) -> BoxError {
    if cause_ref::<Status>(&*error).is_some() {
        return error;
    }
    let over = cause_ref::<tonic::TimeoutExpired>(&*error).is_some();
    let refusal = refusal(&error);
    let mut status = if over {
        Status::deadline_exceeded("the call's time is over")
    } else if matches!(
        refusal.kind(),
        RefusalKind::Upstream | RefusalKind::Internal
    ) {
        return error;
    } else {
        refusal.to_status()
    };
    status.set_source(error.into());
    status.into()
}
