//! The search as `serde_json` has it: slow, and obviously right.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::IgnoredAny;

/// What a search finds.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// An object, and whether it is all there is.
    Object(Range<usize>, bool),
    CutOff(usize),
    Nothing,
    /// `serde_json` is not sure by itself.
    Unsure,
}

/// Finds the object in a text without fences and without deep brackets.
pub(crate) fn search(text: &str) -> Found {
    let trimmed = text.trim_start_matches('\u{feff}').trim();
    if is_object(trimmed) {
        let start = text.find('{').expect("an object begins with it");
        return Found::Object(start..start + trimmed.len(), true);
    }
    for (start, _) in text.match_indices('{') {
        let mut values =
            serde_json::Deserializer::from_str(&text[start..]).into_iter::<IgnoredAny>();
        match values.next().expect("there is a bracket") {
            Ok(_) => {
                let taken = start..start + values.byte_offset();
                if is_object(&text[taken.clone()]) {
                    return Found::Object(taken, false);
                }
            }
            // It looks at the four digits of an escape when they are there, and calls half a number wrong.
            Err(_) if ends_in_half_an_escape(text) || text.ends_with(HALF_A_NUMBER) => {
                return Found::Unsure;
            }
            Err(error) if error.is_eof() => return Found::CutOff(start),
            Err(_) => {}
        }
    }
    Found::Nothing
}

const HALF_A_NUMBER: [char; 5] = ['-', '.', 'e', 'E', '+'];

fn ends_in_half_an_escape(text: &str) -> bool {
    text.rfind("\\u").is_some_and(|at| text.len() - at < 6)
}

fn is_object(text: &str) -> bool {
    serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text).is_ok()
}
