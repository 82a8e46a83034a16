//! What a service config says, as values.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use hedgerow_core::GrpcCodes;

use crate::config::ConfigErrors;
use crate::config::reading_json as reading;

/// What the owner of a service says of calling it: the JSON of gRPC's service config.
///
/// # What is read
///
/// | key | what it does here |
/// | --- | --- |
/// | `methodConfig[].name[]` | `{"service", "method"}`; without `method` all methods of the service, without both every method. The nearest holds, whole: nothing is taken from the others |
/// | `timeout` | the whole call's time, with all attempts; the caller's own holds if it is shorter |
/// | `waitForReady` | `true`: a call that never left, since there is no connection, is sent again, as long as another wait fits into its time, instead of failing |
/// | `retryPolicy` | `maxAttempts`, `initialBackoff`, `maxBackoff`, `backoffMultiplier`, `retryableStatusCodes`, `perAttemptRecvTimeout` |
/// | `hedgingPolicy` | `maxAttempts`, `hedgingDelay`, `nonFatalStatusCodes` |
/// | `retryThrottling` | `maxTokens`, `tokenRatio`, for all methods together |
///
/// Times are written as in JSON of protocol buffers (`"1.5s"`, `".1s"`), codes as names or numbers; `null` is
/// as if it were not there. `loadBalancingPolicy`, `loadBalancingConfig`, `healthCheckConfig`,
/// `maxRequestMessageBytes`, `maxResponseMessageBytes`, and a `methodConfig` without names, are for
/// others: [`ignored`](Self::ignored) names them. Any other key is a mistake.
///
/// # Examples
///
/// ```
/// use hedgerow::grpc::ServiceConfig;
///
/// let config = ServiceConfig::from_json(r#"{
///     "methodConfig": [{
///         "name": [{"service": "shop.Catalogue"}],
///         "timeout": "3s",
///         "hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.05s", "nonFatalStatusCodes": ["UNAVAILABLE"]}
///     }],
///     "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}
/// }"#)?;
/// assert!(config.method("/shop.Catalogue/List").is_some());
/// assert!(config.method("/shop.Orders/Place").is_none());
///
/// let wrong = r#"{"methodConfig": [{"name": [{"method": "List"}], "timeout": "3"}]}"#;
/// let mistakes = ServiceConfig::from_json(wrong).unwrap_err();
/// let keys: Vec<_> = mistakes.mistakes().iter().map(|mistake| mistake.key()).collect();
/// assert_eq!(keys, ["methodConfig[0].timeout", "methodConfig[0].name[0].service"]);
/// # Ok::<_, hedgerow::config::ConfigErrors>(())
/// ```
///
/// # Source
///
/// gRFC A6 (client retries), and `service_config.proto` of gRPC. An illegal policy, which some of gRPC's
/// clients skip in silence, is refused here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceConfig {
    pub(super) methods: HashMap<Box<str>, MethodConfig>,
    pub(super) throttle: Option<(f64, f64)>,
    pub(super) ignored: Vec<String>,
}

/// What is said of one method, or of several.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MethodConfig {
    /// The time of a whole call.
    pub timeout: Option<Duration>,
    /// Whether a call waits for a connection instead of failing without one.
    pub wait_for_ready: bool,
    /// Whether and how attempts are repeated.
    pub policy: Policy,
}

/// Whether and how attempts are repeated.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Policy {
    /// Not at all, but for those that never reached the server.
    #[default]
    Once,
    /// One after the other.
    Retry(RetryPolicy),
    /// Beside each other.
    Hedge(HedgingPolicy),
}

/// `retryPolicy`: another attempt once one has failed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How many attempts, the first included.
    pub max_attempts: u32,
    /// The first wait, before it is spread by a fifth to both sides.
    pub initial_backoff: Duration,
    /// The longest wait, before it is spread.
    pub max_backoff: Duration,
    /// What a wait is multiplied with to become the next.
    pub backoff_multiplier: f64,
    /// After which codes there is another.
    pub codes: GrpcCodes,
    /// The time of each attempt; one that takes longer has failed, and may be repeated.
    pub attempt_timeout: Option<Duration>,
}

/// `hedgingPolicy`: another attempt while one is under way.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HedgingPolicy {
    /// How many attempts, the first included.
    pub max_attempts: u32,
    /// The time between two of them.
    pub delay: Duration,
    /// After which codes others may still succeed.
    pub codes: GrpcCodes,
}

impl ServiceConfig {
    /// Reads a service config.
    ///
    /// # Errors
    ///
    /// Every mistake at once, each with the path of its key; of JSON's syntax the first alone.
    pub fn from_json(text: &str) -> Result<Self, ConfigErrors> {
        reading::json(text)
    }

    /// Reads a file with a service config.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json), and if the file cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        let text = reading::text(path.as_ref());
        Self::from_json(&text.map_err(|problem| ConfigErrors::one("", problem))?)
    }

    /// What holds for a call of this path, like `/package.Service/Method`.
    #[must_use]
    pub fn method(&self, path: &str) -> Option<&MethodConfig> {
        find(&self.methods, path)
    }

    /// The tokens that a throttle holds, and what a success puts in.
    #[must_use]
    pub const fn throttling(&self) -> Option<(f64, f64)> {
        self.throttle
    }

    /// The keys that were there and mean nothing here.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }
}

/// The entry of a method, of its service, or of all.
pub(super) fn find<'a, T>(methods: &'a HashMap<Box<str>, T>, path: &str) -> Option<&'a T> {
    let service = || {
        path.rfind('/')
            .and_then(|slash| methods.get(&path[..=slash]))
    };
    methods
        .get(path)
        .or_else(service)
        .or_else(|| methods.get(""))
}
