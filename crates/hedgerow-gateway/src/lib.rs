//! The gateway: an OpenAI- and Anthropic-compatible HTTP server that puts hedgerow's layers in front of one
//! upstream or several, as a file says.
//!
//! The command is `hedgerow serve`; a [`Gateway`] is the same inside of another program, or of a test.
//!
//! # Examples
//!
//! ```
//! use hedgerow_gateway::{Gateway, GatewayConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = GatewayConfig::from_toml(r#"
//!     listen = "127.0.0.1:0"
//!
//!     [[upstream]]
//!     name = "local"
//!     url = "http://127.0.0.1:8000/v1"
//!     key_style = "none"
//! "#)?;
//! let gateway = Gateway::bind(&config).await?;
//! let address = gateway.address();
//! assert!(address.ip().is_loopback());
//!
//! // An unmodified SDK finds it at http://{address}/v1.
//! gateway.close().await;
//! # Ok(()) }
//! ```

mod serve;

pub use self::serve::{
    AddressError, Allowed, Gateway, GatewayConfig, KeyStyle, ModelConfig, ModelEntry, Refused,
    RouteConfig, UpstreamConfig,
};
