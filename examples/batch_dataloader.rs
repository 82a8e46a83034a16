//! A `DataLoader` over SQL: code that asks for one row at a time, and a database that is asked once for all of
//! them.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::try_join_all;
use hedgerow::{BatchError, BatchLayer, BoxError, cause_ref, from_vec};
use rusqlite::{Connection, params_from_iter};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

static QUERIES: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Debug)]
struct Author {
    id: i64,
    name: String,
}

type Rows = Vec<Result<Author, BoxError>>;
type Authors = BoxCloneSyncService<i64, Author, BoxError>;

/// The authors with these ids, in whatever order the database likes; an id without a row is left out.
fn select(db: &Connection, ids: Vec<i64>) -> Result<Rows, BoxError> {
    QUERIES.fetch_add(1, Ordering::Relaxed);
    let marks = vec!["?"; ids.len()].join(", ");
    let sql = format!("SELECT id, name FROM author WHERE id IN ({marks})");
    let mut query = db.prepare(&sql)?;
    let rows = query.query_map(params_from_iter(ids), |row| {
        let (id, name) = (row.get(0)?, row.get(1)?);
        Ok(Author { id, name })
    })?;
    Ok(rows.map(|row| Ok(row?)).collect())
}

/// What a page shows of a post: plain code that knows nothing of batches.
async fn byline(authors: Authors, post: i64) -> Result<String, BoxError> {
    match authors.oneshot(post % 6 + 1).await {
        Ok(author) => Ok(format!("post {post} by {}", author.name)),
        Err(error) => match cause_ref(&*error) {
            Some(BatchError::MissingAnswer { .. }) => Ok(format!("post {post} by nobody here")),
            _ => Err(error),
        },
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let db = Connection::open_in_memory()?;
    db.execute_batch("CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")?;
    for name in ["Ada", "Ben", "Cleo", "Dan", "Eve"] {
        db.execute("INSERT INTO author (name) VALUES (?)", [name])?;
    }
    let db = Arc::new(Mutex::new(db));
    let backend = from_vec(service_fn(move |ids| {
        let db = db.clone();
        async move {
            let query = move || select(&db.lock().unwrap_or_else(PoisonError::into_inner), ids);
            tokio::task::spawn_blocking(query).await?
        }
    }));
    // Rows find their callers by id; an id that many ask for is in the query once.
    let backend = backend.by_key(|id: &i64| *id, |author: &Author| author.id);
    let layer = BatchLayer::idle().max_size(500).dedup(|id: &i64| *id);
    let authors: Authors = BoxCloneSyncService::new(layer.layer(backend));

    let lines = try_join_all((0..100).map(|post| byline(authors.clone(), post))).await?;
    println!("{}", lines[..6].join("\n"));
    let queries = QUERIES.load(Ordering::Relaxed);
    println!("{} posts, {queries} query", lines.len());
    assert_eq!(queries, 1);
    Ok(())
}
