//! From a file to what answers, with every mistake.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hedgerow::config::reading::{Files, Mistakes, guess};
use hedgerow::config::{ConfigDuration, ConfigErrors, Explanation};

use super::books::Books;
use super::call::Entry;
use super::config::{GatewayConfig, ModelConfig, RouteConfig, UpstreamConfig};
use super::route::{Route, Routes};
use super::upstream::Upstream;

/// A file, built.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    models: HashMap<String, Arc<[Entry]>>,
    /// Their names, in the order of the file.
    names: Vec<String>,
    pub(crate) routes: Routes,
    /// What is counted: it outlives a reload.
    pub(crate) books: Books,
    pub(crate) bounds: Bounds,
    pub(crate) listen: SocketAddr,
}

/// What is bounded, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) drain: Duration,
    pub(crate) body_bytes: usize,
    pub(crate) buffered_bytes: usize,
    pub(crate) connections: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

const LISTEN: &str = "127.0.0.1:8080";
const LONGEST_DRAIN: Duration = Duration::from_secs(86_400);

impl Plan {
    /// Builds what is written, with the routes and upstreams of `before` that are written as they were: what
    /// those have learnt stays.
    pub(crate) fn new(
        config: &GatewayConfig,
        before: Option<&Self>,
        files: Files,
    ) -> Result<Self, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = Self::build(config, before, files, &mut mistakes);
        mistakes.judge(built)
    }

    /// As [`new`](Self::new), within a reading.
    pub(crate) fn build(
        config: &GatewayConfig,
        before: Option<&Self>,
        files: Files,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let listen = listen(config.listen.as_deref(), mistakes);
        let bounds = bounds(config, mistakes);
        let books = before.map_or_else(Books::new, |plan| plan.books.clone());
        let upstreams = upstreams(&config.upstreams, before, files, mistakes);
        let by_name: HashMap<&str, &Arc<Upstream>> = config
            .upstreams
            .iter()
            .zip(&upstreams)
            .filter_map(|(config, built)| Some((config.name.as_str(), built.as_ref()?)))
            .collect();
        let names: Vec<&str> = config.upstreams.iter().map(|up| up.name.as_str()).collect();
        let known = Known {
            names: &names,
            built: &by_name,
            files,
        };
        let models = models(&config.models, &known, mistakes);
        let routes = routes(config, &known, before, &books, mistakes);
        Some(Self {
            upstreams: upstreams.into_iter().collect::<Option<_>>()?,
            models: models?,
            names: config
                .models
                .iter()
                .map(|model| model.name.clone())
                .collect(),
            routes: Routes::new(routes?),
            books,
            bounds: bounds?,
            listen: listen?,
        })
    }

    /// Who may answer for a model.
    pub(crate) fn entries(&self, model: &str) -> Option<&Arc<[Entry]>> {
        self.models.get(model)
    }

    /// The names of the file, in its order.
    pub(crate) fn models(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// What each route and each upstream has in front of it.
    pub(crate) fn explain(&self) -> Vec<(String, Explanation)> {
        let routes = self.routes.all().into_iter();
        let routes = routes.map(|route| (route.path().to_owned(), route.stack.explain()));
        let layered = self
            .upstreams
            .iter()
            .filter(|up| !up.config().layers.is_empty());
        let upstreams = layered.map(|up| (format!("upstream {}", up.name()), up.stack().explain()));
        routes.chain(upstreams).collect()
    }
}

/// The upstreams of a file.
struct Known<'a> {
    /// Also those that could not be built, whose mistakes were told.
    names: &'a [&'a str],
    built: &'a HashMap<&'a str, &'a Arc<Upstream>>,
    /// What is done with the files of stores.
    files: Files,
}

