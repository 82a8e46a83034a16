//! The caller: one task that makes one call after another, the same for every case.

use std::fmt;
use std::hint::black_box;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use crate::case::{Case, Visit};
use crate::inner::Request;

/// One thread with a timer, as a small client has it.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_time().build()?)
}

/// A case whose calls can be made in portions. Each portion returns its ns per call.
pub(crate) type Runner<'a> = Box<dyn FnMut(u64) -> f64 + 'a>;

/// Prepares a case.
pub(crate) fn runner(runtime: &Runtime, case: Case) -> Runner<'_> {
    let _entered = runtime.enter();
    case.visit(Prepare { runtime })
}

struct Prepare<'a> {
    runtime: &'a Runtime,
}

impl<'a> Visit for Prepare<'a> {
    type Output = Runner<'a>;

    fn visit<S>(self, service: S) -> Runner<'a>
    where
        S: Service<Request, Response = Request, Error: fmt::Debug + Send, Future: Send>
            + Send
            + 'static,
    {
        let mut idle = Some(service);
        Box::new(move |calls| {
            let service = idle.take().expect("put back after each portion");
            // A task of its own: the future given to `block_on` parks the thread when it pends.
            let task = self.runtime.spawn(drive(service, calls));
            let (service, ns) = self
                .runtime
                .block_on(task)
                .expect("the task neither panics nor is aborted");
            idle = Some(service);
            ns
        })
    }
}

async fn drive<S>(mut service: S, calls: u64) -> (S, f64)
where
    S: Service<Request, Response = Request, Error: fmt::Debug>,
{
    let started = Instant::now();
    for n in 0..calls {
        let request = black_box(Request::new(n));
        let ready = service.ready().await.expect("the service never fails");
        let answer = ready.call(request).await.expect("the service never fails");
        black_box(answer);
    }
    let taken = started.elapsed();
    (service, taken.as_nanos() as f64 / calls as f64)
}

#[cfg(test)]
mod tests {
    use crate::case::{Pace, Subject};

    use super::*;

    #[test]
    fn every_case_can_be_driven_in_portions() {
        let runtime = runtime().unwrap();
        for subject in Subject::ALL {
            for pace in Pace::ALL {
                let mut run = runner(&runtime, Case { subject, pace });
                assert!(run(10) > 0.0 && run(200) > 0.0, "{subject:?} {pace:?}");
            }
        }
    }
}
