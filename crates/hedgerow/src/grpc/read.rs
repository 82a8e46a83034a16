//! From JSON to a service config, with every mistake.

use std::collections::HashMap;
use std::time::Duration;

use hedgerow_core::{Budget, GrpcCodes};
use serde_json::{Map, Value};

use super::config::{HedgingPolicy, MethodConfig, Policy, RetryPolicy, ServiceConfig};
use super::value::{code, duration};
use crate::config::reading::{Mistakes, guess};
use crate::config::reading_json::Readable;

/// No policy waits longer than a day.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3_600);

impl Readable for ServiceConfig {
    fn read(root: Value, mistakes: &mut Mistakes) -> Option<Self> {
        let mut reader = Reader {
            mistakes,
            ignored: Vec::new(),
        };
        let methods = reader.root(&root);
        let ignored = reader.ignored;
        let (methods, throttle) = methods?;
        Some(Self {
            methods,
            throttle,
            ignored,
        })
    }
}

struct Reader<'a> {
    mistakes: &'a mut Mistakes,
    ignored: Vec<String>,
}

type Table = Map<String, Value>;
type Root = (HashMap<Box<str>, MethodConfig>, Option<(f64, f64)>);

const NUMBER_OF_ATTEMPTS: &str = "write a whole number of at least 2";
const TIME_ABOVE_ZERO: &str = "write a time above zero and of at most a day, like \"0.1s\"";

