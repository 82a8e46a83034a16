//! Which layers a request's path has.

use std::collections::HashMap;
use std::sync::Arc;

use hedgerow::BoxError;
use hedgerow::config::reading::{self, Files, Mistakes};
use hedgerow::config::{
    ConfigDuration, IdempotentPathsConfig, LayerConfig, NoTimeout, Protocol, Stack, StackConfig,
    TotalTimeout,
};
use http::Request;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};

use super::body::Asked;
use super::books::RouteBooks;
use super::call::Entry;
use super::config::{Allowed, RouteConfig};
use super::envelope::Provider;
use super::forward::Forward;
use super::upstream::{Answer, boxed};

/// A route's layers around whoever answers.
pub(crate) type Layered = BoxCloneSyncService<Request<Asked>, Answer, BoxError>;

/// Paths at which a model is asked.
const MODELS: [&str; 6] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
];
/// Paths that are read, and may be read twice.
const READ: [&str; 2] = ["/v1/models", "/v1/models/*"];
/// All other ones are passed on as they are.
const OTHERS: &str = "/v1/*";

const WRITE: &str = "write a path like \"/v1/embeddings\", or \"/v1/files/*\" for all beneath";

/// How long a call may take on a route whose layers are written, if nothing else is.
pub(crate) const TOTAL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);

/// What holds for one path.
pub(crate) struct Route {
    config: RouteConfig,
    /// Whose words it speaks.
    pub(crate) provider: Provider,
    /// Whether a model is asked: then the body is read first.
    pub(crate) asks: bool,
    /// Who answers where the model's name does not say.
    pub(crate) entries: Arc<[Entry]>,
    pub(crate) stack: StackConfig,
    pub(crate) layers: Stack,
    service: Layered,
    pub(crate) books: RouteBooks,
}

/// All routes.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    exact: HashMap<String, Arc<Route>>,
    /// Those that end in `/*`, the longest first.
    beneath: Vec<Arc<Route>>,
}

impl Route {
    pub(crate) fn build(
        config: &RouteConfig,
        entries: Arc<[Entry]>,
        books: RouteBooks,
        files: Files,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        check_path(&config.path, mistakes);
        let stack = stack_of(config);
        let layers = reading::stack(&stack, files, mistakes)?;
        let service = if stack.layers.is_empty() && stack.total_timeout.get().is_none() {
            let plain = Forward.map_request(|request: Request<Asked>| {
                request.map(hedgerow::ReplayableBody::passing_through)
            });
            BoxCloneSyncService::new(plain)
        } else {
            BoxCloneSyncService::new(layers.http().layer(Forward).map_response(boxed))
        };
        Some(Self {
            provider: provider(&config.path),
            asks: MODELS.contains(&config.path.as_str()),
            config: config.clone(),
            entries,
            stack,
            layers,
            service,
            books,
        })
    }

    pub(crate) fn config(&self) -> &RouteConfig {
        &self.config
    }

    /// Whether a client may set it.
    pub(crate) fn allows(&self, what: Allowed) -> bool {
        self.config.allow.contains(&what)
    }

    pub(crate) fn path(&self) -> &str {
        &self.config.path
    }

    pub(crate) fn service(&self) -> Layered {
        self.service.clone()
    }
}

impl RouteConfig {
    /// What holds where nothing is written.
    pub(crate) fn by_default() -> impl Iterator<Item = Self> {
        MODELS
            .iter()
            .chain(&READ)
            .chain(&[OTHERS])
            .map(|path| Self {
                path: (*path).to_owned(),
                ..Self::default()
            })
    }
}

/// The layers that hold, with what is not written.
fn stack_of(config: &RouteConfig) -> StackConfig {
    if config.layers.is_empty() && config.total_timeout.is_none() {
        return match config.path.as_str() {
            path if MODELS.contains(&path) => llm_client(provider(path)),
            path if READ.contains(&path) => StackConfig::http_client(),
            _ => {
                let mut none = StackConfig::default();
                none.total_timeout = TotalTimeout::Named(NoTimeout::None);
                none
            }
        };
    }
    let mut stack = StackConfig::new(config.layers.iter().cloned());
    let total = TotalTimeout::After(ConfigDuration::from(TOTAL_TIMEOUT));
    stack.total_timeout = config.total_timeout.unwrap_or(total);
    stack
}

