//! Durations as they are written: `250ms`, `1.5s`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The format that marks a duration in the schema.
pub(crate) const FORMAT: &str = "hedgerow-duration";
/// What to write for one.
pub(crate) const WRITE: &str =
    "write a number and its unit (ns, us, ms, s, m or h), like \"250ms\" or \"1.5s\"";

const NANOS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A duration in a configuration, written as a number and its unit.
///
/// Units are `ns`, `us` (or `µs`), `ms`, `s`, `m` and `h`; the number may have a decimal point. What
/// is finer than a nanosecond is refused.
///
/// # Examples
///
/// ```
/// use hedgerow::config::ConfigDuration;
/// use std::time::Duration;
///
/// let written: ConfigDuration = "1.5s".parse()?;
/// assert_eq!(written.get(), Duration::from_millis(1_500));
/// assert_eq!(ConfigDuration::from(Duration::from_millis(250)).to_string(), "250ms");
/// # Ok::<_, hedgerow::config::ParseDurationError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigDuration(Duration);

/// What was written is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseDurationError {}

impl ConfigDuration {
    /// A duration in milliseconds.
    pub(crate) const fn millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// The duration itself.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for ConfigDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<ConfigDuration> for Duration {
    fn from(written: ConfigDuration) -> Self {
        written.0
    }
}

impl FromStr for ConfigDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, ParseDurationError> {
        parse(text).map(Self).ok_or(ParseDurationError {})
    }
}

fn parse(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit);
    let (_, unit) = NANOS.iter().find(|(name, _)| *name == unit)?;
    let (whole, part) = match number.split_once('.') {
        Some((whole, part)) if !part.is_empty() => (whole, part),
        Some(_) => return None,
        None => (number, ""),
    };
    let mut nanos = whole.parse::<u64>().ok().map(u128::from)? * unit;
    let mut unit = *unit;
    for digit in part.chars() {
        let digit = u128::from(digit.to_digit(10)?);
        // A unit of zero is beyond the last digit that means anything.
        if digit > 0 && (unit == 0 || unit % 10 != 0) {
            return None;
        }
        unit /= 10;
        nanos += digit * unit;
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

impl fmt::Display for ConfigDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, name) = match nanos {
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            // Zero is 0s.
            _ => (1_000_000_000, "s"),
        };
        write!(f, "{}", nanos / unit)?;
        let rest = nanos % unit;
        if rest > 0 {
            let digits = unit.ilog10() as usize;
            let part = format!("{rest:0digits$}");
            write!(f, ".{}", part.trim_end_matches('0'))?;
        }
        f.write_str(name)
    }
}

impl fmt::Display for ParseDurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is no duration: {WRITE}")
    }
}

impl std::error::Error for ParseDurationError {}

// === impl serde, schemars ===

impl Serialize for ConfigDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for ConfigDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": FORMAT,
            "pattern": "^[0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_fractions_are_understood_exactly() {
        for (text, nanos) in [
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("0s", 0),
            ("1.000000001s", 1_000_000_001),
            ("2µs", 2_000),
            ("2us", 2_000),
            ("7ns", 7),
            ("0.5m", 30_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1.50ms", 1_500_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "ms",
            ".5s",
            "5.s",
            "-5ms",
            "5 ms",
            "1.5ns",
            "1e3ms",
            "5sec",
            "1s5ms",
            "0.0000000001s",
            "99999999999999999999s",
            "5.5.5s",
            "18446744073709551615h",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
