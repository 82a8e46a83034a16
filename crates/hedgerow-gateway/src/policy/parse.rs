//! From a line of text to policies.

use std::num::ParseFloatError;
use std::str::FromStr;
use std::time::Duration;

use hedgerow::HedgeLayer;

use super::{Policies, Policy, PolicyError, Strategy, Tries};

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
        Ok(Self {
            written: written.to_owned(),
            strategy: strategy(written)?,
        })
    }
}

fn strategy(written: &str) -> Result<Strategy, PolicyError> {
    let (name, arguments) = take_apart(written)?;
    let constructor = Constructor { written, arguments };
    match name {
        "" => Err(PolicyError::Empty),
        "none" => constructor.nothing(Strategy::None, "none"),
        "off" => constructor.nothing(Strategy::Off, "off"),
        "fixed" => constructor.fixed(),
        "percentile" => constructor.percentile().map(Strategy::Percentile),
        "class" => constructor.class(),
        "key" => constructor.key(),
        "workload" => constructor.workload(),
        "parallel" => constructor.parallel(),
        "schedule" => constructor.schedule(),
        "adaptive" => constructor.adaptive(),
        "backoff" => constructor.nothing(Strategy::Backoff, "backoff"),
        "retry" => constructor.retry(),
        "tower" => constructor.tower(),
        unknown => Err(PolicyError::Unknown(unknown.to_owned())),
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
        let part = self.single("takes one delay", "fixed(100ms) or fixed(p95)")?;
        if let Some(number) = part.strip_prefix('p') {
            return self.percent(number, "fixed(p95)").map(Strategy::FixedAt);
        }
        let delay = self.duration(part)?;
        HedgeLayer::try_fixed(delay)?;
        Ok(Strategy::Fixed(delay))
    }

    fn percentile(&self) -> Result<f64, PolicyError> {
        let example = "percentile(95)";
        self.percent(self.single("takes one percentile", example)?, example)
    }

    fn tower(&self) -> Result<Strategy, PolicyError> {
        let example = "tower(95)";
        let part = self.single("takes one percentile", example)?;
        self.percent(part, example).map(Strategy::Tower)
    }

    fn retry(&self) -> Result<Strategy, PolicyError> {
        let (takes, example) = (
            "takes one word",
            "retry(naive), retry(budgets), retry(shared) or retry(gated)",
        );
        let tries = match self.single(takes, example)? {
            "naive" => Tries::Naive,
            "budgets" => Tries::Budgets,
            "shared" => Tries::Shared,
            "gated" => Tries::Gated,
            _ => return Err(self.wrong(takes, example)),
        };
        Ok(Strategy::Retry(tries))
    }

    fn class(&self) -> Result<Strategy, PolicyError> {
        let example = "class(percentile(95))";
        match strategy(self.single("takes one percentile policy", example)?)? {
            Strategy::Percentile(p) => Ok(Strategy::Class(p)),
            _ => Err(self.not_learnt(example)),
        }
    }

    fn key(&self) -> Result<Strategy, PolicyError> {
        let example = "key(percentile(95)), key(adaptive) or key(backoff)";
        let inner = strategy(self.single("takes one policy that learns", example)?)?;
        match inner {
            Strategy::Percentile(_) | Strategy::Adaptive(_) | Strategy::Backoff => {
                Ok(Strategy::Key(Box::new(inner)))
            }
            _ => Err(self.not_learnt(example)),
        }
    }

    fn workload(&self) -> Result<Strategy, PolicyError> {
        let example = "workload(50ms) or workload(50ms,200ms)";
        let delays = self.durations().unwrap_or_else(|| Ok(Vec::new()))?;
        if delays.is_empty() {
            return Err(self.wrong("takes one delay per class of the workload", example));
        }
        Ok(Strategy::Workload(delays))
    }

    fn parallel(&self) -> Result<Strategy, PolicyError> {
        let example = "parallel(2)";
        let part = self.single("takes one number of copies", example)?;
        let copies = part.parse().map_err(|_| self.no_number(part, example))?;
        HedgeLayer::try_parallel(copies)?;
        Ok(Strategy::Parallel(copies))
    }

    fn adaptive(&self) -> Result<Strategy, PolicyError> {
        let Some(delays) = self.durations() else {
            return Ok(Strategy::Adaptive(None));
        };
        let delays = delays?;
        HedgeLayer::try_adaptive(delays.iter().copied())?;
        Ok(Strategy::Adaptive(Some(delays)))
    }

    fn schedule(&self) -> Result<Strategy, PolicyError> {
        let Some(delays) = self.durations() else {
            return Err(self.wrong("takes one delay per extra call", "schedule(50ms,100ms)"));
        };
        let delays = delays?;
        HedgeLayer::try_schedule(delays.iter().copied())?;
        Ok(Strategy::Schedule(delays))
    }

    fn single(&self, takes: &'static str, example: &'static str) -> Result<&str, PolicyError> {
        match self.arguments.as_deref() {
            Some([part]) => Ok(part),
            _ => Err(self.wrong(takes, example)),
        }
    }

    /// Every argument, if there are brackets.
    fn durations(&self) -> Option<Result<Vec<Duration>, PolicyError>> {
        let parts = self.arguments.as_ref()?;
        Some(parts.iter().map(|part| self.duration(part)).collect())
    }

    /// A percentile that can be hedged at.
    fn percent(&self, part: &str, example: &'static str) -> Result<f64, PolicyError> {
        let p = part
            .parse()
            .map_err(|_: ParseFloatError| self.no_number(part, example))?;
        HedgeLayer::try_percentile(p)?;
        Ok(p)
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

    fn not_learnt(&self, example: &'static str) -> PolicyError {
        PolicyError::NotLearnt {
            written: self.written.to_owned(),
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
    // Brackets inside belong to a policy inside, and match by themselves.
    let mut depth = 0_i32;
    for c in inside.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth < 0 {
            return Err(mismatch());
        }
    }
    if depth > 0 {
        return Err(mismatch());
    }
    let arguments = match inside.trim() {
        "" => Vec::new(),
        inside => split(inside).map(str::trim).collect(),
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
