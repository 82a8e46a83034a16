//! Who leads a flight: whoever comes first in this process, or one of several processes.

use std::sync::Arc;

use hedgerow_core::{Answer, quietly};

/// Is asked who leads the flight of a key.
///
/// Within a process callers with the same key share one flight without asking anybody. The one call of a
/// flight asks here before it is sent: [`Local`] lets it go at once, a lead that is shared between
/// processes makes it wait while another process flies, and gives it that one's answer.
///
/// # Contract
///
/// `claim` either makes the caller the leader, until it publishes or hands over, or brings an answer. A
/// leader that vanishes without either must lose the lead after a bounded time (a lease), or the others
/// wait for ever. Dropping what `claim` returned gives up the claim. [`publish`](Self::publish) and
/// [`hand_over`](Self::hand_over) are told and never awaited; what they panic with reaches nobody.
///
/// # Examples
///
/// A lead that knows some answers already:
///
/// ```
/// use hedgerow_cache::{Claim, CoalesceLayer, Lead};
/// use hedgerow_core::{Answer, quietly};
///
/// struct Known;
/// impl Lead<u64, String> for Known {
///     fn claim(&self, key: &u64) -> Answer<Claim<String>> {
///         Answer::Now(match key {
///             0 => Claim::Answered("nothing".to_owned()),
///             _ => Claim::Lead,
///         })
///     }
/// }
/// let layer = CoalesceLayer::new(|id: &u64| Some(*id)).lead(Known);
/// # let _ = layer;
/// ```
pub trait Lead<K, V>: Send + Sync {
    /// Asks for the lead of `key`.
    fn claim(&self, key: &K) -> Answer<Claim<V>>;

    /// Whether it is to be told of answers. Defaults to true.
    fn listens(&self) -> bool {
        true
    }

    /// The leader has an answer, whole: of an HTTP answer the body has passed. Defaults to telling nobody.
    fn publish(&self, key: &K, answer: &V) {
        let _ = (key, answer);
    }

    /// The leader has none: it failed, or everybody left. Defaults to telling nobody.
    fn hand_over(&self, key: &K) {
        let _ = key;
    }
}

/// What becomes of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim<V> {
    /// The caller leads.
    Lead,
    /// Somebody else led, and this is the answer.
    Answered(V),
}

/// Whoever comes first in this process leads. Never makes anybody wait. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl<K, V> Lead<K, V> for Local {
    #[inline]
    fn claim(&self, _: &K) -> Answer<Claim<V>> {
        Answer::Now(Claim::Lead)
    }

    fn listens(&self) -> bool {
        false
    }
}

/// Tells a lead that there is no answer. It is the user's: what it panics with is its own loss.
pub(crate) fn hand_over<K, V>(lead: &impl Lead<K, V>, key: &K) {
    quietly(|| lead.hand_over(key));
}

/// Tells a lead of an answer, which no panic of it takes from anybody.
pub(crate) fn publish<K, V>(lead: &impl Lead<K, V>, key: &K, answer: &V) {
    quietly(|| lead.publish(key, answer));
}

impl<K, V, L: Lead<K, V> + ?Sized> Lead<K, V> for Arc<L> {
    fn claim(&self, key: &K) -> Answer<Claim<V>> {
        (**self).claim(key)
    }

    fn listens(&self) -> bool {
        (**self).listens()
    }

    fn publish(&self, key: &K, answer: &V) {
        (**self).publish(key, answer);
    }

    fn hand_over(&self, key: &K) {
        (**self).hand_over(key);
    }
}
