//! Bodies of the requests that are sent to the API: short ones, and files that are written while they are sent.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::id::RowId;
use super::lines::{row_bytes, write_row};

/// How much of a file is written at once.
const PIECE: usize = 64 << 10;

/// The body of a request to the API.
///
/// A file of rows is written piece by piece while it is sent: 64 KiB of it are in memory, whatever its size.
/// Its length is known before.
pub struct RequestBody {
    before: Bytes,
    file: File,
    after: Bytes,
    left: u64,
}

/// A row to be written into a file.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) id: RowId,
    pub(super) body: Bytes,
}

enum File {
    None,
    Bytes(Bytes),
    Rows { file: RowFile, at: usize },
}

/// Rows of one endpoint, as a file.
#[derive(Clone)]
pub(super) struct RowFile {
    rows: Arc<[Pending]>,
    /// Of the endpoint, as JSON.
    url: Arc<str>,
    bytes: u64,
}

impl RowFile {
    pub(super) fn new(endpoint: &str, rows: Vec<Pending>) -> Self {
        let url = json_url(endpoint);
        let bytes = rows
            .iter()
            .map(|row| row_bytes(row.id, &url, row.body.len()));
        Self {
            bytes: bytes.sum(),
            rows: rows.into(),
            url: url.into(),
        }
    }

    pub(super) fn rows(&self) -> &[Pending] {
        &self.rows
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

pub(super) fn json_url(endpoint: &str) -> String {
    serde_json::Value::from(endpoint).to_string()
}

impl RequestBody {
    pub(super) const fn empty() -> Self {
        Self::of(Bytes::new())
    }

    pub(super) const fn of(bytes: Bytes) -> Self {
        Self {
            left: bytes.len() as u64,
            before: bytes,
            file: File::None,
            after: Bytes::new(),
        }
    }

    /// A form with a file and its purpose, and the form's boundary.
    pub(super) fn form(file: UploadFile, name: &str, purpose: &str, boundary: &str) -> Self {
        let before = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/jsonl\r\n\r\n"
        );
        let after = format!("\r\n--{boundary}--\r\n");
        let (file, bytes) = match file {
            UploadFile::Bytes(bytes) => {
                let length = bytes.len() as u64;
                (File::Bytes(bytes), length)
            }
            UploadFile::Rows(file) => {
                let length = file.bytes;
                (File::Rows { file, at: 0 }, length)
            }
        };
        Self {
            left: (before.len() + after.len()) as u64 + bytes,
            before: before.into(),
            file,
            after: after.into(),
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        if !self.before.is_empty() {
            return Some(std::mem::take(&mut self.before));
        }
        match &mut self.file {
            File::None => {}
            File::Bytes(bytes) => {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                if !piece.is_empty() {
                    return Some(piece);
                }
            }
            File::Rows { file, at } => {
                let mut piece = Vec::new();
                while piece.len() < PIECE
                    && let Some(row) = file.rows.get(*at)
                {
                    write_row(&mut piece, row.id, &file.url, &row.body);
                    *at += 1;
                }
                if !piece.is_empty() {
                    return Some(piece.into());
                }
            }
        }
        self.file = File::None;
        (!self.after.is_empty()).then(|| std::mem::take(&mut self.after))
    }
}

/// A file to be uploaded.
#[derive(Clone)]
pub(super) enum UploadFile {
    Bytes(Bytes),
    Rows(RowFile),
}

impl UploadFile {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Rows(file) => file.bytes,
        }
    }
}

// === impl Body ===

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.next();
        if let Some(piece) = &piece {
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

// === impl Debug ===

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_as_long_as_it_says_and_holds_every_row_once() {
        let rows: Vec<Pending> = (0..2_000)
            .map(|n| {
                let body: Bytes = format!(r#"{{"model":"m","n":{n}}}"#).into();
                Pending {
                    id: RowId::of("/v1/x", &body),
                    body,
                }
            })
            .collect();
        let file = RowFile::new("/v1/x", rows.clone());
        let mut body = RequestBody::form(UploadFile::Rows(file), "a.jsonl", "batch", "B");
        let said = body.size_hint().exact().unwrap();
        let mut whole = Vec::new();
        while let Some(piece) = body.next() {
            assert!(piece.len() < PIECE + 200);
            whole.extend(piece);
        }
        assert_eq!(whole.len() as u64, said);
        let text = String::from_utf8(whole).unwrap();
        for row in &rows {
            assert_eq!(text.matches(&row.id.to_string()).count(), 1);
        }
        assert!(text.ends_with("}\n\r\n--B--\r\n"));
    }
}
