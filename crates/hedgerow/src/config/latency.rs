//! The latency layer as it is configured.

use hedgerow_core::OkWins;
use hedgerow_latency::{Latency, LatencyLayer};
use hedgerow_retry::TimeoutsAreCutOff;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assemble::Part;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::member::{Given, Member};
use super::order::Place;

/// Records how long each attempt takes, or each call, for a hedge to read and for you.
///
/// See [`LatencyLayer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    description = "Records how long each attempt takes, or each call, for a hedge to read and for you."
)]
#[non_exhaustive]
pub struct LatencyConfig {
    /// How many latencies one half of the window holds that percentiles are read from, 1 to
    /// 2147483648.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = super::default::window()))]
    pub window: Option<u64>,
}

/// The latency layer of a configured stack: a timeout beneath it is cut off, not left out.
pub type ConfiguredLatency = LatencyLayer<TimeoutsAreCutOff<OkWins>>;

impl LatencyConfig {
    /// The layer.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn build(&self) -> Result<ConfiguredLatency, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&mut mistakes);
        mistakes.judge(built)
    }

    pub(crate) fn assemble(self, mistakes: &mut Mistakes) -> Option<ConfiguredLatency> {
        let latency = match self.window {
            None => Latency::new(),
            Some(half) => mistakes.attempt("window", half, Latency::try_with_window(half))?,
        };
        Some(LatencyLayer::new(latency).classify(TimeoutsAreCutOff::default()))
    }
}

impl Describe for LatencyConfig {
    const NAME: &'static str = "latency";
}

impl Member for LatencyConfig {
    fn part(&self, given: &Given, _: &mut Mistakes) -> Option<Part> {
        given.latency.clone().map(Part::Latency)
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.latency(warn);
    }
}
