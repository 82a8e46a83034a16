//! A client, the API it goes to, and calls through both.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use hedgerow_openai::batch::{BatchClient, BatchClientBuilder, RowError};
use hedgerow_sim::batch_api::{ApiCounts, MockBatchApi, Row, Settings};
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;

/// Longer than every window, grace and wait together: a call that takes as long hangs.
const FOR_EVER: Duration = Duration::from_secs(30 * 86_400);
pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Bed {
    pub(crate) api: MockBatchApi,
    pub(crate) client: BatchClient,
}

/// What a caller got.
#[derive(Clone, Debug)]
pub(crate) enum Got {
    Answer(u16, String),
    Error(RowError),
    /// No error of a row: what it says.
    Other(String),
}

impl Got {
    /// In a word, to compare with.
    pub(crate) fn word(&self) -> String {
        match self {
            Self::Answer(status, _) => status.to_string(),
            Self::Error(error) => {
                let debug = format!("{error:?}");
                let end = debug.find([' ', '(', '{']).unwrap_or(debug.len());
                debug[..end].to_owned()
            }
            Self::Other(text) => text.clone(),
        }
    }

    pub(crate) fn body(&self) -> &str {
        match self {
            Self::Answer(_, body) => body,
            other => panic!("no answer: {other:?}"),
        }
    }
}

/// A bed of these settings and a client with its defaults.
pub(crate) fn bed(settings: Settings) -> Bed {
    bed_with(settings, |builder| builder)
}

pub(crate) fn bed_with(
    settings: Settings,
    change: impl FnOnce(BatchClientBuilder) -> BatchClientBuilder,
) -> Bed {
    let api = settings.without_socket().expect("a folder");
    let client = client(&api, change);
    Bed { api, client }
}

pub(crate) fn client(
    api: &MockBatchApi,
    change: impl FnOnce(BatchClientBuilder) -> BatchClientBuilder,
) -> BatchClient {
    let builder = BatchClient::builder().base_url(api.url()).api_key("key");
    change(builder).build(api.service())
}

/// A body whose row has this name and this model.
pub(crate) fn body(model: &str, name: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"{name}"}}]}}"#)
}

/// The name of the row, of those that [`body`] writes.
pub(crate) fn name<'a>(row: &Row<'a>) -> &'a str {
    let body = row.body();
    let name = body.split(r#""content":""#).nth(1);
    name.and_then(|rest| rest.split('"').next()).unwrap_or("")
}

impl Bed {
    pub(crate) async fn ask(&self, path: &str, body: &str) -> Got {
        ask(&self.client, path, body).await
    }

    /// Calls of these names, of one model, all at once.
    pub(crate) async fn all(&self, names: &[&str]) -> BTreeMap<String, Got> {
        let calls = names.iter().map(|name| async move {
            let got = self.ask(CHAT, &body("m", name)).await;
            ((*name).to_owned(), got)
        });
        join_all(calls).await.into_iter().collect()
    }

    /// What each of these names got, in a word.
    pub(crate) async fn words(&self, names: &[&str]) -> Vec<String> {
        let all = self.all(names).await;
        names.iter().map(|name| all[*name].word()).collect()
    }

    pub(crate) fn counts(&self) -> ApiCounts {
        self.api.counts()
    }

    /// Nobody paid twice for a row.
    pub(crate) fn none_twice(&self) {
        assert_eq!(self.api.accepted_twice(), Vec::<String>::new());
        assert_eq!(self.counts().rows_again, 0);
    }
}

/// A call that hangs is a failed test.
pub(crate) async fn ask(client: &BatchClient, path: &str, body: &str) -> Got {
    let request = Request::post(path)
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .expect("a request");
    let answer = timeout(FOR_EVER, client.send(request)).await;
    match answer.unwrap_or_else(|_| panic!("a call hangs: {body}")) {
        Ok(answer) => {
            let status = answer.status().as_u16();
            let body = answer
                .into_body()
                .collect()
                .await
                .expect("in memory")
                .to_bytes();
            Got::Answer(status, String::from_utf8(body.to_vec()).expect("text"))
        }
        Err(error) => Got::of(&*error),
    }
}

impl Got {
    fn of(error: &(dyn StdError + Send + Sync + 'static)) -> Self {
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<RowError>() {
                return Self::Error(error.clone());
            }
            next = error.source();
        }
        Self::Other(error.to_string())
    }
}
