//! The cache as it is configured.

use hedgerow_cache::{CacheLayer, HttpKey, KeptBodies};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assemble::Part;
use super::default;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::hedge::Protocol;
use super::http_key::HttpKeyConfig;
use super::member::{Given, Member};
use super::order::Place;
use super::store::{ConfiguredStore, StoreConfig};
use super::time::ConfigDuration;

/// Answers from a store what was answered before, and stores what is answered.
///
/// See [`CacheLayer`].
///
/// # Examples
///
/// ```
/// use hedgerow::config::StackConfig;
///
/// let stack = StackConfig::from_toml(r#"
///     [[layer]]
///     kind = "idempotent_paths"
///     paths = ["/v1/chat/completions"]
///
///     [[layer]]
///     kind = "replay_body"
///
///     [[layer]]
///     kind = "cache"
///     ttl = "1h"
///     key = { tenant = "header:authorization", methods = ["POST"], ignore = ["user"] }
///     store = { bytes = 268435456 }
///
///     [[layer]]
///     kind = "coalesce"
/// "#)?;
/// assert_eq!(stack.warnings(), []);
/// let stack = stack.build()?;
/// assert_eq!(stack.caches()[0].stats().hits, 0);
/// # Ok::<_, hedgerow::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    description = "Answers from a store what was answered before, and stores what is answered."
)]
#[non_exhaustive]
pub struct CacheConfig {
    /// What makes two requests the same, and for whom.
    pub key: HttpKeyConfig,
    /// Where answers are kept: in memory (`entries` or `bytes`), in a file (`path`), or in both.
    #[serde(default, skip_serializing_if = "StoreConfig::is_default")]
    #[schemars(extend("x-default" = "67108864 bytes of memory"))]
    pub store: StoreConfig,
    /// How long an answer is as good as a new one, unless it says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::TTL))]
    pub ttl: Option<ConfigDuration>,
    /// How long after its time an answer is still served, and refreshed behind the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, it is asked for anew"))]
    pub stale_while_revalidate: Option<ConfigDuration>,
    /// How long after its time an answer is still served when the service fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, the failure is told"))]
    pub stale_if_error: Option<ConfigDuration>,
    /// How long a 404, 405, 410 or 414 is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, they are not kept"))]
    pub negative: Option<ConfigDuration>,
    /// Larger bodies are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::KEPT_BYTES))]
    pub max_body_bytes: Option<u64>,
    /// Keeps also what the service forbids to keep by `Cache-Control`, as models' servers do by habit.
    #[serde(default)]
    pub ignore_cache_control: bool,
    /// How many answers may be refreshed at a time, 1 to 1000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::REFRESHES))]
    pub max_refreshes: Option<u64>,
    /// How long a refresh may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::REFRESH_PATIENCE))]
    pub refresh_patience: Option<ConfigDuration>,
    /// What counts as an answer: by its status, by its `grpc-status`, or as a model provider has it.
    #[serde(default)]
    #[schemars(extend("default" = "http"))]
    pub protocol: Protocol,
}

/// A cache of a configured stack.
pub type ConfiguredCache = CacheLayer<ConfiguredStore, HttpKey, KeptBodies<Protocol>>;

impl CacheConfig {
    /// A cache with this key and the defaults.
    #[must_use]
    pub fn new(key: HttpKeyConfig) -> Self {
        Self {
            key,
            store: StoreConfig::default(),
            ttl: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            negative: None,
            max_body_bytes: None,
            ignore_cache_control: false,
            max_refreshes: None,
            refresh_patience: None,
            protocol: Protocol::Http,
        }
    }

