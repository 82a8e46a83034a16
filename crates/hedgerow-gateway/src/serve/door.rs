//! From a request to its route, and from the route's answer or error to the client.

use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use hedgerow::config::ConfigDuration;
use hedgerow::{Deadline, WinnerInfo};
use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};
use tower::ServiceExt;

use super::body::{Asked, Told};
use super::books::{self, Booked};
use super::call::{Call, Turn};
use super::config::Allowed;
use super::envelope::{self, Failure, Provider, SHOULD_RETRY};
use super::headers;
use super::models;
use super::plan::{Bounds, Plan};
use super::question::Question;
use super::rename::Renamed;
use super::route::{Route, is_plain};
use super::upstream::Answer;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-hedgerow-attempts");
const WINNER: HeaderName = HeaderName::from_static("x-hedgerow-winner");
const UPSTREAM: HeaderName = HeaderName::from_static("x-hedgerow-upstream");
const TIMEOUT: HeaderName = HeaderName::from_static("x-hedgerow-timeout");
/// So much later than the layers the door gives up by itself.
const GRACE: Duration = Duration::from_millis(20);
/// A longer id of a client's is none.
const LONGEST_ID: usize = 128;

/// Where every request comes in.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) plan: ArcSwap<Plan>,
    /// The bytes of bodies that are held.
    buffered: Arc<AtomicUsize>,
    /// Tells requests apart.
    next_id: AtomicU64,
    closing: AtomicBool,
}

/// Bytes of a body that is held: given back when the call ends.
#[derive(Debug, Default)]
struct Held {
    of: Option<Arc<AtomicUsize>>,
    bytes: usize,
}

