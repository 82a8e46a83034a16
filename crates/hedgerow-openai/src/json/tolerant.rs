//! Finding the object that a model was asked for.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed};
use serde_json::{Map, Value};

use super::Object;
use super::fences::Blocks;
use super::lossless::Lossless;
use super::scan::{self, Fault, MAX_DEPTH};

/// Finds the JSON object in what a model wrote: the whole text, else a fenced block, else the first
/// balanced `{…}` that is JSON.
///
/// Only objects are found, and only what is valid JSON (RFC 8259): nothing is repaired, so nothing is
/// guessed. What was taken, and what stood around it, is in the answer: together they are the text, byte
/// for byte.
///
/// # Examples
///
/// ```
/// use hedgerow_openai::json::{How, parse_object};
///
/// let text = "Here you are:\n```json\n{\"city\": \"Rome\", \"id\": 12345678901234567890123}\n```\nDone.";
/// let found = parse_object(text)?;
/// assert_eq!(found.how(), How::Fenced);
/// assert_eq!(found.before(), "Here you are:\n```json\n");
/// assert_eq!(found.after(), "\n```\nDone.");
/// assert_eq!(found.object().get("id").unwrap().as_str(), "12345678901234567890123");
///
/// #[derive(serde::Deserialize)]
/// struct Place { city: String }
/// assert_eq!(found.read::<Place>()?.city, "Rome");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A text that ends in the middle of its object is an error, not the first small object inside of it:
///
/// ```
/// use hedgerow_openai::json::{NotThere, parse_object};
///
/// let cut = r#"{"city": {"name": "Rome"}, "peop"#;
/// assert_eq!(parse_object(cut).unwrap_err().reason(), NotThere::CutOff { at: 0 });
/// ```
///
/// # The search
///
/// 1. The text without the blanks (and the byte order mark) around it.
/// 2. The first block between lines of ` ``` ` or `~~~` whose content is an object; a block without an end
///    goes to the end of the text.
/// 3. From left to right, the first `{` from which valid JSON leads to its own `}`.
///
/// # Errors
///
/// [`NoObject`]: there is none, the text ends in the middle of one, or it is deeper than [`MAX_DEPTH`]. A
/// piece of an object is never taken for the whole.
///
/// # Panics
///
/// Never, whatever the text.
///
/// # Cost
///
/// No recursion; a pass over the text, and in the worst case, however it was written, a fixed number of
/// passes over any part of it. The object's fields are kept as they were written and not looked into.
pub fn parse_object(text: &str) -> Result<Parsed<'_>, NoObject> {
    search(text, &mut 0)
}

/// An object, and what stood around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<'a> {
    text: &'a str,
    taken: Range<usize>,
    how: How,
    object: Object,
}

/// Where an object was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// It was all there was, beside blanks.
    Whole,
    /// In a fenced block.
    Fenced,
    /// Somewhere in the text.
    Embedded,
}

/// There is no object to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoObject {
    reason: NotThere,
}

/// Why there is no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotThere {
    /// Nothing in the text is one.
    None,
    /// One begins at byte `at`, and is right up to where the text ends.
    CutOff {
        /// Where its `{` stands.
        at: usize,
    },
    /// One gets deeper than [`MAX_DEPTH`] at byte `at`.
    TooDeep {
        /// Where the bracket that is too much stands.
        at: usize,
    },
}

impl<'a> Parsed<'a> {
    /// Its fields, as they were written.
    #[must_use]
    pub const fn object(&self) -> &Object {
        &self.object
    }

    /// Its fields, as they were written.
    #[must_use]
    pub fn into_object(self) -> Object {
        self.object
    }

    /// Reads it as a `T`.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn read<T: Deserialize<'a>>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }

    /// As a map of `serde_json`.
    ///
    /// Such a map holds a number as 64 bits: read digits beyond that from [`object`](Self::object).
    ///
    /// # Errors
    ///
    /// If a key stands twice in one object, at any depth, because one of the two would be lost.
    pub fn to_map(&self) -> Result<Map<String, Value>, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(self.as_str());
        match Lossless.deserialize(&mut deserializer)? {
            Value::Object(map) => Ok(map),
            // What was taken begins with `{`.
            other => Err(de::Error::custom(format_args!("not an object: {other}"))),
        }
    }

    /// Where it was found.
    #[must_use]
    pub const fn how(&self) -> How {
        self.how
    }

    /// What was taken: from `{` to `}`.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        &self.text[self.taken.clone()]
    }

    /// What was taken, in bytes of the text.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.taken.clone()
    }

    /// What stands before it.
    #[must_use]
    pub fn before(&self) -> &'a str {
        &self.text[..self.taken.start]
    }

    /// What stands after it. May hold another object.
    #[must_use]
    pub fn after(&self) -> &'a str {
        &self.text[self.taken.end..]
    }
}

