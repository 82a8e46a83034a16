//! What has to be known of a row's body: that it is JSON, its model, and how many texts it embeds.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What was seen of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Empty if it names none.
    pub(super) model: String,
    /// One for anything that is no list of texts.
    pub(super) inputs: u32,
}

/// Looks at a body, which must be a JSON object.
pub(super) fn peek(body: &[u8]) -> Result<Seen, serde_json::Error> {
    let text = std::str::from_utf8(body).map_err(serde::de::Error::custom)?;
    let Body { model, inputs } = serde_json::from_str(text)?;
    Ok(Seen {
        model: model.into_owned(),
        inputs,
    })
}

/// A body on one line. Line breaks between its parts become spaces; inside of its texts JSON has none.
pub(super) fn on_one_line(body: Bytes) -> Bytes {
    if !body.iter().any(|&byte| byte == b'\n' || byte == b'\r') {
        return body;
    }
    let mut body = body.to_vec();
    for byte in &mut body {
        if *byte == b'\n' || *byte == b'\r' {
            *byte = b' ';
        }
    }
    body.into()
}

struct Body<'a> {
    model: Cow<'a, str>,
    inputs: u32,
}

impl<'de> Deserialize<'de> for Body<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Body<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
                let mut body = Body {
                    model: Cow::Borrowed(""),
                    inputs: 1,
                };
                while let Some(key) = map.next_key::<Text<'_>>()? {
                    match key.0.as_deref() {
                        Some("model") => {
                            let Text(model) = map.next_value()?;
                            body.model = model.unwrap_or_default();
                        }
                        Some("input") => {
                            let Inputs(inputs) = map.next_value()?;
                            body.inputs = inputs;
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(body)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A text; `None` of anything else.
struct Text<'a>(Option<Cow<'a, str>>);

/// How many texts, or lists of tokens.
struct Inputs(u32);

/// Whether an element is a text of its own: not a token.
struct Element(bool);

macro_rules! scalars {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text<'de>, A::Error> {
                skip_map(map).map(|()| Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Text<'de>, A::Error> {
                skip_seq(seq).map(|()| Text(None))
            }

            scalars!(Text(None));
        }

        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Inputs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_str<E>(self, _: &str) -> Result<Inputs, E> {
                Ok(Inputs(1))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Inputs, A::Error> {
                skip_map(map).map(|()| Inputs(1))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Inputs, A::Error> {
                let mut texts = 0_u32;
                while let Some(Element(is_text)) = seq.next_element()? {
                    texts = texts.saturating_add(u32::from(is_text));
                }
                Ok(Inputs(texts.max(1)))
            }

            scalars!(Inputs(1));
        }

        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Element;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_str<E>(self, _: &str) -> Result<Element, E> {
                Ok(Element(true))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Element, A::Error> {
                skip_map(map).map(|()| Element(true))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Element, A::Error> {
                skip_seq(seq).map(|()| Element(true))
            }

            scalars!(Element(false));
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(body: &str) -> Option<(String, u32)> {
        peek(body.as_bytes())
            .ok()
            .map(|seen| (seen.model, seen.inputs))
    }

    #[test]
    fn model_and_inputs_are_seen_whatever_stands_around_them() {
        for (body, model, inputs) in [
            (r#"{"model":"a"}"#, "a", 1),
            (r#"{}"#, "", 1),
            (r#"{"model":null,"input":null}"#, "", 1),
            (r#"{"model":["x"],"input":{"a":1}}"#, "", 1),
            (
                r#"{"x":1e400,"mod\u0065l":"é\u00e9","input":"text"}"#,
                "éé",
                1,
            ),
            (r#"{"input":["a","b","c"],"model":"m"}"#, "m", 3),
            (r#"{"input":[1,2,3],"model":"m"}"#, "m", 1),
            (r#"{"input":[[1,2],[3]],"model":"m"}"#, "m", 2),
            (r#"{"input":[],"model":"m","model":"n"}"#, "n", 1),
        ] {
            assert_eq!(seen(body), Some((model.to_owned(), inputs)), "{body}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in [
            "",
            "[]",
            "1",
            "{",
            r#"{"a":1} x"#,
            r#"{"a":"line
break"}"#,
        ] {
            assert_eq!(seen(body), None, "{body}");
        }
        assert!(peek(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_body_stands_on_one_line() {
        let body = on_one_line(Bytes::from_static(b"{\r\n \"a\":\n1}"));
        assert_eq!(&body[..], b"{   \"a\": 1}");
        let body = Bytes::from_static(b"{}");
        assert_eq!(on_one_line(body.clone()).as_ptr(), body.as_ptr());
    }
}