impl Door {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan: ArcSwap::from_pointee(plan),
            buffered: Arc::default(),
            next_id: AtomicU64::new(rand::random()),
            closing: false.into(),
        }
    }

    /// No longer ready for more.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Answers whatever comes.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let plan = self.plan.load_full();
        if let Some(answer) = self.probe(&plan, &request) {
            return answer;
        }
        let id = self.id(request.headers());
        if let Some(answer) = models::own(&plan, &request) {
            return named(answer, id);
        }
        let path = request.uri().path();
        let route = is_plain(path).then(|| plan.routes.find(path)).flatten();
        let Some(route) = route.cloned() else {
            let message = "there is no such path here: the ones there are begin with /v1/";
            let failure = Failure::of_request(StatusCode::NOT_FOUND, "not_found", message);
            return named(failure.respond(Provider::OpenAi, text(&id)), id);
        };
        let mut tally = route.books.came();
        let mut held = Held::default();
        let (answer, attempts) = match self.ask(&plan, &route, request, &mut held).await {
            Ok((answer, call)) => (told(answer, &call), call.sent()),
            Err((failure, attempts)) => (failure.respond(route.provider, text(&id)), attempts),
        };
        let mut answer = named(answer, id);
        let count = headers::number(attempts);
        answer.headers_mut().insert(ATTEMPTS, count);
        tally.head(answer.status().as_u16(), attempts);
        answer.map(|body| Booked::new(body, tally, held).boxed_unsync())
    }

    /// Sends a request through the layers of its route.
    async fn ask(
        &self,
        plan: &Plan,
        route: &Route,
        request: Request<Incoming>,
        held: &mut Held,
    ) -> Result<(Answer, Arc<Call>), (Failure, u32)> {
        let (mut head, body) = request.into_parts();
        let target = head.uri.path_and_query().cloned();
        let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let until = until(route, &head.headers).map_err(|failure| (failure, 0))?;
        let asks = route.asks && head.method == Method::POST;
        let (question, body) = if asks {
            let bytes = self.read(&plan.bounds, body, held).await;
            let bytes = bytes.map_err(|failure| (failure, 0))?;
            let question = Question::read(bytes).map_err(|unreadable| {
                let (status, code) = (StatusCode::BAD_REQUEST, "invalid_body");
                (Failure::of_request(status, code, unreadable.to_string()), 0)
            })?;
            let body = Full::new(question.body().clone());
            (Some(question), Asked::Left(body))
        } else {
            (None, Asked::Right(body))
        };
        let model = question.as_ref().and_then(Question::model);
        let entries = model.and_then(|model| plan.entries(model));
        let entries = entries.unwrap_or(&route.entries).clone();
        if asks {
            // What comes back is looked at: for its first content, for the model's name.
            head.headers.remove(header::ACCEPT_ENCODING);
        }
        // The layers know it by its path alone.
        head.uri = Uri::from(target.clone());
        head.version = http::Version::HTTP_11;
        let call = Arc::new(Call::new(target, question, entries));
        head.extensions.insert(Arc::clone(&call));
        if let Some(until) = until {
            head.extensions.insert(Deadline::at(until.into_std()));
        }
        let request = Request::from_parts(head, body);
        let answer = route.service().oneshot(request);
        let answer = match until {
            None => answer.await,
            // Those layers that read it say more about it, and a route without any keeps it too.
            Some(until) => match timeout_at(until + GRACE, answer).await {
                Ok(answer) => answer,
                Err(_) => return Err((too_late(), call.sent())),
            },
        };
        match answer {
            Ok(answer) => Ok((answer, call)),
            Err(error) => Err((Failure::from(&hedgerow::refusal(&error)), call.sent())),
        }
    }

    /// All of a body.
    async fn read(
        &self,
        bounds: &Bounds,
        mut body: Incoming,
        held: &mut Held,
    ) -> Result<Bytes, Failure> {
        let too_long = || {
            let message = format!("the body is longer than {} bytes", bounds.body_bytes);
            Failure::of_request(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
        };
        if body.size_hint().lower() > bounds.body_bytes as u64 {
            return Err(too_long());
        }
        let mut all = Bytes::new();
        loop {
            let Ok(frame) = timeout(bounds.body_timeout, body.frame()).await else {
                let (status, code) = (StatusCode::REQUEST_TIMEOUT, "body_timeout");
                let message = "the body did not come in time";
                return Err(Failure::of_request(status, code, message));
            };
            let Some(frame) = frame else {
                break;
            };
            let broken = |_| {
                let (status, code) = (StatusCode::BAD_REQUEST, "invalid_body");
                Failure::of_request(status, code, "the body broke off")
            };
            let Ok(data) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            if all.len() + data.len() > bounds.body_bytes {
                return Err(too_long());
            }
            if !held.more(&self.buffered, data.len(), bounds.buffered_bytes) {
                return Err(Failure::busy(
                    "too much is asked at once: come back in a moment",
                ));
            }
            // One piece, as most are, is not copied.
            if all.is_empty() {
                all = data;
            } else {
                let mut longer = all
                    .try_into_mut()
                    .unwrap_or_else(|all| BytesMut::from(&*all));
                longer.extend_from_slice(&data);
                all = longer.freeze();
            }
        }
        Ok(all)
    }

    /// What is asked of the gateway itself.
    fn probe(&self, plan: &Plan, request: &Request<Incoming>) -> Option<Answer> {
        let path = request.uri().path();
        if !matches!(path, "/health" | "/ready" | "/metrics") {
            return None;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Some(envelope::text(
                StatusCode::METHOD_NOT_ALLOWED,
                "write GET\n",
            ));
        }
        Some(match path {
            "/metrics" => {
                let mut answer = envelope::text(StatusCode::OK, books::prometheus(plan));
                let version = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                answer.headers_mut().insert(header::CONTENT_TYPE, version);
                answer
            }
            "/ready" if self.closing.load(Ordering::Relaxed) => {
                envelope::text(StatusCode::SERVICE_UNAVAILABLE, "closing")
            }
            _ => envelope::text(StatusCode::OK, "ok"),
        })
    }

    /// The client's own id of a request, or a new one.
    fn id(&self, headers: &HeaderMap) -> HeaderValue {
        let brought = headers.get(REQUEST_ID).filter(|id| {
            let bytes = id.as_bytes();
            (1..=LONGEST_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
        });
        brought.cloned().unwrap_or_else(|| {
            let next = self.next_id.fetch_add(1, Ordering::Relaxed);
            HeaderValue::try_from(format!("req_{next:016x}")).expect("hexadecimal digits")
        })
    }
}

/// Until when the client waits, if it says so and may.
fn until(route: &Route, headers: &HeaderMap) -> Result<Option<Instant>, Failure> {
    let Some(said) = headers
        .get(TIMEOUT)
        .filter(|_| route.allows(Allowed::Timeout))
    else {
        return Ok(None);
    };
    let time = said
        .to_str()
        .ok()
        .and_then(|said| said.parse::<ConfigDuration>().ok());
    let until = time.and_then(|time| Instant::now().checked_add(time.get()));
    until.map(Some).ok_or_else(|| {
        let message = format!("{TIMEOUT} is no time: write one like 1500ms or 2s");
        Failure::of_request(StatusCode::BAD_REQUEST, "invalid_header", message)
    })
}

fn too_late() -> Failure {
    let (status, code) = (StatusCode::GATEWAY_TIMEOUT, "timeout");
    Failure::of_request(
        status,
        code,
        "there was no answer within the client's own time",
    )
}

/// An answer as its client is told it.
fn told(mut answer: Answer, call: &Call) -> Answer {
    headers::to_client(answer.headers_mut());
    if let Some(info) = answer.extensions().get::<WinnerInfo>() {
        let winner = headers::number(info.index);
        answer.headers_mut().insert(WINNER, winner);
    }
    if call.sent() > 1 && is_refusal(answer.status()) {
        // It was tried again here: an SDK that does the same would multiply the tries.
        let no = HeaderValue::from_static("false");
        answer.headers_mut().entry(SHOULD_RETRY).or_insert(no);
    }
    // Whose answer it is; one that was kept or shared is of any of them.
    let turn = answer.extensions_mut().remove::<Turn>();
    let from = match turn {
        Some(turn) => slice::from_ref(call.entry(turn)),
        None => &*call.entries,
    };
    if let (Some(_), [entry]) = (turn, from)
        && let Ok(name) = HeaderValue::try_from(entry.upstream.name())
    {
        answer.headers_mut().insert(UPSTREAM, name);
    }
    let asked = call.question.as_ref().and_then(Question::model);
    match asked {
        Some(asked) if from.iter().any(|entry| entry.renames(asked)) => renamed(answer, asked),
        _ => answer,
    }
}

/// Whether SDKs would ask again.
fn is_refusal(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 409 | 429)
}

/// With the model called as the client has called it.
fn renamed(mut answer: Answer, name: &str) -> Answer {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if answer.headers().contains_key(header::CONTENT_ENCODING) {
        return answer;
    }
    let rename: fn(Told, &str) -> Renamed<Told> = match kind.as_str() {
        "application/json" => Renamed::json,
        "text/event-stream" => Renamed::events,
        _ => return answer,
    };
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    answer.map(|body| rename(body, name).boxed_unsync())
}

/// With the id of the request, unless upstream has one of its own.
fn named(mut answer: Answer, id: HeaderValue) -> Answer {
    answer.headers_mut().entry(REQUEST_ID).or_insert(id);
    answer
}

fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}

impl Held {
    /// Holds so many more; false if that would be too much for all.
    fn more(&mut self, of: &Arc<AtomicUsize>, bytes: usize, most: usize) -> bool {
        let before = of.fetch_add(bytes, Ordering::Relaxed);
        self.of.get_or_insert_with(|| Arc::clone(of));
        self.bytes += bytes;
        before.saturating_add(bytes) <= most
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(of) = &self.of {
            of.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}
