//! Event streams read at once, by the words of the format: what a reader of chunks is held against.

use std::time::Duration;

/// What a stream says, all of it at hand.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    /// Name, data and id of each event.
    pub(crate) events: Vec<(String, String, String)>,
    pub(crate) id: String,
    pub(crate) retry: Option<Duration>,
}

/// The stream decoded as a whole, then cut at CR LF, LF and CR, then field by field.
pub(crate) fn read_whole(stream: &[u8]) -> Model {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    // Behind the last line end there is a line that has not ended.
    lines.pop();

    let mut model = Model::default();
    let (mut name, mut data) = (String::new(), String::new());
    for line in lines {
        if line.is_empty() {
            if let Some(data) = data.strip_suffix('\n') {
                let name = if name.is_empty() { "message" } else { &name };
                model
                    .events
                    .push((name.to_owned(), data.to_owned(), model.id.clone()));
            }
            name.clear();
            data.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => data.extend([value, "\n"]),
            "id" if !value.contains('\0') => value.clone_into(&mut model.id),
            "retry" if value.chars().all(|c| c.is_ascii_digit()) => {
                model.retry = value
                    .parse()
                    .ok()
                    .map(Duration::from_millis)
                    .or(model.retry);
            }
            _ => {}
        }
    }
    model
}
