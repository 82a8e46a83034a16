//! What a tree says against what the schema allows: every mistake, not only the first.
//!
//! The schema is made from the very structs that the tree is read into afterwards, so what passes here
//! can be read, and a key that is in the struct is in the schema.

use serde_json::{Map, Value};

use super::error::Mistakes;
use super::hedge::Strategy;
use super::time::{self, ConfigDuration};
use super::tree::below;

/// Whether a value can be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it stands, without the keys that were taken out of it.
    Usable,
    /// Not at all: to look further into it would find mistakes that follow from those told.
    Broken,
}

use Verdict::{Broken, Usable};

/// Tells every way in which `value`, at `path`, is not what `schema` wants, and takes the keys that
/// are wrong out of it.
pub(crate) fn check(
    value: &mut Value,
    schema: &Value,
    path: &str,
    mistakes: &mut Mistakes,
) -> Verdict {
    if let Some(kinds) = tagged(schema) {
        return check_tagged(value, &kinds, path, mistakes);
    }
    if let Some(branches) = branches(schema) {
        // The branch whose type it has says best what is wrong with it; one of names is met or not.
        let met = |branch: &&&Value| match (names(branch), value.as_str()) {
            (Some(names), Some(text)) => names.contains(&text),
            (Some(_), None) => false,
            (None, _) if is_duration(branch) => value_is_duration(value),
            (None, _) => fits(value, branch),
        };
        return match branches.iter().find(met) {
            Some(branch) => check(value, branch, path, mistakes),
            None => refuse(value, schema, path, mistakes),
        };
    }
    if let Some(names) = names(schema) {
        let known = value.as_str().is_some_and(|text| names.contains(&text));
        return if known {
            Usable
        } else {
            refuse(value, schema, path, mistakes)
        };
    }
    if !fits(value, schema) {
        return refuse(value, schema, path, mistakes);
    }
    match value {
        Value::Object(table) => check_table(table, schema, path, mistakes),
        Value::Array(items) => {
            let one = &schema["items"];
            let verdicts = items.iter_mut().enumerate().map(|(at, item)| {
                let verdict = check(item, one, &format!("{path}[{at}]"), mistakes);
                // A table of which nothing has to be written stands in for what is none.
                if verdict == Broken && one["type"] == "object" && required(one).is_empty() {
                    *item = Value::Object(Map::new());
                    return Usable;
                }
                verdict
            });
            // All of them: each has mistakes of its own to tell.
            verdicts.fold(Usable, |all, one| if one == Broken { one } else { all })
        }
        Value::String(_) if is_duration(schema) && !value_is_duration(value) => {
            refuse(value, schema, path, mistakes)
        }
        Value::Number(number) => {
            let below = schema["minimum"]
                .as_f64()
                .is_some_and(|min| number.as_f64().is_some_and(|number| number < min));
            if below {
                return refuse(value, schema, path, mistakes);
            }
            Usable
        }
        _ => Usable,
    }
}

fn check_tagged(
    value: &mut Value,
    kinds: &[(&str, &Value)],
    path: &str,
    mistakes: &mut Mistakes,
) -> Verdict {
    let all: Vec<_> = kinds.iter().map(|(kind, _)| *kind).collect();
    let wanted = format!("write one of {}", all.join(", "));
    let Value::Object(table) = value else {
        mistakes.refuse(path, value, "write a table with a `kind`");
        return Broken;
    };
    let kind = below(path, "kind");
    match table.get("kind") {
        None => mistakes.say(&kind, format_args!("it is missing: {wanted}")),
        Some(Value::String(text)) => {
            if let Some((_, schema)) = kinds.iter().find(|(known, _)| known == text) {
                return check_table(table, schema, path, mistakes);
            }
            let problem = match guess(text, &all) {
                Some(name) => format!("there is no such layer; did you mean {name:?}?"),
                None => format!("there is no such layer: {wanted}"),
            };
            mistakes.refuse(&kind, text, problem);
        }
        Some(other) => mistakes.refuse(&kind, other, wanted),
    }
    Broken
}

fn check_table(
    table: &mut Map<String, Value>,
    schema: &Value,
    path: &str,
    mistakes: &mut Mistakes,
) -> Verdict {
    let none = Map::new();
    let known = schema["properties"].as_object().unwrap_or(&none);
    let required = required(schema);
    let mut verdict = Usable;
    let mut wrong = Vec::new();
    for (key, value) in table.iter_mut() {
        let at = below(path, key);
        let Some(schema) = known.get(key) else {
            let all: Vec<_> = known.keys().map(String::as_str).collect();
            let problem = match guess(key, &all) {
                Some(name) => format!("there is no such key; did you mean {name:?}?"),
                None => format!("there is no such key: write one of {}", all.join(", ")),
            };
            mistakes.refuse(&at, &*value, problem);
            wrong.push(key.clone());
            continue;
        };
        if check(value, schema, &at, mistakes) == Broken {
            wrong.push(key.clone());
        }
    }
    for key in &required {
        if !table.contains_key(*key) {
            let wanted = wanted(&known[*key]);
            mistakes.say(&below(path, key), format_args!("it is missing: {wanted}"));
            wrong.push((*key).to_owned());
        }
    }
    if known.contains_key("strategy") && mistakes.told(&below(path, "strategy")) {
        wrong.push("strategy".to_owned());
    }
    for key in wrong {
        table.remove(&key);
        let needed = required.contains(&key.as_str());
        if !needed && key != "strategy" {
            continue;
        }
        // So that what stands beside it is looked at too.
        match stand_in(&key, &known[&key]) {
            Some(value) => drop(table.insert(key, value)),
            None => verdict = Broken,
        }
    }
    verdict
}

