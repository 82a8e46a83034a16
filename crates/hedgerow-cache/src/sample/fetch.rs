//! What is flown for samples that are missing: look once more, ask, store.

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hedgerow_core::{Answer, BoxError, Classify};
use parking_lot::Mutex;
use tower_service::Service;

use super::asking::Asking;
use super::cursors::Cursors;
use super::error::SampleError;
use super::layer::SampleParts;
use crate::clock::Stamp;
use crate::coalesce::{Failure, bump, is_answer};
use crate::flight::Flight;
use crate::oneshot::Oneshot;
use crate::store::{Entry, Store, StoreError};

/// What a flight lands with: the samples that there are, and why the others are not.
pub(super) struct Landing<V> {
    pub(super) samples: HashMap<u32, Fetched<V>>,
    pub(super) failure: Failure,
}

pub(super) struct Fetched<V> {
    pub(super) value: V,
    pub(super) cached: bool,
}

type ByPlace<K, V> = HashMap<(K, u32), Arc<Flight<Landing<V>>>>;

/// The flights of a service, by what they bring, and its cursors.
pub(super) struct Desk<K, V> {
    pub(super) flights: Mutex<ByPlace<K, V>>,
    pub(super) cursors: Arc<Cursors<K>>,
}

impl<K: Eq + Hash + Clone, V> Desk<K, V> {
    pub(super) fn new() -> Self {
        Self {
            flights: Mutex::default(),
            cursors: Arc::new(Cursors::new()),
        }
    }

    /// Nobody finds a flight any more, whatever it was to bring.
    pub(super) fn forget(&self, flight: &Arc<Flight<Landing<V>>>) {
        self.flights
            .lock()
            .retain(|_, known| !Arc::ptr_eq(known, flight));
    }

    /// Nobody finds a flight any more, that was to bring these.
    pub(super) fn end(&self, key: &K, slots: &[u32], flight: &Arc<Flight<Landing<V>>>) {
        let mut flights = self.flights.lock();
        for slot in slots {
            let place = (key.clone(), *slot);
            if flights
                .get(&place)
                .is_some_and(|known| Arc::ptr_eq(known, flight))
            {
                flights.remove(&place);
            }
        }
    }
}

/// Looks for samples in the store.
pub(super) async fn look<St, P, A, Rec, K>(
    parts: &SampleParts<St, P, A, Rec>,
    key: &K,
    slots: &[u32],
) -> HashMap<u32, Fetched<St::Value>>
where
    St: Store<Key = (K, u32)>,
    K: Clone,
{
    let now = parts.settings.clock.now();
    // All are asked for before the first is waited for.
    let asked: Vec<_> = slots
        .iter()
        .map(|slot| (*slot, parts.store.get(&(key.clone(), *slot), now)))
        .collect();
    let mut found = HashMap::new();
    for (slot, got) in asked {
        match got.wait().await {
            Ok(Some(Entry { value, .. })) => {
                found.insert(
                    slot,
                    Fetched {
                        value,
                        cached: true,
                    },
                );
            }
            Ok(None) => {}
            Err(error) => failed(parts, &error),
        }
    }
    found
}

#[cold]
fn failed<St, P, A, Rec>(parts: &SampleParts<St, P, A, Rec>, error: &StoreError) {
    bump(&parts.settings.books.store_failures);
    tracing::warn!(target: "hedgerow::cache", %error, "the store of samples failed");
}

/// Brings the samples of these slots.
pub(super) async fn fly<S, Req, St, P, A, J, K>(
    parts: SampleParts<St, P, A, J>,
    service: impl FnOnce() -> S,
    request: Req,
    key: K,
    slots: Vec<u32>,
) -> Landing<A::Value>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    St: Store<Key = (K, u32), Value = A::Value>,
    A: Asking<Req, S::Response>,
    J: Classify<S::Response, S::Error>,
    K: Clone,
{
    // Somebody may have landed with them since they were missed.
    let mut samples = look(&parts, &key, &slots).await;
    let want: Vec<u32> = slots
        .into_iter()
        .filter(|slot| !samples.contains_key(slot))
        .collect();
    if want.is_empty() {
        return Landing {
            samples,
            failure: Failure::Gone,
        };
    }
    let fetched = ask(&parts, service, &request, want.len()).await;
    let (values, failure) = match fetched {
        Err(error) => (Vec::new(), Failure::Own(error)),
        Ok(values) if values.len() < want.len() => {
            let (asked, got) = (want.len(), values.len());
            (
                values,
                Failure::Own(SampleError::TooFew { asked, got }.into()),
            )
        }
        Ok(values) => (values, Failure::Gone),
    };
    let fetched: Vec<(u32, A::Value)> = want.into_iter().zip(values).collect();
    for acknowledgement in store(&parts, &key, &fetched) {
        if let Err(error) = acknowledgement.wait().await {
            failed(&parts, &error);
        }
    }
    let fresh = fetched.into_iter().map(|(slot, value)| {
        (
            slot,
            Fetched {
                value,
                cached: false,
            },
        )
    });
    samples.extend(fresh);
    Landing { samples, failure }
}

/// Asks the service once.
pub(super) async fn ask<S, Req, St, P, A, J>(
    parts: &SampleParts<St, P, A, J>,
    service: impl FnOnce() -> S,
    request: &Req,
    n: usize,
) -> Result<Vec<A::Value>, BoxError>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    A: Asking<Req, S::Response>,
    J: Classify<S::Response, S::Error>,
{
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    let request = parts.asking.request(request, n);
    bump(&parts.settings.books.calls);
    let result = Oneshot::new(service(), request).await;
    let good = is_answer(&*parts.judge, &result);
    let response = result.map_err(Into::into)?;
    if !good {
        return Err(SampleError::Refused.into());
    }
    Ok(parts.asking.split(response))
}

/// Stores what was paid for. What is to be waited for.
fn store<St, P, A, J, K>(
    parts: &SampleParts<St, P, A, J>,
    key: &K,
    fetched: &[(u32, St::Value)],
) -> Vec<Answer<Result<(), StoreError>>>
where
    St: Store<Key = (K, u32)>,
    St::Value: Clone,
    K: Clone,
{
    let settings = &parts.settings;
    let now = settings.clock.now();
    let until = settings
        .ttl
        .map_or(Stamp::from_millis(u64::MAX), |ttl| now.after(ttl));
    let put = |(slot, value): &(u32, St::Value)| {
        let entry = Entry {
            value: value.clone(),
            stored: now,
            fresh_until: until,
            keep_until: until,
        };
        let place = (key.clone(), *slot);
        // The store is the user's: what panics in it has not stored.
        let stored = catch_unwind(AssertUnwindSafe(|| {
            if settings.waits {
                Some(parts.store.put(place, entry))
            } else {
                if let Err(error) = parts.store.offer(place, entry) {
                    failed(parts, &error);
                }
                None
            }
        }));
        stored.ok().flatten()
    };
    fetched.iter().filter_map(put).collect()
}
