//! What a layer has learnt, saved before a restart and restored after it.

use hedgerow_core::BoxError;
use hedgerow_latency::Snapshot;

use crate::layer::HedgeLayer;
use crate::policy::Stateful;

const VERSION: u32 = 1;

/// What a layer has learnt: the window of its histogram, and what its policy knows beyond that.
///
/// With the feature `serde` it can be written to a file.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct HedgeState {
    version: u32,
    /// `None` if the layer only reads what a `LatencyLayer` records.
    latency: Option<Snapshot>,
    policy: Option<String>,
}

/// Why a state was refused. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The state is of another version.
    #[error(
        "a hedge state of version {0} cannot be read: this is version {VERSION}; start without it"
    )]
    Version(u32),
    /// The policy refused its part: it is another policy's, or damaged.
    #[error("the policy cannot take up the saved state: start without it")]
    Policy(#[source] BoxError),
}

impl<P: Stateful, R, J, Rec> HedgeLayer<P, R, J, Rec> {
    /// What the layer has learnt so far.
    ///
    /// With `.latency(handle)` the histogram is not in it: save that by its own
    /// [`window`](hedgerow_latency::Latency::window).
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_hedge::HedgeLayer;
    ///
    /// let before = HedgeLayer::percentile(95);
    /// let state = before.save(); // with the feature `serde`: write it to a file
    ///
    /// let after = HedgeLayer::percentile(95);
    /// after.restore(&state)?;
    /// # Ok::<_, hedgerow_hedge::RestoreError>(())
    /// ```
    #[must_use]
    pub fn save(&self) -> HedgeState {
        let settings = &self.parts.settings;
        HedgeState {
            version: VERSION,
            latency: settings.records.then(|| settings.latency.window()),
            policy: self.parts.policy.save(),
        }
    }

    /// Takes up what [`save`](Self::save) gave before a restart: the same quantiles, at once.
    ///
    /// For a layer that was just made. Its counts begin anew. The histogram belongs to no policy: one
    /// that was saved by `percentile(95)` serves `percentile(99)` as well.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] if the state is of another version, or holds what a policy knew beyond the
    /// histogram (keys, a learnt delay) and this one cannot take it up.
    pub fn restore(&self, state: &HedgeState) -> Result<(), RestoreError> {
        if state.version != VERSION {
            return Err(RestoreError::Version(state.version));
        }
        if let Some(policy) = &state.policy {
            let restored = self.parts.policy.restore(policy);
            restored.map_err(RestoreError::Policy)?;
        }
        let settings = &self.parts.settings;
        if let (Some(latency), true) = (&state.latency, settings.records) {
            settings.latency.restore(latency);
        }
        self.handle().reset();
        Ok(())
    }
}
