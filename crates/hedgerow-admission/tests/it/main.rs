//! What the crate promises, one file a subject.
mod limits;
