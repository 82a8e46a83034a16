//! What answers instead of the service, and what shares its calls.

use super::{LayerConfig, Place, Warn};
use crate::config::cache::CacheConfig;
use crate::config::coalesce::CoalesceConfig;
use crate::config::http_key::HttpKeyConfig;

impl Place<'_> {
    pub(in crate::config) fn cache(&self, config: &CacheConfig, warn: &mut Warn<'_>) {
        if let Some(at) = self.costs_outside() {
            let kind = self.stack.layers[at].kind();
            warn(format!(
                "it is to be outside of the {kind} at layer[{at}]: as it stands a hit is paid for there as \
                 if the service were asked"
            ));
        }
        let coalesces = |layer: &LayerConfig| matches!(layer, LayerConfig::Coalesce(_));
        if let Some(at) = self.outside(coalesces) {
            warn(format!(
                "it is to be outside of the coalesce at layer[{at}], which cannot look into its store, and \
                 shares hits as if they were calls as it stands"
            ));
        }
        self.key(&config.key, warn);
    }

    pub(in crate::config) fn coalesce(&self, config: &CoalesceConfig, warn: &mut Warn<'_>) {
        let again = self.outside(LayerConfig::sends_again);
        if let Some(at) = again {
            let kind = self.stack.layers[at].kind();
            warn(format!(
                "it is to be outside of the {kind} at layer[{at}], whose tries and copies of one call join \
                 one another as it stands"
            ));
        } else if let Some(at) = self.costs_outside() {
            let kind = self.stack.layers[at].kind();
            warn(format!(
                "it is to be outside of the {kind} at layer[{at}]: as it stands each that follows takes a \
                 place there"
            ));
        }
        if let Some(key) = &config.key {
            self.key(key, warn);
        }
    }

    /// The nearest layer outside that counts calls, or takes places and tokens for them.
    fn costs_outside(&self) -> Option<usize> {
        self.outside(|layer| layer.sends_again() || layer.is_admission())
    }

    /// Requests with bodies have a key where their bodies are kept.
    fn key(&self, key: &HttpKeyConfig, warn: &mut Warn<'_>) {
        let marks = |layer: &LayerConfig| matches!(layer, LayerConfig::IdempotentPaths(_));
        if key.reads_bodies() && self.outside(LayerConfig::keeps_bodies).is_none() {
            warn(String::from(
                "requests with a body have no key, and pass, unless there is a replay_body outside of it: \
                 add one",
            ));
        } else if let Some(method) = key.sent_once()
            && self.outside(marks).is_none()
        {
            warn(format!(
                "the body of a {method} is kept, and read, only where it may be sent twice: name its paths in \
                 a layer of kind \"idempotent_paths\" outside of the replay_body"
            ));
        }
        if let Some(at) = self
            .inside(LayerConfig::keeps_bodies)
            .filter(|_| key.reads_bodies())
        {
            warn(format!(
                "it does not see the bodies that are kept at layer[{at}]: put that one outside of it"
            ));
        }
    }
}
