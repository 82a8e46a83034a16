//! What a client is set to: key, address, headers, bounds.

use std::fmt;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

use super::base::{Base, Version};
use crate::error::Provider;

/// The most of a whole answer that is read, if nothing else is said: 64 MiB.
const MAX_BODY_BYTES: usize = 64 << 20;
/// The most that one event of a stream may hold, if nothing else is said: 16 MiB.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// A secret, which is shown to nobody: its `Debug` says `ApiKey(..)`.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }
}

impl From<&str> for ApiKey {
    fn from(key: &str) -> Self {
        Self::new(key)
    }
}

impl From<String> for ApiKey {
    fn from(key: String) -> Self {
        Self(key)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// A client cannot be built from what it was given.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no key.
    #[error(
        "no API key: give one by `api_key`, set {variable}, or say `no_api_key` if the server wants none"
    )]
    NoKey {
        /// The variable of the environment that is read.
        variable: &'static str,
    },
    /// The key cannot be sent.
    #[error(
        "the API key from {origin} {what}: it may hold visible ASCII characters alone; look for a line break or quotes at its ends"
    )]
    Key {
        /// Where it is from.
        origin: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The base URL is not one.
    #[error("the base URL `{url}` cannot be used: {what}")]
    BaseUrl {
        /// The URL.
        url: String,
        /// Why not, and what to write.
        what: &'static str,
    },
    /// A header cannot be sent.
    #[error("the header `{name}` cannot be sent: its {what} is not one of HTTP")]
    Header {
        /// Its name.
        name: String,
        /// Its name or its value.
        what: &'static str,
    },
    /// A bound is zero.
    #[error("`{name}` is 0: nothing could be read; write a number of bytes such as 67108864")]
    Zero {
        /// Of which setting.
        name: &'static str,
    },
}

/// What was said so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    key: Option<ApiKey>,
    no_key: bool,
    base_url: Option<String>,
    headers: Vec<(String, ApiKey)>,
    max_body_bytes: Option<usize>,
    max_event_bytes: Option<usize>,
    idempotent: bool,
}

/// All that a client needs to write requests and to read answers.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) provider: Provider,
    pub(crate) base: Base,
    pub(crate) headers: HeaderMap,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_event_bytes: usize,
    pub(crate) idempotent: bool,
}

/// The names of things at a provider.
struct Names {
    key: &'static str,
    base_url: &'static str,
    default_url: &'static str,
    version: Version,
}

impl Provider {
    const fn names(self) -> Names {
        match self {
            Self::OpenAi => Names {
                key: "OPENAI_API_KEY",
                base_url: "OPENAI_BASE_URL",
                default_url: "https://api.openai.com/v1",
                version: Version::IfNoPath,
            },
            Self::Anthropic => Names {
                key: "ANTHROPIC_API_KEY",
                base_url: "ANTHROPIC_BASE_URL",
                default_url: "https://api.anthropic.com",
                version: Version::Always,
            },
        }
    }

    fn key_header(
        self,
        key: &str,
    ) -> (HeaderName, Result<HeaderValue, header::InvalidHeaderValue>) {
        match self {
            Self::OpenAi => {
                let value = HeaderValue::from_str(&format!("Bearer {key}"));
                (header::AUTHORIZATION, value)
            }
            Self::Anthropic => (
                HeaderName::from_static("x-api-key"),
                HeaderValue::from_str(key),
            ),
        }
    }
}

impl Said {
    pub(crate) fn key(&mut self, key: ApiKey) {
        self.key = Some(key);
        self.no_key = false;
    }

    pub(crate) fn no_key(&mut self) {
        self.key = None;
        self.no_key = true;
    }

    pub(crate) fn base_url(&mut self, url: String) {
        self.base_url = Some(url);
    }

    pub(crate) fn header(&mut self, name: String, value: String) {
        self.headers.push((name, ApiKey(value)));
    }

    pub(crate) const fn max_body_bytes(&mut self, max: usize) {
        self.max_body_bytes = Some(max);
    }

    pub(crate) const fn max_event_bytes(&mut self, max: usize) {
        self.max_event_bytes = Some(max);
    }

