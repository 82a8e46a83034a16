//! JSON that loses nothing: objects kept as they were written, and objects found in a model's prose.
//!
//! [`Object`] keeps order, repeated keys, digits of numbers and escapes of everything that nobody asked
//! for. [`parse_object`] finds the object that a model was asked for, with or without the talk around it.

mod object;
mod number;
mod scan;
mod fences;
mod lossless;
mod tolerant;

pub use self::number::Number;
pub use self::object::{Iter, Object, Raw};
pub use self::scan::MAX_DEPTH;
pub use self::tolerant::{How, NoObject, NotThere, Parsed, parse_object};
