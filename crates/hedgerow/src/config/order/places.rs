//! Who takes a place, and for how long.

use super::{LayerConfig, Place, Warn};
use crate::config::admission::{AdmissionConfig, ExtrasConfig, OrderName, WaitsIn};

impl Place<'_> {
    pub(in crate::config) fn admission(&self, config: &AdmissionConfig, warn: &mut Warn<'_>) {
        if let Some(retry) = self.inside(LayerConfig::retries) {
            warn(format!(
                "it is to be inside of the retry at layer[{retry}]: as it stands a call keeps its \
                 place in every wait between two tries"
            ));
        }
        if let Some(hedge) = self.inside(LayerConfig::hedges) {
            warn(format!(
                "it is to be inside of the hedge at layer[{hedge}]: as it stands all copies of a call \
                 run in one place, and more run at once than it allows"
            ));
        }
        let hedged = self.outside(LayerConfig::hedges).is_some();
        if config.extras != ExtrasConfig::Same && !hedged {
            warn(String::from(
                "`extras` says nothing, because no hedge outside of it sends copies: leave it out",
            ));
        }
        if config.waits_in == WaitsIn::Ready && self.outside(LayerConfig::retries).is_some() {
            warn(String::from(
                "a retry makes a clone ready for each try and waits there without a bound of the \
                 queue: write waits_in = \"call\"",
            ));
        }
        self.timely(config, warn);
    }

    /// Where the order looks at deadlines, somebody has to set one.
    fn timely(&self, config: &AdmissionConfig, warn: &mut Warn<'_>) {
        let sets = |layer: &LayerConfig| match layer {
            LayerConfig::Deadline(_) | LayerConfig::ReceiveDeadline(_) => true,
            LayerConfig::Retry(retry) => retry.deadline.is_some(),
            _ => false,
        };
        let known = self.stack.total_timeout.get().is_some() || self.outside(sets).is_some();
        if known || config.waits_in == WaitsIn::Ready {
            return;
        }
        if config.queue.order == OrderName::EarliestDeadlineFirst {
            warn(String::from(
                "no layer outside of it sets a deadline, and without one all come in the order of \
                 arrival: put a layer of kind \"deadline\" outside, or write order = \"fifo\"",
            ));
        }
    }
}
