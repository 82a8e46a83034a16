//! Policies as they are written on the command line: as their constructors.

mod parse;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use hedgerow::BuildError;
use hedgerow::config::{ConfigErrors, StackConfig};
use thiserror::Error;

const KNOWN: &str = "none, off, fixed(100ms), percentile(95), parallel(2), schedule(50ms,100ms), adaptive or \
     backoff; in the lab also fixed(p95), class(percentile(95)), key(percentile(95)), \
     workload(50ms,200ms), retry(budgets) or tower(95)";

/// A policy and how it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    written: String,
    strategy: Strategy,
}

/// What a policy does. What the constructors of [`HedgeLayer`] refuse was refused before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Strategy {
    /// No layer at all.
    None,
    Off,
    Fixed(Duration),
    /// At this percentile of what the workload's attempts take in truth.
    FixedAt(f64),
    Percentile(f64),
    /// A percentile of latencies that are divided by their class's scale.
    Class(f64),
    /// A histogram and a policy for each class: of a percentile, adaptive or a backoff.
    Key(Box<Strategy>),
    /// After the delay of the request's class.
    Workload(Vec<Duration>),
    Parallel(usize),
    Schedule(Vec<Duration>),
    /// With these delays, or its default ones.
    Adaptive(Option<Vec<Duration>>),
    /// With its default settings.
    Backoff,
    /// tower's own hedge, to compare with.
    Tower(f64),
    /// Tries behind a deadline, with hedges in each.
    Retry(Tries),
    /// The layers of a file.
    Stack(Box<StackConfig>),
}

/// What the tries of a call may cost, and what stands in front of the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tries {
    /// Three of them without a budget, a deadline or a hedge.
    Naive,
    /// Retries 10 % of the calls, hedges 5 % of the tries.
    Budgets,
    /// Retries and hedges together 10 % of the calls.
    Shared,
    /// Like `Budgets`, behind a gate that lets large requests wait.
    Gated,
}

/// One policy or more, separated by commas.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policies(Vec<Policy>);

/// Why a policy was refused.
#[derive(Debug, Error, PartialEq)]
pub(crate) enum PolicyError {
    #[error("no policy is named: write {KNOWN}")]
    Empty,
    #[error("there is no policy `{0}`: write {KNOWN}")]
    Unknown(String),
    #[error("`{0}` has brackets that do not match: write it like fixed(100ms)")]
    Brackets(String),
    #[error("`{written}` {takes}: write {example}")]
    Arguments {
        written: String,
        takes: &'static str,
        example: &'static str,
    },
    #[error(
        "in `{written}`, `{part}` is no duration: write a number and its unit, like 100ms or 2s"
    )]
    Duration { written: String, part: String },
    #[error("in `{written}`, `{part}` is no number: write {example}")]
    Number {
        written: String,
        part: String,
        example: &'static str,
    },
    #[error("`{written}` learns nothing that differs from class to class: write {example}")]
    NotLearnt {
        written: String,
        example: &'static str,
    },
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Policy {
    /// The stack of a file.
    pub(crate) fn of_file(path: &str) -> Result<Self, ConfigErrors> {
        let config = StackConfig::from_file(Path::new(path))?;
        // What has a meaning for HTTP requests alone is refused.
        config.build()?.clone_requests::<()>()?;
        Ok(Self {
            written: format!("stack({path})"),
            strategy: Strategy::Stack(Box::new(config)),
        })
    }

    /// The constructor as it was written.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// Whether a budget changes what it does.
    pub(crate) fn has_budget(&self) -> bool {
        !matches!(
            self.strategy,
            Strategy::None
                | Strategy::Off
                | Strategy::Tower(_)
                | Strategy::Retry(_)
                | Strategy::Stack(_)
        )
    }

    pub(crate) fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    /// Whether it means something in the lab alone.
    pub(crate) fn is_of_the_lab(&self) -> bool {
        matches!(
            self.strategy,
            Strategy::Tower(_)
                | Strategy::FixedAt(_)
                | Strategy::Class(_)
                | Strategy::Key(_)
                | Strategy::Workload(_)
                | Strategy::Retry(_)
                | Strategy::Stack(_)
        )
    }
}

