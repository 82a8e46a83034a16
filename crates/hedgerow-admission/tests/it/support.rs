//! What the tests share.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_admission::{Ask, Gate, Overloaded, Permit};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Names in the order in which they were written down.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Log<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    pub(crate) fn add(&self, entry: T) {
        self.0.lock().push(entry);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().clone()
    }
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Lets every task that can go on go on.
pub(crate) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// A task that waits for a permit, writes its name down with the time, and holds the permit for a while.
pub(crate) fn holder<T: Send + Sync + 'static>(
    gate: &Gate<T>,
    ask: Ask,
    name: u64,
    hold: Duration,
    log: &Log<(u64, u64)>,
) -> JoinHandle<Result<(), Overloaded>> {
    let (gate, log) = (gate.clone(), log.clone());
    let began = Instant::now();
    tokio::spawn(async move {
        let permit: Permit<T> = gate.permit_for(ask).await?;
        log.add((name, began.elapsed().as_millis() as u64));
        sleep(hold).await;
        drop(permit);
        Ok(())
    })
}
