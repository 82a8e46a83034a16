//! The figures of the stacks that are ready to use: once, for code and for configuration.

use std::time::Duration;

/// What differs from stack to stack; `None`: the layer's default.
pub(crate) struct Numbers {
    pub(crate) deadline: Duration,
    /// Paths whose requests may be sent twice.
    pub(crate) paths: &'static [&'static str],
    #[cfg_attr(
        not(feature = "config"),
        expect(dead_code, reason = "of a stack alone")
    )]
    pub(crate) cap_bytes: Option<u64>,
    pub(crate) attempts: Option<usize>,
    /// The first wait before a retry, and the longest.
    pub(crate) waits: Option<(Duration, Duration)>,
    pub(crate) attempt_timeout: Duration,
    pub(crate) pushback_cap: Option<Duration>,
    /// Retries and copies per 100 calls.
    pub(crate) percent: f64,
    /// The delay of a hedge until the latencies are known.
    pub(crate) initial: Option<Duration>,
    /// How many run at once, in the beginning and at most.
    pub(crate) limit: usize,
    pub(crate) max_limit: Option<usize>,
    pub(crate) max_wait: Duration,
    /// Whether an answer counts at its first content.
    #[cfg_attr(
        not(feature = "config"),
        expect(dead_code, reason = "of a stack alone")
    )]
    pub(crate) first_content: bool,
}

/// A client of an HTTP service.
pub(crate) const HTTP_CLIENT: Numbers = Numbers {
    deadline: Duration::from_secs(30),
    paths: &[],
    cap_bytes: None,
    attempts: Some(3),
    waits: Some((Duration::from_millis(100), Duration::from_secs(2))),
    attempt_timeout: Duration::from_secs(10),
    pushback_cap: None,
    percent: 15.0,
    initial: None,
    limit: 64,
    max_limit: None,
    max_wait: Duration::from_secs(10),
    first_content: false,
};

/// A client of a language model's API.
pub(crate) const LLM_CLIENT: Numbers = Numbers {
    deadline: Duration::from_secs(600),
    paths: &[
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/responses",
    ],
    cap_bytes: Some(4_194_304),
    attempts: None,
    waits: None,
    attempt_timeout: Duration::from_secs(120),
    pushback_cap: Some(Duration::from_secs(60)),
    percent: 10.0,
    initial: Some(Duration::from_secs(30)),
    limit: 16,
    max_limit: Some(256),
    max_wait: Duration::from_secs(120),
    first_content: true,
};
