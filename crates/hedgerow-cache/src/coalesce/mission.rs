//! What is flown: the claim, the one call, and its landing.

use std::sync::Arc;

use hedgerow_core::BoxError;
use tower_service::Service;

use super::error::SharedFailure;
use super::rules::{CoalesceRules, is_answer};
use super::share::Share;
use crate::lead::{Claim, Lead, hand_over, publish};
use crate::oneshot::Oneshot;

/// What a flight lands with.
pub(crate) enum Outcome<T> {
    /// An answer that the judge takes.
    Answer(T),
    /// An answer that he refuses.
    Refused(T),
    /// An error, until somebody takes it.
    Failed(Failure),
}

pub(crate) enum Failure {
    /// As it is.
    Own(BoxError),
    /// As several get it.
    Shared(SharedFailure),
    /// Taken along by somebody who was alone.
    Gone,
}

impl<T> Outcome<T> {
    pub(super) const fn is_answer(&self) -> bool {
        matches!(self, Self::Answer(_))
    }
}

impl Failure {
    /// The error for one of those aboard, who may be the only one.
    pub(crate) fn take(&mut self, alone: bool) -> BoxError {
        match std::mem::replace(self, Self::Gone) {
            Self::Own(error) if alone => error,
            Self::Own(error) => {
                let shared = SharedFailure::new(error);
                *self = Self::Shared(shared.clone());
                shared.into()
            }
            Self::Shared(shared) => {
                *self = Self::Shared(shared.clone());
                shared.into()
            }
            Self::Gone => super::error::FlightCrashed.into(),
        }
    }
}

/// Claims the lead, calls, and judges.
pub(super) async fn fly<S, Req, X>(
    service: impl FnOnce() -> S,
    request: Req,
    key: X::Key,
    lead: Arc<X::Lead>,
    share: Arc<X::Share>,
) -> Outcome<<X::Share as Share<S::Response>>::Kept>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    X: CoalesceRules<Req, S::Response, S::Error>,
{
    let claim = lead.claim(&key).wait().await;
    let result = match claim {
        Claim::Answered(answer) => return Outcome::Answer(share.recall(answer)),
        Claim::Lead => Oneshot::new(service(), request).await,
    };
    let is_answer = is_answer(&*share, &result);
    match result {
        Ok(response) if is_answer => {
            let tell = lead.listens().then(|| {
                let lead = lead.clone();
                move |answer: Option<&<X::Share as Share<S::Response>>::Told>| match answer {
                    Some(answer) => publish(&lead, &key, answer),
                    None => hand_over(&lead, &key),
                }
            });
            Outcome::Answer(share.keep(response, tell))
        }
        Ok(response) => {
            hand_over(&lead, &key);
            let nobody = None::<fn(Option<&<X::Share as Share<S::Response>>::Told>)>;
            Outcome::Refused(share.keep(response, nobody))
        }
        Err(error) => {
            hand_over(&lead, &key);
            Outcome::Failed(Failure::Own(error.into()))
        }
    }
}
