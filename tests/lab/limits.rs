//! A limit that adapts, in the real queue: 32 workers behind one line, half a load, one and a half, and
//! services that take twice as long.

#![expect(
    clippy::disallowed_methods,
    reason = "an open loop: each call is a task of its own"
)]

use std::sync::Arc;
use std::time::Duration;

use hedgerow::admission::{AdmissionLayer, Elasticity, Fixed, Gate, LimitPolicy};
use hedgerow_sim::{Law, LawPart, MILLISECOND};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tower::{Layer, Service, ServiceExt};

const WORKERS: usize = 32;
const MEAN_MS: f64 = 10.0;
/// Seconds, load, how many times as long a call takes. Shorter than where the policy alone is measured.
const PHASES: [(f64, f64, f64); 3] = [(10.0, 0.5, 1.0), (25.0, 1.5, 1.0), (25.0, 1.5, 2.0)];

/// A call: what it takes of a worker, and in which phase it came.
#[derive(Clone, Copy)]
struct Job {
    takes: Duration,
    phase: usize,
}

/// What was answered in a phase: how many, and how long they were in the service.
type Times = Arc<[Mutex<Vec<Duration>>; 3]>;

/// Milliseconds of the workload.
fn scaled(ms: f64) -> Duration {
    MILLISECOND.mul_f64(ms)
}

async fn run(policy: impl LimitPolicy + 'static, seed: u64) -> [(usize, f64); 3] {
    let times: Times = Arc::default();
    let workers = Arc::new(Semaphore::new(WORKERS));
    let upstream = {
        let times = times.clone();
        tower::service_fn(move |job: Job| {
            let (workers, times) = (workers.clone(), times.clone());
            async move {
                let came = Instant::now();
                let _worker = workers.acquire().await.expect("never closed");
                sleep(job.takes).await;
                times[job.phase].lock().push(came.elapsed());
                Ok::<_, std::convert::Infallible>(())
            }
        })
    };
    let gate = Gate::builder()
        .limit(policy)
        .max_depth(200)
        .max_wait(scaled(60_000.0))
        .build();
    let service = AdmissionLayer::new(gate).layer(upstream);
    // A mean of 10 ms and half as much of spread: a median of 8.94 ms.
    let sigma = 1.25_f64.ln().sqrt();
    let part = LawPart::LogNormal {
        median_ms: MEAN_MS / 1.25_f64.sqrt(),
        sigma,
    };
    let law = Law::mixture("workers", [(1.0, part)]).expect("a fine law");
    let mut random = StdRng::seed_from_u64(seed);
    let (began, mut at, mut until) = (Instant::now(), 0.0, 0.0);
    for (phase, (seconds, load, slower)) in PHASES.into_iter().enumerate() {
        let rate = load * WORKERS as f64 / MEAN_MS / slower;
        until += seconds * 1_000.0;
        while at < until {
            at -= (1.0 - random.random::<f64>()).ln() / rate;
            sleep_until(began + scaled(at)).await;
            let takes = scaled(law.quantile(1.0 - random.random::<f64>()) * slower);
            let call = service.clone();
            let job = Job { takes, phase };
            tokio::spawn(async move {
                let mut call = call;
                // Refused when 200 wait: an open loop does not care.
                if let Ok(ready) = call.ready().await {
                    let _ = ready.call(job).await;
                }
            });
        }
    }
    sleep(scaled(1_000.0)).await;
    [0, 1, 2].map(|phase| {
        let mut times = times[phase].lock();
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100].as_secs_f64() / MILLISECOND.as_secs_f64();
        (times.len(), p99)
    })
}

#[tokio::test(start_paused = true)]
async fn in_the_real_queue_a_limit_that_adapts_does_what_the_best_fixed_one_does() {
    let fixed = Fixed::new(WORKERS.try_into().expect("above 0"));
    let best = run(fixed, 1).await;
    let learnt = run(Elasticity::default(), 1).await;
    eprintln!("phases as (answered, p99 ms): fixed 32 {best:?}, elasticity {learnt:?}");
    for phase in [1, 2] {
        let throughput = learnt[phase].0 as f64 / best[phase].0 as f64;
        let p99 = learnt[phase].1 / best[phase].1;
        assert!(
            throughput >= 0.98,
            "phase {phase}: {throughput} of the throughput"
        );
        assert!(p99 <= 1.05, "phase {phase}: {p99} times the p99");
    }
}
