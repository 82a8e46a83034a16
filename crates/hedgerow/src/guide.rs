//! The guide: one page a subject.
