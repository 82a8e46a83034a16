//! A file that comes in, piece by piece.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body;
use http_body_util::BodyDataStream;
use multer::Multipart;

use super::body::ApiBody;
use super::check::Line;
use super::echo::Asked;
use super::fault::On;
use super::files::{Stored, Subject};
use super::refuse::Refusal;
use super::route::with_faults;
use super::service::{Answered, BoxError};
use super::shared::Shared;

const PURPOSES: [&str; 6] = [
    "assistants",
    "batch",
    "evals",
    "fine-tune",
    "user_data",
    "vision",
];
/// Of a field that is no file.
const MAX_FIELD: usize = 1024;

/// What an upload brought.
struct Upload {
    id: String,
    name: Option<String>,
    purpose: Option<String>,
    bytes: Option<u64>,
}

pub(super) async fn upload<B>(shared: &Arc<Shared>, headers: &HeaderMap, body: B) -> Answered
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // What happens to it may depend on its model, which is not known before it is here.
    let received = receive(shared, headers, body).await;
    let id = received.as_ref().map(|upload| upload.id.clone());
    let id = id.unwrap_or_default();
    let subject = subject(shared, &id);
    let answer = with_faults(shared, On::Upload, &id, subject.about(), async {
        let stored = received?.checked(shared, &subject)?;
        let object = stored.object();
        shared.books.lock().file(stored.bytes);
        shared.files.put(stored);
        Ok(ApiBody::json(&object))
    })
    .await;
    if !id.is_empty() && shared.files.get(&id).is_none() {
        // Not worth an error: the folder goes with the API.
        let _ = std::fs::remove_file(shared.files.path(&id));
    }
    answer
}

async fn receive<B>(shared: &Shared, headers: &HeaderMap, body: B) -> Result<Upload, Refusal>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("");
    let boundary = multer::parse_boundary(kind)
        .map_err(|_| Refusal::new(400, format!("'{kind}' is no multipart form")))?;
    let mut form = Multipart::new(BodyDataStream::new(body), boundary);
    let mut upload = Upload {
        id: shared.files.new_id(),
        name: None,
        purpose: None,
        bytes: None,
    };
    let refuse = |error: multer::Error| Refusal::new(400, format!("a broken form: {error}"));
    while let Some(mut field) = form.next_field().await.map_err(refuse)? {
        match field.name() {
            Some("file") => {
                upload.name = field.file_name().map(ToOwned::to_owned);
                let path = shared.files.path(&upload.id);
                let mut file = create(&path)?;
                let mut bytes = 0;
                while let Some(piece) = field.chunk().await.map_err(refuse)? {
                    bytes += piece.len() as u64;
                    // More than is allowed is read, but not kept.
                    if bytes <= shared.limits.file_bytes {
                        file.write_all(&piece)
                            .map_err(|error| Refusal::broken(&error))?;
                    }
                }
                file.flush().map_err(|error| Refusal::broken(&error))?;
                upload.bytes = Some(bytes);
            }
            Some("purpose") => {
                let text = field.text().await.map_err(refuse)?;
                if text.len() > MAX_FIELD {
                    return Err(Refusal::invalid("purpose", "it is too long"));
                }
                upload.purpose = Some(text);
            }
            // Such as `expires_after[seconds]`.
            _ => while field.chunk().await.map_err(refuse)?.is_some() {},
        }
    }
    Ok(upload)
}

fn create(path: &std::path::Path) -> Result<BufWriter<File>, Refusal> {
    let file = File::create(path).map_err(|error| Refusal::broken(&error))?;
    Ok(BufWriter::new(file))
}

impl Upload {
    fn checked(self, shared: &Shared, subject: &Arc<Subject>) -> Result<Stored, Refusal> {
        let purpose = self
            .purpose
            .ok_or_else(|| Refusal::invalid("purpose", "'purpose' is a required property"))?;
        if !PURPOSES.contains(&&*purpose) {
            let text = format!("'{purpose}' is not one of {PURPOSES:?}");
            return Err(Refusal::invalid("purpose", text));
        }
        let missing = || Refusal::invalid("file", "'file' is a required property");
        let bytes = self.bytes.ok_or_else(missing)?;
        let name = self.name.ok_or_else(missing)?;
        if bytes == 0 {
            return Err(Refusal::invalid("file", "The file is empty.").code("empty_file"));
        }
        let most = shared.limits.file_bytes;
        if bytes > most {
            let text = format!("The file has {bytes} bytes; at most {most} are allowed.");
            return Err(Refusal::new(413, text));
        }
        Ok(Stored {
            id: self.id,
            name,
            purpose,
            created: shared.now(),
            bytes,
            lines: 0,
            grows: false,
            about: Arc::clone(subject),
        })
    }
}

/// What the first row of a file is about.
fn subject(shared: &Shared, id: &str) -> Arc<Subject> {
    let mut first = String::new();
    let file = File::open(shared.files.path(id));
    let read = file.and_then(|file| BufReader::new(file).read_line(&mut first));
    if read.is_err() {
        return Arc::default();
    }
    let Ok(line) = Line::read(&first) else {
        return Arc::default();
    };
    Arc::new(Subject {
        model: Asked::read(line.body()).model.map(Into::into),
        endpoint: line.url.map(Into::into),
    })
}
