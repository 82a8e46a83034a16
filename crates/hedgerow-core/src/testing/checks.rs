//! The checks, one per promise.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use tokio::time::{sleep, timeout};
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use super::probe::{Ping, Pong, Probe, ProbeError};
use crate::error::{BoxError, cause_ref};

/// What the layer under test is put around.
pub type Inner = BoxCloneSyncService<Ping, Pong, BoxError>;

/// Longer than anything a layer may wait for here; virtual time.
const FOR_EVER: Duration = Duration::from_secs(100_000);
const MOMENT: Duration = Duration::from_millis(20);

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Breach {
    /// The promise.
    pub promise: &'static str,
    /// What was seen instead.
    pub seen: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.seen)
    }
}

/// Checks every promise on the layer that `make` puts around a service.
///
/// # Panics
///
/// If a promise is broken, with all that are.
pub async fn contract<M, S>(make: M)
where
    M: Fn(Inner) -> S,
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let breaches = check(make).await;
    let lines: Vec<String> = breaches.iter().map(Breach::to_string).collect();
    assert!(
        breaches.is_empty(),
        "the layer breaks its contract:\n  {}",
        lines.join("\n  ")
    );
}

/// Like [`contract`], but returns what is broken.
pub async fn check<M, S>(make: M) -> Vec<Breach>
where
    M: Fn(Inner) -> S,
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let mut breaches = Vec::new();
    let mut note = |promise, outcome: Result<(), String>| {
        if let Err(seen) = outcome {
            breaches.push(Breach { promise, seen });
        }
    };
    note("answers pass through", answers(&make).await);
    note("errors pass through", errors(&make).await);
    note("only ready instances are called", readiness(&make).await);
    note("nothing is called before it is ready", blocked(&make).await);
    note(
        "a failure to get ready reaches the caller",
        broken(&make).await,
    );
    note(
        "nothing hangs over a concurrency limit of one",
        limited(&make).await,
    );
    note("nothing hangs over a buffer", buffered(&make).await);
    note(
        "dropping the future drops the inner calls",
        dropped(&make).await,
    );
    note("a dropped call gives its permit back", permits(&make).await);
    note(
        "a dropped ready service gives its permit back",
        reserved(&make).await,
    );
    note("a panic harms no other call", panics(&make).await);
    breaches
}

fn bare(probe: &Probe) -> Inner {
    BoxCloneSyncService::new(probe.clone())
}

fn limit_of_one(probe: &Probe) -> Inner {
    BoxCloneSyncService::new(ConcurrencyLimit::new(probe.clone(), 1))
}

async fn send<S>(service: S, ping: Ping) -> Result<Pong, BoxError>
where
    S: Service<Ping, Response = Pong>,
    S::Error: Into<BoxError>,
{
    match timeout(FOR_EVER, service.oneshot(ping)).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err("it never ended".into()),
    }
}

fn seen(wanted: &str, got: impl fmt::Debug) -> Result<(), String> {
    Err(format!("wanted {wanted}, got {got:?}"))
}

fn nothing_in_flight(probe: &Probe) -> Result<(), String> {
    match probe.in_flight() {
        0 => Ok(()),
        n => Err(format!("{n} inner calls are still in flight")),
    }
}

fn no_unready_calls(probe: &Probe) -> Result<(), String> {
    match probe.unready_calls() {
        0 => Ok(()),
        n => Err(format!(
            "{n} calls to an instance that was not polled ready"
        )),
    }
}

async fn answers<S>(make: &impl Fn(Inner) -> S) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let probe = Probe::new();
    for ping in [Ping::new(7), Ping::new(8).after(MOMENT)] {
        let id = ping.id;
        match send(make(bare(&probe)), ping).await {
            Ok(pong) if pong.id == id => {}
            other => return seen("the answer", other),
        }
    }
    nothing_in_flight(&probe)
}

async fn errors<S>(make: &impl Fn(Inner) -> S) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let probe = Probe::new();
    for delay in [Duration::ZERO, MOMENT] {
        let ping = Ping::new(1).failing_after(delay);
        match send(make(bare(&probe)), ping).await {
            Err(error) if cause_ref(&*error) == Some(&ProbeError::Asked) => {}
            other => return seen("the inner service's error", other),
        }
    }
    nothing_in_flight(&probe)
}

