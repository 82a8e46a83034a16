//! What is known of a batch, in memory and in the journal.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is known of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its number in the journal.
    pub(super) seq: u64,
    /// By which it is found at the API: in its metadata, and in the name of its file.
    pub(super) key: String,
    pub(super) endpoint: String,
    pub(super) model: String,
    /// How many rows it has.
    #[serde(default)]
    pub(super) rows: u64,
    /// How often its rows were in a batch before.
    #[serde(default)]
    pub(super) generation: u32,
    /// When it was formed, in milliseconds since 1970.
    pub(super) planned_ms: u64,
    /// When the API had it.
    #[serde(default)]
    pub(super) submitted_ms: u64,
    #[serde(default)]
    pub(super) input_file_id: Option<String>,
    /// When the API had that file, by its own clock.
    #[serde(default)]
    pub(super) uploaded_at: Option<u64>,
    #[serde(default)]
    pub(super) batch_id: Option<String>,
    /// What was open has been sent by itself.
    #[serde(default)]
    pub(super) escalated: bool,
}

impl Record {
    pub(super) fn file_name(&self) -> String {
        format!("{}.jsonl", self.key)
    }
}

/// The time that a completion window is, such as `24h` or `30m`.
pub(super) fn window(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let number: u64 = number.trim().parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_and_any_other_text_is_none() {
        for (text, seconds) in [
            ("1h", 3_600),
            ("24h", 86_400),
            (" 7d ", 604_800),
            ("90s", 90),
            ("2 w", 1_209_600),
        ] {
            assert_eq!(window(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "h",
            "soon",
            "1é",
            "-1h",
            "99999999999999999999d",
            "18446744073709551615w",
        ] {
            assert_eq!(window(text), None, "{text}");
        }
    }
}
