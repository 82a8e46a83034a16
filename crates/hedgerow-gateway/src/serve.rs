//! A server in which every layer can be put in front of every upstream.
//!
//! In the order in which a request meets them: `listen` (sockets, bounds, the end), `door` (which route, the
//! body, the answer or the error), `route`, `call` (what is known of a request on its way), `forward` (which
//! entry of a model's list takes an attempt), `upstream` (address, key, what is sent), `rename` (the model's
//! name in an answer), `envelope` (errors as a provider would write them). `config`, `check` and `plan` make
//! that of a file.

mod config;
mod plan;
mod listen;
mod patience;
mod door;
mod body;
mod route;
mod call;
mod question;
mod forward;
mod upstream;
mod address;
mod headers;
mod rename;
mod envelope;
mod models;
mod books;

pub use self::address::AddressError;
pub use self::config::{
    Allowed, GatewayConfig, KeyStyle, ModelConfig, ModelEntry, RouteConfig, UpstreamConfig,
};
pub use self::listen::{Gateway, Refused};