fn provider(path: &str) -> Provider {
    if path.starts_with("/v1/messages") {
        Provider::Anthropic
    } else {
        Provider::OpenAi
    }
}

/// A client of a language model, for whom answers mean what the provider says.
fn llm_client(provider: Provider) -> StackConfig {
    let protocol = Some(match provider {
        Provider::OpenAi => Protocol::Openai,
        Provider::Anthropic => Protocol::Anthropic,
    });
    let mut stack = StackConfig::llm_client();
    for layer in &mut stack.layers {
        match layer {
            // Kept whole whatever its length: the door has bounded it.
            LayerConfig::ReplayBody(kept) => kept.cap_bytes = Some(1 << 30),
            LayerConfig::IdempotentPaths(paths) => *paths = IdempotentPathsConfig::new(MODELS),
            LayerConfig::Retry(retry) => retry.protocol = protocol,
            LayerConfig::Hedge(hedge) => hedge.protocol = protocol,
            LayerConfig::Admission(admission) => admission.protocol = protocol,
            _ => {}
        }
    }
    stack
}

fn check_path(path: &str, mistakes: &mut Mistakes) {
    let plain = path.strip_suffix("/*").unwrap_or(path);
    let fine = plain.starts_with('/')
        && plain.bytes().all(|b| b.is_ascii_graphic())
        && !plain.contains(['*', '?', '#', '%'])
        && is_plain(plain);
    if path.is_empty() {
        mistakes.say("path", format_args!("it is missing: {WRITE}"));
    } else if !fine {
        mistakes.refuse("path", path, WRITE);
    }
}

/// Whether a path has one reading: no empty segments, no `.` or `..`, nothing that an upstream would take for
/// a slash.
pub(crate) fn is_plain(path: &str) -> bool {
    let Some(path) = path.strip_prefix('/') else {
        return false;
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    let fine = |segment: &str| {
        let decoded = segment.replace("%2e", ".").replace("%2E", ".");
        let lower = segment.to_ascii_lowercase();
        !segment.is_empty()
            && decoded != "."
            && decoded != ".."
            && !lower.contains("%2f")
            && !lower.contains("%5c")
            && !lower.contains("%00")
            && !segment.contains('\\')
    };
    path.is_empty() || path.split('/').all(fine)
}

impl Routes {
    pub(crate) fn new(all: impl IntoIterator<Item = Arc<Route>>) -> Self {
        let mut routes = Self::default();
        for route in all {
            if route.path().ends_with("/*") {
                routes.beneath.push(route);
            } else {
                routes.exact.insert(route.path().to_owned(), route);
            }
        }
        let length = |route: &Arc<Route>| std::cmp::Reverse(route.path().len());
        routes.beneath.sort_by_key(length);
        routes
    }

    /// The route of a path.
    pub(crate) fn find(&self, path: &str) -> Option<&Arc<Route>> {
        let path = match path.strip_suffix('/') {
            Some(shorter) if !shorter.is_empty() => shorter,
            _ => path,
        };
        self.exact.get(path).or_else(|| {
            let is_beneath = |route: &&Arc<Route>| {
                let above = route.path().trim_end_matches('*');
                path.starts_with(above)
            };
            self.beneath.iter().find(is_beneath)
        })
    }

    /// All of them, by path.
    pub(crate) fn all(&self) -> Vec<&Arc<Route>> {
        let mut all: Vec<_> = self.exact.values().chain(&self.beneath).collect();
        all.sort_by(|a, b| a.path().cmp(b.path()));
        all
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("path", &self.config.path)
            .field("layers", &self.layers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_two_readings_is_none() {
        for path in [
            "/",
            "/v1",
            "/v1/files/a.b",
            "/v1/files/",
            "/v1/a%20b",
            "/v1/..a",
        ] {
            assert!(is_plain(path), "{path}");
        }
        for path in [
            "",
            "v1",
            "//v1",
            "/v1//a",
            "/v1/../a",
            "/v1/./a",
            "/v1/%2e%2E/a",
            "/v1/.%2e",
            "/v1/a%2Fb",
            "/v1/a%5cb",
            "/v1/a\\b",
            "/v1/%00",
        ] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
