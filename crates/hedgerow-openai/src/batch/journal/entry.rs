//! The entries of a journal as bytes, each with a checksum.

use bytes::Bytes;
use hedgerow::crates::cache::DigestBuilder;
use thiserror::Error;

use crate::batch::answer::RowAnswer;
use crate::batch::id::RowId;
use crate::batch::record::Record;

const CHECK: usize = 8;

/// An entry is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the checksum of an entry does not hold")]
pub(super) struct Broken;

/// A row that has no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) seq: u64,
    pub(super) line: u32,
    pub(super) body: Bytes,
}

/// Where an answer stands in the order of answers, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) turn: u64,
    pub(super) at_ms: u64,
}

pub(super) fn write_batch(record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(record)?;
    Ok(sealed(&record.seq.to_be_bytes(), &json))
}

pub(super) fn read_batch(seq: u64, bytes: &[u8]) -> Result<Record, Broken> {
    let json = opened(&seq.to_be_bytes(), bytes)?;
    serde_json::from_slice(json).map_err(|_| Broken)
}

pub(super) fn write_row(id: RowId, seq: u64, line: u32, body: &[u8]) -> Vec<u8> {
    let head = [&seq.to_be_bytes()[..], &line.to_be_bytes(), body].concat();
    sealed(&id.to_bytes(), &head)
}

/// The batch and the line of a row, of which the body is not looked at.
pub(super) fn row_place(bytes: &[u8]) -> Result<(u64, u32), Broken> {
    let mut rest = bytes.get(CHECK..).ok_or(Broken)?;
    Ok((
        u64::from_be_bytes(take(&mut rest)?),
        u32::from_be_bytes(take(&mut rest)?),
    ))
}

pub(super) fn read_row(id: RowId, bytes: &[u8]) -> Result<Row, Broken> {
    let (seq, line) = row_place(bytes)?;
    let rest = opened(&id.to_bytes(), bytes)?;
    let body = rest.get(8 + 4..).ok_or(Broken)?;
    Ok(Row {
        seq,
        line,
        body: Bytes::copy_from_slice(body),
    })
}

pub(super) fn write_answer(id: RowId, place: Place, answer: &RowAnswer) -> Vec<u8> {
    let mut head = Vec::with_capacity(64 + answer.body().len());
    head.extend(place.turn.to_be_bytes());
    head.extend(place.at_ms.to_be_bytes());
    head.extend(answer.status().as_u16().to_be_bytes());
    for text in [answer.request_id(), answer.batch_id()] {
        let text = text.unwrap_or_default();
        head.extend((text.len() as u32).to_be_bytes());
        head.extend(text.as_bytes());
    }
    head.extend_from_slice(answer.body());
    sealed(&id.to_bytes(), &head)
}

pub(super) fn answer_place(bytes: &[u8]) -> Result<Place, Broken> {
    let mut rest = bytes.get(CHECK..).ok_or(Broken)?;
    Ok(Place {
        turn: u64::from_be_bytes(take(&mut rest)?),
        at_ms: u64::from_be_bytes(take(&mut rest)?),
    })
}

pub(super) fn read_answer(id: RowId, bytes: &[u8]) -> Result<RowAnswer, Broken> {
    let mut rest = opened(&id.to_bytes(), bytes)?;
    let _: [u8; 16] = take(&mut rest)?;
    let status = u16::from_be_bytes(take(&mut rest)?);
    let mut text = || {
        let length = u32::from_be_bytes(take(&mut rest)?) as usize;
        let (text, after) = rest.split_at_checked(length).ok_or(Broken)?;
        rest = after;
        let text = std::str::from_utf8(text).map_err(|_| Broken)?;
        Ok((!text.is_empty()).then(|| text.to_owned()))
    };
    let (request_id, batch_id) = (text()?, text()?);
    let answer = RowAnswer::new(status, request_id, Bytes::copy_from_slice(rest)).ok_or(Broken)?;
    Ok(match batch_id {
        Some(batch_id) => answer.of_batch(&batch_id),
        None => answer,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Broken> {
    let (first, after) = rest.split_first_chunk().ok_or(Broken)?;
    *rest = after;
    Ok(*first)
}

fn sealed(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    [&check(key, bytes)[..], bytes].concat()
}

fn opened<'a>(key: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], Broken> {
    let (told, rest) = bytes.split_first_chunk::<CHECK>().ok_or(Broken)?;
    if *told == check(key, rest) {
        Ok(rest)
    } else {
        Err(Broken)
    }
}

/// Of the key as well: no entry can stand in another one's place.
fn check(key: &[u8], bytes: &[u8]) -> [u8; CHECK] {
    let digest = DigestBuilder::new("hedgerow journal 1")
        .part(key)
        .part(bytes)
        .finish();
    let mut check = [0; CHECK];
    check.copy_from_slice(&digest.as_bytes()[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_back_and_a_change_of_any_byte_is_noticed() {
        let id = RowId::of("/v1/x", b"{}");
        let place = Place { turn: 7, at_ms: 9 };
        for answer in [
            RowAnswer::new(200, Some("q".into()), Bytes::from_static(b"{\"a\":1}"))
                .unwrap()
                .of_batch("b"),
            RowAnswer::new(400, None, Bytes::new()).unwrap(),
        ] {
            let bytes = write_answer(id, place, &answer);
            assert_eq!(read_answer(id, &bytes), Ok(answer));
            assert_eq!(answer_place(&bytes), Ok(place));
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 1;
                assert_eq!(read_answer(id, &other), Err(Broken), "{at}");
                assert_eq!(read_answer(id, &bytes[..at]), Err(Broken), "{at}");
            }
        }
        let bytes = write_row(id, 3, 4, b"{}");
        assert_eq!(row_place(&bytes), Ok((3, 4)));
        let row = Row {
            seq: 3,
            line: 4,
            body: Bytes::from_static(b"{}"),
        };
        assert_eq!(read_row(id, &bytes), Ok(row));
        assert_eq!(read_row(RowId::of("/v1/y", b"{}"), &bytes), Err(Broken));
        let record = Record {
            seq: 5,
            key: "k".into(),
            ..Record::default()
        };
        let bytes = write_batch(&record).unwrap();
        assert_eq!(read_batch(5, &bytes), Ok(record));
        assert_eq!(read_batch(6, &bytes), Err(Broken));
    }
}
