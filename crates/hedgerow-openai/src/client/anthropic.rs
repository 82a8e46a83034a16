//! Anthropic's client.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use hedgerow::{BoxError, Complete, complete};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_service::Service;

use super::answer::{Answer, read};
use super::send::Sender;
use super::settings::{ConfigError, Said, environment, setters};
use super::stream::MessageStream;
use crate::anthropic::{Message, MessagesRequest, TokenCount};
use crate::error::{CallError, Provider, ProviderJudge};

/// A client of Anthropic's API over any service that sends HTTP requests: [`OpenAi`](crate::OpenAi)'s twin,
/// where services, readiness and costs are described.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use hedgerow_openai::Anthropic;
/// use hedgerow_openai::anthropic::MessagesRequest;
/// use http_body_util::Full;
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = service_fn(async |request: http::Request<Full<Bytes>>| {
///     assert_eq!(request.uri(), "http://localhost:8000/v1/messages");
///     assert_eq!(request.headers()["anthropic-version"], "2023-06-01");
///     let answer = r#"{"content":[{"type":"text","text":"Rome"}]}"#;
///     Ok::<_, std::io::Error>(http::Response::new(Full::<Bytes>::from(answer)))
/// });
///
/// let client = Anthropic::builder()
///     .base_url("http://localhost:8000") // or ANTHROPIC_BASE_URL
///     .api_key("a-key") // or ANTHROPIC_API_KEY
///     .build(service);
/// let question = MessagesRequest::new("claude-haiku-4-5", 100).user("What is the capital of Italy?");
/// assert_eq!(client.message(&question).await?.text(), "Rome");
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`CallError`]; [`ConfigError`] when it is built.
pub struct Anthropic<S, B = Full<Bytes>> {
    sender: Sender<S, B>,
}

/// What an [`Anthropic`] is to be.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is built until `build`"]
pub struct AnthropicBuilder {
    said: Said,
}

impl Anthropic<()> {
    /// A client to be set up.
    pub fn builder() -> AnthropicBuilder {
        AnthropicBuilder::default()
    }
}

impl AnthropicBuilder {
    setters!(
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "https://api.anthropic.com"
    );

    /// The client, over `service`.
    ///
    /// # Panics
    ///
    /// If a setting or the environment is of no use: [`try_build`](Self::try_build) returns the reason.
    #[track_caller]
    #[must_use]
    pub fn build<S, B>(&self, service: S) -> Anthropic<S, B> {
        match self.try_build(service) {
            Ok(client) => client,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`build`](Self::build), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with what to write instead.
    pub fn try_build<S, B>(&self, service: S) -> Result<Anthropic<S, B>, ConfigError> {
        let settings = self.said.settle(Provider::Anthropic, environment)?;
        let sender = Sender::new(service, settings);
        Ok(Anthropic { sender })
    }
}

impl<S, B, R> Anthropic<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: From<Bytes>,
    R: Body,
    R::Error: Into<BoxError>,
{
    /// Asks for the next message of a conversation.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn message(&self, request: &MessagesRequest) -> Result<Message, CallError> {
        self.sender.post(PATH, request, read).await
    }

    /// Asks for its events. It sets `stream`.
    ///
    /// # Errors
    ///
    /// [`CallError`], if the provider refuses.
    pub async fn message_stream(
        &self,
        request: &MessagesRequest,
    ) -> Result<MessageStream<R>, CallError> {
        let mut request = request.clone();
        request.stream = Some(true);
        self.sender.stream(PATH, &request).await
    }

    /// Asks how many tokens a conversation has. What the answer may have is not sent along.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn count_tokens(&self, request: &MessagesRequest) -> Result<TokenCount, CallError> {
        let mut request = request.clone();
        request.max_tokens = None;
        request.stream = None;
        self.sender
            .post("/messages/count_tokens", &request, read)
            .await
    }

    /// Gets what is at a path behind the base URL and `/v1`.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.sender.get(path, read).await
    }

    /// Posts `body` as JSON to a path behind the base URL and `/v1`.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn post<T: DeserializeOwned, Q>(&self, path: &str, body: &Q) -> Result<T, CallError>
    where
        Q: Serialize + ?Sized,
    {
        self.sender.post(path, body, read).await
    }

    /// A call with all that it takes: see [`OpenAi::complete`](crate::OpenAi::complete).
    pub fn complete<'a>(
        &self,
        request: MessagesRequest,
    ) -> Complete<'a, Self, MessagesRequest, ProviderJudge> {
        complete(self.clone(), request)
            .usage(Message::used)
            .accept(ProviderJudge)
    }

    /// Like [`complete`](Self::complete), with a streamed answer: see
    /// [`OpenAi::complete_streamed`](crate::OpenAi::complete_streamed).
    pub fn complete_streamed<'a>(
        &self,
        request: MessagesRequest,
    ) -> Complete<
        'a,
        impl Service<MessagesRequest, Response = MessageStream<R>, Error = CallError, Future: Send>
        + Clone
        + Send
        + Sync
        + use<S, B, R>,
        MessagesRequest,
        ProviderJudge,
    >
    where
        S: Send + Sync + 'static,
        S::Future: Send,
        B: Send + 'static,
        R: Send + 'static,
    {
        let client = self.clone();
        let open = move |request: MessagesRequest| {
            let client = client.clone();
            async move { client.message_stream(&request).await?.first_content().await }
        };
        complete(tower::service_fn(open), request).accept(ProviderJudge)
    }
}

const PATH: &str = "/messages";

// === impl Service ===

impl<S, B, R> Service<MessagesRequest> for Anthropic<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: From<Bytes>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Response = Message;
    type Error = CallError;
    type Future = Answer<S::Future, R, Message>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: MessagesRequest) -> Self::Future {
        self.sender.call(PATH, &request, read)
    }
}

// === impl Clone, Debug ===

impl<S: Clone, B> Clone for Anthropic<S, B> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
        }
    }
}

/// Without the key, and without what headers hold.
impl<S, B> fmt::Debug for Anthropic<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Anthropic").field(&self.sender).finish()
    }
}
