//! What clients, calls, batches and the one task share.

mod drive;
mod flight;
mod submit;
mod follow;
mod results;
mod leftover;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use hedgerow::crates::cache::Clock;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(super) use self::drive::drive;
pub(super) use self::flight::Flight;
use super::api::BatchApi;
use super::body::{Pending, json_url};
use super::book::{Book, Claim, Ticket};
use super::error::RowError;
use super::event::{BatchEventKind, Closing, LifecycleEvent, Listeners};
use super::id;
use super::keeper::Keeper;
use super::lanes::{Formed, Lane, Lanes};
use super::lines::row_bytes;
use super::options::{OnClose, Options, SUBMISSIONS};
use super::peek::{on_one_line, peek};
use super::record::Record;

/// Whether the client is open, and how it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Closing(OnClose),
}

/// What clients, calls, batches and the one task share.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) api: BatchApi,
    pub(super) book: Arc<Book>,
    pub(super) lanes: Lanes,
    pub(super) keeper: Keeper,
    pub(super) options: Options,
    pub(super) listeners: Listeners,
    pub(super) clock: Clock,
    pub(super) places: Arc<Semaphore>,
    pub(super) phase: watch::Sender<Phase>,
    /// Everything has ended.
    pub(super) ended: CancellationToken,
    flights: mpsc::UnboundedSender<Flight>,
    /// The window of a lane has begun.
    nudge: Notify,
    /// By which batches of this client, or of this journal, are known.
    name: String,
    seq: AtomicU64,
    closing: AtomicBool,
    spent: AtomicU64,
    active: Mutex<Vec<String>>,
}

impl Engine {
    pub(super) fn new(
        api: BatchApi,
        keeper: Keeper,
        options: Options,
        listeners: Listeners,
        name: String,
        first: u64,
    ) -> (Self, mpsc::UnboundedReceiver<Flight>) {
        let (flights, flown) = mpsc::unbounded_channel();
        let engine = Self {
            api,
            book: Arc::new(Book::new(keeper.keeps())),
            lanes: Lanes::new(options.limits, options.window, SUBMISSIONS),
            keeper,
            places: Arc::new(Semaphore::new(options.max_pending)),
            options,
            listeners,
            clock: Clock::new(),
            phase: watch::channel(Phase::Open).0,
            ended: CancellationToken::new(),
            flights,
            nudge: Notify::new(),
            name,
            seq: AtomicU64::new(first),
            closing: AtomicBool::new(false),
            spent: AtomicU64::new(0),
            active: Mutex::default(),
        };
        (engine, flown)
    }

    /// Takes a row, or finds the one that asks the same.
    pub(super) fn ask(
        &self,
        endpoint: &str,
        body: Bytes,
        permit: OwnedSemaphorePermit,
    ) -> Result<Ticket, RowError> {
        let body = on_one_line(body);
        let seen = peek(&body).map_err(|error| RowError::Body(Arc::new(error)))?;
        let content = id::content(endpoint, &body);
        let bytes = row_bytes(id::RowId::new(content, 0), &json_url(endpoint), body.len());
        if !self.lanes.admits(bytes) {
            let max = self.lanes.limits().bytes;
            return Err(RowError::TooLarge { bytes, max });
        }
        // Looked at under the phase's lock, so that no row comes behind the last look of a close.
        let phase = self.phase.borrow();
        if *phase != Phase::Open {
            return Err(RowError::Closed { batch_id: None });
        }
        let open = self.book.open_bytes();
        if open + bytes > self.options.max_pending_bytes && open > 0 {
            return Err(RowError::Full { bytes: open });
        }
        let weight = u32::try_from(bytes).unwrap_or(u32::MAX);
        match self.book.claim(content, weight, permit) {
            Claim::Joined(id, told) => Ok(Ticket::new(self.book.clone(), id, told)),
            Claim::Ready(id, tell, told) => {
                self.keeper.load(id, tell);
                Ok(Ticket::new(self.book.clone(), id, told))
            }
            Claim::New(id, told) => {
                let lane = Lane {
                    endpoint: endpoint.into(),
                    model: seen.model.into(),
                };
                let (full, began) = self.lanes.push(&lane, Pending { id, body }, seen.inputs);
                for formed in full {
                    self.launch(formed);
                }
                if began {
                    self.nudge.notify_one();
                }
                Ok(Ticket::new(self.book.clone(), id, told))
            }
        }
    }

    /// What was collected goes, if anybody still waits for it.
    pub(super) fn launch(&self, formed: Formed) {
        let rows = self.book.plan(formed.rows);
        if !rows.is_empty() {
            let record = self.record(&formed.lane, 0);
            self.fly(Flight::new(record, formed.lane, rows));
        }
    }

    pub(super) fn fly(&self, flight: Flight) {
        // Without the task nobody waits either.
        let _ = self.flights.send(flight);
    }

    pub(super) fn record(&self, lane: &Lane, generation: u32) -> Record {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed);
        Record {
            seq,
            key: format!("hedgerow-{}-{seq}", self.name),
            endpoint: lane.endpoint.to_string(),
            model: lane.model.to_string(),
            generation,
            planned_ms: self.clock.now().as_millis(),
            ..Record::default()
        }
    }

    /// How many of these rows may be sent by themselves.
    pub(super) fn spend(&self, rows: usize) -> usize {
        let cap = self.options.spend_cap;
        let wanted = rows as u64;
        let spent = self
            .spent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| {
                Some(spent.saturating_add(wanted).min(cap.max(spent)))
            });
        let (Ok(before) | Err(before)) = spent;
        wanted.min(cap.saturating_sub(before)) as usize
    }

    pub(super) fn event(&self, kind: BatchEventKind) -> LifecycleEvent {
        LifecycleEvent {
            kind,
            at_ms: self.clock.now().as_millis(),
            batch: None,
            state: None,
            error: None,
            closing: None,
        }
    }

    /// Takes no more rows. The first one who closes says how.
    pub(super) fn close(&self, how: OnClose) {
        if !self.closing.swap(true, Ordering::AcqRel) {
            self.tell_closing(how);
            self.phase.send_replace(Phase::Closing(how));
        }
    }

    /// What was collected goes now.
    pub(super) fn flush(&self) {
        for formed in self.lanes.all() {
            self.launch(formed);
        }
    }

    fn tell_closing(&self, how: OnClose) {
        let event = LifecycleEvent {
            closing: Some(Closing {
                pending_request_count: self.book.open() as u64,
                active_batch_ids: self.active.lock().clone(),
                cancel_active_batches_on_close: how == OnClose::Cancel,
            }),
            ..self.event(BatchEventKind::Closing)
        };
        self.listeners.tell(&event);
    }

    fn runs(&self, batch_id: &str) {
        self.active.lock().push(batch_id.to_owned());
    }

    fn runs_no_more(&self, batch_id: &str) {
        self.active.lock().retain(|id| id != batch_id);
    }
}
