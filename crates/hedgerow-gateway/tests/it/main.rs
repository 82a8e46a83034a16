//! What the `hedgerow` command promises, asked of the built binary.

mod command;
mod results;
mod lab;
mod lab_queues;
mod lab_stacks;
mod shown;
mod mistakes;
mod serving;
