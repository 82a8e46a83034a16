//! All rows that are not done with: who waits for each, and which answers wait for somebody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::answer::RowAnswer;
use super::body::Pending;
use super::error::RowError;
use super::id::{Content, RowId};

pub(super) type Outcome = Result<RowAnswer, RowError>;
type Tell = oneshot::Sender<Outcome>;
pub(super) type Told = oneshot::Receiver<Outcome>;

/// The rows, by name. Nobody's code runs under its lock.
#[derive(Debug)]
pub(super) struct Book {
    /// Whether answers are kept for who asks later.
    keeps: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rows: BTreeMap<RowId, Row>,
    /// Of rows that are open.
    bytes: u64,
    open: usize,
    /// Which answers were given out when, the oldest first.
    served: VecDeque<(Instant, RowId)>,
}

#[derive(Debug)]
enum Row {
    Open(Open),
    /// Its answer is kept, and nobody has it.
    Ready,
    /// Its answer is kept, and somebody has it: for who was killed with it in hand.
    Served,
}

#[derive(Debug)]
struct Open {
    tell: Option<Tell>,
    permit: Option<OwnedSemaphorePermit>,
    bytes: u32,
    /// It goes to the API, whoever waits.
    planned: bool,
}

/// Where a call gets its answer from.
pub(super) enum Claim {
    /// From a row of its own, which must be sent.
    New(RowId, Told),
    /// From a row that is on its way already.
    Joined(RowId, Told),
    /// From what is kept.
    Ready(RowId, Tell, Told),
}

impl Book {
    pub(super) fn new(keeps: bool) -> Self {
        Self {
            keeps,
            inner: Mutex::default(),
        }
    }

    /// A row of an earlier run.
    pub(super) fn restore(&self, id: RowId, ready: bool) {
        let mut inner = self.inner.lock();
        let row = if ready {
            Row::Ready
        } else {
            inner.open += 1;
            Row::Open(Open {
                tell: None,
                permit: None,
                bytes: 0,
                planned: true,
            })
        };
        inner.rows.insert(id, row);
    }

    /// Somebody asks for this content: what is kept comes first, then what nobody waits for.
    pub(super) fn claim(
        &self,
        content: Content,
        bytes: u32,
        permit: OwnedSemaphorePermit,
    ) -> Claim {
        let mut inner = self.inner.lock();
        let (tell, told) = oneshot::channel();
        let alike = RowId::new(content, 0)..=RowId::new(content, u32::MAX);
        let mut free = 0;
        let (mut ready, mut unclaimed) = (None, None);
        for (id, row) in inner.rows.range(alike) {
            if id.occurrence() == free {
                free += 1;
            }
            match row {
                Row::Ready => {
                    ready = Some(*id);
                    break;
                }
                Row::Open(open) if unclaimed.is_none() && open.is_unclaimed() => {
                    unclaimed = Some(*id);
                }
                Row::Open(_) | Row::Served => {}
            }
        }
        if let Some(id) = ready {
            inner.serve(id);
            return Claim::Ready(id, tell, told);
        }
        if let Some(id) = unclaimed
            && let Some(Row::Open(open)) = inner.rows.get_mut(&id)
        {
            open.tell = Some(tell);
            open.permit.get_or_insert(permit);
            return Claim::Joined(id, told);
        }
        let id = RowId::new(content, free);
        inner.bytes += u64::from(bytes);
        inner.open += 1;
        let open = Open {
            tell: Some(tell),
            permit: Some(permit),
            bytes,
            planned: false,
        };
        inner.rows.insert(id, Row::Open(open));
        Claim::New(id, told)
    }

    /// Those of the rows that somebody still waits for. They will be sent.
    pub(super) fn plan(&self, rows: Vec<Pending>) -> Vec<Pending> {
        let mut inner = self.inner.lock();
        let mut wanted = rows;
        wanted.retain(|row| match inner.rows.get_mut(&row.id) {
            Some(Row::Open(open)) if !open.is_unclaimed() => {
                open.planned = true;
                true
            }
            _ => {
                inner.remove(row.id);
                false
            }
        });
        wanted
    }

