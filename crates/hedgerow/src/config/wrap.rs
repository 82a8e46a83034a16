//! The layers of a stack around a client, boxed layer by layer.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use hedgerow_admission::{AdmissionLayer, ReadyAdmissionLayer};
use hedgerow_core::{BoxError, Class, Classify, GrpcJudge, HttpJudge, HttpResponse, OkWins};
use hedgerow_hedge::{HedgeLayer, HedgePolicy, Keyed};
use hedgerow_http::{AnthropicJudge, OpenAiJudge, ReplayBodyLayer, ReplayableBody, ResumedBody};
use hedgerow_latency::LatencyLayer;
use hedgerow_retry::TimeoutsAreCutOff;
use http::{Request, Response};
use http_body::Body;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

use super::admission::{AdmissionPart, WaitsIn};
use super::answer::StackBody;
use super::assemble::{HedgePart, Part, Stack};
use super::deadline::{self, DeadlinePart};
use super::hedge::{ConfiguredPolicy, Protocol};
use super::retry::RetryPart;
use crate::judge::RefusalsAskToWait;

type Boxed<Req, Res> = BoxCloneSyncService<Req, Res, BoxError>;

/// A request as the client of an [`HttpStack`] is given it.
type Within<B> = Request<ReplayableBody<B>>;

/// An answer as the caller of an [`HttpStack`] is given it.
type Whole<R> = Response<ResumedBody<StackBody<R>>>;

/// The layers of a [`Stack`] around a client of plain requests: what
/// [`Stack::clone_requests`] makes.
///
/// `Req` is inferred from the first call.
///
/// # Cost
///
/// Each layer's service and response future are boxed: an allocation a layer and call.
pub struct CloneStack<Req> {
    stack: Stack,
    requests: PhantomData<fn(Req)>,
}

/// The layers of a [`Stack`] around a client of HTTP requests: what [`Stack::http`] makes.
///
/// `B`, the body of the caller's requests, is inferred from the first call.
///
/// # Cost
///
/// Each layer's service and response future are boxed: an allocation a layer and call.
pub struct HttpStack<B: Body> {
    parts: Arc<[HttpPart<B>]>,
}

enum HttpPart<B: Body> {
    Keyed(Option<Protocol>, Box<HedgeLayer<KeyedPolicy<B>>>),
    Other(Part),
}

type KeyedPolicy<B> = Keyed<ConfiguredPolicy, KeyOf<B>, Option<String>>;
type KeyOf<B> = Box<dyn Fn(&Within<B>) -> Option<String> + Send + Sync>;

impl<Req> CloneStack<Req> {
    pub(crate) fn new(stack: &Stack) -> Self {
        Self {
            stack: stack.clone(),
            requests: PhantomData,
        }
    }
}

impl<B: Body> HttpStack<B> {
    /// Keys have their state from here on.
    pub(crate) fn new(stack: &Stack) -> Self {
        let parts = stack.parts.iter().map(|part| match part {
            Part::Hedge(hedge) => HttpPart::hedge(hedge),
            other => HttpPart::Other(other.clone()),
        });
        Self {
            parts: parts.collect(),
        }
    }
}

impl<B: Body> HttpPart<B> {
    fn hedge(hedge: &HedgePart) -> Self {
        let Some(key) = hedge.key.clone() else {
            return Self::Other(Part::Hedge(Box::new(hedge.clone())));
        };
        let key: KeyOf<B> = Box::new(move |request| key.of(request));
        let layer = hedge.layer.clone().key(key).max_keys(hedge.max_keys);
        Self::Keyed(hedge.protocol, Box::new(layer))
    }
}

// === impl Layer ===

impl<S, Req> Layer<S> for CloneStack<Req>
where
    S: Service<Req> + Clone + Send + Sync + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    Req: Clone + Send + 'static,
{
    type Service = BoxCloneSyncService<Req, S::Response, BoxError>;

    fn layer(&self, client: S) -> Self::Service {
        let client = boxed(client.map_err(Into::into as fn(S::Error) -> BoxError));
        // From the inside out.
        self.stack
            .parts
            .iter()
            .rev()
            .fold(client, |inner, part| match part {
                Part::Hedge(hedge) => {
                    let judge = TimeoutsAreCutOff(OkWins);
                    let layer = hedge.layer.clone().clone_requests().accept(judge);
                    boxed(layer.layer(inner))
                }
                Part::Retry(retry) => {
                    let judge = RefusalsAskToWait(OkWins);
                    let layer = retry.layer.clone().clone_requests().accept(judge);
                    boxed(layer.layer(inner))
                }
                part => around_any(part, inner),
            })
    }
}

