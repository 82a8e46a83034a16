//! What a request asks of the gate, read off it.

use hedgerow_admission::{Ask, Priority};
use http::{HeaderName, Request};

use crate::config::default;
use crate::config::key::RequestKey;

/// What is read off requests, and how.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(super) key: Option<RequestKey>,
    pub(super) priority: Option<HeaderName>,
    pub(super) cost: CostOf,
}

/// What a request takes of a rate of tokens.
#[derive(Clone, Debug)]
pub(crate) enum CostOf {
    Fixed(u64),
    Header(HeaderName),
}

impl Asked {
    /// What any request asks, whatever it is.
    pub(crate) fn plain(&self) -> Ask {
        Ask::new().cost(match &self.cost {
            CostOf::Fixed(cost) => *cost,
            CostOf::Header(_) => default::ASKED_COST,
        })
    }

    /// What this HTTP request asks.
    pub(crate) fn of<B>(&self, request: &Request<B>) -> Ask {
        let mut ask = self.plain();
        if let Some(key) = self.key.as_ref().and_then(|key| key.of(request)) {
            ask = ask.key(key);
        }
        if let Some(word) = self.priority.as_ref().and_then(|name| text(request, name)) {
            ask = ask.priority(priority(word));
        }
        if let CostOf::Header(name) = &self.cost
            && let Some(cost) = text(request, name).and_then(|text| text.parse().ok())
        {
            ask = ask.cost(cost);
        }
        ask
    }

    /// Whether a part of it has a meaning for HTTP requests alone: which key.
    pub(crate) fn only_http(&self) -> impl Iterator<Item = &'static str> {
        let cost = matches!(self.cost, CostOf::Header(_));
        [
            self.key.as_ref().map(|_| "key"),
            self.priority.as_ref().map(|_| "priority"),
            cost.then_some("cost"),
        ]
        .into_iter()
        .flatten()
    }
}

fn text<'a, B>(request: &'a Request<B>, name: &HeaderName) -> Option<&'a str> {
    let value = request.headers().get(name)?.to_str().ok()?;
    Some(value.trim())
}

fn priority(word: &str) -> Priority {
    for (name, priority) in [
        ("high", Priority::High),
        ("low", Priority::Low),
        ("idle", Priority::Idle),
    ] {
        if word.eq_ignore_ascii_case(name) {
            return priority;
        }
    }
    Priority::Normal
}
