//! Finding one's own error again, however deep it was boxed.

use std::error::Error;

/// The error of a layer that can fail by itself: anything, boxed.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Finds the first error of type `E` in `error` or in the chain of its sources.
///
/// # Examples
///
/// ```
/// use hedgerow_core::{BoxError, cause_ref};
/// use std::io;
///
/// let error: BoxError = Box::new(io::Error::other(std::fmt::Error));
/// assert!(cause_ref::<std::fmt::Error>(&*error).is_some());
/// assert!(cause_ref::<std::num::ParseIntError>(&*error).is_none());
/// ```
#[must_use]
pub fn cause_ref<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // `io::Error::source` skips the error it wraps and starts at that one's source.
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(inner) = io.get_ref()
        {
            next = Some(inner);
            continue;
        }
        next = error.source();
    }
    None
}

/// Panics with the reason of a refusal, at the caller's place: what a constructor does that has a `try_` twin.
///
/// # Panics
///
/// If it was refused.
#[doc(hidden)]
#[track_caller]
pub fn or_panic<T, E: std::fmt::Display>(built: Result<T, E>) -> T {
    match built {
        Ok(built) => built,
        Err(error) => panic!("{error}"),
    }
}
