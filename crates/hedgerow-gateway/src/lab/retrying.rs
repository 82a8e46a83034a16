//! Stacks that try again: a deadline, three tries, a hedge, and what they may cost.

use std::time::Duration;

use hedgerow::admission::Extras;
use hedgerow::{AdmissionLayer, Budget, DeadlineLayer, Gate, HedgeLayer, Priority, RetryLayer};
use tower::Layer;

use super::ground::{Asked, Ground, Simulated};
use super::stack::{DEPTH, scaled};
use crate::policy::Tries;

/// What every stack has, in the workload's own time: those of the bars for `w9`.
const DEADLINE: Duration = Duration::from_secs(1);
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(250);
const BACKOFF: Duration = Duration::from_millis(10);
const HEDGE_AFTER: Duration = Duration::from_micros(24_500);
/// The gate's: enough in flight that no replica of ten stands idle, and what is started late has no
/// time left.
const AT_ONCE: usize = 50;
const LONGEST_WAIT: Duration = Duration::from_millis(190);
/// Requests above it wait behind the others: 6 % of `w9`'s, and 14 % of its work.
const LARGE: Duration = Duration::from_millis(15);

/// Runs a stack around the backend of `ground`.
pub(super) async fn run<Req, B, G>(ground: &G, tries: Tries) -> G::Outcome
where
    Req: Asked,
    B: Simulated<Req>,
    G: Ground<Req, B>,
{
    let percent = |percent: f64| Budget::percent(percent).depth(DEPTH);
    let deadline = DeadlineLayer::new(scaled(DEADLINE));
    let retry = RetryLayer::fixed(scaled(BACKOFF))
        .attempts(3)
        .attempt_timeout(scaled(ATTEMPT_TIMEOUT))
        .clone_requests()
        .budget(percent(10.0));
    let hedge = HedgeLayer::fixed(scaled(HEDGE_AFTER))
        .clone_requests()
        .budget(percent(5.0));
    match tries {
        Tries::Naive => {
            let retry = retry.budget(Budget::unlimited());
            ground.run(|backend| retry.layer(backend)).await
        }
        Tries::Budgets => {
            let stack = |backend| deadline.layer(retry.layer(hedge.layer(backend)));
            ground.run(stack).await
        }
        Tries::Shared => {
            let budget = percent(10.0);
            let hedge = hedge.share_budget(budget.clone());
            let retry = retry.budget(budget);
            let stack = |backend| deadline.layer(retry.layer(hedge.layer(backend)));
            ground.run(stack).await
        }
        Tries::Gated => {
            let gate = Gate::builder()
                .concurrency(AT_ONCE)
                .max_wait(scaled(LONGEST_WAIT))
                .build();
            let large = scaled(LARGE);
            let gate =
                AdmissionLayer::new(gate)
                    .extras(Extras::NowOnly)
                    .priority(move |request: &Req| {
                        if request.size().is_some_and(|size| size > large) {
                            Priority::Low
                        } else {
                            Priority::Normal
                        }
                    });
            let stack = |backend| deadline.layer(retry.layer(hedge.layer(gate.layer(backend))));
            ground.run(stack).await
        }
    }
}
