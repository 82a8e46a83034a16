//! From a configured admission layer to its gate.

use hedgerow_admission::{Extras, Gate, GateBuilder};
use serde_json::Value;

use super::ask::{Asked, CostOf};
use super::queue::QueueConfig;
use super::{AdmissionConfig, CostConfig, ExtrasConfig, WaitsIn};
use crate::config::assemble::Part;
use crate::config::default;
use crate::config::error::Mistakes;
use crate::config::hedge::{Protocol, number};
use crate::config::key::{self, RequestKey};
use crate::config::member::{Given, Member};
use crate::config::order::Place;

/// A gate, and how requests come to it.
#[derive(Clone, Debug)]
pub(crate) struct AdmissionPart {
    pub(crate) gate: Gate,
    pub(crate) waits_in: WaitsIn,
    pub(crate) asked: Asked,
    pub(crate) extras: Extras,
    pub(crate) protocol: Option<Protocol>,
}

impl AdmissionConfig {
    /// The gate and the rest, or mistakes.
    pub(crate) fn assemble(&self, mistakes: &mut Mistakes) -> Option<AdmissionPart> {
        if self.waits_in == WaitsIn::Ready {
            self.check_ready(mistakes);
        }
        let gate = self.gate(mistakes);
        let asked = self.asked(mistakes);
        Some(AdmissionPart {
            gate: gate?,
            waits_in: self.waits_in,
            asked: asked?,
            extras: self.extras.into(),
            protocol: self.protocol,
        })
    }

    fn gate(&self, mistakes: &mut Mistakes) -> Option<Gate> {
        let mut builder = Gate::builder();
        let mut fine = true;
        let mut with = |key: &str,
                        value: Option<Value>,
                        mistakes: &mut Mistakes,
                        set: &dyn Fn(GateBuilder) -> GateBuilder| {
            let Some(value) = value else { return };
            // By itself, so that one that is wrong does not hide another.
            match set(Gate::builder()).mistakes().first() {
                Some(mistake) => {
                    mistakes.refuse(key, value, mistake);
                    fine = false;
                }
                None => builder = set(std::mem::replace(&mut builder, Gate::builder())),
            }
        };
        let limit = self.concurrency.unwrap_or_default();
        with(
            "concurrency",
            self.concurrency.map(Value::from),
            mistakes,
            &|builder| builder.concurrency(number(limit)),
        );
        let per_key = self.concurrency_per_key.unwrap_or_default();
        with(
            "concurrency_per_key",
            self.concurrency_per_key.map(Value::from),
            mistakes,
            &|builder| builder.concurrency_per_key(number(per_key)),
        );
        let depth = self.max_depth.unwrap_or_default();
        with(
            "max_depth",
            self.max_depth.map(Value::from),
            mistakes,
            &|builder| builder.max_depth(number(depth)),
        );
        let wait = self.max_wait.unwrap_or_default();
        with(
            "max_wait",
            self.max_wait.map(|wait| wait.to_string().into()),
            mistakes,
            &|builder| builder.max_wait(wait.get()),
        );
        if let Some(limit) = &self.limit {
            if self.concurrency.is_some() {
                let problem =
                    "how many run at once is said twice: leave out this, or `concurrency`";
                mistakes.say("limit", problem);
                fine = false;
            }
            match mistakes.within("limit", |mistakes| limit.assemble(mistakes)) {
                Some(policy) => builder = builder.limit(policy),
                None => fine = false,
            }
        }
        match mistakes.within("queue", |mistakes| self.queue.assemble(mistakes)) {
            Some(queue) => builder = builder.queue(queue),
            None => fine = false,
        }
        self.rated(builder, mistakes)?
            .try_build()
            .ok()
            .filter(|_| fine)
    }

    fn rated(&self, mut builder: GateBuilder, mistakes: &mut Mistakes) -> Option<GateBuilder> {
        let mut fine = true;
        for (at, rate) in self.rates.iter().enumerate() {
            let place = format!("rates[{at}]");
            let Some(rate) = mistakes.within(&place, |mistakes| rate.assemble(mistakes)) else {
                fine = false;
                continue;
            };
            let with = builder.rate(rate);
            // What is wrong now is how many they are, or that they have one name.
            if let Some(mistake) = with.mistakes().first().filter(|_| fine) {
                mistakes.say(&place, mistake);
                fine = false;
            }
            builder = with;
        }
        fine.then_some(builder)
    }

