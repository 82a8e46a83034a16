//! Which items may share a batch.

use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::Mutex;

/// Finds the lane of a request by its key.
pub(crate) trait Partition<Req>: Send + Sync {
    /// Runs `enter` with the lane of `request`, if its key has one; `enter` says which lane it
    /// took, if it took one.
    fn enter(&self, request: Req, enter: &mut dyn FnMut(Req, Option<usize>) -> Option<usize>);

    /// Forgets every key whose lane `gone` says is gone.
    fn forget(&self, gone: &mut dyn FnMut(usize) -> bool);

    /// The same keys, for a service of its own, which has lanes of its own.
    fn fresh(&self) -> Box<dyn Partition<Req>>;
}

/// By a function to the key.
pub(crate) struct ByKey<K, F> {
    key: F,
    lanes: Mutex<HashMap<K, usize>>,
}

impl<K, F> ByKey<K, F> {
    pub(crate) fn new(key: F) -> Self {
        Self {
            key,
            lanes: Mutex::default(),
        }
    }
}

impl<Req, K, F> Partition<Req> for ByKey<K, F>
where
    K: Hash + Eq + Send + 'static,
    F: Fn(&Req) -> K + Clone + Send + Sync + 'static,
{
    fn enter(&self, request: Req, enter: &mut dyn FnMut(Req, Option<usize>) -> Option<usize>) {
        let key = (self.key)(&request);
        // Held until the item is in its lane: the lane might be forgotten in between, and be another key's.
        let mut lanes = self.lanes.lock();
        match lanes.get(&key) {
            Some(&lane) => {
                enter(request, Some(lane));
            }
            None => {
                if let Some(lane) = enter(request, None) {
                    lanes.insert(key, lane);
                }
            }
        }
    }

    fn forget(&self, gone: &mut dyn FnMut(usize) -> bool) {
        self.lanes.lock().retain(|_, lane| !gone(*lane));
    }

    fn fresh(&self) -> Box<dyn Partition<Req>> {
        Box::new(Self::new(self.key.clone()))
    }
}
