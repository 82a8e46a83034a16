//! What the recorder is told of one request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use hedgerow_core::Recorder;

use crate::ask::{Ask, Priority};
use crate::event::{AdmissionEvent, Happened};
use crate::key::Key;
use crate::queue::State;
use crate::shared::Shared;

/// What the events of one request say.
#[derive(Debug)]
pub(crate) struct Story {
    id: u64,
    label: Option<Key>,
    key: Option<Key>,
    priority: Priority,
    cost: u64,
    pub(crate) waited: Duration,
}

/// The figures of the moment.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) active: usize,
    pub(crate) queued: usize,
    pub(crate) limit: usize,
}

impl State {
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            active: self.running,
            queued: self.waiting,
            limit: self.limit,
        }
    }
}

impl<T> Shared<T> {
    #[inline]
    pub(crate) fn story(&self, ask: &Ask) -> Option<Box<Story>> {
        self.recorder.as_ref()?;
        Some(self.begin_story(ask))
    }

    fn begin_story(&self, ask: &Ask) -> Box<Story> {
        Box::new(Story {
            id: self.ids.fetch_add(1, Ordering::Relaxed) + 1,
            label: ask.label.clone(),
            key: ask.key.clone(),
            priority: ask.priority,
            cost: ask.cost,
            waited: Duration::ZERO,
        })
    }

    #[inline]
    pub(crate) fn tell(
        &self,
        story: Option<&Story>,
        what: Happened,
        moment: Moment,
        ran: Duration,
    ) {
        if let (Some(recorder), Some(story)) = (&self.recorder, story) {
            Self::tell_of(&**recorder, story, what, moment, ran);
        }
    }

    fn tell_of(
        recorder: &(dyn Recorder<AdmissionEvent> + Send + Sync),
        story: &Story,
        what: Happened,
        moment: Moment,
        ran: Duration,
    ) {
        // One of a type of its own may panic here too.
        let wanted = catch_unwind(AssertUnwindSafe(|| recorder.enabled()));
        if !wanted.unwrap_or(false) {
            return;
        }
        let event = AdmissionEvent {
            what,
            id: story.id,
            label: story.label.clone(),
            key: story.key.clone(),
            priority: story.priority,
            cost: story.cost,
            active: moment.active,
            queued: moment.queued,
            limit: (moment.limit < usize::MAX).then_some(moment.limit),
            waited: story.waited,
            ran,
        };
        // A recorder of a type of its own may panic.
        let _ = catch_unwind(AssertUnwindSafe(|| recorder.record(&event)));
    }
}
