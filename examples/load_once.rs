//! Dedup in front of a database, as a data loader does it: a page asks for its authors one by one, and each is
//! read once, however many ask and however often.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use hedgerow::{BoxError, CacheLayer, CoalesceLayer, MemoryStore};
use tokio::time::sleep;
use tower::{ServiceBuilder, ServiceExt};

static QUERIES: AtomicU32 = AtomicU32::new(0);

async fn query(author: u32) -> Result<String, Infallible> {
    QUERIES.fetch_add(1, Ordering::Relaxed);
    sleep(Duration::from_millis(10)).await;
    Ok(format!("author {author}"))
}

fn id(author: &u32) -> Option<u32> {
    Some(*author)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cache = CacheLayer::new(MemoryStore::entries(10_000))
        .key(id)
        .ttl(Duration::from_secs(60));
    let once = CoalesceLayer::new(id).lead(cache.lead());
    let (hits, flights) = (cache.handle(), once.handle());
    let authors = ServiceBuilder::new()
        .layer(cache)
        .layer(once)
        .service(tower::service_fn(query));

    // A page of a hundred articles by seven authors, rendered all at once.
    let page = || try_join_all((0..100_u32).map(|article| authors.clone().oneshot(article % 7)));
    let names = page().await?;
    println!(
        "{} names, {} queries",
        names.len(),
        QUERIES.load(Ordering::Relaxed)
    );
    println!(
        "  {} led, {} followed",
        flights.stats().led,
        flights.stats().followed
    );
    page().await?;
    println!(
        "the next page: {} hits, still {} queries",
        hits.stats().hits,
        QUERIES.load(Ordering::Relaxed)
    );
    assert_eq!(QUERIES.load(Ordering::Relaxed), 7);
    Ok(())
}
