//! What is counted, and how it is told to Prometheus.

use std::fmt::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hedgerow::{BoxError, Latency};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use pin_project::{pin_project, pinned_drop};
use tokio::time::Instant;

use super::plan::Plan;

/// The counts of a gateway, by route.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    routes: Arc<Mutex<Vec<RouteBooks>>>,
}

/// The counts of a route. They outlive a reload of the file.
#[derive(Clone)]
pub(crate) struct RouteBooks {
    path: Arc<str>,
    counts: Arc<Counts>,
    /// From a request's head to the head of its answer.
    pub(crate) first: Latency,
    /// From a request's head to the end of its answer.
    pub(crate) whole: Latency,
}

#[derive(Debug, Default)]
struct Counts {
    came: AtomicU64,
    /// By class of status, 2xx to 5xx; what is none of them counts as 5xx.
    answered: [AtomicU64; 4],
    broken: AtomicU64,
    cancelled: AtomicU64,
    attempts: AtomicU64,
}

/// A request that has come in: it ends in exactly one of answered, broken and cancelled.
#[derive(Debug)]
pub(crate) struct Tally {
    books: RouteBooks,
    since: Instant,
    /// The status whose answer is on its way.
    status: Option<u16>,
    ended: bool,
}

impl Books {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The books of the route with this path: always the same.
    pub(crate) fn route(&self, path: &str) -> RouteBooks {
        let mut routes = self.routes.lock();
        if let Some(found) = routes.iter().find(|route| &*route.path == path) {
            return found.clone();
        }
        let books = RouteBooks {
            path: path.into(),
            counts: Arc::default(),
            first: Latency::new(),
            whole: Latency::new(),
        };
        routes.push(books.clone());
        books
    }
}

impl RouteBooks {
    /// A request has come in.
    pub(crate) fn came(&self) -> Tally {
        self.counts.came.fetch_add(1, Ordering::Relaxed);
        Tally {
            books: self.clone(),
            since: Instant::now(),
            status: None,
            ended: false,
        }
    }
}

impl Tally {
    /// The head of the answer is there, after so many attempts.
    pub(crate) fn head(&mut self, status: u16, attempts: u32) {
        self.status = Some(status);
        let attempts = u64::from(attempts);
        self.books
            .counts
            .attempts
            .fetch_add(attempts, Ordering::Relaxed);
        self.books.first.record(self.since.elapsed());
    }

    /// The answer was given, all of it.
    fn answered(&mut self) {
        let class = match self.status {
            Some(status @ 200..=499) => usize::from(status / 100) - 2,
            _ => 3,
        };
        self.end(|counts| &counts.answered[class]);
        self.books.whole.record(self.since.elapsed());
    }

