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
    /// A path that no request can have, or a wildcard where none is understood.
    #[error("{path:?} is no path to allow: {problem}")]
    Path {
        /// The path as it was given.
        path: String,
        /// What to write instead.
        problem: &'static str,
    },
}
