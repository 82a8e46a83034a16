//! OpenAI's client.

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
use super::base::escaped;
use super::protocol::Protocol;
use super::question::{Question, StreamedQuestion};
use super::send::Sender;
use super::settings::{ConfigError, Said, environment, setters};
use super::stream::{ChatStream, CompletionStream, EventStream, ResponseStream};
use crate::error::{CallError, Provider, ProviderJudge};
use crate::openai::{
    self, ChatCompletion, ChatRequest, Completion, CompletionRequest, Embeddings,
    EmbeddingsRequest, Model, Models, ResponseRequest,
};

/// A client of OpenAI's API, and of the many that speak like it, over any service that sends HTTP requests.
///
/// The service is yours: hyper-util's client, a reqwest client, a test's function, each with the layers
/// around it that you want. The client writes requests and reads answers, and does nothing else: it waits
/// for nothing by itself, and retries nothing. [`complete`](Self::complete) does.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use hedgerow_openai::OpenAi;
/// use hedgerow_openai::openai::ChatRequest;
/// use http_body_util::Full;
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // In a program: hyper_util::client::legacy::Client::builder(..).build(connector)
/// let service = service_fn(async |request: http::Request<Full<Bytes>>| {
///     assert_eq!(request.uri(), "http://localhost:8000/v1/chat/completions");
///     let answer = r#"{"choices":[{"message":{"role":"assistant","content":"Rome"}}]}"#;
///     Ok::<_, std::io::Error>(http::Response::new(Full::<Bytes>::from(answer)))
/// });
///
/// let client = OpenAi::builder()
///     .base_url("http://localhost:8000") // or OPENAI_BASE_URL
///     .api_key("sk-…".replace('…', "x")) // or OPENAI_API_KEY
///     .build(service);
/// let question = ChatRequest::new("gpt-5-mini").user("What is the capital of Italy?");
/// assert_eq!(client.chat(&question).await?.text(), "Rome");
/// # Ok(()) }
/// ```
///
/// # The service
///
/// A `Service<http::Request<B>>` for a body `B` that is made of [`Bytes`]: `Full<Bytes>` if you do not say
/// otherwise, reqwest's or axum's `Body`, `Bytes` itself. With reqwest:
///
/// ```
/// # use hedgerow_openai::OpenAi;
/// # fn client(reqwest: reqwest::Client) {
/// let service = tower::service_fn(move |request: http::Request<reqwest::Body>| {
///     let reqwest = reqwest.clone();
///     async move {
///         let answer = reqwest.execute(request.try_into()?).await?;
///         Ok::<_, reqwest::Error>(http::Response::from(answer))
///     }
/// });
/// let client = OpenAi::builder().no_api_key().build(service);
/// # std::mem::drop(async move { client.models().await });
/// # }
/// ```
///
/// # As a service
///
/// It is a `Service` of each request that it can send ([`Question`]), so every layer of hedgerow can be put
/// around it as well as beneath it.
///
/// # Readiness, clones and drop
///
/// As the service beneath. A method sends by a clone of the service and drives it to readiness; `call` uses
/// the instance that was made ready. Dropping a future drops the request.
///
/// # Errors
///
/// [`CallError`]; [`ConfigError`] when it is built.
///
/// # Cost
///
/// A call writes its request into one buffer and reads the answer into another; there is no box and no task.
pub struct OpenAi<S, B = Full<Bytes>> {
    sender: Sender<S, B>,
}

/// What an [`OpenAi`] is to be.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is built until `build`"]
pub struct OpenAiBuilder {
    said: Said,
}

impl OpenAi<()> {
    /// A client to be set up.
    pub fn builder() -> OpenAiBuilder {
        OpenAiBuilder::default()
    }
}

impl OpenAiBuilder {
    setters!(
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "https://api.openai.com/v1"
    );

