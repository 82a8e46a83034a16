//! One upstream: its address, its key, and what is sent to it.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hedgerow::config::reading::{self, Files, Mistakes};
use hedgerow::config::{ConfigDuration, StackConfig, TotalTimeout};
use hedgerow::{BoxError, Class, ReplayableBody, Verdict};
use http::header::{self, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Either, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};

use super::address::Base;
use super::body::{Asked, Told};
use super::call::{Call, Turn};
use super::config::{KeyStyle, UpstreamConfig};
use super::headers;

/// What an upstream is given: within the layers of a route.
type Attempt = Request<ReplayableBody<Asked>>;
pub(crate) type Answer = Response<Told>;
/// An upstream with the layers in front of it.
pub(crate) type Beneath = BoxCloneSyncService<Attempt, Answer, BoxError>;

/// The body of a request as it is sent: as it is told to this upstream, or as it comes.
type Sent<B> = Either<Full<Bytes>, B>;

type Wire<B> = Client<HttpsConnector<HttpConnector>, Sent<B>>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept. Upstreams close theirs after a minute or so.
const IDLE: Duration = Duration::from_secs(50);
const NAME: &str = "write letters, digits, `-` and `_`";

/// One upstream, with the layers in front of it.
pub(crate) struct Upstream {
    config: UpstreamConfig,
    service: Beneath,
}

/// What is needed to send a request to it.
struct Sender<B> {
    base: Base,
    key: Option<(HeaderName, HeaderValue)>,
    keeps_keys: bool,
    client: Wire<B>,
}

impl Upstream {
    pub(crate) fn build(
        config: &UpstreamConfig,
        files: Files,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if config.name.is_empty() {
            mistakes.say("name", format_args!("it is missing: {NAME}"));
        } else if !config.name.chars().all(fine) {
            mistakes.refuse("name", &config.name, NAME);
        }
        let base = match Base::parse(&config.url) {
            Ok(base) => Some(base),
            Err(error) if config.url.is_empty() => {
                mistakes.say("url", error);
                None
            }
            Err(error) => {
                mistakes.refuse("url", &config.url, error);
                None
            }
        };
        let connect = config
            .connect_timeout
            .map_or(CONNECT_TIMEOUT, ConfigDuration::get);
        if connect.is_zero() {
            let problem = "no connection is made in no time: write a time above zero";
            mistakes.refuse("connect_timeout", config.connect_timeout, problem);
        }
        let key = key(config, mistakes);
        let stack = reading::stack(&layers(config), files, mistakes)?;
        let client = client(connect);
        let sender = Arc::new(Sender {
            base: base?,
            key,
            keeps_keys: config.key_style == KeyStyle::Client,
            client,
        });
        let service = tower::service_fn(move |attempt| Arc::clone(&sender).send(attempt));
        let service = if config.layers.is_empty() {
            BoxCloneSyncService::new(tower::service_fn(move |attempt: Attempt| {
                let mut service = service.clone();
                let attempt = attempt.map(ReplayableBody::passing_through);
                async move { tower::Service::call(&mut service, attempt).await }
            }))
        } else {
            let layered = stack.http().layer(service);
            BoxCloneSyncService::new(layered.map_response(boxed))
        };
        Some(Self {
            config: config.clone(),
            service,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// What it was built of.
    pub(crate) fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    /// The layers in front of it.
    pub(crate) fn stack(&self) -> StackConfig {
        layers(&self.config)
    }

    pub(crate) fn service(&self) -> Beneath {
        self.service.clone()
    }
}

/// An answer whose body is read as it comes.
pub(crate) fn boxed<B>(answer: Response<B>) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    answer.map(|body| body.map_err(Into::into).boxed_unsync())
}

/// Whether an answer asks to come back later: too many requests, or too much to do.
fn asks_to_wait<B>(answer: &Response<B>) -> bool {
    matches!(answer.status().as_u16(), 429 | 503 | 529)
}

fn layers(config: &UpstreamConfig) -> StackConfig {
    let mut stack = StackConfig::new(config.layers.iter().cloned());
    // The route says how long a call may take.
    stack.total_timeout = TotalTimeout::Named(hedgerow::config::NoTimeout::None);
    stack
}

/// The header with its key; none if it wants none.
fn key(config: &UpstreamConfig, mistakes: &mut Mistakes) -> Option<(HeaderName, HeaderValue)> {
    let (name, before, default) = match config.key_style {
        KeyStyle::Authorization => (header::AUTHORIZATION, "Bearer ", "OPENAI_API_KEY"),
        KeyStyle::XApiKey => (headers::X_API_KEY, "", "ANTHROPIC_API_KEY"),
        KeyStyle::ApiKey => (headers::API_KEY, "", "OPENAI_API_KEY"),
        KeyStyle::Client | KeyStyle::None => {
            if let Some(variable) = &config.key_env {
                let problem = "no key is sent in this `key_style`: leave it out";
                mistakes.refuse("key_env", variable, problem);
            }
            return None;
        }
    };
    let variable = config.key_env.as_deref().unwrap_or(default);
    let wanted = format!(
        "the environment has no key in {variable}: set it, or write another `key_env`, or \
         key_style = \"none\" for an upstream that wants no key, or \"client\" to pass on the client's"
    );
    let key = match env::var(variable) {
        Ok(key) if !key.trim().is_empty() => key,
        _ => {
            mistakes.say("key_env", wanted);
            return None;
        }
    };
    // Neither the key nor a part of it is told.
    let Ok(mut value) = HeaderValue::try_from(format!("{before}{}", key.trim())) else {
        let problem =
            format!("what stands in {variable} cannot be a header: set it to the key alone");
        mistakes.say("key_env", problem);
        return None;
    };
    value.set_sensitive(true);
    Some((name, value))
}

fn client<B>(connect: Duration) -> Wire<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
{
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(connect));
    let https = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .expect("ring has the versions that are asked for")
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(https)
}

impl<B> Sender<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
    Sent<B>: Body<Data = Bytes, Error = BoxError>,
{
    async fn send(self: Arc<Self>, attempt: Request<B>) -> Result<Answer, BoxError> {
        let (mut head, body) = attempt.into_parts();
        let call = head.extensions.remove::<Arc<Call>>();
        let call = call.expect("the door puts it there");
        let turn = head.extensions.remove::<Turn>();
        let turn = turn.expect("the route's innermost service puts it there");
        let entry = call.entry(turn);

        let mut request = Request::new(match &call.question {
            Some(question) => {
                let bytes = question.told(entry.model.as_deref(), &entry.drop);
                Either::Left(Full::new(bytes))
            }
            None => Either::Right(body),
        });
        *request.method_mut() = head.method;
        *request.uri_mut() = self.base.join(&call.target)?;
        *request.headers_mut() = head.headers;
        headers::to_upstream(request.headers_mut(), self.keeps_keys);
        if let Some((name, value)) = &self.key {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let mut answer = self.client.request(request).await?;
        answer.extensions_mut().insert(turn);
        if call.has_others() && asks_to_wait(&answer) {
            // Whoever has not been asked yet need not wait for the one who was.
            let verdict = Verdict(Class::Retryable { after: None });
            answer.extensions_mut().insert(verdict);
        }
        Ok(boxed(answer))
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.config.name)
            .finish_non_exhaustive()
    }
}
