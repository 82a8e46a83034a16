//! The guide: one page a subject.
//!
//! * [`hedging`]: what it is, what it costs, when to use which strategy, and when not.
//! * [`choosing`]: which policy when, with numbers from the lab.
//! * [`http`]: hyper, reqwest, tonic and axum; which bodies and calls can be sent twice.
//! * [`streams`]: first tokens, errors in streams, deadlines on the wire, errors as answers.
//! * [`observing`]: predict before you hedge, state by key, metrics and traces, saving what was learnt.
//! * [`retry`]: tries, waits, timeouts, deadlines, and one budget for retries and hedges.
//! * [`admission`]: which limit, which queue, which rate, with numbers; two ways in.
//! * [`caching`]: identical calls share one, answers are kept; keys, stores, several answers a key.
//! * [`batching`]: many calls, one dispatch; which policy when, and whom a fault reaches.
//! * [`plain_futures`]: race and hedge without tower.
//! * [`cascade`]: several services, from the cheapest to the last resort, as one.
//! * [`configuration`]: a stack as a file, with every key.
//! * [`writing_a_policy`]: decide for yourself when to hedge.
//! * [`testing_a_layer`]: the contract kit on a layer of your own.

#[cfg(all(feature = "hedge", feature = "http"))]
#[doc = include_str!("guide/hedging.md")]
pub mod hedging {}

#[cfg(feature = "hedge")]
#[doc = include_str!("guide/choosing.md")]
pub mod choosing {}

#[cfg(all(feature = "hedge", feature = "reqwest", feature = "tonic"))]
#[doc = include_str!("guide/http.md")]
pub mod http {}

#[cfg(all(
    feature = "admission",
    feature = "hedge",
    feature = "llm",
    feature = "retry"
))]
#[doc = include_str!("guide/streams.md")]
pub mod streams {}

#[cfg(all(feature = "hedge", feature = "http"))]
#[doc = include_str!("guide/observing.md")]
pub mod observing {}

#[cfg(all(feature = "hedge", feature = "http", feature = "retry"))]
#[doc = include_str!("guide/retry.md")]
pub mod retry {}

#[cfg(all(feature = "complete", feature = "hedge", feature = "stacks"))]
#[doc = include_str!("guide/admission.md")]
pub mod admission {}

#[cfg(feature = "cache")]
#[doc = include_str!("guide/caching.md")]
pub mod caching {}

#[cfg(feature = "batch")]
#[doc = include_str!("guide/batching.md")]
pub mod batching {}

#[cfg(feature = "hedge")]
#[doc = include_str!("guide/plain_futures.md")]
pub mod plain_futures {}

#[cfg(feature = "config")]
#[doc = include_str!("guide/configuration.md")]
pub mod configuration {}

#[cfg(feature = "hedge")]
#[doc = include_str!("guide/cascade.md")]
pub mod cascade {}

#[cfg(feature = "hedge")]
#[doc = include_str!("guide/writing_a_policy.md")]
pub mod writing_a_policy {}

#[cfg(feature = "testing")]
#[doc = include_str!("guide/testing_a_layer.md")]
pub mod testing_a_layer {}