    fn end(&mut self, which: impl FnOnce(&Counts) -> &AtomicU64) {
        if !std::mem::replace(&mut self.ended, true) {
            which(&self.books.counts).fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whoever asked has left.
impl Drop for Tally {
    fn drop(&mut self) {
        self.end(|counts| &counts.cancelled);
    }
}

/// The body of an answer, whose end is booked, and which holds what its call holds.
#[pin_project(PinnedDrop)]
#[derive(Debug)]
pub(crate) struct Booked<B: Body, H> {
    #[pin]
    inner: B,
    tally: Tally,
    /// Why it broke off, until that is told.
    broken: Option<BoxError>,
    _held: H,
}

impl<B: Body, H> Booked<B, H> {
    pub(crate) fn new(inner: B, tally: Tally, held: H) -> Self {
        Self {
            inner,
            tally,
            broken: None,
            _held: held,
        }
    }
}

impl<B, H> Body for Booked<B, H>
where
    B: Body<Data = Bytes, Error = BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let Some(error) = this.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = ready!(this.inner.poll_frame(cx));
        match frame {
            None => {
                this.tally.answered();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                this.tally.end(|counts| &counts.broken);
                // The server drops a connection whose body breaks off, with what it has not sent yet. One turn
                // later the head, and what came of the body, are on their way.
                *this.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body that is known to be at its end is not read further.
#[pinned_drop]
impl<B: Body, H> PinnedDrop for Booked<B, H> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if this.inner.is_end_stream() {
            this.tally.answered();
        }
    }
}

const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// Everything as Prometheus reads it.
pub(crate) fn prometheus(plan: &Plan) -> String {
    let mut page = Page::default();
    let mut routes: Vec<RouteBooks> = plan.books.routes.lock().clone();
    routes.sort_by(|a, b| a.path.cmp(&b.path));
    page.head(
        "hedgerow_requests_total",
        "counter",
        "Requests that came in.",
    );
    for route in &routes {
        page.count(
            "hedgerow_requests_total",
            &[("route", &route.path)],
            load(&route.counts.came),
        );
    }
    page.head(
        "hedgerow_requests_ended_total",
        "counter",
        "Requests by how they ended: a class of status, broken off by the upstream, or cancelled by the client.",
    );
    for route in &routes {
        let counts = &route.counts;
        let classes = ["2xx", "3xx", "4xx", "5xx"]
            .into_iter()
            .zip(&counts.answered);
        let others = [("broken", &counts.broken), ("cancelled", &counts.cancelled)];
        for (end, count) in classes.chain(others) {
            let labels = [("route", &*route.path), ("end", end)];
            page.count("hedgerow_requests_ended_total", &labels, load(count));
        }
    }
    page.head(
        "hedgerow_attempts_total",
        "counter",
        "Requests that were sent to upstreams.",
    );
    for route in &routes {
        page.count(
            "hedgerow_attempts_total",
            &[("route", &route.path)],
            load(&route.counts.attempts),
        );
    }
    for (name, help, which) in [
        (
            "hedgerow_first_seconds",
            "From a request's head to the head of its answer.",
            (|route| &route.first) as fn(&RouteBooks) -> &Latency,
        ),
        (
            "hedgerow_whole_seconds",
            "From a request's head to the end of its answer.",
            |route| &route.whole,
        ),
    ] {
        page.head(name, "summary", help);
        for route in &routes {
            page.summary(name, &route.path, which(route));
        }
    }
    layers(plan, &mut page);
    page.0
}

/// What the layers of each route have done.
fn layers(plan: &Plan, page: &mut Page) {
    let routes = plan.routes.all();
    page.head(
        "hedgerow_hedges_total",
        "counter",
        "Copies by what became of them.",
    );
    for route in &routes {
        for hedge in route.layers.hedges() {
            let stats = hedge.stats();
            for (what, count) in [
                ("fired", stats.fired),
                ("won", stats.hedge_wins),
                ("denied", stats.denied),
                ("not_ready", stats.not_ready),
            ] {
                page.count(
                    "hedgerow_hedges_total",
                    &[("route", route.path()), ("what", what)],
                    count,
                );
            }
        }
    }
    page.head(
        "hedgerow_retries_total",
        "counter",
        "Retries by what became of them.",
    );
    for route in &routes {
        for retry in route.layers.retries() {
            let stats = retry.stats();
            for (what, count) in [
                ("sent", stats.retries),
                ("recovered", stats.recovered),
                ("denied", stats.denied),
            ] {
                page.count(
                    "hedgerow_retries_total",
                    &[("route", route.path()), ("what", what)],
                    count,
                );
            }
        }
    }
    page.head(
        "hedgerow_admission",
        "gauge",
        "Attempts that run, that wait, and how many may run.",
    );
    for route in &routes {
        for gate in route.layers.gates() {
            let stats = gate.stats();
            let limit = stats.limit.unwrap_or(0);
            for (what, count) in [
                ("active", stats.active),
                ("queued", stats.queued),
                ("limit", limit),
            ] {
                page.count(
                    "hedgerow_admission",
                    &[("route", route.path()), ("what", what)],
                    count as u64,
                );
            }
        }
    }
    page.head(
        "hedgerow_shed_total",
        "counter",
        "Attempts that admission refused.",
    );
    for route in &routes {
        for gate in route.layers.gates() {
            page.count(
                "hedgerow_shed_total",
                &[("route", route.path())],
                gate.stats().shed_total(),
            );
        }
    }
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // A text takes whatever is written to it.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn count(&mut self, name: &str, labels: &[(&str, &str)], count: u64) {
        let _ = write!(self.0, "{name}");
        self.labels(labels);
        let _ = writeln!(self.0, " {count}");
    }

    fn summary(&mut self, name: &str, route: &str, latency: &Latency) {
        let total = latency.total();
        for q in QUANTILES {
            if let Some(at) = total.quantile(q) {
                let _ = write!(self.0, "{name}");
                self.labels(&[("route", route), ("quantile", &q.to_string())]);
                let _ = writeln!(self.0, " {}", at.as_secs_f64());
            }
        }
        let mean = total.mean().unwrap_or(Duration::ZERO);
        let sum = mean.as_secs_f64() * total.answered() as f64;
        for (end, value) in [("_sum", sum), ("_count", total.answered() as f64)] {
            let _ = write!(self.0, "{name}{end}");
            self.labels(&[("route", route)]);
            let _ = writeln!(self.0, " {value}");
        }
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        for (at, (name, value)) in labels.iter().enumerate() {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{name}=\"{value}\"");
        }
        self.0.push('}');
    }
}

impl fmt::Debug for RouteBooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteBooks").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http::{Request, Response};
    use http_body_util::StreamBody;
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// A client tells a broken answer from none.
    #[tokio::test]
    async fn the_head_of_an_answer_that_breaks_at_once_is_not_lost_with_it() {
        let books = Books::new().route("/");
        let service = service_fn(|_: Request<Incoming>| {
            let frames = [
                Ok(Frame::data(Bytes::from("half"))),
                Err(BoxError::from("off")),
            ];
            let body = StreamBody::new(stream::iter(frames));
            let booked = Booked::new(body, books.came(), ());
            async { Ok::<_, Infallible>(Response::new(booked)) }
        });
        let (ours, mut theirs) = duplex(1_024);
        let ask = async {
            theirs
                .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                .await
                .unwrap();
            let mut said = String::new();
            theirs.read_to_string(&mut said).await.unwrap();
            said
        };
        let serve = http1::Builder::new().serve_connection(TokioIo::new(ours), service);
        let (said, served) = tokio::join!(ask, serve);
        assert!(served.is_err());
        assert!(
            said.starts_with("HTTP/1.1 200 OK") && said.contains("half"),
            "{said:?}"
        );
        assert!(!said.ends_with("0\r\n\r\n"), "a cut answer is no whole one");
        assert_eq!(load(&books.counts.broken), 1);
    }
}
