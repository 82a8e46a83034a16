//! The names of models that the file has.

use bytes::Bytes;
use hedgerow_openai::openai::{Model, Models};
use hedgerow_openai::server;
use http::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::body;
use super::envelope::{Failure, Provider};
use super::plan::Plan;
use super::upstream::Answer;

const PATH: &str = "/v1/models";

/// The answer to a question for models, where the file has names for them: those, and no others. None where
/// upstream is to be asked.
pub(crate) fn own<B>(plan: &Plan, request: &Request<B>) -> Option<Answer> {
    let beneath = request.uri().path().strip_prefix(PATH)?;
    if *request.method() != Method::GET || plan.models().next().is_none() {
        return None;
    }
    let provider = if request.headers().contains_key("anthropic-version") {
        Provider::Anthropic
    } else {
        Provider::OpenAi
    };
    let answer = match beneath.strip_prefix('/') {
        None if !beneath.is_empty() => return None,
        None | Some("") => all(plan, provider),
        Some(name) => match plan.models().find(|model| *model == name) {
            Some(name) => one(name, provider),
            None => {
                let message = format!("there is no model {name:?}");
                let failure =
                    Failure::of_request(StatusCode::NOT_FOUND, "model_not_found", message);
                return Some(failure.respond(provider, ""));
            }
        },
    };
    Some(answer.map(body::whole))
}

fn all(plan: &Plan, provider: Provider) -> Response<Bytes> {
    match provider {
        Provider::OpenAi => {
            let models = plan.models().map(|name| Model::new(name, "hedgerow", 0));
            server::json(&Models::new(models))
        }
        Provider::Anthropic => {
            let models: Vec<_> = plan.models().map(anthropic).collect();
            let (first, last) = (plan.models().next(), plan.models().last());
            server::json(&json!({
                "data": models, "has_more": false, "first_id": first, "last_id": last,
            }))
        }
    }
}

fn one(name: &str, provider: Provider) -> Response<Bytes> {
    match provider {
        Provider::OpenAi => server::json(&Model::new(name, "hedgerow", 0)),
        Provider::Anthropic => server::json(&anthropic(name)),
    }
}

fn anthropic(name: &str) -> serde_json::Value {
    json!({
        "type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z",
    })
}