    /// The layer. If its store is a file, that is opened.
    ///
    /// # Errors
    ///
    /// Every mistake at once; if there is none, what is wrong with the file.
    pub fn build(&self) -> Result<ConfiguredCache, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let checked = self.assemble(false, &mut mistakes);
        if checked.is_none() || !mistakes.is_empty() {
            return mistakes.judge(checked);
        }
        let built = self.assemble(true, &mut mistakes);
        mistakes.judge(built)
    }

    pub(crate) fn assemble(&self, opens: bool, mistakes: &mut Mistakes) -> Option<ConfiguredCache> {
        let key = mistakes.within("key", |mistakes| self.key.assemble(mistakes));
        let store = mistakes.within("store", |mistakes| self.store.assemble(opens, mistakes));
        let bodies = self.bodies(mistakes);
        let timed = self.timed(mistakes);
        let (key, store, bodies, set) = (key?, store?, bodies?, timed?);
        Some(set(CacheLayer::new(store).key(key).keep(bodies)))
    }

    fn bodies(&self, mistakes: &mut Mistakes) -> Option<KeptBodies<Protocol>> {
        let mut bodies = KeptBodies::new();
        if let Some(bytes) = self.max_body_bytes {
            let fits = usize::try_from(bytes)
                .ok()
                .filter(|_| bytes <= i64::MAX as u64);
            let fits = fits.ok_or("write at most 9223372036854775807");
            bodies = bodies.max_body(mistakes.attempt("max_body_bytes", bytes, fits)?);
        }
        if self.ignore_cache_control {
            bodies = bodies.ignore_cache_control();
        }
        Some(bodies.accept(self.protocol))
    }

    /// What sets the times and bounds; `None` with a mistake. Each is looked at whether the others are right or
    /// not, on a layer that stands in.
    fn timed(
        &self,
        mistakes: &mut Mistakes,
    ) -> Option<impl FnOnce(ConfiguredCache) -> ConfiguredCache> {
        let stand_in = || CacheLayer::new(());
        let mut fine = true;
        if let Some(ttl) = self.ttl {
            let tried = stand_in().try_ttl(ttl.get());
            fine &= mistakes.attempt("ttl", ttl, tried).is_some();
        }
        if let Some(negative) = self.negative {
            let tried = stand_in().try_negative(negative.get());
            fine &= mistakes.attempt("negative", negative, tried).is_some();
        }
        let at_most = self.max_refreshes.unwrap_or(default::REFRESHES);
        let patience = self.refresh_patience.unwrap_or(default::REFRESH_PATIENCE);
        let number = usize::try_from(at_most).unwrap_or(usize::MAX);
        // Each beside a patience, or a number, that is fine.
        if let Some(written) = self.max_refreshes {
            let tried = stand_in().try_refreshes(number, default::REFRESH_PATIENCE.get());
            fine &= mistakes.attempt("max_refreshes", written, tried).is_some();
        }
        if let Some(written) = self.refresh_patience {
            let tried = stand_in().try_refreshes(1, written.get());
            fine &= mistakes
                .attempt("refresh_patience", written, tried)
                .is_some();
        }
        let (ttl, negative) = (self.ttl, self.negative);
        let (revalidate, on_error) = (self.stale_while_revalidate, self.stale_if_error);
        let refreshes = self.max_refreshes.is_some() || self.refresh_patience.is_some();
        fine.then_some(move |mut layer: ConfiguredCache| {
            if let Some(ttl) = ttl {
                layer = layer.ttl(ttl.get());
            }
            if let Some(negative) = negative {
                layer = layer.negative(negative.get());
            }
            if let Some(stale) = revalidate {
                layer = layer.stale_while_revalidate(stale.get());
            }
            if let Some(stale) = on_error {
                layer = layer.stale_if_error(stale.get());
            }
            if refreshes {
                layer = layer.refreshes(number, patience.get());
            }
            layer
        })
    }

    /// Whether building it opens a file.
    pub(crate) const fn has_file(&self) -> bool {
        self.store.path.is_some()
    }
}

impl Describe for CacheConfig {
    const NAME: &'static str = "cache";
}

impl Member for CacheConfig {
    fn part(&self, given: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        let layer = self.assemble(given.opens, mistakes)?;
        Some(Part::Cache(Box::new(layer)))
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.cache(self, warn);
    }

    fn holds(&self, key: &str, default: &str) -> Option<String> {
        let refreshes = self.stale_while_revalidate.is_some();
        Some(match key {
            "key" => self.key.told(),
            "store" if !self.store.is_default() => self.store.told(),
            "max_refreshes" | "refresh_patience" if !refreshes => return None,
            _ => default.to_owned(),
        })
    }
}
