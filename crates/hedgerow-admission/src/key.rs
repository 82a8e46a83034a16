//! What a request is counted under: a tenant, a model, a host.

use std::fmt;
use std::sync::Arc;

/// What a request is counted under: a tenant, a model, an API key's name.
///
/// Text or a number. Cloning is cheap and allocates nothing; making one from a `String` allocates once.
/// Text and number never compare equal: `Key::from("7") != Key::from(7)`.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::Key;
///
/// assert_eq!(Key::from("tenant-a"), Key::from(String::from("tenant-a")));
/// assert_eq!(Key::from(7).to_string(), "7");
/// ```
#[derive(Clone)]
pub struct Key(Word);

#[derive(Clone)]
enum Word {
    Static(&'static str),
    Shared(Arc<str>),
    Number(u64),
}

impl Key {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Word::Static(text) => Some(text),
            Word::Shared(text) => Some(text),
            Word::Number(_) => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub const fn as_number(&self) -> Option<u64> {
        match self.0 {
            Word::Number(number) => Some(number),
            Word::Static(_) | Word::Shared(_) => None,
        }
    }
}

impl From<&'static str> for Key {
    fn from(text: &'static str) -> Self {
        Self(Word::Static(text))
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(Word::Shared(text.into()))
    }
}

impl From<Arc<str>> for Key {
    fn from(text: Arc<str>) -> Self {
        Self(Word::Shared(text))
    }
}

impl From<u64> for Key {
    fn from(number: u64) -> Self {
        Self(Word::Number(number))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_number() == other.as_number() && self.as_str() == other.as_str()
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self.as_str() {
            Some(text) => text.hash(state),
            None => self.as_number().hash(state),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Word::Number(number) => number.fmt(f),
            Word::Static(text) => f.pad(text),
            Word::Shared(text) => f.pad(text),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Word::Number(number) => write!(f, "Key({number})"),
            Word::Static(text) => write!(f, "Key({text:?})"),
            Word::Shared(text) => write!(f, "Key({text:?})"),
        }
    }
}
