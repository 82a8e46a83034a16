//! The batching layer as it is configured.

use std::path::Path;

use hedgerow_batch::{Adaptive, BatchLayer, Idle, Linger};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::read::{self, Readable};
use super::stack::{NoTimeout, TotalTimeout};
use super::time::ConfigDuration;

/// Sends requests that come one by one to the backend together: a [`BatchLayer`] as a file of its own.
///
/// What a file can say of it: when a batch is sent, how large it may be, how much waits and flies. What
/// it cannot is code: how heavy a request is, which requests may share a batch, which are the same.
///
/// # Examples
///
/// ```
/// use hedgerow::BatchLayer;
/// use hedgerow::config::BatchConfig;
///
/// let config = BatchConfig::from_toml(r#"
///     strategy = "linger"
///     linger = "5ms"
///     max_size = 2048
///     max_weight = 300000
/// "#)?;
/// let layer: BatchLayer<String, usize> = config.build_weighed(|text: &String| text.len() as u64)?;
/// # let _ = layer;
///
/// let errors = BatchConfig::from_toml("linger = \"5ms\"\nmax_size = 0").unwrap_err();
/// assert_eq!(errors.mistakes().len(), 2);
/// # Ok::<_, hedgerow::config::ConfigErrors>(())
/// ```
///
/// # Order
///
/// It is no part of a [`StackConfig`](super::StackConfig): a stack's layers all take the same single
/// requests, and beneath a batching layer stands a backend that takes batches. The service that it makes
/// is the client of a stack: `stack.clone_requests()?.layer(batching)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    description = "Sends requests that come one by one to the backend together, and gives each its own answer."
)]
#[non_exhaustive]
pub struct BatchConfig {
    /// When a batch is sent that is not full: "idle" as soon as nothing is in flight, "linger" also when
    /// its first item has waited so long, "adaptive" when more items would not pay for the wait, "off"
    /// each item alone.
    pub strategy: BatchStrategy,
    /// How long the first item may wait while the backend is busy. With "linger" alone, which needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, which \"linger\" does not allow"))]
    pub linger: Option<ConfigDuration>,
    /// Lets items wait also when nothing is in flight. With "linger" alone.
    pub always_linger: bool,
    /// What a dispatch costs, as the waiting time of one item that it is worth, at most 1h. With "adaptive"
    /// alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, it is learnt from how long batches take"))]
    pub cost: Option<ConfigDuration>,
    /// How many items a batch may have, 1 to 1000000; 1 if the strategy is "off".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = hedgerow_batch::DEFAULT_MAX_SIZE))]
    pub max_size: Option<u64>,
    /// How heavy a batch may be, above zero. How heavy a request is, is code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, requests have no weight"))]
    pub max_weight: Option<u64>,
    /// Sizes that the backend likes, each at most `max_size`.
    pub prefer: Vec<u64>,
    /// How many batches may be in flight at once, 1 to 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = hedgerow_batch::DEFAULT_MAX_IN_FLIGHT))]
    pub max_in_flight: Option<u64>,
    /// How many items may wait to be sent, 1 to 100000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = hedgerow_batch::DEFAULT_MAX_QUEUED))]
    pub max_queued: Option<u64>,
    /// How long a batch may take before it is dropped, above zero; "none" for until all of its callers have
    /// left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = ConfigDuration::from(hedgerow_batch::DEFAULT_TIMEOUT)))]
    pub timeout: Option<TotalTimeout>,
}

/// When a batch is sent that is not full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum BatchStrategy {
    /// As soon as nothing is in flight: [`Idle`].
    #[default]
    Idle,
    /// Also when its first item has waited so long: [`Linger`].
    Linger,
    /// When more items would not pay for the wait: [`Adaptive`].
    Adaptive,
    /// Each item alone.
    Off,
}

impl BatchConfig {
    /// A layer of this strategy, with the defaults.
    #[must_use]
    pub fn new(strategy: BatchStrategy) -> Self {
        Self {
            strategy,
            ..Self::default()
        }
    }

    /// Reads TOML, and looks whether it can be built.
    ///
    /// # Errors
    ///
    /// Every mistake at once: of syntax, or else of keys, types and values.
    pub fn from_toml(text: &str) -> Result<Self, ConfigErrors> {
        read::toml(text)
    }

    /// Reads JSON of the same shape, and looks whether it can be built.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml); of syntax the first mistake alone.
    pub fn from_json(text: &str) -> Result<Self, ConfigErrors> {
        read::json(text)
    }

