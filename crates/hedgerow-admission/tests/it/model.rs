//! Random scripts against one gate, with the rules computed again in the plainest way after each step.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use hedgerow_admission::{
    Admission, AdmissionEvent, Answer, Ask, BookId, BuildError, Claim, Correction, Decision,
    DropRule, Gate, GateBuilder, Happened, Key, Leased, Ledger, LimitPolicy, LocalLedger, Order,
    Outcome, Overloaded, Permit, Pool, Priority, Queue, Rate, ReadyAdmission, ReadyAdmissionLayer,
    Receipt, Sample, ShedReason, Unit,
};
use hedgerow_core::{BoxError, Deadline};
use parking_lot::Mutex;
use proptest::prelude::*;
use tower::util::ServiceFn;
use tower::{Layer, Service, service_fn};

use crate::support::ms;

const MAX_WAIT_MS: u64 = 20;
const BURST: u64 = 20;
const CODEL_MS: (u64, u64) = (3, 10);

#[derive(Clone, Debug)]
struct Setting {
    limit: usize,
    per_key: Option<usize>,
    /// Tokens, tokens of a key, requests of a key, spacing.
    rates: [bool; 4],
    order: Order,
    rule: DropRule,
    depth: usize,
    /// How many requests hold one of two resources at once.
    pool: Option<usize>,
    recorder_panics: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Come {
        key: u64,
        level: usize,
        cost: u64,
        deadline: Option<u64>,
        patience: Option<u64>,
    },
    GetReady,
    End(usize, End),
    Leave(usize),
    /// From another task.
    Poll(usize),
    Limit(usize),
    PolicyPanics(bool),
    Left(u64),
    Pause(u64),
    Cool(usize, u64),
    Kill(usize),
    Revive(usize),
    Close,
    Drain,
    Reopen,
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Of(Outcome),
    Used(u64),
    Cool(u64),
    Kill,
    Run,
}

