//! From a configuration to layers: what they share, and every mistake.

use std::fmt;
use std::sync::Arc;

use hedgerow_admission::Gate;
use hedgerow_cache::{CacheHandle, CoalesceHandle};
use hedgerow_hedge::{DrainLayer, HedgeHandle, HedgeLayer};
use hedgerow_http::{
    AwaitFirstContentLayer, IdempotentPathsLayer, ReceiveDeadlineLayer, ReplayBodyLayer,
    SendDeadlineLayer,
};
use hedgerow_latency::Latency;
use hedgerow_retry::{RetryHandle, TimeoutLayer};

use super::admission::AdmissionPart;
use super::cache::ConfiguredCache;
use super::coalesce::{CoalescePart, Outer};
use super::deadline::DeadlinePart;
use super::error::{ConfigErrors, Mistakes};
use super::first::AwaitedName;
use super::hedge::{ConfiguredPolicy, Host, Protocol, Shared};
use super::key::RequestKey;
use super::latency::ConfiguredLatency;
use super::member::Given;
use super::retry::RetryPart;
use super::stack::{LayerConfig, StackConfig, TotalTimeout};
use super::wrap::{CloneStack, HttpStack};

/// The layers of a [`StackConfig`], built: their state is made once, here, and shared by every service
/// that is made with them.
#[derive(Clone)]
pub struct Stack {
    pub(crate) parts: Arc<[Part]>,
    /// Whether the first of them is the total timeout.
    has_total: bool,
}

/// A layer, built.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Latency(ConfiguredLatency),
    ReceiveDeadline(ReceiveDeadlineLayer),
    Deadline(DeadlinePart),
    Timeout(TimeoutLayer),
    IdempotentPaths(IdempotentPathsLayer),
    ReplayBody(ReplayBodyLayer),
    Retry(Box<RetryPart>),
    Hedge(Box<HedgePart>),
    Drain(DrainLayer),
    Admission(Box<AdmissionPart>),
    Cache(Box<ConfiguredCache>),
    Coalesce(Box<CoalescePart>),
    SendDeadline(SendDeadlineLayer),
    AwaitFirst(AwaitFirstContentLayer<AwaitedName>),
}

/// A hedge, and what becomes of it among HTTP requests.
#[derive(Clone, Debug)]
pub(crate) struct HedgePart {
    pub(crate) layer: HedgeLayer<ConfiguredPolicy>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) key: Option<RequestKey>,
    pub(crate) max_keys: usize,
}

impl StackConfig {
    /// Builds the layers, with what they share. The file of a cache is opened here, and belongs to this stack
    /// and its services.
    ///
    /// # Errors
    ///
    /// Every mistake at once; if there is none, what is wrong with a file.
    pub fn build(&self) -> Result<Stack, ConfigErrors> {
        let checked = self.check()?;
        let has_file =
            |layer: &LayerConfig| matches!(layer, LayerConfig::Cache(cache) if cache.has_file());
        if self.layers.iter().any(has_file) {
            return self.assembled(Files::Opened);
        }
        Ok(checked)
    }

    /// Looks whether it can be built, and touches no file.
    pub(crate) fn check(&self) -> Result<Stack, ConfigErrors> {
        self.assembled(Files::Closed)
    }

    fn assembled(&self, files: Files) -> Result<Stack, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = stack(self, files, &mut mistakes);
        mistakes.judge(built)
    }
}

