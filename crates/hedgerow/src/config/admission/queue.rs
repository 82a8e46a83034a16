//! Who starts next, and who is given up.

use std::time::Duration;

use hedgerow_admission::{DropRule, Gate, Order, Queue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::default;
use crate::config::describe::Describe;
use crate::config::error::Mistakes;
use crate::config::time::ConfigDuration;

/// A longer wait is a typing error.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Who of those that wait starts next, and who is given up: see [`Queue`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "Who of those that wait starts next, and who is given up.")]
#[non_exhaustive]
pub struct QueueConfig {
    /// Who starts next: who came first; once somebody has waited for `after`, who came last; whose
    /// deadline is nearest.
    pub order: OrderName,
    /// `adaptive_lifo`: how long the queue must not have been empty, up to 366 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::LIFO_AFTER))]
    pub after: Option<ConfigDuration>,
    /// Who is given up besides those that waited for `max_wait`: nobody; whose deadline has passed; by
    /// "codel" also who has waited for `target` in a queue that has not been empty for `interval`.
    pub drop: DropName,
    /// codel: the longest wait while the queue does not empty, above zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::CODEL_TARGET))]
    pub target: Option<ConfigDuration>,
    /// codel: the longest wait otherwise, from `target` to 366 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::CODEL_INTERVAL))]
    pub interval: Option<ConfigDuration>,
}

/// Who starts next: see [`Order`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OrderName {
    /// Who came first.
    #[default]
    Fifo,
    /// Who came first, until somebody waits too long; then who came last.
    AdaptiveLifo,
    /// Whose deadline is nearest.
    EarliestDeadlineFirst,
}

/// Who is given up: see [`DropRule`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum DropName {
    /// Nobody.
    None,
    /// Whose deadline has passed.
    #[default]
    Expired,
    /// Also who has waited longer than is of use in a queue that does not empty.
    Codel,
}

impl QueueConfig {
    /// Who starts next, and who is given up.
    #[must_use]
    pub fn new(order: OrderName, drop: DropName) -> Self {
        Self {
            order,
            drop,
            ..Self::default()
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn assemble(&self, mistakes: &mut Mistakes) -> Option<Queue> {
        let mut fine = true;
        for (key, value, read, write) in [
            (
                "after",
                self.after,
                self.order == OrderName::AdaptiveLifo,
                "the order does not read it: leave it out, or write order = \"adaptive_lifo\"",
            ),
            (
                "target",
                self.target,
                self.drop == DropName::Codel,
                "the drop rule does not read it: leave it out, or write drop = \"codel\"",
            ),
            (
                "interval",
                self.interval,
                self.drop == DropName::Codel,
                "the drop rule does not read it: leave it out, or write drop = \"codel\"",
            ),
        ] {
            let Some(value) = value else { continue };
            if !read {
                mistakes.refuse(key, value, write);
                fine = false;
            } else if value.get() > LONGEST {
                mistakes.refuse(key, value, "write at most 366 days, \"8784h\"");
                fine = false;
            }
        }
        let mut queue = match self.order {
            OrderName::Fifo => Queue::fifo(),
            OrderName::AdaptiveLifo => Queue::adaptive_lifo(),
            OrderName::EarliestDeadlineFirst => Queue::earliest_deadline_first(),
        };
        if let (Some(after), OrderName::AdaptiveLifo) = (self.after, self.order) {
            queue = queue.order(Order::AdaptiveLifo { after: after.get() });
        }
        queue = match self.drop {
            DropName::None => queue.keep_all(),
            DropName::Expired => queue.drop_rule(DropRule::Expired),
            DropName::Codel => {
                let target = self.target.unwrap_or(default::CODEL_TARGET);
                let interval = self.interval.unwrap_or(default::CODEL_INTERVAL);
                queue.codel(target.get(), interval.get())
            }
        };
        if let Some(mistake) = Gate::builder().queue(queue).mistakes().first() {
            let written = self.target.map(|target| ("target", target));
            let written = written.or(self.interval.map(|interval| ("interval", interval)));
            if let Some((key, value)) = written {
                mistakes.refuse(key, value, mistake);
            }
            fine = false;
        }
        fine.then_some(queue)
    }

    /// As it holds, with what is not written of it.
    pub(super) fn told(&self, is_ready: bool) -> String {
        let name = |value| serde_json::to_value(value).unwrap_or_default().to_string();
        let mut all = vec![format!("order = {}", name(serde_json::json!(self.order)))];
        if self.order == OrderName::AdaptiveLifo {
            let after = self.after.unwrap_or(default::LIFO_AFTER);
            all.push(format!("after = \"{after}\""));
        }
        if !is_ready {
            all.push(format!("drop = {}", name(serde_json::json!(self.drop))));
        }
        if self.drop == DropName::Codel {
            let target = self.target.unwrap_or(default::CODEL_TARGET);
            let interval = self.interval.unwrap_or(default::CODEL_INTERVAL);
            all.push(format!("target = \"{target}\", interval = \"{interval}\""));
        }
        format!("{{ {} }}", all.join(", "))
    }
}

impl Describe for QueueConfig {
    const NAME: &'static str = "queue";
}
