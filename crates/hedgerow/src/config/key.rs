//! What a request is told apart by, as it is configured.

use http::{HeaderName, Request};

/// A key that can be read off an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestKey {
    Host,
    Path,
    Header(HeaderName),
}

const WRITE: &str = "write \"host\", \"path\" or \"header:NAME\"";

/// The header of a text like "header:x-cost".
pub(crate) fn header(text: &str) -> Result<HeaderName, &'static str> {
    let name = text.strip_prefix("header:");
    let name = name.and_then(|name| HeaderName::try_from(name).ok());
    name.ok_or("write \"header:NAME\" with the name of a header")
}

impl RequestKey {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "host" => Ok(Self::Host),
            "path" => Ok(Self::Path),
            _ => {
                let name = text.strip_prefix("header:");
                let name = name.ok_or_else(|| format!("there is no such key: {WRITE}"))?;
                let name = HeaderName::try_from(name);
                name.map(Self::Header)
                    .map_err(|_| format!("that is no header's name: {WRITE}"))
            }
        }
    }

    /// The key of this request; those that have none share one.
    pub(crate) fn of<B>(&self, request: &Request<B>) -> Option<String> {
        match self {
            Self::Host => {
                let host = request.headers().get(http::header::HOST);
                let named = || host.and_then(|host| host.to_str().ok());
                // What a proxy or a client was asked for comes before what it was told.
                request.uri().host().or_else(named).map(str::to_owned)
            }
            Self::Path => Some(request.uri().path().to_owned()),
            Self::Header(name) => {
                let value = request.headers().get(name)?;
                Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
            }
        }
    }
}