    /// The client, over `service`.
    ///
    /// # Panics
    ///
    /// If a setting or the environment is of no use: [`try_build`](Self::try_build) returns the reason.
    #[track_caller]
    #[must_use]
    pub fn build<S, B>(&self, service: S) -> OpenAi<S, B> {
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
    pub fn try_build<S, B>(&self, service: S) -> Result<OpenAi<S, B>, ConfigError> {
        let settings = self.said.settle(Provider::OpenAi, environment)?;
        let sender = Sender::new(service, settings);
        Ok(OpenAi { sender })
    }
}

impl<S, B, R> OpenAi<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: From<Bytes>,
    R: Body,
    R::Error: Into<BoxError>,
{
    /// Sends a request and reads its whole answer.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn send<Q: Question>(&self, question: &Q) -> Result<Q::Answer, CallError> {
        self.sender.post(Q::PATH, question, Q::read).await
    }

    /// Sends a request and opens its answer as a stream. It sets `stream`; and in the requests that have
    /// `stream_options` asks for the usage, unless something stands there.
    ///
    /// # Errors
    ///
    /// [`CallError`], if the provider refuses.
    pub async fn send_streamed<Q>(
        &self,
        question: &Q,
    ) -> Result<EventStream<R, Q::Events>, CallError>
    where
        Q: StreamedQuestion,
    {
        self.sender.stream(Q::PATH, &*question.streamed()).await
    }

