//! Events on a heap: a bounded queue in front of workers behind one FIFO.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use hedgerow_admission::{LimitPolicy, Outcome, Sample};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, LogNormal};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// An instant to count from, and nothing else.
pub(crate) fn epoch() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A stretch of steady load.
#[derive(Clone, Copy)]
pub(crate) struct Phase {
    pub(crate) seconds: f64,
    /// As a share of the workers' capacity.
    pub(crate) load: f64,
    /// Service times are so many times the workload's.
    pub(crate) slower: f64,
}

/// The calls that were answered in a phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// When each ended, in nanoseconds, and how long it was in the service.
    pub(crate) answers: Vec<(u64, u64)>,
    /// The limit, whenever it changed.
    pub(crate) limits: Vec<(u64, usize)>,
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

impl Told {
    pub(crate) fn per_second(&self, from: u64) -> f64 {
        let from = from + self.began;
        let count = self.answers.iter().filter(|(at, _)| *at >= from).count();
        count as f64 * SECOND as f64 / (self.ended - from) as f64
    }

    /// The mean limit of each second.
    pub(crate) fn mean_limits(&self) -> Vec<f64> {
        let seconds = ((self.ended - self.began) / SECOND) as usize;
        let mut sums = vec![0.0; seconds];
        let ends = self.limits.iter().skip(1).map(|(at, _)| *at);
        for ((from, limit), to) in self.limits.iter().zip(ends.chain([self.ended])) {
            let (mut from, to) = (from - self.began, to - self.began);
            while from < to {
                let next = (from / SECOND + 1) * SECOND;
                let until = next.min(to);
                if let Some(sum) = sums.get_mut((from / SECOND) as usize) {
                    *sum += *limit as f64 * (until - from) as f64 / SECOND as f64;
                }
                from = until;
            }
        }
        sums
    }

    /// The seconds until the mean limit of three seconds stays within `range`; none if it never
    /// does.
    pub(crate) fn settled(&self, range: std::ops::Range<f64>) -> Option<usize> {
        settled(&self.mean_limits(), range)
    }

    pub(crate) fn p99_ms(&self, from: u64) -> f64 {
        let from = from + self.began;
        let after = self.answers.iter().filter(|(at, _)| *at >= from);
        let mut times: Vec<u64> = after.map(|(_, time)| *time).collect();
        assert!(!times.is_empty(), "nothing was answered");
        let at = (times.len() * 99).div_ceil(100) - 1;
        *times.select_nth_unstable(at).1 as f64 / 1e6
    }
}

pub(crate) struct Workload {
    pub(crate) workers: usize,
    pub(crate) mean_ms: f64,
    pub(crate) cv: f64,
    pub(crate) depth: usize,
}

/// 32 workers behind one FIFO, lognormal with mean 10 ms and cv 0.5.
pub(crate) const WORKERS: Workload = Workload {
    workers: 32,
    mean_ms: 10.0,
    cv: 0.5,
    depth: 100,
};

pub(crate) const PHASES: [Phase; 4] = [
    Phase {
        seconds: 20.0,
        load: 0.5,
        slower: 1.0,
    },
    Phase {
        seconds: 40.0,
        load: 1.5,
        slower: 1.0,
    },
    Phase {
        seconds: 40.0,
        load: 1.5,
        slower: 2.0,
    },
    Phase {
        seconds: 20.0,
        load: 0.5,
        slower: 1.0,
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Phase(usize),
    Arrival,
    /// Of the call that began then.
    End(u64),
}

struct State<'a> {
    policy: &'a dyn LimitPolicy,
    epoch: Instant,
    workers: usize,
    busy: usize,
    running: usize,
    queue: usize,
    fifo: VecDeque<u64>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    service: LogNormal<f64>,
    slower: f64,
    rng: StdRng,
}

