//! Whatever a workload file describes.

use std::path::Path;

use hedgerow::config::reading;

use crate::congestion::Congestion;
use crate::workload::{Workload, WorkloadError, folder};

/// A workload of either kind: one call after the other, or calls that meet each other in queues.
///
/// # Examples
///
/// ```
/// use hedgerow_sim::Scenario;
///
/// assert!(matches!(Scenario::named("w4"), Some(Scenario::Calls(_))));
/// assert!(matches!(Scenario::named("w9"), Some(Scenario::Congestion(_))));
/// ```
#[derive(Clone, Debug)]
pub enum Scenario {
    /// Calls that do not wait for each other: a law of latencies.
    Calls(Workload),
    /// Calls at replicas with queues.
    Congestion(Congestion),
}

impl Scenario {
    /// The catalogue, in the order of its names: `w0` to `w4` and `w7` to `w10`.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all: Vec<_> = Workload::all().into_iter().map(Self::Calls).collect();
        let place = all.len() - 1;
        all.insert(place, Self::Congestion(Congestion::w9()));
        all
    }

    /// The one of the catalogue with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let wanted = name.trim();
        Self::all()
            .into_iter()
            .find(|scenario| scenario.name().eq_ignore_ascii_case(wanted))
    }

    /// Reads a TOML file of either kind: one with replicas or phases is of [`Congestion`].
    ///
    /// # Errors
    ///
    /// [`WorkloadError`] with every mistake, its place, and what to write; or if the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, WorkloadError> {
        let text = reading::text(path).map_err(WorkloadError::one)?;
        let congested = ["replicas", "phase", "deadline_ms", "per_second"];
        let table: Option<toml::Table> = text.parse().ok();
        if table.is_some_and(|table| congested.iter().any(|key| table.contains_key(*key))) {
            return Congestion::parse(&text).map(Self::Congestion);
        }
        Workload::parse_beside(&text, folder(path)).map(Self::Calls)
    }

    /// Its name, such as `w4`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Calls(workload) => workload.name(),
            Self::Congestion(congestion) => congestion.name(),
        }
    }

    /// What it is, on one line.
    #[must_use]
    pub fn description(&self) -> &str {
        match self {
            Self::Calls(workload) => workload.description(),
            Self::Congestion(congestion) => congestion.description(),
        }
    }
}