    /// Asks for the next message of a conversation.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn chat(&self, request: &ChatRequest) -> Result<ChatCompletion, CallError> {
        self.send(request).await
    }

    /// Asks for it piece by piece: see [`send_streamed`](Self::send_streamed).
    ///
    /// # Examples
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use hedgerow_openai::OpenAi;
    /// # use hedgerow_openai::openai::ChatRequest;
    /// # use http_body_util::Full;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let service = tower::service_fn(async |_: http::Request<Full<Bytes>>| {
    /// #     let answer = "data: {\"choices\":[{\"delta\":{\"content\":\"Rome\"}}]}\n\ndata: [DONE]\n\n";
    /// #     Ok::<_, std::io::Error>(http::Response::new(Full::<Bytes>::from(answer)))
    /// # });
    /// # let client: OpenAi<_> = OpenAi::builder().no_api_key().build(service);
    /// let question = ChatRequest::new("gpt-5-mini").user("What is the capital of Italy?");
    /// let mut stream = client.chat_stream(&question).await?;
    /// while let Some(chunk) = stream.next().await {
    ///     print!("{}", chunk?.text());
    /// }
    /// println!(" {:?}", stream.usage());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError`], if the provider refuses.
    pub async fn chat_stream(&self, request: &ChatRequest) -> Result<ChatStream<R>, CallError> {
        self.send_streamed(request).await
    }

    /// Asks how a text goes on.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn completion(&self, request: &CompletionRequest) -> Result<Completion, CallError> {
        self.send(request).await
    }

    /// Asks for it piece by piece: see [`send_streamed`](Self::send_streamed).
    ///
    /// # Errors
    ///
    /// [`CallError`], if the provider refuses.
    pub async fn completion_stream(
        &self,
        request: &CompletionRequest,
    ) -> Result<CompletionStream<R>, CallError> {
        self.send_streamed(request).await
    }

    /// Asks for a response.
    ///
    /// # Errors
    ///
    /// [`CallError`]; a response that failed is one.
    pub async fn response(&self, request: &ResponseRequest) -> Result<openai::Response, CallError> {
        self.send(request).await
    }

    /// Asks for its events: see [`send_streamed`](Self::send_streamed).
    ///
    /// # Errors
    ///
    /// [`CallError`], if the provider refuses.
    pub async fn response_stream(
        &self,
        request: &ResponseRequest,
    ) -> Result<ResponseStream<R>, CallError> {
        self.send_streamed(request).await
    }

    /// Asks for the vectors of texts.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn embeddings(&self, request: &EmbeddingsRequest) -> Result<Embeddings, CallError> {
        self.send(request).await
    }

    /// Asks which models there are.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn models(&self) -> Result<Models, CallError> {
        self.get("/models").await
    }

    /// Asks about one model.
    ///
    /// # Errors
    ///
    /// [`CallError`]; a 404 if there is none of this name.
    pub async fn model(&self, id: &str) -> Result<Model, CallError> {
        self.get(&format!("/models/{}", escaped(id))).await
    }

    /// Gets what is at a path behind the base URL.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.sender.get(path, read).await
    }

    /// Posts `body` as JSON to a path behind the base URL.
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

    /// A call with all that it takes: a gate, a timeout for each of four tries, waits between them as the
    /// provider asks ([`ProviderJudge`]), the usage. See [`complete`](fn@hedgerow::complete); await it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use hedgerow_openai::OpenAi;
    /// # use hedgerow_openai::openai::ChatRequest;
    /// # use http_body_util::Full;
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let service = tower::service_fn(async |_: http::Request<Full<Bytes>>| {
    /// #     let answer = r#"{"choices":[{"message":{"role":"assistant","content":"Rome"}}],
    /// #         "usage":{"prompt_tokens":12,"completion_tokens":1}}"#;
    /// #     Ok::<_, std::io::Error>(http::Response::new(Full::<Bytes>::from(answer)))
    /// # });
    /// # let client: OpenAi<_> = OpenAi::builder().no_api_key().build(service);
    /// use hedgerow::{Gate, Rate};
    ///
    /// let gate = Gate::builder().concurrency(8).rate(Rate::tokens_per_minute(90_000)).build();
    /// let question = ChatRequest::new("gpt-5-mini").user("What is the capital of Italy?");
    /// let done = client.complete(question).gate(&gate).cost(1_000).await?;
    /// println!("{}: {:?}, {:?}", done.value.text(), done.usage, done.took);
    /// # assert_eq!(done.usage.unwrap().total(), 13);
    /// # Ok(()) }
    /// ```
    pub fn complete<'a, Q>(&self, question: Q) -> Complete<'a, Self, Q, ProviderJudge>
    where
        Q: Question + 'a,
    {
        complete(self.clone(), question)
            .usage(Q::used)
            .accept(ProviderJudge)
    }

    /// Like [`complete`](Self::complete), with a streamed answer. A try has succeeded when the model has
    /// begun to answer: a stream that breaks before is tried again, one that breaks later never.
    ///
    /// The gate is left when the answer has begun, and nothing is settled, since the usage is not known
    /// then: read it from the stream at its end.
    pub fn complete_streamed<'a, Q>(
        &self,
        question: Q,
    ) -> Complete<
        'a,
        impl Service<Q, Response = EventStream<R, Q::Events>, Error = CallError, Future: Send>
        + Clone
        + Send
        + Sync
        + use<S, B, R, Q>,
        Q,
        ProviderJudge,
    >
    where
        Q: StreamedQuestion + Send + Sync + 'static,
        <Q::Events as Protocol>::Item: Send,
        Q::Events: Send,
        S: Send + Sync + 'static,
        S::Future: Send,
        B: Send + 'static,
        R: Send + 'static,
    {
        let client = self.clone();
        let open = move |question: Q| {
            let client = client.clone();
            async move { client.send_streamed(&question).await?.first_content().await }
        };
        complete(tower::service_fn(open), question).accept(ProviderJudge)
    }
}

// === impl Service ===

impl<S, B, R, Q> Service<Q> for OpenAi<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: From<Bytes>,
    R: Body,
    R::Error: Into<BoxError>,
    Q: Question,
{
    type Response = Q::Answer;
    type Error = CallError;
    type Future = Answer<S::Future, R, Q::Answer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, question: Q) -> Self::Future {
        self.sender.call(Q::PATH, &question, Q::read)
    }
}

// === impl Clone, Debug ===

impl<S: Clone, B> Clone for OpenAi<S, B> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
        }
    }
}

/// Without the key, and without what headers hold.
impl<S, B> fmt::Debug for OpenAi<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenAi").field(&self.sender).finish()
    }
}
