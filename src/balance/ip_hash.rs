//! `ip_hash`: the client's address decides, bit for bit as in nginx: the first three octets of an IPv4
//! address, so that a client keeps its backend when its last octet changes, and all sixteen of IPv6.
//! O(1) per pick.

use std::net::IpAddr;

use super::cursor::Cursor;
use super::plan::{Key, Pick};
use super::roster::{MISSES, Roster};
use super::shares::Shares;

#[derive(Debug)]
pub(super) struct IpHash {
    /// Of all backends, eligible or not: who is out still keeps its keys from moving the others'.
    shares: Shares,
}

impl IpHash {
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
        match p.key {
            Key::Address(IpAddr::V4(v4)) => self.walk(&v4.octets()[..3], roster, cursor, p),
            Key::Address(IpAddr::V6(v6)) => self.walk(&v6.octets(), roster, cursor, p),
            Key::Unix => self.walk(&[0; 3], roster, cursor, p),
            Key::None | Key::Bytes(_) => roster.turn_by_weight(cursor, p),
        }
    }

    #[inline]
    fn walk(
        &self,
        octets: &[u8],
        roster: &Roster,
        cursor: &mut Cursor,
        p: &mut Pick<'_>,
    ) -> Option<usize> {
        let mut hash = 89_u32;
        let mut misses = 0;
        loop {
            hash = octets.iter().fold(hash, |h, octet| (h * 113 + u32::from(*octet)) % 6271);
            let place = self.shares.at(u64::from(hash) % self.shares.total());
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

#[cfg(test)]
mod tests {
    use super::super::conformance::Bed;
    use super::super::plan::Key;
    use super::super::strategy::Strategy;

    fn pick(bed: &mut Bed, address: &str) -> u32 {
        bed.pick_key(Key::Address(address.parse().unwrap())).unwrap()
    }

    #[test]
    fn the_last_octet_does_not_matter() {
        let mut bed = Bed::weighted(Strategy::IpHash, &[1; 16]);
        for net in 0..100 {
            let first = pick(&mut bed, &format!("10.1.{net}.1"));
            assert_eq!(pick(&mut bed, &format!("10.1.{net}.200")), first);
        }
    }

    #[test]
    fn all_of_an_ipv6_address_matters() {
        let mut bed = Bed::weighted(Strategy::IpHash, &[1; 16]);
        let picked: std::collections::BTreeSet<u32> =
            (0..100).map(|n| pick(&mut bed, &format!("2001:db8::{n:x}"))).collect();
        assert!(picked.len() > 8, "{picked:?}");
    }

    #[test]
    fn a_unix_client_counts_as_three_zero_octets() {
        let mut bed = Bed::weighted(Strategy::IpHash, &[1, 2, 3, 4, 5]);
        let expected = pick(&mut bed, "0.0.0.9");
        assert_eq!(bed.pick_key(Key::Unix), Some(expected));
    }

    #[test]
    fn without_an_address_backends_take_turns() {
        let mut bed = Bed::weighted(Strategy::IpHash, &[5, 1, 1]);
        let picked: Vec<u32> = (0..7).map(|_| bed.pick_key(Key::None).unwrap()).collect();
        assert_eq!(picked, [0, 0, 1, 0, 2, 0, 0]);
    }
}
