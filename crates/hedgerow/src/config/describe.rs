//! What a configuration can say: its schema, and the same as a list of keys.

use std::fmt;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::check::{is_duration, names, required, tagged};

/// The version of the file format.
pub const VERSION: u32 = 1;

/// A part of the configuration that says of itself what can be written.
///
/// Both come from the struct that is read, so neither can say what the other does not.
pub trait Describe: JsonSchema {
    /// What it is called in a file: the `kind` of a layer.
    const NAME: &'static str;

    /// Its JSON schema. A default that depends on other keys stands in words, as `x-default`.
    #[must_use]
    fn schema() -> Value {
        schema_of::<Self>()
    }

    /// Its keys with their types, defaults and meaning.
    #[must_use]
    fn describe() -> Description {
        Description::read(Self::NAME, &Self::schema())
    }
}

/// The schema of whatever is read from a file, without references.
pub(crate) fn schema_of<T: JsonSchema + ?Sized>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    without_null(&mut schema);
    schema
}

/// A part of the configuration, described. Displays as a table in Markdown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The version of the file format.
    pub version: u32,
    /// What it is called in a file.
    pub name: &'static str,
    /// What it does.
    pub description: String,
    /// Its keys: the strategy, if it has one, then by name.
    pub keys: Vec<KeyDescription>,
}

/// One key of a configuration, described.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDescription {
    /// The key as it is written.
    pub key: String,
    /// What may be written there.
    pub types: String,
    /// What holds if the key is left out; `None` if it may not be.
    pub default: Option<String>,
    /// What it means.
    pub description: String,
}

impl Description {
    /// The keys that have to be written.
    pub fn required(&self) -> impl Iterator<Item = &KeyDescription> {
        self.keys.iter().filter(|key| key.default.is_none())
    }

    /// The keys that may be left out.
    pub fn optional(&self) -> impl Iterator<Item = &KeyDescription> {
        self.keys.iter().filter(|key| key.default.is_some())
    }

    /// The key of this name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&KeyDescription> {
        self.keys.iter().find(|key| key.key == name)
    }

    fn read(name: &'static str, schema: &Value) -> Self {
        let required = required(schema);
        let properties = schema["properties"].as_object().into_iter().flatten();
        let keys = properties.map(|(key, schema)| KeyDescription {
            key: key.clone(),
            types: types(schema),
            default: if required.contains(&key.as_str()) {
                None
            } else {
                Some(default(schema))
            },
            description: text(&schema["description"]),
        });
        let mut keys: Vec<_> = keys.collect();
        // It says which of the others are read.
        keys.sort_by_key(|key| key.key != "strategy");
        Self {
            version: VERSION,
            name,
            description: text(&schema["description"]),
            keys,
        }
    }
}

/// In words if it depends on other keys.
fn default(schema: &Value) -> String {
    match (&schema["x-default"], &schema["default"]) {
        (Value::String(words), _) => words.clone(),
        (_, value) => value.to_string(),
    }
}

fn types(schema: &Value) -> String {
    if let Some(names) = names(schema) {
        let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
        return quoted.join(", ");
    }
    if tagged(schema).is_some() {
        return "table".to_owned();
    }
    if let Some(branches) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let each: Vec<_> = branches.iter().map(types).collect();
        return each.join(" or ");
    }
    if is_duration(schema) {
        return "duration".to_owned();
    }
    match schema["type"].as_str() {
        Some("integer") => "whole number".to_owned(),
        Some("number") => "number".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("string") => "text".to_owned(),
        Some("array") => match types(&schema["items"]).as_str() {
            "table" => "list of tables".to_owned(),
            item => format!("list of {item}s"),
        },
        _ => match schema["properties"].as_object() {
            // What has many keys is described by itself.
            Some(keys) if keys.len() <= 6 => {
                let keys: Vec<_> = keys.keys().map(String::as_str).collect();
                format!("table of {}", keys.join(", "))
            }
            _ => "table".to_owned(),
        },
    }
}

/// What stands in quotes as it is written in a file.
fn as_code(text: &str) -> String {
    let parts = text.split('"').enumerate().map(|(at, part)| {
        if at % 2 == 1 {
            format!("`\"{part}\"`")
        } else {
            part.to_owned()
        }
    });
    parts.collect()
}

/// Keys of more than one word as they are written in a file.
fn with_keys(types: &str) -> String {
    let words = types.split(' ').map(|word| {
        let key = word.trim_end_matches(',');
        if key.contains('_') && !key.contains('`') {
            format!("`{key}`{}", &word[key.len()..])
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// On one line.
fn text(description: &Value) -> String {
    let words = description.as_str().unwrap_or_default().split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

/// A key that may be left out is left out: TOML has no null.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            if let Some(Value::Array(types)) = keys.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    keys.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(branches)) = keys.get_mut("anyOf") {
                branches.retain(|branch| branch["type"] != "null");
                if let [Value::Object(only)] = branches.as_slice() {
                    let only = only.clone();
                    keys.remove("anyOf");
                    for (key, value) in only {
                        // What the key says of itself comes before what its type says.
                        keys.entry(key).or_insert(value);
                    }
                }
            }
            if keys.get("default") == Some(&Value::Null) {
                keys.remove("default");
            }
            keys.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| key | type | default | what |\n| --- | --- | --- | --- |\n")?;
        for key in &self.keys {
            let default = match &key.default {
                None => "required".to_owned(),
                Some(words) if serde_json::from_str::<Value>(words).is_err() => as_code(words),
                Some(value) => format!("`{value}`"),
            };
            let types = with_keys(&as_code(&key.types));
            let what = as_code(&key.description);
            writeln!(f, "| `{}` | {types} | {default} | {what} |", key.key)?;
        }
        Ok(())
    }
}