impl<S, B, R> Layer<S> for HttpStack<B>
where
    S: Service<Within<B>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Clone + Send + Sync,
    B::Error: Send,
    R: Body + Send + Unpin + 'static,
    R::Data: Send,
    R::Error: Into<BoxError> + Send,
{
    type Service = BoxCloneSyncService<Request<B>, Response<ResumedBody<StackBody<R>>>, BoxError>;

    fn layer(&self, client: S) -> Self::Service {
        let client = client.map_err(Into::into as fn(S::Error) -> BoxError);
        let client = boxed(client.map_response(as_it_is as fn(Response<R>) -> _));
        let whole = self
            .parts
            .iter()
            .rev()
            .fold(client, |inner, part| match part {
                HttpPart::Keyed(protocol, layer) => {
                    hedged(HedgeLayer::clone(layer), *protocol, inner)
                }
                HttpPart::Other(part) => around(part, inner),
            });
        boxed(whole.map_request(|request: Request<B>| request.map(ReplayableBody::passing_through)))
    }
}

fn as_it_is<R>(answer: Response<R>) -> Whole<R>
where
    R: Body + Unpin,
    R::Error: Into<BoxError>,
{
    answer.map(StackBody::own)
}

fn around<B, R>(part: &Part, inner: Boxed<Within<B>, Whole<R>>) -> Boxed<Within<B>, Whole<R>>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Clone + Send + Sync,
    B::Error: Send,
    R: Body + Send + Unpin + 'static,
    R::Data: Send,
    R::Error: Into<BoxError> + Send,
{
    match part {
        // A refusal is no answer, and its time no latency.
        Part::Latency(layer) => {
            let layer = LatencyLayer::new(layer.handle());
            boxed(layer.classify(TimeoutsAreCutOff(HttpJudge)).layer(inner))
        }
        Part::IdempotentPaths(layer) => boxed(layer.layer(inner)),
        Part::ReplayBody(layer) => {
            let layer = layer.clone();
            boxed(inner.map_request(move |request| kept(&layer, request)))
        }
        Part::Hedge(hedge) => hedged(hedge.layer.clone(), hedge.protocol, inner),
        Part::Retry(retry) => retried(retry, inner),
        Part::Deadline(deadline) => timely(deadline, inner),
        Part::ReceiveDeadline(layer) => boxed(layer.layer(inner)),
        Part::SendDeadline(layer) => boxed(layer.layer(inner)),
        Part::AwaitFirst(layer) => {
            let layered = layer.layer(inner);
            boxed(layered.map_response(|answer: Response<_>| answer.map(ResumedBody::flatten)))
        }
        Part::Admission(admission) if admission.waits_in == WaitsIn::Call => {
            admitted(admission, inner)
        }
        Part::Cache(layer) => {
            let layered = layer.layer(inner);
            boxed(layered.map_response(|answer: Response<_>| answer.map(StackBody::made)))
        }
        Part::Coalesce(part) => match part.lead.clone() {
            Some(lead) => {
                let layered = part.layer.clone().lead(lead).layer(inner);
                boxed(layered.map_response(|answer: Response<_>| answer.map(StackBody::made)))
            }
            None => {
                let layered = part.layer.layer(inner);
                boxed(layered.map_response(|answer: Response<_>| answer.map(StackBody::made)))
            }
        },
        part => around_any(part, inner),
    }
}

