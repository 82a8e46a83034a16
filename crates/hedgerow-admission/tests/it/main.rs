//! What the crate promises, one file a subject.
