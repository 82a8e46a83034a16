//! What belongs to HTTP requests alone, as it is configured: replayable bodies, idempotent paths.

use hedgerow_http::{IdempotentPathsLayer, ReplayBodyLayer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assemble::Part;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::member::{Given, Member};
use super::order::Place;

/// Keeps the body of a request, so that its copies can send it too.
///
/// See [`ReplayBodyLayer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "Keeps the body of a request, so that its copies can send it too.")]
#[non_exhaustive]
pub struct ReplayBodyConfig {
    /// Larger bodies are sent once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = super::default::cap_bytes()))]
    pub cap_bytes: Option<u64>,
}

/// Lets requests to these paths be sent twice, whatever their method.
///
/// See [`IdempotentPathsLayer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "Lets requests to these paths be sent twice, whatever their method.")]
#[non_exhaustive]
pub struct IdempotentPathsConfig {
    /// Each like "/package.Service/Method", or "/package.Service/*" for all methods of a service; a wildcard is one part of a path.
    pub paths: Vec<String>,
}

impl ReplayBodyConfig {
    /// The layer.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn build(&self) -> Result<ReplayBodyLayer, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&mut mistakes);
        mistakes.judge(built)
    }

    pub(crate) fn assemble(self, mistakes: &mut Mistakes) -> Option<ReplayBodyLayer> {
        let Some(cap) = self.cap_bytes else {
            return Some(ReplayBodyLayer::new());
        };
        if i64::try_from(cap).is_err() {
            // Nor can a file hold it.
            mistakes.refuse("cap_bytes", cap, "write at most 9223372036854775807");
            return None;
        }
        mistakes.attempt("cap_bytes", cap, ReplayBodyLayer::new().try_cap_bytes(cap))
    }
}

impl IdempotentPathsConfig {
    /// Lets requests to these paths be sent twice.
    pub fn new(paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            paths: paths.into_iter().map(Into::into).collect(),
        }
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn build(&self) -> Result<IdempotentPathsLayer, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&mut mistakes);
        mistakes.judge(built)
    }

    pub(crate) fn assemble(&self, mistakes: &mut Mistakes) -> Option<IdempotentPathsLayer> {
        if self.paths.is_empty() {
            let problem = "no path at all: write one, like \"/package.Service/Method\", or leave the layer out";
            mistakes.refuse("paths", &self.paths, problem);
        }
        let mut fine = true;
        for (at, path) in self.paths.iter().enumerate() {
            let tried = IdempotentPathsLayer::try_new([path]);
            fine &= mistakes
                .attempt(&format!("paths[{at}]"), path, tried)
                .is_some();
        }
        if fine {
            IdempotentPathsLayer::try_new(&self.paths).ok()
        } else {
            None
        }
    }
}

impl Describe for ReplayBodyConfig {
    const NAME: &'static str = "replay_body";
}

impl Describe for IdempotentPathsConfig {
    const NAME: &'static str = "idempotent_paths";
}

impl Member for ReplayBodyConfig {
    fn part(&self, _: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        self.assemble(mistakes).map(Part::ReplayBody)
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.replay_body(warn);
    }
}

impl Member for IdempotentPathsConfig {
    fn part(&self, _: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        self.assemble(mistakes).map(Part::IdempotentPaths)
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.idempotent_paths(warn);
    }
}