impl Stack {
    /// The layers around a client whose requests are plain data: each may be sent twice, copied by
    /// `Clone`.
    ///
    /// # Errors
    ///
    /// If a layer is one for HTTP requests, or has a key that is.
    pub fn clone_requests<Req>(&self) -> Result<CloneStack<Req>, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        for (at, part) in self.layers() {
            mistakes.within(&format!("layer[{at}]"), |mistakes| part.plain(mistakes));
        }
        mistakes.judge(Some(CloneStack::new(self)))
    }

    /// The layers around a client of HTTP requests, each of which says by its method, its headers or
    /// a mark whether it may be sent twice.
    ///
    /// The client is given a [`ReplayableBody`](crate::ReplayableBody) around the caller's, and the caller a
    /// [`ResumedBody`](crate::ResumedBody) around a [`StackBody`](super::StackBody): the client's, or what a cache
    /// or a coalescer made of it.
    #[must_use]
    pub fn http<B>(&self) -> HttpStack<B>
    where
        B: http_body::Body,
    {
        HttpStack::new(self)
    }

    /// A handle on each hedge, from the outside in: counts and live settings.
    #[must_use]
    pub fn hedges(&self) -> Vec<HedgeHandle> {
        let hedges = self.parts.iter().filter_map(|part| match part {
            Part::Hedge(hedge) => Some(hedge.layer.handle()),
            _ => None,
        });
        hedges.collect()
    }

    /// A handle on each retry, from the outside in: counts and live settings.
    #[must_use]
    pub fn retries(&self) -> Vec<RetryHandle> {
        let retries = self.parts.iter().filter_map(|part| match part {
            Part::Retry(retry) => Some(retry.layer.handle()),
            _ => None,
        });
        retries.collect()
    }

    /// The gate of each admission layer, from the outside in: read it, change it, close it.
    #[must_use]
    pub fn gates(&self) -> Vec<Gate> {
        let gates = self.parts.iter().filter_map(|part| match part {
            Part::Admission(admission) => Some(admission.gate.clone()),
            _ => None,
        });
        gates.collect()
    }

    /// A handle on each cache, from the outside in: what it answered.
    #[must_use]
    pub fn caches(&self) -> Vec<CacheHandle> {
        let caches = self.parts.iter().filter_map(|part| match part {
            Part::Cache(layer) => Some(layer.handle()),
            _ => None,
        });
        caches.collect()
    }

    /// A handle on each coalescer, from the outside in: which calls shared one.
    #[must_use]
    pub fn coalescers(&self) -> Vec<CoalesceHandle> {
        let coalescers = self.parts.iter().filter_map(|part| match part {
            Part::Coalesce(part) => Some(part.layer.handle()),
            _ => None,
        });
        coalescers.collect()
    }

    /// The histogram of each latency layer, from the outside in.
    #[must_use]
    pub fn latencies(&self) -> Vec<Latency> {
        let latencies = self.parts.iter().filter_map(|part| match part {
            Part::Latency(layer) => Some(layer.handle()),
            _ => None,
        });
        latencies.collect()
    }

    /// The drain layers, from the outside in: what became of losers.
    #[must_use]
    pub fn drains(&self) -> Vec<DrainLayer> {
        let drains = self.parts.iter().filter_map(|part| match part {
            Part::Drain(layer) => Some(layer.clone()),
            _ => None,
        });
        drains.collect()
    }

    /// Those that were written, with their places in the file.
    fn layers(&self) -> impl Iterator<Item = (usize, &Part)> {
        // The total timeout, if there is one, stands outside of them.
        let total = usize::from(self.has_total);
        self.parts.iter().skip(total).enumerate()
    }
}

impl Part {
    /// What has no meaning for plain requests.
    fn plain(&self, mistakes: &mut Mistakes) {
        match self {
            Self::IdempotentPaths(_) => mistakes.refuse("kind", "idempotent_paths", ONLY_HTTP),
            Self::ReplayBody(_) => mistakes.refuse("kind", "replay_body", ONLY_HTTP),
            Self::ReceiveDeadline(_) => mistakes.refuse("kind", "receive_deadline", ONLY_HTTP),
            Self::SendDeadline(_) => mistakes.refuse("kind", "send_deadline", ONLY_HTTP),
            Self::AwaitFirst(_) => mistakes.refuse("kind", "await_first", ONLY_HTTP),
            Self::Cache(_) => {
                mistakes.refuse("kind", "cache", no_key("CacheLayer::new(store).key(f)"));
            }
            Self::Coalesce(_) => {
                mistakes.refuse("kind", "coalesce", no_key("CoalesceLayer::new(f)"));
            }
            Self::Hedge(hedge) => {
                if hedge.protocol.is_some() {
                    mistakes.say("protocol", ONLY_HTTP);
                }
                if hedge.key.is_some() {
                    mistakes.say("key", ONLY_HTTP);
                }
            }
            Self::Retry(retry) => {
                if retry.protocol.is_some() {
                    mistakes.say("protocol", ONLY_HTTP);
                }
            }
            Self::Deadline(deadline) => {
                if deadline.header.is_some() {
                    mistakes.say("header", ONLY_HTTP);
                }
            }
            Self::Admission(admission) => {
                for key in admission.asked.only_http() {
                    mistakes.say(key, ONLY_HTTP);
                }
                if admission.protocol.is_some() {
                    mistakes.say("protocol", ONLY_HTTP);
                }
            }
            Self::Latency(_) | Self::Timeout(_) | Self::Drain(_) => {}
        }
    }
}

const ONLY_HTTP: &str =
    "it has a meaning for HTTP requests alone: leave it out, or build the stack with .http()";

/// Builds a stack that stands in a larger configuration. `None` with a mistake.
pub fn stack(config: &StackConfig, files: Files, mistakes: &mut Mistakes) -> Option<Stack> {
    let layers: Vec<_> = config.layers.iter().map(Some).collect();
    assemble(Some(config.total_timeout), &layers, files, mistakes)
}

