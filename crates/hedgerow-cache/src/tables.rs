//! State whose type is not known before the first request.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

/// Tables of a service, by their types: the type of a request is not known before the first call.
#[derive(Default)]
pub(crate) struct Tables {
    first: OnceLock<Arc<dyn Any + Send + Sync>>,
    others: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

impl Tables {
    /// The table of this type.
    pub(crate) fn of<T: Send + Sync + 'static>(&self, make: fn() -> T) -> Arc<T> {
        let first = self.first.get_or_init(|| Arc::new(make()));
        if let Ok(table) = first.clone().downcast() {
            return table;
        }
        // A service that takes requests of several types.
        let mut others = self.others.lock();
        let known = others
            .iter()
            .find_map(|table| table.clone().downcast().ok());
        known.unwrap_or_else(|| {
            let table = Arc::new(make());
            others.push(table.clone());
            table
        })
    }
}
