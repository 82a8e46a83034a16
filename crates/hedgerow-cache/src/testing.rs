//! The contract that every store passes.
//!
//! [`store_contract`] checks a store of `u64` keys and `String` values, [`durability_contract`] one that can
//! be opened again. Both panic with the promise that is broken.

use std::collections::HashMap;

use crate::clock::Stamp;
use crate::store::{Entry, Store};

/// An entry that is stored at 1,000 ms, fresh until 2,000 and kept until 3,000.
fn entry(value: &str) -> Entry<String> {
    let [stored, fresh_until, keep_until] = [1_000, 2_000, 3_000].map(Stamp::from_millis);
    Entry {
        value: value.to_owned(),
        stored,
        fresh_until,
        keep_until,
    }
}

const NOW: Stamp = Stamp::from_millis(1_500);

async fn value<S>(store: &S, key: u64, now: Stamp) -> Option<String>
where
    S: Store<Key = u64, Value = String>,
{
    let got = store.get(&key, now).wait().await;
    got.expect("a get succeeds").map(|entry| entry.value)
}

async fn put<S>(store: &S, key: u64, entry: Entry<String>)
where
    S: Store<Key = u64, Value = String>,
{
    store
        .put(key, entry)
        .wait()
        .await
        .expect("a put is acknowledged");
}

/// Checks what [`Store`] promises on empty stores that `make` makes, with room for 1,000 entries and 4 MiB.
///
/// # Panics
///
/// If a promise is broken.
pub async fn store_contract<S>(mut make: impl AsyncFnMut() -> S)
where
    S: Store<Key = u64, Value = String>,
{
    let store = make().await;
    assert_eq!(
        value(&store, 1, NOW).await,
        None,
        "an empty store has nothing"
    );

    put(&store, 1, entry("one")).await;
    let got = store.get(&1, NOW).wait().await.expect("a get succeeds");
    assert_eq!(
        got,
        Some(entry("one")),
        "an entry comes back with its stamps"
    );
    assert_eq!(
        value(&store, 2, NOW).await,
        None,
        "another key is another entry"
    );

    put(&store, 1, entry("other")).await;
    assert_eq!(
        value(&store, 1, NOW).await.as_deref(),
        Some("other"),
        "a put replaces"
    );

    let [last, over] = [2_999, 3_000].map(Stamp::from_millis);
    assert_eq!(
        value(&store, 1, last).await.as_deref(),
        Some("other"),
        "stale is kept"
    );
    assert_eq!(
        value(&store, 1, over).await,
        None,
        "its time is over at that very moment"
    );

    put(&store, 1, entry("again")).await;
    store.remove(&1).wait().await.expect("a removal succeeds");
    assert_eq!(value(&store, 1, NOW).await, None, "removed is gone");
    store
        .remove(&1)
        .wait()
        .await
        .expect("removing nothing succeeds");

    let long = "x".repeat(100_000);
    for text in ["", "\u{0}\u{1f980}\"\\", long.as_str()] {
        put(&store, 9, entry(text)).await;
        assert_eq!(
            value(&store, 9, NOW).await.as_deref(),
            Some(text),
            "values are whole"
        );
    }

    // Whoever drops an acknowledgement does not undo what has room.
    drop(store.put(7, entry("seven")));
    put(&store, 8, entry("eight")).await;
    assert_eq!(
        value(&store, 7, NOW).await.as_deref(),
        Some("seven"),
        "a put goes on by itself"
    );

    many(&make().await).await;
    bounded(&make().await).await;
}

async fn many<S>(store: &S)
where
    S: Store<Key = u64, Value = String>,
{
    let puts: Vec<_> = (0..200)
        .map(|key| store.put(key, entry(&key.to_string())))
        .collect();
    for put in puts {
        put.wait().await.expect("a put is acknowledged");
    }
    for key in 0..200 {
        let got = value(store, key, NOW).await;
        assert_eq!(got, Some(key.to_string()), "each key has its own value");
    }
    assert_eq!(store.stats().entries, 200, "entries are counted");
    // One key, many values: the last one holds.
    let puts: Vec<_> = (0..50)
        .map(|n| store.put(0, entry(&n.to_string())))
        .collect();
    for put in puts {
        put.wait().await.expect("a put is acknowledged");
    }
    assert_eq!(
        value(store, 0, NOW).await.as_deref(),
        Some("49"),
        "writes keep their order"
    );
}

async fn bounded<S>(store: &S)
where
    S: Store<Key = u64, Value = String>,
{
    let text = "y".repeat(10_000);
    for key in 0..3_000 {
        put(store, key, entry(&text)).await;
    }
    let stats = store.stats();
    assert!(stats.entries <= 1_000, "it is bounded: {stats:?}");
    assert!(stats.evicted >= 2_000, "evictions are counted: {stats:?}");
    let mut whole = 0;
    for key in 0..3_000 {
        match value(store, key, NOW).await {
            Some(got) => {
                assert_eq!(got, text, "what is left is whole");
                whole += 1;
            }
            None => continue,
        }
    }
    // More only where a nearer tier has kept what this one had to give up.
    assert!(whole >= stats.entries, "what is counted is there");
}

/// Checks that what was acknowledged is there when the store is opened again: `open` opens the same one each
/// time, after the one before was dropped.
///
/// # Panics
///
/// If a promise is broken.
pub async fn durability_contract<S>(mut open: impl AsyncFnMut() -> S)
where
    S: Store<Key = u64, Value = String>,
{
    let mut wanted = HashMap::new();
    for round in 0..4_u64 {
        let store = open().await;
        for (key, text) in &wanted {
            let got = value(&store, *key, NOW).await;
            assert_eq!(
                got.as_ref(),
                Some(text),
                "acknowledged is durable, also replaced"
            );
        }
        for key in round * 10..round * 10 + 20 {
            let text = format!("{key} of round {round}");
            put(&store, key, entry(&text)).await;
            wanted.insert(key, text);
        }
        store
            .remove(&(round * 10))
            .wait()
            .await
            .expect("a removal succeeds");
        wanted.remove(&(round * 10));
        assert_eq!(
            value(&store, round * 10, NOW).await,
            None,
            "removed is gone"
        );
    }
    let store = open().await;
    assert_eq!(
        store.stats().entries,
        wanted.len() as u64,
        "entries are counted over a restart"
    );
}
