//! The one task: windows that end, batches that fly, the close.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Engine, Flight, Phase};
use crate::batch::error::RowError;
use crate::batch::options::OnClose;

/// How often answers that were given out are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// Runs until the client is closed, or nobody has it any more.
pub(in crate::batch) async fn drive(
    engine: Arc<Engine>,
    mut flown: mpsc::UnboundedReceiver<Flight>,
    abandoned: CancellationToken,
) {
    let guard = Ended(engine.clone());
    let mut flying = JoinSet::new();
    let mut phase = engine.phase.subscribe();
    let mut sweep = Instant::now() + SWEEP;
    let how = loop {
        let due = engine.lanes.next_due();
        tokio::select! {
            biased;
            () = abandoned.cancelled() => break None,
            how = until_closed(&mut phase) => break Some(how),
            Some(flight) = flown.recv() => {
                flying.spawn(flight.fly(engine.clone()));
            }
            Some(_) = flying.join_next() => {}
            () = engine.nudge.notified() => {}
            () = sleep_until(due.unwrap_or(sweep)), if due.is_some() => {
                for formed in engine.lanes.due(Instant::now()) {
                    engine.launch(formed);
                }
            }
            () = sleep_until(sweep), if engine.keeper.keeps() => {
                let done = engine.book.sweep(Instant::now(), engine.options.keep_answered);
                if !done.is_empty() {
                    engine.keeper.forget(done);
                }
                sweep = Instant::now() + SWEEP;
            }
        }
    };
    if let Some(how) = how {
        close(&engine, how, &mut flown, &mut flying).await;
    }
    flying.shutdown().await;
    drop(guard);
}

/// Whatever ends the task: nobody waits for it, and nobody comes any more.
struct Ended(Arc<Engine>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.closing.store(true, Ordering::Release);
        self.0.phase.send_if_modified(|phase| {
            let open = *phase == Phase::Open;
            if open {
                *phase = Phase::Closing(OnClose::Keep);
            }
            open
        });
        drop(self.0.lanes.all());
        self.0.book.fail_all(&RowError::Closed { batch_id: None });
        self.0.ended.cancel();
    }
}

/// How the client closes, once it does: it may have before this task began.
async fn until_closed(phase: &mut watch::Receiver<Phase>) -> OnClose {
    loop {
        if let Phase::Closing(how) = *phase.borrow_and_update() {
            return how;
        }
        if phase.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Ends within the limit, whatever the API does.
async fn close(
    engine: &Arc<Engine>,
    how: OnClose,
    flown: &mut mpsc::UnboundedReceiver<Flight>,
    flying: &mut JoinSet<()>,
) {
    let end = Instant::now() + engine.options.close_limit;
    let collected = engine.lanes.all();
    for formed in collected {
        if how == OnClose::Drain {
            engine.launch(formed);
        } else {
            for row in formed.rows {
                let closed = RowError::Closed { batch_id: None };
                engine.book.tell(row.id, Err(closed));
            }
        }
    }
    let rest = async {
        loop {
            while let Ok(flight) = flown.try_recv() {
                flying.spawn(flight.fly(engine.clone()));
            }
            if flying.join_next().await.is_none() && flown.is_empty() {
                return;
            }
        }
    };
    let drained = timeout_at(end, rest).await.is_ok();
    if !drained {
        tracing::warn!(
            target: "hedgerow::batch", ?how, open = engine.book.open(),
            "the time to close was over before all batches had ended"
        );
    }
    // Whoever has an answer now lives to use it.
    let given = engine.book.sweep(Instant::now(), Duration::ZERO);
    engine.keeper.forget(given);
    let least = end.max(Instant::now() + Duration::from_secs(1));
    if !matches!(timeout_at(least, engine.keeper.close()).await, Ok(Ok(()))) {
        tracing::warn!(target: "hedgerow::batch", "the journal was not written in time");
    }
}
