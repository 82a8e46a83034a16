//! What a refusal at the gate means to a retry.

use hedgerow_admission::Overloaded;
use hedgerow_core::{Attempt, BoxError, Class, Classify, cause_ref};

/// A judge that knows a refusal at a gate ([`Overloaded`]), and leaves everything else to `J`.
///
/// For a retry outside of an admission layer. What may pass later is retried when the gate says that it
/// makes sense ([`Overloaded::retry_after`]); what never can pass, because it costs more than its rate
/// allows at once, is final.
///
/// # Examples
///
/// ```
/// use hedgerow::{AdmissionLayer, BoxError, OkWins, RefusalsAskToWait, RetryLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// let service = ServiceBuilder::new()
///     .layer(RetryLayer::exponential().clone_requests().accept(RefusalsAskToWait(OkWins)))
///     .layer(AdmissionLayer::concurrency(16))
///     .service(service_fn(async |n: u64| Ok::<_, BoxError>(n)));
/// assert_eq!(service.oneshot(42).await?, 42);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RefusalsAskToWait<J>(pub J);

impl<J, Res> Classify<Res, BoxError> for RefusalsAskToWait<J>
where
    J: Classify<Res, BoxError>,
{
    #[inline]
    fn classify(&self, result: &Result<Res, BoxError>) -> Class {
        if let Err(error) = result
            && let Some(refused) = cause_ref::<Overloaded>(&**error)
        {
            return of(refused);
        }
        self.0.classify(result)
    }

    fn wants_losses(&self) -> bool {
        self.0.wants_losses()
    }

    fn all_lost(&self, results: &[(Attempt, &Result<Res, BoxError>)]) {
        self.0.all_lost(results);
    }
}

fn of(refused: &Overloaded) -> Class {
    if refused.reason().may_pass_later() {
        Class::Retryable {
            after: refused.retry_after(),
        }
    } else {
        Class::Fatal
    }
}
