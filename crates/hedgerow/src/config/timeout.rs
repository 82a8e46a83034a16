//! The timeout layer as it is configured.

use hedgerow_retry::TimeoutLayer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assemble::Part;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::member::{Given, Member};
use super::order::Place;
use super::time::ConfigDuration;

/// Gives up a call, or an attempt, that takes longer.
///
/// Outside of a hedge it bounds the whole call, with all its attempts; beneath a hedge each attempt. See
/// [`TimeoutLayer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "Gives up a call, or beneath a hedge an attempt, that takes longer.")]
#[non_exhaustive]
pub struct TimeoutConfig {
    /// How long it may take.
    pub after: ConfigDuration,
}

impl TimeoutConfig {
    /// Gives up what takes longer than `after`.
    #[must_use]
    pub const fn new(after: ConfigDuration) -> Self {
        Self { after }
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn build(&self) -> Result<TimeoutLayer, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&mut mistakes);
        mistakes.judge(built)
    }

    pub(crate) fn assemble(self, mistakes: &mut Mistakes) -> Option<TimeoutLayer> {
        let tried = TimeoutLayer::try_new(self.after.get());
        let tried = tried.map_err(|_| NO_TIME);
        mistakes.attempt("after", self.after, tried)
    }
}

/// What to write instead of no time at all, in a layer that is nothing but its time.
pub(crate) const NO_TIME: &str =
    "nothing can be answered in no time: write a time above zero, or leave the layer out";

impl Describe for TimeoutConfig {
    const NAME: &'static str = "timeout";
}

impl Member for TimeoutConfig {
    fn part(&self, _: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        self.assemble(mistakes).map(Part::Timeout)
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.timeout(self.after.get(), warn);
    }
}
