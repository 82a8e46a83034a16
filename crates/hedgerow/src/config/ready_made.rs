//! Stacks that are ready to use.

use super::admission::{AdmissionConfig, ExtrasConfig, LimitConfig, LimitName};
use super::bodies::{IdempotentPathsConfig, ReplayBodyConfig};
use super::budget::{BudgetConfig, BudgetName, BudgetShare};
use super::deadline::DeadlineConfig;
use super::first::AwaitFirstConfig;
use super::hedge::{HedgeConfig, LatencySource};
use super::latency::LatencyConfig;
use super::retry::{GateSource, RetryConfig};
use super::stack::{LayerConfig, NoTimeout, StackConfig, TotalTimeout};
use super::time::ConfigDuration;
use crate::numbers::{self, Numbers};

impl StackConfig {
    /// A stack for a client of an HTTP service: latency, deadline, replayable bodies, retry, hedge,
    /// admission, latency.
    ///
    /// Up to three tries within 30 s, hedged at the 95th percentile; retries and copies together are at
    /// most 15 in 100 calls; the limit on concurrency falls when the service says that it has enough.
    /// The file `http_client.toml` beside the code says the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow::config::StackConfig;
    ///
    /// let stack = StackConfig::http_client().build()?;
    /// assert_eq!(stack.retries()[0].attempts(), 3);
    /// # Ok::<_, hedgerow::config::ConfigErrors>(())
    /// ```
    #[must_use]
    pub fn http_client() -> Self {
        of(&numbers::HTTP_CLIENT)
    }

    /// A stack for a client of a language model's API: latency, deadline, paths that may be asked twice,
    /// replayable bodies, retry, hedge, admission, latency, first content.
    ///
    /// Up to four tries within ten minutes, hedged at the 95th percentile once that is known; retries and
    /// copies together are at most 10 in 100 calls. The rates of your account are yours to add. The file
    /// `llm_client.toml` beside the code says the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow::config::{LayerConfig, RateConfig, StackConfig};
    /// use std::time::Duration;
    ///
    /// let mut config = StackConfig::llm_client();
    /// for layer in &mut config.layers {
    ///     if let LayerConfig::Admission(admission) = layer {
    ///         let minute = Duration::from_secs(60).into();
    ///         admission.rates = vec![RateConfig::requests(500, minute)];
    ///     }
    /// }
    /// let stack = config.build()?;
    /// # let _ = stack;
    /// # Ok::<_, hedgerow::config::ConfigErrors>(())
    /// ```
    #[must_use]
    pub fn llm_client() -> Self {
        of(&numbers::LLM_CLIENT)
    }
}

fn of(numbers: &Numbers) -> StackConfig {
    let mut layers: Vec<LayerConfig> = vec![
        LatencyConfig::default().into(),
        DeadlineConfig::new(numbers.deadline.into()).into(),
    ];
    if !numbers.paths.is_empty() {
        layers.push(IdempotentPathsConfig::new(numbers.paths.iter().copied()).into());
    }
    layers.push(
        ReplayBodyConfig {
            cap_bytes: numbers.cap_bytes,
        }
        .into(),
    );
    layers.push(
        RetryConfig {
            attempts: numbers.attempts.map(|attempts| attempts as u64),
            base: numbers.waits.map(|(base, _)| base.into()),
            cap: numbers.waits.map(|(_, cap)| cap.into()),
            attempt_timeout: Some(numbers.attempt_timeout.into()),
            pushback_cap: numbers.pushback_cap.map(ConfigDuration::from),
            latency: GateSource::Shared,
            budget: Some(BudgetConfig::Share(BudgetShare {
                percent: Some(numbers.percent),
                depth: None,
            })),
            ..RetryConfig::default()
        }
        .into(),
    );
    layers.push(
        HedgeConfig {
            initial: numbers.initial.map(ConfigDuration::from),
            latency: LatencySource::Shared,
            budget: Some(BudgetConfig::Named(BudgetName::Shared)),
            ..HedgeConfig::default()
        }
        .into(),
    );
    layers.push(
        AdmissionConfig {
            limit: Some(LimitConfig {
                initial: Some(numbers.limit as u64),
                max: numbers.max_limit.map(|limit| limit as u64),
                ..LimitConfig::new(LimitName::Aimd)
            }),
            max_wait: Some(numbers.max_wait.into()),
            extras: ExtrasConfig::NowOnly,
            ..AdmissionConfig::default()
        }
        .into(),
    );
    layers.push(LatencyConfig::default().into());
    if numbers.first_content {
        layers.push(AwaitFirstConfig::default().into());
    }
    StackConfig {
        total_timeout: TotalTimeout::Named(NoTimeout::None),
        layers,
    }
}