impl Policies {
    /// What `--quick` measures.
    pub(crate) fn quick() -> Self {
        "none,percentile(95)"
            .parse()
            .expect("a test parses exactly this")
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Policy> {
        self.0.iter()
    }
}

// === impl Display ===

impl fmt::Display for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written: Vec<_> = self.iter().map(Policy::written).collect();
        f.write_str(&written.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategies(list: &str) -> Vec<Strategy> {
        let policies: Policies = list.parse().expect("a good list");
        policies
            .iter()
            .map(|policy| policy.strategy().clone())
            .collect()
    }

    fn refusal(list: &str) -> String {
        list.parse::<Policies>().expect_err(list).to_string()
    }

    #[test]
    fn every_constructor_is_understood() {
        let ms = Duration::from_millis;
        assert_eq!(
            strategies(
                "none, off ,fixed(100ms),percentile(99.9),parallel( 2 ),schedule(50ms, 1s 5ms),tower(95),\
                 adaptive,adaptive(10ms,20ms),backoff,fixed(p95),class( percentile(95) ),\
                 key(adaptive(10ms,20ms)),workload(1s,2ms),retry(naive),retry( budgets ),\
                 retry(shared),retry(gated)"
            ),
            [
                Strategy::None,
                Strategy::Off,
                Strategy::Fixed(ms(100)),
                Strategy::Percentile(99.9),
                Strategy::Parallel(2),
                Strategy::Schedule(vec![ms(50), ms(1_005)]),
                Strategy::Tower(95.0),
                Strategy::Adaptive(None),
                Strategy::Adaptive(Some(vec![ms(10), ms(20)])),
                Strategy::Backoff,
                Strategy::FixedAt(95.0),
                Strategy::Class(95.0),
                Strategy::Key(Box::new(Strategy::Adaptive(Some(vec![ms(10), ms(20)])))),
                Strategy::Workload(vec![ms(1_000), ms(2)]),
                Strategy::Retry(Tries::Naive),
                Strategy::Retry(Tries::Budgets),
                Strategy::Retry(Tries::Shared),
                Strategy::Retry(Tries::Gated),
            ]
        );
    }

    #[test]
    fn a_policy_is_called_as_it_was_written() {
        let policies: Policies = " percentile( 95 ) ,none".parse().expect("a good list");
        let written: Vec<_> = policies.iter().map(Policy::written).collect();
        assert_eq!(written, ["percentile( 95 )", "none"]);
        assert_eq!(policies.to_string(), "percentile( 95 ),none");
    }

    #[test]
    fn quick_is_none_and_the_95th_percentile() {
        assert_eq!(Policies::quick().to_string(), "none,percentile(95)");
    }

    #[test]
    fn every_mistake_is_answered_with_what_to_write() {
        for (written, answer) in [
            ("", "no policy is named: write none"),
            ("none,", "no policy is named: write none"),
            (
                "linkerd",
                "there is no policy `linkerd`: write none, off, fixed(100ms)",
            ),
            ("adaptive(10ms)", "write 2 to 64"),
            ("backoff(1)", "takes no argument: write backoff"),
            ("tower", "takes one percentile: write tower(95)"),
            ("fixed(100ms", "brackets that do not match"),
            ("fixed(100ms))", "brackets that do not match"),
            ("fixed100ms)", "brackets that do not match"),
            ("fixed", "takes one delay: write fixed(100ms)"),
            ("fixed(pi)", "`i` is no number: write fixed(p95)"),
            ("fixed(p0.95)", "did you mean 95?"),
            ("class(fixed(1ms))", "write class(percentile(95))"),
            (
                "class",
                "takes one percentile policy: write class(percentile(95))",
            ),
            ("class(percentile(95)", "brackets that do not match"),
            (
                "key(fixed(1ms))",
                "write key(percentile(95)), key(adaptive)",
            ),
            ("key(linkerd)", "there is no policy `linkerd`"),
            (
                "key(percentile(95),backoff)",
                "takes one policy that learns",
            ),
            ("workload()", "takes one delay per class"),
            ("workload(5)", "`5` is no duration"),
            ("fixed()", "takes one delay: write fixed(100ms)"),
            ("fixed(1ms,2ms)", "takes one delay: write fixed(100ms)"),
            (
                "fixed(100)",
                "`100` is no duration: write a number and its unit",
            ),
            ("fixed(-5ms)", "`-5ms` is no duration"),
            ("percentile", "takes one percentile: write percentile(95)"),
            (
                "percentile(p95)",
                "`p95` is no number: write percentile(95)",
            ),
            ("percentile(0.95)", "did you mean 95?"),
            ("percentile(100)", "below 100"),
            ("percentile(NaN)", "from 1 to below 100"),
            ("parallel(0)", "write 1 (no hedge) to"),
            ("parallel(-1)", "`-1` is no number: write parallel(2)"),
            ("parallel(999)", "write 1 (no hedge) to"),
            ("schedule", "takes one delay per extra call"),
            ("schedule()", "write one delay per extra attempt"),
            ("schedule(2s,1s)", "in ascending order"),
            ("schedule(1s,)", "`` is no duration"),
            ("none(1)", "takes no argument: write none"),
            (
                "retry",
                "takes one word: write retry(naive), retry(budgets)",
            ),
            ("retry(3)", "takes one word"),
            ("off(1)", "takes no argument: write off"),
        ] {
            let refused = refusal(written);
            assert!(refused.contains(answer), "{written}: {refused}");
        }
    }
}