impl Known<'_> {
    /// The upstream of this name.
    fn get(&self, name: &str, mistakes: &mut Mistakes) -> Option<Arc<Upstream>> {
        if let Some(found) = self.built.get(name) {
            return Some(Arc::clone(found));
        }
        if !self.names.contains(&name) {
            let problem = match guess(name, self.names) {
                Some(near) => format!("there is no such upstream; did you mean {near:?}?"),
                None => format!(
                    "there is no such upstream: write one of {}",
                    self.names.join(", ")
                ),
            };
            if name.is_empty() {
                mistakes.say(
                    "upstream",
                    format_args!("it is missing: write one of {}", self.names.join(", ")),
                );
            } else {
                mistakes.refuse("upstream", name, problem);
            }
        }
        None
    }
}

fn listen(written: Option<&str>, mistakes: &mut Mistakes) -> Option<SocketAddr> {
    let text = written.unwrap_or(LISTEN);
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            mistakes.refuse(
                "listen",
                text,
                "write an address with a port, like \"127.0.0.1:8080\"",
            );
            None
        }
    }
}

fn bounds(config: &GatewayConfig, mistakes: &mut Mistakes) -> Option<Bounds> {
    let mut time = |key: &str, written: Option<ConfigDuration>, default: u64, least: Duration| {
        let time = written.map_or(Duration::from_secs(default), ConfigDuration::get);
        if time < least || time > LONGEST_DRAIN {
            let problem = "write a time from \"1ms\" to \"24h\"";
            mistakes.refuse(key, written, problem);
            return None;
        }
        Some(time)
    };
    let ms = Duration::from_millis(1);
    let drain = time("drain", config.drain, 8, Duration::ZERO);
    let header_timeout = time("header_timeout", config.header_timeout, 10, ms);
    let body_timeout = time("body_timeout", config.body_timeout, 30, ms);
    let write_timeout = time("write_timeout", config.write_timeout, 60, ms);
    let mut size = |key: &str, written: Option<u64>, default: usize| {
        let size = written.map_or(Some(default), |size| usize::try_from(size).ok());
        match size {
            Some(size @ 1..) => Some(size),
            _ => {
                mistakes.refuse(key, written, "write a whole number, 1 or more");
                None
            }
        }
    };
    let body_bytes = size("max_body_bytes", config.max_body_bytes, 32 << 20);
    let buffered_bytes = size("max_buffered_bytes", config.max_buffered_bytes, 512 << 20);
    let connections = size("max_connections", config.max_connections, 10_000);
    if let (Some(one), Some(all)) = (body_bytes, buffered_bytes)
        && one > all
    {
        let problem = format!("one body may have {one} bytes: write as many or more");
        mistakes.refuse("max_buffered_bytes", all, problem);
    }
    Some(Bounds {
        drain: drain?,
        body_bytes: body_bytes?,
        buffered_bytes: buffered_bytes?,
        connections: connections?.min(tokio::sync::Semaphore::MAX_PERMITS),
        header_timeout: header_timeout?,
        body_timeout: body_timeout?,
        write_timeout: write_timeout?,
    })
}

fn upstreams(
    all: &[UpstreamConfig],
    before: Option<&Plan>,
    files: Files,
    mistakes: &mut Mistakes,
) -> Vec<Option<Arc<Upstream>>> {
    if all.is_empty() && !mistakes.told("upstream") {
        mistakes.say(
            "upstream",
            "it is missing: write at least one [[upstream]] with a `name` and a `url`",
        );
    }
    let mut seen = HashSet::new();
    let mut built = Vec::new();
    for (at, config) in all.iter().enumerate() {
        built.push(mistakes.within(&format!("upstream[{at}]"), |mistakes| {
            if !config.name.is_empty() && !seen.insert(config.name.as_str()) {
                let problem = "there is one of this name already: write another";
                mistakes.refuse("name", &config.name, problem);
            }
            let same = |built: &&Arc<Upstream>| built.config() == config;
            if let Some(same) = before.and_then(|plan| plan.upstreams.iter().find(same)) {
                return Some(Arc::clone(same));
            }
            Upstream::build(config, files, mistakes).map(Arc::new)
        }));
    }
    built
}