    /// Reads a file: JSON if its name ends in `.json`, TOML otherwise.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml), and if the file cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        read::file(path.as_ref())
    }

    /// Writes it as TOML: what was set.
    ///
    /// # Errors
    ///
    /// If it cannot be built: then a file may not be able to say it.
    pub fn to_toml(&self) -> Result<String, ConfigErrors> {
        self.build_weighed::<(), ()>(|()| 1)?;
        toml::to_string(self).map_err(|error| ConfigErrors::one("", error))
    }

    /// The layer, for requests that have no weight.
    ///
    /// # Errors
    ///
    /// Every mistake at once; `max_weight` is one, because nothing says how heavy a request is.
    pub fn build<Req, Res>(&self) -> Result<BatchLayer<Req, Res>, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        if let Some(max) = self.max_weight {
            let problem =
                "nothing says how heavy a request is: leave it out, or build it by `build_weighed`";
            mistakes.refuse("max_weight", max, problem);
        }
        let built = self.assemble(&mut mistakes);
        mistakes.judge(built)
    }

    /// The layer, for requests that are as heavy as `weigh` says.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn build_weighed<Req, Res>(
        &self,
        weigh: impl Fn(&Req) -> u64 + Send + Sync + 'static,
    ) -> Result<BatchLayer<Req, Res>, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.weighed(weigh, &mut mistakes);
        mistakes.judge(built)
    }

    fn weighed<Req, Res>(
        &self,
        weigh: impl Fn(&Req) -> u64 + Send + Sync + 'static,
        mistakes: &mut Mistakes,
    ) -> Option<BatchLayer<Req, Res>> {
        let layer = self.assemble(mistakes).unwrap_or_else(BatchLayer::idle);
        match self.max_weight {
            None => Some(layer),
            Some(max) => mistakes.attempt("max_weight", max, layer.try_max_weight(max, weigh)),
        }
    }

    /// All but the weight.
    fn assemble<Req, Res>(&self, mistakes: &mut Mistakes) -> Option<BatchLayer<Req, Res>> {
        let layer = self.timed(mistakes);
        // A layer that stands in, so that what else is wrong is told at the same time.
        let mut whole = layer.is_some();
        let mut layer = layer.unwrap_or_else(BatchLayer::idle);
        let mut set = |key, value: Option<u64>, mistakes: &mut Mistakes, to: Setter<Req, Res>| {
            let Some(value) = value else { return };
            let n = usize::try_from(value).unwrap_or(usize::MAX);
            match mistakes.attempt(key, value, to(layer.clone(), n)) {
                Some(changed) => layer = changed,
                None => whole = false,
            }
        };
        if self.strategy == BatchStrategy::Off && self.max_size.is_some_and(|size| size > 1) {
            let problem =
                "\"off\" sends each item alone: leave this out, or choose another strategy";
            mistakes.refuse("max_size", self.max_size, problem);
        } else {
            set(
                "max_size",
                self.max_size,
                mistakes,
                BatchLayer::try_max_size,
            );
        }
        set(
            "max_in_flight",
            self.max_in_flight,
            mistakes,
            BatchLayer::try_max_in_flight,
        );
        set(
            "max_queued",
            self.max_queued,
            mistakes,
            BatchLayer::try_max_queued,
        );
        let sizes = self
            .prefer
            .iter()
            .map(|&n| usize::try_from(n).unwrap_or(usize::MAX));
        let preferred = layer.clone().try_prefer(sizes);
        let preferred = mistakes.attempt("prefer", &self.prefer, preferred);
        let layer = preferred.unwrap_or_else(|| {
            whole = false;
            layer
        });
        let layer = match self.timeout {
            None => Some(layer),
            Some(TotalTimeout::Named(NoTimeout::None)) => Some(layer.no_timeout()),
            Some(TotalTimeout::After(after)) => {
                mistakes.attempt("timeout", after, layer.try_timeout(after.get()))
            }
        };
        layer.filter(|_| whole)
    }

    /// The layer with its strategy, and what belongs to that alone.
    fn timed<Req, Res>(&self, mistakes: &mut Mistakes) -> Option<BatchLayer<Req, Res>> {
        let strategy = self.strategy;
        if let Some(linger) = self.linger.filter(|_| strategy != BatchStrategy::Linger) {
            mistakes.refuse("linger", linger, only("linger"));
        }
        if self.always_linger && strategy != BatchStrategy::Linger {
            mistakes.refuse("always_linger", true, only("linger"));
        }
        if let Some(cost) = self.cost.filter(|_| strategy != BatchStrategy::Adaptive) {
            mistakes.refuse("cost", cost, only("adaptive"));
        }
        match strategy {
            BatchStrategy::Idle => Some(BatchLayer::new(Idle::new())),
            BatchStrategy::Off => Some(BatchLayer::idle().max_size(1)),
            BatchStrategy::Linger => {
                let Some(linger) = self.linger else {
                    mistakes.say(
                        "linger",
                        "missing: write how long the first item may wait, like \"5ms\"",
                    );
                    return None;
                };
                let policy = Linger::new(linger.get());
                Some(BatchLayer::new(if self.always_linger {
                    policy.strict()
                } else {
                    policy
                }))
            }
            BatchStrategy::Adaptive => match self.cost {
                None => Some(BatchLayer::adaptive()),
                Some(cost) => {
                    let policy = Adaptive::new().try_cost(cost.get());
                    mistakes.attempt("cost", cost, policy).map(BatchLayer::new)
                }
            },
        }
    }
}

type Setter<Req, Res> = fn(
    BatchLayer<Req, Res>,
    usize,
) -> Result<BatchLayer<Req, Res>, hedgerow_batch::BatchBuildError>;

fn only(strategy: &str) -> String {
    format!("it means something with strategy = \"{strategy}\" alone: leave it out, or write that")
}

impl Readable for BatchConfig {
    fn read(root: Value, mistakes: &mut Mistakes) -> Option<Self> {
        let read: Self = read::whole(root, &Self::schema(), mistakes)?;
        // What can be wrong with a weight does not depend on how requests are weighed.
        read.weighed::<(), ()>(|()| 1, mistakes);
        Some(read)
    }
}

impl Describe for BatchConfig {
    const NAME: &'static str = "batch";
}
