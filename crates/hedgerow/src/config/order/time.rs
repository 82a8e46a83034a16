//! Deadlines and timeouts.

use std::time::Duration;

use super::{LayerConfig, Place, Warn};
use crate::config::deadline::DeadlineConfig;

impl Place<'_> {
    pub(in crate::config) fn deadline(&self, config: &DeadlineConfig, warn: &mut Warn<'_>) {
        if let Some(after) = config.after {
            self.beyond_total("it", after.get(), warn);
        }
        let retry = self.outside(LayerConfig::retries);
        if let Some(at) = retry.or_else(|| self.outside(LayerConfig::hedges)) {
            let (kind, each) = match retry {
                Some(_) => ("retry", "each try, and the retry plans without it"),
                None => ("hedge", "each attempt"),
            };
            warn(format!(
                "inside of the {kind} at layer[{at}] it begins anew for {each}: to bound the call put \
                 it outside"
            ));
        } else if let Some(at) = self.outside(LayerConfig::is_admission) {
            warn(format!(
                "the queue at layer[{at}] does not see it, and its wait is not counted: put it outside"
            ));
        }
    }

    /// A deadline that is heard counts from where it is heard, and ends nothing by itself.
    pub(in crate::config) fn receive_deadline(
        &self,
        at_most: Option<Duration>,
        warn: &mut Warn<'_>,
    ) {
        let spends = |layer: &LayerConfig| layer.sends_again() || layer.is_admission();
        let reads = |layer: &LayerConfig| {
            spends(layer)
                || matches!(
                    layer,
                    LayerConfig::Deadline(_) | LayerConfig::ReceiveDeadline(_)
                )
        };
        if let Some(at) = self.outside(reads) {
            let layer = &self.stack.layers[at];
            let why = match layer {
                LayerConfig::Deadline(_) => "which does not see it",
                LayerConfig::ReceiveDeadline(_) => "which hears the same: leave one out",
                _ => "where it begins anew for each attempt, and whose waits are not counted",
            };
            warn(format!(
                "it is to be outside of the {} at layer[{at}], {why}",
                layer.kind()
            ));
        }
        let keeps = |layer: &LayerConfig| {
            layer.retries() || layer.is_admission() || matches!(layer, LayerConfig::Deadline(_))
        };
        if self.inside(keeps).is_none() {
            warn(String::from(
                "it ends nothing by itself, and nothing inside of it does: put a layer of kind \"deadline\" \
                 inside of it",
            ));
        }
        if let Some(at_most) = at_most {
            self.beyond_total("its at_most", at_most, warn);
        }
    }

    pub(in crate::config) fn timeout(&self, after: Duration, warn: &mut Warn<'_>) {
        self.beyond_total("it", after, warn);
        if let Some(hedge) = self.hedge_outside() {
            warn(format!(
                "inside of the hedge at layer[{hedge}] it is an attempt timeout, which bounds each \
                 attempt by itself: to bound the call put it outside of the hedge"
            ));
        }
        let retry = self.inside(LayerConfig::retries);
        let within = self.outside(LayerConfig::sends_again).is_some();
        match (retry, self.inside(LayerConfig::is_admission)) {
            (Some(retry), _) => warn(format!(
                "the retry at layer[{retry}] does not see it, and plans waits that it cuts off: write \
                 a layer of kind \"deadline\" instead"
            )),
            (None, Some(queue)) if !within => warn(format!(
                "the queue at layer[{queue}] does not see it, and starts what nobody waits for: write \
                 a layer of kind \"deadline\" instead"
            )),
            (None, Some(queue)) => warn(format!(
                "it counts the wait in the queue at layer[{queue}]: put it inside of the admission"
            )),
            (None, None) => {}
        }
        self.timed_twice(after, warn);
    }

    /// A timeout between a retry that has one of its own and its hedge.
    fn timed_twice(&self, after: Duration, warn: &mut Warn<'_>) {
        let Some(at) = self.outside(LayerConfig::retries) else {
            return;
        };
        let LayerConfig::Retry(retry) = &self.outside[at] else {
            return;
        };
        if let Some(own) = retry.attempt_timeout.filter(|own| own.get() <= after) {
            warn(format!(
                "it never fires, because the retry at layer[{at}] drops a try after {own}: write a \
                 shorter time, or leave one out"
            ));
        }
    }

    /// A time that is over after the call.
    pub(super) fn beyond_total(&self, what: &str, after: Duration, warn: &mut Warn<'_>) {
        let total = self.stack.total_timeout.get();
        if let Some(total) = total.filter(|total| after >= *total) {
            warn(format!(
                "{what} never fires, because total_timeout ends the call after {total:?}: \
                 write a shorter time, or total_timeout = \"none\""
            ));
        }
    }
}
