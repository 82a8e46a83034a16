//! A number as it was written.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

/// A JSON number with all its digits: `1.0` stays `1.0`, and `12345678901234567890` loses nothing.
///
/// # Examples
///
/// ```
/// use hedgerow_openai::json::Number;
///
/// let number: Number = serde_json::from_str("0.100")?;
/// assert_eq!(number.as_f64(), 0.1);
/// assert_eq!(serde_json::to_string(&number)?, "0.100");
/// assert_eq!(Number::from(7).as_u64(), Some(7));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Number(Box<RawValue>);

impl Number {
    /// As a whole number, if it is one that fits: `12` and `12.0`, not `12.5`.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        let text = self.as_str();
        if let Ok(whole) = text.parse() {
            return Some(whole);
        }
        let (whole, rest) = text.split_once('.')?;
        let zeros = rest.bytes().all(|byte| byte == b'0');
        zeros.then(|| whole.parse().ok()).flatten()
    }

    /// As the nearest floating-point number; infinite if it is too large for one.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        // A JSON number is always one that Rust can read.
        self.as_str().parse().unwrap_or(f64::NAN)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

// === impl From ===

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        let text = number.to_string();
        Self(RawValue::from_string(text).expect("digits are JSON"))
    }
}

// === impl Deserialize, Serialize ===

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match raw.get().as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => Ok(Self(raw)),
            _ => Err(de::Error::custom(format_args!(
                "expected a number, found `{:.40}`",
                raw.get()
            ))),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

// === impl Debug, Display, PartialEq ===

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Equal if they were written alike.
impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
