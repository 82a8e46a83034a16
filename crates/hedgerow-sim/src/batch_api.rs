//! A Batch API on a real socket: files, batches, and what can go wrong with them, as a script.
//!
//! [`MockBatchApi`] speaks the files and batches API of OpenAI, and its synchronous endpoints: an
//! unmodified client finds nothing missing. What a row is answered is a function
//! ([`Settings::answer`]), how a batch gets on is a [`Script`], and what happens to requests are
//! [`Fault`]s. It keeps count of all that reached it, so that a test can say what was paid for.
//!
//! # Examples
//!
//! ```
//! use hedgerow_sim::batch_api::{Answer, Fault, MockBatchApi, On, Script, Share, Stage, Status};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), hedgerow_sim::BindError> {
//! let api = MockBatchApi::settings()
//!     // Every row about cats is refused, all others are echoed.
//!     .answer(|row| match row.body().contains("cats") {
//!         true => Answer::refusal(400, "no cats"),
//!         false => Answer::echo(row),
//!     })
//!     // Half of the rows are there while the batch is in progress, which it is for two polls.
//!     .script(|_batch| {
//!         Script::instant().stage(Stage::of(Status::InProgress).polls(2).done(Share::of(1, 2)))
//!     })
//!     // The first two downloads fail, and the first batch is made without its client hearing of it.
//!     .fault(Fault::on(On::Download).status(503).times(2))
//!     .fault(Fault::on(On::Create).hang_up_after())
//!     .bind(([127, 0, 0, 1], 0).into())
//!     .await?;
//! // ... send files and batches to `api.url()` ...
//! assert_eq!(api.counts().uploads, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Units
//!
//! A batch moves on when it is looked at: no task stands behind it, and a script that counts polls
//! takes no time. Times in answers are seconds since a fixed day, plus what has passed since the
//! API was made.
//!
//! # Cost
//!
//! Files are on disk, in a folder that goes with the API. In memory are 16 bytes for each row of a
//! batch that is not over, and some 30 for each custom id that was ever accepted.
//!
//! # Source
//!
//! OpenAI's published description of files and batches; `?offset=`, `X-Incomplete` and
//! `X-Last-Line`, which show the results of a batch that still runs, are Doubleword's.
//! Where OpenAI does not say what it does, the mock does what gives a client most to cope with:
//! a batch with nothing to show has no file, not an empty one, and rows that expired stand in the
//! error file. [`Settings::strict`] also refuses what only OpenAI would.

mod answer;
mod echo;
mod script;
mod fault;
mod settings;
mod api;
mod service;
mod route;
mod shared;
mod books;
mod files;
mod upload;
mod check;
mod batch;
mod batches;
mod rows;
mod refuse;
mod body;

pub use self::answer::{Answer, Row};
pub use self::api::MockBatchApi;
pub use self::batch::BatchView;
pub use self::body::ApiBody;
pub use self::books::{ApiCounts, Seen};
pub use self::fault::{Fault, On};
pub use self::script::{NewBatch, Script, Share, Stage, Status};
pub use self::service::{ApiFuture, ApiService, Disconnected};
pub use self::settings::Settings;
