//! How a batch gets on.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The status of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Its file is being looked at.
    Validating,
    /// Its file was refused, or it failed as a whole.
    Failed,
    /// Its rows are being answered.
    InProgress,
    /// Its files are being written.
    Finalizing,
    /// Every row has its line.
    Completed,
    /// Its window ended first.
    Expired,
    /// It has been asked to stop.
    Cancelling,
    /// It has stopped.
    Cancelled,
    /// A status that no client knows.
    Other(&'static str),
}

impl Status {
    /// As it stands in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Other(name) => name,
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Completed | Self::Expired | Self::Cancelled
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part of the rows of a batch, rounded down to whole rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    part: u32,
    whole: u32,
}

impl Share {
    /// No row.
    pub const NONE: Self = Self { part: 0, whole: 1 };
    /// Every row.
    pub const ALL: Self = Self { part: 1, whole: 1 };

    /// `part` rows of each `whole`.
    ///
    /// # Panics
    ///
    /// If `whole` is 0 or smaller than `part`: write `Share::of(1, 2)` for a half.
    #[must_use]
    pub fn of(part: u32, whole: u32) -> Self {
        assert!(
            whole > 0 && part <= whole,
            "{part} of {whole} is no share: write Share::of(1, 2) for a half"
        );
        Self { part, whole }
    }

    pub(super) fn rows(self, all: usize) -> usize {
        let rows = all as u64 * u64::from(self.part) / u64::from(self.whole);
        usize::try_from(rows).unwrap_or(all)
    }
}

/// A status that a batch has for a while, on its way.
#[derive(Clone, Debug)]
pub struct Stage {
    pub(super) status: Status,
    pub(super) until: Until,
    pub(super) done: Share,
}

/// How long a stage lasts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    Polls(u32),
    After(Duration),
    Released,
}

impl Stage {
    /// Lasts for one poll, with no row done. A status that is final makes no stage: it is what
    /// [`Script`] ends with.
    #[must_use]
    pub fn of(status: Status) -> Self {
        Self {
            status,
            until: Until::Polls(1),
            done: Share::NONE,
        }
    }

    /// Is what `n` polls see.
    #[must_use]
    pub fn polls(mut self, n: u32) -> Self {
        self.until = Until::Polls(n);
        self
    }

    /// Lasts that long.
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Self {
        self.until = Until::After(time);
        self
    }

    /// Lasts until [`MockBatchApi::release`](super::MockBatchApi::release).
    #[must_use]
    pub fn until_released(mut self) -> Self {
        self.until = Until::Released;
        self
    }

    /// That many rows have been answered, and can be downloaded already.
    #[must_use]
    pub fn done(mut self, share: Share) -> Self {
        self.done = share;
        self
    }
}

/// The stages of a batch, how it ends, and in which order its lines stand.
///
/// `create` always answers `validating`; the stages begin with the first poll.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) stages: Vec<Stage>,
    pub(super) end: End,
    pub(super) cancelling: Until,
    pub(super) shuffle: Option<u64>,
    pub(super) unknown_fields: bool,
    pub(super) rest_listed: bool,
}

#[derive(Clone, Debug)]
pub(super) enum End {
    Completed,
    Expired(Share),
    Cancelled(Share),
    Failed(Vec<Failure>),
}

/// An entry of a batch's `errors`.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) line: Option<usize>,
}

impl Script {
    /// The first poll finds it completed.
    #[must_use]
    pub fn instant() -> Self {
        Self {
            stages: Vec::new(),
            end: End::Completed,
            cancelling: Until::Polls(0),
            shuffle: None,
            unknown_fields: false,
            rest_listed: true,
        }
    }

    /// Validating, in progress and finalizing for one poll each, then completed.
    #[must_use]
    pub fn stepwise() -> Self {
        Self::instant()
            .stage(Stage::of(Status::Validating))
            .stage(Stage::of(Status::InProgress))
            .stage(Stage::of(Status::Finalizing))
    }

    /// In progress for that long, then completed.
    #[must_use]
    pub fn lasting(time: Duration) -> Self {
        Self::instant().stage(Stage::of(Status::InProgress).lasting(time))
    }

    /// In progress until it is released, cancelled, or for ever.
    #[must_use]
    pub fn stuck() -> Self {
        Self::instant().stage(Stage::of(Status::InProgress).until_released())
    }

    /// Adds a stage.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stages.push(stage);
        self
    }

    /// Ends expired, with that share of its rows answered.
    #[must_use]
    pub fn expires(mut self, finished: Share) -> Self {
        self.end = End::Expired(finished);
        self
    }

    /// Ends cancelled although nobody asked for it, with that share of its rows answered.
    #[must_use]
    pub fn is_cancelled(mut self, finished: Share) -> Self {
        self.end = End::Cancelled(finished);
        self
    }

    /// Ends failed, with this among its `errors`.
    #[must_use]
    pub fn fails(mut self, code: &'static str, message: &str) -> Self {
        self.end = End::Failed(vec![Failure {
            code,
            message: message.to_owned(),
            line: None,
        }]);
        self
    }

    /// Once it is asked to stop, it is cancelling for `n` polls. Defaults to none: the next poll
    /// finds it cancelled.
    #[must_use]
    pub fn cancelling_for(mut self, n: u32) -> Self {
        self.cancelling = Until::Polls(n);
        self
    }

    /// Once it is asked to stop, it is cancelling for ever, or until it is released.
    #[must_use]
    pub fn cancelling_until_released(mut self) -> Self {
        self.cancelling = Until::Released;
        self
    }

    /// Its rows are answered in another order, drawn from `seed`.
    #[must_use]
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.shuffle = Some(seed);
        self
    }

    /// The batch object has fields nobody has heard of.
    #[must_use]
    pub fn with_unknown_fields(mut self) -> Self {
        self.unknown_fields = true;
        self
    }

    /// Rows that were not answered before the batch expired or was cancelled stand in no file; by
    /// default each has a line in the error file.
    #[must_use]
    pub fn without_the_rest(mut self) -> Self {
        self.rest_listed = false;
        self
    }
}

/// A batch that was just made: what its script may depend on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewBatch {
    /// How many came before it.
    pub number: u64,
    /// Its endpoint, such as `/v1/embeddings`.
    pub endpoint: String,
    /// The model of its rows.
    pub model: Option<String>,
    /// How many rows it has.
    pub rows: usize,
    /// Its completion window, as it was sent.
    pub completion_window: String,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
}
