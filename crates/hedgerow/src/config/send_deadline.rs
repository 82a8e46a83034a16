//! The layer that tells a server how long the caller waits, as it is configured.

use hedgerow_http::SendDeadlineLayer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assemble::Part;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::member::{Given, Member};
use super::order::Place;
use super::receive_deadline::header;

/// Tells the server how long the caller still waits.
///
/// See [`SendDeadlineLayer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "Tells the server how long the caller still waits.")]
#[non_exhaustive]
pub struct SendDeadlineConfig {
    /// The header: "grpc-timeout" as gRPC has it, any other one as a whole number of milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = super::default::timeout_header()))]
    pub header: Option<String>,
}

impl SendDeadlineConfig {
    /// Tells it by this header.
    #[must_use]
    pub fn new(header: impl Into<String>) -> Self {
        Self {
            header: Some(header.into()),
        }
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn build(&self) -> Result<SendDeadlineLayer, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&mut mistakes);
        mistakes.judge(built)
    }

    pub(crate) fn assemble(&self, mistakes: &mut Mistakes) -> Option<SendDeadlineLayer> {
        header(self.header.as_deref(), mistakes).map(SendDeadlineLayer::with)
    }
}

impl Describe for SendDeadlineConfig {
    const NAME: &'static str = "send_deadline";
}

impl Member for SendDeadlineConfig {
    fn part(&self, _: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        self.assemble(mistakes).map(Part::SendDeadline)
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.send_deadline(warn);
    }
}
