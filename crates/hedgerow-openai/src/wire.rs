//! How a wire type is written down: the fields that are read, and everything else as it was.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize};

use crate::json::{Object, Raw};

/// Structs of named fields, with `rest: Object` for all others.
///
/// A field is required unless its type is an `Option`. A `null` is `None` and is kept, so that it is written
/// again. A key that stands twice is refused, because one of the two would be lost.
macro_rules! wire {
    ($(
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($(#[$field_doc:meta])* $key:literal => $field:ident: $type:ty,)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Default)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            /// All other fields, as they were written.
            pub rest: $crate::json::Object,
        }

        impl $name {
            /// Sets a field that has no name here, such as `set("temperature", 0.2)`, in [`rest`](Self::rest).
            ///
            /// # Panics
            ///
            /// If `key` is a field of this struct, or `value` cannot be written as JSON:
            /// [`try_set`](Self::try_set) returns the reason.
            #[track_caller]
            #[must_use]
            pub fn set<T: serde::Serialize>(self, key: &str, value: T) -> Self {
                match self.try_set(key, value) {
                    Ok(set) => set,
                    Err(error) => panic!("{error}"),
                }
            }

            /// Like `set`, but returns the reason of a refusal.
            ///
            /// # Errors
            ///
            /// If `key` is a field of this struct, or `value` cannot be written as JSON.
            pub fn try_set<T: serde::Serialize>(
                mut self,
                key: &str,
                value: T,
            ) -> Result<Self, serde_json::Error> {
                if [$($key),*].contains(&key) {
                    return Err(serde::de::Error::custom(format_args!(
                        "`{key}` is a field of {}: set the field",
                        stringify!($name),
                    )));
                }
                self.rest.set(key, &value)?;
                Ok(self)
            }
        }

        $crate::wire::required_fields! {
            $name;
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map($crate::wire::Fields::<Self>::new())
            }
        }

        impl $crate::wire::Wire for $name {
            const EXPECTED: &str = concat!("an object (", stringify!($name), ")");

            fn read<'de, A: serde::de::MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
                const NAMES: &[&str] = &[$($key),*];
                $(let mut $field: Option<$type> = None;)*
                let mut rest = $crate::json::Object::new();
                while let Some(key) = map.next_key_seed($crate::wire::Keys(NAMES))? {
                    match key {
                        $($crate::wire::Key::Known($key) => {
                            $crate::wire::fill($key, &mut $field, &mut map, &mut rest)?;
                        })*
                        $crate::wire::Key::Known(other) => rest.push(other.into(), map.next_value()?),
                        $crate::wire::Key::Other(other) => rest.push(other, map.next_value()?),
                    }
                }
                Ok(Self {
                    $($field: $crate::wire::required($key, $field)?,)*
                    rest,
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serde::Serializer::serialize_map(serializer, None)?;
                let mut written: [Option<&str>; [$($key),*].len()] = [None; [$($key),*].len()];
                let mut names = written.iter_mut();
                $(if $crate::wire::write($key, &self.$field, &mut map)?
                    && let Some(name) = names.next()
                {
                    *name = Some($key);
                })*
                $crate::wire::write_rest(&self.rest, &written, &mut map)?;
                serde::ser::SerializeMap::end(map)
            }
        }
    )*};
}

pub(crate) use wire;

/// A struct that [`wire!`] makes.
pub(crate) trait Wire: Sized {
    const EXPECTED: &str;

    fn read<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error>;
}

/// Reads a [`Wire`] type.
pub(crate) struct Fields<T>(PhantomData<T>);

impl<T> Fields<T> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Wire> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::read(map)
    }
}

/// The name of a field: one of those that are read, which costs no allocation, or another.
pub(crate) enum Key {
    Known(&'static str),
    Other(Box<str>),
}

pub(crate) struct Keys(pub(crate) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Keys {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        let known = self.0.iter().find(|known| **known == name);
        Ok(known.map_or_else(|| Key::Other(name.into()), |known| Key::Known(known)))
    }
}

/// What a field's type does with an absent or `null` value.
pub(crate) trait Field: Sized {
    /// The value of a field that is not there, if that is allowed.
    fn absent() -> Option<Self>;

    /// Whether it is `None`.
    fn is_none(&self) -> bool;
}

impl<T> Field for Option<T> {
    fn absent() -> Option<Self> {
        Some(None)
    }

    fn is_none(&self) -> bool {
        self.is_none()
    }
}

macro_rules! required_fields {
    ($($type:ty $(where $param:ident)?;)*) => {$(
        impl$(<$param>)? $crate::wire::Field for $type {
            fn absent() -> Option<Self> {
                None
            }

            fn is_none(&self) -> bool {
                false
            }
        }
    )*};
}

required_fields! {
    String;
    u64;
    Raw;
    Vec<T> where T;
}

pub(crate) use required_fields;

/// Reads the value of `key` into `field`.
pub(crate) fn fill<'de, T, A>(
    key: &'static str,
    field: &mut Option<T>,
    map: &mut A,
    rest: &mut Object,
) -> Result<(), A::Error>
where
    T: Field + Deserialize<'de>,
    A: MapAccess<'de>,
{
    if field.is_some() {
        return Err(Error::custom(format_args!("the key `{key}` stands twice")));
    }
    let value: T = map.next_value()?;
    if value.is_none() {
        rest.push(key.into(), Raw::null());
    }
    *field = Some(value);
    Ok(())
}

pub(crate) fn required<T: Field, E: Error>(key: &'static str, field: Option<T>) -> Result<T, E> {
    field
        .or_else(T::absent)
        .ok_or_else(|| Error::missing_field(key))
}

/// Writes a field; whether there was anything to write.
pub(crate) fn write<T, M>(key: &'static str, field: &T, map: &mut M) -> Result<bool, M::Error>
where
    T: Field + Serialize,
    M: SerializeMap,
{
    let there = !field.is_none();
    if there {
        map.serialize_entry(key, field)?;
    }
    Ok(there)
}

/// Writes all other fields; what stands in `written` is a `null` that was replaced since.
pub(crate) fn write_rest<M: SerializeMap>(
    rest: &Object,
    written: &[Option<&str>],
    map: &mut M,
) -> Result<(), M::Error> {
    for (name, raw) in rest {
        if !written.contains(&Some(name)) {
            map.serialize_entry(name, raw)?;
        }
    }
    Ok(())
}
