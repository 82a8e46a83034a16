//! Why a layer was refused.

/// A setting that makes no sense, with what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpBuildError {
    /// A cap that lets no body be shared.
    #[error(
        "a cap of 0 bytes shares no body: write how many bytes of a body may be kept, like 65_536, \
         or leave the layer out"
    )]
    Cap,
    /// Nothing may be held, or more than a reader reads.
    #[error(
        "what is held of a stream until its first content needs bounds: write at least 1 event, and 1 byte to \
         8 MiB, like 64 and 262_144, or leave the layer out"
    )]
    Held,
    /// A name that no header of milliseconds can have.
    #[error(
        "{name:?} is no header to tell a time by: write a name of letters, digits and hyphens, like \"x-timeout-ms\"; \
         for `grpc-timeout` there is `grpc()`"
    )]
    Header {
        /// The name as it was given.
        name: String,
    },
    /// A longest time of nothing.
    #[error(
        "nothing can be answered in no time: write a longest time above zero, like 30 s, or leave it out"
    )]
    AtMost,
    /// A prefix of names that exporters cannot carry.
    #[error(
        "names cannot begin with {0:?}: write letters, digits, `_`, `:` and `.`, first a letter"
    )]
    Prefix(String),
    /// A path that no request can have, or a wildcard where none is understood.
    #[error("{path:?} is no path to allow: {problem}")]
    Path {
        /// The path as it was given.
        path: String,
        /// What to write instead.
        problem: &'static str,
    },
}
