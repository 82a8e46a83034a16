//! The drain layer as it is configured.

use hedgerow_hedge::DrainLayer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assemble::Part;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::member::{Given, Member};
use super::order::Place;
use super::time::ConfigDuration;

/// Lets attempts that lost a race finish in the background, instead of dropping them.
///
/// Belongs right beneath a hedge. See [`DrainLayer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    description = "Lets attempts that lost a race finish in the background, instead of dropping them. Belongs right beneath a hedge."
)]
#[non_exhaustive]
pub struct DrainConfig {
    /// How long a loser may run on.
    pub patience: ConfigDuration,
    /// How many losers may run at a time.
    pub at_most: u64,
}

impl DrainConfig {
    /// Losers run on for `patience` each, and `at_most` of them at a time.
    #[must_use]
    pub const fn new(patience: ConfigDuration, at_most: u64) -> Self {
        Self { patience, at_most }
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn build(&self) -> Result<DrainLayer, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&mut mistakes);
        mistakes.judge(built)
    }

    pub(crate) fn assemble(self, mistakes: &mut Mistakes) -> Option<DrainLayer> {
        let at_most = usize::try_from(self.at_most).unwrap_or(usize::MAX);
        let tried = DrainLayer::try_new(self.patience.get(), at_most);
        if self.patience.get().is_zero() {
            let error = tried.as_ref().err()?;
            mistakes.refuse("patience", self.patience, error);
        }
        if self.at_most == 0 {
            let error = tried.as_ref().err()?;
            mistakes.refuse("at_most", self.at_most, error);
        }
        tried.ok()
    }
}

impl Describe for DrainConfig {
    const NAME: &'static str = "drain";
}

impl Member for DrainConfig {
    fn part(&self, _: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        self.assemble(mistakes).map(Part::Drain)
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.drain(warn);
    }
}
