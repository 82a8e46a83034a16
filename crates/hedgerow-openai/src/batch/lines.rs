//! The lines of a batch's files: rows out, answers in.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::RowAnswer;
use super::id::RowId;

/// What stands in a line around `custom_id`, `url` and `body`.
const AROUND: [&str; 4] = [
    r#"{"custom_id":""#,
    r#"","method":"POST","url":"#,
    r#","body":"#,
    "}\n",
];

/// Writes a row into a line; its body stands there byte for byte. `url` is JSON already.
pub(super) fn write_row(out: &mut Vec<u8>, id: RowId, url: &str, body: &[u8]) {
    out.extend(AROUND[0].as_bytes());
    let mut name = String::with_capacity(48);
    // Writing to a string does not fail.
    let _ = write!(name, "{id}");
    out.extend(name.as_bytes());
    out.extend(AROUND[1].as_bytes());
    out.extend(url.as_bytes());
    out.extend(AROUND[2].as_bytes());
    out.extend(body);
    out.extend(AROUND[3].as_bytes());
}

/// How long that line is.
pub(super) fn row_bytes(id: RowId, url: &str, body: usize) -> u64 {
    let around: usize = AROUND.iter().map(|part| part.len()).sum();
    let digits = id.occurrence().checked_ilog10().unwrap_or(0) + 1;
    (around + 3 + 32 + 1 + url.len() + body) as u64 + u64::from(digits)
}

/// What a line of a file of answers says.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) custom_id: String,
    pub(super) says: Says,
}

/// What became of a row.
#[derive(Debug)]
pub(super) enum Says {
    /// It was answered, well or not.
    Answered(RowAnswer),
    /// It was not sent, or its answer is lost.
    Failed {
        code: Option<String>,
        message: String,
    },
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    custom_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    status_code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
}

/// Reads one line. `None` of what is no line of a file of answers.
pub(super) fn read_line(line: &[u8]) -> Option<Line> {
    let wire: Wire<'_> = serde_json::from_slice(line).ok()?;
    let custom_id = text(wire.custom_id?)?;
    let says = match answer(wire.response) {
        Some(answer) => Says::Answered(answer),
        None => failure(wire.error, wire.response),
    };
    Some(Line { custom_id, says })
}

/// The answer in a line, if there is one: a good status without a body is none.
fn answer(response: Option<&RawValue>) -> Option<RowAnswer> {
    let response: Response<'_> = serde_json::from_str(response?.get()).ok()?;
    let status = match response.status_code {
        None => 200,
        Some(status) => number(status)?,
    };
    let body = match response.body {
        Some(body) => Bytes::copy_from_slice(body.get().as_bytes()),
        None if (200..300).contains(&status) => return None,
        None => Bytes::new(),
    };
    let request_id = response.request_id.and_then(text);
    RowAnswer::new(status, request_id, body)
}

fn failure(error: Option<&RawValue>, response: Option<&RawValue>) -> Says {
    let told = error.and_then(|error| serde_json::from_str::<Failure<'_>>(error.get()).ok());
    let (code, message) = match told {
        Some(told) => (told.code.and_then(word), told.message.and_then(word)),
        None => (None, error.map(|error| error.get().to_owned())),
    };
    let message = message.unwrap_or_else(|| match response {
        Some(_) => "its response holds no answer".to_owned(),
        None => "it has neither an answer nor an error".to_owned(),
    });
    Says::Failed { code, message }
}

fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// A text as it is, anything else as it was written.
fn word(raw: &RawValue) -> Option<String> {
    (raw.get() != "null").then(|| text(raw).unwrap_or_else(|| raw.get().to_owned()))
}

/// A number, or a text that is one.
fn number(raw: &RawValue) -> Option<u16> {
    raw.get().trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_as_the_api_reads_it_with_its_body_byte_for_byte() {
        let body = br#"{"model":"a", "x":1.0e0,"new":{"z":[ ]}}"#;
        for occurrence in [0, 9, 10, 4_294_967_295] {
            let id = RowId::new(super::super::id::content("/v1/x", body), occurrence);
            let mut line = Vec::new();
            write_row(&mut line, id, r#""/v1/x""#, body);
            assert_eq!(line.len() as u64, row_bytes(id, r#""/v1/x""#, body.len()));
            assert_eq!(line.pop(), Some(b'\n'));
            let text = std::str::from_utf8(&line).unwrap();
            let expected = format!(
                r#"{{"custom_id":"{id}","method":"POST","url":"/v1/x","body":{}}}"#,
                std::str::from_utf8(body).unwrap()
            );
            assert_eq!(text, expected);
            serde_json::from_str::<serde_json::Value>(text).unwrap();
        }
    }

    #[test]
    fn an_answer_is_read_with_its_own_status_and_body_byte_for_byte() {
        for (status, body) in [(200, r#"{"a": 1.0,"b":1e400}"#), (400, r#"{"error":{}}"#)] {
            let line = format!(
                r#"{{"id":"r","custom_id":"c","new":[{{}}],"response":{{"x":1,"status_code":{status},"request_id":"q","body":{body}}},"error":null}}"#
            );
            let line = read_line(line.as_bytes()).unwrap();
            assert_eq!(line.custom_id, "c");
            let Says::Answered(answer) = line.says else {
                panic!("{line:?}")
            };
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.request_id(), Some("q"));
            assert_eq!(answer.body(), body);
        }
    }

    #[test]
    fn a_line_that_is_none_is_none_and_a_line_without_an_answer_says_so() {
        for junk in [
            "",
            "junk",
            "{",
            "[]",
            "{}",
            r#"{"custom_id":null}"#,
            r#"{"custom_id":7}"#,
            "\u{0}",
        ] {
            assert!(read_line(junk.as_bytes()).is_none(), "{junk}");
        }
        for (line, code, message) in [
            (
                r#"{"custom_id":"c"}"#,
                None,
                "it has neither an answer nor an error",
            ),
            (
                r#"{"custom_id":"c","response":null,"error":null}"#,
                None,
                "it has neither an answer nor an error",
            ),
            (
                r#"{"custom_id":"c","response":{"status_code":200,"body":null}}"#,
                None,
                "its response holds no answer",
            ),
            (
                r#"{"custom_id":"c","response":7}"#,
                None,
                "its response holds no answer",
            ),
            (
                r#"{"custom_id":"c","response":{"status_code":70000,"body":{}}}"#,
                None,
                "its response holds no answer",
            ),
            (r#"{"custom_id":"c","error":"no"}"#, None, "\"no\""),
            (
                r#"{"custom_id":"c","error":{"code":"batch_expired","message":"late"}}"#,
                Some("batch_expired"),
                "late",
            ),
            (
                r#"{"custom_id":"c","error":{"code":7,"message":null}}"#,
                Some("7"),
                "it has neither an answer nor an error",
            ),
        ] {
            let Says::Failed {
                code: told,
                message: said,
            } = read_line(line.as_bytes()).unwrap().says
            else {
                panic!("{line}")
            };
            assert_eq!((told.as_deref(), &*said), (code, message), "{line}");
        }
    }
}
