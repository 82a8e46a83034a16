//! Whether a file may become a batch.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::echo::Asked;
use super::script::Failure;
use super::settings::Limits;

/// How many rows are looked at before others may go on.
pub(super) const ROWS_AT_ONCE: usize = 512;
/// How many mistakes are told.
const MISTAKES: usize = 100;

/// A line of a file for a batch.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, default)]
    pub(super) custom_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) url: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

impl<'a> Line<'a> {
    pub(super) fn read(line: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(line)
    }

    pub(super) fn body(&self) -> &'a str {
        self.body.map(RawValue::get).unwrap_or("")
    }
}

/// Where a row stands in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) bytes: usize,
}

/// What was found in a file.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) rows: Vec<Place>,
    pub(super) ids: HashSet<String>,
    pub(super) mistakes: Vec<Failure>,
    pub(super) model: Option<String>,
}

/// Reads a file from its beginning to its end.
pub(super) async fn check(file: File, endpoint: &str, limits: &Limits) -> io::Result<Checked> {
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let mut checker = Checker::new(endpoint, limits);
    let (mut start, mut line) = (0, Vec::new());
    for number in 1.. {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line)?;
        if bytes == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            checker.row(number, &line, Place { start, bytes });
        }
        start += bytes as u64;
        if number % ROWS_AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(checker.end())
}

struct Checker<'a> {
    endpoint: &'a str,
    limits: &'a Limits,
    found: Checked,
    inputs: usize,
}

impl<'a> Checker<'a> {
    fn new(endpoint: &'a str, limits: &'a Limits) -> Self {
        Self {
            endpoint,
            limits,
            found: Checked::default(),
            inputs: 0,
        }
    }

    fn row(&mut self, number: usize, line: &[u8], place: Place) {
        // Past the limit they are only counted.
        if self.found.rows.len() < self.limits.rows
            && let Err((code, message)) = self.judge(line)
        {
            self.mistake(code, message, Some(number));
        }
        self.found.rows.push(place);
    }

    fn mistake(&mut self, code: &'static str, message: impl Into<String>, line: Option<usize>) {
        if self.found.mistakes.len() < MISTAKES {
            let message = message.into();
            self.found.mistakes.push(Failure {
                code,
                message,
                line,
            });
        }
    }

    fn judge(&mut self, line: &[u8]) -> Result<(), (&'static str, String)> {
        let invalid = |error: &dyn std::fmt::Display| {
            (
                "invalid_json_line",
                format!("This line is not parseable as valid JSON: {error}"),
            )
        };
        let text = str::from_utf8(line).map_err(|error| invalid(&error))?;
        let row = Line::read(text).map_err(|error| invalid(&error))?;
        let missing = |name: &str| {
            let text = format!("Missing required parameter: '{name}'.");
            ("missing_required_parameter", text)
        };
        let custom_id = row
            .custom_id
            .as_deref()
            .ok_or_else(|| missing("custom_id"))?;
        let method = row.method.as_deref().ok_or_else(|| missing("method"))?;
        let url = row.url.as_deref().ok_or_else(|| missing("url"))?;
        if !row.body().starts_with('{') {
            return Err(missing("body"));
        }
        if method != "POST" {
            return Err(("invalid_method", format!("'{method}' is not 'POST'.")));
        }
        if url != self.endpoint {
            let text = format!(
                "The url '{url}' does not match the batch's '{}'.",
                self.endpoint
            );
            return Err(("mismatched_url", text));
        }
        if !self.found.ids.insert(custom_id.to_owned()) {
            let text = format!("The custom_id '{custom_id}' stands in several lines.");
            return Err(("duplicate_custom_id", text));
        }
        let asked = Asked::read(row.body());
        self.inputs += asked.inputs();
        match (&self.found.model, asked.model) {
            (Some(first), Some(model)) if *first != model => Err((
                "mismatched_model",
                format!("The model '{model}' does not match the first line's '{first}'."),
            )),
            (None, Some(model)) => {
                self.found.model = Some(model.into_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(mut self) -> Checked {
        let (rows, most) = (self.found.rows.len(), self.limits.rows);
        if rows == 0 {
            self.mistake("empty_file", "The file has no row.", None);
        }
        if rows > most {
            let text = format!("The file has {rows} rows; at most {most} are allowed.");
            self.mistake("too_many_tasks", text, None);
        }
        let (inputs, most) = (self.inputs, self.limits.embedding_inputs);
        if self.endpoint == "/v1/embeddings" && inputs > most {
            let text = format!("The file has {inputs} inputs; at most {most} are allowed.");
            self.mistake("too_many_inputs", text, None);
        }
        self.found
    }
}