    pub(crate) const fn idempotent(&mut self) {
        self.idempotent = true;
    }

    /// What was said, and what stands in the environment.
    pub(crate) fn settle(
        &self,
        provider: Provider,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Settings, ConfigError> {
        let names = provider.names();
        // An empty variable is how one unsets it in many files.
        let env = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let url = self.base_url.clone().or_else(|| env(names.base_url));
        let base = Base::parse(url.as_deref().unwrap_or(names.default_url), names.version)?;
        let mut headers = HeaderMap::new();
        if provider == Provider::Anthropic {
            let version = HeaderValue::from_static(crate::anthropic::VERSION);
            headers.insert("anthropic-version", version);
        }
        let agent = concat!("hedgerow/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        if !self.no_key {
            let (key, origin) = match &self.key {
                Some(key) => (key.clone(), "`api_key`"),
                None => {
                    let key = env(names.key).ok_or(ConfigError::NoKey {
                        variable: names.key,
                    })?;
                    (ApiKey(key), names.key)
                }
            };
            let (name, value) = key_header(provider, &key, origin)?;
            headers.insert(name, value);
        }
        for (name, ApiKey(value)) in &self.headers {
            let wrong = |what| ConfigError::Header {
                name: name.clone(),
                what,
            };
            let name = HeaderName::try_from(name.as_str()).map_err(|_| wrong("name"))?;
            let mut value = HeaderValue::from_str(value.as_str()).map_err(|_| wrong("value"))?;
            // Which of them are secrets nobody can tell.
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let bound = |name, said: Option<usize>, default| match said {
            Some(0) => Err(ConfigError::Zero { name }),
            said => Ok(said.unwrap_or(default)),
        };
        Ok(Settings {
            provider,
            base,
            headers,
            max_body_bytes: bound("max_body_bytes", self.max_body_bytes, MAX_BODY_BYTES)?,
            max_event_bytes: bound("max_event_bytes", self.max_event_bytes, MAX_EVENT_BYTES)?,
            idempotent: self.idempotent,
        })
    }
}

fn key_header(
    provider: Provider,
    ApiKey(key): &ApiKey,
    origin: &'static str,
) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let wrong = |what| ConfigError::Key { origin, what };
    if key.is_empty() {
        return Err(wrong("is empty"));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("holds a character that no key has"));
    }
    let (name, value) = provider.key_header(key);
    let mut value = value.map_err(|_| wrong("holds a character that no key has"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The environment of this process. What is no text is as if it were not there.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The setters of a builder, which stand once for both clients.
macro_rules! setters {
    ($key:literal, $url:literal, $default:literal) => {
        /// Sets the key.
        #[doc = concat!("Defaults to `", $key, "` of the environment.")]
        pub fn api_key(mut self, key: impl Into<$crate::client::ApiKey>) -> Self {
            self.said.key(key.into());
            self
        }

        /// Sends no key: for servers of one's own, and where a layer beneath adds it.
        pub fn no_api_key(mut self) -> Self {
            self.said.no_key();
            self
        }

        /// Sets where the API is, with or without `/v1` and a slash at the end.
        #[doc = concat!("Defaults to `", $url, "` of the environment, and without it to `", $default, "`.")]
        pub fn base_url(mut self, url: impl Into<String>) -> Self {
            self.said.base_url(url.into());
            self
        }

        /// Sends a header along with each request; it takes the place of one that the client sends by
        /// itself.
        pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.said.header(name.into(), value.into());
            self
        }

        /// Refuses answers of more than `max` bytes, whole or streamed and put together. Defaults to
        /// 64 MiB.
        pub fn max_body_bytes(mut self, max: usize) -> Self {
            self.said.max_body_bytes(max);
            self
        }

        /// Refuses streams with an event of more than `max` bytes. Defaults to 16 MiB.
        pub fn max_event_bytes(mut self, max: usize) -> Self {
            self.said.max_event_bytes(max);
            self
        }

        /// Marks each request as one that layers beneath may send twice
        /// ([`Idempotent`](hedgerow::Idempotent)), to hedge it or to try again. A question asked again does
        /// no harm, but costs what it costs.
        pub fn idempotent(mut self) -> Self {
            self.said.idempotent();
            self
        }
    };
}

pub(crate) use setters;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(set: impl FnOnce(&mut Said)) -> Said {
        let mut said = Said::default();
        set(&mut said);
        said
    }

    fn empty(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn key_and_address_come_from_the_environment_and_an_argument_goes_before() {
        let env = |name: &str| match name {
            "OPENAI_API_KEY" => Some("env-key".to_owned()),
            "OPENAI_BASE_URL" => Some("http://env.test".to_owned()),
            _ => None,
        };
        let settings = Said::default().settle(Provider::OpenAi, env).unwrap();
        assert_eq!(settings.headers["authorization"], "Bearer env-key");
        let uri = settings.base.uri("/models").unwrap();
        assert_eq!(uri, "http://env.test/v1/models");

        let both = said(|said| {
            said.key("mine".into());
            said.base_url("http://mine.test/v1".to_owned());
        });
        let settings = both.settle(Provider::OpenAi, env).unwrap();
        assert_eq!(settings.headers["authorization"], "Bearer mine");
        let uri = settings.base.uri("/models").unwrap();
        assert_eq!(uri, "http://mine.test/v1/models");
    }

    #[test]
    fn each_provider_has_its_own_variables_and_headers() {
        let env = |name: &str| (name == "ANTHROPIC_API_KEY").then(|| "key".to_owned());
        let settings = Said::default().settle(Provider::Anthropic, env).unwrap();
        assert_eq!(settings.headers["x-api-key"], "key");
        assert_eq!(settings.headers["anthropic-version"], "2023-06-01");
        assert!(!settings.headers.contains_key("authorization"));
        let uri = settings.base.uri("/messages").unwrap();
        assert_eq!(uri, "https://api.anthropic.com/v1/messages");
        let missing = Said::default().settle(Provider::OpenAi, env).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "no API key: give one by `api_key`, set OPENAI_API_KEY, or say `no_api_key` if the server wants none"
        );
    }

    #[test]
    fn bad_keys_headers_and_bounds_are_refused_with_what_to_do_and_without_the_secret() {
        for (key, says) in [
            ("sk-secret\n", "line break"),
            (" sk-secret", "line break"),
            ("sk-sécret", "visible ASCII"),
            ("", "is empty"),
        ] {
            let keyed = said(|said| said.key(key.into()));
            let error = keyed.settle(Provider::OpenAi, empty).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(says) && text.contains("`api_key`"), "{text}");
            assert!(!format!("{text}{error:?}").contains("cret"), "{text}");
        }
        let blank = |_: &str| Some("  ".to_owned());
        let error = Said::default().settle(Provider::OpenAi, blank).unwrap_err();
        assert!(matches!(error, ConfigError::NoKey { .. }), "{error}");
        for (name, value, what) in [("a b", "c", "name"), ("a", "b\nc", "value")] {
            let with = said(|said| {
                said.no_key();
                said.header(name.to_owned(), value.to_owned());
            });
            let error = with.settle(Provider::OpenAi, empty).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
        let zero = said(|said| {
            said.no_key();
            said.max_body_bytes(0);
        });
        let error = zero.settle(Provider::OpenAi, empty).unwrap_err();
        assert_eq!(
            error,
            ConfigError::Zero {
                name: "max_body_bytes"
            }
        );
    }

    #[test]
    fn secrets_are_never_shown() {
        let said = said(|said| {
            said.key("sk-secret".into());
            said.header("x-other".to_owned(), "hidden-value".to_owned());
        });
        for provider in [Provider::OpenAi, Provider::Anthropic] {
            let settings = said.settle(provider, empty).unwrap();
            let shown = format!("{settings:?} {said:?}");
            assert!(!shown.contains("secret"), "{shown}");
            assert!(!shown.contains("hidden-value"), "{shown}");
        }
    }

    #[test]
    fn a_header_takes_the_place_of_the_clients_own() {
        let with = said(|said| {
            said.key("k".into());
            said.header("Anthropic-Version".to_owned(), "2030-01-01".to_owned());
        });
        let settings = with.settle(Provider::Anthropic, empty).unwrap();
        assert_eq!(settings.headers["anthropic-version"], "2030-01-01");
    }
}
