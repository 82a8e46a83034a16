//! The deadline layer as it is configured.

use std::time::Duration;

use hedgerow_core::Deadline;
use hedgerow_retry::DeadlineLayer;
use http::{HeaderName, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::assemble::Part;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::member::{Given, Member};
use super::order::Place;
use super::time::ConfigDuration;
use super::timeout::NO_TIME;

/// Ends a call when its time is over, and tells every layer beneath until when there is time.
///
/// In a stack of HTTP requests a [`Deadline`] in a request's extensions is obeyed too, and the one that
/// holds is written there, so that it crosses tasks. See [`DeadlineLayer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    description = "Ends a call when its time is over, and tells every layer beneath until when there is time."
)]
#[non_exhaustive]
pub struct DeadlineConfig {
    /// How long a call may take from here on. One that holds already, or that a request carries, is
    /// never extended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, the one that holds already or that the request carries"))]
    pub after: Option<ConfigDuration>,
    /// The name of a header that says how long its request may take, like "250ms", in a stack of HTTP
    /// requests. What cannot be read says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, no header is read"))]
    pub header: Option<String>,
}

/// A deadline, and the header that may shorten it.
#[derive(Clone, Debug)]
pub(crate) struct DeadlinePart {
    pub(crate) layer: DeadlineLayer,
    pub(crate) header: Option<HeaderName>,
}

impl DeadlineConfig {
    /// A call may take `after`.
    #[must_use]
    pub const fn new(after: ConfigDuration) -> Self {
        Self {
            after: Some(after),
            header: None,
        }
    }

    /// The layer alone, to be put into a stack by hand: `.http()` or `.deadline_of(f)` come next.
    ///
    /// # Errors
    ///
    /// Every mistake at once. A `header`, which has a meaning only in a stack, is one.
    pub fn build(&self) -> Result<DeadlineLayer, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&mut mistakes);
        if let Some(header) = &self.header {
            let problem = "a layer alone does not know what its requests are: build a stack of HTTP \
                           requests, or write .deadline_of(f) in code";
            mistakes.refuse("header", header, problem);
        }
        mistakes.judge(built.map(|part| part.layer))
    }

    pub(crate) fn assemble(&self, mistakes: &mut Mistakes) -> Option<DeadlinePart> {
        let layer = match self.after {
            None => Some(DeadlineLayer::inherited()),
            Some(after) => {
                let tried = DeadlineLayer::try_new(after.get()).map_err(|_| NO_TIME);
                mistakes.attempt("after", after, tried)
            }
        };
        let header = match &self.header {
            None => None,
            Some(name) => {
                let tried = HeaderName::try_from(name);
                let tried = tried
                    .map_err(|_| "that is no header's name: write one, like \"x-request-timeout\"");
                Some(mistakes.attempt("header", name, tried)?)
            }
        };
        let layer = layer?;
        Some(DeadlinePart { layer, header })
    }
}

impl DeadlinePart {
    /// A deadline so long after a call's start.
    pub(crate) fn after(after: Duration) -> Option<Self> {
        let layer = DeadlineLayer::try_new(after).ok()?;
        Some(Self {
            layer,
            header: None,
        })
    }
}

/// Until when this request is of use, by its header.
pub(crate) fn read<B>(request: &Request<B>, header: &HeaderName) -> Option<Deadline> {
    let text = request.headers().get(header)?.to_str().ok()?;
    let patience: ConfigDuration = text.trim().parse().ok()?;
    Deadline::within(Instant::now().into_std(), patience.get())
}

impl Describe for DeadlineConfig {
    const NAME: &'static str = "deadline";
}

impl Member for DeadlineConfig {
    fn part(&self, _: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        self.assemble(mistakes).map(Part::Deadline)
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.deadline(self, warn);
    }

    fn holds(&self, key: &str, default: &str) -> Option<String> {
        let silent = key == "header" && self.header.is_none();
        (!silent).then(|| default.to_owned())
    }
}
