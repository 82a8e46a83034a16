//! What makes two HTTP requests the same, as it is configured.

use hedgerow_cache::{HttpKey, Tenant};
use http::{HeaderName, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::describe::Describe;
use super::error::Mistakes;
use super::key;

/// What makes two HTTP requests the same, and for whom: see [`HttpKey`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "What makes two HTTP requests the same, and for whom.")]
#[non_exhaustive]
pub struct HttpKeyConfig {
    /// By what requests are told apart.
    #[serde(default)]
    #[schemars(extend("default" = "http"))]
    pub of: KeyName,
    /// Whose answers those are: "everybody", or "header:NAME" for each value of a header.
    pub tenant: String,
    /// Methods beside GET and HEAD whose requests change nothing, like "POST".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = Vec::<String>::new()))]
    pub methods: Vec<String>,
    /// Headers that the answer depends on, beside `Accept` and its like and `Content-Type`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = Vec::<String>::new()))]
    pub headers: Vec<String>,
    /// Members of a JSON body that say nothing, like "user" or "metadata.id".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = Vec::<String>::new()))]
    pub ignore: Vec<String>,
    /// Whom the requests go to, where their URIs do not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("x-default" = "none, the URIs tell"))]
    pub upstream: String,
}

/// By what requests are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[non_exhaustive]
pub enum KeyName {
    /// By what they ask, of whom, and for whom: [`HttpKey`].
    #[default]
    Http,
}

impl HttpKeyConfig {
    /// Keys of GET and HEAD for this tenant: "everybody", or "header:NAME".
    pub fn new(tenant: impl Into<String>) -> Self {
        Self {
            of: KeyName::Http,
            tenant: tenant.into(),
            methods: Vec::new(),
            headers: Vec::new(),
            ignore: Vec::new(),
            upstream: String::new(),
        }
    }

    pub(crate) fn assemble(&self, mistakes: &mut Mistakes) -> Option<HttpKey> {
        let tenant = match self.tenant.as_str() {
            "everybody" => Some(Tenant::everybody("everybody")),
            name => {
                let named = key::header(name).map_err(|_| {
                    "write \"header:NAME\" with the name of a header that tells callers apart, or \
                     \"everybody\" if it does not matter who asks"
                });
                let named = mistakes.attempt("tenant", name, named);
                named.map(|name| Tenant::header(name.as_str()))
            }
        };
        let mut fine = true;
        let mut methods = Vec::new();
        for (at, name) in self.methods.iter().enumerate() {
            let read = Method::from_bytes(name.as_bytes())
                .ok()
                .filter(|method| method.as_str() == method.as_str().to_ascii_uppercase());
            let read = read.ok_or("that is no method: write one like \"POST\"");
            let read = mistakes.attempt(&format!("methods[{at}]"), name, read);
            fine &= read.is_some();
            methods.extend(read);
        }
        let mut headers = Vec::new();
        for (at, name) in self.headers.iter().enumerate() {
            let read = HeaderName::try_from(name)
                .map_err(|_| "that is no header's name: write one like \"accept-version\"");
            let read = mistakes.attempt(&format!("headers[{at}]"), name, read);
            fine &= read.is_some();
            headers.extend(read);
        }
        for (at, path) in self.ignore.iter().enumerate() {
            if path.split('.').any(str::is_empty) {
                let problem =
                    "that names no member: write one like \"user\" or \"metadata.trace_id\"";
                mistakes.refuse(&format!("ignore[{at}]"), path, problem);
                fine = false;
            }
        }
        let key = HttpKey::new(tenant.filter(|_| fine)?)
            .methods(methods)
            .ignore(&self.ignore)
            .upstream(self.upstream.as_str());
        Some(
            headers
                .iter()
                .fold(key, |key, name| key.header(name.as_str())),
        )
    }

    /// Whether it has keys for requests with bodies.
    pub(crate) fn reads_bodies(&self) -> bool {
        !self.methods.is_empty()
    }

    /// Such a method, whose bodies are kept only where it is said that it may be sent twice.
    pub(crate) fn sent_once(&self) -> Option<&str> {
        let once = |method: &&String| matches!(method.as_str(), "POST" | "PATCH");
        self.methods.iter().find(once).map(String::as_str)
    }

    /// As it would be written.
    pub(crate) fn told(&self) -> String {
        super::told(self)
    }
}

impl Describe for HttpKeyConfig {
    const NAME: &'static str = "key";
}
