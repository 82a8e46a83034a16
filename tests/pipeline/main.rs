//! A batcher, a deduplicator, a sample cache and a model, one around the other: experiments are plain code that
//! asks for one thing after the other, and neither pays twice nor loses what it paid for.

mod model;
mod layers;
mod experiment;
mod order;
mod resume;

const fn ms(ms: u64) -> std::time::Duration {
    std::time::Duration::from_millis(ms)
}
