//! One run: servers, client, load, and what came of it.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hedgerow_sim::{BindError, Law, Load, Report, Upstream};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use indicatif::ProgressBar;
use tokio::time::timeout;
use tower::ServiceExt;

use super::DemoError;
use super::stack::{Get, HttpService, stack};
use crate::policy::Policy;

const SERVERS: u16 = 3;

/// What every policy is measured with.
pub(super) struct Bench {
    pub(super) load: Load,
    pub(super) law: Law,
    pub(super) seed: u64,
    /// The first server's port, or 0.
    pub(super) port: u16,
}

/// What was measured with one policy.
pub(super) struct Outcome {
    /// The policy as it was written.
    pub(super) policy: String,
    pub(super) report: Report,
    pub(super) calls: u64,
    /// Requests that reached the servers.
    pub(super) requests: u64,
    /// Calls that an extra copy won.
    pub(super) wins: u64,
}

impl Outcome {
    /// Requests beyond one a call, in percent of the calls, as the servers counted them.
    pub(super) fn extra_percent(&self) -> f64 {
        // A call that failed to connect has reached no server.
        let extra = self.requests.saturating_sub(self.calls);
        extra as f64 * 100.0 / self.calls as f64
    }
}

impl Bench {
    /// Measures one policy on servers of its own, which start with the same seeds each time.
    pub(super) async fn measure(
        &self,
        policy: &Policy,
        bar: &ProgressBar,
    ) -> Result<Outcome, DemoError> {
        let upstreams = self.start().await?;
        let servers: Arc<[Uri]> = upstreams.iter().map(url).collect();
        let (service, handle) = stack(policy.strategy(), &servers);
        let report = self
            .load
            .run(|number| {
                let server = &servers[number as usize % servers.len()];
                let answer = get(service.clone(), server.clone());
                let bar = bar.clone();
                async move {
                    let outcome = answer.await;
                    bar.inc(1);
                    outcome
                }
            })
            .await;
        drop(service);
        let mut requests = 0;
        for upstream in upstreams {
            requests += upstream.close().await.requests;
        }
        if report.latencies().is_empty() {
            let first = report
                .first_error()
                .unwrap_or("there was no call")
                .to_owned();
            return Err(DemoError::AllFailed {
                policy: policy.written().to_owned(),
                first,
            });
        }
        Ok(Outcome {
            policy: policy.written().to_owned(),
            calls: report.latencies().len() as u64 + report.errors(),
            requests,
            wins: handle.map_or(0, |handle| handle.stats().hedge_wins),
            report,
        })
    }

    async fn start(&self) -> Result<Vec<Upstream>, DemoError> {
        let most = u16::MAX - (SERVERS - 1);
        if self.port > most {
            return Err(DemoError::NoRoom {
                port: self.port,
                servers: SERVERS,
                most,
            });
        }
        let mut upstreams = Vec::new();
        for number in 0..SERVERS {
            upstreams.push(self.upstream(number).await?);
        }
        Ok(upstreams)
    }

    async fn upstream(&self, number: u16) -> Result<Upstream, BindError> {
        let port = if self.port == 0 {
            0
        } else {
            self.port + number
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let seed = stream(self.seed, 1 + number);
        Upstream::bind(address, self.law.clone(), seed).await
    }
}

/// The seed of one of several independent draws; no two seeds share a stream.
pub(super) fn stream(seed: u64, number: u16) -> u64 {
    seed.wrapping_mul(1 + u64::from(SERVERS))
        .wrapping_add(u64::from(number))
}

/// A call that takes longer has failed. Without an end to each call, a run that is out of file
/// descriptors would wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);

async fn get(service: HttpService, server: Uri) -> Result<(), String> {
    match timeout(PATIENCE, exchange(service, server)).await {
        Ok(result) => result,
        Err(_) => Err(format!(
            "no answer within {PATIENCE:?}; is the rate too high, or `ulimit -n` too low?"
        )),
    }
}

async fn exchange(service: HttpService, server: Uri) -> Result<(), String> {
    let mut request: Get = Request::new(Empty::new());
    *request.uri_mut() = server;
    let answer = service
        .oneshot(request)
        .await
        .map_err(|error| in_full(&error))?;
    if !answer.status().is_success() {
        return Err(format!("the server answered {}", answer.status()));
    }
    answer
        .into_body()
        .collect()
        .await
        .map_err(|error| in_full(&error))?;
    Ok(())
}

fn url(upstream: &Upstream) -> Uri {
    let url = format!("http://{}/", upstream.address());
    url.parse().expect("an address and a port make a URL")
}

/// The error with its causes.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
