//! Reply cells, made many at a time: allocating each by itself would cost as much as all the rest.

use std::ops::Deref;
use std::sync::Arc;

use hedgerow_core::BoxError;

use crate::flight::Flight;
use crate::slot::Slot;

/// So many cells are made at once. They are gone when the last of them is.
const ROW: usize = 32;

/// The reply cell of an item of this crate.
pub(crate) type Cell<Res> = Slot<Res, BoxError, Flight>;

/// A handle on the reply cell of one item.
pub(crate) struct Seat<Res> {
    row: Arc<[Cell<Res>; ROW]>,
    at: u32,
}

/// Where the next cell is taken from. None is ever used twice.
pub(crate) struct Seats<Res> {
    row: Option<Arc<[Cell<Res>; ROW]>>,
    taken: u32,
}

impl<Res> Seats<Res> {
    pub(crate) const fn new() -> Self {
        Self {
            row: None,
            taken: 0,
        }
    }

    /// The cell of an item that came at `at`.
    #[inline]
    pub(crate) fn take(&mut self, at: u64) -> Seat<Res> {
        let row = match self.row.take() {
            Some(row) => row,
            None => {
                self.taken = 0;
                Arc::new(std::array::from_fn(|_| Slot::new()))
            }
        };
        let seat = Seat {
            row: row.clone(),
            at: self.taken,
        };
        self.taken += 1;
        if (self.taken as usize) < ROW {
            self.row = Some(row);
        }
        seat.open(at);
        seat
    }
}

impl<Res> Deref for Seat<Res> {
    type Target = Cell<Res>;

    fn deref(&self) -> &Cell<Res> {
        &self.row[self.at as usize]
    }
}

impl<Res> Clone for Seat<Res> {
    fn clone(&self) -> Self {
        Self {
            row: self.row.clone(),
            at: self.at,
        }
    }
}
