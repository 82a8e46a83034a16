//! Server-sent events, read as they arrive.
//!
//! [`Reader`] takes chunks as a network delivers them, cut wherever it likes, and gives out events:
//! it knows nothing of sockets or bodies. [`Events`] reads them from an HTTP body.
//!
//! Both follow the WHATWG's *event stream* format to the letter: lines may end in CR LF, LF or CR,
//! one byte order mark at the start is skipped, comments and unknown fields are nothing, and what is
//! not finished by an empty line when the stream ends was no event.
//!
//! # Examples
//!
//! ```
//! use bytes::Bytes;
//! use hedgerow_http::sse::Reader;
//!
//! let mut reader = Reader::new();
//! let mut events = Vec::new();
//! for chunk in ["data: {\"a\"", ":1}\r", "\n\r\nevent: done\ndata\n\n"] {
//!     let mut chunk = Bytes::from(chunk);
//!     while let Some(event) = reader.read(&mut chunk)? {
//!         events.push((event.name().into_owned(), event.text().into_owned()));
//!     }
//! }
//! assert_eq!(
//!     events,
//!     [("message".into(), "{\"a\":1}".into()), ("done".into(), String::new())]
//! );
//! # Ok::<(), hedgerow_http::sse::SseError>(())
//! ```
//!
//! # Source
//!
//! WHATWG HTML, §9.2.5 *Parsing an event stream* and §9.2.6 *Interpreting an event stream*.

mod reader;
mod lines;
mod event;
mod body;
mod error;

pub use self::body::Events;
pub use self::error::{EventsError, SseError};
pub use self::event::Event;
pub use self::reader::Reader;
