//! The bench `saturated`: 64 tasks want 16 places on two threads, so that nearly every call waits.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use clap::Args;
use hedgerow::{AdmissionLayer, Gate, Queue, Rate};
use tokio::task::yield_now;
use tokio::time::Instant;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

use crate::times::median;
use crate::{cpu, drive};

const TASKS: u64 = 64;
const THREADS: u64 = 2;
const PLACES: usize = 16;
const ROUNDS: usize = 9;

/// What `saturated` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Calls of each task in each round
    #[arg(long, default_value_t = 4_000)]
    calls: u64,

    /// Make one round of one subject, by its number, and measure nothing: what is run under valgrind
    #[arg(long, value_name = "SUBJECT", hide = true)]
    child: Option<usize>,
}

/// What limits the calls.
#[derive(Clone, Copy)]
enum Subject {
    Admission,
    AdmissionCodel,
    AdmissionRate,
    Tower,
}

impl Subject {
    const ALL: [Self; 4] = [
        Self::Tower,
        Self::Admission,
        Self::AdmissionCodel,
        Self::AdmissionRate,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::Admission => "AdmissionLayer, concurrency",
            Self::AdmissionCodel => "the same, adaptive LIFO and CoDel",
            Self::AdmissionRate => "the same, and a rate",
            Self::Tower => "tower's ConcurrencyLimit",
        }
    }
}

/// What one call of a round took, in nanoseconds.
#[derive(Clone, Copy)]
struct Took {
    cpu: f64,
    wall: f64,
}

/// Runs the bench.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(&subject) = options.child.and_then(|at| Subject::ALL.get(at)) {
        round(subject, options.calls)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut took = vec![Vec::new(); Subject::ALL.len()];
    for _ in 0..ROUNDS {
        for (subject, took) in Subject::ALL.into_iter().zip(&mut took) {
            took.push(round(subject, options.calls)?);
        }
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{TASKS} tasks, {PLACES} places, {THREADS} threads; ns per call, median of {ROUNDS} rounds in turn\n"
    )?;
    writeln!(out, "{:36}{:>10}{:>12}", "", "CPU", "wall clock")?;
    let middle = |took: &[Took], pick: fn(&Took) -> f64| median(took.iter().map(pick).collect());
    let peer = middle(&took[0], |took| took.cpu);
    for (subject, took) in Subject::ALL.into_iter().zip(&took) {
        let cpu = middle(took, |took| took.cpu);
        let wall = middle(took, |took| took.wall);
        let ratio = cpu / peer;
        let title = subject.title();
        writeln!(out, "{title:36}{cpu:10.0} ({ratio:.2} x){wall:10.0}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn round(subject: Subject, calls: u64) -> anyhow::Result<Took> {
    let client = tower::service_fn(async |n: u64| {
        // Long enough for others to come: the place is held over a turn of the scheduler.
        yield_now().await;
        Ok::<_, Infallible>(n)
    });
    let gate = || Gate::builder().concurrency(PLACES);
    match subject {
        Subject::Admission => saturate(&AdmissionLayer::new(gate().build()).layer(client), calls),
        Subject::AdmissionCodel => {
            let hour = std::time::Duration::from_secs(3_600);
            let queue = Queue::adaptive_lifo().codel(hour, hour);
            let gate = gate().queue(queue).build();
            saturate(&AdmissionLayer::new(gate).layer(client), calls)
        }
        Subject::AdmissionRate => {
            let gate = gate().rate(Rate::per_second(1_000_000_000)).build();
            saturate(&AdmissionLayer::new(gate).layer(client), calls)
        }
        Subject::Tower => saturate(&ConcurrencyLimit::new(client, PLACES), calls),
    }
}

fn saturate<S>(service: &S, calls: u64) -> anyhow::Result<Took>
where
    S: Service<u64, Error: fmt::Debug, Future: Send> + Clone + Send + 'static,
{
    let started = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let service = service.clone();
            thread::spawn(move || run_tasks(&service, calls))
        })
        .collect();
    let mut cpu = 0;
    for thread in threads {
        cpu += thread.join().expect("no thread panics")?;
    }
    let all = (TASKS * calls) as f64;
    let wall = started.elapsed().as_nanos() as f64 / all;
    let cpu = cpu as f64 / all;
    Ok(Took { cpu, wall })
}

/// A thread's share of the tasks; what it spent on a processor, in nanoseconds.
fn run_tasks<S>(service: &S, calls: u64) -> anyhow::Result<u64>
where
    S: Service<u64, Error: fmt::Debug, Future: Send> + Clone + Send + 'static,
{
    let runtime = drive::runtime()?;
    let tasks: Vec<_> = (0..TASKS / THREADS)
        .map(|_| {
            let mut service = service.clone();
            runtime.spawn(async move {
                for n in 0..calls {
                    let ready = service.ready().await.expect("it never fails");
                    ready.call(n).await.expect("it never fails");
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("no task panics");
        }
    });
    cpu::of_this_thread()
}
