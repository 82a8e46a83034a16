//! `POST /v1/responses`, whole and as numbered events.

use hedgerow::Usage;

use super::error::{ErrorBody, read_error};
use crate::json::{Number, Object, Raw};
use crate::wire::wire;

wire! {
    /// Asks for a response.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_openai::openai::ResponseRequest;
    ///
    /// let request = ResponseRequest::new("gpt-5-mini", "What is the capital of Italy?");
    /// assert_eq!(
    ///     serde_json::to_string(&request)?,
    ///     r#"{"model":"gpt-5-mini","input":"What is the capital of Italy?"}"#,
    /// );
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub struct ResponseRequest {
        /// Which model is asked.
        "model" => model: Option<String>,
        /// A text, or a list of items.
        "input" => input: Option<Raw>,
        /// What the model is to keep to.
        "instructions" => instructions: Option<Raw>,
        /// Whether the answer comes in events. The client sets it.
        "stream" => stream: Option<bool>,
        /// How many tokens the answer may have.
        "max_output_tokens" => max_output_tokens: Option<u64>,
    }

    /// A response.
    pub struct Response {
        /// By which the provider knows it.
        "id" => id: Option<String>,
        /// `response`.
        "object" => object: Option<String>,
        /// When it was made, in seconds of the Unix epoch.
        "created_at" => created_at: Option<Number>,
        /// `completed`, `in_progress`, `incomplete`, `failed` ..
        "status" => status: Option<String>,
        /// Which model answers.
        "model" => model: Option<String>,
        /// What it made: messages, calls of tools, reasoning.
        "output" => output: Option<Vec<OutputItem>>,
        /// Why it failed.
        "error" => error: Option<ResponseError>,
        /// What it used.
        "usage" => usage: Option<ResponseUsage>,
    }

    /// Why a response failed.
    pub struct ResponseError {
        /// A word for machines.
        "code" => code: Option<Raw>,
        /// In words.
        "message" => message: Option<String>,
    }

    /// One thing that a response made.
    pub struct OutputItem {
        /// `message`, `function_call`, `reasoning` ..
        "type" => kind: String,
        /// By which the provider knows it.
        "id" => id: Option<String>,
        /// Whose message it is.
        "role" => role: Option<String>,
        /// `completed`, `in_progress`, `incomplete`.
        "status" => status: Option<String>,
        /// The parts of a message.
        "content" => content: Option<Vec<OutputContent>>,
        /// By which the result of a function is known.
        "call_id" => call_id: Option<String>,
        /// Which function is to be called.
        "name" => name: Option<String>,
        /// With what: JSON, as the model wrote it.
        "arguments" => arguments: Option<String>,
    }

    /// A part of a message.
    pub struct OutputContent {
        /// `output_text`, `refusal` ..
        "type" => kind: String,
        /// The text of an `output_text`.
        "text" => text: Option<String>,
    }

    /// What a response used, in tokens.
    pub struct ResponseUsage {
        /// Of what was sent.
        "input_tokens" => input_tokens: Option<u64>,
        /// Of what was made.
        "output_tokens" => output_tokens: Option<u64>,
        /// Both.
        "total_tokens" => total_tokens: Option<u64>,
    }

    /// An event of a streamed response.
    pub struct ResponseEvent {
        /// Which: `response.created`, `response.output_text.delta`, `response.completed` ..
        "type" => kind: String,
        /// Its place in the stream, from 0.
        "sequence_number" => sequence_number: Option<u64>,
        /// More of a text or of arguments.
        "delta" => delta: Option<Raw>,
        /// The response as it stands, in the events that tell its state.
        "response" => response: Option<Response>,
    }
}

impl ResponseRequest {
    /// Asks `model`.
    #[must_use]
    pub fn new(model: impl Into<String>, input: &str) -> Self {
        Self {
            model: Some(model.into()),
            input: Some(Raw::text(input)),
            ..Self::default()
        }
    }
}

impl Response {
    /// A completed response of `model` without output, as a server writes it.
    #[must_use]
    pub fn new(id: impl Into<String>, model: impl Into<String>, created: u64) -> Self {
        let mut rest = Object::new();
        // The wire has them always.
        for (name, raw) in [
            ("incomplete_details", Raw::null()),
            ("error", Raw::null()),
            ("parallel_tool_calls", Raw::of(&true).unwrap_or_default()),
            ("tool_choice", Raw::text("auto")),
            ("tools", Raw::texts::<&str>(&[])),
        ] {
            rest.put(name, raw);
        }
        Self {
            id: Some(id.into()),
            object: Some("response".to_owned()),
            created_at: Some(created.into()),
            status: Some("completed".to_owned()),
            model: Some(model.into()),
            output: Some(Vec::new()),
            rest,
            ..Self::default()
        }
    }

