//! Variables that the file makes: `[variable.NAME]`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Pattern, Stage, Template};

/// A variable that the file makes. It is worked out whenever it is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// The text that decides.
    pub from: Template,
    /// What comes of it.
    pub rule: MadeBy,
    /// From when on it is known.
    pub stage: Stage,
}

impl Made {
    /// The texts that it may give.
    pub fn gives(&self) -> impl Iterator<Item = &Template> {
        let (cases, shares) = match &self.rule {
            MadeBy::Cases(cases) => (Some(cases), &[][..]),
            MadeBy::Shares(shares) => (None, &**shares),
        };
        let of_cases = cases.into_iter().flat_map(|cases| {
            let lists = [&cases.suffixes, &cases.prefixes].into_iter().flatten();
            let patterns = cases.patterns.iter().map(|(_, give)| give);
            let lists = lists.map(|(_, give)| give).chain(patterns);
            let networks = cases.networks.values().flat_map(BTreeMap::values);
            cases.exact.values().chain(networks).chain(lists).chain([&cases.otherwise])
        });
        of_cases.chain(shares.iter().map(|(_, give)| give))
    }
}

/// How a variable is made.
#[derive(Debug, PartialEq, Eq)]
pub enum MadeBy {
    /// By cases.
    Cases(Box<Cases>),
    /// By share: hashes below the number, in order; `u32::MAX` is all that are left.
    Shares(Vec<(u32, Template)>),
}

/// The cases of a variable, in the order in which they are tried.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cases {
    /// Whole texts, lower case.
    pub exact: BTreeMap<Vec<u8>, Template>,
    /// Networks by how many bits they have in common, with these bits; IPv4 as IPv4-mapped IPv6.
    pub networks: BTreeMap<u8, BTreeMap<u128, Template>>,
    /// What names end with, `.` first, lower case; the longest first.
    pub suffixes: Vec<(Vec<u8>, Template)>,
    /// What names begin with, `.` last, lower case; the longest first.
    pub prefixes: Vec<(Vec<u8>, Template)>,
    /// Whether there are rules for names of hosts, so that a dot at the end does not count.
    pub hosts: bool,
    /// Expressions, in the order of the file.
    pub patterns: Vec<(Pattern, Template)>,
    /// When none of them fits.
    pub otherwise: Template,
}

impl Cases {
    /// What is given for the smallest network that the address is in, if the text is one.
    pub fn of_address(&self, text: &[u8]) -> Option<&Template> {
        if self.networks.is_empty() {
            return None;
        }
        let address: IpAddr = str::from_utf8(text).ok()?.parse().ok()?;
        let address = address.to_canonical();
        // An IPv4 address is in no network of IPv6.
        let least = if address.is_ipv4() { MAPPED } else { 0 };
        let bits = bits(address);
        let mut longest_first = self.networks.range(least..).rev();
        longest_first.find_map(|(length, all)| all.get(&(bits & mask(*length))))
    }
}

/// Bits that IPv4-mapped addresses have in common.
const MAPPED: u8 = 96;

/// How many bits the addresses of a network have in common, and these; of IPv4 as mapped to IPv6.
pub fn common_bits(network: IpNet) -> (u8, u128) {
    let length = match network {
        IpNet::V4(network) => MAPPED + network.prefix_len(),
        IpNet::V6(network) => network.prefix_len(),
    };
    (length, bits(network.network()))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first bits.
fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Piece;

    #[test]
    fn the_smallest_network_counts() {
        let mut cases = Cases::default();
        for network in ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "::/0", "2001:db8::/32"] {
            let (length, bits) = common_bits(network.parse().unwrap());
            let give = Template(vec![Piece::Text(network.to_owned())]);
            cases.networks.entry(length).or_default().insert(bits, give);
        }
        for (address, network) in [
            ("10.2.0.1", Some("10.0.0.0/8")),
            ("10.1.0.1", Some("10.1.0.0/16")),
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("::ffff:10.1.2.3", Some("10.1.2.3/32")),
            ("192.0.2.1", None),
            ("2001:db8::1", Some("2001:db8::/32")),
            ("2001:db9::1", Some("::/0")),
            ("unix:", None),
            ("", None),
        ] {
            let found = cases.of_address(address.as_bytes());
            let expected = network.map(|text| Template(vec![Piece::Text(text.to_owned())]));
            assert_eq!(found, expected.as_ref(), "{address}");
        }
    }
}
