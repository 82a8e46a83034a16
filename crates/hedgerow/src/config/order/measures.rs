//! What is measured where.

use super::{LayerConfig, Place, Warn};

impl Place<'_> {
    pub(in crate::config) fn latency(&self, warn: &mut Warn<'_>) {
        let attempts = self.outside(LayerConfig::sends_again).is_some();
        if let Some(queue) = self.inside(LayerConfig::is_admission).filter(|_| attempts) {
            warn(format!(
                "it records attempts with their wait in the queue at layer[{queue}]: put it inside of \
                 the admission"
            ));
        }
        let whole = self.outside.iter().position(LayerConfig::is_latency);
        if let Some(outer) = whole
            && !self.outside[outer..].iter().any(LayerConfig::divides)
        {
            warn(format!(
                "it records the same as the one at layer[{outer}]: leave one out"
            ));
        }
    }

    pub(in crate::config) fn drain(&self, warn: &mut Warn<'_>) {
        match self.outside.last() {
            Some(outside) if outside.is_hedge() => {}
            Some(outside) => warn(format!(
                "it is to be right beneath a hedge, and {} is between: what a layer between them \
                 drops or keeps is not drained as a loser",
                match self.hedge_outside() {
                    Some(_) => outside.kind(),
                    None => "no hedge is outside of it; nothing",
                }
            )),
            None => warn(String::from(
                "it is to be right beneath a hedge, and none is outside of it: it drains nothing",
            )),
        }
    }
}

impl LayerConfig {
    /// What is one on the outside and may be several, or shorter, on the inside.
    fn divides(&self) -> bool {
        self.sends_again()
            || self.is_admission()
            || matches!(
                self,
                Self::Drain(_) | Self::Timeout(_) | Self::Cache(_) | Self::Coalesce(_)
            )
    }
}
