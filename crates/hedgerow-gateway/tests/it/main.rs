//! What the `hedgerow` command promises, asked of the built binary.

mod command;
mod results;
mod lab;
mod mistakes;
