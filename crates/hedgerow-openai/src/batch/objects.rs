//! Batches and files as the API shows them.

use std::collections::BTreeMap;

use crate::json::{Object, Raw};
use crate::wire::wire;

wire! {
    /// A file that was uploaded, or written for a batch.
    pub struct FileObject {
        /// Its name at the API.
        "id" => id: String,
        /// Its name on disk.
        "filename" => filename: Option<String>,
        /// How long it is.
        "bytes" => bytes: Option<u64>,
        /// When it was made, in seconds since 1970.
        "created_at" => created_at: Option<u64>,
        /// `batch`, `batch_output` ..
        "purpose" => purpose: Option<String>,
    }

    /// A batch.
    pub struct BatchObject {
        /// Its name at the API.
        "id" => id: String,
        /// See [`status`](Self::status).
        "status" => status_word: Option<String>,
        /// Which endpoint its rows go to.
        "endpoint" => endpoint: Option<String>,
        /// Its rows.
        "input_file_id" => input_file_id: Option<String>,
        /// Answers with a good status.
        "output_file_id" => output_file_id: Option<String>,
        /// All others, and rows that were not sent.
        "error_file_id" => error_file_id: Option<String>,
        /// Within what time it is to be done.
        "completion_window" => completion_window: Option<String>,
        /// When it was made, in seconds since 1970.
        "created_at" => created_at: Option<u64>,
        /// When its window ends, in seconds since 1970.
        "expires_at" => expires_at: Option<u64>,
        /// How many rows it has, and what became of them.
        "request_counts" => request_counts: Option<RequestCounts>,
        /// See [`metadata`](Self::metadata).
        "metadata" => metadata_raw: Option<Raw>,
        /// See [`problems`](Self::problems).
        "errors" => errors_raw: Option<Raw>,
    }

    /// How many rows a batch has, and what became of them.
    pub struct RequestCounts {
        /// All of them.
        "total" => total: Option<u64>,
        /// With a good answer.
        "completed" => completed: Option<u64>,
        /// With any other end.
        "failed" => failed: Option<u64>,
    }

    /// Some of what there is.
    pub struct Listed {
        /// The batches, the newest first.
        "data" => data: Vec<BatchObject>,
        /// Whether there are more.
        "has_more" => has_more: Option<bool>,
    }

    /// Some of the files there are.
    pub struct ListedFiles {
        /// The files.
        "data" => data: Vec<FileObject>,
        /// Whether there are more.
        "has_more" => has_more: Option<bool>,
    }
}

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchStatus {
    /// Its file is looked at.
    Validating,
    /// Its file was refused: nothing was sent.
    Failed,
    /// Its rows are sent.
    InProgress,
    /// Its files are written.
    Finalizing,
    /// All rows have an end.
    Completed,
    /// Its window ended first.
    Expired,
    /// It is being cancelled.
    Cancelling,
    /// It was cancelled.
    Cancelled,
    /// A word that is not known: it is waited on.
    Other,
}

/// What is wrong with a file, or a line of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// A word for machines.
    pub code: Option<String>,
    /// In words.
    pub message: String,
    /// Which line, counted from 1.
    pub line: Option<u64>,
}

impl BatchStatus {
    /// The status that a word is.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "validating" => Self::Validating,
            "failed" => Self::Failed,
            "in_progress" => Self::InProgress,
            "finalizing" => Self::Finalizing,
            "completed" => Self::Completed,
            "expired" => Self::Expired,
            "cancelling" => Self::Cancelling,
            "cancelled" => Self::Cancelled,
            _ => Self::Other,
        }
    }

    /// Whether nothing changes any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Completed | Self::Expired | Self::Cancelled
        )
    }
}

impl BatchObject {
    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> BatchStatus {
        BatchStatus::of(self.status_word.as_deref().unwrap_or_default())
    }

    /// What it was given when it was made; what is no text is left out.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let object: Option<Object> = self.metadata_raw.as_ref().and_then(|raw| raw.read().ok());
        let object = object.unwrap_or_default();
        let texts = object.iter().filter_map(|(key, raw)| {
            let text: String = raw.read().ok()?;
            Some((key.to_owned(), text))
        });
        texts.collect()
    }

    /// What is wrong with its file.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let errors: Option<Object> = self.errors_raw.as_ref().and_then(|raw| raw.read().ok());
        let data: Option<Vec<Object>> =
            errors.and_then(|errors| errors.read("data").ok().flatten());
        let problem = |told: Object| Problem {
            code: told.read("code").ok().flatten(),
            message: told.read("message").ok().flatten().unwrap_or_default(),
            line: told.read("line").ok().flatten(),
        };
        data.unwrap_or_default().into_iter().map(problem).collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let counts = self.request_counts.as_ref();
        let of = |count: fn(&RequestCounts) -> Option<u64>| counts.and_then(count).unwrap_or(0);
        Counts {
            completed: of(|counts| counts.completed),
            failed: of(|counts| counts.failed),
            total: of(|counts| counts.total),
        }
    }
}

/// [`RequestCounts`], with zero for what is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_with_nulls_and_unknown_fields_is_read() {
        let batch: BatchObject = serde_json::from_str(
            r#"{"id":"b","object":"batch","status":"in_progress","output_file_id":null,"new":1,
                "request_counts":{"total":3,"completed":null},"metadata":{"a":"b","c":7},
                "errors":{"object":"list","data":[{"code":"c","message":"m","line":2,"param":null},{}]}}"#,
        )
        .unwrap();
        assert_eq!(batch.status(), BatchStatus::InProgress);
        assert_eq!(batch.output_file_id, None);
        let counts = Counts {
            completed: 0,
            failed: 0,
            total: 3,
        };
        assert_eq!(batch.counts(), counts);
        assert_eq!(batch.metadata(), [("a".to_owned(), "b".to_owned())].into());
        let problems = batch.problems();
        assert_eq!(problems[0].line, Some(2));
        assert_eq!(problems[1], Problem::default());
        let bare: BatchObject = serde_json::from_str(r#"{"id":"b","metadata":null}"#).unwrap();
        assert_eq!(bare.status(), BatchStatus::Other);
        assert!(bare.problems().is_empty() && bare.metadata().is_empty());
    }

    #[test]
    fn the_words_of_the_api_are_known_and_four_of_them_are_final() {
        let finals = ["failed", "completed", "expired", "cancelled"];
        for word in ["validating", "in_progress", "finalizing", "cancelling"]
            .iter()
            .chain(&finals)
        {
            let status = BatchStatus::of(word);
            assert_ne!(status, BatchStatus::Other, "{word}");
            assert_eq!(status.is_final(), finals.contains(word), "{word}");
        }
        assert!(!BatchStatus::of("paused").is_final());
    }
}