    fn asked(&self, mistakes: &mut Mistakes) -> Option<Asked> {
        let mut fine = true;
        let key = self.key.as_ref().and_then(|text| {
            let key = mistakes.attempt("key", text, RequestKey::parse(text));
            fine &= key.is_some();
            key
        });
        let priority = self.priority.as_ref().and_then(|text| {
            let name = mistakes.attempt("priority", text, key::header(text));
            fine &= name.is_some();
            name
        });
        let cost = match &self.cost {
            None => Some(CostOf::Fixed(default::ASKED_COST)),
            Some(CostConfig::Fixed(cost)) if i64::try_from(*cost).is_err() => {
                // Nor can a file hold it.
                mistakes.refuse("cost", cost, "write at most 9223372036854775807");
                None
            }
            Some(CostConfig::Fixed(cost)) => Some(CostOf::Fixed(*cost)),
            Some(CostConfig::Header(text)) => {
                let name = mistakes.attempt("cost", text, key::header(text));
                name.map(CostOf::Header)
            }
        };
        Some(Asked {
            key,
            priority,
            cost: cost.filter(|_| fine)?,
        })
    }

    /// What is read off requests.
    fn of_requests(&self) -> [(&'static str, Option<Value>); 5] {
        let value = |value: &Option<String>| value.as_deref().map(Value::from);
        let extras = self.extras != ExtrasConfig::Same;
        [
            ("key", value(&self.key)),
            ("priority", value(&self.priority)),
            (
                "cost",
                self.cost.as_ref().map(|cost| serde_json::json!(cost)),
            ),
            ("extras", extras.then(|| serde_json::json!(self.extras))),
            ("protocol", self.protocol.map(|p| serde_json::json!(p))),
        ]
    }

    /// What has no meaning where nobody has seen a request yet.
    fn check_ready(&self, mistakes: &mut Mistakes) {
        for (key, value) in self.of_requests() {
            if let Some(value) = value {
                let problem = "while the layer gets ready there is no request to read it off: leave \
                               it out, or write waits_in = \"call\"";
                mistakes.refuse(key, value, problem);
            }
        }
        let keyed = "while the layer gets ready nobody knows a request's key: leave it out, or write \
                     waits_in = \"call\"";
        if let Some(limit) = self.concurrency_per_key {
            mistakes.refuse("concurrency_per_key", limit, keyed);
        }
        for (at, rate) in self.rates.iter().enumerate() {
            if rate.per_key {
                mistakes.refuse(&format!("rates[{at}].per_key"), true, keyed);
            }
        }
        let patient = "who waits for readiness is never refused: leave it out, or write waits_in = \
                       \"call\"";
        if let Some(depth) = self.max_depth {
            mistakes.refuse("max_depth", depth, patient);
        }
        if let Some(wait) = self.max_wait {
            mistakes.refuse("max_wait", wait, patient);
        }
        if self.queue.drop != QueueConfig::default().drop {
            mistakes.refuse("queue.drop", self.queue.drop, patient);
        }
    }

    /// What has no meaning in a gate by itself.
    pub(super) fn check_alone(&self, mistakes: &mut Mistakes) {
        for (key, value) in self.of_requests() {
            if let Some(value) = value {
                let problem = format!(
                    "a gate alone reads no requests: build a stack, or write .{}(..) in code",
                    if key == "protocol" { "accept" } else { key }
                );
                mistakes.refuse(key, value, problem);
            }
        }
        if self.waits_in == WaitsIn::Ready {
            let problem = "a gate alone is no layer: build a stack, or write \
                           ReadyAdmissionLayer::new(gate) in code";
            mistakes.refuse("waits_in", self.waits_in, problem);
        }
    }

    /// What holds if this key is not written; `None` if it says nothing here.
    fn key_holds(&self, key: &str, default: &str) -> Option<String> {
        let ready = self.waits_in == WaitsIn::Ready;
        let silent = match key {
            "concurrency" => self.limit.is_some(),
            "limit" => self.limit.is_none(),
            "concurrency_per_key" => self.concurrency_per_key.is_none(),
            "key" => self.key.is_none(),
            "priority" => self.priority.is_none(),
            "protocol" => self.protocol.is_none(),
            "cost" | "extras" | "max_depth" | "max_wait" => ready,
            _ => false,
        };
        if silent {
            return None;
        }
        Some(match (key, &self.limit) {
            ("concurrency", _) => "no limit".to_owned(),
            ("limit", Some(limit)) => limit.told(),
            ("queue", _) => self.queue.told(ready),
            _ => default.to_owned(),
        })
    }
}

impl Member for AdmissionConfig {
    fn part(&self, _: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        let part = self.assemble(mistakes)?;
        Some(Part::Admission(Box::new(part)))
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.admission(self, warn);
    }

    fn holds(&self, key: &str, default: &str) -> Option<String> {
        self.key_holds(key, default)
    }
}