impl Reader<'_> {
    fn root(&mut self, root: &Value) -> Option<Root> {
        let table = self.table("", root)?;
        let known = ["methodConfig", "retryThrottling"];
        let others = [
            "loadBalancingPolicy",
            "loadBalancingConfig",
            "healthCheckConfig",
        ];
        self.keys("", table, &known, &others);
        let mut methods = HashMap::new();
        for (at, item) in self.list("methodConfig", table).into_iter().enumerate() {
            self.method(&format!("methodConfig[{at}]"), item, &mut methods);
        }
        let throttle = self.throttling("retryThrottling", table);
        Some((methods, throttle))
    }

    fn method(&mut self, path: &str, item: &Value, methods: &mut HashMap<Box<str>, MethodConfig>) {
        let Some(table) = self.table(path, item) else {
            return;
        };
        let known = [
            "name",
            "timeout",
            "waitForReady",
            "retryPolicy",
            "hedgingPolicy",
        ];
        let others = ["maxRequestMessageBytes", "maxResponseMessageBytes"];
        self.keys(path, table, &known, &others);
        let config = MethodConfig {
            timeout: self.time(path, "timeout", table),
            wait_for_ready: self.yes(&below(path, "waitForReady"), table.get("waitForReady")),
            policy: self.policy(path, table),
        };
        let names_at = below(path, "name");
        let names = self.list(&names_at, table);
        if names.is_empty() && !self.mistakes.told(&names_at) {
            self.ignored.push(path.to_owned());
        }
        for (at, name) in names.into_iter().enumerate() {
            let name_at = format!("{names_at}[{at}]");
            let Some(key) = self.name(&name_at, name) else {
                continue;
            };
            if methods.insert(key, config.clone()).is_some() {
                let problem = "this name stands here twice: each method, service, or the default has one place";
                self.mistakes.refuse(&name_at, name, problem);
            }
        }
    }

    /// The path of a method, the path of a service with its last slash, or nothing for all.
    fn name(&mut self, path: &str, name: &Value) -> Option<Box<str>> {
        let table = self.table(path, name)?;
        self.keys(path, table, &["service", "method"], &[]);
        let service = self.text(&below(path, "service"), table.get("service"))?;
        let method = self.text(&below(path, "method"), table.get("method"))?;
        match (service, method) {
            ("", "") => Some("".into()),
            ("", _) => {
                let problem = "a method needs its service: write it like \"package.Service\"";
                self.mistakes.say(&below(path, "service"), problem);
                None
            }
            (service, method) => Some(format!("/{service}/{method}").into()),
        }
    }

    fn text<'v>(&mut self, path: &str, value: Option<&'v Value>) -> Option<&'v str> {
        match value {
            None | Some(Value::Null) => Some(""),
            Some(Value::String(text)) if !text.contains('/') => Some(text),
            Some(other) => {
                let problem =
                    "write a name without slashes, like \"package.Service\" or \"Method\"";
                self.mistakes.refuse(path, other, problem);
                None
            }
        }
    }

    fn policy(&mut self, path: &str, table: &Table) -> Policy {
        let retry = present(table, "retryPolicy");
        let hedge = present(table, "hedgingPolicy");
        if retry.is_some() && hedge.is_some() {
            let problem =
                "a method is retried or hedged: leave out `retryPolicy` or `hedgingPolicy`";
            self.mistakes.say(path, problem);
        }
        // Both are read, so that all their mistakes are told.
        let retry = retry.and_then(|item| self.retry(&below(path, "retryPolicy"), item));
        let hedge = hedge.and_then(|item| self.hedge(&below(path, "hedgingPolicy"), item));
        match (retry, hedge) {
            (Some(retry), _) => Policy::Retry(retry),
            (None, Some(hedge)) => Policy::Hedge(hedge),
            (None, None) => Policy::Once,
        }
    }

    fn retry(&mut self, path: &str, item: &Value) -> Option<RetryPolicy> {
        let table = self.table(path, item)?;
        let known = [
            "maxAttempts",
            "initialBackoff",
            "maxBackoff",
            "backoffMultiplier",
            "retryableStatusCodes",
            "perAttemptRecvTimeout",
        ];
        self.keys(path, table, &known, &[]);
        let attempts = self.attempts(path, table);
        let initial = self.required_time(path, "initialBackoff", table);
        let longest = self.required_time(path, "maxBackoff", table);
        let multiplier = self.number(
            &below(path, "backoffMultiplier"),
            table.get("backoffMultiplier"),
        );
        let attempt_timeout = self.time(path, "perAttemptRecvTimeout", table);
        let codes_at = below(path, "retryableStatusCodes");
        let codes = self.codes(&codes_at, table);
        if codes.is_empty() && present(table, "perAttemptRecvTimeout").is_none() {
            let problem = "name the status codes after which there is another attempt, like [\"UNAVAILABLE\"]";
            self.mistakes.say(&codes_at, problem);
        }
        Some(RetryPolicy {
            max_attempts: attempts?,
            initial_backoff: initial?,
            max_backoff: longest?,
            backoff_multiplier: multiplier?,
            codes,
            attempt_timeout,
        })
    }

    fn hedge(&mut self, path: &str, item: &Value) -> Option<HedgingPolicy> {
        let table = self.table(path, item)?;
        let known = ["maxAttempts", "hedgingDelay", "nonFatalStatusCodes"];
        self.keys(path, table, &known, &[]);
        let attempts = self.attempts(path, table);
        let delay_at = below(path, "hedgingDelay");
        let delay = match present(table, "hedgingDelay") {
            None => Some(Duration::ZERO),
            Some(value) => self.mistakes.attempt(&delay_at, value, duration(value)),
        };
        let codes = self.codes(&below(path, "nonFatalStatusCodes"), table);
        Some(HedgingPolicy {
            max_attempts: attempts?,
            delay: delay?,
            codes,
        })
    }

    fn throttling(&mut self, path: &str, table: &Table) -> Option<(f64, f64)> {
        let table = self.table(path, present(table, path)?)?;
        self.keys(path, table, &["maxTokens", "tokenRatio"], &[]);
        let tokens = self.number(&below(path, "maxTokens"), table.get("maxTokens"));
        let ratio = self.number(&below(path, "tokenRatio"), table.get("tokenRatio"));
        let (tokens, ratio) = (tokens?, ratio?);
        let tried = Budget::try_throttle(tokens, ratio);
        self.mistakes.attempt(path, table, tried)?;
        Some((tokens, ratio))
    }

    // === single keys ===

    fn attempts(&mut self, path: &str, table: &Table) -> Option<u32> {
        let path = below(path, "maxAttempts");
        let Some(value) = present(table, "maxAttempts") else {
            self.mistakes.say(&path, NUMBER_OF_ATTEMPTS);
            return None;
        };
        // A whole number may be written with a point.
        let number = value.as_f64().filter(|number| number.fract() == 0.0);
        match number {
            Some(number) if number >= 2.0 => Some(number.min(f64::from(u32::MAX)) as u32),
            _ => {
                self.mistakes.refuse(&path, value, NUMBER_OF_ATTEMPTS);
                None
            }
        }
    }

    fn codes(&mut self, path: &str, table: &Table) -> GrpcCodes {
        let mut read = Vec::new();
        for (at, item) in self.list(path, table).into_iter().enumerate() {
            let tried = self
                .mistakes
                .attempt(&format!("{path}[{at}]"), item, code(item));
            read.extend(tried);
        }
        GrpcCodes::new(read)
    }

    fn required_time(&mut self, path: &str, key: &str, table: &Table) -> Option<Duration> {
        if present(table, key).is_none() {
            self.mistakes.say(&below(path, key), TIME_ABOVE_ZERO);
        }
        self.time(path, key, table).filter(|time| {
            let allowed = *time <= LONGEST_WAIT;
            if !allowed {
                self.mistakes
                    .refuse(&below(path, key), table.get(key), TIME_ABOVE_ZERO);
            }
            allowed
        })
    }

    /// A time above zero.
    fn time(&mut self, path: &str, key: &str, table: &Table) -> Option<Duration> {
        let value = present(table, key)?;
        let tried = duration(value).and_then(|time| {
            (!time.is_zero())
                .then_some(time)
                .ok_or("write a time above zero, like \"0.1s\"")
        });
        self.mistakes.attempt(&below(path, key), value, tried)
    }

    /// A number above zero.
    fn number(&mut self, path: &str, value: Option<&Value>) -> Option<f64> {
        let number = value.and_then(Value::as_f64).filter(|number| *number > 0.0);
        if number.is_none() {
            let problem = "write a number above zero";
            match value {
                None | Some(Value::Null) => self.mistakes.say(path, problem),
                Some(value) => self.mistakes.refuse(path, value, problem),
            }
        }
        number
    }

    fn yes(&mut self, path: &str, value: Option<&Value>) -> bool {
        match value {
            None | Some(Value::Null) => false,
            Some(Value::Bool(yes)) => *yes,
            Some(other) => {
                self.mistakes.refuse(path, other, "write true or false");
                false
            }
        }
    }

    // === shapes ===

    fn table<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v Table> {
        let table = value.as_object();
        if table.is_none() {
            self.mistakes.refuse(path, value, "write an object: {…}");
        }
        table
    }

    /// The items of a list that may be missing.
    fn list<'v>(&mut self, path: &str, table: &'v Table) -> Vec<&'v Value> {
        let key = path.rsplit('.').next().unwrap_or(path);
        match present(table, key) {
            None => Vec::new(),
            Some(Value::Array(items)) => items.iter().collect(),
            Some(other) => {
                self.mistakes.refuse(path, other, "write a list: […]");
                Vec::new()
            }
        }
    }

    /// Refuses what is not `known`, and notes what is for `others`.
    fn keys(&mut self, path: &str, table: &Table, known: &[&str], others: &[&str]) {
        for (key, value) in table {
            if known.contains(&key.as_str()) {
                continue;
            }
            let place = below(path, key);
            if others.contains(&key.as_str()) {
                self.ignored.push(place);
                continue;
            }
            match guess(key, known) {
                Some(near) => {
                    let problem = format!("no such key: write `{near}`");
                    self.mistakes.refuse(&place, value, problem);
                }
                None => {
                    let problem = format!("no such key: there are {}", known.join(", "));
                    self.mistakes.refuse(&place, value, problem);
                }
            }
        }
    }
}

/// A value; `null` is none.
fn present<'v>(table: &'v Table, key: &str) -> Option<&'v Value> {
    table.get(key).filter(|value| !value.is_null())
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
