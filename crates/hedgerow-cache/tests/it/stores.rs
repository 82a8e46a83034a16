//! Every store keeps the contract of stores.

use std::sync::Arc;

use hedgerow_cache::testing::{durability_contract, store_contract};
use hedgerow_cache::{
    ByteStore, DiskStore, Entry, Got, MemoryStore, Stamp, Store, StoreError, StoreStats, Tiered,
};
use hedgerow_core::Answer;
use tempfile::tempdir;

fn entries() -> MemoryStore<u64, String> {
    MemoryStore::entries(1_000)
}

fn bytes() -> MemoryStore<u64, String> {
    MemoryStore::bytes(4 << 20, |_, text: &String| text.capacity())
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    store_contract(async || entries()).await;
    store_contract(async || bytes()).await;
    store_contract(async || Arc::new(entries())).await;
}

#[tokio::test]
async fn disk_keeps_the_contract() {
    let folder = tempdir().unwrap();
    let mut n = 0;
    store_contract(async || {
        n += 1;
        let path = folder.path().join(n.to_string());
        let disk = DiskStore::builder(path).max_bytes(4 << 20).open().unwrap();
        disk.of::<u64, String>()
    })
    .await;
}

#[tokio::test]
async fn disk_keeps_what_it_acknowledged_over_restarts() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store");
    durability_contract(async || DiskStore::open(&path).unwrap().of::<u64, String>()).await;
}

#[tokio::test]
async fn tiers_keep_the_contract() {
    store_contract(async || Tiered::new(entries(), entries())).await;
    let folder = tempdir().unwrap();
    let path = folder.path().join("store");
    durability_contract(async || {
        Tiered::new(
            entries(),
            DiskStore::open(&path).unwrap().of::<u64, String>(),
        )
    })
    .await;
}

#[tokio::test]
async fn what_the_far_store_brings_is_kept_near() {
    let at = Stamp::from_millis;
    let entry = Entry {
        value: "far".to_owned(),
        stored: at(0),
        fresh_until: at(5),
        keep_until: at(9),
    };
    let (near, far) = (entries(), entries());
    far.put(1, entry.clone()).wait().await.unwrap();
    let tiers = Tiered::new(near.clone(), far.clone());
    assert_eq!(
        tiers.get(&1, at(3)).wait().await.unwrap(),
        Some(entry.clone())
    );
    far.remove(&1).wait().await.unwrap();
    assert_eq!(tiers.get(&1, at(3)).wait().await.unwrap(), Some(entry));
    tiers.remove(&1).wait().await.unwrap();
    assert_eq!(near.get(&1, at(3)).wait().await.unwrap(), None);
}

/// A store that reads and writes at once, and answers a question later.
struct Slow(MemoryStore<u64, String>);

impl Store for Slow {
    type Key = u64;
    type Value = String;

    fn get(&self, key: &u64, now: Stamp) -> Answer<Got<String>> {
        let got = self.0.get(key, now);
        Answer::Later(Box::pin(async move {
            tokio::task::yield_now().await;
            got.wait().await
        }))
    }

    fn put(&self, key: u64, entry: Entry<String>) -> Answer<Result<(), StoreError>> {
        self.0.put(key, entry)
    }

    fn remove(&self, key: &u64) -> Answer<Result<(), StoreError>> {
        self.0.remove(key)
    }

    fn stats(&self) -> StoreStats {
        self.0.stats()
    }
}

#[tokio::test]
async fn an_old_answer_of_the_far_store_undoes_no_write_that_was_acknowledged() {
    let at = Stamp::from_millis;
    let entry = |text: &str| Entry {
        value: text.to_owned(),
        stored: at(0),
        fresh_until: at(5),
        keep_until: at(9),
    };
    type Write = fn(&Tiered<MemoryStore<u64, String>, Slow>, Entry<String>);
    let writes: [(Write, Option<&str>); 3] = [
        (|tiers, new| drop(tiers.put(1, new)), Some("new")),
        (|tiers, new| tiers.offer(1, new).unwrap(), Some("new")),
        (|tiers, _| drop(tiers.remove(&1)), None),
    ];
    for (write, wanted) in writes {
        let far = Slow(entries());
        far.0.put(1, entry("old")).wait().await.unwrap();
        let tiers = Tiered::new(entries(), far);
        let mut reads = Box::pin(tiers.get(&1, at(3)).wait());
        assert!(futures::poll!(&mut reads).is_pending());
        // In memory it is done, and acknowledged, at once.
        write(&tiers, entry("new"));
        reads.await.unwrap();
        let found = tiers.get(&1, at(3)).wait().await.unwrap();
        assert_eq!(found.map(|entry| entry.value).as_deref(), wanted);
    }
}

#[tokio::test]
async fn an_entry_that_does_not_fit_is_refused_and_the_old_one_is_gone() {
    let at = Stamp::from_millis;
    let entry = |bytes: usize| Entry {
        value: "x".repeat(bytes),
        stored: at(0),
        fresh_until: at(5),
        keep_until: at(9),
    };
    let store = bytes();
    store.put(1, entry(10)).wait().await.unwrap();
    let refused = store.put(1, entry(5 << 20)).wait().await.unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { bound, .. } if bound == 4 << 20));
    assert_eq!(store.get(&1, at(3)).wait().await.unwrap(), None);
}

#[test]
fn bounds_that_make_no_sense_are_refused_with_what_to_write() {
    let refused = MemoryStore::<u64, u64>::try_entries(0).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a bound of entries of 0 is out of range: write 1 to 4294967296"
    );
    assert!(MemoryStore::<u64, u64>::try_bytes(1_023, |_, _| 0).is_err());
    let folder = tempdir().unwrap();
    let open = |bytes, waiting| {
        let builder = DiskStore::builder(folder.path().join("store"));
        builder.max_bytes(bytes).max_waiting(waiting).open()
    };
    assert!(
        open(1, 10)
            .unwrap_err()
            .to_string()
            .contains("write 65536 to")
    );
    assert!(
        open(1 << 20, 0)
            .unwrap_err()
            .to_string()
            .contains("write 1 to")
    );
}
