//! Requests that may be sent twice by their path.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::Idempotent;
use http::Request;
use http::uri::PathAndQuery;
use tower_layer::Layer;
use tower_service::Service;

use crate::error::HttpBuildError;

/// A layer that lets requests to these paths be sent twice: see [`IdempotentPathsLayer`].
///
/// # Panics
///
/// If a path makes no sense: [`IdempotentPathsLayer::try_new`] returns the reason.
#[must_use]
#[track_caller]
pub fn idempotent_paths(paths: impl IntoIterator<Item = impl AsRef<str>>) -> IdempotentPathsLayer {
    IdempotentPathsLayer::new(paths)
}

/// Puts the [`Idempotent`] mark on requests to certain paths, so that they may be sent twice.
///
/// For gRPC, where every call is a `POST` and only you know which methods merely read. A path is
/// `/package.Service/Method`, or `/package.Service/*` for all methods of a service. It is compared
/// as it stands in the URI, without the query, and must be the whole path: behind a prefix, name the
/// prefix too. `*` stands for exactly one last part.
///
/// A path that goes up or stays, by a part `.` or `..`, may be another one to the server: it is never
/// let through, however its dots and slashes are written (`%2e`, `%2f`, `\`, `..;x`).
///
/// # Examples
///
/// ```
/// use hedgerow_http::IdempotentPathsLayer;
///
/// let layer = IdempotentPathsLayer::new(["/shop.Catalogue/*", "/shop.Basket/Show"]);
/// assert!(layer.allows("/shop.Catalogue/Search"));
/// assert!(layer.allows("/shop.Basket/Show"));
/// assert!(!layer.allows("/shop.Basket/Order"));
///
/// let error = IdempotentPathsLayer::try_new(["shop.Basket/Show"]).unwrap_err();
/// assert!(error.to_string().contains("write it with a leading slash"));
/// # let _ = layer;
/// ```
///
/// # Order
///
/// Outside of [`ReplayBodyLayer`](crate::ReplayBodyLayer) and of every layer that sends copies: they
/// read the mark.
///
/// # Readiness, clones and drop
///
/// Readiness is passed on, the future is the inner service's own. Clones share the paths.
///
/// # Cost
///
/// Two look-ups in hash sets a request, and the extensions' allocation for those that match.
#[derive(Clone, Debug, Default)]
pub struct IdempotentPathsLayer {
    paths: Arc<Paths>,
}

#[derive(Debug, Default)]
struct Paths {
    exact: HashSet<Box<str>>,
    /// With their last slash.
    services: HashSet<Box<str>>,
}

impl IdempotentPathsLayer {
    /// Lets requests to `paths` be sent twice.
    ///
    /// # Panics
    ///
    /// If a path makes no sense: [`try_new`](Self::try_new) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn new(paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        match Self::try_new(paths) {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`new`](Self::new), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`HttpBuildError::Path`] if a path is empty, has no leading slash, has a wildcard anywhere
    /// but as its whole last part, has a part `.` or `..`, or holds what no path can.
    pub fn try_new(
        paths: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, HttpBuildError> {
        let mut sorted = Paths::default();
        for path in paths {
            let path = path.as_ref();
            if let Some(problem) = problem_of(path) {
                return Err(HttpBuildError::Path {
                    path: path.to_owned(),
                    problem,
                });
            }
            match path.strip_suffix('*') {
                Some(service) => sorted.services.insert(service.into()),
                None => sorted.exact.insert(path.into()),
            };
        }
        Ok(Self {
            paths: Arc::new(sorted),
        })
    }

    /// Whether requests to `path` get the mark.
    #[must_use]
    pub fn allows(&self, path: &str) -> bool {
        self.paths.allow(path)
    }
}

impl Paths {
    fn allow(&self, path: &str) -> bool {
        if self.exact.contains(path) {
            return true;
        }
        path.rfind('/').is_some_and(|slash| {
            let (service, method) = path.split_at(slash + 1);
            // What stands before it was looked at when the layer was built.
            !method.is_empty() && self.services.contains(service) && !has_dots(method)
        })
    }
}

/// Whether a part of this path is `.` or `..` to some server: percent-encoded, between slashes that
/// are encoded or lean back, or with parameters after it.
fn has_dots(path: &str) -> bool {
    if !path.contains(['.', '%']) {
        return false;
    }
    let mut decoded = path.to_ascii_lowercase();
    for (code, letter) in [("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("%3b", ";")] {
        decoded = decoded.replace(code, letter);
    }
    let mut parts = decoded.split(['/', '\\']);
    parts.any(|part| matches!(part.split(';').next(), Some("." | "..")))
}

fn problem_of(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty, write it like \"/package.Service/Method\"");
    }
    if !path.starts_with('/') {
        return Some("write it with a leading slash, like \"/package.Service/Method\"");
    }
    if path.contains(['?', '#']) || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Some("write the path alone, without query, fragment or white space");
    }
    let stem = match path.strip_suffix("/*") {
        Some("") => return Some("name the service before the wildcard: \"/package.Service/*\""),
        Some(stem) => stem,
        None => path,
    };
    if stem.contains('*') {
        return Some(
            "a wildcard stands for all methods of one service and nothing else: write \"/package.Service/*\"",
        );
    }
    if has_dots(path) {
        return Some("a part that is `.` or `..` leads elsewhere: write the path that it leads to");
    }
    PathAndQuery::try_from(path)
        .is_err()
        .then_some("no URI can hold it, write the path as it is sent")
}

impl<S> Layer<S> for IdempotentPathsLayer {
    type Service = IdempotentPaths<S>;

    fn layer(&self, inner: S) -> IdempotentPaths<S> {
        IdempotentPaths {
            inner,
            paths: self.paths.clone(),
        }
    }
}

/// The service that [`IdempotentPathsLayer`] makes.
#[derive(Clone, Debug)]
pub struct IdempotentPaths<S> {
    inner: S,
    paths: Arc<Paths>,
}

impl<S, B> Service<Request<B>> for IdempotentPaths<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if self.paths.allow(request.uri().path()) {
            request.extensions_mut().insert(Idempotent);
        }
        self.inner.call(request)
    }
}
