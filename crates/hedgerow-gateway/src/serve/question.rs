//! What is read of a request's JSON, and what is changed in it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use hedgerow_openai::json::{Object, Raw};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use thiserror::Error;

/// The body of a request to a model: all of it, and where the model's name stands in it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    body: Bytes,
    model: Option<Name>,
}

#[derive(Clone, Debug)]
struct Name {
    /// As JSON, with its quotes.
    span: Range<usize>,
    text: Box<str>,
}

/// Why a body is no question.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unreadable {
    /// It is no JSON object.
    #[error("the body is no JSON object: {0}")]
    Json(String),
    /// Which of the two names is meant is anybody's guess, and upstream guesses for itself.
    #[error("the key `model` stands twice in the body: write it once")]
    Twice,
    /// It is no string.
    #[error("`model` is no string: write the name of a model in quotes")]
    Model,
}

impl Question {
    /// Reads a body. Nothing but its syntax and its model are looked at.
    pub(crate) fn read(body: Bytes) -> Result<Self, Unreadable> {
        let said: Said<'_> =
            serde_json::from_slice(&body).map_err(|error| Unreadable::Json(error.to_string()))?;
        let model = match said.model {
            Model::Absent => None,
            Model::Twice => return Err(Unreadable::Twice),
            Model::Once(raw) => {
                let text: Cow<'_, str> =
                    serde_json::from_str(raw.get()).map_err(|_| Unreadable::Model)?;
                let start = raw.get().as_ptr() as usize - body.as_ptr() as usize;
                Some(Name {
                    span: start..start + raw.get().len(),
                    text: text.into(),
                })
            }
        };
        Ok(Self { body, model })
    }

    /// As it came.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    /// The model that is asked.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_ref().map(|name| &*name.text)
    }

    /// The body for an upstream that calls the model `model` and does not take the fields `drop`. Every other
    /// byte stays as it is; nothing is copied where nothing changes.
    pub(crate) fn told(&self, model: Option<&str>, drop: &[String]) -> Bytes {
        let model = model.filter(|_| self.model.is_some());
        if !drop.is_empty()
            && let Ok(object) = serde_json::from_slice::<Object>(&self.body)
            && drop.iter().any(|key| object.get(key).is_some())
        {
            return without(object, model, drop);
        }
        let Some((name, model)) = self.model.as_ref().zip(model) else {
            return self.body.clone();
        };
        if *name.text == *model {
            return self.body.clone();
        }
        let model = Raw::text(model);
        let mut told = BytesMut::with_capacity(self.body.len() + model.as_str().len());
        told.extend_from_slice(&self.body[..name.span.start]);
        told.extend_from_slice(model.as_str().as_bytes());
        told.extend_from_slice(&self.body[name.span.end..]);
        told.freeze()
    }
}

fn without(mut object: Object, model: Option<&str>, drop: &[String]) -> Bytes {
    for key in drop {
        object.remove(key);
    }
    if let Some(model) = model {
        object.put("model", Raw::text(model));
    }
    let told = serde_json::to_vec(&object).expect("an object of JSON values is JSON");
    told.into()
}

/// What is looked at.
struct Said<'a> {
    model: Model<'a>,
}

enum Model<'a> {
    Absent,
    Once(&'a RawValue),
    Twice,
}

impl<'de: 'a, 'a> Deserialize<'de> for Said<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Said<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said<'de>, A::Error> {
                let mut model = Model::Absent;
                while let Some(key) = map.next_key::<Key<'_>>()? {
                    if key.0 == "model" {
                        let raw = map.next_value()?;
                        model = match model {
                            Model::Absent => Model::Once(raw),
                            _ => Model::Twice,
                        };
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Said { model })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// Not copied unless it is written with escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn question(text: &str) -> Result<Question, Unreadable> {
        Question::read(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn only_the_name_changes_and_every_other_byte_stays() {
        let body = "{ \"x\":1.50,\"model\" : \"a\\u0062\", \"y\":{\"model\":\"ab\"}, \"x\":2}";
        let asked = question(body).unwrap();
        assert_eq!(asked.model(), Some("ab"));
        assert_eq!(asked.told(Some("ab"), &[]), body);
        assert_eq!(asked.told(None, &[]), body);
        let told = asked.told(Some("c\"d"), &[]);
        assert_eq!(told, body.replace("\"a\\u0062\"", "\"c\\\"d\""));
    }

    #[test]
    fn fields_that_an_upstream_does_not_take_are_left_out() {
        let asked = question("{\"model\":\"a\",\"seed\":1,\"t\":0.70}").unwrap();
        let drop = ["seed".to_owned()];
        assert_eq!(asked.told(Some("b"), &drop), "{\"model\":\"b\",\"t\":0.70}");
        assert_eq!(asked.told(None, &drop), "{\"model\":\"a\",\"t\":0.70}");
        let drop = ["user".to_owned()];
        assert_eq!(asked.told(None, &drop), asked.body());
    }

    #[test]
    fn a_body_that_can_be_read_in_two_ways_is_refused() {
        assert_eq!(
            question("{\"model\":\"a\",\"mod\\u0065l\":\"b\"}").unwrap_err(),
            Unreadable::Twice
        );
        assert_eq!(question("{\"model\":7}").unwrap_err(), Unreadable::Model);
        assert!(matches!(question("[]"), Err(Unreadable::Json(_))));
        assert!(matches!(question("{}x"), Err(Unreadable::Json(_))));
        assert_eq!(question("{}").unwrap().model(), None);
    }

    #[test]
    fn a_body_as_deep_as_it_is_long_is_read_without_a_stack() {
        let deep = 100_000;
        let body = format!(
            "{{\"a\":{}{},\"model\":\"m\"}}",
            "[".repeat(deep),
            "]".repeat(deep)
        );
        assert_eq!(question(&body).unwrap().model(), Some("m"));
    }
}
