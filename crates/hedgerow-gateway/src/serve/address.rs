//! Addresses of upstreams: what is written once, and where a request goes.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use thiserror::Error;

/// The address of an upstream, taken apart once.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end; empty for none.
    path: String,
}

/// Why an address is none of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is no address at all, or one without a host.
    #[error("it is no address: write one like \"https://api.openai.com/v1\"")]
    Unreadable,
    /// It is neither http nor https.
    #[error("write an address that begins with http:// or https://")]
    Scheme,
    /// It has a key, a password, a query or a fragment in it.
    #[error(
        "write scheme, host and path alone: a key belongs into the environment, a query is the \
         client's"
    )]
    TooMuch,
}

impl Base {
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        // A fragment is dropped in silence by the parser.
        if text.contains(['?', '#', '@']) {
            return Err(AddressError::TooMuch);
        }
        let uri: Uri = text.trim().parse().map_err(|_| AddressError::Unreadable)?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.ok_or(AddressError::Scheme)?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(AddressError::Scheme);
        }
        let authority = parts.authority.ok_or(AddressError::Unreadable)?;
        if authority.host().is_empty() {
            return Err(AddressError::Unreadable);
        }
        let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::path);
        Ok(Self {
            scheme,
            authority,
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    /// Where a request for `asked` goes. An address that ends in `/v1`, as SDKs are told it, is not doubled.
    pub(crate) fn join(&self, asked: &PathAndQuery) -> Result<Uri, http::Error> {
        let mut beneath = asked.as_str();
        if self.path.ends_with("/v1")
            && let Some(rest) = beneath.strip_prefix("/v1")
            && (rest.is_empty() || rest.starts_with(['/', '?']))
        {
            beneath = rest;
        }
        let builder = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone());
        if self.path.is_empty() {
            return builder.path_and_query(asked.clone()).build();
        }
        builder
            .path_and_query(format!("{}{beneath}", self.path))
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, asked: &str) -> String {
        let base = Base::parse(base).unwrap();
        base.join(&asked.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn an_address_is_written_as_sdks_are_told_it() {
        assert_eq!(
            joined("https://a.test/v1", "/v1/models?x=1"),
            "https://a.test/v1/models?x=1"
        );
        assert_eq!(
            joined("https://a.test/v1/", "/v1/models"),
            "https://a.test/v1/models"
        );
        assert_eq!(
            joined("https://a.test", "/v1/models"),
            "https://a.test/v1/models"
        );
        assert_eq!(
            joined("http://a.test:81/base", "/v1/models"),
            "http://a.test:81/base/v1/models"
        );
        assert_eq!(joined("http://a.test/v1", "/v10"), "http://a.test/v1/v10");
    }

    #[test]
    fn an_address_with_more_in_it_is_refused() {
        for (text, error) in [
            ("", AddressError::Unreadable),
            ("api.openai.com/v1", AddressError::Unreadable),
            ("ftp://a.test", AddressError::Scheme),
            ("/v1", AddressError::Scheme),
            ("https://user:key@a.test", AddressError::TooMuch),
            ("https://a.test/v1?key=1", AddressError::TooMuch),
            ("https://a.test/v1#a", AddressError::TooMuch),
        ] {
            assert_eq!(Base::parse(text).unwrap_err(), error, "{text}");
        }
    }
}
