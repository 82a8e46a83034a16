//! Who is aboard a flight, who leads it, and whom to wake: no lock, no clock, nobody's code but wakers.

use std::task::{Poll, Waker};

use slab::Slab;

/// The members of a flight.
///
/// One member leads: it alone polls what the flight waits for. The others sleep until the flight has
/// landed or the leader has left. So that a leader whose task does not poll it holds up nobody, what the
/// flight waits for also wakes another member, the *deputy*: the one that was polled last. If the leader has
/// not polled by then, the deputy leads, and has a deputy of its own. So a call that was made is never waited
/// for by one member alone, and the wake is handed on when a deputy that got it leaves. When neither of the two
/// has polled within the patience of a [`Watch`](super::watch::Watch), all others are woken.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    members: Slab<Option<Waker>>,
    leader: Option<usize>,
    deputy: Option<usize>,
    /// What the flight waits for has called since it was polled last.
    rung: bool,
    /// The leader polls it now.
    polling: bool,
    over: bool,
    /// Nobody comes aboard any more.
    closed: bool,
    /// Somebody came aboard after the first.
    joined: bool,
    started: bool,
}

/// What a member does in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It leads: poll, then [`Crew::rest`] or [`Crew::land`].
    Poll,
    /// It follows, and is woken.
    Wait,
    /// The flight is over.
    Over,
}

/// Whom a call from what the flight waits for wakes.
#[derive(Debug, Default)]
pub(crate) struct Rung {
    /// The leader and the deputy.
    pub(crate) wake: [Option<Waker>; 2],
    /// Others sleep: if neither of the two polls, they are [`overdue`](Crew::overdue).
    pub(crate) watch: bool,
}

/// What a member leaves behind.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Whom to wake, because nobody leads now.
    pub(crate) wake: Vec<Waker>,
    /// Nobody is aboard of a flight that has not landed: it ends.
    pub(crate) abandoned: bool,
}

impl Crew {
    /// Comes aboard; `None` if the flight is closed. The first one aboard leads.
    pub(crate) fn join(&mut self) -> Option<usize> {
        if self.closed {
            return None;
        }
        let id = self.members.insert(None);
        self.joined |= self.started;
        if !std::mem::replace(&mut self.started, true) {
            self.leader = Some(id);
        }
        Some(id)
    }

    /// A member is polled.
    pub(crate) fn turn(&mut self, id: usize, waker: &Waker) -> Turn {
        if self.over {
            return Turn::Over;
        }
        let seat = &mut self.members[id];
        if !seat.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *seat = Some(waker.clone());
        }
        let leads = self.leader.is_none_or(|leader| leader == id || self.rung);
        if self.polling || !leads {
            if self.leader != Some(id) {
                self.deputy = Some(id);
            }
            return Turn::Wait;
        }
        if self.leader != Some(id) {
            // Who did not lead in time is the last one to rely on.
            let late = self.leader.replace(id);
            self.deputy = self.next_deputy(late);
        }
        self.polling = true;
        self.rung = false;
        Turn::Poll
    }

    /// What the flight waits for calls: the leader and the deputy are to be woken.
    pub(crate) fn ring(&mut self) -> Rung {
        if self.over {
            return Rung::default();
        }
        let again = std::mem::replace(&mut self.rung, true);
        if self.polling {
            // Who polls sees it when it rests.
            return Rung::default();
        }
        let rung = self.both();
        Rung {
            // A patience that has begun does not begin anew.
            watch: rung.watch && !again,
            ..rung
        }
    }

    /// The leader polled, and it is to go on. If it was called meanwhile, the flight is to be polled again:
    /// whom to wake for that.
    #[must_use]
    pub(crate) fn rest(&mut self) -> Rung {
        self.polling = false;
        if self.rung {
            self.both()
        } else {
            Rung::default()
        }
    }

    fn both(&mut self) -> Rung {
        let both = [self.leader, self.deputy];
        Rung {
            wake: both.map(|id| self.members.get_mut(id?)?.take()),
            watch: self
                .members
                .iter()
                .any(|(id, seat)| seat.is_some() && !both.contains(&Some(id))),
        }
    }

    /// What the flight waits for has called long ago. If nobody has polled it since, everybody is to be woken.
    pub(crate) fn overdue(&mut self) -> Vec<Waker> {
        if self.rung && !self.polling && !self.over {
            self.take_wakers()
        } else {
            Vec::new()
        }
    }

    /// Whether there are others beside a leader and a deputy.
    pub(crate) fn is_crowd(&self) -> bool {
        self.members.len() > 2
    }

    /// Somebody who sleeps, so that a wake reaches them; else `otherwise`; else anybody but the leader.
    fn next_deputy(&self, otherwise: Option<usize>) -> Option<usize> {
        let others = || {
            let all = self.members.iter();
            all.filter(|(id, _)| Some(*id) != self.leader && Some(*id) != otherwise)
        };
        let asleep = others().find(|(_, seat)| seat.is_some()).map(|(id, _)| id);
        asleep
            .or(otherwise)
            .or_else(|| others().map(|(id, _)| id).next())
    }

    /// The flight is over. Everybody else aboard is to be woken.
    pub(crate) fn land(&mut self) -> Vec<Waker> {
        self.polling = false;
        self.over = true;
        if let Some(leader) = self.leader.take() {
            // It is the one that is being polled.
            self.members[leader] = None;
        }
        self.take_wakers()
    }

    /// Nobody comes aboard any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// A member goes, whatever it is and whatever the flight is.
    pub(crate) fn leave(&mut self, id: usize) -> Left {
        self.members.remove(id);
        if self.over {
            return Left::default();
        }
        let mut wake = Vec::new();
        if self.deputy == Some(id) {
            self.deputy = self.next_deputy(None);
            if self.rung && !self.polling {
                // It was woken, and had not polled yet.
                wake.extend(self.deputy.and_then(|deputy| self.members[deputy].take()));
            }
        }
        if self.members.is_empty() {
            self.closed = true;
            self.over = true;
            return Left {
                wake: Vec::new(),
                abandoned: true,
            };
        }
        if self.leader == Some(id) {
            // Whoever is polled first takes over: one alone might sleep behind something else.
            self.leader = None;
            wake.extend(self.take_wakers());
        }
        Left {
            wake,
            abandoned: false,
        }
    }

    /// Ready if somebody has come after the first; otherwise that one is woken when somebody does.
    pub(crate) fn watch(&mut self, id: usize, waker: &Waker) -> Poll<()> {
        if self.joined {
            return Poll::Ready(());
        }
        self.members[id] = Some(waker.clone());
        Poll::Pending
    }

    /// Those that watch who comes aboard of a flight that has landed.
    pub(crate) fn watching(&mut self) -> Vec<Waker> {
        if self.over {
            self.take_wakers()
        } else {
            Vec::new()
        }
    }

    pub(crate) fn was_joined(&self) -> bool {
        self.joined
    }

    /// How many are aboard.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        self.members
            .iter_mut()
            .filter_map(|(_, seat)| seat.take())
            .collect()
    }
}
