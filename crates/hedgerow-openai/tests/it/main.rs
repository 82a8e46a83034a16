//! What the crate promises. Unmodified clients of others meet it in the top-level tests.

mod tolerant;
mod tolerant_fuzz;
mod tolerant_model;