impl NoObject {
    /// Why there is none.
    #[must_use]
    pub const fn reason(&self) -> NotThere {
        self.reason
    }
}

/// `steps` grows by the bytes looked at by the scanner.
fn search<'a>(text: &'a str, steps: &mut usize) -> Result<Parsed<'a>, NoObject> {
    let trimmed = text.trim_start_matches('\u{feff}').trim();
    if let Some(found) = exactly(text, trimmed, How::Whole, steps)? {
        return Ok(found);
    }
    for block in Blocks::of(text) {
        if let Some(found) = exactly(text, block.trim(), How::Fenced, steps)? {
            return Ok(found);
        }
    }
    embedded(text, steps)
}

/// The object that `part` of `text` is, from end to end.
fn exactly<'a>(
    text: &'a str,
    part: &'a str,
    how: How,
    steps: &mut usize,
) -> Result<Option<Parsed<'a>>, NoObject> {
    if !part.starts_with('{') || !part.ends_with('}') {
        return Ok(None);
    }
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    match scan::object(part.as_bytes(), 0, steps) {
        Ok(end) if end == part.len() => Ok(take(text, start..start + end, how)),
        Err(Fault::TooDeep(at)) => Err(too_deep(start + at)),
        Ok(_) | Err(Fault::Not(_) | Fault::CutOff) => Ok(None),
    }
}

fn embedded<'a>(text: &'a str, steps: &mut usize) -> Result<Parsed<'a>, NoObject> {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(found) = text[from..].find('{') {
        let start = from + found;
        match scan::object(bytes, start, steps) {
            Ok(end) => {
                if let Some(found) = take(text, start..end, How::Embedded) {
                    return Ok(found);
                }
            }
            Err(Fault::TooDeep(at)) => return Err(too_deep(at)),
            Err(Fault::CutOff) => {
                return Err(NoObject {
                    reason: NotThere::CutOff { at: start },
                });
            }
            Err(Fault::Not(_)) => {}
        }
        from = start + 1;
    }
    Err(NoObject {
        reason: NotThere::None,
    })
}

const fn too_deep(at: usize) -> NoObject {
    NoObject {
        reason: NotThere::TooDeep { at },
    }
}

/// `None` if a key cannot be a Rust string: half of a surrogate pair, written as an escape.
fn take(text: &str, taken: Range<usize>, how: How) -> Option<Parsed<'_>> {
    let object = serde_json::from_str(&text[taken.clone()]).ok()?;
    Some(Parsed {
        text,
        taken,
        how,
        object,
    })
}

// === impl Display, Error ===

impl fmt::Display for NoObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            NotThere::None => f.write_str("no JSON object in the text"),
            NotThere::CutOff { at } => {
                write!(
                    f,
                    "the text ends in the middle of the JSON object that begins at byte {at}"
                )
            }
            NotThere::TooDeep { at } => {
                write!(f, "a JSON object deeper than {MAX_DEPTH} at byte {at}")
            }
        }
    }
}

impl Error for NoObject {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever one writes, each byte is looked at a fixed number of times: two readings of a place (inside
    /// and outside of a string), each from at most `MAX_DEPTH + 1` brackets, and the strict pass.
    #[test]
    fn no_text_makes_the_search_quadratic() {
        const SIZE: usize = 200_000;
        let both_ways = r#"{"{":":",",":"#;
        for piece in [
            "{",
            "{\"",
            "{\"a\":",
            "{\"a\":[",
            "{\"a\":{\"a\":1},",
            "{\"a\":\"{\\\"",
            "[{",
            "{\"a\":1,",
            "```\n{\n",
            "```{\n",
            both_ways,
            "{\"\":\" { \"",
            "\":{\"",
            "{\"a\":\"",
        ] {
            for tail in ["", "}", "!", "\"", "]}", "```"] {
                let mut text = piece.repeat(SIZE / piece.len());
                text.push_str(tail);
                let mut steps = 0;
                let _ = search(&text, &mut steps);
                let bound = text.len() * (2 * MAX_DEPTH + 4);
                assert!(steps <= bound, "{piece:?} {tail:?}: {steps} of {bound}");
            }
        }
    }
}
