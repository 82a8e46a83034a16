//! The layer's four parts seen as one, so that a future names one type instead of four.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hedgerow_core::{Attempt, Class, Classify, Recorder};

use crate::event::HedgeEvent;
use crate::exchange::Exchange;
use crate::info::WinnerInfo;
use crate::layer::{Parts, Settings};
use crate::policy::{Delay, Follow, HedgePolicy, KeyState, Sample};

/// What is known of the call's key, if the layer has keys.
pub(crate) type Key<'a, Req> = Option<&'a (dyn KeyState<Req> + 'static)>;

/// What a response future asks of its layer. Implemented by [`Parts`] alone.
pub trait Rules<Req, Res, E>: Sealed {
    #[doc(hidden)]
    fn settings(&self) -> &Settings;
    #[doc(hidden)]
    fn delay(&self, key: Key<'_, Req>, request: &Req, attempt: Attempt) -> Delay;
    #[doc(hidden)]
    fn follow(&self, class: Class) -> Follow;
    #[doc(hidden)]
    fn observe(&self, sample: &Sample);
    #[doc(hidden)]
    fn strategy(&self) -> &'static str;
    #[doc(hidden)]
    fn judge(&self, result: &Result<Res, E>) -> Class;
    #[doc(hidden)]
    fn wants_losses(&self) -> bool;
    #[doc(hidden)]
    fn all_lost(&self, results: &[(Attempt, &Result<Res, E>)]);
    #[doc(hidden)]
    fn copy(&self, request: &mut Req) -> Option<Req>;
    #[doc(hidden)]
    fn edit(&self, request: &mut Req, attempt: Attempt) -> bool;
    #[doc(hidden)]
    fn informs(&self, hedged: bool) -> bool;
    #[doc(hidden)]
    fn inform(&self, response: &mut Res, info: WinnerInfo);
    #[doc(hidden)]
    fn tells(&self) -> bool;
    #[doc(hidden)]
    fn tell(&self, event: &HedgeEvent);
}

/// Keeps [`Rules`] to this crate.
pub trait Sealed {}

impl<P, R, J, Rec> Sealed for Parts<P, R, J, Rec> {}

impl<P, R, J, Rec, Req, Res, E> Rules<Req, Res, E> for Parts<P, R, J, Rec>
where
    P: HedgePolicy<Req>,
    R: Exchange<Req, Res>,
    J: Classify<Res, E>,
    Rec: Recorder<HedgeEvent>,
{
    #[inline]
    fn settings(&self) -> &Settings {
        &self.settings
    }

    #[inline]
    fn delay(&self, key: Key<'_, Req>, request: &Req, attempt: Attempt) -> Delay {
        match key {
            None => self.policy.delay(request, attempt, &self.settings.latency),
            Some(key) => key.delay(request, attempt, key.latency()),
        }
    }

    fn follow(&self, class: Class) -> Follow {
        self.policy.follow(class)
    }

    #[inline]
    fn observe(&self, sample: &Sample) {
        self.policy.observe(sample);
    }

    fn strategy(&self) -> &'static str {
        self.policy.name()
    }

    #[inline]
    fn judge(&self, result: &Result<Res, E>) -> Class {
        self.judge.classify(result)
    }

    #[inline]
    fn wants_losses(&self) -> bool {
        self.judge.wants_losses()
    }

    fn all_lost(&self, results: &[(Attempt, &Result<Res, E>)]) {
        self.judge.all_lost(results);
    }

    #[inline]
    fn copy(&self, request: &mut Req) -> Option<Req> {
        self.exchange.copy(request)
    }

    fn edit(&self, request: &mut Req, attempt: Attempt) -> bool {
        self.exchange.edit(request, attempt)
    }

    #[inline]
    fn informs(&self, hedged: bool) -> bool {
        self.exchange.informs(hedged)
    }

    fn inform(&self, response: &mut Res, info: WinnerInfo) {
        self.exchange.inform(response, info);
    }

    #[inline]
    fn tells(&self) -> bool {
        self.recorder.enabled()
    }

    #[inline]
    fn tell(&self, event: &HedgeEvent) {
        // A recorder that panics loses its event and nothing else. The panic hook has reported it.
        let _ = catch_unwind(AssertUnwindSafe(|| self.recorder.record(event)));
    }
}