/// What is the same around whatever requests.
fn around_any<Req, Res>(part: &Part, inner: Boxed<Req, Res>) -> Boxed<Req, Res>
where
    Req: Send + 'static,
    Res: Send + 'static,
{
    match part {
        Part::Latency(layer) => boxed(layer.layer(inner)),
        Part::Timeout(layer) => boxed(layer.layer(inner)),
        Part::Drain(layer) => boxed(layer.layer(inner)),
        Part::Deadline(deadline) => boxed(deadline.layer.layer(inner)),
        Part::Admission(admission) => match admission.waits_in {
            WaitsIn::Ready => {
                let layer = ReadyAdmissionLayer::new(admission.gate.clone());
                boxed(layer.layer(inner))
            }
            WaitsIn::Call => {
                let asked = admission.asked.clone();
                let layer = AdmissionLayer::new(admission.gate.clone())
                    .ask(move |_: &Req| asked.plain())
                    .extras(admission.extras)
                    .accept(TimeoutsAreCutOff(OkWins));
                boxed(layer.layer(inner))
            }
        },
        // Those of HTTP requests were refused for others, and what sends copies asks what they are.
        Part::IdempotentPaths(_)
        | Part::ReplayBody(_)
        | Part::Hedge(_)
        | Part::Retry(_)
        | Part::ReceiveDeadline(_)
        | Part::SendDeadline(_)
        | Part::AwaitFirst(_)
        | Part::Cache(_)
        | Part::Coalesce(_) => inner,
    }
}

fn timely<B, R>(
    part: &DeadlinePart,
    inner: Boxed<Within<B>, Response<R>>,
) -> Boxed<Within<B>, Response<R>>
where
    B: Body + Send + 'static,
    R: Send + 'static,
{
    let Some(header) = part.header.clone() else {
        return boxed(part.layer.http().layer(inner));
    };
    let of = move |request: &Within<B>| deadline::read(request, &header);
    boxed(part.layer.deadline_of(of).http().layer(inner))
}

fn admitted<B, R>(
    part: &AdmissionPart,
    inner: Boxed<Within<B>, Response<R>>,
) -> Boxed<Within<B>, Response<R>>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Clone + Send + Sync,
    B::Error: Send,
    R: Send + 'static,
{
    let asked = part.asked.clone();
    let layer = AdmissionLayer::new(part.gate.clone())
        .ask(move |request: &Within<B>| asked.of(request))
        .extras(part.extras);
    let judge = TimeoutsAreCutOff(part.protocol.unwrap_or_default());
    boxed(layer.accept(judge).layer(inner))
}

fn retried<B, R>(
    part: &RetryPart,
    inner: Boxed<Within<B>, Response<R>>,
) -> Boxed<Within<B>, Response<R>>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Clone + Send + Sync,
    B::Error: Send,
    R: Send + 'static,
{
    let layer = part.layer.clone();
    let judge = RefusalsAskToWait(part.protocol.unwrap_or_default());
    boxed(layer.accept(judge).layer(inner))
}

fn hedged<P, B, R>(
    layer: HedgeLayer<P>,
    protocol: Option<Protocol>,
    inner: Boxed<Within<B>, Response<R>>,
) -> Boxed<Within<B>, Response<R>>
where
    P: HedgePolicy<Within<B>> + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Clone + Send + Sync,
    B::Error: Send,
    R: Send + 'static,
{
    let judge = TimeoutsAreCutOff(protocol.unwrap_or_default());
    boxed(layer.http().accept(judge).layer(inner))
}

impl<Res: HttpResponse, E> Classify<Res, E> for Protocol {
    fn classify(&self, result: &Result<Res, E>) -> Class {
        match self {
            Self::Http => HttpJudge.classify(result),
            Self::Grpc => GrpcJudge.classify(result),
            Self::Openai => OpenAiJudge.classify(result),
            Self::Anthropic => AnthropicJudge.classify(result),
        }
    }
}

/// Takes what is there of a body from which nothing was taken yet.
fn kept<B: Body + Unpin>(layer: &ReplayBodyLayer, request: Within<B>) -> Within<B> {
    let (head, body) = request.into_parts();
    match body.into_inner() {
        Ok(body) => layer.apply(Request::from_parts(head, body)),
        Err(body) => Request::from_parts(head, body),
    }
}

fn boxed<S, Req>(service: S) -> Boxed<Req, S::Response>
where
    S: Service<Req, Error = BoxError> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(service)
}

// === impl Clone, Debug ===

impl<Req> Clone for CloneStack<Req> {
    fn clone(&self) -> Self {
        Self::new(&self.stack)
    }
}

impl<Req> fmt::Debug for CloneStack<Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CloneStack").field(&self.stack).finish()
    }
}

impl<B: Body> Clone for HttpStack<B> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
        }
    }
}

impl<B: Body> fmt::Debug for HttpStack<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpStack")
            .field("layers", &self.parts.len())
            .finish_non_exhaustive()
    }
}