    /// Adds something that was made.
    #[must_use]
    pub fn item(mut self, item: OutputItem) -> Self {
        self.output.get_or_insert_default().push(item);
        self
    }

    /// What it made.
    #[must_use]
    pub fn output(&self) -> &[OutputItem] {
        self.output.as_deref().unwrap_or_default()
    }

    /// Its text: all that its messages say.
    #[must_use]
    pub fn text(&self) -> String {
        let parts = self
            .output()
            .iter()
            .flat_map(|item| item.content.as_deref().unwrap_or_default());
        let texts = parts.filter(|part| part.kind == "output_text");
        texts.filter_map(|part| part.text.as_deref()).collect()
    }

    /// The functions that it wants called.
    pub fn function_calls(&self) -> impl Iterator<Item = &OutputItem> {
        self.output()
            .iter()
            .filter(|item| item.kind == "function_call")
    }

    /// What it used, if it says so.
    #[must_use]
    pub fn used(&self) -> Option<Usage> {
        let usage = self.usage.as_ref()?;
        Some(Usage::new(
            usage.input_tokens?,
            usage.output_tokens.unwrap_or_default(),
        ))
    }

    /// Why it failed, if it did.
    pub(crate) fn failure(&self) -> Option<ErrorBody> {
        let error = self.error.as_ref();
        let body = || ErrorBody {
            message: error.and_then(|error| error.message.clone()),
            code: error.and_then(|error| error.code.clone()),
            ..ErrorBody::default()
        };
        (self.status.as_deref() == Some("failed")).then(body)
    }
}

impl OutputItem {
    /// A message that says `text`.
    #[must_use]
    pub fn message(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            kind: "message".to_owned(),
            id: Some(id.into()),
            role: Some("assistant".to_owned()),
            status: Some("completed".to_owned()),
            content: Some(vec![OutputContent::text(text)]),
            ..Self::default()
        }
    }

    /// The function `name` is to be called with `arguments`, which are JSON.
    #[must_use]
    pub fn function_call(
        id: impl Into<String>,
        call_id: impl Into<String>,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Self {
        Self {
            kind: "function_call".to_owned(),
            id: Some(id.into()),
            status: Some("completed".to_owned()),
            call_id: Some(call_id.into()),
            name: Some(name.into()),
            arguments: Some(arguments.into()),
            ..Self::default()
        }
    }
}

impl OutputContent {
    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let mut rest = Object::new();
        rest.put("annotations", Raw::texts::<&str>(&[]));
        Self {
            kind: "output_text".to_owned(),
            text: Some(text.into()),
            rest,
        }
    }
}

impl ResponseUsage {
    /// So many tokens in, so many out.
    #[must_use]
    pub fn new(input: u64, output: u64) -> Self {
        Self {
            input_tokens: Some(input),
            output_tokens: Some(output),
            total_tokens: Some(input.saturating_add(output)),
            ..Self::default()
        }
        .set(
            "input_tokens_details",
            serde_json::json!({"cached_tokens": 0}),
        )
        .set(
            "output_tokens_details",
            serde_json::json!({"reasoning_tokens": 0}),
        )
    }
}

impl ResponseEvent {
    /// An event without a number, as a server writes it.
    #[must_use]
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            ..Self::default()
        }
    }

    /// More of the text, if that is what it brings.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let delta = self
            .delta
            .as_ref()
            .filter(|_| self.kind == "response.output_text.delta");
        delta.and_then(|delta| delta.read().ok())
    }

    /// Whether no other event follows.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(
            &*self.kind,
            "response.completed"
                | "response.incomplete"
                | "response.failed"
                | "response.cancelled"
                | "error"
        )
    }

    /// What the response used, if this event says so.
    #[must_use]
    pub fn used(&self) -> Option<Usage> {
        self.response.as_ref()?.used()
    }

    /// Whether a model has begun to answer.
    pub(crate) fn has_content(&self) -> bool {
        let delta = self.delta.as_ref().is_some_and(|delta| !delta.is_empty());
        delta || self.kind.ends_with(".done") || self.is_last()
    }

    /// The error that it tells, if it does.
    pub(crate) fn failure(&self) -> Option<ErrorBody> {
        match &*self.kind {
            "error" => Some(match self.rest.get("error") {
                Some(raw) if !raw.is_null() => read_error(raw),
                _ => ErrorBody {
                    message: self.rest.read("message").ok().flatten(),
                    param: self.rest.read("param").ok().flatten(),
                    code: self.rest.get("code").filter(|raw| !raw.is_null()).cloned(),
                    ..ErrorBody::default()
                },
            }),
            "response.failed" => {
                let told = self.response.as_ref().and_then(Response::failure);
                Some(told.unwrap_or_default())
            }
            _ => None,
        }
    }
}
