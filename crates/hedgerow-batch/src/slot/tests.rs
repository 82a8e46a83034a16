//! The cell against a model of it: every sequence of up to six steps.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Leaving, Loss, Put, Slot};

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    Answer,
    Fail,
    Release,
    Land,
    Leave,
    Poll,
}

const STEPS: [Step; 7] = [
    Step::Send,
    Step::Answer,
    Step::Fail,
    Step::Release,
    Step::Land,
    Step::Leave,
    Step::Poll,
];

/// What the cell should know, said as plainly as can be.
#[derive(Default)]
struct Model {
    flight: Option<u32>,
    released: bool,
    landed: bool,
    /// Of the last flight, whether the cell heard of it or not.
    dropped: bool,
    over: bool,
    /// The first of a result and a leaving caller.
    end: Option<End>,
    taken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Result(Result<u32, u32>),
    Left,
}

fn check(steps: &[Step]) {
    let slot = Slot::<u32, u32, u32>::new();
    let cx = Context::from_waker(Waker::noop());
    let mut model = Model::default();
    let mut flight = Arc::new(0);
    let mut ends = 0;
    for (at, step) in steps.iter().enumerate() {
        let at = at as u32;
        match step {
            Step::Send => {
                flight = Arc::new(at);
                (model.dropped, model.over) = (false, false);
                assert_eq!(slot.send(&flight), model.end.is_none(), "{steps:?}");
                if model.end.is_none() {
                    (model.flight, model.released, model.landed) = (Some(at), false, false);
                }
            }
            Step::Answer | Step::Fail => {
                let result = if matches!(step, Step::Answer) {
                    Ok(at)
                } else {
                    Err(at)
                };
                match (slot.put(result), model.end) {
                    (Put::Ended(with), None) => {
                        assert_eq!(with.map(|with| *with), model.flight, "{steps:?}");
                        model.end = Some(End::Result(result));
                        ends += 1;
                    }
                    (Put::Late(back), Some(_)) => assert_eq!(back, result, "{steps:?}"),
                    (got, end) => panic!("{steps:?}: {got:?} after {end:?}"),
                }
            }
            // A reply is dropped once, and a flight lands once.
            Step::Release if model.dropped => {}
            Step::Land if model.over => {}
            Step::Release | Step::Land => {
                if matches!(step, Step::Release) {
                    model.dropped = true;
                } else {
                    model.over = true;
                }
                let of_this = model.end.is_none() && model.flight == Some(*flight);
                let missing = if matches!(step, Step::Release) {
                    model.released |= of_this;
                    of_this && model.landed
                } else {
                    let missing = of_this && model.released;
                    model.landed |= of_this && !missing;
                    missing
                };
                let got = if matches!(step, Step::Release) {
                    slot.release(&flight)
                } else {
                    slot.land(&flight)
                };
                let want = if missing { Loss::Missing } else { Loss::None };
                assert_eq!(got, want, "{steps:?}");
            }
            Step::Leave => {
                let got = slot.leave();
                match (got, model.end) {
                    (Leaving::Ended, Some(_)) => model.taken = true,
                    (Leaving::Queued, None) => assert_eq!(model.flight, None, "{steps:?}"),
                    (Leaving::Sent(with), None) => {
                        assert_eq!(Some(*with), model.flight, "{steps:?}");
                    }
                    (got, end) => panic!("{steps:?}: {got:?} after {end:?}"),
                }
                if model.end.is_none() {
                    model.end = Some(End::Left);
                    ends += 1;
                }
            }
            Step::Poll => match model.end {
                Some(End::Result(result)) if !model.taken => {
                    assert_eq!(slot.poll(&cx), Poll::Ready(result), "{steps:?}");
                    model.taken = true;
                }
                _ => assert_eq!(slot.poll(&cx), Poll::Pending, "{steps:?}"),
            },
        }
        assert_eq!(slot.is_open(), model.end.is_none(), "{steps:?}");
    }
    assert!(ends <= 1, "{steps:?}");
}

#[test]
fn every_sequence_of_steps_ends_an_item_once_and_as_the_model_says() {
    let mut sequences: Vec<Vec<Step>> = vec![Vec::new()];
    for _ in 0..6 {
        sequences = sequences
            .iter()
            .flat_map(|before| {
                STEPS.map(|step| before.iter().copied().chain([step]).collect::<Vec<_>>())
            })
            .collect();
        for steps in &sequences {
            check(steps);
        }
    }
}
