//! An HTTP answer as it is stored, and as bytes.

use std::sync::Arc;

use bytes::Bytes;
use hedgerow_core::BoxError;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::store::Codec;

/// An HTTP answer as it is stored: its head, and its body as the frames in which it came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, without those of the connection.
    pub headers: HeaderMap,
    /// Its body, frame by frame.
    pub frames: Vec<Bytes>,
    /// Its trailers.
    pub trailers: Option<HeaderMap>,
}

/// Carries HTTP answers as bytes, any header and any body.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpCodec;

/// What belongs to a connection, and to no answer (RFC 9110 §7.6.1).
const OF_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

impl HttpAnswer {
    /// The head of an answer, whose body is still to come.
    pub(super) fn head(status: StatusCode, headers: &HeaderMap) -> Self {
        let mut headers = headers.clone();
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in OF_CONNECTION.iter().chain(&named) {
            headers.remove(name);
        }
        Self {
            status,
            headers,
            frames: Vec::new(),
            trailers: None,
        }
    }

    /// What it owns on the heap, about: for a bound of bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let heads = |headers: &HeaderMap| -> usize {
            headers
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len() + 96)
                .sum()
        };
        let frames: usize = self.frames.iter().map(|frame| frame.len() + 96).sum();
        let trailers = self.trailers.as_ref().map_or(0, heads);
        frames + heads(&self.headers) + trailers + size_of::<Self>() + 64
    }
}

const VERSION: u8 = 1;

impl Codec for HttpCodec {
    type Value = Arc<HttpAnswer>;

    fn encode(&self, answer: &Arc<HttpAnswer>) -> Result<Vec<u8>, BoxError> {
        let mut out = vec![VERSION];
        out.extend(answer.status.as_u16().to_le_bytes());
        write_headers(&mut out, &answer.headers);
        write_number(&mut out, answer.frames.len());
        for frame in &answer.frames {
            write_bytes(&mut out, frame);
        }
        out.push(u8::from(answer.trailers.is_some()));
        if let Some(trailers) = &answer.trailers {
            write_headers(&mut out, trailers);
        }
        Ok(out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Arc<HttpAnswer>, BoxError> {
        let mut rest = bytes;
        let answer = read(&mut rest).filter(|_| rest.is_empty());
        answer.map(Arc::new).ok_or_else(|| "no HTTP answer".into())
    }
}

fn read(rest: &mut &[u8]) -> Option<HttpAnswer> {
    if take(rest, 1)? != [VERSION] {
        return None;
    }
    let status = u16::from_le_bytes(take(rest, 2)?.try_into().ok()?);
    let headers = read_headers(rest)?;
    let count = read_number(rest)?;
    let mut frames = Vec::new();
    for _ in 0..count {
        frames.push(Bytes::copy_from_slice(read_bytes(rest)?));
    }
    let trailers = match take(rest, 1)? {
        [0] => None,
        _ => Some(read_headers(rest)?),
    };
    Some(HttpAnswer {
        status: StatusCode::from_u16(status).ok()?,
        headers,
        frames,
        trailers,
    })
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(n)?;
    *rest = left;
    Some(taken)
}

fn write_number(out: &mut Vec<u8>, number: usize) {
    out.extend((number as u64).to_le_bytes());
}

fn read_number(rest: &mut &[u8]) -> Option<usize> {
    let bytes = take(rest, 8)?.try_into().ok()?;
    usize::try_from(u64::from_le_bytes(bytes)).ok()
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_number(out, bytes.len());
    out.extend(bytes);
}

fn read_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = read_number(rest)?;
    take(rest, length)
}

fn write_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    write_number(out, headers.len());
    for (name, value) in headers {
        write_bytes(out, name.as_str().as_bytes());
        out.push(u8::from(value.is_sensitive()));
        write_bytes(out, value.as_bytes());
    }
}

fn read_headers(rest: &mut &[u8]) -> Option<HeaderMap> {
    let count = read_number(rest)?;
    let mut headers = HeaderMap::new();
    for _ in 0..count {
        let name = HeaderName::from_bytes(read_bytes(rest)?).ok()?;
        let sensitive = take(rest, 1)? != [0];
        let mut value = HeaderValue::from_bytes(read_bytes(rest)?).ok()?;
        value.set_sensitive(sensitive);
        headers.try_append(name, value).ok()?;
    }
    Some(headers)
}
