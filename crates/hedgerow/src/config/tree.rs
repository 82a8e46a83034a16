//! What a file says, as a tree of values, and where each of them stands.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Mistakes;

/// A file as a tree.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Value,
    /// Whether its syntax is right: then what could not be read are single values.
    pub(crate) whole: bool,
    /// The line of each key's value, and its text if it is a short one.
    places: HashMap<String, (usize, Option<String>)>,
}

/// Longer values are not repeated as they were written.
const SHORT: usize = 100;

impl Tree {
    /// Reads TOML; what is wrong with its syntax goes to `mistakes`, and the rest is read.
    pub(crate) fn from_toml(text: &str, mistakes: &mut Mistakes) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let lines = Lines::of(text);
        for error in &errors {
            let line = error.span().map(|span| lines.number(span.start));
            mistakes.add("", line, None, error.message());
        }
        let mut reader = Reader {
            text,
            lines,
            places: HashMap::new(),
            mistakes,
        };
        let root = reader.table(table.get_ref(), "");
        Self {
            root,
            whole: errors.is_empty(),
            places: reader.places,
        }
    }

    /// Where the value at the path `key` stands, and how it was written.
    pub(crate) fn place(&self, key: &str) -> Option<(usize, Option<String>)> {
        self.places.get(key).cloned()
    }
}

struct Reader<'a> {
    text: &'a str,
    lines: Lines,
    places: HashMap<String, (usize, Option<String>)>,
    mistakes: &'a mut Mistakes,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &str) -> Value {
        let mut read = Map::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            let path = below(path, name);
            let line = self.lines.number(key.span().start);
            if let Some(value) = self.value(value, &path, Some(line)) {
                read.insert(name.to_owned(), value);
            }
        }
        Value::Object(read)
    }

    fn value(
        &mut self,
        spanned: &Spanned<DeValue<'_>>,
        path: &str,
        line: Option<usize>,
    ) -> Option<Value> {
        let span = spanned.span();
        let line = line.unwrap_or_else(|| self.lines.number(span.start));
        let written = self.text.get(span).filter(|text| {
            text.len() <= SHORT && !text.contains('\n') && !spanned.get_ref().is_table()
        });
        let written = written.map(str::to_owned);
        self.places.insert(path.to_owned(), (line, written.clone()));
        let mut refuse = |problem: &str| {
            self.mistakes
                .add(path, Some(line), written.clone(), problem);
            None
        };
        match spanned.get_ref() {
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Boolean(yes) => Some(Value::Bool(*yes)),
            DeValue::Integer(digits) => {
                match i64::from_str_radix(digits.as_str(), digits.radix()) {
                    Ok(number) => Some(Value::Number(number.into())),
                    Err(_) => refuse("write a number of at most 9223372036854775807"),
                }
            }
            DeValue::Float(digits) => {
                let number = digits.as_str().parse().ok().and_then(Number::from_f64);
                match number {
                    Some(number) => Some(Value::Number(number)),
                    None => refuse("write a number that is finite"),
                }
            }
            DeValue::Datetime(_) => refuse("no key takes a date: write a text in quotes"),
            DeValue::Array(items) => {
                let items = items.iter().enumerate().map(|(at, item)| {
                    // What could not be read leaves its place, so that the others keep theirs.
                    self.value(item, &format!("{path}[{at}]"), None)
                        .unwrap_or(Value::Null)
                });
                Some(Value::Array(items.collect()))
            }
            DeValue::Table(table) => Some(self.table(table, path)),
        }
    }
}

/// `layer[0]` and `kind` are `layer[0].kind`.
pub(crate) fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        return key.to_owned();
    }
    format!("{path}.{key}")
}

/// Where the lines of a text begin.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            starts: std::iter::once(0).chain(ends).collect(),
        }
    }

    /// The line, from 1, of the byte at `offset`.
    fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }
}
