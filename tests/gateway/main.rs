//! What the gateway promises, over real sockets with scripted upstreams.

mod up;
mod words;
mod models;
mod races;
mod errors;
mod bounds;
mod endings;
mod reloads;
