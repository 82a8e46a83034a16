//! Bytes of a response future.

use std::fmt;
use std::task::{Context, Waker};

use tower::Service;

use crate::case::{Case, Visit};
use crate::inner::Request;

/// The size of a case's response future where it stands; what it points to is not in it.
pub(crate) fn future_bytes(case: Case) -> usize {
    case.visit(FutureSize)
}

struct FutureSize;

impl Visit for FutureSize {
    type Output = usize;

    fn visit<S>(self, mut service: S) -> usize
    where
        S: Service<Request, Response = Request, Error: fmt::Debug + Send, Future: Send>
            + Send
            + 'static,
    {
        let mut context = Context::from_waker(Waker::noop());
        assert!(
            service.poll_ready(&mut context).is_ready(),
            "nobody else calls"
        );
        size_of_val(&service.call(Request::new(0)))
    }
}

#[cfg(test)]
mod tests {
    use crate::case::{Pace, Subject};
    use crate::drive;

    use super::*;

    #[test]
    fn every_layer_but_a_boxed_one_adds_to_the_future() {
        let runtime = drive::runtime().unwrap();
        let _entered = runtime.enter();
        let pace = Pace::Ready;
        let bytes = |subject| future_bytes(Case { subject, pace });
        let bare = bytes(Subject::Bare);
        for subject in Subject::ALL {
            let boxed = matches!(
                subject,
                Subject::TowerResilience
                    | Subject::Posting
                    | Subject::ReplayBody
                    | Subject::Cache
                    | Subject::Moka
                    | Subject::ResilienceCache
            );
            assert!(boxed || subject == Subject::Bare || bytes(subject) > bare);
        }
    }
}
