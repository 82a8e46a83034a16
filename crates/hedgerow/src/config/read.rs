//! From the text of a file to a configuration that holds a list, with every mistake.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::check::{Verdict, check};
use super::error::{ConfigErrors, Mistakes};
use super::once::Once;
use super::tree::Tree;

/// A configuration that is a file of its own.
pub(crate) trait Readable: Sized {
    /// What the tree says, and whether it can be built.
    fn read(root: Value, mistakes: &mut Mistakes) -> Option<Self>;
}

/// TOML: of syntax every mistake, or else of keys, types and values.
pub(crate) fn toml<T: Readable>(text: &str) -> Result<T, ConfigErrors> {
    let mut mistakes = Mistakes::default();
    let tree = Tree::from_toml(text, &mut mistakes);
    if !tree.whole {
        return mistakes.judge(None);
    }
    let read = T::read(tree.root.clone(), &mut mistakes);
    mistakes.locate(|key| tree.place(key));
    mistakes.judge(read)
}

/// JSON of the same shape: of syntax the first mistake alone.
pub(crate) fn json<T: Readable>(text: &str) -> Result<T, ConfigErrors> {
    let Once(root) = serde_json::from_str(text).map_err(|error| ConfigErrors::one("", error))?;
    let mut mistakes = Mistakes::default();
    let read = T::read(root, &mut mistakes);
    mistakes.judge(read)
}

/// A file: JSON if its name ends in `.json`, TOML otherwise.
pub(crate) fn file<T: Readable>(path: &Path) -> Result<T, ConfigErrors> {
    let text = fs::read_to_string(path).map_err(|error| {
        ConfigErrors::one(
            "",
            format_args!("{} cannot be read: {error}", path.display()),
        )
    })?;
    if path.extension().is_some_and(|end| end == "json") {
        json(&text)
    } else {
        toml(&text)
    }
}

/// The whole without its list, if it can be read, and each item of the list that can; no list at all
/// if what stands in its place is none.
pub(crate) type WithList<T, I> = (Option<T>, Option<Vec<Option<I>>>);

/// Reads the items of the list at `key` one by one, so that a broken one does not hide what is wrong
/// with others. `hint` says what to write where there is no list.
pub(crate) fn with_list<T, I>(
    mut root: Value,
    schema: &Value,
    (key, hint): (&str, &str),
    mistakes: &mut Mistakes,
) -> WithList<T, I>
where
    T: for<'de> Deserialize<'de>,
    I: for<'de> Deserialize<'de>,
{
    let mut list = root
        .as_object_mut()
        .and_then(|table| table.remove(key))
        .unwrap_or_else(|| Value::Array(Vec::new()));
    let whole = match check(&mut root, schema, "", mistakes) {
        Verdict::Usable => finish(root, "", mistakes),
        Verdict::Broken => None,
    };
    let one = &schema["properties"][key]["items"];
    let Value::Array(items) = &mut list else {
        mistakes.refuse(key, list, hint);
        return (whole, None);
    };
    let items = items.iter_mut().enumerate().map(|(at, item)| {
        let place = format!("{key}[{at}]");
        match check(item, one, &place, mistakes) {
            Verdict::Usable => finish(item.take(), &place, mistakes),
            Verdict::Broken => None,
        }
    });
    let items = items.collect();
    (whole, Some(items))
}

/// What the schema allows can be read.
fn finish<T: for<'de> Deserialize<'de>>(
    value: Value,
    place: &str,
    mistakes: &mut Mistakes,
) -> Option<T> {
    match serde_json::from_value(value) {
        Ok(read) => Some(read),
        Err(error) => {
            mistakes.say(place, error);
            None
        }
    }
}
