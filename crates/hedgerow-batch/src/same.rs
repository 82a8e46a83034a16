//! Which items of a batch are the same.

use std::collections::HashMap;
use std::hash::Hash;

/// Finds identical requests, and copies the answer of one to the callers of the others.
pub(crate) trait Same<Req, Res>: Send + Sync {
    /// For each request the index of the first one that is the same.
    fn firsts(&self, requests: &mut dyn Iterator<Item = &Req>) -> Vec<usize>;

    fn copy(&self) -> fn(&Res) -> Res;
}

/// By a function to what makes them the same.
pub(crate) struct SameKey<F, Res> {
    pub(crate) key: F,
    pub(crate) copy: fn(&Res) -> Res,
}

impl<Req, Res, K, F> Same<Req, Res> for SameKey<F, Res>
where
    K: Hash + Eq,
    F: Fn(&Req) -> K + Send + Sync,
{
    fn firsts(&self, requests: &mut dyn Iterator<Item = &Req>) -> Vec<usize> {
        let mut seen = HashMap::new();
        requests
            .enumerate()
            .map(|(at, request)| *seen.entry((self.key)(request)).or_insert(at))
            .collect()
    }

    fn copy(&self) -> fn(&Res) -> Res {
        self.copy
    }
}
