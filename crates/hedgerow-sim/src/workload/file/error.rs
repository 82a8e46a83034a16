//! What is wrong with a workload file: all of it at once.

use std::fmt;

use hedgerow::config::ConfigErrors;

/// Everything that is wrong with a workload file, one mistake a line, each with its line, its key, what
/// was written and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadError {
    mistakes: Vec<String>,
}

impl WorkloadError {
    pub(crate) fn one(mistake: String) -> Self {
        Self {
            mistakes: vec![mistake],
        }
    }

    /// Every mistake, with its place.
    #[must_use]
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }
}

impl From<ConfigErrors> for WorkloadError {
    fn from(errors: ConfigErrors) -> Self {
        let mistakes = errors.mistakes().iter().map(ToString::to_string);
        Self {
            mistakes: mistakes.collect(),
        }
    }
}

impl fmt::Display for WorkloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistakes.join("\n"))
    }
}

impl std::error::Error for WorkloadError {}
