//! What a stack asks of every kind of layer. Each kind answers in its own file.

use super::assemble::Part;
use super::coalesce::Outer;
use super::describe::{Describe, Description};
use super::error::Mistakes;
use super::hedge::Shared;
use super::latency::ConfiguredLatency;
use super::order::Place;

/// A kind of layer, as its stack deals with it.
pub(crate) trait Member: Named {
    /// The layer; `None` with a mistake.
    fn part(&self, given: &Given, mistakes: &mut Mistakes) -> Option<Part>;

    /// Tells which rules of order it breaks in its place. Defaults to none.
    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        let _ = (place, warn);
    }

    /// What holds if this key is not written; `None` if it says nothing here. Defaults to the default.
    fn holds(&self, key: &str, default: &str) -> Option<String> {
        let _ = key;
        Some(default.to_owned())
    }
}

/// What its stack has for a layer.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// This very layer, if it is one of those that are built first, because others read them.
    pub(crate) latency: Option<ConfiguredLatency>,
    /// What it may share.
    pub(crate) shared: Shared,
    /// The nearest cache outside of it.
    pub(crate) cache: Outer,
    /// Whether files are opened, or looked at as configured alone.
    pub(crate) opens: bool,
}

/// What describes itself, whatever it is.
pub(crate) trait Named {
    fn kind(&self) -> &'static str;

    fn description(&self) -> Description;
}

impl<T: Describe> Named for T {
    fn kind(&self) -> &'static str {
        T::NAME
    }

    fn description(&self) -> Description {
        T::describe()
    }
}