impl<'a> State<'a> {
    fn new(policy: &'a dyn LimitPolicy, workload: &Workload, seed: u64) -> Self {
        Self {
            policy,
            epoch: epoch(),
            workers: workload.workers,
            busy: 0,
            running: 0,
            queue: 0,
            fifo: VecDeque::new(),
            events: BinaryHeap::new(),
            order: 0,
            service: lognormal(workload.mean_ms, workload.cv),
            slower: 1.0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn end(&mut self, now: u64, began: u64, told: &mut Told) {
        self.busy -= 1;
        let time = now - began;
        let before = self.policy.limit();
        self.policy.observe(&Sample::new(
            self.epoch + Duration::from_nanos(now),
            Duration::from_nanos(time),
            Outcome::Answered,
            self.running,
            self.queue,
        ));
        self.running -= 1;
        told.answers.push((now, time));
        if self.policy.limit() != before {
            told.limits.push((now, self.policy.limit()));
        }
        self.admit(now);
    }

    fn at(&mut self, time: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((time, self.order, event)));
    }

    fn serve(&mut self, now: u64) {
        while self.busy < self.workers {
            let Some(began) = self.fifo.pop_front() else {
                return;
            };
            self.busy += 1;
            let time = self.service.sample(&mut self.rng) * self.slower * 1e6;
            self.at(now + time as u64, Event::End(began));
        }
    }

    fn admit(&mut self, now: u64) {
        while self.queue > 0 && self.running < self.policy.limit() {
            self.queue -= 1;
            self.running += 1;
            self.fifo.push_back(now);
        }
        self.serve(now);
    }
}

/// Runs the phases one after the other.
pub(crate) fn run(
    policy: &dyn LimitPolicy,
    workload: &Workload,
    phases: &[Phase],
    seed: u64,
) -> Vec<Told> {
    let mut s = State::new(policy, workload, seed);
    let mut start = 0;
    for (index, phase) in phases.iter().enumerate() {
        s.at(start, Event::Phase(index));
        start += (phase.seconds * SECOND as f64) as u64;
    }
    s.at(start, Event::Phase(phases.len()));
    s.at(0, Event::Arrival);
    let mut told: Vec<Told> = Vec::new();
    let mut gap = 0.0;
    while let Some(Reverse((now, _, event))) = s.events.pop() {
        match event {
            Event::Phase(index) => {
                if let Some(last) = told.last_mut() {
                    last.ended = now;
                }
                let Some(phase) = phases.get(index) else {
                    break;
                };
                s.slower = phase.slower;
                let capacity = workload.workers as f64 / (workload.mean_ms * phase.slower);
                gap = 1e6 / (capacity * phase.load);
                told.push(Told {
                    began: now,
                    limits: vec![(now, policy.limit())],
                    ..Told::default()
                });
            }
            Event::Arrival => {
                if s.queue < workload.depth || (s.queue == 0 && s.running < policy.limit()) {
                    s.queue += 1;
                    s.admit(now);
                }
                let uniform: f64 = s.rng.random();
                let next = -(1.0 - uniform).ln() * gap;
                s.at(now + next as u64 + 1, Event::Arrival);
            }
            Event::End(began) => {
                let told = told.last_mut().expect("a phase comes before all ends");
                s.end(now, began, told);
            }
        }
    }
    told
}

/// How one call of [`saturated`] goes, by the calls that run with it and the second it starts in.
pub(crate) type Fate<'a> = dyn FnMut(usize, f64, &mut StdRng) -> (f64, Outcome) + 'a;

/// Calls that always wait in line: the limit alone decides how many run. `fate` says how many
/// milliseconds a call takes and how it ends. Returns the mean limit of each second.
pub(crate) fn saturated(
    policy: &dyn LimitPolicy,
    seconds: f64,
    seed: u64,
    fate: &mut Fate<'_>,
) -> Vec<f64> {
    saturated_by_all(&[policy], seconds, seed, fate).remove(0)
}

/// The same with several who call one service, each with a limit of its own.
pub(crate) fn saturated_by_all(
    policies: &[&dyn LimitPolicy],
    seconds: f64,
    seed: u64,
    fate: &mut Fate<'_>,
) -> Vec<Vec<f64>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let epoch = epoch();
    let end = (seconds * SECOND as f64) as u64;
    let tell = |policy: &&dyn LimitPolicy| Told {
        limits: vec![(0, policy.limit())],
        ended: end,
        ..Told::default()
    };
    let mut told: Vec<Told> = policies.iter().map(tell).collect();
    let mut running = vec![0; policies.len()];
    let mut ends = BinaryHeap::new();
    let mut now = 0;
    loop {
        for (who, policy) in policies.iter().enumerate() {
            while running[who] < policy.limit() {
                running[who] += 1;
                let (ms, outcome) = fate(ends.len() + 1, now as f64 / 1e9, &mut rng);
                ends.push(Reverse((
                    now + (ms * 1e6) as u64,
                    now,
                    who,
                    outcome as usize,
                )));
            }
        }
        let Some(Reverse((at, began, who, outcome))) = ends.pop() else {
            break;
        };
        if at >= end {
            break;
        }
        now = at;
        let (policy, before) = (policies[who], policies[who].limit());
        policy.observe(&Sample::new(
            epoch + Duration::from_nanos(now),
            Duration::from_nanos(now - began),
            OUTCOMES[outcome],
            running[who],
            100,
        ));
        running[who] -= 1;
        if policy.limit() != before {
            told[who].limits.push((now, policy.limit()));
        }
    }
    told.iter().map(Told::mean_limits).collect()
}

pub(crate) const OUTCOMES: [Outcome; 5] = [
    Outcome::Answered,
    Outcome::Failed,
    Outcome::Refused,
    Outcome::TimedOut,
    Outcome::Cancelled,
];

/// Workers that share their time: beyond their number each call takes longer.
pub(crate) fn shared(workers: usize, mean_ms: f64) -> impl Fn(usize, &mut StdRng) -> f64 {
    let law = lognormal(mean_ms, 0.5);
    move |running, rng| law.sample(rng) * (running as f64 / workers as f64).max(1.0)
}

pub(crate) fn settled(limits: &[f64], range: std::ops::Range<f64>) -> Option<usize> {
    let means: Vec<f64> = limits
        .windows(3)
        .map(|three| three.iter().sum::<f64>() / 3.0)
        .collect();
    let last = means.iter().rposition(|mean| !range.contains(mean));
    let after = last.map_or(0, |last| last + 1);
    (after < means.len()).then_some(after)
}

fn lognormal(mean: f64, cv: f64) -> LogNormal<f64> {
    let variance = (1.0 + cv * cv).ln();
    LogNormal::new(mean.ln() - variance / 2.0, variance.sqrt()).expect("a finite deviation")
}
