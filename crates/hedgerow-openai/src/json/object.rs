//! An object as it was written.

use std::fmt;
use std::slice;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON value as it was written, byte for byte.
///
/// # Examples
///
/// ```
/// use hedgerow_openai::json::Raw;
///
/// let raw: Raw = serde_json::from_str("[1.0,  2]")?;
/// assert_eq!(raw.as_str(), "[1.0,  2]");
/// assert_eq!(raw.read::<Vec<f64>>()?, [1.0, 2.0]);
/// assert_eq!(Raw::of("text")?.as_str(), "\"text\"");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Raw(Box<RawValue>);

/// A JSON object with everything as it was written: the order of its keys, keys that stand twice, and each
/// value byte for byte.
///
/// What a wire type of this crate does not know is kept in one (`rest`), and goes out again as it came in.
/// By itself it is a request or an answer of which one wants to read or change a few fields.
///
/// # Examples
///
/// ```
/// use hedgerow_openai::json::Object;
///
/// let body = r#"{"model":"a","temperature":0.70,"x_new":{"a":1e400}}"#;
/// let mut object: Object = serde_json::from_str(body)?;
/// assert_eq!(object.read::<String>("model")?.as_deref(), Some("a"));
///
/// object.set("model", "b")?;
/// let changed = serde_json::to_string(&object)?;
/// assert_eq!(changed, r#"{"model":"b","temperature":0.70,"x_new":{"a":1e400}}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Cost
///
/// Two allocations a field. A value is not looked into until it is read.
#[derive(Clone, Default, PartialEq)]
pub struct Object {
    fields: Vec<(Box<str>, Raw)>,
}

impl Raw {
    /// `value` as JSON.
    ///
    /// # Errors
    ///
    /// If it cannot be written as JSON: a map with keys that are no strings, for example.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Reads it as a `T`.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.as_str() == "null"
    }

    /// Whether it says nothing: `null`, an empty text, list or object.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.as_str(), "null" | "\"\"" | "[]" | "{}")
    }

    /// `text` as a JSON string.
    ///
    /// # Panics
    ///
    /// Never: any text is JSON.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::of(text).expect("any text is JSON")
    }

    /// `texts` as a JSON list.
    ///
    /// # Panics
    ///
    /// Never: any text is JSON.
    #[must_use]
    pub fn texts<T: AsRef<str>>(texts: &[T]) -> Self {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        Self::of(&texts).expect("any text is JSON")
    }

    pub(crate) fn empty_object() -> Self {
        Self::of(&Object::new()).expect("an empty object is JSON")
    }

    pub(crate) fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl Object {
    /// An object without fields.
    #[must_use]
    pub const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// How many fields it has; a key that stands twice counts twice.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether it has no field.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The value of `key`; the last one if it stands there several times, as most readers of JSON have it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Raw> {
        let mut fields = self.fields.iter().rev();
        fields.find(|(name, _)| **name == *key).map(|(_, raw)| raw)
    }

    /// Reads the value of `key` as a `T`. `None` if it is not there, or `null`.
    ///
    /// # Errors
    ///
    /// If it is there and is none.
    pub fn read<'a, T: Deserialize<'a>>(
        &'a self,
        key: &str,
    ) -> Result<Option<T>, serde_json::Error> {
        match self.get(key) {
            Some(raw) if !raw.is_null() => raw.read().map(Some),
            _ => Ok(None),
        }
    }

    /// Sets `key` to `value`, where it stood, or at the end.
    ///
    /// # Errors
    ///
    /// If `value` cannot be written as JSON; the object is then as it was.
    pub fn set<T: Serialize + ?Sized>(
        &mut self,
        key: &str,
        value: &T,
    ) -> Result<(), serde_json::Error> {
        self.put(key, Raw::of(value)?);
        Ok(())
    }

    /// Sets `key` to `raw`, where it stood, or at the end. Of a key that stands twice one remains.
    pub fn put(&mut self, key: &str, raw: Raw) {
        match self.fields.iter().position(|(name, _)| **name == *key) {
            Some(at) => {
                self.fields[at].1 = raw;
                let mut index = 0;
                self.fields.retain(|(name, _)| {
                    index += 1;
                    index <= at + 1 || **name != *key
                });
            }
            None => self.fields.push((key.into(), raw)),
        }
    }

    /// Takes `key` out, however often it stands there. Returns its last value.
    pub fn remove(&mut self, key: &str) -> Option<Raw> {
        let mut last = None;
        let fields = std::mem::take(&mut self.fields);
        for (name, raw) in fields {
            if *name == *key {
                last = Some(raw);
            } else {
                self.fields.push((name, raw));
            }
        }
        last
    }

    /// Its fields in the order they were written.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.fields.iter())
    }

    /// The first key that stands there more than once, if any.
    #[must_use]
    pub fn repeated_key(&self) -> Option<&str> {
        let mut seen = std::collections::HashSet::with_capacity(self.fields.len());
        let mut names = self.fields.iter().map(|(name, _)| &**name);
        names.find(|&name| !seen.insert(name))
    }

    pub(crate) fn push(&mut self, key: Box<str>, raw: Raw) {
        self.fields.push((key, raw));
    }
}

/// The fields of an [`Object`].
#[derive(Clone, Debug)]
pub struct Iter<'a>(slice::Iter<'a, (Box<str>, Raw)>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a Raw);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, raw)| (&**name, raw))
    }
}

impl<'a> IntoIterator for &'a Object {
    type Item = (&'a str, &'a Raw);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

// === impl Deserialize, Serialize ===

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object::new();
                while let Some(name) = map.next_key::<Box<str>>()? {
                    object.push(name, map.next_value()?);
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, raw) in self {
            map.serialize_entry(name, raw)?;
        }
        map.end()
    }
}

// === impl Default ===

/// `null`.
impl Default for Raw {
    fn default() -> Self {
        Self::null()
    }
}

// === impl Debug, PartialEq ===

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Equal if they were written alike.
impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}
