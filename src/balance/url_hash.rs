//! `url_hash`: a hash of the request's key decides, bit for bit as nginx's `hash KEY` without
//! `consistent` (that is, as `Cache::Memcached`): modulo the sum of weights, so most keys move when a
//! backend is added. O(key) per pick.

use super::cursor::Cursor;
use super::hash::Crc32;
use super::plan::Pick;
use super::roster::{MISSES, Roster};
use super::shares::Shares;

#[derive(Debug)]
pub(super) struct UrlHash {
    /// Of all backends, eligible or not: who is out still keeps its keys from moving the others'.
    shares: Shares,
}

impl UrlHash {
    pub(super) fn new(roster: &Roster) -> Self {
        Self { shares: Shares::new(roster.weights()) }
    }

    #[inline]
    pub(super) fn pick(
        &self,
        roster: &Roster,
        cursor: &mut Cursor,
        p: &mut Pick<'_>,
    ) -> Option<usize> {
        let Some(key) = p.key.bytes() else {
            return roster.turn_by_weight(cursor, p);
        };
        let mut sum = 0_u32;
        let mut misses = 0;
        loop {
            let crc = retry_prefix(misses).update(key).finish();
            sum = sum.wrapping_add(crc >> 16 & 0x7FFF);
            let place = self.shares.at(u64::from(sum) % self.shares.total());
            if roster.usable(place, p) {
                return Some(place);
            }
            misses += 1;
            // nginx goes on where the earlier attempts of a request got to; we walk over them again.
            if misses > MISSES + p.tried.count() {
                return roster.turn_by_weight(cursor, p);
            }
        }
    }
}

/// The hash after the number of misses in decimal digits; after nothing when there are none.
#[inline]
fn retry_prefix(misses: u32) -> Crc32 {
    if misses == 0 {
        return Crc32::new();
    }
    retry_prefix(misses / 10).update(&[b'0' + (misses % 10) as u8])
}

#[cfg(test)]
mod tests {
    use super::super::conformance::Bed;
    use super::super::hash::crc32;
    use super::super::plan::Key;
    use super::super::strategy::Strategy;
    use super::*;

    #[test]
    fn the_retry_counter_stands_before_the_key_in_decimal() {
        assert_eq!(retry_prefix(0).update(b"/a").finish(), crc32(b"/a"));
        for misses in [1, 9, 10, 20, 105] {
            let text = format!("{misses}/a");
            assert_eq!(retry_prefix(misses).update(b"/a").finish(), crc32(text.as_bytes()));
        }
    }

    #[test]
    fn an_empty_key_takes_turns() {
        let mut bed = Bed::weighted(Strategy::UrlHash, &[5, 1, 1]);
        let picked: Vec<u32> = (0..7).map(|_| bed.pick_key(Key::Bytes(b"")).unwrap()).collect();
        assert_eq!(picked, [0, 0, 1, 0, 2, 0, 0]);
    }
}
