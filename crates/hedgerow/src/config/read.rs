//! From the text of a file to a configuration that holds a list, with every mistake.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::check::{Verdict, check};
use super::describe::schema_of;
use super::error::{ConfigErrors, Mistakes};
use super::once::Once;
use super::tree::Tree;

/// The bytes of the longest file that is read: beyond it is a device, or a mistake.
const LONGEST: u64 = 16 << 20;

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
        mistakes.locate(|_| None);
        return mistakes.judge(None);
    }
    let read = T::read(tree.root.clone(), &mut mistakes);
    mistakes.locate(|key| tree.place(key));
    mistakes.judge(read)
}

/// JSON of the same shape: of syntax the first mistake alone.
pub(crate) fn json<T: Readable>(text: &str) -> Result<T, ConfigErrors> {
    // Some editors put a mark of the byte order there.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Once(root) = serde_json::from_str(text).map_err(|error| ConfigErrors::one("", error))?;
    let mut mistakes = Mistakes::default();
    let read = T::read(root, &mut mistakes);
    mistakes.judge(read)
}

/// A file: JSON if its name ends in `.json`, TOML otherwise.
pub(crate) fn file<T: Readable>(path: &Path) -> Result<T, ConfigErrors> {
    let text = contents(path)?;
    if path.extension().is_some_and(|end| end == "json") {
        json(&text)
    } else {
        toml(&text)
    }
}

/// The text of a file, if it is one that somebody may have written; else why it cannot be read.
///
/// # Errors
///
/// What is wrong with the file, and what to do.
pub fn text(path: &Path) -> Result<String, String> {
    let unreadable = |error| format!("{} cannot be read: {error}", path.display());
    let file = File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(LONGEST + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > LONGEST {
        return Err(format!(
            "{} is longer than {} MiB: name a file that is shorter",
            path.display(),
            LONGEST >> 20
        ));
    }
    Ok(text)
}

/// The text of a file that is a configuration.
///
/// # Errors
///
/// As [`text`], as a mistake.
pub fn contents(path: &Path) -> Result<String, ConfigErrors> {
    text(path).map_err(|problem| ConfigErrors::one("", problem))
}

/// A table of keys, each of which may be left out, into whatever `finish` makes of it.
///
/// # Errors
///
/// Every mistake at once: of syntax, or else of keys, types and what `finish` finds.
pub fn table<T, R>(
    text: &str,
    finish: impl FnOnce(T, &mut Mistakes) -> Option<R>,
) -> Result<R, ConfigErrors>
where
    T: for<'de> Deserialize<'de> + JsonSchema,
{
    let mut mistakes = Mistakes::default();
    let mut tree = Tree::from_toml(text, &mut mistakes);
    if !tree.whole {
        mistakes.locate(|_| None);
        return mistakes.judge(None);
    }
    let mut root = tree.root.take();
    let read = match check(&mut root, &schema_of::<T>(), "", &mut mistakes) {
        Verdict::Usable => self::finish(root, "", &mut mistakes),
        Verdict::Broken => None,
    };
    let read = read.and_then(|read| finish(read, &mut mistakes));
    mistakes.locate(|key| tree.place(key));
    mistakes.judge(read)
}

/// The whole without its list, if it can be read, and each item of the list that can; no list at all
/// if what stands in its place is none.
pub(crate) type WithList<T, I> = (Option<T>, Option<Vec<Option<I>>>);

/// Reads what has no list in it.
pub(crate) fn whole<T: for<'de> Deserialize<'de>>(
    mut root: Value,
    schema: &Value,
    mistakes: &mut Mistakes,
) -> Option<T> {
    match check(&mut root, schema, "", mistakes) {
        Verdict::Usable => finish(root, "", mistakes),
        Verdict::Broken => None,
    }
}

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
    let whole = whole(root, schema, mistakes);
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