async fn readiness<S>(make: &impl Fn(Inner) -> S) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let probe = Probe::new();
    let mut first = make(bare(&probe));
    // A clone of a ready service, and one made before it, must both ask for themselves.
    let early = first.clone();
    if let Err(error) = first.ready().await {
        return seen("a ready service", error.into());
    }
    let late = first.clone();
    let calls = [
        first
            .call(Ping::new(1).after(MOMENT))
            .map(|_| ())
            .left_future(),
        async {
            let _ = send(early, Ping::new(2).after(MOMENT)).await;
            let _ = send(late, Ping::new(3).after(MOMENT)).await;
        }
        .right_future(),
    ];
    if timeout(FOR_EVER, join_all(calls)).await.is_err() {
        return seen("answers", "a call that never ended");
    }
    // And the same instance again.
    match send(first, Ping::new(4)).await {
        Ok(Pong { id: 4 }) => no_unready_calls(&probe),
        other => seen("the answer", other),
    }
}

async fn blocked<S>(make: &impl Fn(Inner) -> S) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let probe = Probe::new();
    probe.block(true);
    let mut call = Box::pin(send(make(bare(&probe)), Ping::new(1)));
    if timeout(MOMENT, &mut call).await.is_ok() {
        return seen("a call that waits", "one that ended");
    }
    if probe.calls() > 0 {
        return seen("no inner call", probe.calls());
    }
    probe.block(false);
    match call.await {
        Ok(Pong { id: 1 }) => no_unready_calls(&probe),
        other => seen("an answer once it is ready", other),
    }
}

async fn broken<S>(make: &impl Fn(Inner) -> S) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let probe = Probe::new();
    probe.break_readiness();
    match send(make(bare(&probe)), Ping::new(1)).await {
        Err(error) if cause_ref(&*error) == Some(&ProbeError::Readiness) => Ok(()),
        other => seen("the error of poll_ready", other),
    }
}

async fn crowd<S>(service: &S, probe: &Probe) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let calls = (0..20).map(|id| {
        let ping = Ping::new(id).after(Duration::from_millis(500));
        send(service.clone(), ping)
    });
    for (id, result) in join_all(calls).await.into_iter().enumerate() {
        match result {
            Ok(pong) if pong.id == id as u64 => {}
            other => return seen("20 answers", other),
        }
    }
    no_unready_calls(probe)?;
    nothing_in_flight(probe)
}

async fn limited<S>(make: &impl Fn(Inner) -> S) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let probe = Probe::new();
    crowd(&make(limit_of_one(&probe)), &probe).await?;
    match probe.most_in_flight() {
        1 => Ok(()),
        n => seen("one call at a time", n),
    }
}

async fn buffered<S>(make: &impl Fn(Inner) -> S) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let probe = Probe::new();
    let buffer = Buffer::new(probe.clone(), 2);
    crowd(&make(BoxCloneSyncService::new(buffer)), &probe).await
}

async fn dropped<S>(make: &impl Fn(Inner) -> S) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let probe = Probe::new();
    // After the first poll, and when extra attempts or retries may be under way.
    for age in [Duration::ZERO, MOMENT, Duration::from_secs(10)] {
        let mut call = Box::pin(send(make(bare(&probe)), Ping::new(1).never()));
        if let Poll::Ready(result) = futures::poll!(&mut call) {
            return seen("a pending call", result);
        }
        let raced = futures::future::select(&mut call, Box::pin(sleep(age))).await;
        drop(raced);
        drop(call);
        nothing_in_flight(&probe)?;
    }
    if probe.calls() == 0 {
        return seen("inner calls to drop", "none");
    }
    Ok(())
}

async fn permits<S>(make: &impl Fn(Inner) -> S) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let probe = Probe::new();
    let service = make(limit_of_one(&probe));
    let held = send(service.clone(), Ping::new(1).never());
    if timeout(Duration::from_secs(10), held).await.is_ok() {
        return seen("a pending call", "one that ended");
    }
    match send(service, Ping::new(2)).await {
        Ok(Pong { id: 2 }) => Ok(()),
        other => seen("the next call's answer", other),
    }
}

async fn reserved<S>(make: &impl Fn(Inner) -> S) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let probe = Probe::new();
    let service = make(limit_of_one(&probe));
    let mut ready = service.clone();
    if let Err(error) = ready.ready().await {
        return seen("a ready service", error.into());
    }
    drop(ready);
    match send(service, Ping::new(2)).await {
        Ok(Pong { id: 2 }) => Ok(()),
        other => seen("the next call's answer", other),
    }
}

async fn panics<S>(make: &impl Fn(Inner) -> S) -> Result<(), String>
where
    S: Service<Ping, Response = Pong> + Clone,
    S::Error: Into<BoxError>,
{
    let probe = Probe::new();
    let service = make(limit_of_one(&probe));
    let doomed = AssertUnwindSafe(send(service.clone(), Ping::new(1).panicking()));
    // Whether the panic passes through or becomes an error is the layer's choice.
    let _ = doomed.catch_unwind().await;
    match send(service, Ping::new(2)).await {
        Ok(Pong { id: 2 }) => nothing_in_flight(&probe),
        other => seen("the next call's answer", other),
    }
}
