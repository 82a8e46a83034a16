//! The file.

use std::path::Path;

use hedgerow::config::reading::{self, Files, Mistakes};
use hedgerow::config::{
    ConfigDuration, ConfigErrors, Describe, Explanation, LayerConfig, TotalTimeout,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::Plan;

/// A whole gateway as a file: where it listens, its upstreams, the names of models, and the layers by route.
///
/// # Examples
///
/// What clients call `chat` is one of two models; a copy or a retry goes to the other:
///
/// ```
/// use hedgerow_gateway::GatewayConfig;
///
/// let config = GatewayConfig::from_toml(r#"
///     [[upstream]]
///     name = "fast"
///     url = "https://fast.example/v1"
///     key_style = "none"
///
///     [[upstream]]
///     name = "cheap"
///     url = "https://cheap.example/v1"
///     key_style = "none"
///
///     [[model]]
///     name = "chat"
///     entries = [{ upstream = "fast", model = "big-1" }, { upstream = "cheap", model = "big-1-turbo" }]
/// "#)?;
/// assert_eq!(config.upstreams.len(), 2);
/// # Ok::<_, hedgerow::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "A gateway in front of OpenAI- and Anthropic-compatible upstreams.")]
#[non_exhaustive]
pub struct GatewayConfig {
    /// Where it listens: an address with a port; port 0 is any that is free. A change is taken at the next
    /// start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "127.0.0.1:8080"))]
    pub listen: Option<String>,
    /// How long a shutdown waits for what still runs, before it is cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "8s"))]
    pub drain: Option<ConfigDuration>,
    /// The longest body of a request to a model, in bytes: it is held until the call ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 33_554_432))]
    pub max_body_bytes: Option<u64>,
    /// All such bodies together, in bytes; whoever does not fit is told to come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 536_870_912))]
    pub max_buffered_bytes: Option<u64>,
    /// How many connections at once; further ones wait to be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 10_000))]
    pub max_connections: Option<u64>,
    /// How long a client may take to send the head of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "10s"))]
    pub header_timeout: Option<ConfigDuration>,
    /// How long a client may send nothing in the middle of a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "30s"))]
    pub body_timeout: Option<ConfigDuration>,
    /// How long a client may take nothing of what is sent to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "60s"))]
    pub write_timeout: Option<ConfigDuration>,
    /// Where requests go. The first one is asked where nothing else is written.
    #[serde(rename = "upstream")]
    pub upstreams: Vec<UpstreamConfig>,
    /// Names for lists of upstream models.
    #[serde(rename = "model")]
    pub models: Vec<ModelConfig>,
    /// What differs by path from what holds if nothing is written.
    #[serde(rename = "route")]
    pub routes: Vec<RouteConfig>,
}

/// A server that answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "A server that answers.")]
#[non_exhaustive]
pub struct UpstreamConfig {
    /// What it is called in this file: letters, digits, `-` and `_`.
    pub name: String,
    /// Its address as an SDK is told it, with its `/v1`. One that does not end in `/v1` gets the client's
    /// whole path behind it, with the `/v1`.
    pub url: String,
    /// The environment variable that holds its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "OPENAI_API_KEY, or ANTHROPIC_API_KEY with key_style \"x_api_key\""))]
    pub key_env: Option<String>,
    /// How the key is sent.
    pub key_style: KeyStyle,
    /// How long a connection may take to be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "5s"))]
    pub connect_timeout: Option<ConfigDuration>,
    /// Layers in front of this upstream alone, from the outside in, whichever route a request came by: the
    /// rates of an account.
    #[serde(rename = "layer")]
    pub layers: Vec<LayerConfig>,
}

/// How a key is sent to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[non_exhaustive]
pub enum KeyStyle {
    /// As `Authorization: Bearer KEY`.
    #[default]
    Authorization,
    /// As `x-api-key: KEY`, Anthropic's way.
    XApiKey,
    /// As `api-key: KEY`, Azure's way.
    ApiKey,
    /// Whatever the client has sent is passed on: each client brings a key of its own.
    Client,
    /// None: the upstream wants no key.
    None,
}

/// One name for a list of upstream models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "One name for a list of upstream models.")]
#[non_exhaustive]
pub struct ModelConfig {
    /// What clients call it.
    pub name: String,
    /// The models it stands for: the first attempt goes to the first, each further one to the next.
    pub entries: Vec<ModelEntry>,
}

/// One of the models that a name stands for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
#[non_exhaustive]
pub struct ModelEntry {
    /// The name of an upstream of this file.
    pub upstream: String,
    /// What that upstream calls the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "the name"))]
    pub model: Option<String>,
    /// Fields of the request that this one does not take.
    pub drop: Vec<String>,
}

/// What holds for one path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "What holds for one path.")]
#[non_exhaustive]
pub struct RouteConfig {
    /// The path, such as "/v1/embeddings"; one that ends in `/*` stands for all beneath.
    pub path: String,
    /// Which upstream is asked where the model's name does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "the first"))]
    pub upstream: Option<String>,
    /// What a client may set by a header of its request; what is not allowed is not read.
    pub allow: Vec<Allowed>,
    /// How long a call may take in all; "none" for no limit. Written without layers, it is all that holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "\"10m\" if layers are written"))]
    pub total_timeout: Option<TotalTimeout>,
    /// The layers, from the outside in. With none written, and no `total_timeout`, those of a client of a
    /// language model hold (`StackConfig::llm_client`) where the path is a model's, those of any other client
    /// (`StackConfig::http_client`) for "/v1/models" and what is beneath, and none elsewhere. What is written
    /// takes their place as a whole. A request to a model is a POST: beneath a hedge or a retry it is sent
    /// twice only with `idempotent_paths` and `replay_body` outside of them.
    #[serde(rename = "layer")]
    pub layers: Vec<LayerConfig>,
}

/// What a client may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[non_exhaustive]
pub enum Allowed {
    /// `x-hedgerow-timeout: 1500ms`: the client waits no longer than that for the head of an answer. It
    /// shortens what the route has, and never makes it longer.
    Timeout,
}

impl GatewayConfig {
    /// A gateway in front of one upstream.
    #[must_use]
    pub fn new(upstream: UpstreamConfig) -> Self {
        Self {
            upstreams: vec![upstream],
            ..Self::default()
        }
    }

    /// Reads TOML, and looks whether it can be built.
    ///
    /// # Errors
    ///
    /// Every mistake at once, each with its line: of syntax, or else of keys, types and values.
    pub fn from_toml(text: &str) -> Result<Self, ConfigErrors> {
        reading::table(text, |read: Self, mistakes: &mut Mistakes| {
            Plan::build(&read, None, Files::Closed, mistakes)?;
            Some(read)
        })
    }

    /// The layers that each route and each upstream gets, from the outside in, and which rules of order they
    /// break: a name such as `/v1/messages` or `upstream fast`, and its stack.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn explain(&self) -> Result<Vec<(String, Explanation)>, ConfigErrors> {
        Ok(Plan::new(self, None, Files::Closed)?.explain())
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml), and if the file cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        Self::from_toml(&reading::contents(path.as_ref())?)
    }
}

impl Describe for GatewayConfig {
    const NAME: &'static str = "gateway";
}

impl UpstreamConfig {
    /// An upstream at this address, whose key is in the environment.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            ..Self::default()
        }
    }

    /// Sets how its key is sent.
    #[must_use]
    pub const fn key_style(mut self, style: KeyStyle) -> Self {
        self.key_style = style;
        self
    }
}
