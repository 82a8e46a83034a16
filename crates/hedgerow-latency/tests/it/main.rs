//! What the histogram and its layer promise.

mod files;
mod histogram;
mod layer;