    /// An answer or an error. An answer that nobody waits for is kept, if answers are; an error never is.
    pub(super) fn tell(&self, id: RowId, outcome: Outcome) {
        let mut inner = self.inner.lock();
        let Some(Row::Open(_)) = inner.rows.get(&id) else {
            return;
        };
        let tell = inner.remove(id).and_then(|open| open.tell);
        let keeps = self.keeps && outcome.is_ok();
        let told = match tell {
            Some(tell) => tell.send(outcome).is_ok(),
            None => false,
        };
        if keeps {
            inner.rows.insert(id, Row::Ready);
            if told {
                inner.serve(id);
            }
        }
    }

    /// A caller leaves without its answer.
    pub(super) fn leave(&self, id: RowId) {
        let mut inner = self.inner.lock();
        match inner.rows.get_mut(&id) {
            Some(Row::Open(open)) if open.planned => open.tell = None,
            Some(Row::Open(_)) => {
                inner.remove(id);
            }
            Some(row @ Row::Served) => *row = Row::Ready,
            Some(Row::Ready) | None => {}
        }
    }

    /// Those that were given out this long ago: whoever has them has used them.
    pub(super) fn sweep(&self, now: Instant, keep: Duration) -> Vec<RowId> {
        let mut inner = self.inner.lock();
        let mut done = Vec::new();
        while let Some((at, _)) = inner.served.front()
            && now.saturating_duration_since(*at) >= keep
        {
            let Some((_, id)) = inner.served.pop_front() else {
                break;
            };
            if matches!(inner.rows.get(&id), Some(Row::Served)) {
                inner.rows.remove(&id);
                done.push(id);
            }
        }
        done
    }

    /// Answers that are not kept any more.
    pub(super) fn gone(&self, ids: &[RowId]) {
        let mut inner = self.inner.lock();
        for id in ids {
            if matches!(inner.rows.get(id), Some(Row::Ready | Row::Served)) {
                inner.rows.remove(id);
            }
        }
    }

    /// Everybody who still waits gets this error.
    pub(super) fn fail_all(&self, error: &RowError) {
        let mut inner = self.inner.lock();
        for row in inner.rows.values_mut() {
            if let Row::Open(open) = row
                && let Some(tell) = open.tell.take()
            {
                let _ = tell.send(Err(error.clone()));
            }
        }
    }

    /// How many bytes of rows are open.
    pub(super) fn open_bytes(&self) -> u64 {
        self.inner.lock().bytes
    }

    /// How many rows are open.
    pub(super) fn open(&self) -> usize {
        self.inner.lock().open
    }
}

impl Inner {
    fn remove(&mut self, id: RowId) -> Option<Open> {
        match self.rows.remove(&id) {
            Some(Row::Open(open)) => {
                self.bytes = self.bytes.saturating_sub(u64::from(open.bytes));
                self.open = self.open.saturating_sub(1);
                Some(open)
            }
            _ => None,
        }
    }

    fn serve(&mut self, id: RowId) {
        self.rows.insert(id, Row::Served);
        self.served.push_back((Instant::now(), id));
    }
}

impl Open {
    fn is_unclaimed(&self) -> bool {
        self.tell.as_ref().is_none_or(Tell::is_closed)
    }
}

/// A caller's place: its answer comes here.
#[derive(Debug)]
pub(super) struct Ticket {
    book: Arc<Book>,
    id: RowId,
    told: Option<Told>,
}

impl Ticket {
    pub(super) const fn new(book: Arc<Book>, id: RowId, told: Told) -> Self {
        Self {
            book,
            id,
            told: Some(told),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Outcome> {
        let Some(told) = &mut self.told else {
            return std::task::Poll::Pending;
        };
        std::pin::Pin::new(told).poll(cx).map(|outcome| {
            self.told = None;
            outcome.unwrap_or(Err(RowError::Closed { batch_id: None }))
        })
    }
}

/// What had come and was not taken is there for the next one who asks.
impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(mut told) = self.told.take() {
            told.close();
            if !matches!(told.try_recv(), Ok(Err(_))) {
                self.book.leave(self.id);
            }
        }
    }
}