/// What to write for requests whose keys no file can say.
fn no_key(code: &str) -> String {
    format!(
        "nothing says which plain requests are the same: build the stack with .http(), or leave it out and put \
         {code} around the stack in code"
    )
}

/// What is done with the files of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// Nothing.
    Closed,
    /// They are opened.
    Opened,
}

/// Builds those layers that could be read. `None` with a mistake.
pub(crate) fn assemble(
    total: Option<TotalTimeout>,
    layers: &[Option<&LayerConfig>],
    files: Files,
    mistakes: &mut Mistakes,
) -> Option<Stack> {
    let whole = layers.iter().all(Option::is_some);
    let total = total.and_then(TotalTimeout::get);
    let total = total.and_then(|after| {
        let built = DeadlinePart::after(after);
        if built.is_none() {
            let problem =
                "nothing can be answered in no time: write a time above zero, or \"none\"";
            mistakes.refuse("total_timeout", super::ConfigDuration::from(after), problem);
        }
        built
    });
    // First those that others read.
    let mut latencies = vec![None; layers.len()];
    for (at, layer) in layers.iter().enumerate() {
        if let Some(LayerConfig::Latency(config)) = layer {
            let place = format!("layer[{at}]");
            latencies[at] = mistakes.within(&place, |mistakes| config.assemble(mistakes));
        }
    }
    let latencies = Places::of(latencies);
    let mut budget = None;
    let mut cache = Outer::None;
    let has_total = total.is_some();
    let mut parts: Vec<Option<Part>> = vec![total.map(Part::Deadline)];
    for (at, layer) in layers.iter().enumerate() {
        let Some(layer) = layer else {
            continue;
        };
        // Where a layer is broken that might share, as if it did.
        let latency = latencies.near(at).map(|layer| layer.handle());
        let shared = Shared {
            latency: latency.or_else(|| (!whole).then(Latency::new)),
            budget: budget
                .clone()
                .or_else(|| (!whole).then(super::default::budget)),
            host: Host::Stack,
        };
        let place = format!("layer[{at}]");
        let part = mistakes.within(&place, |mistakes| {
            let given = Given {
                latency: latencies.at(at).cloned(),
                shared,
                cache: cache.clone(),
                opens: files == Files::Opened,
            };
            layer.member().part(&given, mistakes)
        });
        match (&part, layer) {
            (Some(Part::Cache(layer)), LayerConfig::Cache(config)) => {
                cache = Outer::There(Box::new((config.key.clone(), (**layer).clone())));
            }
            (_, LayerConfig::Cache(_)) => cache = Outer::Broken,
            (Some(Part::Hedge(hedge)), _) => budget = Some(hedge.layer.handle().budget().clone()),
            (Some(Part::Retry(retry)), _) => budget = Some(retry.layer.handle().budget().clone()),
            // It has mistakes of its own: those inside of it need not follow.
            (_, LayerConfig::Hedge(_) | LayerConfig::Retry(_)) => {
                budget = budget.or_else(|| Some(super::default::budget()));
            }
            _ => {}
        }
        parts.push(part);
    }
    if !has_total {
        parts.remove(0);
    }
    let parts: Option<Arc<[Part]>> = parts.into_iter().collect();
    parts
        .filter(|_| whole)
        .map(|parts| Stack { parts, has_total })
}

/// What some of the layers have, by their places.
struct Places<T> {
    all: Vec<Option<T>>,
    /// For each place the next one, from itself on, that has it.
    next: Vec<Option<usize>>,
    /// The last one that has it.
    last: Option<usize>,
}

impl<T> Places<T> {
    fn of(all: Vec<Option<T>>) -> Self {
        let mut next = vec![None; all.len()];
        let mut beneath = None;
        for (at, one) in all.iter().enumerate().rev() {
            beneath = one.as_ref().map(|_| at).or(beneath);
            next[at] = beneath;
        }
        let last = all.iter().rposition(Option::is_some);
        Self { all, next, last }
    }

    fn at(&self, at: usize) -> Option<&T> {
        self.all[at].as_ref()
    }

    /// The nearest beneath, or else, as there is none beneath, the last of those outside.
    fn near(&self, at: usize) -> Option<&T> {
        self.at(self.next[at].or(self.last)?)
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parts.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each place is looked up in the same time, however many layers there are.
    #[test]
    fn the_nearest_latency_layer_is_beneath_or_else_the_last_outside() {
        let places = Places::of(vec![None, Some('a'), None, Some('b'), None, None]);
        let near: Vec<_> = (0..6).map(|at| places.near(at).copied()).collect();
        assert_eq!(near, ['a', 'a', 'b', 'b', 'b', 'b'].map(Some));
        assert_eq!(Places::<char>::of(vec![None; 3]).near(1), None);
    }
}
