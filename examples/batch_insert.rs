//! Bulk insert: many tasks write one row each, the database gets one transaction for many rows, and a row that
//! is refused fails alone.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use hedgerow::batch::Linger;
use hedgerow::{Batch, BatchLayer, BoxError};
use rusqlite::Connection;
use tower::{Layer, ServiceExt, service_fn};

/// When it was taken, and its value.
type Reading = (i64, f64);

/// Writes a batch in one transaction. Callers are told when it is committed, and not before.
fn insert(db: &mut Connection, batch: Batch<Reading, i64>) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    let mut written = Vec::with_capacity(batch.len());
    let mut statement = transaction.prepare_cached("INSERT INTO reading VALUES (?, ?)")?;
    for item in batch {
        match statement.insert(item.request) {
            Ok(row) => written.push((item.reply, row)),
            // It is there already: its caller gets the database's own error, the others go on.
            Err(error) => item.reply.fail(error),
        }
    }
    drop(statement);
    // If this fails, `written` is dropped, and all who are in it share the error.
    transaction.commit()?;
    for (reply, row) in written {
        reply.answer(row);
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let db = Connection::open_in_memory()?;
    db.execute_batch("CREATE TABLE reading (at INT UNIQUE, value REAL)")?;
    let db = Arc::new(Mutex::new(db));
    let writer = db.clone();
    let backend = service_fn(move |batch| {
        let db = writer.clone();
        async move {
            let write = move || {
                insert(
                    &mut db.lock().unwrap_or_else(PoisonError::into_inner),
                    batch,
                )
            };
            Ok::<_, BoxError>(tokio::task::spawn_blocking(write).await??)
        }
    });
    // A commit is dear, so rows wait for each other even while nothing is written; one writer at a time.
    let layer = BatchLayer::new(Linger::new(Duration::from_millis(200)).strict())
        .max_size(1_000)
        .max_in_flight(1);
    let handle = layer.handle();
    let service = layer.layer(backend);

    let rows = (0..5_000).map(|n| {
        // Every fiftieth reading is one that came before.
        let at = n - i64::from(n % 50 == 49);
        service.clone().oneshot((at, n as f64))
    });
    let results = join_all(rows).await;
    let refused = results.iter().filter(|row| row.is_err()).count() as i64;
    // Before a program ends: nothing new comes in, and what waits is written.
    assert!(handle.drain(Duration::from_secs(5)).await);
    let db = db.lock().unwrap_or_else(PoisonError::into_inner);
    let kept: i64 = db.query_row("SELECT count(*) FROM reading", (), |row| row.get(0))?;
    let batches = handle.stats().batches;
    println!("5000 rows, {batches} transactions: {kept} kept, {refused} refused, each by itself");
    assert_eq!((kept, refused), (4_900, 100));
    Ok(())
}
