//! What the reply cells are made of: plain parts, or loom's when they are model-checked.

#[cfg(not(hedgerow_loom))]
pub(crate) use parking_lot::Mutex;

#[cfg(hedgerow_loom)]
pub(crate) use self::checked::Mutex;

#[cfg(hedgerow_loom)]
mod checked {
    use loom::sync::MutexGuard;

    /// loom's lock, with `parking_lot`'s way to take it.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("nobody panics with it")
        }
    }
}
