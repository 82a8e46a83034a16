//! Policies as they are written on the command line: as their constructors.

use std::fmt;
use std::num::ParseFloatError;
use std::str::FromStr;
use std::time::Duration;

use hedgerow::{BuildError, HedgeLayer};
use thiserror::Error;

const KNOWN: &str = "none, off, fixed(100ms), percentile(95), parallel(2), schedule(50ms,100ms), adaptive, backoff or \
     tower(95)";

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
    Percentile(f64),
    Parallel(usize),
    Schedule(Vec<Duration>),
    /// With these delays, or its default ones.
    Adaptive(Option<Vec<Duration>>),
    /// With its default settings.
    Backoff,
    /// tower's own hedge, to compare with.
    Tower(f64),
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
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Policy {
    /// The constructor as it was written.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// Whether a budget changes what it does.
    pub(crate) fn has_budget(&self) -> bool {
        !matches!(
            self.strategy,
            Strategy::None | Strategy::Off | Strategy::Tower(_)
        )
    }

    pub(crate) fn strategy(&self) -> &Strategy {
        &self.strategy
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

// === impl FromStr ===

impl FromStr for Policies {
    type Err = PolicyError;

    fn from_str(list: &str) -> Result<Self, PolicyError> {
        let policies = split(list).map(str::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(policies))
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let written = text.trim();
        let (name, arguments) = take_apart(written)?;
        let constructor = Constructor { written, arguments };
        let strategy = match name {
            "" => return Err(PolicyError::Empty),
            "none" => constructor.nothing(Strategy::None, "none")?,
            "off" => constructor.nothing(Strategy::Off, "off")?,
            "fixed" => constructor.fixed()?,
            "percentile" => constructor.percentile()?,
            "parallel" => constructor.parallel()?,
            "schedule" => constructor.schedule()?,
            "adaptive" => constructor.adaptive()?,
            "backoff" => constructor.nothing(Strategy::Backoff, "backoff")?,
            "tower" => constructor.tower()?,
            unknown => return Err(PolicyError::Unknown(unknown.to_owned())),
        };
        Ok(Self {
            written: written.to_owned(),
            strategy,
        })
    }
}

// === impl Display ===

impl fmt::Display for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written: Vec<_> = self.iter().map(Policy::written).collect();
        f.write_str(&written.join(","))
    }
}

/// A name and what stands in its brackets, if it has any.
struct Constructor<'a> {
    written: &'a str,
    arguments: Option<Vec<&'a str>>,
}

impl Constructor<'_> {
    fn nothing(&self, strategy: Strategy, name: &'static str) -> Result<Strategy, PolicyError> {
        match self.arguments.as_deref() {
            None | Some([]) => Ok(strategy),
            Some(_) => Err(self.wrong("takes no argument", name)),
        }
    }

    fn fixed(&self) -> Result<Strategy, PolicyError> {
        let delay = self.duration(self.single("takes one delay", "fixed(100ms)")?)?;
        HedgeLayer::try_fixed(delay)?;
        Ok(Strategy::Fixed(delay))
    }

    fn percentile(&self) -> Result<Strategy, PolicyError> {
        let example = "percentile(95)";
        let part = self.single("takes one percentile", example)?;
        let p = part
            .parse()
            .map_err(|_: ParseFloatError| self.no_number(part, example))?;
        HedgeLayer::try_percentile(p)?;
        Ok(Strategy::Percentile(p))
    }

    fn tower(&self) -> Result<Strategy, PolicyError> {
        let example = "tower(95)";
        let part = self.single("takes one percentile", example)?;
        let p = part
            .parse()
            .map_err(|_: ParseFloatError| self.no_number(part, example))?;
        HedgeLayer::try_percentile(p)?;
        Ok(Strategy::Tower(p))
    }

    fn parallel(&self) -> Result<Strategy, PolicyError> {
        let example = "parallel(2)";
        let part = self.single("takes one number of copies", example)?;
        let copies = part.parse().map_err(|_| self.no_number(part, example))?;
        HedgeLayer::try_parallel(copies)?;
        Ok(Strategy::Parallel(copies))
    }

    fn adaptive(&self) -> Result<Strategy, PolicyError> {
        let Some(parts) = &self.arguments else {
            return Ok(Strategy::Adaptive(None));
        };
        let delays = parts
            .iter()
            .map(|part| self.duration(part))
            .collect::<Result<Vec<_>, _>>()?;
        HedgeLayer::try_adaptive(delays.iter().copied())?;
        Ok(Strategy::Adaptive(Some(delays)))
    }

    fn schedule(&self) -> Result<Strategy, PolicyError> {
        let Some(parts) = &self.arguments else {
            return Err(self.wrong("takes one delay per extra call", "schedule(50ms,100ms)"));
        };
        let delays = parts
            .iter()
            .map(|part| self.duration(part))
            .collect::<Result<Vec<_>, _>>()?;
        HedgeLayer::try_schedule(delays.iter().copied())?;
        Ok(Strategy::Schedule(delays))
    }

    fn single(&self, takes: &'static str, example: &'static str) -> Result<&str, PolicyError> {
        match self.arguments.as_deref() {
            Some([part]) => Ok(part),
            _ => Err(self.wrong(takes, example)),
        }
    }

    fn duration(&self, part: &str) -> Result<Duration, PolicyError> {
        humantime::parse_duration(part).map_err(|_| PolicyError::Duration {
            written: self.written.to_owned(),
            part: part.to_owned(),
        })
    }

    fn no_number(&self, part: &str, example: &'static str) -> PolicyError {
        PolicyError::Number {
            written: self.written.to_owned(),
            part: part.to_owned(),
            example,
        }
    }

    fn wrong(&self, takes: &'static str, example: &'static str) -> PolicyError {
        PolicyError::Arguments {
            written: self.written.to_owned(),
            takes,
            example,
        }
    }
}

/// `fixed(100ms)` into `fixed` and `100ms`.
fn take_apart(written: &str) -> Result<(&str, Option<Vec<&str>>), PolicyError> {
    let mismatch = || PolicyError::Brackets(written.to_owned());
    let Some((name, rest)) = written.split_once('(') else {
        return if written.contains(')') {
            Err(mismatch())
        } else {
            Ok((written, None))
        };
    };
    let inside = rest.strip_suffix(')').ok_or_else(mismatch)?;
    if inside.contains(['(', ')']) {
        return Err(mismatch());
    }
    let arguments = match inside.trim() {
        "" => Vec::new(),
        inside => inside.split(',').map(str::trim).collect(),
    };
    Ok((name.trim_end(), Some(arguments)))
}

/// At the commas that stand outside of brackets.
fn split(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    list.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0
    })
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
                 adaptive,adaptive(10ms,20ms),backoff"
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
            ("off(1)", "takes no argument: write off"),
        ] {
            let refused = refusal(written);
            assert!(refused.contains(answer), "{written}: {refused}");
        }
    }
}
