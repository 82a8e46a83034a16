//! The layer that hears how long the caller waits, as it is configured.

use hedgerow_http::{DeadlineHeader, ReceiveDeadlineLayer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assemble::Part;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::member::{Given, Member};
use super::order::Place;
use super::time::ConfigDuration;

/// Hears how long the caller still waits, and tells every layer beneath.
///
/// The twin of [`SendDeadlineConfig`](super::SendDeadlineConfig), for servers. It ends nothing by itself: a
/// deadline, a retry or an admission beneath does. See [`ReceiveDeadlineLayer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "Hears how long the caller still waits, and tells every layer beneath.")]
#[non_exhaustive]
pub struct ReceiveDeadlineConfig {
    /// The header: "grpc-timeout" as gRPC has it, any other one as a whole number of milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = super::default::timeout_header()))]
    pub header: Option<String>,
    /// No request may take longer, whatever its caller says, or if it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, as long as the caller says"))]
    pub at_most: Option<ConfigDuration>,
    /// So much is taken off what the caller waits, for the answer's way back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = super::default::no_time()))]
    pub reserve: Option<ConfigDuration>,
}

impl ReceiveDeadlineConfig {
    /// Hears it by this header.
    #[must_use]
    pub fn new(header: impl Into<String>) -> Self {
        Self {
            header: Some(header.into()),
            ..Self::default()
        }
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn build(&self) -> Result<ReceiveDeadlineLayer, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&mut mistakes);
        mistakes.judge(built)
    }

    pub(crate) fn assemble(&self, mistakes: &mut Mistakes) -> Option<ReceiveDeadlineLayer> {
        let header = header(self.header.as_deref(), mistakes);
        let longest = self.at_most.map(|at_most| {
            let tried = ReceiveDeadlineLayer::http().try_at_most(at_most.get());
            mistakes.attempt("at_most", at_most, tried).map(|_| at_most)
        });
        let mut layer = ReceiveDeadlineLayer::with(header?);
        if let Some(at_most) = longest {
            layer = layer.at_most(at_most?.get());
        }
        if let Some(way) = self.reserve {
            layer = layer.reserve(way.get());
        }
        Some(layer)
    }
}

/// The header by which deadlines are told, in or out.
pub(super) fn header(name: Option<&str>, mistakes: &mut Mistakes) -> Option<DeadlineHeader> {
    let Some(name) = name else {
        return Some(DeadlineHeader::http());
    };
    if name.eq_ignore_ascii_case(DeadlineHeader::grpc().name().as_str()) {
        return Some(DeadlineHeader::grpc());
    }
    mistakes.attempt("header", name, DeadlineHeader::try_named(name))
}

impl Describe for ReceiveDeadlineConfig {
    const NAME: &'static str = "receive_deadline";
}

impl Member for ReceiveDeadlineConfig {
    fn part(&self, _: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        self.assemble(mistakes).map(Part::ReceiveDeadline)
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.receive_deadline(self.at_most.map(ConfigDuration::get), warn);
    }
}
