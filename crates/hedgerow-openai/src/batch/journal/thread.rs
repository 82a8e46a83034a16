//! The thread of a journal: all that waits goes into one commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hedgerow::BoxError;
use tokio::sync::{mpsc, oneshot};

use super::file::{File, Refused, Tables};
use crate::batch::answer::RowAnswer;
use crate::batch::body::Pending;
use crate::batch::book::Outcome;
use crate::batch::error::RowError;
use crate::batch::id::RowId;
use crate::batch::record::Record;

/// What one commit takes along at most.
const GROUP: usize = 1_024;
const GROUP_BYTES: usize = 16 << 20;

type Tell<T> = oneshot::Sender<Result<T, Arc<str>>>;

/// What is to be done.
pub(super) enum Deed {
    Plan {
        record: Record,
        rows: Vec<Pending>,
        instead: Option<u64>,
        tell: Tell<Vec<RowId>>,
    },
    Update {
        record: Record,
        tell: Tell<()>,
    },
    Answers {
        answers: Vec<(RowId, RowAnswer)>,
        tell: Tell<()>,
    },
    Forget(Vec<RowId>),
    End {
        seq: u64,
        tell: Tell<()>,
    },
    Load {
        id: RowId,
        tell: oneshot::Sender<Outcome>,
    },
    Bodies {
        ids: Vec<RowId>,
        tell: Tell<Vec<Pending>>,
    },
    Close(Tell<()>),
}

/// What is told once the commit is on the disk.
enum Told {
    Done(Tell<()>),
    Planned(Tell<Vec<RowId>>, Result<Vec<RowId>, Arc<str>>),
    Load(RowId, oneshot::Sender<Outcome>),
    Bodies(Vec<RowId>, Tell<Vec<Pending>>),
}

pub(super) fn write(file: File, mut deeds: mpsc::UnboundedReceiver<Deed>) {
    while let Some(first) = deeds.blocking_recv() {
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut closes = None;
        let mut next = Some(first);
        while let Some(deed) = next {
            if let Deed::Close(tell) = deed {
                closes = Some(tell);
                break;
            }
            bytes += deed.bytes();
            group.push(deed);
            if group.len() >= GROUP || bytes >= GROUP_BYTES {
                break;
            }
            next = deeds.try_recv().ok();
        }
        commit(&file, group);
        if let Some(tell) = closes {
            drop(file);
            let _ = tell.send(Ok(()));
            return;
        }
    }
}

fn commit(file: &File, group: Vec<Deed>) {
    let writes = group.iter().any(Deed::writes);
    let mut told = Vec::with_capacity(group.len());
    let work = |tables: Option<&mut Tables<'_>>| -> Result<(), BoxError> {
        let mut tables = tables;
        for deed in group {
            let done = deed.done(tables.as_deref_mut(), &mut told);
            done?;
        }
        Ok(())
    };
    let committed = guarded(|| match writes {
        true => file.commit(|tables| work(Some(tables))),
        false => work(None),
    });
    if let Err(error) = &committed {
        tracing::warn!(target: "hedgerow::batch", %error, "a commit of the journal failed");
    }
    for told in told {
        told.tell(file, committed.clone());
    }
}

impl Deed {
    fn bytes(&self) -> usize {
        match self {
            Self::Plan { rows, .. } => rows.iter().map(|row| row.body.len()).sum(),
            Self::Answers { answers, .. } => {
                answers.iter().map(|(_, answer)| answer.body().len()).sum()
            }
            _ => 0,
        }
    }

    const fn writes(&self) -> bool {
        !matches!(
            self,
            Self::Load { .. } | Self::Bodies { .. } | Self::Close(_)
        )
    }

    /// Does it in a commit; what waits for that is told later.
    fn done(self, tables: Option<&mut Tables<'_>>, told: &mut Vec<Told>) -> Result<(), BoxError> {
        match (self, tables) {
            (Self::Load { id, tell }, _) => told.push(Told::Load(id, tell)),
            (Self::Bodies { ids, tell }, _) => told.push(Told::Bodies(ids, tell)),
            (
                Self::Plan {
                    record,
                    rows,
                    instead,
                    tell,
                },
                Some(tables),
            ) => {
                let planned = match tables.plan(&record, &rows, instead) {
                    Ok(gone) => Ok(gone),
                    Err(Refused::Failed(error)) => {
                        told.push(Told::Planned(tell, Err(error.to_string().into())));
                        return Err(error);
                    }
                    Err(full) => Err(full.to_string().into()),
                };
                told.push(Told::Planned(tell, planned));
            }
            (Self::Update { record, tell }, Some(tables)) => {
                told.push(Told::Done(tell));
                tables.update(&record)?;
            }
            (Self::Answers { answers, tell }, Some(tables)) => {
                told.push(Told::Done(tell));
                tables.answers(&answers)?;
            }
            (Self::Forget(ids), Some(tables)) => tables.forget(&ids)?,
            (Self::End { seq, tell }, Some(tables)) => {
                told.push(Told::Done(tell));
                tables.end(seq)?;
            }
            (Self::Close(_), _) | (_, None) => {}
        }
        Ok(())
    }
}

impl Told {
    fn tell(self, file: &File, committed: Result<(), Arc<str>>) {
        // Whoever waits may be gone.
        match self {
            Self::Done(tell) => drop(tell.send(committed)),
            Self::Planned(tell, planned) => drop(tell.send(committed.and(planned))),
            Self::Load(id, tell) => {
                if !tell.is_closed() {
                    let answer = guarded(|| file.answer(id));
                    let _ = tell.send(answer.map_err(RowError::Journal));
                }
            }
            Self::Bodies(ids, tell) => drop(tell.send(guarded(|| file.bodies(&ids)))),
        }
    }
}

/// What reads and writes the file takes damage for its own mistake, and panics.
fn guarded<T>(work: impl FnOnce() -> Result<T, BoxError>) -> Result<T, Arc<str>> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string().into()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("it makes no sense").into())
        }
    }
}
