//! Addresses as text.

use std::io::Write;
use std::net::IpAddr;

use crate::model::UNIX_CLIENT;

/// Appends a client's address; `unix:` of one on a Unix socket, after nginx.
pub(crate) fn push_client(out: &mut Vec<u8>, address: IpAddr) {
    if address == UNIX_CLIENT {
        out.extend_from_slice(b"unix:");
    } else {
        push_address(out, address);
    }
}

/// Appends an address. IPv4, the usual one, goes without formatting machinery.
pub(crate) fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let (mut text, mut len) = ([0; 16], 0);
            for octet in address.octets() {
                let ([digits @ .., count], place) = (OCTETS[usize::from(octet)], &mut text[len..]);
                place[..4].copy_from_slice(&digits);
                len += usize::from(count);
            }
            // Without the last dot.
            out.extend_from_slice(&text[..len - 1]);
        }
        IpAddr::V6(address) => {
            // Writing to a vector does not fail.
            let _ = write!(out, "{address}");
        }
    }
}

/// Each octet in decimal digits with a dot behind it, and how many bytes that are.
static OCTETS: [[u8; 5]; 256] = {
    let mut table = [[0; 5]; 256];
    let mut octet = 0;
    while octet < table.len() {
        let [hundreds, tens, ones] = [octet / 100, octet / 10 % 10, octet % 10];
        let digits = [b'0' + hundreds as u8, b'0' + tens as u8, b'0' + ones as u8, b'.'];
        let skip = if octet < 10 { 2 } else { (octet < 100) as usize };
        let mut at = skip;
        while at < digits.len() {
            table[octet][at - skip] = digits[at];
            at += 1;
        }
        table[octet][4] = (digits.len() - skip) as u8;
        octet += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_are_written_as_everywhere(octets: [u8; 4]) {
            let mut out = b"for=".to_vec();
            push_address(&mut out, octets.into());
            let text = std::net::Ipv4Addr::from(octets).to_string();
            prop_assert_eq!(out, format!("for={text}").into_bytes());
        }
    }
}