/// A value that makes no mistake of itself, for a key that has to be there. A hedge whose strategy
/// nobody knows is off: then the keys of each strategy may stay.
fn stand_in(key: &str, schema: &Value) -> Option<Value> {
    if key == "strategy" {
        return Some(Strategy::Off.name().into());
    }
    if is_duration(schema) {
        return Some("1s".into());
    }
    (schema["type"] == "integer").then(|| 1.into())
}

fn refuse(value: &Value, schema: &Value, path: &str, mistakes: &mut Mistakes) -> Verdict {
    // `Null` stands where something could not be read, which was told, or in JSON.
    if value.is_null() && mistakes.told(path) {
        return Broken;
    }
    let wanted = if value.is_null() {
        format!("{}, or leave the key out", wanted(schema))
    } else {
        wanted(schema)
    };
    let single = [schema];
    let branches = branches(schema).unwrap_or_else(|| single.to_vec());
    let all: Vec<_> = branches
        .iter()
        .filter_map(|branch| names(branch))
        .flatten()
        .collect();
    let problem = match value.as_str().and_then(|text| guess(text, &all)) {
        Some(name) => format!("did you mean {name:?}? {wanted}"),
        None => wanted,
    };
    mistakes.refuse(path, value, problem);
    Broken
}

/// What to write for a value of this schema.
fn wanted(schema: &Value) -> String {
    if let Some(branches) = branches(schema) {
        let each: Vec<_> = branches.iter().map(|branch| wanted(branch)).collect();
        return each.join(", or ");
    }
    if let Some(names) = names(schema) {
        let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
        return match quoted.as_slice() {
            [one] => format!("write {one}"),
            all => format!("write one of {}", all.join(", ")),
        };
    }
    if is_duration(schema) {
        return time::WRITE.to_owned();
    }
    match schema["type"].as_str() {
        Some("integer") => match schema["minimum"].as_u64() {
            Some(min) => format!("write a whole number, {min} or more"),
            None => "write a whole number".to_owned(),
        },
        Some("number") => "write a number".to_owned(),
        Some("boolean") => "write true or false".to_owned(),
        Some("string") => "write a text in quotes".to_owned(),
        Some("array") => format!(
            "write a list in [ ], and for each item: {}",
            wanted(&schema["items"])
        ),
        _ => "write a table".to_owned(),
    }
}

// === What a schema says ===

/// The layers by their `kind`, if the schema is of that sort.
pub(crate) fn tagged(schema: &Value) -> Option<Vec<(&str, &Value)>> {
    let kind = |branch| Value::as_str(&Value::get(branch, "properties")?["kind"]["const"]);
    let branches = schema["oneOf"].as_array()?;
    let all = branches.iter().map(|branch| Some((kind(branch)?, branch)));
    all.collect()
}

/// The schemas of which a value has to meet one, if they are not merely names.
fn branches(schema: &Value) -> Option<Vec<&Value>> {
    if names(schema).is_some() {
        return None;
    }
    let branches = schema["anyOf"].as_array().or(schema["oneOf"].as_array())?;
    Some(branches.iter().collect())
}

/// The names of which a value has to be one, if the schema is of that sort.
pub(crate) fn names(schema: &Value) -> Option<Vec<&str>> {
    if let Some(name) = schema["const"].as_str() {
        return Some(vec![name]);
    }
    if let Some(all) = schema["enum"].as_array() {
        return all.iter().map(Value::as_str).collect();
    }
    let mut all = Vec::new();
    for branch in schema["oneOf"].as_array()? {
        all.extend(names(branch)?);
    }
    Some(all)
}

pub(crate) fn required(schema: &Value) -> Vec<&str> {
    let list = schema["required"].as_array();
    list.map_or_else(Vec::new, |list| {
        list.iter().filter_map(Value::as_str).collect()
    })
}

pub(crate) fn is_duration(schema: &Value) -> bool {
    schema["format"] == time::FORMAT
}

fn value_is_duration(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.parse::<ConfigDuration>().is_ok())
}

fn fits(value: &Value, schema: &Value) -> bool {
    if names(schema).is_some() {
        return value.is_string();
    }
    match schema["type"].as_str() {
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        _ => value.is_object(),
    }
}

// === Guessing what was meant ===

/// The known name that is near to what was written, if one is.
pub fn guess<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known
        .iter()
        .map(|name| (distance(written, name), *name))
        .min();
    near.filter(|&(distance, name)| distance <= 2 && distance < name.len())
        .map(|(_, name)| name)
}

/// How many letters are to be put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (place, wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *wanted);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}
