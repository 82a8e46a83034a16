//! The examples stand beside this file's folder: `cargo run -p hedgerow-examples --example NAME`.
