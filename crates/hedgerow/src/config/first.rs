//! The layer that waits for the first of an answer, as it is configured.

use hedgerow_http::{
    AwaitFirstContentLayer, ByPath, KnownFormat, Seen, StreamFormat, Wanted, sse::Event,
};
use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assemble::Part;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::member::{Given, Member};
use super::order::Place;

/// Lets an answer count only once something has come of it: a race is then won by the first token, and a
/// stream that breaks before it is an error.
///
/// See [`AwaitFirstContentLayer`] and [`AwaitFirstFrameLayer`](crate::AwaitFirstFrameLayer).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "Lets an answer count only once something has come of it.")]
#[non_exhaustive]
pub struct AwaitFirstConfig {
    /// What is waited for.
    #[schemars(extend("default" = "by_path"))]
    pub of: AwaitedName,
    /// So many events are held; then the answer counts as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = super::default::held_events()))]
    pub max_events: Option<u32>,
    /// So many bytes are held; then the answer counts as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = super::default::held_bytes()))]
    pub max_bytes: Option<u64>,
}

/// What of an answer is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[non_exhaustive]
pub enum AwaitedName {
    /// The first content of the format that the request's path asks for, or else the first frame.
    #[default]
    ByPath,
    /// The first frame of any answer.
    Frame,
    /// The first content of a chat completion.
    OpenaiChat,
    /// The first content of a completion.
    OpenaiCompletions,
    /// The first content of a response.
    OpenaiResponses,
    /// The first content of Anthropic's messages.
    AnthropicMessages,
}

impl AwaitFirstConfig {
    /// Waits for this.
    #[must_use]
    pub fn new(of: AwaitedName) -> Self {
        Self {
            of,
            ..Self::default()
        }
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn build(&self) -> Result<AwaitFirstContentLayer<AwaitedName>, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&mut mistakes);
        mistakes.judge(built)
    }

    pub(crate) fn assemble(
        self,
        mistakes: &mut Mistakes,
    ) -> Option<AwaitFirstContentLayer<AwaitedName>> {
        let mut layer = Some(AwaitFirstContentLayer::new(self.of));
        if let Some(events) = self.max_events {
            let fresh = AwaitFirstContentLayer::new(self.of).try_max_events(events);
            let fine = mistakes.attempt("max_events", events, fresh).is_some();
            layer = layer.filter(|_| fine);
            layer = layer.and_then(|layer| layer.try_max_events(events).ok());
        }
        if let Some(bytes) = self.max_bytes {
            if i64::try_from(bytes).is_err() {
                // Nor can a file hold it.
                mistakes.refuse("max_bytes", bytes, "write at most 8388608");
                return None;
            }
            let fresh = AwaitFirstContentLayer::new(self.of).try_max_bytes(bytes);
            let fine = mistakes.attempt("max_bytes", bytes, fresh).is_some();
            layer = layer.filter(|_| fine);
            layer = layer.and_then(|layer| layer.try_max_bytes(bytes).ok());
        }
        layer
    }
}

impl AwaitedName {
    /// The format, where it is always the same.
    const fn format(self) -> Option<KnownFormat> {
        match self {
            Self::ByPath | Self::Frame => None,
            Self::OpenaiChat => Some(KnownFormat::OpenAiChat),
            Self::OpenaiCompletions => Some(KnownFormat::OpenAiCompletions),
            Self::OpenaiResponses => Some(KnownFormat::OpenAiResponses),
            Self::AnthropicMessages => Some(KnownFormat::AnthropicMessages),
        }
    }

    /// Named as it is in a file.
    const fn of(format: KnownFormat) -> Option<Self> {
        match format {
            KnownFormat::OpenAiChat => Some(Self::OpenaiChat),
            KnownFormat::OpenAiCompletions => Some(Self::OpenaiCompletions),
            KnownFormat::OpenAiResponses => Some(Self::OpenaiResponses),
            KnownFormat::AnthropicMessages => Some(Self::AnthropicMessages),
            _ => None,
        }
    }
}

impl StreamFormat for AwaitedName {
    fn wanted(&self, uri: &Uri) -> Wanted<Self> {
        let named = match self {
            Self::Frame => None,
            Self::ByPath => KnownFormat::of_path(uri.path()).and_then(Self::of),
            named => Some(*named),
        };
        named.map_or(Wanted::Frame, Wanted::Content)
    }

    fn see(&self, event: &Event) -> Seen {
        match self.format() {
            Some(format) => format.see(event),
            None => ByPath::default().see(event),
        }
    }
}

impl Describe for AwaitFirstConfig {
    const NAME: &'static str = "await_first";
}

impl Member for AwaitFirstConfig {
    fn part(&self, _: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        self.assemble(mistakes).map(Part::AwaitFirst)
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.await_first(warn);
    }
}
