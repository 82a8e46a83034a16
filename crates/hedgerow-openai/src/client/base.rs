//! Where an API is.

use std::fmt;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use super::settings::ConfigError;

/// A base URL, to which paths are added.
#[derive(Clone, PartialEq)]
pub(crate) struct Base {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end.
    path: String,
    query: Option<String>,
}

/// What stands before the paths of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// A base URL without a path gets `/v1`; any other one has it, or something in its place.
    IfNoPath,
    /// A base URL gets `/v1`, unless it ends in it.
    Always,
}

impl Base {
    pub(super) fn parse(url: &str, version: Version) -> Result<Self, ConfigError> {
        let wrong = |what: &'static str| ConfigError::BaseUrl {
            url: shown(url),
            what,
        };
        let uri: Uri = url.trim().parse().map_err(|_| {
            wrong("it is not a URL: write one such as `https://api.example.com/v1`")
        })?;
        let parts = uri.into_parts();
        let scheme = match parts.scheme {
            Some(scheme) if scheme == Scheme::HTTP || scheme == Scheme::HTTPS => scheme,
            _ => return Err(wrong("it begins with neither `https://` nor `http://`")),
        };
        let authority = parts.authority.ok_or_else(|| wrong("it has no host"))?;
        if authority.host().is_empty() {
            return Err(wrong("it has no host"));
        }
        if authority.as_str().contains('@') {
            return Err(wrong(
                "it holds a name or a password: give the key by `api_key`",
            ));
        }
        let (path, query) = match &parts.path_and_query {
            Some(rest) => (rest.path(), rest.query()),
            None => ("", None),
        };
        let mut path = path.trim_end_matches('/').to_owned();
        match version {
            Version::IfNoPath if path.is_empty() => path.push_str("/v1"),
            Version::Always if !path.ends_with("/v1") => path.push_str("/v1"),
            Version::IfNoPath | Version::Always => {}
        }
        Ok(Self {
            scheme,
            authority,
            path,
            query: query.map(ToOwned::to_owned),
        })
    }

    /// What stands before the paths.
    #[cfg(feature = "batch")]
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The name by which a batch knows what is at `path`: behind `/v1`, whatever stands before it here.
    #[cfg(feature = "batch")]
    pub(crate) fn endpoint(&self, path: &str) -> String {
        match path.strip_prefix(&*self.path) {
            Some(rest) if rest.starts_with('/') => format!("/v1{rest}"),
            _ if path.starts_with("/v1/") => path.to_owned(),
            _ => format!("/v1/{}", path.trim_start_matches('/')),
        }
    }

    /// The URI of an endpoint that [`endpoint`](Self::endpoint) has named.
    #[cfg(feature = "batch")]
    pub(crate) fn endpoint_uri(&self, endpoint: &str) -> Result<Uri, http::Error> {
        self.uri(endpoint.strip_prefix("/v1").unwrap_or(endpoint))
    }

    /// The URI of `path`, which begins with a slash and may have a query.
    pub(crate) fn uri(&self, path: &str) -> Result<Uri, http::Error> {
        let mut whole = format!("{}/{}", self.path, path.trim_start_matches('/'));
        if let Some(query) = &self.query {
            whole.push(if whole.contains('?') { '&' } else { '?' });
            whole.push_str(query);
        }
        let whole: PathAndQuery = whole.parse()?;
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(whole)
            .build()
    }
}

/// A URL without what might be a password.
fn shown(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => url.to_owned(),
    }
}

/// A name as one part of a path, or several: what has a meaning in a URL is written by its bytes.
pub(crate) fn escaped(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for &byte in name.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:@".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

// === impl Debug ===

/// Without the query, which may hold a key.
impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = if self.query.is_some() { "?.." } else { "" };
        let Self {
            scheme,
            authority,
            path,
            ..
        } = self;
        write!(f, "{scheme}://{authority}{path}{query}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(url: &str, version: Version) -> String {
        let base = Base::parse(url, version).expect("a base URL");
        base.uri("/chat/completions").expect("a path").to_string()
    }

    #[test]
    fn a_base_url_may_have_v1_or_not_and_slashes_at_its_end() {
        let wanted = "http://h.test:8080/v1/chat/completions";
        for url in [
            "http://h.test:8080",
            "http://h.test:8080/",
            "http://h.test:8080/v1",
            "http://h.test:8080/v1/",
            "http://h.test:8080/v1//",
            " http://h.test:8080/v1\n",
        ] {
            assert_eq!(uri(url, Version::IfNoPath), wanted, "{url:?}");
            assert_eq!(uri(url, Version::Always), wanted, "{url:?}");
        }
    }

    #[test]
    fn a_path_of_its_own_is_kept_and_so_is_a_query() {
        for (url, openai, anthropic) in [
            ("https://h/api/v3", "/api/v3", "/api/v3/v1"),
            ("https://h/anthropic/", "/anthropic", "/anthropic/v1"),
            ("https://h/a/v1", "/a/v1", "/a/v1"),
            ("https://h/xv1", "/xv1", "/xv1/v1"),
        ] {
            assert_eq!(
                uri(url, Version::IfNoPath),
                format!("https://h{openai}/chat/completions")
            );
            assert_eq!(
                uri(url, Version::Always),
                format!("https://h{anthropic}/chat/completions")
            );
        }
        let azure = Base::parse(
            "https://h/openai/deployments/d?api-version=1",
            Version::IfNoPath,
        );
        let azure = azure.expect("a base URL");
        assert_eq!(
            azure.uri("files?limit=2").expect("a path"),
            "https://h/openai/deployments/d/files?limit=2&api-version=1"
        );
        assert_eq!(format!("{azure:?}"), "https://h/openai/deployments/d?..");
    }

    #[test]
    fn what_is_no_base_url_is_refused_with_what_to_write() {
        for (url, says) in [
            ("", "not a URL"),
            ("api.openai.com", "neither"),
            ("localhost:8080", "neither"),
            ("/v1", "neither"),
            ("ftp://h/v1", "neither"),
            ("https://user:secret@h/v1", "give the key by `api_key`"),
            ("https://", "not a URL"),
            ("http://h a/", "not a URL"),
        ] {
            let error = Base::parse(url, Version::IfNoPath)
                .expect_err(url)
                .to_string();
            assert!(error.contains(says), "{url:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_name_in_a_path_stays_one() {
        assert_eq!(escaped("ft:gpt-5:org::a_b~1"), "ft:gpt-5:org::a_b~1");
        assert_eq!(escaped("a b?c#d%é"), "a%20b%3Fc%23d%25%C3%A9");
    }
}
