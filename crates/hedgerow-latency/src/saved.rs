//! A snapshot as data: sparse lists, so that a learnt histogram takes a few kilobytes.

use serde::{Deserialize, Serialize};

use crate::bucket::Grain;
use crate::cell::Counts;
use crate::snapshot::Snapshot;

const VERSION: u32 = 1;

/// What stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    version: u32,
    /// Bits that part an octave into buckets.
    grain_bits: u32,
    /// (bucket, count), ascending, without empty ones.
    events: Vec<(u32, u64)>,
    censored: Vec<(u32, u64)>,
}

impl From<Snapshot> for Saved {
    fn from(snapshot: Snapshot) -> Self {
        let counts = snapshot.counts();
        let sparse = |counts: &[u64]| {
            let filled = counts.iter().enumerate().filter(|&(_, &n)| n > 0);
            filled.map(|(index, &n)| (index as u32, n)).collect()
        };
        Self {
            version: VERSION,
            grain_bits: counts.grain.bits(),
            events: sparse(&counts.events),
            censored: sparse(&counts.censored),
        }
    }
}

impl TryFrom<Saved> for Snapshot {
    type Error = String;

    fn try_from(saved: Saved) -> Result<Self, String> {
        if saved.version != VERSION {
            return Err(format!(
                "a latency snapshot of version {} cannot be read: this is version {VERSION}",
                saved.version
            ));
        }
        let grain = Grain::of_bits(saved.grain_bits)
            .ok_or_else(|| format!("there is no histogram of grain_bits {}", saved.grain_bits))?;
        let mut counts = Counts::new(grain);
        for (sparse, into) in [
            (&saved.events, &mut counts.events),
            (&saved.censored, &mut counts.censored),
        ] {
            for &(index, n) in sparse {
                let place = into
                    .get_mut(index as usize)
                    .ok_or_else(|| format!("bucket {index} is beyond the histogram's last one"))?;
                *place = place.saturating_add(n);
            }
        }
        if !counts.is_sane() {
            return Err("the snapshot holds more samples than can have come".to_owned());
        }
        Ok(Self::new(counts))
    }
}