fn setting() -> impl Strategy<Value = Setting> {
    let order = prop_oneof![
        2 => Just(Order::Fifo),
        1 => Just(Order::AdaptiveLifo { after: ms(0) }),
        1 => Just(Order::AdaptiveLifo { after: ms(3) }),
        2 => Just(Order::EarliestDeadlineFirst),
    ];
    let rule = prop_oneof![
        Just(DropRule::None),
        Just(DropRule::Expired),
        Just(DropRule::CoDel {
            target: ms(CODEL_MS.0),
            interval: ms(CODEL_MS.1),
        }),
    ];
    let limit = prop_oneof![4 => 1..=3_usize, 1 => Just(usize::MAX)];
    let per_key = prop::option::weighted(0.3, 1..=2_usize);
    let pool = prop::option::weighted(0.4, 1..=2_usize);
    let rates = [0.4, 0.3, 0.3, 0.2].map(prop::bool::weighted);
    (
        limit,
        per_key,
        rates,
        order,
        rule,
        1..=8_usize,
        pool,
        prop::bool::ANY,
    )
        .prop_map(
            |(limit, per_key, rates, order, rule, depth, pool, recorder_panics)| Setting {
                limit,
                per_key,
                rates,
                order,
                rule,
                depth,
                pool,
                recorder_panics,
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    let any = 0..64_usize;
    let end = prop_oneof![
        Just(End::Of(Outcome::Answered)),
        Just(End::Of(Outcome::Failed)),
        Just(End::Of(Outcome::Refused)),
        Just(End::Of(Outcome::TimedOut)),
        Just(End::Of(Outcome::Cancelled)),
        (0..=BURST).prop_map(End::Used),
        (0..15_u64).prop_map(End::Cool),
        Just(End::Kill),
        Just(End::Run),
    ];
    let cost = prop_oneof![6 => 1..=6_u64, 2 => 7..=BURST, 1 => BURST..=BURST + 2];
    let come = (
        0..4_u64,
        0..4_usize,
        cost,
        prop::option::weighted(0.4, 0..30_u64),
        prop::option::weighted(0.3, 0..30_u64),
    );
    let come = come.prop_map(|(key, level, cost, deadline, patience)| Step::Come {
        key,
        level,
        cost,
        deadline,
        patience,
    });
    prop_oneof![
        16 => come,
        2 => Just(Step::GetReady),
        10 => (any.clone(), end).prop_map(|(at, end)| Step::End(at, end)),
        4 => any.clone().prop_map(Step::Leave),
        2 => any.prop_map(Step::Poll),
        2 => (0..=4_usize).prop_map(Step::Limit),
        1 => prop::bool::ANY.prop_map(Step::PolicyPanics),
        1 => (0..BURST).prop_map(Step::Left),
        1 => (0..8_u64).prop_map(Step::Pause),
        1 => (0..2_usize, 0..12_u64).prop_map(|(at, time)| Step::Cool(at, time)),
        1 => (0..2_usize).prop_map(Step::Kill),
        2 => (0..2_usize).prop_map(Step::Revive),
        1 => Just(Step::Close),
        1 => Just(Step::Drain),
        3 => Just(Step::Reopen),
        8 => (1..12_u64).prop_map(Step::Pass),
    ]
}

/// A limit that is told, and may panic.
struct Told {
    limit: AtomicUsize,
    panics: AtomicBool,
}

impl LimitPolicy for Told {
    fn limit(&self) -> usize {
        if self.panics.load(Ordering::Relaxed) {
            resume_unwind(Box::new("on purpose"));
        }
        self.limit.load(Ordering::Relaxed)
    }

    fn observe(&self, _: &Sample) {
        if self.panics.load(Ordering::Relaxed) {
            resume_unwind(Box::new("on purpose"));
        }
    }
}

/// What was reserved, and what became of it.
struct Entry {
    at: Instant,
    key: Option<Key>,
    receipt: Receipt,
    cost: u64,
    /// Tokens that were used; `None` while it is open.
    used: Option<u64>,
    requests: u64,
}

/// A ledger that writes down what it is told.
struct Spy {
    books: LocalLedger,
    entries: Mutex<Vec<Entry>>,
    mistakes: AtomicU64,
}

impl Spy {
    fn close(&self, claim: &Claim<'_>, receipt: Receipt, used: u64, requests: u64) {
        let mut entries = self.entries.lock();
        let open = entries.iter_mut().find(|entry| {
            entry.used.is_none()
                && entry.receipt == receipt
                && entry.key.as_ref() == claim.key
                && entry.cost == claim.cost
        });
        match open {
            Some(entry) => (entry.used, entry.requests) = (Some(used), requests),
            None => drop(self.mistakes.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

impl Ledger for Spy {
    fn open(&self, rate: &Rate) -> Result<BookId, BuildError> {
        self.books.open(rate)
    }

    fn answers_at_once(&self) -> bool {
        true
    }

    fn reserve(&self, claim: &Claim<'_>) -> Answer<Decision> {
        let answer = self.books.reserve(claim);
        if let Answer::Now(Decision::Granted(receipt)) = answer {
            self.entries.lock().push(Entry {
                at: claim.now,
                key: claim.key.cloned(),
                receipt,
                cost: claim.cost,
                used: None,
                requests: 1,
            });
        }
        answer
    }

    fn settle(&self, claim: &Claim<'_>, receipt: Receipt, used: u64) {
        self.close(claim, receipt, used, 1);
        self.books.settle(claim, receipt, used);
    }

    fn refund(&self, claim: &Claim<'_>, receipt: Receipt, sent: bool) {
        self.close(claim, receipt, 0, u64::from(sent));
        self.books.refund(claim, receipt, sent);
    }

    fn correct(&self, book: BookId, key: Option<&Key>, correction: Correction, now: Instant) {
        self.books.correct(book, key, correction, now);
    }

    fn left(&self, book: BookId, key: Option<&Key>, now: Instant) -> Answer<u64> {
        self.books.left(book, key, now)
    }

    fn lease(&self, name: &str, places: usize, ttl: Duration, now: Instant) -> Answer<Leased> {
        self.books.lease(name, places, ttl, now)
    }

    fn renew(&self, name: &str, lease: u64, ttl: Duration, now: Instant) -> Answer<bool> {
        self.books.renew(name, lease, ttl, now)
    }

    fn release(&self, name: &str, lease: u64) {
        self.books.release(name, lease);
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Below = ServiceFn<fn(()) -> Ready<Result<(), BoxError>>>;

enum Waits<T> {
    Request(Pin<Box<Admission<T>>>),
    Service(Box<ReadyAdmission<Below, T>>),
}

enum Holds<T> {
    Permit(Permit<T>),
    Service(#[expect(dead_code, reason = "held for its drop")] Box<ReadyAdmission<Below, T>>),
}

struct Waiter<T> {
    number: u64,
    ask: Ask,
    arrived: u64,
    deadline: Option<u64>,
    service: bool,
    what: Waits<T>,
    flag: Arc<Flag>,
}

/// One drain: who waits for it, and when it is woken.
type Drain = (Pin<Box<dyn Future<Output = ()>>>, Arc<Flag>);

struct World<T: 'static> {
    setting: Setting,
    gate: Gate<T>,
    policy: Arc<Told>,
    ledger: Arc<Spy>,
    rates: Vec<(BookId, Rate)>,
    began: Instant,
    limit: usize,
    waiting: Vec<Waiter<T>>,
    running: Vec<(Option<Key>, Holds<T>)>,
    drains: Vec<Drain>,
    number: u64,
    /// Since when somebody waits without a break, in milliseconds.
    standing: Option<u64>,
    /// What was said to be used.
    used: u64,
    /// The last number that started, by key and level.
    started: HashMap<(Option<Key>, usize), u64>,
    events: Arc<Mutex<HashMap<u64, Vec<Happened>>>>,
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn rates(setting: &Setting) -> Vec<Rate> {
    let all = [
        Rate::tokens(500, Duration::from_secs(1)).burst(BURST),
        Rate::tokens(300, Duration::from_secs(1))
            .burst(BURST)
            .per_key(),
        Rate::requests(200, Duration::from_secs(1))
            .burst(3)
            .per_key(),
        Rate::spacing(Duration::from_micros(1_500)),
    ];
    let taken = all.into_iter().zip(setting.rates);
    taken
        .filter_map(|(rate, taken)| taken.then_some(rate))
        .collect()
}

impl<T: 'static> World<T> {
    fn new(setting: Setting, pool: impl FnOnce(GateBuilder<()>) -> GateBuilder<T>) -> Self {
        let policy = Arc::new(Told {
            limit: setting.limit.into(),
            panics: false.into(),
        });
        let ledger = Arc::new(Spy {
            books: LocalLedger::new(),
            entries: Mutex::default(),
            mistakes: 0.into(),
        });
        let events: Arc<Mutex<HashMap<u64, Vec<Happened>>>> = Arc::default();
        let mut builder = Gate::builder()
            .limit(policy.clone())
            .ledger(ledger.clone())
            .queue(Queue::fifo().order(setting.order).drop_rule(setting.rule))
            .max_depth(setting.depth)
            .max_wait(ms(MAX_WAIT_MS));
        if let Some(per_key) = setting.per_key {
            builder = builder.concurrency_per_key(per_key);
        }
        let rates = rates(&setting);
        for rate in &rates {
            builder = builder.rate(rate.clone());
        }
        // Half of the worlds go without a recorder: the quiet way in.
        if setting.depth.is_multiple_of(2) {
            let (log, panics) = (events.clone(), setting.recorder_panics);
            builder = builder.on_event(move |event: &AdmissionEvent| {
                log.lock().entry(event.id).or_default().push(event.what);
                if panics {
                    resume_unwind(Box::new("on purpose"));
                }
            });
        }
        let gate = pool(builder).build();
        let rates = rates
            .into_iter()
            .map(|rate| (ledger.open(&rate).expect("a fine rate"), rate))
            .collect();
        Self {
            limit: setting.limit,
            setting,
            gate,
            policy,
            ledger,
            rates,
            began: now(),
            waiting: Vec::new(),
            running: Vec::new(),
            drains: Vec::new(),
            number: 0,
            standing: None,
            used: 0,
            started: HashMap::new(),
            events,
        }
    }

    fn ms(&self) -> u64 {
        (now() - self.began).as_millis() as u64
    }

    /// Whether one that came is still there after it was polled; else it runs, or was refused.
    fn look(&mut self, mut waiter: Waiter<T>) -> Option<Waiter<T>> {
        waiter.flag.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(waiter.flag.clone());
        let mut cx = Context::from_waker(&waker);
        let result = match &mut waiter.what {
            Waits::Request(request) => match request.as_mut().poll(&mut cx) {
                Poll::Pending => return Some(waiter),
                Poll::Ready(Ok(permit)) => Ok(Holds::Permit(permit)),
                Poll::Ready(Err(refused)) => Err(refused),
            },
            Waits::Service(service) => match service.poll_ready(&mut cx) {
                Poll::Pending => return Some(waiter),
                Poll::Ready(Ok(())) => {
                    let Waits::Service(service) = waiter.what else {
                        unreachable!("it was one just now");
                    };
                    self.running.push((None, Holds::Service(service)));
                    return None;
                }
                Poll::Ready(Err(refused)) => Err(*refused.downcast::<Overloaded>().expect("ours")),
            },
        };
        match result {
            Ok(holds) => {
                let lane = (waiter.ask.key.clone(), waiter.ask.priority as usize);
                let last = self.started.entry(lane).or_default();
                *last = waiter.number.max(*last);
                self.running.push((waiter.ask.key.clone(), holds));
            }
            Err(refused) => self.refused(&waiter, refused),
        }
        None
    }

    /// A refusal comes for its reason, and to the millisecond.
    fn refused(&self, waiter: &Waiter<T>, refused: Overloaded) {
        let waited = refused.waited();
        let patience = waiter
            .ask
            .patience
            .map_or(MAX_WAIT_MS, |own| MAX_WAIT_MS.min(own.as_millis() as u64));
        match refused.reason() {
            ShedReason::WaitedTooLong => assert_eq!(waited, ms(patience)),
            ShedReason::DeadlinePassed => {
                assert_eq!(Some(waited.as_millis() as u64), waiter.deadline);
            }
            ShedReason::Standing => {
                assert!(matches!(self.setting.rule, DropRule::CoDel { .. }));
                assert!(waited >= ms(CODEL_MS.0), "{waited:?}");
            }
            ShedReason::TooLarge => assert!(waiter.ask.cost > BURST),
            ShedReason::QueueFull | ShedReason::NoResource | ShedReason::Closed => {}
            other => panic!("{other:?}"),
        }
    }

    /// Polls all that were woken, until nobody is.
    fn settle(&mut self) {
        loop {
            let woken = |waiter: &Waiter<T>| waiter.flag.0.load(Ordering::Relaxed);
            let Some(at) = self.waiting.iter().rposition(woken) else {
                break;
            };
            let waiter = self.waiting.remove(at);
            if let Some(waiter) = self.look(waiter) {
                self.waiting.insert(at, waiter);
            }
        }
        self.drains.retain_mut(|(drain, flag)| {
            if !flag.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            let waker = Waker::from(flag.clone());
            drain
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        });
    }

    fn come(&mut self, ask: Ask, deadline: Option<u64>, service: bool) {
        self.number += 1;
        let what = if service {
            let below: Below = service_fn(|()| ready(Ok(())));
            let layer = ReadyAdmissionLayer::new(self.gate.clone());
            Waits::Service(Box::new(layer.layer(below)))
        } else {
            Waits::Request(Box::pin(self.gate.permit_for(ask.clone())))
        };
        let waiter = Waiter {
            number: self.number,
            ask,
            arrived: self.ms(),
            deadline,
            service,
            what,
            flag: Arc::default(),
        };
        if let Some(waiter) = self.look(waiter) {
            self.waiting.push(waiter);
        }
    }

    fn end(&mut self, at: usize, end: End) {
        if self.running.is_empty() {
            return;
        }
        let at = at % self.running.len();
        let (_, holds) = self.running.remove(at);
        let Holds::Permit(mut permit) = holds else {
            return;
        };
        match end {
            End::Of(outcome) => {
                if outcome == Outcome::Answered {
                    self.used += permit.reserved();
                }
                permit.finish(outcome);
            }
            End::Used(used) => {
                let used = used.min(permit.reserved());
                permit.used(used);
                self.used += used;
            }
            End::Cool(time) => permit.cool_down(ms(time)),
            End::Kill => permit.kill(),
            End::Run => drop(permit.run(ready(Ok::<_, ()>(())))),
        }
    }

    fn tell_limit(&mut self) {
        self.gate.refresh();
        if !self.policy.panics.load(Ordering::Relaxed) {
            self.limit = self.policy.limit.load(Ordering::Relaxed);
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Come {
                key,
                level,
                cost,
                deadline,
                patience,
            } => {
                let mut ask = Ask::new().cost(cost).priority(Priority::ALL[level]);
                if key > 0 {
                    ask = ask.key(key);
                }
                ask.deadline = deadline.map(|after| Deadline::at(now() + ms(after)));
                ask.patience = patience.map(ms);
                self.come(ask, deadline, false);
            }
            Step::GetReady => self.come(Ask::new(), None, true),
            Step::End(at, end) => self.end(at, end),
            Step::Leave(at) if !self.waiting.is_empty() => {
                drop(self.waiting.remove(at % self.waiting.len()));
            }
            Step::Poll(at) if !self.waiting.is_empty() => {
                let at = at % self.waiting.len();
                let mut waiter = self.waiting.remove(at);
                waiter.flag = Arc::default();
                if let Some(waiter) = self.look(waiter) {
                    self.waiting.insert(at, waiter);
                }
            }
            Step::Leave(_) | Step::Poll(_) => {}
            Step::Limit(limit) => {
                self.policy.limit.store(limit, Ordering::Relaxed);
                self.tell_limit();
            }
            Step::PolicyPanics(panics) => {
                self.policy.panics.store(panics, Ordering::Relaxed);
                self.tell_limit();
            }
            Step::Left(left) => {
                self.gate.correct(0, None, Correction::default().left(left));
            }
            Step::Pause(time) => {
                self.gate
                    .correct(0, None, Correction::default().pause(ms(time)));
            }
            Step::Cool(at, time) => self.gate.cool_down(at, ms(time)),
            Step::Kill(at) => self.gate.kill(at),
            Step::Revive(at) => self.gate.revive(at),
            Step::Close => {
                let gate = self.gate.clone();
                self.drains
                    .push((Box::pin(async move { gate.close().await }), woken()));
            }
            Step::Drain => {
                let gate = self.gate.clone();
                self.drains
                    .push((Box::pin(async move { gate.drain().await }), woken()));
            }
            Step::Reopen => self.gate.reopen(),
            Step::Pass(time) => {
                for _ in 0..time {
                    self.settle();
                    tokio::time::advance(ms(1)).await;
                    self.settle();
                    self.note();
                    self.check();
                }
            }
        }
        for at in 0..self.drains.len() {
            let (drain, flag) = &mut self.drains[at];
            if flag.0.swap(false, Ordering::Relaxed) {
                let waker = Waker::from(flag.clone());
                if drain
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_ready()
                {
                    drop(self.drains.remove(at));
                    break;
                }
            }
        }
    }

    /// How long somebody has been waiting without a break.
    fn stands(&self) -> Duration {
        self.standing.map_or(ms(0), |since| ms(self.ms() - since))
    }

    /// Takes note of an empty queue.
    fn note(&mut self) {
        self.standing = match self.gate.stats().queued {
            0 => None,
            _ => self.standing.or(Some(self.ms())),
        };
    }

    /// What must hold whenever all that were woken have looked.
    fn check(&self) {
        let stats = self.gate.stats();
        assert_eq!(
            (stats.active, stats.queued),
            (self.running.len(), self.waiting.len())
        );
        let known = stats.started + stats.aborted + stats.shed_total() + stats.queued as u64;
        assert_eq!(stats.entered, known);
        assert_eq!(stats.active as u64, stats.started - stats.finished);
        assert!(
            self.drains.is_empty() || stats.active + stats.queued > 0,
            "a drain never ends"
        );
        assert_eq!(
            self.ledger.mistakes.load(Ordering::Relaxed),
            0,
            "settled twice"
        );
        let requests = self.waiting.iter().filter(|waiter| !waiter.service).count();
        assert!(requests <= self.setting.depth);
        self.nobody_is_overdue();
        self.whoever_can_start_has_started();
        if self.waiting.is_empty() && self.running.is_empty() {
            assert_eq!(self.gate.leftovers(), 0);
        }
    }

    fn nobody_is_overdue(&self) {
        let now = self.ms();
        let reserve = self.limit.saturating_mul(2);
        let reserve = if self.limit == usize::MAX { 0 } else { reserve };
        for waiter in self.waiting.iter().filter(|waiter| !waiter.service) {
            let waited = now - waiter.arrived;
            assert!(waited < MAX_WAIT_MS);
            assert!(
                waiter
                    .ask
                    .patience
                    .is_none_or(|patience| ms(waited) < patience)
            );
            if self.setting.rule != DropRule::None {
                assert!(waiter.deadline.is_none_or(|deadline| waited < deadline));
            }
            if matches!(self.setting.rule, DropRule::CoDel { .. }) && self.waiting.len() > reserve {
                assert!(waited < CODEL_MS.1, "CoDel kept one for {waited} ms");
            }
        }
    }

    fn left(&self, book: BookId, key: Option<&Key>) -> u64 {
        match self.ledger.left(book, key, now()) {
            Answer::Now(left) => left,
            Answer::Later(_) => panic!("the local ledger never pends"),
        }
    }

    /// Whether all rates of its key (or all others) have what it costs.
    fn affordable(&self, waiter: &Waiter<T>, per_key: bool) -> bool {
        let key = waiter.ask.key.as_ref();
        self.rates
            .iter()
            .filter(|(_, rate)| rate.is_per_key() == per_key)
            .all(|(book, rate)| self.left(*book, key) >= rate.amount(waiter.ask.cost))
    }

    /// Those of whom one is next: the first of each key and level that may start by its key.
    fn candidates(&self) -> Vec<&Waiter<T>> {
        let mut lanes: HashMap<_, Vec<&Waiter<T>>> = HashMap::new();
        for waiter in &self.waiting {
            let lane = (waiter.ask.key.clone(), waiter.ask.priority as usize);
            lanes.entry(lane).or_default().push(waiter);
        }
        let mut found = Vec::new();
        for ((key, _), mut lane) in lanes {
            let running = self.running.iter().filter(|(each, _)| *each == key).count();
            if key.is_some() && self.setting.per_key.is_some_and(|most| running >= most) {
                continue;
            }
            lane.sort_by_key(|waiter| waiter.number);
            let (first, last) = (lane[0], lane[lane.len() - 1]);
            let heads = match self.setting.order {
                Order::EarliestDeadlineFirst => {
                    let nearest = |waiter: &&&Waiter<T>| {
                        let at = waiter.ask.deadline.map(Deadline::instant);
                        (at.is_none(), at, waiter.number)
                    };
                    vec![*lane.iter().min_by_key(nearest).expect("not empty")]
                }
                Order::AdaptiveLifo { after } if self.stands() >= after => vec![last],
                _ => vec![first],
            };
            if heads
                .iter()
                .all(|head| self.too_large(head) || self.affordable(head, true))
            {
                found.extend(heads);
            }
        }
        found
    }

    fn too_large(&self, waiter: &Waiter<T>) -> bool {
        let tokens = self
            .rates
            .iter()
            .any(|(_, rate)| rate.unit() == Unit::Tokens);
        tokens && waiter.ask.cost > BURST
    }

    fn whoever_can_start_has_started(&self) {
        if self.running.len() >= self.limit {
            return;
        }
        let resources = self.gate.resources();
        let most = self.setting.pool.unwrap_or(usize::MAX);
        let free = resources.iter().any(|each| {
            !each.killed && each.in_use < most && each.cools_until.is_none_or(|at| at <= now())
        });
        let gone = resources.iter().all(|each| each.killed);
        if !(free || gone) {
            return;
        }
        let candidates = self.candidates();
        let all_could = candidates.iter().all(|waiter| {
            gone && !resources.is_empty()
                || self.too_large(waiter)
                || self.affordable(waiter, false)
        });
        assert!(
            candidates.is_empty() || !all_could,
            "{} wait though they could start, at {} ms",
            candidates.len(),
            self.ms()
        );
    }

    /// One that starts is the first of its key and level.
    fn in_order(&self) {
        if self.setting.order != Order::Fifo {
            return;
        }
        for waiter in self.waiting.iter().filter(|waiter| !waiter.service) {
            let lane = (waiter.ask.key.clone(), waiter.ask.priority as usize);
            let last = self.started.get(&lane).copied().unwrap_or(0);
            assert!(
                last < waiter.number,
                "{} was overtaken by {last}",
                waiter.number
            );
        }
    }

    fn over(mut self) {
        self.policy.panics.store(false, Ordering::Relaxed);
        self.settle();
        self.in_order();
        while let Some(waiter) = self.waiting.pop() {
            drop(waiter);
        }
        while !self.running.is_empty() {
            self.end(0, End::Of(Outcome::Answered));
        }
        self.settle();
        assert!(self.drains.is_empty(), "a drain never ends");
        let stats = self.gate.stats();
        assert_eq!((stats.active, stats.queued), (0, 0));
        assert_eq!(stats.started, stats.finished);
        assert_eq!(
            stats.entered,
            stats.started + stats.aborted + stats.shed_total()
        );
        assert_eq!((self.gate.leftovers(), self.gate.keys()), (0, 0));
        assert!(self.gate.resources().iter().all(|each| each.in_use == 0));
        let taken: u64 = self.gate.resources().iter().map(|each| each.taken).sum();
        assert!(taken == 0 || taken >= stats.started);
        for (id, events) in self.events.lock().iter() {
            let started = events
                .iter()
                .filter(|each| **each == Happened::Started)
                .count();
            let finished = events
                .iter()
                .filter(|each| matches!(each, Happened::Finished(_)))
                .count();
            let left = events
                .iter()
                .filter(|each| matches!(each, Happened::Shed(_) | Happened::AbortedWaiting));
            assert_eq!(
                (started, started + left.count()),
                (finished, 1),
                "{id}: {events:?}"
            );
        }
        self.windows();
    }

    /// Over any window no more was used than the rates allow.
    fn windows(&self) {
        assert_eq!(
            self.ledger.mistakes.load(Ordering::Relaxed),
            0,
            "settled twice"
        );
        let entries = self.ledger.entries.lock();
        if self
            .rates
            .iter()
            .any(|(_, rate)| rate.unit() == Unit::Tokens)
        {
            let used: u64 = entries.iter().filter_map(|entry| entry.used).sum();
            assert_eq!(used, self.used, "settled to something else");
        }
        let tokens = self
            .rates
            .iter()
            .any(|(_, rate)| rate.unit() == Unit::Tokens);
        for (_, rate) in &self.rates {
            let used = |entry: &Entry| match rate.unit() {
                Unit::Tokens => entry.used.expect("all have ended"),
                _ => entry.requests,
            };
            for (from, first) in entries.iter().enumerate() {
                assert!(!tokens || first.used.is_some(), "never settled");
                let mut sum = 0;
                for entry in &entries[from..] {
                    if rate.is_per_key() && entry.key != first.key {
                        continue;
                    }
                    sum += used(entry);
                    let window = (entry.at - first.at).as_nanos();
                    let refilled = window * u128::from(rate.limit()) / rate.period().as_nanos();
                    assert!(
                        u128::from(sum) <= u128::from(rate.at_once()) + refilled,
                        "{sum} of {rate} within {window} ns"
                    );
                }
            }
        }
    }
}

/// A flag that says: look.
fn woken() -> Arc<Flag> {
    Arc::new(Flag(true.into()))
}

async fn play<T: 'static>(mut world: World<T>, steps: Vec<(Step, bool)>) {
    for (step, settles) in steps {
        let before = world.gate.stats().active;
        let passes = matches!(step, Step::Pass(_));
        world.step(step).await;
        let after = world.gate.stats().active;
        world.note();
        assert!(after <= before || after <= world.limit, "{after} run");
        if settles || passes {
            world.settle();
            world.check();
            world.in_order();
        }
    }
    world.over();
}

fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.max(1_500),
        failure_persistence: None,
        ..default
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn whatever_happens_the_queue_keeps_its_rules(
        setting in setting(),
        steps in prop::collection::vec((step(), prop::bool::weighted(0.7)), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            match setting.pool {
                None => play(World::new(setting, |gate| gate), steps).await,
                Some(most) => {
                    let pool = move |gate: GateBuilder<()>| {
                        gate.pool(Pool::round_robin(["a", "b"]).at_once(most))
                    };
                    play(World::new(setting, pool), steps).await;
                }
            }
        });
    }
}
