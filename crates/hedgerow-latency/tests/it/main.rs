//! What the histogram and its layer promise.

mod histogram;
mod layer;