fn models(
    all: &[ModelConfig],
    known: &Known<'_>,
    mistakes: &mut Mistakes,
) -> Option<HashMap<String, Arc<[Entry]>>> {
    let mut models = HashMap::new();
    let mut whole = true;
    for (at, config) in all.iter().enumerate() {
        let entries = mistakes.within(&format!("model[{at}]"), |mistakes| {
            if config.name.is_empty() {
                mistakes.say("name", "it is missing: write what clients call the model");
            } else if models.contains_key(&config.name) {
                let problem = "there is one of this name already: write another";
                mistakes.refuse("name", &config.name, problem);
            }
            entries(config, known, mistakes)
        });
        match entries {
            Some(entries) => drop(models.insert(config.name.clone(), entries)),
            None => whole = false,
        }
    }
    whole.then_some(models)
}

fn entries(
    config: &ModelConfig,
    known: &Known<'_>,
    mistakes: &mut Mistakes,
) -> Option<Arc<[Entry]>> {
    if config.entries.is_empty() {
        mistakes.say(
            "entries",
            "it is missing: write at least one { upstream = .., model = .. }",
        );
        return None;
    }
    let entries = config.entries.iter().enumerate().map(|(at, entry)| {
        mistakes.within(&format!("entries[{at}]"), |mistakes| {
            for key in &entry.drop {
                if key == "model" || key == "stream" {
                    let problem = "nothing is asked without it: leave it in";
                    mistakes.refuse("drop", key, problem);
                }
            }
            Some(Entry {
                upstream: known.get(&entry.upstream, mistakes)?,
                model: Some(entry.model.as_deref().unwrap_or(&config.name).into()),
                drop: entry.drop.as_slice().into(),
            })
        })
    });
    // All of them: each has mistakes of its own to tell.
    let entries: Vec<Option<Entry>> = entries.collect();
    entries.into_iter().collect()
}

fn routes(
    config: &GatewayConfig,
    known: &Known<'_>,
    before: Option<&Plan>,
    books: &Books,
    mistakes: &mut Mistakes,
) -> Option<Vec<Arc<Route>>> {
    let mut whole = true;
    let mut all = Vec::new();
    let mut seen = HashSet::new();
    for (at, route) in config.routes.iter().enumerate() {
        let built = mistakes.within(&format!("route[{at}]"), |mistakes| {
            if !route.path.is_empty() && !seen.insert(route.path.as_str()) {
                let problem = "there is a route for it already: write another path";
                mistakes.refuse("path", &route.path, problem);
            }
            build(route, config, known, before, books, mistakes)
        });
        match built {
            Some(built) => all.push(built),
            None => whole = false,
        }
    }
    for route in RouteConfig::by_default() {
        if !seen.contains(route.path.as_str()) {
            all.push(build(&route, config, known, before, books, mistakes)?);
        }
    }
    whole.then_some(all)
}

fn build(
    route: &RouteConfig,
    config: &GatewayConfig,
    known: &Known<'_>,
    before: Option<&Plan>,
    books: &Books,
    mistakes: &mut Mistakes,
) -> Option<Arc<Route>> {
    let first = config.upstreams.first().map(|first| first.name.as_str());
    let upstream = match route.upstream.as_deref() {
        Some(name) => known.get(name, mistakes),
        None => known.get(first?, mistakes),
    };
    let same = before.and_then(|plan| {
        let all = plan.routes.all();
        let upstream = upstream.as_ref()?;
        let same = |built: &&&Arc<Route>| {
            built.config() == route && Arc::ptr_eq(&built.entries[0].upstream, upstream)
        };
        all.iter().find(same).map(|same| Arc::clone(same))
    });
    if same.is_some() {
        return same;
    }
    // Its layers have mistakes of their own to tell.
    let made_up: Arc<[Entry]> = upstream.map(Entry::plain).into_iter().collect();
    let is_whole = !made_up.is_empty();
    let built = Route::build(
        route,
        made_up,
        books.route(&route.path),
        known.files,
        mistakes,
    )?;
    is_whole.then(|| Arc::new(built))
}
