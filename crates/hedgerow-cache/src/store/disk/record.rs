//! An entry as bytes, with a checksum of its own.

use crate::clock::Stamp;
use crate::key::{Digest, DigestBuilder};
use crate::store::{Entry, StoreError};

const CHECK: usize = 16;
const HEAD: usize = CHECK + 4 * 8;

/// What an entry takes beside its value: its record's head, its key, and its places in two indexes.
pub(super) const OVERHEAD: u64 = (HEAD + 3 * 32 + 4 * 8 + 32) as u64;

/// What a record says of an entry without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its place in the order of storing.
    pub(super) turn: u64,
    pub(super) keep_until: Stamp,
    /// What it weighs.
    pub(super) bytes: u64,
}

pub(super) fn write(key: &Digest, entry: &Entry<Vec<u8>>, turn: u64) -> Vec<u8> {
    let mut record = vec![0; CHECK];
    record.reserve(HEAD + entry.value.len());
    for number in [
        turn,
        entry.stored.as_millis(),
        entry.fresh_until.as_millis(),
        entry.keep_until.as_millis(),
    ] {
        record.extend(number.to_le_bytes());
    }
    record.extend(&entry.value);
    let check = check(key, &record[CHECK..]);
    record[..CHECK].copy_from_slice(&check);
    record
}

pub(super) fn head(record: &[u8]) -> Result<Head, StoreError> {
    if record.len() < HEAD {
        return Err(damaged());
    }
    Ok(Head {
        turn: number(record, 0),
        keep_until: Stamp::from_millis(number(record, 3)),
        bytes: (record.len() - HEAD) as u64 + OVERHEAD,
    })
}

pub(super) fn read(key: &Digest, record: &[u8]) -> Result<Entry<Vec<u8>>, StoreError> {
    if record.len() < HEAD || record[..CHECK] != check(key, &record[CHECK..]) {
        return Err(damaged());
    }
    let stamp = |at| Stamp::from_millis(number(record, at));
    Ok(Entry {
        value: record[HEAD..].to_vec(),
        stored: stamp(1),
        fresh_until: stamp(2),
        keep_until: stamp(3),
    })
}

fn damaged() -> StoreError {
    StoreError::Damaged("the checksum of an entry does not hold".to_owned())
}

fn number(record: &[u8], at: usize) -> u64 {
    let start = CHECK + 8 * at;
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&record[start..start + 8]);
    u64::from_le_bytes(bytes)
}

/// Of the key as well: no entry can stand in another one's place.
fn check(key: &Digest, rest: &[u8]) -> [u8; CHECK] {
    let mut hash = DigestBuilder::new("hedgerow record 1");
    hash.part(key.as_bytes()).part(rest);
    let mut check = [0; CHECK];
    check.copy_from_slice(&hash.finish().as_bytes()[..CHECK]);
    check
}
